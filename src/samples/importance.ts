import { checkKnownKeys, finiteArray, integerInRange, numberInRange } from '../internal/validate.js'

/*
 * Arithmetic of importance sampling. Sample i is drawn with probability p_i, out of a pool of B samples with scores s_i;
 * weighted by 1/(B p_i) the gradient stays unbiased, and its variance is least for p_i proportional to ‖g_i‖.
 *
 * Katharopoulos & Fleuret 2018 (arXiv 1803.00942); Lu et al. 2023 (arXiv 2302.14772), as their programs compute it.
 *
 * No part of the package's public interface: a strategy of sampling is of use where batches are drawn.
 */

/** p = mix · s / Σ s + (1 − mix) / B; uniform where all scores are 0. */
export function mixedProbabilities(scores: ArrayLike<number>, mix: number): Float64Array<ArrayBuffer> {
  const values = finiteArray(scores, 'scores', { min: 0, minLength: 1 })
  const share = numberInRange(mix, 'mix', { min: 0, max: 1 })
  const sum = values.reduce((total, value) => total + value, 0)
  const uniform = 1 / values.length
  return Float64Array.from(values, (value) => (sum === 0 ? uniform : (share * value) / sum + (1 - share) * uniform))
}

/** p = (s + c) / Σ (s + c) with c a constant, or a fraction of a moving average of scores: no sample is left out. */
export function importanceProbabilities(scores: ArrayLike<number>, smoothing = 0): Float64Array<ArrayBuffer> {
  const c = numberInRange(smoothing, 'smoothing', { min: 0 })
  return mixedProbabilities(
    finiteArray(scores, 'scores', { min: 0, minLength: 1 }).map((score) => score + c),
    1,
  )
}

/**
 * Weights of drawn samples, w = 1/(B p). With an exponent k below 1, w^k, rescaled so that Σ w s over the drawn samples
 * stays what it was: less variance for some bias.
 *
 * @param picked indices of the drawn samples, each of p > 0
 * @param bias `exponent` k and the scores s of the pool
 */
export function importanceWeights(
  probabilities: ArrayLike<number>,
  picked: ArrayLike<number>,
  bias?: { readonly exponent: number; readonly scores: ArrayLike<number> },
): Float64Array<ArrayBuffer> {
  const p = finiteArray(probabilities, 'probabilities', { min: 0, max: 1, minLength: 1 })
  const at = Array.from(picked, (index, i) => integerInRange(index, `picked[${i}]`, { min: 0, max: p.length - 1 }))
  const weights = Float64Array.from(at, (index, i) => {
    return 1 / (p.length * numberInRange(p[index], `probabilities of picked[${i}]`, { above: 0 }))
  })
  if (bias === undefined) return weights
  const exponent = numberInRange(bias.exponent, 'exponent', { min: 0, max: 1 })
  const scores = finiteArray(bias.scores, 'scores', { min: 0, length: p.length })
  const total = (list: Float64Array): number =>
    list.reduce((sum, weight, i) => sum + weight * (scores[at[i] as number] as number), 0)
  const powers = weights.map((weight) => weight ** exponent)
  const after = total(powers)
  const factor = after === 0 ? 1 : total(weights) / after
  return powers.map((power) => power * factor)
}

/**
 * τ = 1/√(1 − Σ (p − 1/B)² / Σ p²) = √(B Σ p²), at least 1: a measure of how much less gradients of a drawn batch vary
 * than those of a uniform one. The second form has no difference of nearly equal numbers.
 */
export function varianceReduction(probabilities: ArrayLike<number>): number {
  const p = finiteArray(probabilities, 'probabilities', { min: 0, max: 1, minLength: 1 })
  return Math.max(1, Math.sqrt(p.length * p.reduce((sum, value) => sum + value * value, 0)))
}

/** τ above which drawing b of a pool of B costs less than it saves, a backward pass costing two forward ones. */
export function importanceThreshold(poolSize: number, batchSize: number): number {
  const pool = integerInRange(poolSize, 'poolSize', { min: 1 })
  const batch = integerInRange(batchSize, 'batchSize', { min: 1 })
  return (pool + 3 * batch) / (3 * batch)
}

