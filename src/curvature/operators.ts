import type { MatrixLike } from '../data/matrix.js'
import { findNotFinite, toMatrix } from '../data/matrix.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { dtypeOption, floatArray, floatInput, floatOutput, isFloatArray, unshared } from '../internal/arrays.js'
import { dtypeError, optionError, rendered, shapeError } from '../internal/errors.js'
import type { DType, FloatArray, NativeOperator } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { arrayOf, callable, checkKnownKeys, finiteArray, integerInRange, numberInRange } from '../internal/validate.js'
import type { LinearOperator, OperatorTag } from './linear-operator.js'
import {
  apart,
  hasTag,
  isTransposable,
  NativeLinearOperator,
  operatorInput,
  operatorTags,
  product,
  tagsInput,
  transposedProduct,
} from './linear-operator.js'

/*
 * Operators made of numbers and of other operators. Where all parts are native the whole is; otherwise it is composed
 * here, and only the arithmetic on vectors is the addon's.
 */

export type DenseOperatorOptions = {
  /** Element type for values in ordinary arrays; default that of the array, else `'float32'`. */
  readonly dtype?: DType
  readonly tags?: readonly OperatorTag[]
}
export type DiagonalOperatorOptions = { readonly tags?: readonly OperatorTag[] }
export type IdentityOperatorOptions<D extends DType = DType> = {
  /** Default `'float32'`. */
  readonly dtype?: D
}

/** A function as an operator: it returns the product, or fills `out`. */
export type OperatorFunction<D extends DType> = (
  v: TypedArrayOf<D>,
  out: TypedArrayOf<D>,
) => TypedArrayInput<D> | undefined

export type FunctionOperatorOptions<D extends DType = DType> = {
  /** n of a square operator; or `shape`. */
  readonly size?: number
  /** [rows, columns]. */
  readonly shape?: readonly [rows: number, columns: number]
  /** Default `'float32'`. */
  readonly dtype?: D
  /** B v. The array is the function's own, to keep or to change. */
  readonly matvec: OperatorFunction<D>
  /** Bᵀ u; not needed where the tags say that the operator is symmetric. */
  readonly matvecTransposed?: OperatorFunction<D>
  /** Default none. */
  readonly tags?: readonly OperatorTag[]
}

export type LowRankOperatorOptions = {
  /** U, [n, k]: its columns are the directions. */
  readonly vectors: MatrixLike
  /** s, k numbers; default ones. */
  readonly weights?: ArrayLike<number>
  /** Element type for values in ordinary arrays; default that of the array, else `'float32'`. */
  readonly dtype?: DType
}

/** The values of a matrix in one of the float types: its own, or the one asked for. */
function floatMatrix(value: MatrixLike, name: string, dtype: unknown): { data: FloatArray; shape: readonly number[] } {
  const wanted = dtype === undefined ? undefined : dtypeOption(dtype, `${name} dtype`)
  const { data, shape } = toMatrix(value, name, { dtype: wanted ?? 'float32' })
  if (shape[0] === 0) throw shapeError(name, 'at least one row', rendered('none'))
  const type = wanted ?? (data instanceof Float64Array ? 'float64' : 'float32')
  const right = type === 'float32' ? Float32Array : Float64Array
  return { data: data instanceof right ? data : right.from(data), shape }
}

/**
 * A matrix as an operator. It is copied.
 *
 * @param matrix [rows, columns], row-major: `{ data, shape }` or rows
 * @param options `dtype`: of values in ordinary arrays; `tags`: what is known of the matrix, default nothing
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example denseOperator([[2, 1], [1, 3]], { dtype: 'float64', tags: ['positiveDefinite'] })
 */
export function denseOperator(
  matrix: { readonly data: Float64Array; readonly shape: readonly number[] },
  options?: DenseOperatorOptions & { readonly dtype?: 'float64' },
): NativeLinearOperator<'float64'>
export function denseOperator<D extends DType = 'float32'>(
  matrix: MatrixLike,
  options?: DenseOperatorOptions & { readonly dtype?: D },
): NativeLinearOperator<D>
export function denseOperator(matrix: MatrixLike, options: DenseOperatorOptions = {}): NativeLinearOperator {
  checkKnownKeys(options, ['dtype', 'tags'], 'denseOperator options')
  const { dtype, tags } = options as DenseOperatorOptions
  const { data, shape } = floatMatrix(matrix, 'matrix', dtype)
  const [rows = 0, columns = 0] = shape
  const known = tagsInput(tags, 'denseOperator tags')
  if (rows !== columns && known.length > 0) {
    throw optionError('denseOperator tags', 'none for a matrix that is not square', tags)
  }
  return new NativeLinearOperator(addon().denseOperator(data, rows, columns), known)
}

