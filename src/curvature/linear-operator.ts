import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { floatArray, floatInput, floatOutput, isFloatArray } from '../internal/arrays.js'
import type { Source } from '../internal/computation.js'
import { dtypeError, optionError, rendered, shapeError } from '../internal/errors.js'
import type { DType, FloatArray, ForeignOperator, NativeOperator } from '../internal/native.js'
import { arrayOf, integerInRange, oneOf } from '../internal/validate.js'
import type { FloatMatrix } from './linearize.js'

/**
 * What is known of an operator. `positiveSemidefinite` and `positiveDefinite` are of symmetric operators; operators
 * made of others derive their tags, and a symmetric operator multiplies with its transpose as it does itself.
 */
export type OperatorTag = 'symmetric' | 'positiveSemidefinite' | 'positiveDefinite'

/**
 * A linear map that multiplies vectors: a matrix, curvature at a point, a preconditioner, an object of your own. Vectors
 * are flat arrays of the operator's dtype; for operators of a network in public order.
 */
export type LinearOperator<D extends DType = DType> = {
  /** [rows, columns]: matvec takes `columns` numbers and makes `rows`. */
  readonly shape: readonly [rows: number, columns: number]
  readonly dtype: D
  /** Default none. */
  readonly tags?: readonly OperatorTag[]
  /** B v. Fills `out` where it is given and returns it, or returns an array of its own. */
  matvec(v: TypedArrayInput<D>, out?: TypedArrayOf<D>): TypedArrayOf<D>
  /** Bᵀ u; least squares need it. */
  matvecTransposed?(u: TypedArrayInput<D>, out?: TypedArrayOf<D>): TypedArrayOf<D>
}

/** Each implies those before it. */
export const operatorTags: readonly OperatorTag[] = ['symmetric', 'positiveSemidefinite', 'positiveDefinite']

/** A linear operator in native code: its products make no detour over JavaScript when a solver asks for them. */
export class NativeLinearOperator<D extends DType = DType> implements LinearOperator<D> {
  readonly shape: readonly [rows: number, columns: number]
  readonly dtype: D
  readonly tags: readonly OperatorTag[]
  readonly #handle: NativeOperator

  /** @internal */
  constructor(handle: NativeOperator, tags: readonly OperatorTag[]) {
    this.#handle = handle
    this.shape = Object.freeze([handle.rows, handle.columns] as const)
    this.dtype = handle.dtype as D
    this.tags = Object.freeze([...tags])
  }

  /** @internal The native operator within; undefined for any other value. */
  static handleOf(value: unknown): NativeOperator | undefined {
    return typeof value === 'object' && value !== null && #handle in value ? value.#handle : undefined
  }

  /** B v, [rows]; `out` must not overlap v. */
  matvec(v: TypedArrayInput<D>, out?: TypedArrayOf<D>): TypedArrayOf<D> {
    const result = floatOutput(out, 'out', this.dtype, this.shape[0])
    this.#handle.matvec(floatInput(v, 'v', this.dtype, this.shape[1]), result)
    return result
  }

  /** Bᵀ u, [columns]; `out` must not overlap u. */
  matvecTransposed(u: TypedArrayInput<D>, out?: TypedArrayOf<D>): TypedArrayOf<D> {
    const result = floatOutput(out, 'out', this.dtype, this.shape[1])
    this.#handle.matvecTransposed(floatInput(u, 'u', this.dtype, this.shape[0]), result)
    return result
  }

