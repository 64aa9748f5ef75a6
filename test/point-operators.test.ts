// Curvature at a point as operators: public order outside whatever the core's order is, and solvers on it.
import { describe, expect, test } from 'vitest'
import type { DType, LinearOperator, TypedArrayOf } from '../src/index.js'
import {
  binaryCrossEntropy,
  blockDiagonalOperator,
  conjugateGradient,
  conjugateGradientSync,
  createModel,
  damped,
  dense,
  denseOperator,
  diagonalOperator,
  functionOperator,
  lanczos,
  layerNorm,
  leastSquares,
  linearize,
  lowRankOperator,
  matmat,
  meanSquaredError,
  minres,
  NativeLinearOperator,
  residual,
  scaledOperator,
  softmaxCrossEntropy,
  sumOperator,
} from '../src/index.js'
import { expectClose, expectRelative, largest } from './support/compare.js'
import { expectError } from './support/errors.js'
import { untimed } from './support/solvers.js'

const samples = 9

/** Widths that fill no panel, so that the core's order has padding everywhere. */
function networkPoint<D extends DType>(dtype: D, options: { l2?: number; batchSize?: number } = {}) {
  const model = createModel<D>({
    inputs: 3,
    layers: [dense(5, 'tanh'), residual([dense(4, 'sigmoid'), dense(5)]), layerNorm(), dense(2)],
    seed: 3,
    dtype,
  })
  const inputs = Array.from({ length: samples }, (_, i) => [Math.sin(i), Math.cos(2 * i), i / samples])
  const targets = inputs.map(([a = 0, b = 0]) => [a * b, a - b])
  return linearize(model, { inputs, targets }, meanSquaredError(), options)
}
const point = networkPoint('float64')
const size = point.parameterCount

const wave = (length: number, phase = 0): Float64Array<ArrayBuffer> =>
  Float64Array.from({ length }, (_, i) => Math.sin(1.7 * i + phase))
/** Only public order is seen by this one. */
const throughJavaScript = (operator: NativeLinearOperator<'float64'>): LinearOperator<'float64'> =>
  functionOperator({
    shape: operator.shape,
    dtype: 'float64',
    tags: operator.tags,
    matvec: (v) => operator.matvec(v),
    matvecTransposed: (u) => operator.matvecTransposed(u),
  })
const sum = (a: ArrayLike<number>, b: ArrayLike<number>, factor = 1): number[] =>
  Array.from(a, (x, i) => x + factor * (b[i] as number))

