import type { NativeStabilityOptions, NativeStabilityRecord, SpectrumReason } from '../internal/native.js'
import { checkKnownKeys, integerInRange, joinPath, numberInRange, oneOf } from '../internal/validate.js'

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

/** What `train` records after epochs, by name. */
export type RecordOptions = {
  /** How near the learning rate is to the edge of stability; `true`: with every default. */
  readonly stability?: boolean | StabilityRecordOptions
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
export type NativeRecord = { readonly stability?: NativeStabilityOptions }

/** Checks the option `record` of `train`. */
export function resolveRecord(value: unknown): NativeRecord {
  if (value === undefined) return {}
  checkKnownKeys(value, ['stability'], 'record')
  const { stability } = value
  if (stability === undefined || stability === false) return {}
  return { stability: resolveStability(stability === true ? {} : stability, 'record.stability') }
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
