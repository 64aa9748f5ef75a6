// Linear operators: products against plain loops, the algebra in native code and in JavaScript, misuse.
import { describe, expect, test } from 'vitest'
import type { DType, FloatArray, LinearOperator, OperatorTag } from '../src/index.js'
import {
  blockDiagonalOperator,
  damped,
  denseOperator,
  diagonalOperator,
  functionOperator,
  identityOperator,
  lowRankOperator,
  matmat,
  NativeLinearOperator,
  scaledOperator,
  shiftedOperator,
  sumOperator,
} from '../src/index.js'
import { expectRelative } from './support/compare.js'
import { expectError } from './support/errors.js'

type Rows = readonly (readonly number[])[]

const at = (rows: Rows, i: number, j: number): number => rows[i]?.[j] ?? 0
const matrix = (rows: number, columns: number, phase = 0): number[][] =>
  Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => Math.sin(3 * i + 7 * j + phase)))
const transposed = (rows: Rows): number[][] =>
  Array.from({ length: rows[0]?.length ?? 0 }, (_, j) => rows.map((_, i) => at(rows, i, j)))
const times = (rows: Rows, v: ArrayLike<number>): number[] =>
  rows.map((row) => row.reduce((sum, x, j) => sum + x * (v[j] as number), 0))

function vector(dtype: DType, length: number, phase = 0): FloatArray {
  const values = Array.from({ length }, (_, i) => Math.cos(5 * i + phase))
  return dtype === 'float32' ? Float32Array.from(values) : Float64Array.from(values)
}
const apply = (operator: LinearOperator, v: FloatArray): FloatArray => operator.matvec(v as never)
const applyTransposed = (operator: LinearOperator, u: FloatArray): FloatArray =>
  (operator.matvecTransposed as NonNullable<LinearOperator['matvecTransposed']>)(u as never)

/** The same operator as functions of JavaScript, of which one returns its product and one fills its output. */
function asFunction<D extends DType>(operator: LinearOperator<D>): LinearOperator<D> {
  return functionOperator<D>({
    shape: operator.shape,
    dtype: operator.dtype,
    tags: operator.tags ?? [],
    matvec: (v) => operator.matvec(v),
    matvecTransposed: (u, out) => {
      operator.matvecTransposed?.(u, out)
    },
  })
}

const dtypes = [
  ['float64', 1e-14],
  ['float32', 1e-6],
] as const

/** Operators with the matrix that each stands for. Native and, where `lift` wraps parts, composed in JavaScript. */
function cases<D extends DType>(dtype: D, lift: (operator: LinearOperator<D>) => LinearOperator<D>) {
  const a = matrix(5, 5)
  const b = matrix(5, 5, 1)
  const wide = matrix(3, 5, 2)
  const u = matrix(5, 2, 3)
  const diagonal = vector('float64', 5, 4)
  const dense = (rows: Rows): LinearOperator<D> => lift(denseOperator(rows, { dtype }))
  const entries = (f: (i: number, j: number) => number, rows = 5, columns = 5): number[][] =>
    Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => f(i, j)))
  const diag = dtype === 'float32' ? Float32Array.from(diagonal) : diagonal
  const list: [string, LinearOperator<D>, Rows][] = [
    ['dense', dense(a), a],
    ['dense, wide', dense(wide), wide],
    [
      'diagonal',
      lift(diagonalOperator(diag) as LinearOperator as LinearOperator<D>),
      entries((i, j) => (i === j ? (diagonal[i] as number) : 0)),
    ],
    ['identity', lift(identityOperator(5, { dtype })), entries((i, j) => Number(i === j))],
    ['sum', sumOperator([dense(a), dense(b)]), entries((i, j) => at(a, i, j) + at(b, i, j))],
    [
      'weighted sum of three',
      sumOperator([dense(a), dense(b), dense(a)], [2, -0.5, 0.25]),
      entries((i, j) => 2.25 * at(a, i, j) - 0.5 * at(b, i, j)),
    ],
    ['sum, wide', sumOperator([dense(wide), dense(wide)], [1, 2]), entries((i, j) => 3 * at(wide, i, j), 3)],
    ['scaled', scaledOperator(dense(a), -1.5), entries((i, j) => -1.5 * at(a, i, j))],
    ['shifted', shiftedOperator(dense(a), -0.75), entries((i, j) => at(a, i, j) - (i === j ? 0.75 : 0))],
    ['damped', damped(dense(a), 0.5), entries((i, j) => at(a, i, j) + (i === j ? 0.5 : 0))],
    ['damped twice', damped(damped(dense(a), 0.5), 0.25), entries((i, j) => at(a, i, j) + (i === j ? 0.75 : 0))],
    [
      'low rank',
      lift(lowRankOperator<D>({ vectors: u, weights: [2, -1], dtype })),
      entries((i, j) => 2 * at(u, i, 0) * at(u, j, 0) - at(u, i, 1) * at(u, j, 1)),
    ],
    [
      'low rank, weights of one',
      lift(lowRankOperator<D>({ vectors: u, dtype })),
      entries((i, j) => at(u, i, 0) * at(u, j, 0) + at(u, i, 1) * at(u, j, 1)),
    ],
    [
      'blocks',
      blockDiagonalOperator([dense(a), dense(wide), dense(b)]),
      entries(
        (i, j) =>
          i < 5 && j < 5
            ? at(a, i, j)
            : i < 5 || j < 5
              ? 0
              : i < 8 && j < 10
                ? at(wide, i - 5, j - 5)
                : i < 8 || j < 10
                  ? 0
                  : at(b, i - 8, j - 10),
        13,
        15,
      ),
    ],
  ]
  return list
}

