import { optionError } from '../internal/errors.js'
import type {
  NativeGradientSummary,
  NativeStabilityOptions,
  NativeStabilityRecord,
  NativeTrainOptions,
  SpectrumReason,
} from '../internal/native.js'
import { checkKnownKeys, integerInRange, joinPath, numberInRange, oneOf } from '../internal/validate.js'
import type { OptimizerSpec } from '../optimizers/registry.js'
import { isMinimizer } from '../optimizers/registry.js'

/*
 * What a run records besides losses and metrics, by name.
 */

/** The curvature H of the training loss after every n-th epoch, at the parameters of its end. */
export type StabilityRecordOptions = {
  /** Epochs; default 1. */
  readonly every?: number
  /** Training rows that H is taken from, at most, drawn once by the seed; default 1000. */
  readonly samples?: number
  /** Default `ggn`, which agrees with the Hessian where the samples are fitted. */
  readonly curvature?: 'ggn' | 'hessian'
  /** Of the largest eigenvalue λ: ‖Hx − λx‖ at most this times λ; default 1e-3. The error of λ is of its square's order. */
  readonly tolerance?: number
  /** Products for λ, at most; default 100. */
  readonly iterations?: number
  /** Random vectors for the trace, a product each; default 20. */
  readonly probes?: number
}

/** Gradients of the batch and of its samples, in every n-th update. */
export type GradientRecordOptions = {
  /** Updates; default 1: every one. */
  readonly every?: number
  /** Weight of the past in `averagedNoiseScale`, at least 0 and below 1; default 0.99. */
  readonly beta?: number
}

/** What `train` records, by name. */
export type RecordOptions = {
  /** After epochs: how near the learning rate is to the edge of stability; `true`: with every default. */
  readonly stability?: boolean | StabilityRecordOptions
  /** In updates: norms, variance, noise scale and cosines of gradients; `true`: with every default. */
  readonly gradients?: boolean | GradientRecordOptions
}

/** A layer's part of what `GradientRecord` has. */
export type LayerGradientRecord = {
  /** What the names of its tensors begin with: `layers.0`. */
  readonly name: string
  readonly norm: number
  readonly meanSampleNorm: number
  readonly largestSampleNorm: number
}

/**
 * Gradients of one update's batch of N samples. gᵢ is that of a sample's own weighted loss as it enters the batch's, after
 * the factors of `clipping` and of weights; ḡ is their mean, G the batch's gradient, which is ḡ, or N ḡ for a loss that is
 * a sum. Neither has l2 in it, nor what later stages make of G.
 */
export type GradientRecord = {
  /** The update that was measured: the newest that is a multiple of `every`. */
  readonly update: number
  /** N */
  readonly samples: number
  /** ‖G‖ */
  readonly norm: number
  /** Mean of ‖gᵢ‖. */
  readonly meanSampleNorm: number
  readonly largestSampleNorm: number
  /** Trace of the unbiased covariance of gᵢ, Σ ‖gᵢ − ḡ‖² / (N − 1); NaN for one sample. */
  readonly variance: number
  /** Unbiased estimate of the true gradient's square, (N² ‖ḡ‖² − Σ ‖gᵢ‖²) / (N (N − 1)); may be negative. NaN for one sample. */
  readonly squaredGradient: number
  /** `variance` / `squaredGradient`; NaN where that is not above 0. */
  readonly noiseScale: number
  /** The ratio of their moving averages over the measured updates; NaN where that of `squaredGradient` is not above 0. */
  readonly averagedNoiseScale: number
  /** Mean cosine of gᵢ and gⱼ over all pairs, each weighted by ‖gᵢ‖ ‖gⱼ‖; NaN for one sample. */
  readonly meanCosine: number
  /** Cosine of G with that of the update before; NaN for the first. */
  readonly stepCosine: number
  readonly layers: readonly LayerGradientRecord[]
}

/**
 * Curvature H at the end of an epoch, against the learning rate η of its last update. With an optimizer that has
 * divided by curvature itself (`minimizerKinds`) there is nothing to hold it against: no rate, threshold or ratios.
 */
