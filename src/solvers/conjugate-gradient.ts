import type { LinearOperator } from '../curvature/linear-operator.js'
import type { SecantPair } from '../curvature/preconditioners.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import type { Computation } from '../internal/computation.js'
import { run, runSync } from '../internal/computation.js'
import { optionError, rendered } from '../internal/errors.js'
import type { DType, NativeConjugateGradientOptions, NativeIteration, NativeSolveResult } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { checkKnownKeys, integerInRange, numberInRange, oneOf } from '../internal/validate.js'
import type { SolveOptions, SolveResult } from './options.js'
import { iterationsOption, nonNegative, optionalVector, solveKeys, solveResultOf } from './options.js'
import { beginSolve, squareSystem } from './square-system.js'

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

/** Which directions to keep with their products. */
export type CollectOptions = {
  /** Pairs at most; default 10. */
  readonly history?: number
  /** `'spread'` (default): evenly over all iterations; `'last'`: the last ones. */
  readonly choice?: 'spread' | 'last'
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
  /** Keeps pairs for `lbfgsPreconditioner`, for the next solve with a similar matrix (Morales & Nocedal 2000); default: none. */
  readonly collectPairs?: CollectOptions
}

export type StoredIterate<D extends DType = DType> = {
  readonly iteration: number
  readonly solution: TypedArrayOf<D>
}

export type ConjugateGradientResult<D extends DType = DType> = SolveResult<D> & {
  /** ½xᵀBx − bᵀx. */
  readonly quadratic: number
  /** Where negative curvature was met: p, and pᵀBp. */
  readonly direction?: TypedArrayOf<D>
  readonly curvature?: number
  /** With `storeIterates`; the last is the solution. */
  readonly storedIterates?: readonly StoredIterate<D>[]
  /** With `collectPairs`: directions s and y = (B + shift I) s where sᵀy > 0, oldest first; none where x₀ was the solution. */
  readonly pairs?: readonly SecantPair<TypedArrayOf<D>>[]
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
  'collectPairs',
  ...solveKeys,
]

/** What `lbfgsPreconditioner` takes. */
const pairCounts = { min: 1, max: 2 ** 16 }

function numbersOf(options: ConjugateGradientOptions, size: number, method: string): NativeConjugateGradientOptions {
  const of = (name: string): string => `${method} ${name}`
  const { progress, storeIterates: store, collectPairs: collect } = options
  if (progress !== undefined) {
    checkKnownKeys(progress, ['tolerance', 'window', 'fraction'], of('progress'), { path: 'progress' })
  }
  if (store !== undefined) checkKnownKeys(store, ['growth', 'first'], of('storeIterates'), { path: 'storeIterates' })
  if (collect !== undefined) {
    checkKnownKeys(collect, ['history', 'choice'], of('collectPairs'), { path: 'collectPairs' })
  }
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
    collectHistory:
      collect === undefined ? 0 : integerInRange(collect.history ?? 10, of('collectPairs.history'), pairCounts),
    collectChoice: oneOf(collect?.choice ?? 'spread', of('collectPairs.choice'), ['spread', 'last']),
  }
}

/** @internal `conjugateGradient` as its caller's method, which messages name. */
export function beginConjugateGradient<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  options: ConjugateGradientOptions<D>,
  method = 'conjugateGradient',
): Computation<NativeSolveResult> {
  const system = squareSystem(method, operator, rhs, options, keys)
  const { matrix, size } = system
  const initial = optionalVector(options.initial, `${method} initial`, matrix.dtype, size)
  const numbers = numbersOf(options as ConjugateGradientOptions, size, method)
  if (numbers.radius > 0 && initial !== null) {
    throw optionError(`${method} initial`, 'none together with radius', rendered('a vector'))
  }
  return beginSolve(system, options, (port, preconditioner, observer) =>
    addon().conjugateGradient(port, system.rhs, initial, preconditioner, numbers, observer),
  )
}

function storedIterate<D extends DType>({ iteration, solution }: NativeIteration): StoredIterate<D> {
  return { iteration, solution: solution as TypedArrayOf<D> }
}

/** @internal */
export function conjugateGradientResultOf<D extends DType>(
  native: NativeSolveResult,
  { storeIterates, collectPairs }: Pick<ConjugateGradientOptions, 'storeIterates' | 'collectPairs'> = {},
): ConjugateGradientResult<D> {
  return {
    ...solveResultOf<D>(native),
    quadratic: native.quadratic,
    ...(storeIterates === undefined ? {} : { storedIterates: native.stored.map(storedIterate<D>) }),
    ...(collectPairs === undefined ? {} : { pairs: native.pairs as SecantPair<TypedArrayOf<D>>[] }),
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
  const native = await run(beginConjugateGradient(operator, rhs, options))
  return conjugateGradientResultOf<D>(native, options)
}

/** `conjugateGradient` on the caller's thread, to its end. */
export function conjugateGradientSync<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  options: ConjugateGradientOptions<NoInfer<D>> = {},
): ConjugateGradientResult<D> {
  const native = runSync(beginConjugateGradient(operator, rhs, options))
  return conjugateGradientResultOf<D>(native, options)
}