describe.each(dtypes)('%s', (dtype, tolerance) => {
  const kinds = [
    ['native', (operator: LinearOperator<typeof dtype>) => operator],
    ['of JavaScript', asFunction],
  ] as const
  describe.each(kinds)('%s', (kind, lift) => {
    test.each(cases(dtype, lift as never))('%s', (_, operator, rows) => {
      expect(operator.shape).toEqual([rows.length, rows[0]?.length])
      expect(operator.dtype).toBe(dtype)
      expect(operator instanceof NativeLinearOperator).toBe(kind === 'native')
      const [height, width] = operator.shape
      const v = vector(dtype, width)
      const u = vector(dtype, height)
      expectRelative(apply(operator, v), times(rows, v), 20 * tolerance, 'matvec')
      expectRelative(applyTransposed(operator, u), times(transposed(rows), u), 20 * tolerance, 'matvecTransposed')
      expect(v).toEqual(vector(dtype, width))

      const out = vector(dtype, height, 9)
      expect(operator.matvec(v as never, out as never)).toBe(out)
      expect(out).toEqual(apply(operator, v))

      const many = vector(dtype, 3 * width, 2)
      const products = matmat(operator, { data: many as never, shape: [3, width] })
      expect(products.shape).toEqual([3, height])
      for (let k = 0; k < 3; k++) {
        const expected = apply(operator, many.slice(k * width, (k + 1) * width))
        expectRelative(products.data.slice(k * height, (k + 1) * height), expected, 2 * tolerance, `vector ${k}`)
      }
      expect(matmat(operator, many as never).data).toEqual(products.data)
    })
  })
})

test('mixed parts are composed, and keep their products', () => {
  const a = denseOperator(matrix(4, 4), { dtype: 'float64' })
  const mixed = sumOperator([a, asFunction(a)], [1, 3])
  expect(mixed).not.toBeInstanceOf(NativeLinearOperator)
  const v = Float64Array.of(1, -2, 3, 0.5)
  expectRelative(
    mixed.matvec(v),
    a.matvec(v).map((x) => 4 * x),
    1e-14,
  )
})

test('an object of your own is an operator', () => {
  const reversal: LinearOperator<'float64'> = {
    shape: [3, 3],
    dtype: 'float64',
    tags: ['symmetric'],
    matvec: (v) => v.slice().reverse(),
  }
  const twice = scaledOperator(reversal, 2)
  expect([...twice.matvec(Float64Array.of(1, 2, 3))]).toEqual([6, 4, 2])
  expect(twice.tags).toEqual(['symmetric'])
  expect([...(twice.matvecTransposed?.(Float64Array.of(1, 2, 3)) ?? [])]).toEqual([6, 4, 2])
  expect(
    scaledOperator({ shape: [3, 3], dtype: 'float64', matvec: (v) => v.slice() }, 2).matvecTransposed,
  ).toBeUndefined()
})

