import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { floatArray } from '../internal/arrays.js'
import type { Computation } from '../internal/computation.js'
import { run, runSync } from '../internal/computation.js'
import { optionError, rendered } from '../internal/errors.js'
import type {
  DType,
  NativeHutchinson,
  NativeHutchPlusPlus,
  NativeSpectralNorm,
  SpectrumReason,
} from '../internal/native.js'
import { addon } from '../internal/native.js'
import { checkKnownKeys, integerInRange, numberInRange, oneOf } from '../internal/validate.js'
import type { LinearOperator } from './linear-operator.js'
import { isTransposable } from './linear-operator.js'
import type { ProbeOptions, ProbesOption } from './probes.js'
import { computation, probeKeys, probeSignal, probesInput, subjectOf } from './probes.js'

// --- what samples of random vectors estimate --------------------------------------------------------------------------

/** Options of the estimators that average over random vectors, one product each. */
export type HutchinsonOptions<D extends DType = DType> = {
  /** Largest number of random vectors, default 100; or your own, which are all used unless a tolerance is given. */
  readonly probes?: ProbesOption<D>
  /** Random vectors before the tolerance is looked at; default 10. */
  readonly minProbes?: number
  /** Stops when the standard error is at most this times the estimate; 0: uses all. Default 0.01. */
  readonly tolerance?: number
} & ProbeOptions

/** Options of `trace` with `method: 'hutch++'`. */
export type HutchPlusPlusOptions<D extends DType = DType> = {
  readonly method: 'hutch++'
  /** Products, a third of them for each of its stages; at least 3, default 90. */
  readonly products?: number
  /** Your own vectors instead of `products`: an even number, first those of the sketch, then those of the rest. */
  readonly probes?: readonly TypedArrayInput<D>[]
} & ProbeOptions

export type TraceOptions<D extends DType = DType> =
  | ({ readonly method?: 'hutchinson' } & HutchinsonOptions<D>)
  | HutchPlusPlusOptions<D>

/** An estimate from random samples. */
export type SpectralEstimate = {
  readonly value: number
  /** Of `value`: the root of its estimated variance. NaN for fewer than two samples. */
  readonly standardError: number
  /** Their mean is the estimate, or its random part. */
  readonly samples: Float64Array
  /** `'converged'`: to the tolerance. `'maxProducts'`: all probes were used. */
  readonly reason: SpectrumReason
  readonly products: number
}

export type DiagonalEstimate<D extends DType = DType> = {
  /** n numbers; NaN where no probe was finished. */
  readonly diagonal: TypedArrayOf<D>
  /** Of the whole vector: the estimated 2-norm of its error. NaN for fewer than two probes. */
  readonly standardError: number
  readonly reason: SpectrumReason
  readonly products: number
}

type Watch = 'trace' | 'frobenius' | 'diagonal'

/** @internal */
export function beginHutchinson<D extends DType>(
  operator: LinearOperator<D>,
  given: HutchinsonOptions<D>,
  watch: Watch,
  method: string,
): Computation<NativeHutchinson> {
  const subject = subjectOf(operator)
  const keys = ['probes', 'minProbes', 'tolerance', ...probeKeys, ...(watch === 'trace' ? ['method'] : [])]
  checkKnownKeys(given, keys, `${method} options`)
  const options = given as HutchinsonOptions<D>
  const { count, isGiven, probes } = probesInput(options.probes, 100, options, subject, method)
  const numbers = {
    watch,
    maxProbes: count,
    minProbes: integerInRange(options.minProbes ?? 10, `${method} minProbes`, { min: 2 }),
    tolerance: numberInRange(options.tolerance ?? (isGiven ? 0 : 0.01), `${method} tolerance`, { min: 0 }),
  }
  if (watch === 'diagonal' && probes.kind === 'normal') {
    throw optionError('diagonal distribution', "'signs', whose squares are 1", probes.kind)
  }
  const signal = probeSignal(options, method)
  return computation(subject, addon().hutchinson(subject.port, subject.matrix.dtype, probes, numbers), signal)
}

function estimateOf({ trace: value, traceError, traces, reason, products }: NativeHutchinson): SpectralEstimate {
  return { value, standardError: traceError, samples: traces, reason, products }
}

