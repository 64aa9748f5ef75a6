// Surrogate tangent kernels and kernel regression: golden numbers, and what they must agree with.
import { describe, expect, test } from 'vitest'
import type { Surrogate } from '../src/index.js'
import {
  createModel,
  dense,
  finiteSurrogateKernel,
  kernelRegression,
  normal,
  surrogateKernel,
  surrogates,
} from '../src/index.js'
import { expectClose, expectRelative } from './support/compare.js'
import type { Nested } from './support/golden.js'
import { flatten, goldenFile } from './support/golden.js'

type Rows = readonly (readonly number[])[]
type Case = {
  readonly denseLayers: number
  readonly activation: 'sign' | 'erf'
  readonly m: number | null
  readonly surrogate: 'erf' | 'identity'
  readonly surrogateM: number
  readonly weightStd: number
  readonly biasStd: number
  readonly train: Rows
  readonly test: Rows
  readonly targets: readonly number[]
  readonly nngpTrain: Nested
  readonly kernelTrain: Rows
  readonly kernelTestTrain: Rows
  readonly prediction: readonly number[]
  readonly finite: {
    readonly widths: readonly number[]
    readonly weights: readonly Rows[]
    readonly biases: Rows
    readonly outputs: readonly number[]
    readonly kernelTrueSurrogate: Rows
    readonly kernelSurrogateSurrogate: Rows
  }
}

describe.each(goldenFile<Case>('per-sample', 'sg-ntk.json'))('$name', ({ value }) => {
  const { train, finite } = value
  const straight = value.surrogate === 'identity'
  const network = {
    activation: value.m === null ? ('sign' as const) : { kind: 'erf' as const, sharpness: value.m },
    surrogate: straight ? ('straightThrough' as const) : ('erf' as const),
    ...(straight ? {} : { beta: value.surrogateM }),
    weightStd: value.weightStd,
    biasStd: value.biasStd,
  }

  test('closed forms and prediction', () => {
    const own = surrogateKernel({ ...network, layers: value.denseLayers, left: train })
    const others = surrogateKernel({ ...network, layers: value.denseLayers, left: value.test, right: train })
    const covariances = own.covariances.flatMap(({ data }) => [...data])
    expectRelative(covariances, flatten(value.nngpTrain), 1e-9, 'nngpTrain')
    expectRelative(own.kernel.data, flatten(value.kernelTrain), 1e-9, 'kernelTrain')
    expectRelative(others.kernel.data, flatten(value.kernelTestTrain), 1e-9, 'kernelTestTrain')
    const { predictions, reason } = kernelRegression({
      kernel: own.kernel,
      testKernel: others.kernel,
      targets: value.targets,
    })
    expect(reason).toBe('completed')
    expectRelative(predictions.data, value.prediction, 1e-9, 'prediction')
  })

  test('one network', () => {
    const parameters = finite.weights.flatMap((w, layer) => [...flatten(w), ...(finite.biases[layer] ?? [])])
    const options = { ...network, widths: [...finite.widths, 1], parameters, right: train }
    const { kernel } = finiteSurrogateKernel({ ...options, left: value.test })
    expectRelative(kernel.data, flatten(finite.kernelTrueSurrogate), 1e-9, 'kernelTrueSurrogate')
    const both = finiteSurrogateKernel({ ...options, left: value.test, derivative: 'surrogate' })
    expectRelative(both.kernel.data, flatten(finite.kernelSurrogateSurrogate), 1e-9, 'kernelSurrogateSurrogate')
    const { outputs } = finiteSurrogateKernel({ ...options, left: train })
    expectRelative(outputs, finite.outputs, 1e-9, 'outputs')
  })
})

const circle = [0, 0.7, 1.9, 3.3].map((angle) => [Math.cos(angle), Math.sin(angle)])

test('on inputs of one length the kernel is symmetric, elsewhere it is not', () => {
  const asymmetry = (left: number[][]): number => {
    const { data } = surrogateKernel({ layers: 3, left, biasStd: 0.1 }).kernel
    return Math.max(
      ...[0, 1, 2, 3].flatMap((i) =>
        [0, 1, 2, 3].map((j) => Math.abs((data[4 * i + j] ?? 0) - (data[4 * j + i] ?? 0))),
      ),
    )
  }
  expect(asymmetry(circle)).toBeLessThan(1e-13)
  expect(asymmetry(circle.map(([x = 0, y = 0], i) => [x * (i + 1), y * (i + 1)]))).toBeGreaterThan(1e-2)
})