export type ImportanceSwitchState = { readonly average: number }

/** Decides from a moving average of τ, 0.9 old + 0.1 new from 0, whether importance sampling is worth its cost now. */
export class ImportanceSwitch {
  readonly threshold: number
  #average: number

  constructor(threshold: number, state: ImportanceSwitchState = { average: 0 }) {
    this.threshold = numberInRange(threshold, 'threshold', { min: 0 })
    this.#average = numberInRange(state.average, 'state.average', { min: 0 })
  }

  /** Takes τ of a step, of a uniform batch too. */
  update(tau: number): void {
    this.#average = 0.9 * this.#average + 0.1 * numberInRange(tau, 'tau', { min: 0 })
  }

  get isOn(): boolean {
    return this.#average > this.threshold
  }

  state(): ImportanceSwitchState {
    return { average: this.#average }
  }
}

/** PA&DA's figure of an operation: (old + new)/2, from 0. */
export function pairwiseMean(old: number, value: number): number {
  return (old + value) / 2
}

export type PaDaState = { readonly figures: readonly number[]; readonly seen: readonly boolean[] }

/**
 * PA&DA's sampling of data: during an epoch every occurrence of a sample leaves a record r = ‖p − onehot(y)‖; its figure v
 * is its first record, then (v + r)/2, and 0 for a sample that was not seen. The next epoch draws with
 *
 *     q = τ v / Σ v + (1 − τ)/N,   τ = e/E in epoch e of E, from 0
 *
 * Its program trains on the plain mean of the samples so drawn, which leans towards hard ones; with `unbiasedWeights` the
 * gradient is that of the whole set.
 */
export class PaDaSampling {
  readonly #figures: Float64Array<ArrayBuffer>
  readonly #seen: Uint8Array

  constructor(sampleCount: number, state?: PaDaState) {
    const count = integerInRange(sampleCount, 'sampleCount', { min: 1 })
    this.#figures = new Float64Array(count)
    this.#seen = new Uint8Array(count)
    if (state === undefined) return
    checkKnownKeys(state, ['figures', 'seen'], 'state')
    this.#figures.set(finiteArray(state.figures, 'state.figures', { min: 0, length: count }))
    this.#seen.set(finiteArray(Array.from(state.seen as readonly boolean[], Number), 'state.seen', { length: count }))
  }

  /** Records of a batch, in order; a sample may stand in it more than once. */
  record(indices: ArrayLike<number>, norms: ArrayLike<number>): void {
    const values = finiteArray(norms, 'norms', { min: 0, length: indices.length })
    const last = this.#figures.length - 1
    const at = Array.from(indices, (index, i) => integerInRange(index, `indices[${i}]`, { min: 0, max: last }))
    for (const [i, index] of at.entries()) {
      const value = values[i] as number
      this.#figures[index] = this.#seen[index] === 1 ? pairwiseMean(this.#figures[index] as number, value) : value
      this.#seen[index] = 1
    }
  }

  /** Figures of the samples in this epoch. */
  get figures(): Float64Array<ArrayBuffer> {
    return this.#figures.slice()
  }

  /** Ends an epoch: probabilities of the next one, e of E, and no figures yet. */
  nextEpoch(epoch: number, epochs: number): Float64Array<ArrayBuffer> {
    const all = integerInRange(epochs, 'epochs', { min: 1 })
    const next = integerInRange(epoch, 'epoch', { min: 0, max: all - 1 })
    const probabilities = mixedProbabilities(this.#figures, next / all)
    this.#figures.fill(0)
    this.#seen.fill(0)
    return probabilities
  }

  state(): PaDaState {
    return { figures: [...this.#figures], seen: Array.from(this.#seen, (flag) => flag === 1) }
  }
}

/** 1/(N q) of every sample. */
export function unbiasedWeights(probabilities: ArrayLike<number>): Float64Array<ArrayBuffer> {
  return importanceWeights(
    probabilities,
    Uint32Array.from({ length: probabilities.length }, (_, index) => index),
  )
}
