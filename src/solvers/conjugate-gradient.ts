import type { LinearOperator } from '../curvature/linear-operator.js'
import { operatorInput, operatorPort, placeOf } from '../curvature/linear-operator.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import type { Computation, Source } from '../internal/computation.js'
import { run, runSync } from '../internal/computation.js'
import { optionError, rendered } from '../internal/errors.js'
import type {
  DType,
  NativeConjugateGradientOptions,
  NativeIteration,
  NativeSolveResult,
  SolveReason,
} from '../internal/native.js'
import { addon } from '../internal/native.js'
import { signalOption } from '../internal/task.js'
import { checkKnownKeys, integerInRange, numberInRange, oneOf } from '../internal/validate.js'
import type { SolveOptions } from './options.js'
import {
  iterationsOption,
  nonNegative,
  observerSource,
  optionalOperator,
  optionalVector,
  solveKeys,
  vectorInput,
} from './options.js'

/** When the quadratic no longer falls fast enough (Martens 2010). */
export type ProgressOptions = {
  /** Stops when the relative fall over the last k iterations is below k times this. */
  readonly tolerance: number
  /** Smallest k; default 10. */
  readonly window?: number
  /** k is at least this share of the iterations so far; default 0.1. */
  readonly fraction?: number
}

/** Which iterates to keep: number ⌈first · growthʲ⌉ for j = 0, 1, …, and the last. */
export type StoreOptions = {
  /** More than 1; default 1.3. */
  readonly growth?: number
  /** Default 5. */
  readonly first?: number
}

export type ConjugateGradientOptions<D extends DType = DType> = SolveOptions<D> & {
  /** Stops when ‖r‖ <= max(absoluteTolerance, tolerance · ‖b‖); default 1e-5. */
  readonly tolerance?: number
  /** Default 0. */
  readonly absoluteTolerance?: number
  /** Default ten times the number of unknowns. */
  readonly maxIterations?: number
  /** x₀; default zero, which saves a product. */
  readonly initial?: TypedArrayInput<D>
  /** Applies M⁻¹, symmetric and positive definite; default none. */
  readonly preconditioner?: LinearOperator<D>
  /** Solves (B + shift I) x = b; default 0. */
  readonly shift?: number
  /** Stops at ‖x‖ = radius (Steihaug 1983), with a preconditioner in the M-norm, from x₀ = 0; default unbounded. */
  readonly radius?: number
  /** Default: off. */
  readonly progress?: ProgressOptions
  /**
   * What to do where pᵀBp <= 0: `'stop'` (default) leaves the iterate, `'absolute'` goes on with |pᵀBp|, which minimises
   * no longer the same quadratic.
   */
  readonly onNegativeCurvature?: 'stop' | 'absolute'
  /** Computes r = b − Bx anew every so many iterations, a product more; default 0, never. */
  readonly recomputeEvery?: number
  /** Keeps iterates at growing intervals (Martens 2010); default: none. */
  readonly storeIterates?: StoreOptions
}

export type StoredIterate<D extends DType = DType> = {
  readonly iteration: number
  readonly solution: TypedArrayOf<D>
}

export type SolveResult<D extends DType = DType> = {
  /** The last iterate, whatever the reason. */
  readonly solution: TypedArrayOf<D>
  readonly reason: SolveReason
  readonly iterations: number
  /** Products with the operator (and with its transpose). */
  readonly products: number
  /** Time spent in native products; 0 for operators of JavaScript. */
  readonly productSeconds: number
  /** ‖r‖ of the recurrence. */
  readonly residualNorm: number
}

export type ConjugateGradientResult<D extends DType = DType> = SolveResult<D> & {
  /** ½xᵀBx − bᵀx. */
  readonly quadratic: number
  /** Where negative curvature was met: p, and pᵀBp. */
  readonly direction?: TypedArrayOf<D>
  readonly curvature?: number
  /** With `storeIterates`; the last is the solution. */
  readonly storedIterates?: readonly StoredIterate<D>[]
}

const keys = [
  'tolerance',
  'absoluteTolerance',
  'maxIterations',
  'initial',
  'preconditioner',
  'shift',
  'radius',
  'progress',
  'onNegativeCurvature',
  'recomputeEvery',
  'storeIterates',
  ...solveKeys,
]