/**
 * diag(d), copied.
 *
 * @param diagonal a Float32Array or Float64Array, which gives the dtype
 * @param options `tags`: `symmetric` is always among them
 */
export function diagonalOperator<A extends FloatArray>(
  diagonal: A,
  options: DiagonalOperatorOptions = {},
): NativeLinearOperator<A extends Float32Array ? 'float32' : 'float64'> {
  checkKnownKeys(options, ['tags'], 'diagonalOperator options')
  if (!isFloatArray(diagonal)) throw dtypeError('diagonal', 'a Float32Array or Float64Array', diagonal)
  if (diagonal.length === 0) throw shapeError('diagonal', 'at least one element', rendered('none'))
  const index = findNotFinite(diagonal)
  if (index >= 0) throw optionError(`diagonal[${index}]`, 'a finite number', diagonal[index])
  const tags = tagsInput(['symmetric', ...tagsInput(options.tags, 'diagonalOperator tags')], 'tags')
  return new NativeLinearOperator(addon().diagonalOperator(unshared(diagonal)), tags)
}

/** The identity of a size; `dtype` default `'float32'`. */
export function identityOperator<D extends DType = 'float32'>(
  size: number,
  options: IdentityOperatorOptions<D> = {},
): NativeLinearOperator<D> {
  checkKnownKeys(options, ['dtype'], 'identityOperator options')
  const length = integerInRange(size, 'size', { min: 1, max: 2 ** 32 })
  const { dtype } = options as IdentityOperatorOptions
  const ones = floatArray(dtype === undefined ? 'float32' : dtypeOption(dtype, 'identityOperator dtype'), length)
  return new NativeLinearOperator<D>(addon().diagonalOperator(ones.fill(1)), operatorTags)
}

/** What JavaScript composes: checks its vectors, and calls `apply` with an output to fill. */
function composed<D extends DType>(
  shape: readonly [number, number],
  dtype: D,
  tags: readonly OperatorTag[],
  apply: (v: TypedArrayOf<D>, out: TypedArrayOf<D>) => void,
  transposed?: (u: TypedArrayOf<D>, out: TypedArrayOf<D>) => void,
): LinearOperator<D> {
  const [rows, columns] = shape
  return Object.freeze({
    shape: Object.freeze([rows, columns] as const),
    dtype,
    tags: Object.freeze([...tags]),
    matvec(v: TypedArrayInput<D>, out?: TypedArrayOf<D>): TypedArrayOf<D> {
      const result = floatOutput(out, 'out', dtype, rows)
      apply(apart(floatInput(v, 'v', dtype, columns), result), result)
      return result
    },
    ...(transposed === undefined
      ? {}
      : {
          matvecTransposed(u: TypedArrayInput<D>, out?: TypedArrayOf<D>): TypedArrayOf<D> {
            const result = floatOutput(out, 'out', dtype, columns)
            transposed(apart(floatInput(u, 'u', dtype, rows), result), result)
            return result
          },
        }),
  })
}

/**
 * A function as an operator. Solvers call it on the thread that called them.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE; a product throws ERR_DTYPE or ERR_SHAPE where the function returns something
 *   that is no vector of the operator
 * @example functionOperator({ size: 3, dtype: 'float64', matvec: (v) => v.map((x, i) => (i + 1) * x) })
 */