test('a wide network has nearly the kernel of infinite width', () => {
  const width = 3000
  const initial = {
    weightInitialiser: normal({ standardDeviation: 1 }),
    biasInitialiser: normal({ standardDeviation: 1 }),
  }
  const layers = [dense(width, 'identity', initial), dense(1, 'identity', initial)]
  const { parameters } = createModel({ inputs: 2, layers, seed: 1, dtype: 'float64' })
  const network = { activation: { kind: 'erf', sharpness: 2 } as const, biasStd: 0.3, left: circle }
  const { kernel } = finiteSurrogateKernel({ ...network, widths: [width, 1], parameters })
  expectRelative(kernel.data, surrogateKernel({ ...network, layers: 2 }).kernel.data, 0.06)
})

test.each<[Surrogate, (z: number) => number]>([
  ['erf', (z) => (2 / Math.sqrt(Math.PI)) * 1.5 * Math.exp(-((1.5 * z) ** 2))],
  ['straightThrough', () => 1],
  ['clippedStraightThrough', (z) => (Math.abs(1.5 * z) <= 1 ? 1 : 0)],
  ['tanh', (z) => 1.5 / Math.cosh(1.5 * z) ** 2],
  ['sigmoid', (z) => (2 * 1.5) / ((1 + Math.exp(-1.5 * z)) * (1 + Math.exp(1.5 * z)))],
  ['superSpike', (z) => (1 + Math.abs(1.5 * z)) ** -2],
  ['arctan', (z) => 1 / (1 + ((Math.PI * 1.5 * z) / 2) ** 2)],
  ['triangle', (z) => Math.max(0, 1 - Math.abs(1.5 * z))],
])('surrogate %s', (surrogate, slope) => {
  // One hidden unit of weight 1, no bias, and an output weight of 1: the kernel is slope(x) slope(x') x x' + a a'.
  const left = [[-0.9], [-0.2], [0], [0.4], [2]]
  const { kernel } = finiteSurrogateKernel({
    surrogate,
    ...(surrogate === 'straightThrough' ? {} : { beta: 1.5 }),
    derivative: 'surrogate',
    widths: [1, 1],
    parameters: [1, 0, 1, 0],
    left,
  })
  const expected = left.flatMap(([x = 0]) =>
    left.map(([y = 0]) => slope(x) * slope(y) * x * y + Math.sign(x) * Math.sign(y)),
  )
  expectClose(kernel.data, expected, 1e-14)
  expect(surrogates).toContain(surrogate)
})

