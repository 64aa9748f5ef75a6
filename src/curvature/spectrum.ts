import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { floatArray } from '../internal/arrays.js'
import type { Computation } from '../internal/computation.js'
import { run, runSync } from '../internal/computation.js'
import { optionError } from '../internal/errors.js'
import type { DType, NativeEigenpairs, NativeQuadrature, SpectrumReason } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { boolean, checkKnownKeys, finiteArray, integerInRange, numberInRange, oneOf } from '../internal/validate.js'
import type { LinearOperator } from './linear-operator.js'
import type { FloatMatrix } from './linearize.js'
import type { ProbeOptions, ProbesOption } from './probes.js'
import { computation, givenVector, probeKeys, probeSignal, probesInput, subjectOf } from './probes.js'

export type { SpectrumReason } from '../internal/native.js'

// --- eigenpairs ------------------------------------------------------------------------------------------------------

export type EigenpairsOptions<D extends DType = DType> = {
  /** Eigenpairs wanted; default 1. */
  readonly count?: number
  /** Which end of the spectrum, or the largest |λ|; default `'largest'`. */
  readonly which?: 'largest' | 'smallest' | 'magnitude'
  /** ‖Bx − λx‖ at most this times the largest |λ|; default 1e-5. The error of λ is of the order of its square. */
  readonly tolerance?: number
  /** Default 1000. */
  readonly maxProducts?: number
  /** Vectors of memory, beside the result; default max(2 count + 20, 4 count). */
  readonly subspace?: number
  /** The first vector, n finite numbers, not all zero; default random. */
  readonly start?: TypedArrayInput<D>
} & Pick<ProbeOptions, 'seed' | 'signal'>

export type Eigenpairs<D extends DType = DType> = {
  /** From the outermost inwards; by magnitude: descending |λ|. Fewer than asked for where n is smaller. */
  readonly values: Float64Array
  /** Row i is the eigenvector of value i, of norm 1 and orthogonal to the others; its sign is arbitrary. */
  readonly vectors: FloatMatrix<D>
  /** ‖Bx − λx‖, by the recurrence. */
  readonly residuals: Float64Array
  /** `'converged'`; otherwise values and vectors are the best there are. */
  readonly reason: SpectrumReason
  readonly products: number
  readonly restarts: number
}

const pairKeys = ['count', 'which', 'tolerance', 'maxProducts', 'subspace', 'start', 'seed', 'signal']

/** @internal As a method of another name, which messages name. */
export function beginEigenpairs<D extends DType>(
  operator: LinearOperator<D>,
  given: EigenpairsOptions<D>,
  method = 'eigenpairs',
): Computation<NativeEigenpairs> {
  const subject = subjectOf(operator)
  checkKnownKeys(given, pairKeys, `${method} options`)
  const options = given as EigenpairsOptions<D>
  const count = integerInRange(options.count ?? 1, `${method} count`, { min: 1, max: 65536 })
  const { probes } = probesInput(undefined, 1, { seed: options.seed ?? 0 }, subject, method)
  const start = options.start === undefined ? null : givenVector(options.start, `${method} start`, subject)
  if (start?.every((x) => x === 0)) throw optionError(`${method} start`, 'a vector that is not zero', options.start)
  const numbers = {
    count,
    which: oneOf(options.which ?? 'largest', `${method} which`, ['largest', 'smallest', 'magnitude']),
    tolerance: numberInRange(options.tolerance ?? 1e-5, `${method} tolerance`, { min: 0 }),
    maxProducts: integerInRange(options.maxProducts ?? 1000, `${method} maxProducts`, { min: 1 }),
    subspace:
      options.subspace === undefined
        ? 0
        : integerInRange(options.subspace, `${method} subspace`, { min: count + 2, max: 262144 }),
  }
  const signal = probeSignal(options, method)
  const native = addon().eigenpairs(subject.port, subject.matrix.dtype, { ...probes, given: start }, numbers)
  return computation(subject, native, signal)
}