export function functionOperator<D extends DType = 'float32'>(options: FunctionOperatorOptions<D>): LinearOperator<D> {
  const where = 'functionOperator options'
  checkKnownKeys(options, ['size', 'shape', 'dtype', 'matvec', 'matvecTransposed', 'tags'], where)
  const { size, shape, dtype, tags } = options as FunctionOperatorOptions<D>
  if ((size === undefined) === (shape === undefined)) {
    throw optionError('functionOperator', 'either size or shape', rendered(size === undefined ? 'neither' : 'both'))
  }
  const lengths = size === undefined ? shape : [size, size]
  const [rows, columns] = arrayOf(
    lengths,
    'functionOperator shape',
    (length, name) => integerInRange(length, name, { min: 1, max: 2 ** 32 }),
    { length: 2 },
  ) as [number, number]
  const type = (dtype === undefined ? 'float32' : dtypeOption(dtype, 'functionOperator dtype')) as D
  const apply = callable<OperatorFunction<D>>(options.matvec, 'functionOperator matvec')
  const transposed =
    options.matvecTransposed === undefined
      ? undefined
      : callable<OperatorFunction<D>>(options.matvecTransposed, 'functionOperator matvecTransposed')
  const filled =
    (call: OperatorFunction<D>, name: string, length: number) =>
    (v: TypedArrayOf<D>, out: TypedArrayOf<D>): void => {
      const result: unknown = call(v.slice() as TypedArrayOf<D>, out)
      if (result !== undefined && result !== out) out.set(floatInput(result, `${name}'s result`, type, length))
    }
  return composed(
    [rows, columns],
    type,
    tagsInput(tags, 'functionOperator tags'),
    filled(apply, 'matvec', rows),
    transposed === undefined ? undefined : filled(transposed, 'matvecTransposed', columns),
  )
}

/** The native operators within, where all are native. */
function nativeParts(operators: readonly LinearOperator[]): NativeOperator[] | undefined {
  const handles = operators.map((operator) => NativeLinearOperator.handleOf(operator))
  return handles.every((handle) => handle !== undefined) ? handles : undefined
}

function operatorList<D extends DType>(value: unknown): LinearOperator<D>[] {
  const list = arrayOf(value, 'operators', (item, name) => operatorInput<D>(item, name), { minLength: 1 })
  const dtype = list[0]?.dtype
  for (const [index, operator] of list.entries()) {
    if (operator.dtype !== dtype) {
      throw dtypeError(`operators[${index}]`, `an operator on ${dtype} vectors`, rendered(operator.dtype))
    }
  }
  return list
}

/** Tags of a sum of coefficients[i] · operators[i] and shift · I. */
function tagsOfSum(
  operators: readonly LinearOperator[],
  coefficients: readonly number[],
  shift: number,
): readonly OperatorTag[] {
  const every = (tag: OperatorTag): boolean => operators.every((operator) => hasTag(operator, tag))
  if (!every('symmetric')) return []
  const [symmetric, semidefinite] = [operatorTags.slice(0, 1), operatorTags.slice(0, 2)]
  if (!every('positiveSemidefinite') || shift < 0 || coefficients.some((c) => c < 0)) return symmetric
  const definite =
    shift > 0 ||
    operators.some((operator, index) => (coefficients[index] ?? 0) > 0 && hasTag(operator, 'positiveDefinite'))
  return definite ? operatorTags : semidefinite
}

/** Σ c_i B_i + shift I. */
function sum<D extends DType>(
  operators: readonly LinearOperator<D>[],
  coefficients: readonly number[],
  shift: number,
): LinearOperator<D> {
  const first = operators[0] as LinearOperator<D>
  const tags = tagsOfSum(operators, coefficients, shift)
  const natives = nativeParts(operators)
  if (natives !== undefined) {
    return new NativeLinearOperator<D>(addon().sumOperator(natives, Float64Array.from(coefficients), shift), tags)
  }
  type Multiply = (operator: LinearOperator<D>, v: TypedArrayOf<D>, name: string) => TypedArrayOf<D>
  const total =
    (multiply: Multiply) =>
    (v: TypedArrayOf<D>, out: TypedArrayOf<D>): void => {
      const { combine } = addon()
      for (const [index, operator] of operators.entries()) {
        const term = multiply(operator, v, `operators[${index}]`)
        const coefficient = coefficients[index] as number
        if (index > 0) combine(1, out, coefficient, term, out)
        else combine(coefficient, term, shift, shift === 0 ? term : v, out)
      }
    }
  return composed<D>(
    first.shape,
    first.dtype,
    tags,
    total((operator, v, name) => product(operator, v, name)),
    operators.every(isTransposable) ? total((operator, u, name) => transposedProduct(operator, u, name)) : undefined,
  )
}

/**
 * Σ cᵢ Bᵢ.
 *
 * @param operators at least one, of one shape and dtype
 * @param coefficients c, default ones
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE
 * @example sumOperator([point.hessian(), point.ggn()], [0.1, 0.9])
 */