function beginHutchPlusPlus<D extends DType>(
  operator: LinearOperator<D>,
  given: HutchPlusPlusOptions<D>,
): Computation<NativeHutchPlusPlus> {
  const subject = subjectOf(operator)
  checkKnownKeys(given, ['method', 'products', 'probes', ...probeKeys], 'trace options')
  const options = given as HutchPlusPlusOptions<D>
  const own = options.probes
  if (own !== undefined && (!Array.isArray(own) || own.length === 0 || own.length % 2 !== 0)) {
    throw optionError('trace probes', 'an even number of vectors', own)
  }
  if (own !== undefined && options.products !== undefined) {
    throw optionError('trace products', 'none together with probes', options.products)
  }
  const { count, probes } = probesInput(own, 1, options, subject, 'trace')
  const products =
    own === undefined ? integerInRange(options.products ?? 90, 'trace products', { min: 3, max: 3e6 }) : (count / 2) * 3
  const signal = probeSignal(options, 'trace')
  return computation(subject, addon().hutchPlusPlus(subject.port, subject.matrix.dtype, probes, { products }), signal)
}

function totalOf({ trace: value, standardError, samples, reason, products }: NativeHutchPlusPlus): SpectralEstimate {
  return { value, standardError, samples, reason, products }
}

function isHutchPlusPlus<D extends DType>(options: TraceOptions<D>): options is HutchPlusPlusOptions<D> {
  const method: unknown = (options as { method?: unknown } | null | undefined)?.method
  return oneOf(method ?? 'hutchinson', 'trace method', ['hutchinson', 'hutch++']) === 'hutch++'
}

/**
 * The trace of a square B.
 *
 * - `'hutchinson'` (default): the mean of zᵀBz over random z. With signs its variance is 2 Σ_{i≠j} B_ij² a probe.
 * - `'hutch++'`: exact on the range of a sketch, and the mean of samples on what is left. Better where few eigenvalues
 *   make up most of a positive semidefinite B; it keeps a third as many vectors as it makes products.
 *
 * @param operator [n, n]; symmetric for hutch++
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { value, standardError } = await trace(point.ggn(), { tolerance: 0.02 })
 *
 * Hutchinson 1989; Meyer, Musco, Musco & Woodruff 2021 (arXiv 2010.09649).
 */
export async function trace<D extends DType>(
  operator: LinearOperator<D>,
  options: TraceOptions<D> = {},
): Promise<SpectralEstimate> {
  if (isHutchPlusPlus(options)) return totalOf(await run(beginHutchPlusPlus(operator, options)))
  return estimateOf(await run(beginHutchinson(operator, options, 'trace', 'trace')))
}

/** `trace` on the caller's thread, to its end. */
export function traceSync<D extends DType>(
  operator: LinearOperator<D>,
  options: TraceOptions<D> = {},
): SpectralEstimate {
  if (isHutchPlusPlus(options)) return totalOf(runSync(beginHutchPlusPlus(operator, options)))
  return estimateOf(runSync(beginHutchinson(operator, options, 'trace', 'trace')))
}

// --- diagonal and norms ------------------------------------------------------------------------------------------------

function diagonalOf<D extends DType>(native: NativeHutchinson, operator: LinearOperator<D>): DiagonalEstimate<D> {
  const { diagonal, diagonalError: standardError, reason, products } = native
  const own = diagonal ?? floatArray(operator.dtype, operator.shape[0]).fill(NaN)
  return { diagonal: own as TypedArrayOf<D>, standardError, reason, products }
}

/**
 * The diagonal of a square B: the mean of z ∘ Bz over random signs z. The variance of entry i is Σ_{j≠i} B_ij² a probe.
 *
 * @param operator [n, n]
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { diagonal: d } = await diagonal(point.hessian(), { probes: 200 })
 *
 * Bekas, Kokiopoulou & Saad 2007.
 */
export async function diagonal<D extends DType>(
  operator: LinearOperator<D>,
  options: HutchinsonOptions<D> = {},
): Promise<DiagonalEstimate<D>> {
  return diagonalOf(await run(beginHutchinson(operator, options, 'diagonal', 'diagonal')), operator)
}

/** `diagonal` on the caller's thread, to its end. */
export function diagonalSync<D extends DType>(
  operator: LinearOperator<D>,
  options: HutchinsonOptions<D> = {},
): DiagonalEstimate<D> {
  return diagonalOf(runSync(beginHutchinson(operator, options, 'diagonal', 'diagonal')), operator)
}

