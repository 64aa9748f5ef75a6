// What the methods about spectra promise whatever they are given: both forms, any operator, aborts, errors.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { DType, LinearOperator, SpectrumReason } from '../src/index.js'
import {
  createModel,
  curvatureNoise,
  curvatureNoiseSync,
  damped,
  dense,
  denseOperator,
  diagonal,
  diagonalOperator,
  diagonalSync,
  eigenpairs,
  eigenpairsSync,
  frobeniusNorm,
  frobeniusNormSync,
  functionOperator,
  identityOperator,
  linearize,
  matmat,
  meanSquaredError,
  spectralDensity,
  spectralDensitySync,
  spectralNorm,
  spectralNormSync,
  stabilitySync,
  trace,
  traceSync,
} from '../src/index.js'
import { expectClose, expectRelative } from './support/compare.js'
import { expectError, expectRejection } from './support/errors.js'
import type { Operator } from './support/solvers.js'
import { foreign, n, native, rows, times } from './support/solvers.js'

type Ending = { readonly reason: SpectrumReason; readonly products?: number }
type Method = (operator: Operator, options?: object) => Ending | Promise<Ending>

/** Every method of a square operator, in both forms, so that it takes more than three products. */
const methods: [string, Method][] = [
  ['eigenpairs', (operator, options) => eigenpairs(operator, { count: 3, ...options })],
  ['eigenpairsSync', (operator, options) => eigenpairsSync(operator, { count: 3, ...options })],
  ['spectralDensity', (operator, options) => spectralDensity(operator, { gridPoints: 50, ...options })],
  ['spectralDensitySync', (operator, options) => spectralDensitySync(operator, { gridPoints: 50, ...options })],
  ['trace', (operator, options) => trace(operator, options)],
  ['traceSync', (operator, options) => traceSync(operator, options)],
  ['hutch++', (operator, options) => trace(operator, { method: 'hutch++', products: 18, ...options })],
  ['hutch++ sync', (operator, options) => traceSync(operator, { method: 'hutch++', products: 18, ...options })],
  ['diagonal', (operator, options) => diagonal(operator, options)],
  ['diagonalSync', (operator, options) => diagonalSync(operator, options)],
  ['frobeniusNorm', (operator, options) => frobeniusNorm(operator, options)],
  ['frobeniusNormSync', (operator, options) => frobeniusNormSync(operator, options)],
  ['spectralNorm', (operator, options) => spectralNorm(operator, options)],
  ['spectralNormSync', (operator, options) => spectralNormSync(operator, options)],
  ['curvatureNoise', (operator, options) => curvatureNoise(operator, [operator], options)],
  ['curvatureNoiseSync', (operator, options) => curvatureNoiseSync(operator, [operator], options)],
]

/** All numbers of a result, in order. */
function numbersOf(value: unknown): number[] {
  if (typeof value === 'number') return [value]
  if (ArrayBuffer.isView(value)) return Array.from(value as Float64Array)
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersOf) : []
}

describe('one method, every path', () => {
  test.each(methods)('%s: native and JavaScript operators agree', async (_, method) => {
    const [a, b] = [await method(native()), await method(foreign())]
    expect(a.reason).toBe(b.reason)
    // Signs of eigenvectors are free, but one algorithm makes them on both paths.
    expectClose(numbersOf(a), numbersOf(b), 1e-9)
  })

  test.each(methods.filter(([name]) => !/sync$/i.test(name)))(
    '%s equals its synchronous twin',
    async (name, method) => {
      const twin = methods.find(([other]) => other === `${name}Sync` || other === `${name} sync`)?.[1] as Method
      for (const make of [native, foreign]) expect(await method(make())).toEqual(await twin(make()))
    },
  )

  test.each(methods)('%s: a seed is a result', async (_, method) => {
    const first = await method(native(), { seed: 5 })
    expect(await method(native(), { seed: 5 })).toEqual(first)
  })

  test('other seeds and distributions are other probes', () => {
    const samples = [{}, { seed: 1 }, { distribution: 'normal' }] as const
    const found = samples.map((options) => traceSync(native(), { ...options, tolerance: 0 }).samples)
    expect(found[0]).not.toEqual(found[1])
    expect(found[0]).not.toEqual(found[2])
  })

  test('float32 sees the same probes', () => {
    const wide = traceSync(native(), { tolerance: 0 })
    const narrow = traceSync(denseOperator(rows, { dtype: 'float32' }), { tolerance: 0 })
    expectRelative(narrow.samples, wide.samples, 1e-5)
    const normal = { distribution: 'normal', tolerance: 0 } as const
    const single = traceSync(denseOperator(rows, { dtype: 'float32' }), normal)
    expectRelative(single.samples, traceSync(native(), normal).samples, 1e-5)
  })
})