export function sumOperator<D extends DType>(
  operators: readonly LinearOperator<D>[],
  coefficients?: ArrayLike<number>,
): LinearOperator<D> {
  const list = operatorList<D>(operators)
  const shape = list[0]?.shape ?? [0, 0]
  for (const [index, operator] of list.entries()) {
    if (operator.shape[0] === shape[0] && operator.shape[1] === shape[1]) continue
    throw shapeError(
      `operators[${index}]`,
      `shape [${shape.join(', ')}]`,
      rendered(`shape [${operator.shape.join(', ')}]`),
    )
  }
  const factors =
    coefficients === undefined ? list.map(() => 1) : finiteArray(coefficients, 'coefficients', { length: list.length })
  return sum(list, factors, 0)
}

/** c B. */
export function scaledOperator<D extends DType>(operator: LinearOperator<D>, factor: number): LinearOperator<D> {
  return sum([operatorInput<D>(operator, 'operator')], [numberInRange(factor, 'factor')], 0)
}

/** B + s I, for a square B. */
export function shiftedOperator<D extends DType>(operator: LinearOperator<D>, shift: number): LinearOperator<D> {
  return sum([operatorInput<D>(operator, 'operator', { square: true })], [1], numberInRange(shift, 'shift'))
}

/**
 * B + λ I with λ >= 0: Tikhonov damping, as a solver sees it.
 *
 * @example await conjugateGradient(damped(point.ggn(), 0.1), b)
 */
export function damped<D extends DType>(operator: LinearOperator<D>, lambda: number): LinearOperator<D> {
  return sum(
    [operatorInput<D>(operator, 'operator', { square: true })],
    [1],
    numberInRange(lambda, 'lambda', { min: 0 }),
  )
}

/**
 * U diag(s) Uᵀ with few columns in U: 4 n k operations a product.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example lowRankOperator({ vectors: { data: eigenvectors, shape: [n, 5] }, weights: eigenvalues })
 */
export function lowRankOperator<D extends DType = DType>(options: LowRankOperatorOptions): NativeLinearOperator<D> {
  checkKnownKeys(options, ['vectors', 'weights', 'dtype'], 'lowRankOperator options')
  const { vectors, weights, dtype } = options as LowRankOperatorOptions
  const { data, shape } = floatMatrix(vectors, 'vectors', dtype)
  const [rows = 0, columns = 0] = shape
  const factors =
    weights === undefined
      ? new Float64Array(columns).fill(1)
      : Float64Array.from(finiteArray(weights, 'weights', { length: columns }))
  const tags = operatorTags.slice(0, factors.every((weight) => weight >= 0) ? 2 : 1)
  return new NativeLinearOperator<D>(addon().lowRankOperator(data, factors, rows), tags)
}

/**
 * Operators along the diagonal, each on its own piece of the vector. Blocks need not be square.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE
 */
export function blockDiagonalOperator<D extends DType>(blocks: readonly LinearOperator<D>[]): LinearOperator<D> {
  const list = operatorList<D>(blocks)
  const square = list.every(({ shape }) => shape[0] === shape[1])
  const tags = operatorTags.filter((tag) => square && list.every((operator) => hasTag(operator, tag)))
  const natives = nativeParts(list)
  if (natives !== undefined) return new NativeLinearOperator<D>(addon().blockDiagonalOperator(natives), tags)
  const shape = [0, 1].map((side) => list.reduce((total, operator) => total + (operator.shape[side] as number), 0))
  type Multiply = (
    operator: LinearOperator<D>,
    v: TypedArrayOf<D>,
    name: string,
    out: TypedArrayOf<D>,
  ) => TypedArrayOf<D>
  const each =
    (multiply: Multiply, input: 0 | 1) =>
    (v: TypedArrayOf<D>, out: TypedArrayOf<D>): void => {
      let from = 0
      let to = 0
      for (const [index, operator] of list.entries()) {
        const part = v.slice(from, from + operator.shape[input]) as TypedArrayOf<D>
        out.set(
          multiply(
            operator,
            part,
            `operators[${index}]`,
            floatArray(operator.dtype, operator.shape[1 - input] as number),
          ),
          to,
        )
        from += operator.shape[input]
        to += operator.shape[1 - input] as number
      }
    }
  return composed<D>(
    shape as [number, number],
    (list[0] as LinearOperator<D>).dtype,
    tags,
    each(product, 1),
    list.every(isTransposable) ? each(transposedProduct, 0) : undefined,
  )
}