function numbersOf(options: ConjugateGradientOptions, size: number): NativeConjugateGradientOptions {
  const of = (name: string): string => `conjugateGradient ${name}`
  const { progress, storeIterates: store } = options
  if (progress !== undefined) {
    checkKnownKeys(progress, ['tolerance', 'window', 'fraction'], of('progress'), { path: 'progress' })
  }
  if (store !== undefined) checkKnownKeys(store, ['growth', 'first'], of('storeIterates'), { path: 'storeIterates' })
  return {
    tolerance: nonNegative(options.tolerance, of('tolerance'), 1e-5),
    absoluteTolerance: nonNegative(options.absoluteTolerance, of('absoluteTolerance'), 0),
    maxIterations: iterationsOption(options.maxIterations, of('maxIterations'), size),
    progressTolerance:
      progress === undefined ? 0 : numberInRange(progress.tolerance, of('progress.tolerance'), { above: 0 }),
    progressWindow: integerInRange(progress?.window ?? 10, of('progress.window'), { min: 1 }),
    progressFraction: nonNegative(progress?.fraction, of('progress.fraction'), 0.1),
    shift: numberInRange(options.shift ?? 0, of('shift')),
    radius: options.radius === undefined ? 0 : numberInRange(options.radius, of('radius'), { above: 0 }),
    onNegativeCurvature: oneOf(options.onNegativeCurvature ?? 'stop', of('onNegativeCurvature'), ['stop', 'absolute']),
    recomputeEvery: integerInRange(options.recomputeEvery ?? 0, of('recomputeEvery'), { min: 0 }),
    storeGrowth: store === undefined ? 0 : numberInRange(store.growth ?? 1.3, of('storeIterates.growth'), { above: 1 }),
    storeFirst: integerInRange(store?.first ?? 5, of('storeIterates.first'), { min: 1 }),
  }
}

function start<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  given: ConjugateGradientOptions<D>,
): Computation<NativeSolveResult> {
  const matrix = operatorInput<D>(operator, 'operator', { square: true })
  checkKnownKeys(given, keys, 'conjugateGradient options')
  const options = given as ConjugateGradientOptions<D>
  const size = matrix.shape[0]
  const b = vectorInput(rhs, 'rhs', matrix.dtype, size)
  const initial = optionalVector(options.initial, 'conjugateGradient initial', matrix.dtype, size)
  const preconditioner = optionalOperator(options.preconditioner, 'preconditioner', matrix.dtype, size)
  const numbers = numbersOf(options as ConjugateGradientOptions, size)
  if (numbers.radius > 0 && initial !== null) {
    throw optionError('conjugateGradient initial', 'none together with radius', rendered('a vector'))
  }
  const signal = signalOption(options.signal, 'conjugateGradient signal')
  const sources: Source[] = []
  const native = addon().conjugateGradient(
    operatorPort(matrix, 'operator', sources),
    b,
    initial,
    preconditioner === undefined ? null : operatorPort(preconditioner, 'preconditioner', sources),
    numbers,
    observerSource<D>(options.onIteration, 'conjugateGradient onIteration', sources),
  )
  return { native, sources, place: placeOf(matrix, preconditioner), signal }
}

function storedIterate<D extends DType>({ iteration, solution }: NativeIteration): StoredIterate<D> {
  return { iteration, solution: solution as TypedArrayOf<D> }
}

function resultOf<D extends DType>(native: NativeSolveResult, stores: boolean): ConjugateGradientResult<D> {
  const {
    solution,
    reason,
    iterations,
    products,
    productSeconds,
    residualNorm,
    quadratic,
    direction,
    curvature,
    stored,
  } = native
  return {
    solution: solution as TypedArrayOf<D>,
    reason,
    iterations,
    products,
    productSeconds,
    residualNorm,
    quadratic,
    ...(direction === null ? {} : { direction: direction as TypedArrayOf<D>, curvature }),
    ...(stores ? { storedIterates: stored.map(storedIterate<D>) } : {}),
  }
}

/**
 * Solves B x = b for a symmetric positive definite B by preconditioned conjugate gradients; equivalently minimises
 * q(x) = ½xᵀBx − bᵀx. With r₀ = b − Bx₀, y = M⁻¹r, p = y, ρ = rᵀy, each iteration is
 *
 *     w = Bp,  α = ρ/pᵀw,  x += αp,  r −= αw,  y = M⁻¹r,  β = rᵀy/ρ,  p = y + βp
 *
 * One product an iteration; scalars are float64 whatever the vectors are. Why it stopped is in `reason`, also where the
 * operator turns out not to be positive definite (`'negativeCurvature'`, with the direction) or makes numbers that are
 * not finite: only wrong arguments, and what functions of yours throw, are errors.
 *
 * @param operator [n, n]; products of native operators are made on the compute thread, those of JavaScript here, with
 *   turns of the event loop in between
 * @param rhs b, n finite numbers of the operator's dtype
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example
 * const { solution, reason } = await conjugateGradient(damped(point.ggn(), 0.1), gradient, { maxIterations: 50 })
 *
 * Hestenes & Stiefel 1952; Nocedal & Wright 2006, algorithm 5.3; progress and stored iterates: Martens 2010.
 */
export async function conjugateGradient<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  options: ConjugateGradientOptions<NoInfer<D>> = {},
): Promise<ConjugateGradientResult<D>> {
  return resultOf<D>(await run(start(operator, rhs, options)), options.storeIterates !== undefined)
}

/** `conjugateGradient` on the caller's thread, to its end. */
export function conjugateGradientSync<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  options: ConjugateGradientOptions<NoInfer<D>> = {},
): ConjugateGradientResult<D> {
  return resultOf<D>(runSync(start(operator, rhs, options)), options.storeIterates !== undefined)
}
