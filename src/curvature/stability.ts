import type { MatrixLike } from '../data/matrix.js'
import { toMatrix } from '../data/matrix.js'
import type { Computation } from '../internal/computation.js'
import { run, runSync } from '../internal/computation.js'
import { describe, optionError, rendered, shapeError } from '../internal/errors.js'
import type {
  DType,
  NativeEigenpairs,
  NativeHutchinson,
  NativeNoise,
  NativeStability,
  SpectrumReason,
} from '../internal/native.js'
import { addon } from '../internal/native.js'
import { signalOption } from '../internal/task.js'
import { arrayOf, checkKnownKeys, finiteArray, integerInRange, numberInRange } from '../internal/validate.js'
import type { LinearOperator } from './linear-operator.js'
import { operatorInput, operatorPort } from './linear-operator.js'
import { LinearizedPoint } from './linearize.js'
import type { ProbeOptions, ProbesOption } from './probes.js'
import { computation, probeKeys, probeSignal, probesInput, subjectOf } from './probes.js'
import { beginEigenpairs } from './spectrum.js'
import type { SpectralEstimate } from './trace.js'
import { beginHutchinson } from './trace.js'

/*
 * Which learning rates a point of training survives. With λ the largest eigenvalue of the curvature H, tr H its trace
 * and η the learning rate; n samples, batches of B.
 */

// --- diagnostics by products -------------------------------------------------------------------------------------------

export type StabilityOptions = {
  /** η. */
  readonly learningRate: number
  /** B, for the test of SGD; default n, which is gradient descent. */
  readonly batchSize?: number
  /** n, of an operator; a point knows its own. */
  readonly sampleCount?: number
  /** ‖Hᵢ‖_F of every sample, n numbers: `point.curvatureNorms()`, which a point computes itself where B < n. */
  readonly sampleNorms?: ArrayLike<number>
  /** Of the largest eigenvalue, as in `eigenpairs`; default 1e-5. */
  readonly tolerance?: number
  /** Random vectors for the trace, as in `trace`; default 100 at most. */
  readonly probes?: number
  /** Relative standard error at which trace and norm are good enough; default 0.01. */
  readonly traceTolerance?: number
} & ProbeOptions

export type Stability = {
  readonly largestEigenvalue: number
  readonly trace: number
  readonly frobeniusNorm: number
  /** η λ / 2: above 1 gradient descent leaves a minimum with this curvature. */
  readonly sharpnessRatio: number
  /** η tr H / 2: above 1 SGD with batches of 1 and scalar outputs leaves it. For larger batches this is too strict. */
  readonly traceRatio: number
  /** p = (n − B) / (B (n − 1)): 0 for the whole set, 1 for single samples. */
  readonly noiseFactor: number
  /**
   * η/2 · [(1 − p) ‖H‖_F² + p · mean ‖Hᵢ‖_F²] / tr H: above 1 SGD with batches of B is unstable in mean square. Below 1
   * it may be stable. Undefined where B < n and the norms of the samples are not known, and where tr H is not positive
   * although H is not 0: such a point is no minimum.
   */
  readonly necessaryRatio?: number
  readonly reason: SpectrumReason
  readonly products: number
}

type StabilityCall = {
  readonly top: Computation<NativeEigenpairs>
  readonly moments: () => Computation<NativeHutchinson>
  readonly finish: (top: NativeEigenpairs, moments: NativeHutchinson) => Stability
}

const stabilityKeys = [
  'learningRate',
  'batchSize',
  'sampleCount',
  'sampleNorms',
  'tolerance',
  'probes',
  'traceTolerance',
  ...probeKeys,
]