describe('kernel regression', () => {
  const { kernel } = surrogateKernel({
    layers: 2,
    biasStd: 0.2,
    left: circle.map(([x = 0, y = 0], i) => [x * (1 + 0.2 * i), y]),
  })
  const n = 4
  const testKernel = [
    [0.3, -0.2, 1, 0.4],
    [1, 0.1, 0.2, -0.7],
  ]
  const targets = [
    [1, 0.5],
    [-1, 2],
    [0.3, -1],
    [0, 1],
  ]
  const initial = {
    train: targets.map(([a = 0, b = 0]) => [0.1 * b, a * b]),
    test: [
      [1, 2],
      [3, 4],
    ],
  }
  const rate = 0.05

  /** Gradient descent in function space, step by step. */
  function descended(steps: number, h: number): number[] {
    const f = initial.train.map((row) => [...row])
    const g = initial.test.map((row) => [...row])
    for (let step = 0; step < steps; step++) {
      const r = targets.map((row, i) => row.map((y, c) => y - (f[i]?.[c] ?? 0)))
      const move = (row: (at: number) => number, to: number[]): void => {
        for (const c of [0, 1]) for (let j = 0; j < n; j++) to[c] = (to[c] ?? 0) + (h / n) * row(j) * (r[j]?.[c] ?? 0)
      }
      for (const [i, to] of f.entries()) move((j) => kernel.data[i * n + j] ?? 0, to)
      for (const [i, to] of g.entries()) move((j) => testKernel[i]?.[j] ?? 0, to)
    }
    return g.flat()
  }

  test.each([0, 1, 2, 7, 100])('%d steps', (steps) => {
    const { predictions } = kernelRegression({ kernel, testKernel, targets, initial, steps, learningRate: rate })
    expectRelative(predictions.data, descended(steps, rate), 1e-12)
  })

  test.each([0.5, 30])('time %d', (time) => {
    const { predictions } = kernelRegression({ kernel, testKernel, targets, initial, time })
    // Small steps, and half of them twice as often: their difference is the error to first order.
    const coarse = descended(20_000, time / 20_000)
    const fine = descended(40_000, time / 40_000)
    expectRelative(
      predictions.data,
      fine.map((value, at) => 2 * value - (coarse[at] ?? 0)),
      1e-6,
    )
  })

  test('a long time, many steps and the end agree', () => {
    const { predictions: end } = kernelRegression({ kernel, testKernel, targets, initial })
    expectRelative(
      kernelRegression({ kernel, testKernel, targets, initial, time: 1e4 }).predictions.data,
      end.data,
      1e-9,
    )
    const steps = { steps: 1_000_000, learningRate: rate }
    expectRelative(
      kernelRegression({ kernel, testKernel, targets, initial, ...steps }).predictions.data,
      end.data,
      1e-9,
    )
  })

  test('at the training inputs it predicts the targets, without spread', () => {
    const covariance = {
      train: [
        [2, 1],
        [1, 3],
      ],
      testTrain: [
        [2, 1],
        [1, 3],
      ],
      test: [
        [2, 1],
        [1, 3],
      ],
    }
    const small = [
      [2, 0.5],
      [1, 3],
    ]
    const result = kernelRegression({ kernel: small, testKernel: small, targets: [1, -2], covariance })
    expectClose(result.predictions.data, [1, -2], 1e-14)
    expectClose(result.covariance?.data ?? [], [0, 0, 0, 0], 1e-14)
    // K(x,X) K⁻¹ = [1, 1] [[3, -0.5], [-1, 2]] / 5.5 = [2, 1.5] / 5.5.
    const z = [2 / 5.5, 1.5 / 5.5]
    const other = kernelRegression({
      kernel: small,
      testKernel: [[1, 1]],
      targets: [1, -2],
      covariance: { ...covariance, testTrain: [[0.5, 0.25]], test: [[4]] },
    })
    const [a = 0, b = 0] = z
    expectClose(other.predictions.data, [a - 2 * b], 1e-14)
    expectClose(other.covariance?.data ?? [], [4 - 2 * (0.5 * a + 0.25 * b) + 2 * a * a + 2 * a * b + 3 * b * b], 1e-14)
  })

  test('damping, and a kernel without an inverse', () => {
    const singular = {
      kernel: [
        [1, 1],
        [1, 1],
      ],
      testKernel: [[1, 1]],
      targets: [1, 2],
    }
    const result = kernelRegression(singular)
    expect(result.reason).toBe('singular')
    expect(result.predictions.data[0]).toBeNaN()
    expectClose(kernelRegression({ ...singular, damping: 1 }).predictions.data, [1], 1e-14)
    // Gradient flow learns what it can: the mean of the targets.
    expectClose(kernelRegression({ ...singular, time: 1e3 }).predictions.data, [1.5], 1e-12)
  })

  test.each<[object, RegExp]>([
    [{ steps: 3 }, /learningRate: expected one with steps/],
    [{ time: 1, steps: 1, learningRate: 1 }, /a time or steps/],
    [{ time: 1, damping: 1 }, /damping: expected none/],
    [{ targets: [1, 2] }, /targets/],
    [{ kernel: [[1, 2]] }, /kernel: expected shape \[1, 1\]/],
  ])('%j is refused', (wrong, message) => {
    expect(() => kernelRegression({ kernel, testKernel, targets, ...wrong })).toThrow(message)
  })
})

test('closed forms know two surrogates, and networks one output', () => {
  const surrogate = 'tanh' as 'erf'
  expect(() => surrogateKernel({ layers: 2, left: circle, surrogate })).toThrow(/surrogate: expected 'erf' or/)
  expect(() => finiteSurrogateKernel({ widths: [2], parameters: [], left: circle })).toThrow(/a last layer of 1 unit/)
  expect(() => finiteSurrogateKernel({ widths: [1], parameters: [1], left: circle })).toThrow(/expected length 3/)
})
