import type { LinearOperator } from '../curvature/linear-operator.js'
import { operatorInput } from '../curvature/linear-operator.js'
import { findNotFinite } from '../data/matrix.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { floatInput } from '../internal/arrays.js'
import type { Source } from '../internal/computation.js'
import { notFiniteError } from '../internal/errors.js'
import type { DType, NativeRequest, NativeSolveResult, SolveReason } from '../internal/native.js'
import { callable, integerInRange, numberInRange } from '../internal/validate.js'

/*
 * What the solvers' options share.
 */

/** What a solver tells of an iterate; NaN where it has no such number. */
export type SolveIteration<D extends DType = DType> = {
  /** 0: the start. */
  readonly iteration: number
  /** A copy. */
  readonly solution: TypedArrayOf<D>
  /** ‖r‖ of the recurrence. */
  readonly residualNorm: number
  /** ½xᵀBx − bᵀx. */
  readonly quadratic: number
  /** Coefficients of the step that led here. */
  readonly alpha: number
  readonly beta: number
  /** Curvature along the step's direction; the solver's page says which. */
  readonly curvature: number
}

/** Options of every solver. */
export type SolveOptions<D extends DType = DType> = {
  /** Called for every iterate, the start included. What it throws ends the solver and rejects the promise. */
  readonly onIteration?: (iteration: SolveIteration<D>) => void
  /** Ends the solver within one product; it resolves with reason `'aborted'` and its last iterate. */
  readonly signal?: AbortSignal
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
  /** ‖r‖ of the recurrence; NaN where the solver ended before it was known of the solution. */
  readonly residualNorm: number
}

/** What every solver's result has; and the direction, where there is one. */
export function solveResultOf<D extends DType>(
  native: NativeSolveResult,
): SolveResult<D> & { readonly direction?: TypedArrayOf<D>; readonly curvature?: number } {
  const { solution, reason, iterations, products, productSeconds, residualNorm, direction, curvature } = native
  return {
    solution: solution as TypedArrayOf<D>,
    reason,
    iterations,
    products,
    productSeconds,
    residualNorm,
    ...(direction === null ? {} : { direction: direction as TypedArrayOf<D>, curvature }),
  }
}

export const solveKeys = ['onIteration', 'signal'] as const

/** A vector that the caller gives: of the dtype and length, and finite. */
export function vectorInput<D extends DType>(value: unknown, name: string, dtype: D, length: number): TypedArrayOf<D> {
  const vector = floatInput(value, name, dtype, length)
  const index = findNotFinite(vector)
  if (index >= 0) throw notFiniteError(`${name}[${index}]`, 'a finite number', vector[index])
  return vector
}

export function optionalVector<D extends DType>(
  value: TypedArrayInput<D> | undefined,
  name: string,
  dtype: D,
  length: number,
): TypedArrayOf<D> | null {
  return value === undefined ? null : vectorInput(value, name, dtype, length)
}

export function optionalOperator<D extends DType>(
  value: unknown,
  name: string,
  dtype: D,
  size: number,
): LinearOperator<D> | undefined {
  return value === undefined ? undefined : operatorInput(value, name, { dtype, size })
}

/** A number of at least 0, with its default. */
export function nonNegative(value: unknown, name: string, fallback: number): number {
  return value === undefined ? fallback : numberInRange(value, name, { min: 0 })
}

/** Iterations at most; by default ten times the number of unknowns. */
export function iterationsOption(value: unknown, name: string, size: number): number {
  return value === undefined ? 10 * size : integerInRange(value, name, { min: 0 })
}

/** The number of the source that passes iterates on; -1 where nobody listens. */
export function observerSource<D extends DType>(value: unknown, name: string, sources: Source[]): number {
  if (value === undefined) return -1
  const listener = callable<(iteration: SolveIteration<D>) => void>(value, name)
  return (
    sources.push((request) => {
      listener(iterationOf<D>(request))
      return { output: null, value: 0 }
    }) - 1
  )
}

function iterationOf<D extends DType>({ input, numbers }: NativeRequest): SolveIteration<D> {
  const [iteration = 0, residualNorm = NaN, quadratic = NaN, alpha = NaN, beta = NaN, curvature = NaN] = numbers
  return { iteration, solution: input as TypedArrayOf<D>, residualNorm, quadratic, alpha, beta, curvature }
}