describe('endings', () => {
  test.each(methods)('%s: an abort before the start', async (_, method) => {
    for (const make of [native, foreign]) {
      const result = await method(make(), { signal: AbortSignal.abort() })
      expect(result.reason).toBe('aborted')
      expect(result.products ?? 0).toBe(0)
    }
  })

  test('what an abort left unknown is NaN', () => {
    const options = { signal: AbortSignal.abort() }
    const unknown = new Float64Array(n).fill(NaN)
    for (const make of [native, foreign]) {
      expect(diagonalSync(make(), options).diagonal).toEqual(unknown)
      const norm = spectralNormSync(make(), options)
      expect([norm.value, norm.left, norm.right]).toEqual([NaN, unknown, unknown])
      const { grid, density, kernelVariance } = spectralDensitySync(make(), { ...options, gridPoints: 5 })
      expect([grid, density, kernelVariance]).toEqual([unknown.slice(0, 5), unknown.slice(0, 5), NaN])
      const own = spectralDensitySync(make(), { ...options, grid: [1, 2], kernelVariance: 0.5 })
      expect([own.grid, own.density, own.kernelVariance]).toEqual([Float64Array.of(1, 2), unknown.slice(0, 2), 0.5])
      expect(traceSync(make(), options).value).toBe(NaN)
      expect(frobeniusNormSync(make(), options).value).toBe(NaN)
    }
  })

  test.each(methods)('%s: an abort by the operator itself', async (_, method) => {
    const controller = new AbortController()
    let calls = 0
    const operator = foreign((v) => {
      if (++calls === 3) controller.abort()
      return Float64Array.from(times(rows, v))
    })
    const result = await method(operator, { signal: controller.signal })
    expect(result.reason).toBe('aborted')
    expect(calls).toBe(3)
  })

  test('an abort by a timer, while JavaScript makes the products', async () => {
    const controller = new AbortController()
    let calls = 0
    const operator = foreign((v) => {
      calls++
      const until = performance.now() + 2
      while (performance.now() < until);
      return Float64Array.from(times(rows, v))
    })
    const promise = trace(operator, { probes: 100_000, tolerance: 0, signal: controller.signal })
    await sleep(30)
    controller.abort()
    const result = await promise
    expect(result.reason).toBe('aborted')
    expect(result.samples.length).toBeGreaterThan(0)
    expect(result.samples.length).toBeLessThanOrEqual(calls)
  })

  test('an abort by a timer, while native code does', async () => {
    const controller = new AbortController()
    const operator = identityOperator<'float64'>(50_000, { dtype: 'float64' })
    const promise = trace(operator, { probes: 1e9, tolerance: 0, signal: controller.signal })
    await sleep(30)
    controller.abort()
    expect((await promise).reason).toBe('aborted')
  })

  test.each(methods)('%s: an operator that makes NaN', async (_, method) => {
    let calls = 0
    const operator = foreign((v) => (++calls > 2 ? v.fill(NaN) : Float64Array.from(times(rows, v))))
    expect((await method(operator)).reason).toBe('notFinite')
    expect(calls).toBe(3)
  })

  const error = new RangeError('mine')
  test.each(methods)('%s: what an operator throws comes through', async (_, method) => {
    const operator = foreign(() => {
      throw error
    })
    await expect((async () => method(operator))()).rejects.toBe(error)
  })

  test.each(methods)('%s: an operator that returns something else', async (_, method) => {
    const operator: Operator = {
      shape: [n, n],
      dtype: 'float64',
      tags: ['symmetric'],
      matvec: () => new Float64Array(n + 1),
    }
    await expectRejection(async () => method(operator), 'ERR_SHAPE', "operator.matvec's result", `length ${n + 1}`)
  })
})