export type StabilityRecord = {
  readonly largestEigenvalue: number
  /** ‖Hx − λx‖ for the unit vector x found: λ is an eigenvalue to this. */
  readonly residual: number
  readonly trace: number
  /** Standard error of `trace`. */
  readonly traceError: number
  /** η */
  readonly learningRate?: number
  /** 2/η: λ beyond it, and gradient descent leaves a minimum with this curvature. */
  readonly threshold?: number
  /** η λ / 2 */
  readonly sharpnessRatio?: number
  /** η tr H / 2 */
  readonly traceRatio?: number
  /** `converged`; `maxProducts`: λ not to its tolerance; `notFinite`: a product was NaN or infinite, and so are numbers. */
  readonly reason: SpectrumReason
  /** Rows that H was taken from. */
  readonly samples: number
  /** Products that λ took. */
  readonly iterations: number
  /** Products that the trace took. */
  readonly probes: number
  /** Of the random vectors: `eigenpairs` and `trace` of the same H with this seed take the same ones. */
  readonly seed: number
  /** Compute seconds. */
  readonly seconds: number
}

const stabilityKeys = ['every', 'samples', 'curvature', 'tolerance', 'iterations', 'probes'] as const

/** What of the native options the record takes. */
export type NativeRecord = Pick<NativeTrainOptions, 'stability' | 'gradients'>

/** Checks the option `record` of `train`. */
export function resolveRecord(value: unknown, { kind }: Pick<OptimizerSpec, 'kind'>): NativeRecord {
  if (value === undefined) return {}
  checkKnownKeys(value, ['stability', 'gradients'], 'record')
  const { stability, gradients } = value
  const wanted = (part: unknown): boolean => part !== undefined && part !== false
  if (wanted(gradients) && isMinimizer(kind)) {
    throw optionError(
      'record.gradients',
      `none with ${kind}, which looks at the function more than once an update`,
      kind,
    )
  }
  return {
    ...(wanted(stability)
      ? { stability: resolveStability(stability === true ? {} : stability, 'record.stability') }
      : {}),
    ...(wanted(gradients)
      ? { gradients: resolveGradients(gradients === true ? {} : gradients, 'record.gradients') }
      : {}),
  }
}

function resolveGradients(value: unknown, path: string): NonNullable<NativeRecord['gradients']> {
  checkKnownKeys(value, ['every', 'beta'], path)
  return {
    every: integerInRange(value.every ?? 1, joinPath(path, 'every'), { min: 1, max: 2 ** 31 - 1 }),
    beta: numberInRange(value.beta ?? 0.99, joinPath(path, 'beta'), { min: 0, below: 1 }),
  }
}

/** What a record of a step or an epoch tells of gradients, where something was measured. */
export function toGradientRecord(native: NativeGradientSummary | null): { gradients?: GradientRecord } {
  return native === null ? {} : { gradients: native }
}

function resolveStability(value: unknown, path: string): NativeStabilityOptions {
  checkKnownKeys(value, stabilityKeys, path)
  const whole = (key: 'every' | 'samples' | 'iterations' | 'probes', fallback: number, min: number): number =>
    integerInRange(value[key] ?? fallback, joinPath(path, key), { min, max: 2 ** 31 - 1 })
  return {
    every: whole('every', 1, 1),
    samples: whole('samples', 1000, 1),
    curvature: oneOf(value.curvature ?? 'ggn', joinPath(path, 'curvature'), ['ggn', 'hessian']),
    tolerance: numberInRange(value.tolerance ?? 1e-3, joinPath(path, 'tolerance'), { min: 0 }),
    iterations: whole('iterations', 100, 1),
    probes: whole('probes', 20, 2),
  }
}

/** @param learningRate η, where the optimizer's update is in proportion to it and knows nothing of curvature */
export function toStabilityRecord(native: NativeStabilityRecord, learningRate: number | undefined): StabilityRecord {
  const { largestEigenvalue, residual, trace, traceError, ...rest } = native
  return {
    largestEigenvalue,
    residual,
    trace,
    traceError,
    ...(learningRate === undefined
      ? {}
      : {
          learningRate,
          threshold: 2 / learningRate,
          sharpnessRatio: (learningRate * largestEigenvalue) / 2,
          traceRatio: (learningRate * trace) / 2,
        }),
    ...rest,
  }
}
