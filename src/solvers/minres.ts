import type { LinearOperator } from '../curvature/linear-operator.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import type { Computation } from '../internal/computation.js'
import { run, runSync } from '../internal/computation.js'
import type { DType, NativeSolveResult } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { boolean, numberInRange } from '../internal/validate.js'
import type { SolveOptions, SolveResult } from './options.js'
import { iterationsOption, nonNegative, solveKeys, solveResultOf } from './options.js'
import { beginSolve, squareSystem } from './square-system.js'

export type MinresOptions<D extends DType = DType> = SolveOptions<D> & {
  /** Stops when ‖r‖ <= max(absoluteTolerance, tolerance · ‖b‖); default 1e-5. */
  readonly tolerance?: number
  /** Default 0. */
  readonly absoluteTolerance?: number
  /**
   * Stops with reason `'leastSquares'` when ‖Br‖ <= this · ‖r‖ · ‖B‖, with the largest norm of B seen: b is not in the
   * range of B and x minimises ‖r‖. Default 0, off.
   */
  readonly leastSquaresTolerance?: number
  /** Default ten times the number of unknowns. */
  readonly maxIterations?: number
  /** Applies M⁻¹, symmetric and positive definite (B need not be); default none. */
  readonly preconditioner?: LinearOperator<D>
  /** Solves (B − shift I) x = b; default 0. Mind the sign, which is that of the method's source. */
  readonly shift?: number
  /**
   * Stops with reason `'negativeCurvature'` at the first rᵀ(B − shift I)r <= 0; `direction` is that residual and
   * `curvature` its Rayleigh quotient. Default false.
   */
  readonly stopAtNegativeCurvature?: boolean
  /** Stops when ‖Br‖ < this · √(‖b‖² − ‖r‖²) (Liu & Roosta 2022); default 0, off. */
  readonly inexactness?: number
}

export type MinresResult<D extends DType = DType> = SolveResult<D> & {
  /** With `stopAtNegativeCurvature`, where it was met: the residual, and its Rayleigh quotient. */
  readonly direction?: TypedArrayOf<D>
  readonly curvature?: number
}

const keys = [
  'tolerance',
  'absoluteTolerance',
  'leastSquaresTolerance',
  'maxIterations',
  'preconditioner',
  'shift',
  'stopAtNegativeCurvature',
  'inexactness',
  ...solveKeys,
]

function start<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  options: MinresOptions<D>,
): Computation<NativeSolveResult> {
  const system = squareSystem('minres', operator, rhs, options, keys)
  const numbers = {
    tolerance: nonNegative(options.tolerance, 'minres tolerance', 1e-5),
    absoluteTolerance: nonNegative(options.absoluteTolerance, 'minres absoluteTolerance', 0),
    leastSquaresTolerance: nonNegative(options.leastSquaresTolerance, 'minres leastSquaresTolerance', 0),
    maxIterations: iterationsOption(options.maxIterations, 'minres maxIterations', system.size),
    shift: numberInRange(options.shift ?? 0, 'minres shift'),
    stopAtNegativeCurvature: boolean(options.stopAtNegativeCurvature ?? false, 'minres stopAtNegativeCurvature'),
    inexactness: nonNegative(options.inexactness, 'minres inexactness', 0),
  }
  return beginSolve(system, options, (port, preconditioner, observer) =>
    addon().minres(port, system.rhs, null, preconditioner, numbers, observer),
  )
}

/**
 * Minimises ‖b − (B − σI)x‖ over growing Krylov spaces for a symmetric B, which may be indefinite or singular: Lanczos
 * with one Givens rotation an iteration, from x = 0. ‖r‖ never rises. For a positive definite B conjugate gradients lower
 * the quadratic further at the same number of products, minres the residual.
 *
 * `onIteration` tells of the Lanczos coefficients α and β, and as `curvature` the Rayleigh quotient rᵀ(B − σI)r / rᵀr of
 * the residual of that iterate.
 *
 * @param operator [n, n], symmetric
 * @param rhs b, n finite numbers of the operator's dtype
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { solution, reason } = await minres(point.hessian(), gradient, { tolerance: 1e-3 })
 *
 * Paige & Saunders 1975; curvature and inexactness: Liu & Roosta 2022 (arXiv 2206.05732).
 */
export async function minres<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  options: MinresOptions<NoInfer<D>> = {},
): Promise<MinresResult<D>> {
  return solveResultOf<D>(await run(start(operator, rhs, options)))
}

/** `minres` on the caller's thread, to its end. */
export function minresSync<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  options: MinresOptions<NoInfer<D>> = {},
): MinresResult<D> {
  return solveResultOf<D>(runSync(start(operator, rhs, options)))
}
