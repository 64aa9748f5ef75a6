import type { MatrixLike } from '../data/matrix.js'
import { toMatrix } from '../data/matrix.js'
import type { ClassesLike } from '../data/targets.js'
import { toTargets } from '../data/targets.js'
import { optionError, rendered, shapeError } from '../internal/errors.js'
import type { FloatArray } from '../internal/native.js'
import {
  checkKnownKeys,
  finiteArray,
  integerInRange,
  joinPath,
  numberInRange,
  oneOf,
  record,
} from '../internal/validate.js'
import type { Schedule } from '../optimizers/schedule.js'
import { scheduleValue } from '../optimizers/schedule.js'
import { ascending, descending } from './scores-order.js'
import type { SampleWeights, SampleWeightsKind, SampleWeightsOption } from './weights.js'
import { resolveWeights, sampleWeightsKinds } from './weights.js'

/** What a rule may look at, one number a sample; only what it needs must be there. */
export type SampleFigures = {
  /** ℓ. */
  readonly losses?: FloatArray | readonly number[]
  /** p, of the sample's own label. */
  readonly probabilities?: FloatArray | readonly number[]
  /** 1 − p with the digits that p near 1 does not have; default 1 − p. */
  readonly complements?: FloatArray | readonly number[]
  /** Inner products with the mean gradient of clean samples, for `alignmentWeights`. */
  readonly alignments?: FloatArray | readonly number[]
}

/** Figures of a classifier's outputs. */
export type LabelFigures = {
  /** p, of the sample's own label. */
  readonly probabilities: Float64Array<ArrayBuffer>
  /** 1 − p. */
  readonly complements: Float64Array<ArrayBuffer>
  /** −log p. */
  readonly losses: Float64Array<ArrayBuffer>
}

export type ScheduleTime = {
  /** Updates so far, for options that are schedules; default 0. */
  readonly t?: number
  /** Updates that schedules without a length of their own last. */
  readonly totalSteps?: number
}

/**
 * Probability of the label, its complement and the cross-entropy of each sample, from logits, in float64. The complement
 * is the sum of the other classes' probabilities, so that it keeps its digits where p is 1 to the last bit.
 *
 * @param outputs raw outputs [N, K]: softmax for K ≥ 2, a sigmoid for K = 1
 * @param labels class indices; 0 or 1 for K = 1
 * @throws KrylovError ERR_SHAPE, ERR_DTYPE, ERR_OPTION, ERR_NOT_FINITE
 * @example labelFigures(model.predict(inputs), labels).probabilities
 */
export function labelFigures(outputs: MatrixLike, labels: ClassesLike): LabelFigures {
  const { data, shape } = toMatrix(outputs, 'outputs', { dtype: 'float64' })
  const [rows, width] = shape
  const classes = toTargets(labels, 'labels', { kind: 'class', classes: Math.max(2, width), rows })
  const figures = {
    probabilities: new Float64Array(rows),
    complements: new Float64Array(rows),
    losses: new Float64Array(rows),
  }
  for (let row = 0; row < rows; row++) {
    const label = classes[row] as number
    // d: differences of the other logits to the label's, which alone decide.
    const own = width === 1 ? 0 : (data[row * width + label] as number)
    const others: number[] = []
    if (width === 1) {
      const z = data[row] as number
      others.push(label === 1 ? -z : z)
    } else {
      for (let c = 0; c < width; c++) if (c !== label) others.push((data[row * width + c] as number) - own)
    }
    const top = others.reduce((most, d) => Math.max(most, d), 0)
    const rest = others.reduce((sum, d) => sum + Math.exp(d - top), 0)
    const total = Math.exp(-top) + rest
    figures.probabilities[row] = Math.exp(-top) / total
    figures.complements[row] = rest / total
    figures.losses[row] = top > 0 ? top + Math.log(total) : Math.log1p(rest)
  }
  return figures
}

const figureKeys = ['losses', 'probabilities', 'complements', 'alignments'] as const