function beginStability<D extends DType, H extends string = never>(
  subject: LinearOperator<D> | LinearizedPoint<D, H>,
  given: StabilityOptions,
): StabilityCall {
  checkKnownKeys(given, stabilityKeys, 'stability options')
  const options = given as StabilityOptions
  const point = subject instanceof LinearizedPoint ? subject : undefined
  const learningRate = numberInRange(options.learningRate, 'stability learningRate', { min: 0 })
  const known = options.sampleCount ?? point?.sampleCount
  const samples = known === undefined ? undefined : integerInRange(known, 'stability sampleCount', { min: 1 })
  if (point !== undefined && samples !== point.sampleCount) {
    throw optionError('stability sampleCount', `the point's own, ${point.sampleCount}`, samples)
  }
  if (samples === undefined && options.batchSize !== undefined) {
    throw optionError('stability sampleCount', 'a number of samples together with batchSize', rendered('none'))
  }
  const size =
    options.batchSize === undefined
      ? samples
      : integerInRange(options.batchSize, 'stability batchSize', { min: 1, max: samples ?? 1 })
  const noiseFactor = samples === undefined || size === undefined ? 0 : noiseFactorOf(samples, size)
  const own = options.sampleNorms ?? (noiseFactor > 0 ? point?.curvatureNorms() : undefined)
  const norms =
    own === undefined
      ? undefined
      : finiteArray(own, 'stability sampleNorms', { min: 0, ...(samples === undefined ? {} : { length: samples }) })
  const operator = (point === undefined ? subject : point.ggn()) as LinearOperator<D>
  const { signal, seed = 0 } = options
  const shared = signal === undefined ? { seed } : { seed, signal }
  const tolerance = options.tolerance ?? 1e-5
  const spread = {
    ...shared,
    distribution: options.distribution ?? 'signs',
    probes: integerInRange(options.probes ?? 100, 'stability probes', { min: 2 }),
    tolerance: numberInRange(options.traceTolerance ?? 0.01, 'stability traceTolerance', { min: 0 }),
  } as const
  return {
    top: beginEigenpairs(operator, { ...shared, tolerance }, 'stability'),
    moments: () => beginHutchinson(operator, spread, 'trace', 'stability'),
    finish: (top, moments) => stabilityOf(top, moments, learningRate, noiseFactor, norms),
  }
}

function noiseFactorOf(samples: number, batchSize: number): number {
  return samples === 1 ? 0 : (samples - batchSize) / (batchSize * (samples - 1))
}

function stabilityOf(
  top: NativeEigenpairs,
  { trace, square, reason, products }: NativeHutchinson,
  learningRate: number,
  noiseFactor: number,
  norms: readonly number[] | undefined,
): Stability {
  const largestEigenvalue = top.values[0] ?? Number.NaN
  const mean = norms === undefined ? 0 : norms.reduce((sum, norm) => sum + norm * norm, 0) / norms.length
  const moment = (1 - noiseFactor) * square + noiseFactor * mean
  // No curvature bounds no learning rate; curvature without a positive trace is that of no minimum.
  const bound = moment === 0 ? 0 : moment / trace
  const isKnown = (noiseFactor === 0 || norms !== undefined) && !(moment > 0 && trace <= 0)
  const reasons = [top.reason, reason]
  const worst = (['aborted', 'notFinite', 'maxProducts'] as const).find((one) => reasons.includes(one))
  return {
    largestEigenvalue,
    trace,
    frobeniusNorm: Math.sqrt(square),
    sharpnessRatio: (learningRate * largestEigenvalue) / 2,
    traceRatio: (learningRate * trace) / 2,
    noiseFactor,
    ...(isKnown ? { necessaryRatio: (learningRate * bound) / 2 } : {}),
    reason: worst ?? 'converged',
    products: top.products + products,
  }
}

