import { checkKnownKeys, numberInRange } from '../internal/validate.js'

/** Every sample once an epoch, in an order of its own each time. */
export type ShuffledSampling = { readonly kind: 'shuffled' }
/** Samples drawn uniformly, with replacement. */
export type ReplacementSampling = { readonly kind: 'replacement' }
/** Every sample in a batch with the same probability, independently. */
export type PoissonSampling = { readonly kind: 'poisson'; readonly rate?: number }
export type PoissonSamplingOptions = {
  /** Probability of a sample to be in a batch, from 1 / samples to 1; default batchSize / samples. */
  readonly rate?: number
}

/**
 * Every sample once an epoch, in a new order each time: what `train` does where nothing else is asked for.
 *
 * @example train(model, data, { loss: softmaxCrossEntropy(), sampling: shuffledSampling() })
 */
export function shuffledSampling(): ShuffledSampling {
  return Object.freeze({ kind: 'shuffled' })
}

/**
 * Batches of samples drawn uniformly with replacement. An epoch is as many draws as there are samples: some come twice or
 * more, about 37 % not at all.
 *
 * @example train(model, data, { loss: softmaxCrossEntropy(), sampling: replacementSampling() })
 */
export function replacementSampling(): ReplacementSampling {
  return Object.freeze({ kind: 'replacement' })
}

/**
 * Batches that each sample is in with probability q, whatever the others do: their sizes vary around q · samples, and an
 * epoch is round(1/q) of them. The gradient is the mean over the samples that came; a batch without samples is no update.
 * It is what the accounting of differential privacy is about; training with privacy draws so by itself, and divides by the
 * expected size.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss: softmaxCrossEntropy(), sampling: poissonSampling({ rate: 0.01 }) })
 */
export function poissonSampling(given: PoissonSamplingOptions = {}): PoissonSampling {
  const name = 'poissonSampling'
  checkKnownKeys(given, ['rate'], `${name} options`)
  const { rate } = given as PoissonSamplingOptions
  return Object.freeze({
    kind: 'poisson',
    ...(rate === undefined ? {} : { rate: numberInRange(rate, `${name} rate`, { above: 0, max: 1 }) }),
  })
}
