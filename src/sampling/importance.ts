import { addon } from '../internal/native.js'
import { checkKnownKeys, finiteArray, integerInRange, isRecord, numberInRange, oneOf } from '../internal/validate.js'

const scores = ['upperBound', 'gradientNorm', 'loss'] as const

/** What a sample's probability goes by; see `importanceSampling`. */
export type ImportanceScore = (typeof scores)[number]

export type ImportanceSamplingOptions = {
  /**
   * `upperBound` (default): norm of the loss's gradient by the pre-activations of the outputs, a forward pass; `gradientNorm`:
   * norm of the sample's gradient, the deltas of all layers besides; `loss`: the loss itself, a forward pass.
   */
  readonly by?: ImportanceScore
  /** Samples of the pool that a batch is drawn from, over those of the batch; at least 1, default 3. */
  readonly presample?: number
  /**
   * Added to every score, so that no sample is left out: a number, or `{ fraction }` of a moving average of the scores.
   * Default 0.
   */
  readonly smoothing?: number | { readonly fraction: number }
  /**
   * τ above which it is switched on; `auto` (default): where it saves more than the pool costs. 0: on from the second step.
   */
  readonly startThreshold?: 'auto' | number
  /** k of the weights w^k, from 0 to 1: below 1 less variance for some bias; default 1, none. */
  readonly biasPower?: number
}

export type ImportanceSampling = { readonly kind: 'importance' } & Required<ImportanceSamplingOptions>

/**
 * Importance sampling: a pool of B = `presample` · b samples is drawn uniformly and scored, and the batch of b is drawn from
 * it with replacement, p = s / Σ s, weighted by 1/(B p): the gradient stays unbiased, and varies the less the closer the
 * scores are to the norms of the samples' gradients. It pays where few samples have most of the gradient, late in training:
 * τ = √(B Σ p²), averaged over the steps (0.9 old + 0.1 new, from 0), says how much, and importance sampling is on while it
 * is above `startThreshold`: by default (c B + 3 b)/(3 b), c = 1 pass over the pool, or 2 for `gradientNorm`. While it is off,
 * batches are those of `shuffledSampling()`, to the bit, and τ is of their scores. Scores are of a sample's loss with its
 * weight, without dropout.
 *
 * Records tell in `numbers` the averaged `importanceTau`, `importanceOn` (0 or 1) of the last update, and while it is on the
 * `effectiveSampleSize` (Σ w)² / Σ w² of its batch. For losses that are all means over the samples, or all sums.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss: softmaxCrossEntropy(), sampling: importanceSampling({ by: 'upperBound' }) })
 * @see Katharopoulos & Fleuret 2018 (arXiv 1803.00942)
 */
export function importanceSampling(given: ImportanceSamplingOptions = {}): ImportanceSampling {
  const name = 'importanceSampling'
  checkKnownKeys(given, ['by', 'presample', 'smoothing', 'startThreshold', 'biasPower'], `${name} options`)
  const { by, presample, smoothing, startThreshold, biasPower } = given as ImportanceSamplingOptions
  const number = (value: unknown, key: string, fallback: number, range: { min: number; max?: number }): number =>
    value === undefined ? fallback : numberInRange(value, `${name} ${key}`, range)
  return Object.freeze({
    kind: 'importance',
    by: by === undefined ? 'upperBound' : oneOf(by, `${name} by`, scores),
    presample: number(presample, 'presample', 3, { min: 1, max: 1000 }),
    smoothing: smoothingOf(smoothing, `${name} smoothing`),
    startThreshold:
      startThreshold === undefined || startThreshold === 'auto'
        ? 'auto'
        : number(startThreshold, 'startThreshold', 0, { min: 0 }),
    biasPower: number(biasPower, 'biasPower', 1, { min: 0, max: 1 }),
  })
}

function smoothingOf(value: unknown, name: string): number | { readonly fraction: number } {
  if (!isRecord(value)) return value === undefined ? 0 : numberInRange(value, name, { min: 0 })
  checkKnownKeys(value, ['fraction'], name)
  return Object.freeze({ fraction: numberInRange(value.fraction, `${name}.fraction`, { min: 0 }) })
}

// --- the arithmetic, for scripts that draw batches of their own ------------------------------------------------------

const nonNegative = { min: 0, minLength: 1 }

export type ImportanceProbabilityOptions = {
  /** Added to every score; default 0. */
  readonly smoothing?: number
  /** Share of the scores' part; the rest is uniform. Default 1. */
  readonly mix?: number
}

/**
 * p = mix · (s + c) / Σ (s + c) + (1 − mix)/B of a pool's B scores, c the smoothing; uniform where all are 0.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_NOT_FINITE
 * @example importanceProbabilities([3, 1]) // 0.75, 0.25
 */
export function importanceProbabilities(
  scores: ArrayLike<number>,
  options: ImportanceProbabilityOptions = {},
): Float64Array<ArrayBuffer> {
  const name = 'importanceProbabilities'
  checkKnownKeys(options, ['smoothing', 'mix'], `${name} options`)
  const { smoothing = 0, mix = 1 } = options as ImportanceProbabilityOptions
  return addon().samplingProbabilities(
    Float64Array.from(finiteArray(scores, 'scores', nonNegative)),
    numberInRange(mix, `${name} mix`, { min: 0, max: 1 }),
    numberInRange(smoothing, `${name} smoothing`, { min: 0 }),
  )
}

export type ImportanceWeightOptions = {
  /** k of w^k, from 0 to 1; default 1. */
  readonly biasPower?: number
  /** Of the pool: with `biasPower` the weights are scaled so that Σ w s of the drawn samples stays what it was. */
  readonly scores?: ArrayLike<number>
}

/**
 * Weights of drawn samples, w = 1/(B p), with which the mean of w g is an unbiased gradient of the pool.
 *
 * @param picked indices of the drawn samples in the pool, each of p > 0
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_NOT_FINITE
 * @example importanceWeights(importanceProbabilities([3, 1]), [0, 0, 1]) // 2/3, 2/3, 2
 */
export function importanceWeights(
  probabilities: ArrayLike<number>,
  picked: ArrayLike<number>,
  options: ImportanceWeightOptions = {},
): Float64Array<ArrayBuffer> {
  const name = 'importanceWeights'
  checkKnownKeys(options, ['biasPower', 'scores'], `${name} options`)
  const { biasPower = 1, scores: given } = options as ImportanceWeightOptions
  const p = Float64Array.from(finiteArray(probabilities, 'probabilities', { ...nonNegative, max: 1 }))
  const at = Uint32Array.from(finiteArray(picked, 'picked'), (index, i) => {
    const place = integerInRange(index, `picked[${i}]`, { min: 0, max: p.length - 1 })
    numberInRange(p[place], `probabilities of picked[${i}]`, { above: 0 })
    return place
  })
  const power = numberInRange(biasPower, `${name} biasPower`, { min: 0, max: 1 })
  const pool = power === 1 ? null : Float64Array.from(finiteArray(given, 'scores', { min: 0, length: p.length }))
  return addon().importanceWeights(p, at, pool, power)
}

/**
 * τ = 1/√(1 − Σ (p − 1/B)² / Σ p²) = √(B Σ p²), at least 1: a measure of how much less the gradients of a drawn batch vary
 * than those of a uniform one.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_NOT_FINITE
 */
export function importanceTau(probabilities: ArrayLike<number>): number {
  const p = finiteArray(probabilities, 'probabilities', { ...nonNegative, max: 1 })
  return addon().varianceReduction(Float64Array.from(p))
}