/**
 * How near a learning rate is to the edge of stability: the largest eigenvalue by Lanczos, trace and Frobenius norm by
 * random vectors, and what these say about gradient descent and SGD near a minimum.
 *
 * @param subject curvature [n, n], symmetric: `point.hessian()`, `point.ggn()`; or a point, whose `ggn()` is taken
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE
 * @example const { sharpnessRatio } = await stability(point, { learningRate: 0.05, batchSize: 32 })
 *
 * Gradient descent: λ ≤ 2/η. Trace: Wu & Su 2023 (arXiv 2305.17490), for single samples. The necessary test is the
 * Rayleigh quotient at the identity of the exact condition of Mulayoff & Michaeli 2023 (arXiv 2306.07850).
 */
export async function stability<D extends DType, H extends string = never>(
  subject: LinearOperator<D> | LinearizedPoint<D, H>,
  options: StabilityOptions,
): Promise<Stability> {
  const { top, moments, finish } = beginStability(subject, options)
  const first = await run(top)
  return finish(first, await run(moments()))
}

/** `stability` on the caller's thread, to its end. */
export function stabilitySync<D extends DType, H extends string = never>(
  subject: LinearOperator<D> | LinearizedPoint<D, H>,
  options: StabilityOptions,
): Stability {
  const { top, moments, finish } = beginStability(subject, options)
  const first = runSync(top)
  return finish(first, runSync(moments()))
}

// --- exact thresholds of small problems ----------------------------------------------------------------------------------

export type StabilityThresholdOptions = {
  /** Batch sizes, 1 to n; default `[1]`. */
  readonly batchSizes?: readonly number[]
  /** Rows of one sample; default 1, which is a scalar output. */
  readonly rowsPerSample?: number
  readonly signal?: AbortSignal
}

export type StabilityThreshold = {
  readonly batchSize: number
  /** p = (n − B) / (B (n − 1)). */
  readonly noiseFactor: number
  /** SGD is stable in mean square exactly for learning rates up to this one. */
  readonly meanSquareThreshold: number
  /** Must be at most 2/η: [(1 − p) ‖H‖_F² + p · mean ‖Hᵢ‖_F²] / tr H. */
  readonly necessaryBound: number
}

export type StabilityThresholds = {
  /** Of H, the mean of Hᵢ. */
  readonly largestEigenvalue: number
  readonly trace: number
  readonly frobeniusNorm: number
  /** 2 / λ: gradient descent. */
  readonly meanThreshold: number
  /** 2 / tr H. */
  readonly traceThreshold: number
  /** One a batch size; fewer where it was aborted. */
  readonly cases: readonly StabilityThreshold[]
  readonly reason: SpectrumReason
}

function beginThresholds(rows: MatrixLike, given: StabilityThresholdOptions): Computation<NativeStability> {
  checkKnownKeys(given, ['batchSizes', 'rowsPerSample', 'signal'], 'stabilityThresholds options')
  const options = given as StabilityThresholdOptions
  const { data, shape } = toMatrix(rows, 'rows', { dtype: 'float64' })
  const [count, columns] = shape
  const perSample = integerInRange(options.rowsPerSample ?? 1, 'stabilityThresholds rowsPerSample', { min: 1 })
  const samples = count / perSample
  if (!Number.isInteger(samples) || samples === 0) {
    throw shapeError('rows', `a multiple of ${perSample} rows`, rendered(`${count}`))
  }
  const smaller = Math.min(count, columns)
  if (smaller > 1024) {
    throw shapeError('rows', 'at most 1024 rows or 1024 columns', rendered(`${describe(count)} and ${columns}`))
  }
  const batchSizes = arrayOf(
    options.batchSizes ?? [1],
    'stabilityThresholds batchSizes',
    (size, path) => integerInRange(size, path, { min: 1, max: samples }),
    { minLength: 1, maxLength: 65536 },
  )
  const signal = signalOption(options.signal, 'stabilityThresholds signal')
  const values = data instanceof Float64Array ? data : Float64Array.from(data)
  const native = addon().stability(values, samples, perSample, columns, batchSizes)
  return { native, sources: [], place: 'background', signal }
}