describe('eigenpairs', () => {
  test('vectors of a network in public order', async () => {
    for (const dtype of ['float64', 'float32'] as const) {
      const model = createModel({
        inputs: 4,
        layers: [dense(9, 'tanh'), dense(5, 'softplus'), dense(3)],
        seed: 2,
        dtype,
      })
      const inputs = Array.from({ length: 12 }, (_, i) => [0, 1, 2, 3].map((j) => Math.sin(3 * i + j)))
      const point = linearize(
        model,
        { inputs, targets: inputs.map(([a, b, c]) => [a, b, c] as number[]) },
        meanSquaredError(),
      )
      for (const operator of [point.hessian(), point.ggn(), damped(point.ggn(), 0.1)] as LinearOperator<DType>[]) {
        const { values, vectors, residuals, reason } = await eigenpairs(operator, { count: 4, tolerance: 1e-4 })
        expect(reason).toBe('converged')
        expect(vectors.shape).toEqual([4, model.parameterCount])
        const products = matmat(operator, vectors)
        const bound = 3e-4 * (values[0] as number)
        expectClose(
          products.data,
          vectors.data.map((x, i) => x * (values[Math.floor(i / model.parameterCount)] as number)),
          bound,
        )
        expect(Math.max(...residuals)).toBeLessThanOrEqual(1e-4 * (values[0] as number))
      }
    }
  })

  test('orders, counts beyond n, products that run out, starts', () => {
    const operator = diagonalOperator(Float64Array.of(3, -7, 1, 5))
    const values = (options: object): number[] =>
      [...eigenpairsSync(operator, options).values].map((x) => Math.round(x * 1e9) / 1e9)
    expect(values({ count: 2 })).toEqual([5, 3])
    expect(values({ count: 2, which: 'smallest' })).toEqual([-7, 1])
    expect(values({ count: 2, which: 'magnitude' })).toEqual([-7, 5])
    expect(values({ count: 9 })).toEqual([5, 3, 1, -7])
    const cut = eigenpairsSync(native(), { count: 2, maxProducts: 4 })
    expect([cut.reason, cut.products, cut.values.length]).toEqual(['maxProducts', 4, 2])
    const one = eigenpairsSync(native(), { maxProducts: 1, start: Float64Array.from({ length: n }, () => 1) })
    expect(one.values.length).toBe(1)
    // The Rayleigh quotient of the start.
    expect(one.values[0]).toBeCloseTo(rows.flat().reduce((sum, x) => sum + x, 0) / n, 12)
    const none = eigenpairsSync(native(), { signal: AbortSignal.abort() })
    expect([none.values.length, none.vectors.shape]).toEqual([0, [0, n]])
  })

  test('copies of one eigenvalue', () => {
    const { values } = eigenpairsSync(diagonalOperator(Float64Array.of(2, 9, 9, 2, 9, 1)), { count: 4 })
    expectRelative(values, [9, 9, 9, 2], 1e-12)
  })

  test('misuse', () => {
    expectError(() => eigenpairsSync(native(), { count: 0 }), 'ERR_OPTION', 'eigenpairs count')
    expectError(() => eigenpairsSync(native(), { which: 'biggest' as 'largest' }), 'ERR_OPTION', "'largest'")
    expectError(
      () => eigenpairsSync(native(), { maxproducts: 3 } as object),
      'ERR_OPTION',
      "did you mean 'maxProducts'",
    )
    expectError(() => eigenpairsSync(native(), { start: new Float64Array(n) }), 'ERR_OPTION', 'not zero')
    expectError(
      () => eigenpairsSync(native(), { start: new Float64Array(n).fill(NaN) }),
      'ERR_NOT_FINITE',
      'eigenpairs start[0]: expected',
    )
    expectError(() => eigenpairsSync(native(), { start: new Float64Array(3) }), 'ERR_SHAPE', `length ${n}`)
    expectError(() => eigenpairsSync(native(), { count: 4, subspace: 5 }), 'ERR_OPTION', 'subspace')
    expectError(() => eigenpairsSync(native(), { tolerance: -1 }), 'ERR_OPTION', 'tolerance')
    expectError(() => eigenpairsSync(native(), { seed: 0.5 }), 'ERR_OPTION', 'seed')
    expectError(() => eigenpairsSync(denseOperator([[1, 2, 3]])), 'ERR_SHAPE', 'a square operator')
    expectError(() => eigenpairsSync({} as Operator), 'ERR_OPTION', 'a linear operator')
  })
})