function figure(
  figures: SampleFigures,
  kind: string,
  key: (typeof figureKeys)[number],
  range: { readonly min?: number; readonly max?: number } = {},
): number[] {
  const value = figures[key]
  if (value === undefined) throw optionError(`figures.${key}`, `an array of numbers, which ${kind} needs`, value)
  return finiteArray(value, `figures.${key}`, range)
}

/** A rule as data, filled in. */
function resolve(value: unknown): SampleWeights {
  const { kind, ...options } = record(value, 'rule')
  return resolveWeights(oneOf<SampleWeightsKind>(kind, joinPath('rule', 'kind'), sampleWeightsKinds), options)
}

/**
 * The weights that a rule gives to samples; `sampleWeights` of data for `createTrainer` and others.
 *
 * @param figures what the rule needs of losses, probabilities, complements and alignments, such as `labelFigures`
 * @param time where options are schedules
 * @throws KrylovError ERR_OPTION, also where `normalize: 'mean'` finds all weights 0; ERR_SHAPE
 * @example computeSampleWeights(focalWeights({ gamma: 2 }), labelFigures(model.predict(inputs), labels))
 */
export function computeSampleWeights(
  rule: SampleWeightsOption,
  figures: SampleFigures,
  time: ScheduleTime = {},
): Float64Array<ArrayBuffer> {
  const spec = resolve(rule)
  checkKnownKeys(figures, figureKeys, 'figures', { path: 'figures' })
  checkKnownKeys(time, ['t', 'totalSteps'], 'computeSampleWeights options')
  const given = time as ScheduleTime
  const t = integerInRange(given.t ?? 0, 'computeSampleWeights t', { min: 0 })
  const at = (value: number | Schedule): number => {
    if (typeof value === 'number') return value
    return scheduleValue(value, t, given.totalSteps === undefined ? {} : { totalSteps: given.totalSteps })
  }
  const weights = Float64Array.from(weightsOf(spec, figures as SampleFigures, at))
  return 'normalize' in spec && spec.normalize === 'mean' ? normalized(weights, spec.kind) : weights
}

function normalized(weights: Float64Array<ArrayBuffer>, kind: string): Float64Array<ArrayBuffer> {
  const sum = weights.reduce((total, weight) => total + weight, 0)
  if (weights.length > 0 && sum === 0) {
    throw optionError(`${kind} normalize`, "'none' where all weights are 0", 'mean')
  }
  return weights.map((weight) => (weight * weights.length) / sum)
}

type At = (value: number | Schedule) => number
const share = { min: 0, max: 1 } as const

function weightsOf(spec: SampleWeights, figures: SampleFigures, at: At): number[] {
  switch (spec.kind) {
    case 'focalWeights': {
      const gamma = at(spec.gamma)
      return complementsOf(figures, spec.kind).map((rest) => rest ** gamma)
    }
    case 'focalLossWeights': {
      const gamma = at(spec.gamma)
      const p = figure(figures, spec.kind, 'probabilities', share)
      return complementsOf(figures, spec.kind).map((rest, i) => focalLossWeight(p[i] as number, rest, gamma))
    }
    case 'generalizedCrossEntropyWeights': {
      const q = at(spec.q)
      return figure(figures, spec.kind, 'probabilities', share).map((p) => p ** q)
    }
    case 'truncatedCrossEntropyWeights': {
      const q = at(spec.q)
      const k = at(spec.k)
      return figure(figures, spec.kind, 'probabilities', share).map((p) => (p > k ? p ** q : 0))
    }
    case 'huberizedCrossEntropyWeights': {
      const tau = at(spec.tau)
      return figure(figures, spec.kind, 'probabilities', share).map((p) => (p >= 1 / tau ? 1 : tau * p))
    }
    case 'tiltedWeights': {
      const losses = figure(figures, spec.kind, 'losses')
      const temperature = at(spec.temperature)
      const largest = losses.reduce((most, loss) => Math.max(most, loss), Number.NEGATIVE_INFINITY)
      const tilted = losses.map((loss) => Math.exp((loss - largest) / temperature))
      const sum = tilted.reduce((total, value) => total + value, 0)
      return tilted.map((value) => (value * losses.length) / sum)
    }
    case 'lossThresholdWeights': {
      const threshold = at(spec.threshold)
      return figure(figures, spec.kind, 'losses').map((loss) => (loss < threshold ? 1 : 0))
    }
    case 'hardExampleWeights': {
      const losses = figure(figures, spec.kind, 'losses')
      const kept = wholeShare(at(spec.share), losses.length)
      return chosen(descending(losses).subarray(0, kept), losses.length, 1)
    }
    case 'smallLossWeights': {
      const losses = figure(figures, spec.kind, 'losses')
      const kept = wholeShare(1 - at(spec.forgetRate), losses.length)
      return chosen(ascending(losses).subarray(0, kept), losses.length, losses.length / kept)
    }
    case 'alignmentWeights': {
      const positive = figure(figures, spec.kind, 'alignments').map((value) => Math.max(0, value))
      const sum = positive.reduce((total, value) => total + value, 0)
      return sum === 0 ? positive : positive.map((value) => (value * positive.length) / sum)
    }
  }
}

