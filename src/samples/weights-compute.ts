import type { MatrixLike } from '../data/matrix.js'
import { toMatrix } from '../data/matrix.js'
import type { ClassesLike } from '../data/targets.js'
import { toTargets } from '../data/targets.js'
import { optionError, rendered, shapeError } from '../internal/errors.js'
import type { FloatArray, NativeWeightFigures } from '../internal/native.js'
import { addon } from '../internal/native.js'
import type { NumberRange } from '../internal/validate.js'
import {
  atPath,
  checkKnownKeys,
  finiteArray,
  integerInRange,
  joinPath,
  numberInRange,
  oneOf,
  record,
} from '../internal/validate.js'
import type { SampleWeights, SampleWeightsKind, SampleWeightsOption } from './weights.js'
import { resolveWeights, sampleWeightsKinds, weightsToNative } from './weights.js'

/** What a rule may look at, one number a sample; only what it needs must be there. */
export type SampleFigures = {
  /** ℓ. */
  readonly losses?: FloatArray | readonly number[]
  /** p, of the sample's own label. */
  readonly probabilities?: FloatArray | readonly number[]
  /** 1 − p with the digits that p near 1 does not have; default 1 − p. */
  readonly complements?: FloatArray | readonly number[]
  /** Largest probability of any class, for `confidenceWeights`. */
  readonly confidences?: FloatArray | readonly number[]
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
  /** Largest probability of any class. */
  readonly confidences: Float64Array<ArrayBuffer>
}

export type ScheduleTime = {
  /** Updates so far, for options that are schedules; default 0. */
  readonly t?: number
  /** Updates that schedules without a length of their own last. */
  readonly totalSteps?: number
}

/**
 * Probability of the label, its complement, the cross-entropy and the largest probability of each sample, from logits, in
 * float64. The complement is the sum of the other classes' probabilities, so that it keeps its digits where p is 1 to the
 * last bit.
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
  const figures = addon().labelFigures(data instanceof Float64Array ? data : Float64Array.from(data), width, classes)
  return figures as LabelFigures
}

const figureKeys = ['losses', 'probabilities', 'complements', 'confidences', 'alignments'] as const

function rangeOf(kind: string, key: (typeof figureKeys)[number]): NumberRange {
  if (key === 'alignments') return {}
  if (key === 'losses') return kind === 'inverseLossWeights' ? { min: 0 } : {}
  return { min: 0, max: 1 }
}

function figure(figures: SampleFigures, kind: string, key: (typeof figureKeys)[number]): Float64Array {
  const value = figures[key]
  if (value === undefined) throw optionError(`figures.${key}`, `an array of numbers, which ${kind} needs`, value)
  return Float64Array.from(finiteArray(value, `figures.${key}`, rangeOf(kind, key)))
}

/** What a rule looks at, of the figures. */
function figuresFor(kind: SampleWeightsKind, figures: SampleFigures): NativeWeightFigures {
  const none = { losses: null, probabilities: null, complements: null, confidences: null, alignments: null }
  switch (kind) {
    case 'focalWeights':
    case 'focalLossWeights': {
      const probabilities = figure(figures, kind, 'probabilities')
      if (figures.complements === undefined) return { ...none, probabilities }
      const complements = figure(figures, kind, 'complements')
      if (complements.length !== probabilities.length) {
        const expected = `${probabilities.length} numbers, as probabilities have`
        throw shapeError('figures.complements', expected, rendered(`${complements.length}`))
      }
      return { ...none, probabilities, complements }
    }
    case 'generalizedCrossEntropyWeights':
    case 'truncatedCrossEntropyWeights':
    case 'huberizedCrossEntropyWeights':
      return { ...none, probabilities: figure(figures, kind, 'probabilities') }
    case 'confidenceWeights':
      return { ...none, confidences: figure(figures, kind, 'confidences') }
    case 'alignmentWeights':
      return { ...none, alignments: figure(figures, kind, 'alignments') }
    case 'inverseLossWeights':
    case 'tiltedWeights':
    case 'lossThresholdWeights':
    case 'hardExampleWeights':
    case 'smallLossWeights':
      return { ...none, losses: figure(figures, kind, 'losses') }
  }
}

/** A rule as data, filled in. */
export function resolveRule(value: unknown, path: string): SampleWeights {
  const { kind, ...options } = record(value, path)
  const known = oneOf<SampleWeightsKind>(kind, joinPath(path, 'kind'), sampleWeightsKinds)
  return atPath(path, () => resolveWeights(known, options))
}

/**
 * The weights that a rule gives to samples; `sampleWeights` of data for `createTrainer` and others. `train` takes a rule as
 * its option `weights`.
 *
 * @param figures what the rule needs of losses, probabilities and the others, such as `labelFigures`
 * @param time where options are schedules
 * @throws KrylovError ERR_OPTION, also where `normalize: 'mean'` finds all weights 0; ERR_SHAPE
 * @example computeSampleWeights(focalWeights({ gamma: 2 }), labelFigures(model.predict(inputs), labels))
 */
export function computeSampleWeights(
  rule: SampleWeightsOption,
  figures: SampleFigures,
  time: ScheduleTime = {},
): Float64Array<ArrayBuffer> {
  const spec = resolveRule(rule, 'rule')
  checkKnownKeys(figures, figureKeys, 'figures', { path: 'figures' })
  checkKnownKeys(time, ['t', 'totalSteps'], 'computeSampleWeights options')
  const given = time as ScheduleTime
  const t = integerInRange(given.t ?? 0, 'computeSampleWeights t', { min: 0 })
  const totalSteps =
    given.totalSteps === undefined
      ? undefined
      : integerInRange(given.totalSteps, 'computeSampleWeights totalSteps', { min: 1 })
  const looked = figuresFor(spec.kind, figures as SampleFigures)
  const weights = addon().sampleWeights(weightsToNative(spec, totalSteps), t, looked)
  if (weights === null) throw optionError(`${spec.kind} normalize`, "'none' where all weights are 0", 'mean')
  return weights as Float64Array<ArrayBuffer>
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