describe('spectral density', () => {
  test('the default grid carries a density', () => {
    const { grid, density, nodes, weights, kernelVariance } = spectralDensitySync(native(), { kernelVariance: 0.01 })
    expect(grid.length).toBe(10_000)
    expect(kernelVariance).toBe(0.01)
    const spacing = (grid[1] as number) - (grid[0] as number)
    expect(density.reduce((sum, x) => sum + x, 0) * spacing).toBeCloseTo(1, 12)
    // n distinct eigenvalues, n steps: the nodes are the eigenvalues 1 … n.
    for (const [index, of] of nodes.entries()) {
      expectRelative(
        of,
        Float64Array.from({ length: n }, (_, i) => i + 1),
        1e-9,
      )
      expect((weights[index] as Float64Array).reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 12)
    }
    expect([grid[0], grid.at(-1)]).toEqual([expect.closeTo(0.99, 9), expect.closeTo(n + 0.01, 9)])
    // One unit of mass for every eigenvalue, n in all.
    const peak = Math.max(...density.slice(0, 400))
    expect(density.filter((_, i) => Math.abs((grid[i] as number) - 6.5) < 0.02).every((x) => x < 1e-4 * peak)).toBe(
      true,
    )
  })

  test('default variance, own grids, plain recurrence', () => {
    expect(spectralDensitySync(native(), { gridPoints: 2 }).kernelVariance).toBeCloseTo(1e-5 * (n - 1), 12)
    expect(spectralDensitySync(identityOperator(5), { gridPoints: 2 }).kernelVariance).toBe(1e-5)
    const grid = [1, 2.5]
    const own = spectralDensitySync(native(), { grid, kernelVariance: 0.5, probes: 400, distribution: 'normal' })
    const exact = grid.map((t) =>
      Array.from({ length: n }, (_, i) => Math.exp(-((t - i - 1) ** 2)) / Math.sqrt(Math.PI) / n),
    )
    expectRelative(
      own.density,
      exact.map((terms) => terms.reduce((sum, x) => sum + x, 0)),
      0.05,
    )
    const plain = spectralDensitySync(native(), { reorthogonalise: false, steps: 40, grid, kernelVariance: 0.5 })
    const kept = spectralDensitySync(native(), { grid, kernelVariance: 0.5 })
    expectRelative(plain.density, kept.density, 1e-3)
  })

  test('misuse', () => {
    const sync = (options: object) => () => spectralDensitySync(native(), options)
    expectError(sync({ steps: 0 }), 'ERR_OPTION', 'steps')
    expectError(sync({ probes: 0 }), 'ERR_OPTION', 'probes')
    expectError(sync({ probes: [] }), 'ERR_OPTION', 'at least one vector')
    expectError(sync({ probes: 'many' }), 'ERR_OPTION', 'a number or an array of vectors')
    expectError(sync({ probes: [new Float32Array(n)] }), 'ERR_DTYPE', 'probes[0]')
    expectError(sync({ kernelVariance: 0 }), 'ERR_OPTION', 'kernelVariance')
    expectError(sync({ grid: [1, NaN] }), 'ERR_OPTION', 'grid[1]')
    expectError(sync({ distribution: 'gaussian' }), 'ERR_OPTION', 'distribution')
    expectError(sync({ gridpoints: 7 }), 'ERR_OPTION', "'gridPoints'")
  })
})