function complementsOf(figures: SampleFigures, kind: string): number[] {
  const probabilities = figure(figures, kind, 'probabilities', share)
  if (figures.complements === undefined) return probabilities.map((p) => 1 - p)
  const complements = figure(figures, kind, 'complements', share)
  if (complements.length !== probabilities.length) {
    const expected = `${probabilities.length} numbers, as probabilities have`
    throw shapeError('figures.complements', expected, rendered(`${complements.length}`))
  }
  return complements
}

/** (1 − p)^γ − γ p (1 − p)^(γ−1) log p: at p = 1 its limit, and p log p is 0 at p = 0. */
function focalLossWeight(p: number, rest: number, gamma: number): number {
  if (gamma === 0) return 1
  if (rest === 0) return 0
  if (p === 0) return rest ** gamma
  const logP = rest < 0.5 ? Math.log1p(-rest) : Math.log(p)
  return rest ** gamma - gamma * p * rest ** (gamma - 1) * logP
}

// (1 − 0.9)·10 is below 1 in floating point, and means 1.
const roundingOfShares = 1e-9

function wholeShare(part: number, count: number): number {
  return Math.min(count, Math.max(1, Math.floor(part * count + roundingOfShares)))
}

function chosen(indices: Uint32Array, count: number, weight: number): number[] {
  const weights = new Array<number>(count).fill(0)
  for (const index of indices) weights[index] = weight
  return weights
}

/**
 * Co-teaching's forget rate: noiseRate^exponent · epoch / (epochs − 1) for the first `epochs` epochs, noiseRate from then
 * on.
 *
 * @param epoch from 0
 * @param options `noiseRate`; `epochs`, default 10; `exponent`, default 1
 * @throws KrylovError ERR_OPTION
 * @see Han et al. 2018 (arXiv 1804.06872), as its program computes it
 */
export function forgetRate(
  epoch: number,
  options: { readonly noiseRate: number; readonly epochs?: number; readonly exponent?: number },
): number {
  const name = 'forgetRate'
  checkKnownKeys(options, ['noiseRate', 'epochs', 'exponent'], `${name} options`)
  const at = integerInRange(epoch, `${name} epoch`, { min: 0 })
  const rate = numberInRange(options.noiseRate, `${name} noiseRate`, { min: 0, below: 1 })
  const epochs = integerInRange(options.epochs ?? 10, `${name} epochs`, { min: 1 })
  const exponent = numberInRange(options.exponent ?? 1, `${name} exponent`, { above: 0 })
  if (at >= epochs) return rate
  return epochs === 1 ? 0 : rate ** exponent * (at / (epochs - 1))
}
