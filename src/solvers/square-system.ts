import type { LinearOperator } from '../curvature/linear-operator.js'
import { operatorInput, operatorPort, placeOf } from '../curvature/linear-operator.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import type { Computation, Source } from '../internal/computation.js'
import type {
  DType,
  ForeignOperator,
  NativeComputation,
  NativeOperator,
  NativeSolveResult,
} from '../internal/native.js'
import { signalOption } from '../internal/task.js'
import { checkKnownKeys } from '../internal/validate.js'
import type { SolveOptions } from './options.js'
import { observerSource, optionalOperator, vectorInput } from './options.js'

/*
 * What the solvers for square systems share.
 */

/** A system B x = b that a method is asked to solve, its arguments checked. */
export type SquareSystem<D extends DType> = {
  readonly method: string
  readonly matrix: LinearOperator<D>
  readonly size: number
  readonly rhs: TypedArrayOf<D>
  readonly preconditioner: LinearOperator<D> | undefined
}

/** @param method whose arguments they are, for messages */
export function squareSystem<D extends DType>(
  method: string,
  operator: LinearOperator<D>,
  rhs: TypedArrayInput<D>,
  options: { readonly preconditioner?: LinearOperator<D> },
  keys: readonly string[],
): SquareSystem<D> {
  const matrix = operatorInput<D>(operator, 'operator', { square: true })
  checkKnownKeys(options, keys, `${method} options`)
  const size = matrix.shape[0]
  return {
    method,
    matrix,
    size,
    rhs: vectorInput(rhs, 'rhs', matrix.dtype, size),
    preconditioner: optionalOperator(options.preconditioner, 'preconditioner', matrix.dtype, size),
  }
}

type Port = NativeOperator | ForeignOperator

/** Starts the solver that `call` names, with operators and observer as the addon takes them. */
export function beginSolve<D extends DType>(
  { method, matrix, preconditioner }: SquareSystem<D>,
  options: SolveOptions<D>,
  call: (operator: Port, preconditioner: Port | null, observer: number) => NativeComputation<NativeSolveResult>,
): Computation<NativeSolveResult> {
  const signal = signalOption(options.signal, `${method} signal`)
  const sources: Source[] = []
  const native = call(
    operatorPort(matrix, 'operator', sources),
    preconditioner === undefined ? null : operatorPort(preconditioner, 'preconditioner', sources),
    observerSource<D>(options.onIteration, `${method} onIteration`, sources),
  )
  return { native, sources, place: placeOf(matrix, preconditioner), signal }
}