describe('trace, diagonal and norms', () => {
  const exact = (n * (n + 1)) / 2

  test('the error is as large as it says', () => {
    const { value, standardError, reason, products, samples } = traceSync(native(), { probes: 2000, tolerance: 0.005 })
    expect(reason).toBe('converged')
    expect(products).toBe(samples.length)
    expect(standardError).toBeLessThanOrEqual(0.005 * value)
    expect(Math.abs(value - exact)).toBeLessThan(4 * standardError)
    const all = traceSync(native(), { probes: 20, tolerance: 0 })
    expect([all.reason, all.products]).toEqual(['maxProducts', 20])
  })

  test('signs are exact for diagonal matrices', () => {
    const values = Float64Array.of(4, -1, 2.5)
    const operator = diagonalOperator(values)
    expect(traceSync(operator)).toMatchObject({ value: 5.5, standardError: 0, products: 10, reason: 'converged' })
    expect(frobeniusNormSync(operator).value).toBeCloseTo(Math.sqrt(16 + 1 + 6.25), 12)
    expect(diagonalSync(operator)).toMatchObject({ diagonal: values, products: 10, reason: 'converged' })
    expect(traceSync(operator, { method: 'hutch++', products: 30 }).value).toBeCloseTo(5.5, 12)
  })

  test('the diagonal comes near', () => {
    const { diagonal: found, standardError } = diagonalSync(native(), { probes: 1000, tolerance: 0 })
    const distance = Math.hypot(...found.map((x, i) => x - (rows[i]?.[i] ?? NaN)))
    expect(distance).toBeLessThan(2 * standardError)
    expect(distance).toBeGreaterThan(standardError / 2)
  })

  test('norms', () => {
    const { value, standardError } = frobeniusNormSync(native(), { probes: 3000, tolerance: 0.003 })
    const squares = (n * (n + 1) * (2 * n + 1)) / 6
    expect(Math.abs(value - Math.sqrt(squares))).toBeLessThan(4 * standardError)
    // A rectangle: the root of the largest eigenvalue of A Aᵀ.
    const matrix = [
      [3, 0, 4],
      [0, 2, 0],
    ]
    const a = denseOperator(matrix, { dtype: 'float64' })
    const found = spectralNormSync(a, { tolerance: 1e-14 })
    expect(found.value).toBeCloseTo(5, 9)
    expect([found.left.length, found.right.length]).toEqual([2, 3])
    expectClose(
      a.matvec(found.right),
      found.left.map((x) => x * found.value),
      1e-5,
    )
    const javascript = functionOperator<'float64'>({
      shape: [2, 3],
      dtype: 'float64',
      matvec: (v) => Float64Array.from(times(matrix, v)),
      matvecTransposed: (u) =>
        Float64Array.from([0, 1, 2], (j) => (matrix[0]?.[j] ?? 0) * (u[0] ?? 0) + (matrix[1]?.[j] ?? 0) * (u[1] ?? 0)),
    })
    expect(spectralNormSync(javascript, { tolerance: 1e-14 })).toEqual(found)
    expect(spectralNormSync(a, { maxProducts: 2, tolerance: 0 }).reason).toBe('maxProducts')
  })

  test('misuse', () => {
    expectError(() => traceSync(native(), { method: 'hutch' as 'hutch++' }), 'ERR_OPTION', "did you mean 'hutch++'")
    expectError(() => traceSync(native(), { method: 'hutch++', products: 2 }), 'ERR_OPTION', 'products')
    expectError(() => traceSync(native(), { products: 9 } as object), 'ERR_OPTION', "unknown option 'products'")
    const odd = { method: 'hutch++', probes: [new Float64Array(n)] } as const
    expectError(() => traceSync(native(), odd), 'ERR_OPTION', 'an even number of vectors')
    expectError(() => diagonalSync(native(), { distribution: 'normal' }), 'ERR_OPTION', 'signs')
    expectError(() => traceSync(native(), { minProbes: 1 }), 'ERR_OPTION', 'minProbes')
    expectError(
      () => frobeniusNormSync(native(), { method: 'hutch++' } as object),
      'ERR_OPTION',
      "unknown option 'method'",
    )
    const blind: LinearOperator<'float64'> = { shape: [2, 3], dtype: 'float64', matvec: () => new Float64Array(2) }
    expectError(() => spectralNormSync(blind), 'ERR_OPTION', 'transpose')
    expectError(() => spectralNormSync(native(), { maxProducts: 1 }), 'ERR_OPTION', 'maxProducts')
  })
})