describe('operators of a point', () => {
  const kinds = [
    ['hessian', () => point.hessian(), ['symmetric']],
    ['ggn', () => point.ggn(), ['symmetric', 'positiveSemidefinite']],
    ['fisher', () => point.fisher(), ['symmetric', 'positiveSemidefinite']],
    ['empiricalFisher', () => point.empiricalFisher(), ['symmetric', 'positiveSemidefinite']],
  ] as const
  test.each(kinds)('%s', (_, make, tags) => {
    const operator = make()
    expect(operator.shape).toEqual([size, size])
    expect([operator.dtype, operator.tags]).toEqual(['float64', tags])
    const v = wave(size)
    const w = wave(size, 1)
    const product = operator.matvec(v)
    const dot = (a: Float64Array, b: Float64Array): number => a.reduce((total, x, i) => total + x * (b[i] as number), 0)
    expectClose([dot(w, product)], [dot(v, operator.matvec(w))], 1e-12 * Math.abs(dot(w, product)) + 1e-14)
    expect(operator.matvecTransposed(v)).toEqual(product)
    if (operator.tags.includes('positiveSemidefinite')) expect(dot(v, product)).toBeGreaterThanOrEqual(0)
    const both = matmat(operator, { data: Float64Array.of(...v, ...w), shape: [2, size] })
    expectRelative(both.data, Float64Array.of(...product, ...operator.matvec(w)), 1e-13)
  })

  test('the Hessian is the derivative of the gradient', () => {
    const model = createModel({ inputs: 2, layers: [dense(3, 'tanh'), dense(2)], seed: 1, dtype: 'float64' })
    const data = {
      inputs: [
        [1, 2],
        [0.5, -1],
        [-1, 0.3],
      ],
      targets: [0, 1, 1],
    }
    const theta = model.parameters
    const v = wave(theta.length)
    const gradientAt = (step: number): Float64Array => {
      model.setParameters(theta.map((x, i) => x + step * (v[i] as number)))
      return linearize(model, data, softmaxCrossEntropy(), { l2: 0.1 }).gradient()
    }
    const h = 1e-4
    const [a, b, c, d] = [gradientAt(-2 * h), gradientAt(-h), gradientAt(h), gradientAt(2 * h)] as const
    const differences = a.map((x, i) => (x - 8 * (b[i] as number) + 8 * (c[i] as number) - (d[i] as number)) / (12 * h))
    model.setParameters(theta)
    const operator = linearize(model, data, softmaxCrossEntropy(), { l2: 0.1 }).hessian()
    expectRelative(operator.matvec(v), differences, 1e-9)
  })

  test('the Jacobian', () => {
    const jacobian = point.jacobian()
    expect(jacobian.shape).toEqual([2 * samples, size])
    expect(jacobian.tags).toEqual([])
    const v = wave(size)
    const u = wave(2 * samples)
    expect(jacobian.matvec(v)).toEqual(point.jvp(v).data)
    expect(jacobian.matvecTransposed(u)).toEqual(point.vjp(u))
  })

  test('of several heads: outputs head after head', () => {
    const model = createModel({
      inputs: 2,
      layers: [dense(3, 'tanh')],
      heads: { a: [dense(2)], b: [dense(1)] },
      dtype: 'float64',
    })
    const data = {
      inputs: [
        [1, 2],
        [3, 4],
      ],
      targets: {
        a: [
          [1, 0],
          [0, 1],
        ],
        b: [[1], [0]],
      },
    }
    const both = linearize(model, data, { a: meanSquaredError(), b: binaryCrossEntropy() })
    const v = wave(model.parameterCount)
    const parts = both.jvp(v)
    expect(both.jacobian().matvec(v)).toEqual(Float64Array.of(...parts.a.data, ...parts.b.data))
    expect(both.ggn().shape).toEqual([model.parameterCount, model.parameterCount])
  })

  test('l2 is part of curvature, but for the empirical Fisher matrix', () => {
    const regularised = networkPoint('float64', { l2: 0.25 })
    const v = wave(size)
    for (const kind of ['hessian', 'ggn', 'fisher'] as const) {
      expectRelative(regularised[kind]().matvec(v), sum(point[kind]().matvec(v), v, 0.25), 1e-12, kind)
    }
    expectRelative(regularised.empiricalFisher().matvec(v), point.empiricalFisher().matvec(v), 1e-12)
  })

  test('data larger than the workspace', () => {
    const parts = networkPoint('float64', { batchSize: 4 })
    const v = wave(size)
    for (const kind of ['hessian', 'ggn', 'fisher', 'empiricalFisher', 'jacobian'] as const) {
      expectRelative(parts[kind]().matvec(v), point[kind]().matvec(v), 1e-12, kind)
    }
  })

  test('float32 follows float64', () => {
    const single = networkPoint('float32')
    const v = wave(size)
    for (const kind of ['hessian', 'ggn', 'fisher', 'empiricalFisher'] as const) {
      const product: Float32Array = single[kind]().matvec(Float32Array.from(v))
      expectRelative(product, point[kind]().matvec(v), 1e-3, kind)
    }
  })

  test('they outlive their point', () => {
    const gone = networkPoint('float64')
    const operator = gone.ggn()
    gone.dispose()
    expect(operator.matvec(wave(size))).toEqual(point.ggn().matvec(wave(size)))
    expectError(() => gone.ggn(), 'ERR_STATE', 'disposed')
  })
})

describe('compositions keep public order', () => {
  const v = wave(size)
  const g = point.ggn()
  const h = point.hessian()
  const small = denseOperator(
    [
      [2, 1],
      [1, 3],
    ],
    { dtype: 'float64' },
  )
  const factor = Array.from({ length: size }, (_, i) => [Math.cos(i), Math.sin(3 * i)])
  const lowRank = lowRankOperator<'float64'>({ vectors: factor, weights: [1, 2], dtype: 'float64' })
  const diagonal = diagonalOperator(wave(size, 2))

  const rows: [string, LinearOperator<'float64'>, () => ArrayLike<number>][] = [
    [
      'sum',
      sumOperator([g, h], [2, -1]),
      () =>
        sum(
          g.matvec(v).map((x) => 2 * x),
          h.matvec(v),
          -1,
        ),
    ],
    ['damped', damped(g, 0.5), () => sum(g.matvec(v), v, 0.5)],
    ['scaled', scaledOperator(h, -3), () => h.matvec(v).map((x) => -3 * x)],
    ['with a plain diagonal', sumOperator([g, diagonal]), () => sum(g.matvec(v), diagonal.matvec(v))],
    ['with a low rank', sumOperator([lowRank, g]), () => sum(lowRank.matvec(v), g.matvec(v))],
    [
      'damped twice',
      damped(sumOperator([damped(g, 1), diagonal]), 2),
      () => sum(sum(g.matvec(v), v, 3), diagonal.matvec(v)),
    ],
  ]
  test.each(rows)('%s', (_, operator, expected) => {
    expect(operator).toBeInstanceOf(NativeLinearOperator)
    expect(operator.shape).toEqual([size, size])
    expectRelative(operator.matvec(v), expected(), 1e-13)
    expectRelative(operator.matvecTransposed?.(v) ?? [], expected(), 1e-13)
  })

  test('blocks', () => {
    const operator = blockDiagonalOperator<'float64'>([small, g, point.jacobian()])
    expect(operator).toBeInstanceOf(NativeLinearOperator)
    expect(operator.shape).toEqual([2 + size + 2 * samples, 2 + 2 * size])
    const w = wave(2 + 2 * size)
    const parts = [w.slice(0, 2), w.slice(2, 2 + size), w.slice(2 + size)] as const
    const expected = [...small.matvec(parts[0]), ...g.matvec(parts[1]), ...point.jacobian().matvec(parts[2])]
    expectRelative(operator.matvec(w), expected, 1e-13)
  })
})