function eigenpairsOf<D extends DType>(native: NativeEigenpairs, operator: LinearOperator<D>): Eigenpairs<D> {
  const { values, residuals, vectors, reason, products, restarts } = native
  const data = (vectors ?? floatArray(operator.dtype, 0)) as TypedArrayOf<D>
  return {
    values,
    vectors: { data, shape: [values.length, operator.shape[1]] },
    residuals,
    reason,
    products,
    restarts,
  }
}

/**
 * Eigenvalues at one end of the spectrum of a symmetric B, with their eigenvectors: B x = λ x. Lanczos with thick
 * restarts, every vector orthogonalised twice.
 *
 * Eigenvalues that are found are certain, to their residuals; that none between them is missed is very likely, not
 * certain. Several copies of one eigenvalue are found where the memory (`subspace`) suffices for the space to close.
 *
 * @param operator [n, n], symmetric
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { values } = await eigenpairs(point.hessian(), { count: 5 })
 *
 * Wu & Simon 2000 (SIAM J. Matrix Anal. Appl. 22).
 */
export async function eigenpairs<D extends DType>(
  operator: LinearOperator<D>,
  options: EigenpairsOptions<D> = {},
): Promise<Eigenpairs<D>> {
  return eigenpairsOf(await run(beginEigenpairs(operator, options)), operator)
}

/** `eigenpairs` on the caller's thread, to its end. */
export function eigenpairsSync<D extends DType>(
  operator: LinearOperator<D>,
  options: EigenpairsOptions<D> = {},
): Eigenpairs<D> {
  return eigenpairsOf(runSync(beginEigenpairs(operator, options)), operator)
}

// --- density ---------------------------------------------------------------------------------------------------------

export type SpectralDensityOptions<D extends DType = DType> = {
  /** Number of random vectors, or your own; default 10. */
  readonly probes?: ProbesOption<D>
  /** Lanczos steps, one product each, for every probe; default 90, at most n. */
  readonly steps?: number
  /** Points of the grid, evenly from 0.01 below the mean smallest node to 0.01 above the mean largest; default 10 000. */
  readonly gridPoints?: number
  /** A grid of your own instead; then the density is not normalised to the grid. */
  readonly grid?: ArrayLike<number>
  /** Variance of the Gaussian at each node; default 1e-5 · max(1, λmax − λmin). */
  readonly kernelVariance?: number
  /** False: three vectors of memory instead of `steps`; eigenvalues appear more than once, the density hardly changes. */
  readonly reorthogonalise?: boolean
} & ProbeOptions

export type SpectralDensity = {
  readonly grid: Float64Array
  /** Density of eigenvalues at the points of the grid; on the default grid its integral is 1. */
  readonly density: Float64Array
  readonly kernelVariance: number
  /** Of each finished probe, ascending: Ritz values. */
  readonly nodes: readonly Float64Array[]
  /** Of each finished probe: weights of its nodes, which sum to 1. vᵀf(B)v = ‖v‖² Σ weight · f(node). */
  readonly weights: readonly Float64Array[]
  /** ‖v‖² of each finished probe. */
  readonly squaredNorms: Float64Array
  readonly reason: SpectrumReason
  readonly products: number
}

type DensityCall = {
  readonly call: Computation<NativeQuadrature>
  readonly finish: (q: NativeQuadrature) => SpectralDensity
}

