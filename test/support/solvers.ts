import { expect } from 'vitest'
import type { LinearOperator } from '../../src/index.js'
import {
  conjugateGradient,
  conjugateGradientSync,
  denseOperator,
  diagonalOperator,
  functionOperator,
  lanczos,
  lanczosSync,
  leastSquares,
  leastSquaresSync,
  minres,
  minresSync,
  steihaug,
  steihaugSync,
} from '../../src/index.js'

/*
 * A small system for the tests of solvers, and the solvers in a list.
 */

export type Operator = LinearOperator<'float64'>

export const n = 12
/** Symmetric, positive definite, its eigenvalues 1 … n. */
export const rows: number[][] = (() => {
  // A reflection of diag(1 … n): Q = I − 2uuᵀ/uᵀu.
  const u = Array.from({ length: n }, (_, i) => Math.sin(i + 1))
  const square = u.reduce((sum, x) => sum + x * x, 0)
  const q = u.map((x, i) => u.map((y, j) => Number(i === j) - (2 * x * y) / square))
  return q.map((a) => q.map((b) => a.reduce((sum, x, k) => sum + (k + 1) * x * (b[k] as number), 0)))
})()
export const times = (matrix: readonly number[][], v: ArrayLike<number>): number[] =>
  matrix.map((row) => row.reduce((sum, x, j) => sum + x * (v[j] as number), 0))
export const b = Float64Array.from({ length: n }, (_, i) => Math.cos(2 * i))
export const zero = new Float64Array(n)
export const native = (): Operator => denseOperator(rows, { dtype: 'float64', tags: ['positiveDefinite'] })
export const multiply = (v: Float64Array): Float64Array => Float64Array.from(times(rows, v))
export const foreign = (matvec = multiply): Operator =>
  functionOperator({ size: n, dtype: 'float64', matvec, tags: ['symmetric'] })
export const diagonal = (f: (i: number) => number): Operator =>
  diagonalOperator(Float64Array.from({ length: n }, (_, i) => f(i)))
export const operators: [string, () => Operator][] = [
  ['native', native],
  ['JavaScript', foreign],
]
export const difference = (x: ArrayLike<number>, y: ArrayLike<number>): number[] =>
  Array.from(x, (value, i) => value - (y[i] as number))

/** Every solver, in both forms, on a right-hand side of the operator's size. */
export const solvers: [string, (operator: Operator, options?: object) => unknown][] = [
  ['conjugateGradient', (operator, options) => conjugateGradient(operator, b, options)],
  ['conjugateGradientSync', (operator, options) => conjugateGradientSync(operator, b, options)],
  ['minres', (operator, options) => minres(operator, b, options)],
  ['minresSync', (operator, options) => minresSync(operator, b, options)],
  ['steihaug', (operator, options) => steihaug(operator, b, { radius: 100, ...options })],
  ['steihaugSync', (operator, options) => steihaugSync(operator, b, { radius: 100, ...options })],
  ['leastSquares', (operator, options) => leastSquares(operator, b, options)],
  ['leastSquaresSync', (operator, options) => leastSquaresSync(operator, b, options)],
  ['lanczos', (operator, options) => lanczos(operator, b, options)],
  ['lanczosSync', (operator, options) => lanczosSync(operator, b, options)],
]
export const observed = solvers.filter(([name]) => !name.startsWith('lanczos'))

/** A result without the time that it took. */
export function untimed<R extends { readonly productSeconds: number }>(result: R): Omit<R, 'productSeconds'> {
  const { productSeconds, ...rest } = result
  expect(productSeconds).toBeGreaterThanOrEqual(0)
  return rest
}