/**
 * The exact condition for a small problem at a minimum that fits every sample: with Hᵢ ⪰ 0 the curvature of sample i, H
 * their mean, batches of B out of n without replacement and p = (n − B) / (B (n − 1)), SGD is stable in mean square
 * exactly for η ≤ 2 / λ_max(C†D), C = ½(H⊗I + I⊗H), D = (1 − p) H⊗H + p · mean Hᵢ⊗Hᵢ.
 *
 * @param rows [n · rowsPerSample, P]: Hᵢ = Σ r rᵀ over the rows of sample i; `point.curvatureRows()`. For a scalar output
 *   and the loss ½e² they are the outputs' gradients. At most 1024 rows or 1024 columns.
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { cases } = await stabilityThresholds(point.curvatureRows(), { batchSizes: [1, 8, 32] })
 *
 * Mulayoff & Michaeli 2023 (arXiv 2306.07850), theorem 3; computed without Kronecker products.
 */
export async function stabilityThresholds(
  rows: MatrixLike,
  options: StabilityThresholdOptions = {},
): Promise<StabilityThresholds> {
  return run(beginThresholds(rows, options))
}

/** `stabilityThresholds` on the caller's thread, to its end. */
export function stabilityThresholdsSync(
  rows: MatrixLike,
  options: StabilityThresholdOptions = {},
): StabilityThresholds {
  return runSync(beginThresholds(rows, options))
}

// --- batch size and learning rate ----------------------------------------------------------------------------------------

export type CurvatureNoiseOptions<D extends DType = DType> = {
  /** Number of random vectors, or your own; default 10. */
  readonly probes?: ProbesOption<D>
} & ProbeOptions

function beginNoise<D extends DType>(
  operator: LinearOperator<D>,
  batches: readonly LinearOperator<D>[],
  given: CurvatureNoiseOptions<D>,
): Computation<NativeNoise> {
  const subject = subjectOf(operator)
  checkKnownKeys(given, ['probes', ...probeKeys], 'curvatureNoise options')
  const options = given as CurvatureNoiseOptions<D>
  const { dtype, shape } = subject.matrix
  const parts = arrayOf(batches, 'batches', (value, name) => operatorInput<D>(value, name, { dtype, size: shape[0] }), {
    minLength: 1,
    maxLength: 65536,
  })
  const { count, probes } = probesInput(options.probes, 10, options, subject, 'curvatureNoise')
  const ports = parts.map((part, index) => operatorPort(part, `batches[${index}]`, subject.sources))
  const signal = probeSignal(options, 'curvatureNoise')
  const native = addon().curvatureNoise(subject.port, dtype, probes, { count }, ports)
  return computation(subject, native, signal, parts)
}

function noiseOf({ mean: value, standardError, samples, reason, products }: NativeNoise): SpectralEstimate {
  return { value, standardError, samples, reason, products }
}

/**
 * How much the curvature of batches differs from that of the whole set: s² = mean ‖(H_B − H) z‖² / P over random z and
 * the batches given, an estimate of E‖H_B − H‖_F² / P. `batchScaling` makes predictions from it.
 *
 * @param operator H of the whole set
 * @param batches H_B of random batches, all of one size
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { value } = await curvatureNoise(whole.ggn(), batches.map((batch) => batch.ggn()))
 */
export async function curvatureNoise<D extends DType>(
  operator: LinearOperator<D>,
  batches: readonly LinearOperator<D>[],
  options: CurvatureNoiseOptions<D> = {},
): Promise<SpectralEstimate> {
  return noiseOf(await run(beginNoise(operator, batches, options)))
}

/** `curvatureNoise` on the caller's thread, to its end. */
export function curvatureNoiseSync<D extends DType>(
  operator: LinearOperator<D>,
  batches: readonly LinearOperator<D>[],
  options: CurvatureNoiseOptions<D> = {},
): SpectralEstimate {
  return noiseOf(runSync(beginNoise(operator, batches, options)))
}
