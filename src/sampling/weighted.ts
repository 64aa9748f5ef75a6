import { optionError } from '../internal/errors.js'
import { boolean, checkKnownKeys, finiteArray } from '../internal/validate.js'

export type WeightedSamplingOptions = (
  | {
      /** p of every sample, at least 0, adding up to 1. */
      readonly probabilities: ArrayLike<number>
      readonly scores?: never
    }
  | {
      /** The same up to a factor: p = score / Σ scores. */
      readonly scores: ArrayLike<number>
      readonly probabilities?: never
    }
) & {
  /** Multiply each drawn sample's loss by 1/(N p), so that the expected gradient is that of the whole set; default true. */
  readonly unbiased?: boolean
}

export type WeightedSampling = {
  readonly kind: 'weighted'
  readonly probabilities: readonly number[]
  readonly unbiased: boolean
}

export type HistorySamplingOptions = {
  /** Multiply each drawn sample's loss by 1/(N q), so that the expected gradient is that of the whole set; default true. */
  readonly unbiased?: boolean
}
export type HistorySampling = { readonly kind: 'history'; readonly unbiased: boolean }

/** Rounding of a sum of probabilities. */
const slack = 1e-6

/**
 * Samples drawn with replacement by probabilities of yours: hard ones more often, rare classes as often as common ones. With
 * `unbiased` (the default) the drawn samples are weighted by 1/(N p), and only the variance changes: every probability must
 * then be above 0. Without, the samples drawn more often count for more. A part of the data that is held out for validation
 * leaves the others with their shares.
 *
 * Records tell the `effectiveSampleSize` (Σ w)² / Σ w² of the last batch in `numbers`.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_NOT_FINITE
 * @example train(model, data, { loss, sampling: weightedSampling({ scores: scoreSamples(models, data).scores }) })
 */
export function weightedSampling(given: WeightedSamplingOptions): WeightedSampling {
  const name = 'weightedSampling'
  checkKnownKeys(given, ['probabilities', 'scores', 'unbiased'], `${name} options`)
  const { probabilities, scores, unbiased } = given as Partial<Record<'probabilities' | 'scores' | 'unbiased', unknown>>
  if ((probabilities === undefined) === (scores === undefined)) {
    throw optionError(`${name} options`, 'either probabilities or scores', given)
  }
  const option = probabilities === undefined ? 'scores' : 'probabilities'
  const values = finiteArray(probabilities ?? scores, `${name} ${option}`, { min: 0, minLength: 1 })
  const isUnbiased = unbiased === undefined ? true : boolean(unbiased, `${name} unbiased`)
  const sum = values.reduce((total, value) => total + value, 0)
  if (!(sum > 0)) throw optionError(`${name} ${option}`, 'at least one number above 0', 0)
  if (probabilities !== undefined && Math.abs(sum - 1) > slack) {
    throw optionError(`${name} probabilities`, 'numbers that add up to 1', sum)
  }
  if (!Number.isFinite(sum)) throw optionError(`${name} ${option}`, 'numbers of a finite sum', sum)
  const never = values.indexOf(0)
  if (isUnbiased && never >= 0) {
    throw optionError(`${name} ${option}[${never}]`, 'a number above 0 with unbiased: true', 0)
  }
  const shares = probabilities === undefined ? values.map((value) => value / sum) : values
  // Of a share that is 0 by underflow, or nearly, the weight 1/(N p) would be infinite.
  const tiny = isUnbiased ? shares.findIndex((p) => !Number.isFinite(1 / (values.length * p))) : -1
  if (tiny >= 0) {
    throw optionError(`${name} ${option}[${tiny}]`, 'a number less small beside the sum', values[tiny])
  }
  return Object.freeze({ kind: 'weighted', probabilities: Object.freeze(shares), unbiased: isUnbiased })
}

/**
 * PA&DA's sampling of data: the samples that the network found hard in the epoch before are drawn more often. During an
 * epoch every time that a sample is drawn leaves a record r, the norm of its loss's gradient by the pre-activations of the
 * outputs (with a softmax cross-entropy ‖p − onehot(y)‖), which costs no pass of its own; its figure v is the first record,
 * then (v + r)/2, and 0 where it was not drawn. The N draws of epoch e of E, from 0, are with replacement by
 *
 *     q = τ v / Σ v + (1 − τ)/N,   τ = e/E
 *
 * so that the first epoch is uniform and the last nearly all by figures. The authors' program trains on the plain mean of
 * the drawn samples: that is `unbiased: false`, and leans towards hard samples.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss: softmaxCrossEntropy(), sampling: historySampling(), epochs: 20 })
 * @see Lu et al. 2023 (arXiv 2302.14772)
 */
export function historySampling(given: HistorySamplingOptions = {}): HistorySampling {
  const name = 'historySampling'
  checkKnownKeys(given, ['unbiased'], `${name} options`)
  const { unbiased } = given as HistorySamplingOptions
  return Object.freeze({
    kind: 'history',
    unbiased: unbiased === undefined ? true : boolean(unbiased, `${name} unbiased`),
  })
}