/** The root of a mean of squares; the error of the root is that of the square over twice the root. */
function normOf({ square, squareError, squares, reason, products }: NativeHutchinson): SpectralEstimate {
  const value = Math.sqrt(square)
  const standardError = value === 0 ? squareError : squareError / (2 * value)
  return { value, standardError, samples: squares, reason, products }
}

/**
 * ‖B‖_F, the root of the mean of ‖Bz‖² over random z; `samples` are these squares.
 *
 * @param operator [n, n]
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { value } = await frobeniusNorm(point.ggn())
 */
export async function frobeniusNorm<D extends DType>(
  operator: LinearOperator<D>,
  options: HutchinsonOptions<D> = {},
): Promise<SpectralEstimate> {
  return normOf(await run(beginHutchinson(operator, options, 'frobenius', 'frobeniusNorm')))
}

/** `frobeniusNorm` on the caller's thread, to its end. */
export function frobeniusNormSync<D extends DType>(
  operator: LinearOperator<D>,
  options: HutchinsonOptions<D> = {},
): SpectralEstimate {
  return normOf(runSync(beginHutchinson(operator, options, 'frobenius', 'frobeniusNorm')))
}

export type SpectralNormOptions = {
  /** Stops when the norm changes by at most this, relatively, in one iteration; default 1e-6. */
  readonly tolerance?: number
  /** Two an iteration; default 2000. */
  readonly maxProducts?: number
} & Pick<ProbeOptions, 'seed' | 'signal'>

export type SpectralNorm<D extends DType = DType> = {
  /** The largest singular value; NaN, as the vectors are, where the method ended before its first product. */
  readonly value: number
  /** Unit singular vectors: A right = value · left. */
  readonly left: TypedArrayOf<D>
  readonly right: TypedArrayOf<D>
  readonly iterations: number
  readonly reason: SpectrumReason
}

function beginSpectralNorm<D extends DType>(
  operator: LinearOperator<D>,
  given: SpectralNormOptions,
): Computation<NativeSpectralNorm> {
  const subject = subjectOf(operator, false)
  if (!isTransposable(subject.matrix)) {
    throw optionError('operator', 'products with its transpose (matvecTransposed)', rendered('none'))
  }
  checkKnownKeys(given, ['tolerance', 'maxProducts', 'seed', 'signal'], 'spectralNorm options')
  const options = given as SpectralNormOptions
  const { probes } = probesInput(undefined, 1, { seed: options.seed ?? 0 }, subject, 'spectralNorm')
  const products = integerInRange(options.maxProducts ?? 2000, 'spectralNorm maxProducts', { min: 2 })
  const numbers = {
    tolerance: numberInRange(options.tolerance ?? 1e-6, 'spectralNorm tolerance', { min: 0 }),
    maxIterations: Math.floor(products / 2),
  }
  const signal = probeSignal(options, 'spectralNorm')
  return computation(subject, addon().spectralNorm(subject.port, subject.matrix.dtype, probes, numbers), signal)
}

function spectralNormOf<D extends DType>(native: NativeSpectralNorm): SpectralNorm<D> {
  const { norm: value, left, right, iterations, reason } = native
  return { value, left: left as TypedArrayOf<D>, right: right as TypedArrayOf<D>, iterations, reason }
}

/**
 * The largest singular value of any A, as the weight of a layer: power iteration u = Av/‖Av‖, v = Aᵀu/‖Aᵀu‖.
 *
 * @param operator [rows, columns] with `matvecTransposed`, or symmetric
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE
 * @example const { value } = await spectralNorm(denseOperator({ data: model.views()['layers.0.weight'], shape: [128, 784] }))
 */
export async function spectralNorm<D extends DType>(
  operator: LinearOperator<D>,
  options: SpectralNormOptions = {},
): Promise<SpectralNorm<D>> {
  return spectralNormOf<D>(await run(beginSpectralNorm(operator, options)))
}

/** `spectralNorm` on the caller's thread, to its end. */
export function spectralNormSync<D extends DType>(
  operator: LinearOperator<D>,
  options: SpectralNormOptions = {},
): SpectralNorm<D> {
  return spectralNormOf<D>(runSync(beginSpectralNorm(operator, options)))
}