describe('tags', () => {
  const all: OperatorTag[] = ['symmetric', 'positiveSemidefinite', 'positiveDefinite']
  const tagged = (...tags: OperatorTag[]): LinearOperator<'float64'> => denseOperator([[1]], { dtype: 'float64', tags })
  const none = tagged()
  const symmetric = tagged('symmetric')
  const semidefinite = tagged('positiveSemidefinite')
  const definite = tagged('positiveDefinite')
  const foreign = (operator: LinearOperator<'float64'>): LinearOperator<'float64'> => asFunction(operator)

  const rows: [string, LinearOperator<'float64'>, number][] = [
    ['nothing known', none, 0],
    ['symmetric', symmetric, 1],
    ['semidefinite is symmetric', semidefinite, 2],
    ['definite is semidefinite', definite, 3],
    ['identity', identityOperator(2, { dtype: 'float64' }), 3],
    ['low rank', lowRankOperator({ vectors: [[1], [2]], dtype: 'float64' }), 2],
    ['low rank with a negative weight', lowRankOperator({ vectors: [[1], [2]], weights: [-1], dtype: 'float64' }), 1],
    ['diagonal', diagonalOperator(Float64Array.of(1, 2)), 1],
    ['diagonal said to be definite', diagonalOperator(Float64Array.of(1), { tags: ['positiveDefinite'] }), 3],
    ['damped semidefinite', damped(semidefinite, 0.1), 3],
    ['damped by nothing', damped(semidefinite, 0), 2],
    ['shifted down', shiftedOperator(definite, -1), 1],
    ['scaled', scaledOperator(definite, 2), 3],
    ['scaled by zero', scaledOperator(definite, 0), 2],
    ['scaled by a negative number', scaledOperator(definite, -2), 1],
    ['sum with a definite one', sumOperator([semidefinite, definite]), 3],
    ['sum with one that only is symmetric', sumOperator([symmetric, definite]), 1],
    ['sum with an unknown one', sumOperator([none, definite]), 0],
    ['blocks', blockDiagonalOperator([definite, semidefinite]), 2],
    ['a function', foreign(definite), 3],
    ['a damped function', damped(foreign(semidefinite), 1), 3],
  ]
  test.each(rows)('%s', (_, operator, count) => {
    expect(operator.tags).toEqual(all.slice(0, count))
  })
})