describe('solvers on curvature', () => {
  const gradient = point.gradient()
  const matrix = damped(point.ggn(), 1) as NativeLinearOperator<'float64'>
  const options = { tolerance: 1e-11 }

  test('the native path and that of JavaScript agree', async () => {
    const result = await conjugateGradient(matrix, gradient, options)
    expect(result.reason).toBe('converged')
    expectRelative(matrix.matvec(result.solution), gradient, 1e-10)
    const other = await conjugateGradient(throughJavaScript(matrix), gradient, options)
    expect([other.reason, other.iterations]).toEqual([result.reason, result.iterations])
    expectRelative(other.solution, result.solution, 1e-10)
    const minimal = await minres(matrix, gradient, options)
    expectRelative(minimal.solution, result.solution, 1e-8)
    const steps = { steps: 8 }
    const [first, second] = await Promise.all([
      lanczos(matrix, gradient, steps),
      lanczos(throughJavaScript(matrix), gradient, steps),
    ])
    expectRelative(second.ritzValues, first.ritzValues, 1e-10)
    expectRelative(second.basis?.data ?? [], first.basis?.data ?? [], 1e-9)
  })

  test('iterates, stored ones and starts are in public order', () => {
    const seen: TypedArrayOf<'float64'>[] = []
    const result = conjugateGradientSync(matrix, gradient, {
      tolerance: 0,
      maxIterations: 6,
      storeIterates: { first: 2, growth: 2 },
      onIteration: ({ solution, iteration, residualNorm }) => {
        seen[iteration] = solution
        const product = matrix.matvec(solution)
        expectClose([Math.hypot(...sum(gradient, product, -1))], [residualNorm], 1e-12)
      },
    })
    expect(seen).toHaveLength(7)
    expect(result.solution).toEqual(seen[6])
    expect(result.storedIterates?.map(({ iteration, solution }) => [iteration, solution])).toEqual([
      [2, seen[2]],
      [4, seen[4]],
      [6, seen[6]],
    ])
    const warm = conjugateGradientSync(matrix, gradient, { initial: seen[6] as Float64Array, maxIterations: 0 })
    expect(warm.solution).toEqual(seen[6])
    expectClose([warm.residualNorm], [result.residualNorm], 1e-10)
  })

  test('every pair of orders of operator and preconditioner', () => {
    const diagonal = diagonalOperator(wave(size).map((x) => 1.5 + x))
    const own = damped(point.empiricalFisher(), 1) as NativeLinearOperator<'float64'>
    for (const preconditioner of [diagonal, own]) {
      const expected = conjugateGradientSync(matrix, gradient, { ...options, preconditioner })
      expect(expected.reason).toBe('converged')
      expectRelative(matrix.matvec(expected.solution), gradient, 1e-10)
      const pairs = [
        [matrix, throughJavaScript(preconditioner)],
        [throughJavaScript(matrix), preconditioner],
        [throughJavaScript(matrix), throughJavaScript(preconditioner)],
      ] as const
      for (const [operator, inverse] of pairs) {
        const result = conjugateGradientSync(operator, gradient, { ...options, preconditioner: inverse })
        expect(result.reason).toBe('converged')
        expectRelative(result.solution, expected.solution, 1e-9)
      }
    }
    // A plain matrix with a preconditioner in the order of a network.
    const plain = damped(diagonalOperator(wave(size).map((x) => 2 + x)), 0.5)
    const result = conjugateGradientSync(plain, gradient, { ...options, preconditioner: own })
    expectRelative(plain.matvec(result.solution), gradient, 1e-10)
  })

  test('least squares on the Jacobian are the Gauss-Newton step', async () => {
    const jacobian = point.jacobian()
    const rhs = wave(2 * samples)
    const { solution, reason } = await leastSquares(jacobian, rhs, { damping: 0.1, tolerance: 1e-12 })
    expect(reason).toBe('converged')
    const normal = sum(jacobian.matvecTransposed(jacobian.matvec(solution)), solution, 0.1)
    expectRelative(normal, jacobian.matvecTransposed(rhs), 1e-9)
    const other = await leastSquares(throughJavaScript(jacobian), rhs, { damping: 0.1, tolerance: 1e-12 })
    expectRelative(other.solution, solution, 1e-9)
  })

  test('products while a solver works with the same point', async () => {
    const v = wave(size)
    const expected = point.ggn().matvec(v)
    const pending = conjugateGradient(matrix, gradient, { tolerance: 0, maxIterations: 300 })
    for (let i = 0; i < 50; i++) expect(point.ggn().matvec(v)).toEqual(expected)
    const result = await pending
    expect(largest(result.solution)).toBeLessThan(Infinity)
    const alone = conjugateGradientSync(matrix, gradient, { tolerance: 0, maxIterations: 300 })
    expect(untimed(result)).toEqual(untimed(alone))
  })
})