function beginDensity<D extends DType>(operator: LinearOperator<D>, given: SpectralDensityOptions<D>): DensityCall {
  const subject = subjectOf(operator)
  const keys = ['probes', 'steps', 'gridPoints', 'grid', 'kernelVariance', 'reorthogonalise', ...probeKeys]
  checkKnownKeys(given, keys, 'spectralDensity options')
  const options = given as SpectralDensityOptions<D>
  const { probes, count } = probesInput(options.probes, 10, options, subject, 'spectralDensity')
  const steps = integerInRange(options.steps ?? 90, 'spectralDensity steps', { min: 1 })
  const reorthogonalise = boolean(options.reorthogonalise ?? true, 'spectralDensity reorthogonalise')
  const points = integerInRange(options.gridPoints ?? 10_000, 'spectralDensity gridPoints', { min: 2, max: 1e8 })
  const variance =
    options.kernelVariance === undefined
      ? undefined
      : numberInRange(options.kernelVariance, 'spectralDensity kernelVariance', { above: 0 })
  const own = options.grid === undefined ? undefined : Float64Array.from(gridInput(options.grid))
  if (own !== undefined && options.gridPoints !== undefined) {
    throw optionError('spectralDensity gridPoints', 'none with a grid of your own', options.gridPoints)
  }
  const signal = probeSignal(options, 'spectralDensity')
  const numbers = { probes: count, steps: Math.min(steps, subject.matrix.shape[0]), reorthogonalise }
  const native = addon().quadrature(subject.port, subject.matrix.dtype, probes, numbers)
  return {
    call: computation(subject, native, signal),
    finish: (quadrature) => densityOf(quadrature, points, own, variance),
  }
}

function gridInput(value: ArrayLike<number>): number[] {
  return finiteArray(value, 'spectralDensity grid', { minLength: 1 })
}

/** Mean over the probes of their outermost nodes. */
function meanNode(nodes: readonly Float64Array[], index: number): number {
  return nodes.reduce((sum, of) => sum + (of.at(index) ?? 0), 0) / nodes.length
}

function densityOf(
  { nodes, weights, squaredNorms, reason, products }: NativeQuadrature,
  points: number,
  own: Float64Array | undefined,
  variance: number | undefined,
): SpectralDensity {
  // NaN without nodes, and then the grid and the density are too.
  const first = meanNode(nodes, 0)
  const last = meanNode(nodes, -1)
  const kernelVariance = variance ?? 1e-5 * Math.max(1, last - first)
  const margin = 0.01
  const spacing = (last - first + 2 * margin) / (points - 1)
  const grid = own ?? Float64Array.from({ length: points }, (_, index) => first - margin + index * spacing)
  const density =
    nodes.length === 0
      ? new Float64Array(grid.length).fill(NaN)
      : addon().spectralDensity(nodes, weights, kernelVariance, grid)
  if (own === undefined) {
    const integral = density.reduce((sum, value) => sum + value, 0) * spacing
    if (integral > 0) for (let index = 0; index < points; index++) density[index] = (density[index] ?? 0) / integral
  }
  return { grid, density, kernelVariance, nodes, weights, squaredNorms, reason, products }
}

/**
 * The density of the eigenvalues of a symmetric B, by stochastic Lanczos quadrature: for each random vector v the
 * Lanczos process gives nodes and weights of the spectral measure of v, and the mean of these, each node smoothed by a
 * Gaussian, is the density.
 *
 * @param operator [n, n], symmetric
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { grid, density } = await spectralDensity(point.hessian(), { probes: 4, steps: 60 })
 *
 * Ghorbani, Krishnan & Xiao 2019 (arXiv 1901.10159); grid and kernel as their program and PyHessian have them, but
 * vectors are normalised exactly and the tridiagonal matrix is treated as the symmetric one that it is.
 */
export async function spectralDensity<D extends DType>(
  operator: LinearOperator<D>,
  options: SpectralDensityOptions<D> = {},
): Promise<SpectralDensity> {
  const { call, finish } = beginDensity(operator, options)
  return finish(await run(call))
}

/** `spectralDensity` on the caller's thread, to its end. */
export function spectralDensitySync<D extends DType>(
  operator: LinearOperator<D>,
  options: SpectralDensityOptions<D> = {},
): SpectralDensity {
  const { call, finish } = beginDensity(operator, options)
  return finish(runSync(call))
}