describe('misuse', () => {
  const a = denseOperator(
    [
      [1, 2],
      [3, 4],
      [5, 6],
    ],
    { dtype: 'float64' },
  )
  const square = denseOperator(
    [
      [1, 2],
      [3, 4],
    ],
    { dtype: 'float64' },
  )
  const wide = denseOperator([[1, 2]], { dtype: 'float64' })
  const single = denseOperator([
    [1, 2],
    [3, 4],
  ])
  const js = asFunction(square)
  const bad = (value: unknown): never => value as never
  const returning = (value: unknown) =>
    functionOperator({ size: 2, dtype: 'float64', matvec: () => bad(value) }).matvec(Float64Array.of(1, 2))

  const rows: [
    string,
    () => unknown,
    'ERR_SHAPE' | 'ERR_DTYPE' | 'ERR_OPTION' | 'ERR_NOT_FINITE',
    ...(string | RegExp)[],
  ][] = [
    ['v too short', () => a.matvec(Float64Array.of(1)), 'ERR_SHAPE', 'v: expected length 2, received length 1'],
    ['v of the other dtype', () => a.matvec(bad(Float32Array.of(1, 2))), 'ERR_DTYPE', 'v: expected a Float64Array'],
    ['v no array', () => a.matvec(bad([1, 2])), 'ERR_DTYPE', 'array(2)'],
    ['u too long', () => a.matvecTransposed(new Float64Array(4)), 'ERR_SHAPE', 'u: expected length 3'],
    ['out too short', () => a.matvec(Float64Array.of(1, 2), new Float64Array(2)), 'ERR_SHAPE', 'out'],
    [
      'out is v',
      () => {
        const v = Float64Array.of(1, 2)
        square.matvec(v, v)
      },
      'ERR_OPTION',
      'out',
      'overlaps',
    ],
    [
      'out overlaps v, in JavaScript',
      () => {
        const all = new Float64Array(3)
        js.matvec(all.subarray(0, 2), all.subarray(1))
      },
      'ERR_OPTION',
      'out',
      'overlaps',
    ],
    [
      'the product is too short',
      () => returning(new Float64Array(3)),
      'ERR_SHAPE',
      "matvec's result",
      'length 2',
      'length 3',
    ],
    ['the product is a promise', () => returning(Promise.resolve(1)), 'ERR_DTYPE', "matvec's result", 'Promise'],
    ['the product is of the other dtype', () => returning(new Float32Array(2)), 'ERR_DTYPE', "matvec's result"],
    ['a matrix of no rows', () => denseOperator({ data: new Float64Array(0), shape: [0, 2] }), 'ERR_SHAPE', 'matrix'],
    ['a matrix with NaN', () => denseOperator([[NaN]]), 'ERR_NOT_FINITE', 'matrix', 'NaN'],
    ['an unknown tag', () => denseOperator([[1]], { tags: bad(['symetric']) }), 'ERR_OPTION', "'symmetric'"],
    ['tags of a wide matrix', () => denseOperator([[1, 2]], { tags: ['symmetric'] }), 'ERR_OPTION', 'tags'],
    ['an unknown option', () => denseOperator([[1]], bad({ dtyp: 1 })), 'ERR_OPTION', "did you mean 'dtype'"],
    ['an empty diagonal', () => diagonalOperator(new Float32Array(0)), 'ERR_SHAPE', 'diagonal'],
    ['a diagonal with infinity', () => diagonalOperator(Float32Array.of(1, Infinity)), 'ERR_OPTION', 'diagonal[1]'],
    ['a diagonal that is no float array', () => diagonalOperator(bad([1])), 'ERR_DTYPE', 'diagonal'],
    ['an identity of size 0', () => identityOperator(0), 'ERR_OPTION', 'size'],
    [
      'a function without a size',
      () => functionOperator({ matvec: (v) => v }),
      'ERR_OPTION',
      'size or shape',
      'neither',
    ],
    [
      'a function with size and shape',
      () => functionOperator({ size: 1, shape: [1, 1], matvec: (v) => v }),
      'ERR_OPTION',
      'both',
    ],
    ['no function', () => functionOperator(bad({ size: 2 })), 'ERR_OPTION', 'matvec'],
    [
      'an unknown dtype',
      () => functionOperator({ size: 1, dtype: bad('int8'), matvec: (v) => v }),
      'ERR_OPTION',
      'dtype',
    ],
    ['a sum of nothing', () => sumOperator([]), 'ERR_SHAPE', 'operators'],
    ['a sum of different shapes', () => sumOperator([a, square]), 'ERR_SHAPE', 'operators[1]', '[3, 2]', '[2, 2]'],
    ['a sum of different dtypes', () => sumOperator<DType>([square, single]), 'ERR_DTYPE', 'operators[1]'],
    ['a sum with too few coefficients', () => sumOperator([a, a], [1]), 'ERR_SHAPE', 'coefficients'],
    ['a sum of something else', () => sumOperator(bad([1])), 'ERR_OPTION', 'operators[0]'],
    ['an infinite factor', () => scaledOperator(a, Infinity), 'ERR_OPTION', 'factor'],
    ['a shift of a wide operator', () => shiftedOperator(wide, 1), 'ERR_SHAPE', 'square', '[1, 2]'],
    ['negative damping', () => damped(square, -1), 'ERR_OPTION', 'lambda', '>= 0'],
    ['no operator', () => damped(bad(3), 1), 'ERR_OPTION', 'operator', '3'],
    ['an operator without matvec', () => damped(bad({ shape: [1, 1], dtype: 'float64' }), 1), 'ERR_OPTION', 'matvec'],
    [
      'an operator with a wrong shape',
      () => damped(bad({ shape: [1], dtype: 'float64', matvec: () => 1 }), 1),
      'ERR_SHAPE',
      'shape',
    ],
    [
      'an operator with a wrong dtype',
      () => damped(bad({ shape: [1, 1], dtype: 'x', matvec: () => 1 }), 1),
      'ERR_DTYPE',
      'dtype',
    ],
    ['weights of a low rank', () => lowRankOperator({ vectors: [[1, 2]], weights: [1] }), 'ERR_SHAPE', 'weights'],
    [
      'vectors of another width',
      () => matmat(a, { data: new Float64Array(6), shape: [2, 3] }),
      'ERR_SHAPE',
      'vectors',
      '[k, 2]',
    ],
    [
      'an output over the vectors, of a function',
      () => {
        const both = new Float64Array(6)
        const twice = functionOperator({ size: 2, dtype: 'float64', matvec: (v) => v.map((x) => 2 * x) })
        matmat(twice, both.subarray(0, 4), both.subarray(2, 6))
      },
      'ERR_OPTION',
      'out',
      'memory that overlaps',
    ],
    ['no vectors', () => matmat(a, new Float64Array(0)), 'ERR_SHAPE', 'vectors'],
    [
      'vectors that lack values',
      () => matmat(a, { data: new Float64Array(5), shape: [3, 2] }),
      'ERR_SHAPE',
      'vectors.data',
    ],
  ]
  test.each(rows)('%s', (_, action, code, ...parts) => {
    expectError(action, code, ...parts)
  })

  test('a disposed operator', () => {
    const gone = denseOperator([[2]], { dtype: 'float64' })
    const made = damped(gone, 1)
    gone.dispose()
    gone[Symbol.dispose]()
    expectError(() => gone.matvec(Float64Array.of(1)), 'ERR_STATE', 'disposed')
    expectError(() => damped(gone, 1), 'ERR_STATE', 'disposed')
    expect([...made.matvec(Float64Array.of(1))]).toEqual([3])
  })

  test('what a function throws comes through', () => {
    const error = new RangeError('mine')
    const operator = damped(
      functionOperator({
        size: 1,
        matvec: () => {
          throw error
        },
      }),
      1,
    )
    expect(() => operator.matvec(Float32Array.of(1))).toThrow(error)
  })
})
