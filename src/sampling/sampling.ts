import { optionError, shapeError } from '../internal/errors.js'
import type { NativeSampling } from '../internal/native.js'
import { checkKnownKeys, joinPath, oneOf, record } from '../internal/validate.js'
import type { OptimizerSpec } from '../optimizers/registry.js'
import { isMinimizer } from '../optimizers/registry.js'
import type { ImportanceSampling, ImportanceSamplingOptions } from './importance.js'
import { importanceSampling } from './importance.js'
import type { PoissonSampling, ReplacementSampling, ShuffledSampling } from './uniform.js'
import { poissonSampling, replacementSampling, shuffledSampling } from './uniform.js'
import type { HistorySampling, HistorySamplingOptions, WeightedSampling, WeightedSamplingOptions } from './weighted.js'
import { historySampling, weightedSampling } from './weighted.js'

/** How the batches of a run are drawn. */
export type Sampling =
  | ShuffledSampling
  | ReplacementSampling
  | PoissonSampling
  | WeightedSampling
  | ImportanceSampling
  | HistorySampling
/** The same with defaults left out. */
export type SamplingOption =
  | ShuffledSampling
  | ReplacementSampling
  | PoissonSampling
  | ({ readonly kind: 'weighted' } & WeightedSamplingOptions)
  | ({ readonly kind: 'importance' } & ImportanceSamplingOptions)
  | ({ readonly kind: 'history' } & HistorySamplingOptions)

/** Kinds of sampling. */
export const samplingKinds = ['shuffled', 'replacement', 'poisson', 'weighted', 'importance', 'history'] as const

/** Checks the option `sampling` of training. */
export function resolveSampling(value: unknown, optimizer: OptimizerSpec, shuffle: unknown): Sampling | null {
  if (value === undefined) return null
  const path = 'sampling'
  const { kind: given, ...options } = record(value, path)
  const kind = oneOf(given, joinPath(path, 'kind'), samplingKinds)
  if (kind !== 'shuffled' && isMinimizer(optimizer.kind)) {
    throw optionError(
      path,
      `shuffled with ${optimizer.kind}, which looks at the function more than once an update`,
      kind,
    )
  }
  if (shuffle === false) throw optionError('shuffle', 'none beside sampling, which says how batches are drawn', shuffle)
  switch (kind) {
    case 'poisson':
      return poissonSampling(options)
    case 'weighted':
      return weightedSampling(options as WeightedSamplingOptions)
    case 'importance':
      return importanceSampling(options)
    case 'history':
      return historySampling(options)
    default:
      checkKnownKeys(options, [], path)
      return kind === 'shuffled' ? shuffledSampling() : replacementSampling()
  }
}

/** Into the core's form; null: shuffled. */
export function samplingToNative(sampling: Sampling | null, rows: number): NativeSampling | null {
  if (sampling === null) return null
  switch (sampling.kind) {
    case 'poisson':
      return { kind: 'poisson', rate: sampling.rate ?? 0 }
    case 'weighted': {
      const { probabilities, unbiased, kind } = sampling
      if (probabilities.length !== rows) {
        throw shapeError('sampling.probabilities', `${rows} numbers, one for each sample`, probabilities)
      }
      return { kind, probabilities: Float64Array.from(probabilities), unbiased }
    }
    case 'importance': {
      const { smoothing, startThreshold, ...rest } = sampling
      const isFraction = typeof smoothing !== 'number'
      return {
        ...rest,
        smoothing: isFraction ? 0 : smoothing,
        smoothingFraction: isFraction ? smoothing.fraction : 0,
        startThreshold: startThreshold === 'auto' ? null : startThreshold,
      }
    }
    default:
      return sampling
  }
}

/** Updates of an epoch: at most, for Poisson's, whose empty batches are none. */
export function stepsOfEpoch(sampling: Sampling | null, rows: number, batchSize: number): number {
  if (sampling?.kind !== 'poisson') return Math.ceil(rows / batchSize)
  return Math.max(1, Math.round(1 / (sampling.rate ?? batchSize / rows)))
}
