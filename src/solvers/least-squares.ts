import type { LinearOperator } from '../curvature/linear-operator.js'
import { isTransposable, operatorInput, operatorPort, placeOf } from '../curvature/linear-operator.js'
import type { TypedArrayInput } from '../internal/arrays.js'
import type { Computation, Source } from '../internal/computation.js'
import { run, runSync } from '../internal/computation.js'
import { optionError, rendered } from '../internal/errors.js'
import type { DType, NativeSolveResult } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { signalOption } from '../internal/task.js'
import { checkKnownKeys } from '../internal/validate.js'
import type { SolveOptions, SolveResult } from './options.js'
import {
  iterationsOption,
  nonNegative,
  observerSource,
  optionalVector,
  solveKeys,
  solveResultOf,
  vectorInput,
} from './options.js'

export type LeastSquaresOptions<D extends DType = DType> = SolveOptions<D> & {
  /** Stops when ‖Aᵀr − damping · x‖ <= max(absoluteTolerance, tolerance · ‖Aᵀb‖); default 1e-5. */
  readonly tolerance?: number
  /** Default 0. */
  readonly absoluteTolerance?: number
  /** Default ten times the number of unknowns. */
  readonly maxIterations?: number
  /** Minimises ‖Ax − b‖² + damping · ‖x‖²; default 0. */
  readonly damping?: number
  /** x₀; default zero. */
  readonly initial?: TypedArrayInput<D>
}

const keys = ['tolerance', 'absoluteTolerance', 'maxIterations', 'damping', 'initial', ...solveKeys]

function start<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  given: LeastSquaresOptions<D>,
): Computation<NativeSolveResult> {
  const matrix = operatorInput<D>(operator, 'operator')
  if (!isTransposable(matrix)) {
    throw optionError(
      'operator',
      "products with its transpose (matvecTransposed, or the tag 'symmetric')",
      rendered('none'),
    )
  }
  checkKnownKeys(given, keys, 'leastSquares options')
  const options = given as LeastSquaresOptions<D>
  const [rows, columns] = matrix.shape
  const b = vectorInput(rhs, 'rhs', matrix.dtype, rows)
  const initial = optionalVector(options.initial, 'leastSquares initial', matrix.dtype, columns)
  const numbers = {
    tolerance: nonNegative(options.tolerance, 'leastSquares tolerance', 1e-5),
    absoluteTolerance: nonNegative(options.absoluteTolerance, 'leastSquares absoluteTolerance', 0),
    maxIterations: iterationsOption(options.maxIterations, 'leastSquares maxIterations', columns),
    damping: nonNegative(options.damping, 'leastSquares damping', 0),
  }
  const signal = signalOption(options.signal, 'leastSquares signal')
  const sources: Source[] = []
  const native = addon().leastSquares(
    operatorPort(matrix, 'operator', sources),
    b,
    initial,
    numbers,
    observerSource<D>(options.onIteration, 'leastSquares onIteration', sources),
  )
  return { native, sources, place: placeOf(matrix), signal }
}

/**
 * Minimises ‖Ax − b‖² + damping · ‖x‖² by conjugate gradients on the normal equations, which are never formed: two
 * products an iteration, with A and with Aᵀ. `residualNorm` is ‖Aᵀr − damping · x‖, half the gradient's.
 *
 * @param operator A, [m, n]; it needs products with its transpose
 * @param rhs b, m finite numbers of the operator's dtype
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { solution } = await leastSquares(denseOperator(features), targets, { damping: 0.1 })
 *
 * CGLS: Hestenes & Stiefel 1952; Björck 1996, algorithm 7.4.1.
 */
export async function leastSquares<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  options: LeastSquaresOptions<NoInfer<D>> = {},
): Promise<SolveResult<D>> {
  return solveResultOf<D>(await run(start(operator, rhs, options)))
}

/** `leastSquares` on the caller's thread, to its end. */
export function leastSquaresSync<D extends DType>(
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  options: LeastSquaresOptions<NoInfer<D>> = {},
): SolveResult<D> {
  return solveResultOf<D>(runSync(start(operator, rhs, options)))
}