describe('curvature noise', () => {
  const shifted = (by: number): Operator => diagonalOperator(Float64Array.from({ length: n }, (_, i) => i + by))

  test('of shifts, which is known', () => {
    const { value, samples, products } = curvatureNoiseSync(shifted(0), [shifted(2), shifted(-1)], { probes: 3 })
    expectClose(samples, [4, 1, 4, 1, 4, 1], 1e-12)
    expect(value).toBeCloseTo(2.5, 12)
    expect(products).toBe(9)
    const mixed = functionOperator<'float64'>({
      size: n,
      dtype: 'float64',
      matvec: (v) => v.map((x, i) => x * (i + 2)),
    })
    expectClose(curvatureNoiseSync(mixed, [shifted(0), mixed], { probes: 1 }).samples, [4, 0], 1e-12)
    expectClose(curvatureNoiseSync(shifted(0), [mixed], { probes: 1 }).samples, [4], 1e-12)
  })

  test('of a network in arena order beside operators of JavaScript', () => {
    const model = createModel({ inputs: 3, layers: [dense(5, 'tanh'), dense(1)], seed: 1, dtype: 'float64' })
    const point = linearize(model, { inputs: [[1, 2, 3]], targets: [[1]] }, meanSquaredError())
    const size = model.parameterCount
    const zero = functionOperator<'float64'>({ size, dtype: 'float64', matvec: (v) => v.fill(0) })
    const ggn = point.ggn()
    const options = { probes: 4 }
    const expected = frobeniusNormSync(ggn, { probes: 4, tolerance: 0 }).samples.map((x) => x / size)
    expectRelative(curvatureNoiseSync(zero, [ggn], options).samples, expected, 1e-12)
    expectRelative(curvatureNoiseSync(ggn, [zero], options).samples, expected, 1e-12)
  })

  test('misuse', () => {
    expectError(() => curvatureNoiseSync(native(), []), 'ERR_SHAPE', 'batches')
    expectError(
      () => curvatureNoiseSync(native(), [identityOperator(3, { dtype: 'float64' })]),
      'ERR_SHAPE',
      'batches[0]',
    )
    const narrow = identityOperator(n, { dtype: 'float32' }) as unknown as Operator
    expectError(() => curvatureNoiseSync(native(), [narrow]), 'ERR_DTYPE', 'batches[0]')
  })
})

test('a disposed operator is an error, not a crash', async () => {
  const operator = denseOperator(rows, { dtype: 'float64' })
  operator.dispose()
  for (const [, method] of methods) await expectRejection(async () => method(operator), 'ERR_STATE')
  expectError(() => stabilitySync(operator, { learningRate: 1 }), 'ERR_STATE')
})