  /** Frees the native memory; later products throw ERR_STATE. Operators made of this one, and solvers, go on. */
  dispose(): void {
    this.#handle.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

const mostElements = 2 ** 40

/** An argument that is a linear operator, of a dtype and shape where these are given. */
export function operatorInput<D extends DType>(
  value: unknown,
  name: string,
  wanted: { readonly dtype?: D; readonly square?: boolean; readonly size?: number } = {},
): LinearOperator<D> {
  if (typeof value !== 'object' || value === null) throw optionError(name, 'a linear operator', value)
  const operator = value as { [K in keyof LinearOperator]?: unknown }
  if (typeof operator.matvec !== 'function') {
    throw optionError(name, 'a linear operator { shape, dtype, matvec }', value)
  }
  const shape = operator.shape
  if (!Array.isArray(shape) || shape.length !== 2) throw shapeError(`${name}.shape`, '[rows, columns]', shape)
  const [rows, columns] = arrayOf(shape, `${name}.shape`, (size, path) =>
    integerInRange(size, path, { min: 1, max: mostElements }),
  )
  if (operator.dtype !== 'float32' && operator.dtype !== 'float64') {
    throw dtypeError(`${name}.dtype`, "'float32' or 'float64'", operator.dtype)
  }
  if (wanted.dtype !== undefined && operator.dtype !== wanted.dtype) {
    throw dtypeError(name, `an operator on ${wanted.dtype} vectors`, rendered(operator.dtype))
  }
  const text = rendered(`shape [${rows}, ${columns}]`)
  if (wanted.square === true && rows !== columns) throw shapeError(name, 'a square operator', text)
  if (wanted.size !== undefined && (rows !== wanted.size || columns !== wanted.size)) {
    throw shapeError(name, `shape [${wanted.size}, ${wanted.size}]`, text)
  }
  return value as LinearOperator<D>
}

export function tagsInput(value: unknown, name: string): readonly OperatorTag[] {
  const tags = value === undefined ? [] : arrayOf(value, name, (tag, path) => oneOf(tag, path, operatorTags))
  const known = new Set(tags)
  if (known.has('positiveDefinite')) known.add('positiveSemidefinite')
  if (known.has('positiveSemidefinite')) known.add('symmetric')
  return operatorTags.filter((tag) => known.has(tag))
}

export function hasTag(operator: LinearOperator, tag: OperatorTag): boolean {
  return operator.tags !== undefined && tagsInput(operator.tags, 'operator.tags').includes(tag)
}

/** The vector, which must not share memory with the output. */
export function apart<A extends FloatArray>(v: A, out: FloatArray): A {
  const overlap = v.byteOffset < out.byteOffset + out.byteLength && out.byteOffset < v.byteOffset + v.byteLength
  if (v.buffer !== out.buffer || !overlap) return v
  throw optionError('out', 'memory apart from that of the vector', rendered('memory that overlaps'))
}

/** Whether the operator multiplies with its transpose. */
export function isTransposable(operator: LinearOperator): boolean {
  return (
    operator.matvecTransposed !== undefined ||
    (operator.shape[0] === operator.shape[1] && hasTag(operator, 'symmetric'))
  )
}

/** B v of any operator, its result checked. */
export function product<D extends DType>(
  operator: LinearOperator<D>,
  v: TypedArrayOf<D>,
  name: string,
  out: TypedArrayOf<D> = floatArray(operator.dtype, operator.shape[0]),
): TypedArrayOf<D> {
  // A function that fills `out` may return nothing.
  const result: unknown = operator.matvec(v, out) ?? out
  return floatInput(result, `${name}.matvec's result`, operator.dtype, operator.shape[0])
}

/** Bᵀ u of any operator that is transposable. */
export function transposedProduct<D extends DType>(
  operator: LinearOperator<D>,
  u: TypedArrayOf<D>,
  name: string,
  out: TypedArrayOf<D> = floatArray(operator.dtype, operator.shape[1]),
): TypedArrayOf<D> {
  if (operator.matvecTransposed === undefined) return product(operator, u, name, out)
  const result: unknown = operator.matvecTransposed(u, out) ?? out
  return floatInput(result, `${name}.matvecTransposed's result`, operator.dtype, operator.shape[1])
}

/** An operator as the addon takes it. Functions of JavaScript join the sources that answer the computation. */
export function operatorPort(
  operator: LinearOperator,
  name: string,
  sources: Source[],
): NativeOperator | ForeignOperator {
  const native = NativeLinearOperator.handleOf(operator)
  if (native !== undefined) return native
  const [rows, columns] = operator.shape
  const add = (apply: (v: FloatArray) => FloatArray): number =>
    sources.push(({ input }) => ({ output: apply(input as FloatArray), value: 0 })) - 1
  type Vector = TypedArrayOf<DType>
  return {
    rows,
    columns,
    source: add((v) => product(operator, v as Vector, name)),
    transposedSource: isTransposable(operator) ? add((u) => transposedProduct(operator, u as Vector, name)) : -1,
  }
}

/** Where a computation over these operators runs: on this thread where JavaScript makes all products. */
export function placeOf(...operators: readonly (LinearOperator | undefined)[]): 'background' | 'here' {
  const given = operators.filter((operator) => operator !== undefined)
  return given.some((operator) => NativeLinearOperator.handleOf(operator) !== undefined) ? 'background' : 'here'
}

/**
 * Products with several vectors at once: row i of the result is B times row i of `vectors`.
 *
 * @param vectors [k, columns], k at least 1: a matrix, or its values row by row
 * @param out k · rows numbers to fill; it must not overlap the vectors
 * @returns [k, rows]
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE
 * @example const { data } = matmat(point.ggn(), { data: directions, shape: [3, point.parameterCount] })
 */
export function matmat<D extends DType>(
  operator: LinearOperator<D>,
  vectors: FloatMatrix<D> | TypedArrayInput<D>,
  out?: TypedArrayOf<D>,
): FloatMatrix<D> {
  const { shape, dtype } = operatorInput<D>(operator, 'operator')
  const [rows, columns] = shape
  const [values, count] = vectorRows(vectors, 'vectors', dtype, columns)
  const result = floatOutput(out, 'out', dtype, count * rows)
  const native = NativeLinearOperator.handleOf(operator)
  if (native !== undefined) {
    native.matmat(values, count, result)
  } else {
    apart(values, result)
    for (let row = 0; row < count; row++) {
      const v = values.slice(row * columns, (row + 1) * columns) as TypedArrayOf<D>
      result.set(product(operator, v, 'operator'), row * rows)
    }
  }
  return { data: result, shape: [count, rows] }
}

/** The values and the number of rows of a matrix of `columns` columns. */
function vectorRows<D extends DType>(
  value: unknown,
  name: string,
  dtype: D,
  columns: number,
): [TypedArrayOf<D>, number] {
  if (isFloatArray(value)) {
    const count = value.length / columns
    if (!Number.isInteger(count) || count === 0) {
      throw shapeError(name, `rows of ${columns} values`, rendered(`length ${value.length}`))
    }
    return [floatInput(value, name, dtype, value.length), count]
  }
  const matrix = value as { data?: unknown; shape?: unknown } | null | undefined
  if (typeof matrix !== 'object' || matrix === null || !Array.isArray(matrix.shape)) {
    throw dtypeError(name, 'a matrix { data, shape } or its values', value)
  }
  const [count, width] = matrix.shape as unknown[]
  if (matrix.shape.length !== 2 || width !== columns) {
    throw shapeError(name, `shape [k, ${columns}]`, rendered(`shape [${matrix.shape.join(', ')}]`))
  }
  const rows = integerInRange(count, `${name}.shape[0]`, { min: 1 })
  return [floatInput(matrix.data, `${name}.data`, dtype, rows * columns), rows]
}
