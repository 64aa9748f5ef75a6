// Stability of learning rates, curvature sample by sample, and the softmax radius, on small networks.
import { describe, expect, test } from 'vitest'
import type { LossOption } from '../src/index.js'
import {
  batchScaling,
  binaryCrossEntropy,
  createModel,
  dense,
  denseOperator,
  diagonalOperator,
  eigenpairsSync,
  functionOperator,
  huber,
  layerNorm,
  linearize,
  meanAbsoluteError,
  meanSquaredError,
  residual,
  softmaxCrossEntropy,
  softmaxRadius,
  softmaxRadiusOfSlopes,
  stability,
  stabilitySync,
  stabilityThresholds,
  stabilityThresholdsSync,
} from '../src/index.js'
import { expectClose, expectRelative } from './support/compare.js'
import { expectError, expectRejection } from './support/errors.js'

const samples = 6
const inputs = Array.from({ length: samples }, (_, i) => [0, 1, 2].map((j) => Math.cos(2 * i + 3 * j)))
const classes = [0, 2, 1, 1, 0, 2]
const values = inputs.map(([a = 0, b = 0, c = 0]) => [a * b, b - c, 0.5 * c])

function pointOf(
  loss: LossOption,
  targets: number[] | number[][],
  width: number,
  dtype: 'float32' | 'float64' = 'float64',
) {
  const layers = [dense(4, 'tanh'), layerNorm(), residual([dense(4, 'softplus')]), dense(width)]
  const model = createModel({ inputs: 3, layers, seed: 3, dtype })
  return linearize(model, { inputs, targets, sampleWeights: [1, 2, 0.5, 1, 1, 3] }, loss)
}

const losses: [string, LossOption, number[] | number[][], number][] = [
  ['mean squared error', meanSquaredError(), values, 3],
  ['one output', meanSquaredError({ scale: 0.5 }), values.map(([a = 0]) => [a]), 1],
  ['huber', huber({ delta: 0.5, outputs: 'sum' }), values, 3],
  ['binary', binaryCrossEntropy(), values.map((row) => row.map((x) => Number(x > 0))), 3],
  ['softmax', softmaxCrossEntropy({ labelSmoothing: 0.1 }), classes, 3],
]

describe('curvature sample by sample', () => {
  test.each(losses)('%s: the rows make the Gauss-Newton product', (_, loss, targets, width) => {
    for (const [dtype, tolerance] of [
      ['float64', 1e-11],
      ['float32', 1e-4],
    ] as const) {
      const point = pointOf(loss, targets, width, dtype)
      const size = point.parameterCount
      const { data, shape } = point.curvatureRows()
      expect(shape).toEqual([samples * width, size])
      const rows = Array.from({ length: samples * width }, (_, r) =>
        Float64Array.from(data.subarray(r * size, (r + 1) * size)),
      )
      const v = Float64Array.from({ length: size }, (_, i) => Math.sin(i))
      const product = new Float64Array(size)
      for (const row of rows) {
        const along = row.reduce((sum, x, i) => sum + x * (v[i] as number), 0) / samples
        row.forEach((x, i) => {
          product[i] = (product[i] as number) + along * x
        })
      }
      const direction = dtype === 'float64' ? v : Float32Array.from(v)
      expectRelative((point.ggn().matvec as (v: unknown) => Float64Array)(direction), product, tolerance)
      const norms = Array.from({ length: samples }, (_, i) => {
        const own = rows.slice(i * width, (i + 1) * width)
        const dots = own.flatMap((a) => own.map((b) => a.reduce((sum, x, k) => sum + x * (b[k] as number), 0)))
        return Math.hypot(...dots)
      })
      expectRelative(point.curvatureNorms(), norms, tolerance)
      const part = point.curvatureRows({ first: 2, count: 3 })
      expect([...part.data]).toEqual([...data.subarray(2 * width * size, 5 * width * size)])
    }
  })

  test('misuse', () => {
    const flat = pointOf(meanAbsoluteError(), values, 3)
    expectError(() => flat.curvatureRows(), 'ERR_OPTION')
    expectError(() => flat.curvatureNorms(), 'ERR_OPTION')
    const point = pointOf(meanSquaredError(), values, 3)
    expectError(() => point.curvatureRows({ first: 7 }), 'ERR_OPTION', 'first')
    expectError(() => point.curvatureRows({ count: 7 }), 'ERR_OPTION', 'count')
    expectError(() => point.curvatureRows({ out: new Float64Array(4) }), 'ERR_SHAPE', 'out')
    expectError(() => point.curvatureNorms(new Float64Array(4)), 'ERR_SHAPE', 'out')
    point.dispose()
    expectError(() => point.curvatureNorms(), 'ERR_STATE')
  })
})

describe('stability', () => {
  const point = pointOf(meanSquaredError({ outputs: 'sum', scale: 0.5 }), values, 3)
  const exact = stabilityThresholdsSync(point.curvatureRows(), { rowsPerSample: 3, batchSizes: [1, 2, samples] })

  test('estimates come near what is exact', async () => {
    const options = { learningRate: 0.1, batchSize: 2, probes: 20_000, traceTolerance: 0.005, tolerance: 1e-8 }
    const found = await stability(point, options)
    expect(found).toEqual(stabilitySync(point, options))
    expect(found.reason).toBe('converged')
    expectRelative([found.largestEigenvalue], [exact.largestEigenvalue], 1e-9)
    expectRelative([found.trace], [exact.trace], 0.02)
    expectRelative([found.frobeniusNorm], [exact.frobeniusNorm], 0.05)
    expect(found.sharpnessRatio).toBeCloseTo((0.1 * exact.largestEigenvalue) / 2, 9)
    expect(found.traceRatio).toBeCloseTo((0.1 * found.trace) / 2, 12)
    expect(found.noiseFactor).toBeCloseTo((samples - 2) / (2 * (samples - 1)), 12)
    expectRelative([found.necessaryRatio ?? NaN], [(0.1 * (exact.cases[1]?.necessaryBound ?? NaN)) / 2], 0.05)
    const given = stabilitySync(point.ggn(), { ...options, sampleCount: samples, sampleNorms: point.curvatureNorms() })
    expect(given).toEqual(found)
  })

  test('without batches there is no noise; without norms no test', () => {
    const whole = stabilitySync(point, { learningRate: 0.1 })
    expect(whole.noiseFactor).toBe(0)
    const bound = whole.frobeniusNorm ** 2 / whole.trace
    expect(whole.necessaryRatio).toBeCloseTo((0.1 * bound) / 2, 12)
    const blind = stabilitySync(point.ggn(), { learningRate: 0.1, batchSize: 2, sampleCount: samples })
    expect(blind.necessaryRatio).toBeUndefined()
    expect(blind.noiseFactor).toBeGreaterThan(0)
    const aborted = stabilitySync(point, { learningRate: 0.1, signal: AbortSignal.abort() })
    expect([aborted.reason, aborted.products]).toEqual(['aborted', 0])
  })

  test('without curvature nothing is unstable; without a positive trace there is no test', () => {
    const none = functionOperator({ size: 3, dtype: 'float64', matvec: (v) => v.map(() => 0) })
    const flat = stabilitySync(none, { learningRate: 1, sampleCount: 4, sampleNorms: [0, 0, 0, 0], batchSize: 2 })
    expect(flat).toMatchObject({ largestEigenvalue: 0, sharpnessRatio: 0, traceRatio: 0, necessaryRatio: 0 })
    const saddle = diagonalOperator(Float64Array.of(1, -2))
    expect(stabilitySync(saddle, { learningRate: 1 }).necessaryRatio).toBeUndefined()
  })

  test('what the thresholds mean: SGD at a minimum shrinks below and grows above', () => {
    // Linear regression through the origin of deviations w: w ← w − η/B Σ x xᵀ w over a batch without replacement.
    const rows = [
      [1, 0.3],
      [-0.5, 1.2],
      [0.7, -0.9],
      [0.2, 0.6],
    ]
    const [threshold = NaN] = stabilityThresholdsSync(rows).cases.map(({ meanSquareThreshold }) => meanSquareThreshold)
    // E w wᵀ after a step, exactly, from its value before.
    const step = (s: number[][], rate: number): number[][] => {
      const next = [
        [0, 0],
        [0, 0],
      ]
      for (const x of rows) {
        const a = [0, 1].map((i) => [0, 1].map((j) => Number(i === j) - rate * (x[i] as number) * (x[j] as number)))
        for (const i of [0, 1])
          for (const j of [0, 1])
            for (const k of [0, 1])
              for (const l of [0, 1]) {
                const term = (a[i]?.[k] ?? 0) * (s[k]?.[l] ?? 0) * (a[j]?.[l] ?? 0)
                ;(next[i] as number[])[j] = (next[i]?.[j] ?? 0) + term / rows.length
              }
      }
      return next
    }
    const remaining = (rate: number): number => {
      let s = [
        [1, 0],
        [0, 1],
      ]
      for (let i = 0; i < 400; i++) s = step(s, rate)
      return (s[0]?.[0] ?? 0) + (s[1]?.[1] ?? 0)
    }
    expect(remaining(0.98 * threshold)).toBeLessThan(0.1)
    expect(remaining(1.02 * threshold)).toBeGreaterThan(10)
  })

  test('misuse', async () => {
    const ggn = point.ggn()
    expectError(() => stabilitySync(ggn, {} as { learningRate: number }), 'ERR_OPTION', 'learningRate')
    expectError(() => stabilitySync(ggn, { learningRate: 1, batchSize: 2 }), 'ERR_OPTION', 'sampleCount')
    expectError(() => stabilitySync(point, { learningRate: 1, batchSize: 7 }), 'ERR_OPTION', 'batchSize')
    expectError(() => stabilitySync(point, { learningRate: 1, sampleNorms: [1] }), 'ERR_SHAPE', 'sampleNorms')
    const many = { learningRate: 1, sampleCount: 60_000 }
    expectError(() => stabilitySync(point, many), 'ERR_OPTION', 'stability sampleCount', "the point's own, 6", '60000')
    expectError(() => stabilitySync(ggn, { learningRate: 1, tolerance: -1 }), 'ERR_OPTION', 'stability tolerance')
    expectError(() => stabilitySync(ggn, { learningRate: 1, seed: -1 }), 'ERR_OPTION', 'stability seed')
    const signal = 'no signal' as unknown as AbortSignal
    expectError(() => stabilitySync(ggn, { learningRate: 1, signal }), 'ERR_OPTION', 'stability signal')
    expectError(
      () => stabilitySync(point, { learningRate: 1, batch: 2 } as object as { learningRate: number }),
      'ERR_OPTION',
    )
    const rows = [
      [1, 2],
      [3, 4],
      [5, 6],
    ]
    expectError(() => stabilityThresholdsSync(rows, { rowsPerSample: 2 }), 'ERR_SHAPE', 'a multiple of 2 rows')
    expectError(() => stabilityThresholdsSync(rows, { batchSizes: [4] }), 'ERR_OPTION', 'batchSizes[0]')
    expectError(() => stabilityThresholdsSync(rows, { batchSizes: [] }), 'ERR_SHAPE', 'batchSizes')
    expectError(() => stabilityThresholdsSync([[1, NaN]]), 'ERR_NOT_FINITE', 'rows')
    const large = { data: new Float64Array(1025 * 1025), shape: [1025, 1025] as const }
    await expectRejection(() => stabilityThresholds(large), 'ERR_SHAPE', '1024')
    const aborted = await stabilityThresholds(rows, { signal: AbortSignal.abort() })
    expect([aborted.reason, aborted.cases.length]).toEqual(['aborted', 0])
    expect(stabilityThresholdsSync([[0, 0]]).meanThreshold).toBe(Infinity)
  })
})

describe('batch size and learning rate', () => {
  const given = { largestEigenvalue: 4, noise: 9, noiseBatchSize: 10, sampleCount: 1000 }

  test('the model', () => {
    const [measured, whole, single] = batchScaling({ ...given, batchSizes: [10, 1000, 1] })
    expect(measured).toMatchObject({ noise: 9, largestEigenvalue: 4 + 9 / 4 })
    expect(measured?.learningRate).toBeCloseTo(2 / 6.25, 12)
    expect(whole).toMatchObject({ noise: 0, largestEigenvalue: 4, learningRate: 0.5 })
    const noise = (9 * 10 * 999) / 990
    expect(single?.noise).toBeCloseTo(noise, 9)
    // The noise hides the eigenvalue: the edge of the semicircle.
    expect(single?.largestEigenvalue).toBeCloseTo(2 * Math.sqrt(noise), 9)
    const [heavy] = batchScaling({ ...given, batchSizes: [1000], momentum: 0.9 })
    expect(heavy?.learningRate).toBeCloseTo(0.95, 12)
  })

  test('agrees with matrices of that kind', () => {
    // λ uuᵀ + E with E symmetric, its entries normal with variance s²/n: the eigenvalue of the model for large n.
    const n = 300
    const s = 1
    let state = 7
    const uniform = (): number => {
      state = (state * 48271) % 2147483647
      return state / 2147483647
    }
    const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
    const rows = Array.from({ length: n }, () => new Float64Array(n))
    for (let i = 0; i < n; i++)
      for (let j = 0; j <= i; j++) {
        const value = (s * normal()) / Math.sqrt(n) + 3 / n
        ;(rows[i] as Float64Array)[j] = value
        ;(rows[j] as Float64Array)[i] = value
      }
    const { values } = eigenpairsSync(denseOperator(rows, { dtype: 'float64' }))
    const [predicted] = batchScaling({
      largestEigenvalue: 3,
      noise: 1,
      noiseBatchSize: 1,
      sampleCount: 1e9,
      batchSizes: [1],
    })
    expectRelative(values, [predicted?.largestEigenvalue ?? NaN], 0.05)
  })

  test('misuse', () => {
    expectError(() => batchScaling({ ...given, batchSizes: [1001] }), 'ERR_OPTION', 'batchSizes[0]')
    expectError(() => batchScaling({ ...given, noiseBatchSize: 1000, batchSizes: [1] }), 'ERR_OPTION', 'noiseBatchSize')
    expectError(() => batchScaling({ ...given, noise: -1, batchSizes: [1] }), 'ERR_OPTION', 'noise')
    expectError(() => batchScaling({ ...given, momentum: 1, batchSizes: [1] }), 'ERR_OPTION', 'momentum')
  })
})

describe('softmax radius', () => {
  const point = pointOf(softmaxCrossEntropy(), classes, 3)
  const update = point.gradient().map((x) => -20 * x) as Float64Array<ArrayBuffer>
  const length = Math.hypot(...update)

  test('of an update: its slopes along the unit direction', () => {
    const found = softmaxRadius(point, update)
    const slopes = point.jvp(update.map((x) => x / length) as Float64Array<ArrayBuffer>)
    const expected = softmaxRadiusOfSlopes(slopes, { stepLength: length })
    expectRelative(found.spread, expected.spread, 1e-12)
    for (const key of ['radius', 'normalisedStep', 'scale', 'stepLength'] as const) {
      expectRelative([found[key]], [expected[key]], 1e-12, key)
    }
    expect(found.radius).toBeCloseTo(Math.PI / Math.max(...found.spread), 12)
    expect(found.binaryRadius).toBeUndefined()
    expect(found.normalisedStep).toBeGreaterThan(1)
    // The scaled step is at the radius.
    const scaled = update.map((x) => x * found.scale) as Float64Array<ArrayBuffer>
    expect(softmaxRadius(point, scaled).normalisedStep).toBeCloseTo(1, 12)
    expect(softmaxRadius(point, scaled, { target: 0.5 }).scale).toBeCloseTo(0.5, 12)
    expect(softmaxRadius(point, update, { temperature: 2 }).radius).toBeCloseTo(2 * found.radius, 12)
    expect(softmaxRadius(point, update, { quantile: 0.5 }).radius).toBeGreaterThan(found.radius)
    const still = softmaxRadius(point, update.map(() => 0) as Float64Array<ArrayBuffer>)
    expect(still).toMatchObject({ radius: Infinity, normalisedStep: 0, scale: 1, stepLength: 0 })
  })

  test('float32 and two classes', () => {
    const two = pointOf(
      softmaxCrossEntropy(),
      classes.map((c) => c % 2),
      2,
      'float32',
    )
    const step = two.gradient()
    const found = softmaxRadius(two, step)
    expect(found.binaryRadius?.length).toBe(samples)
    const logits = two.outputs
    const slopes = two.jvp(step)
    const tau = Math.hypot(...step)
    const exact = Array.from({ length: samples }, (_, r) => {
      const gap = (logits.data[2 * r] as number) - (logits.data[2 * r + 1] as number)
      const tilt = ((slopes.data[2 * r] as number) - (slopes.data[2 * r + 1] as number)) / tau
      return Math.sqrt(gap ** 2 + Math.PI ** 2) / Math.abs(tilt)
    })
    expectRelative(found.binaryRadius ?? [], exact, 1e-5)
    const sharp = softmaxRadius(two, step, { exactBinary: true })
    expectRelative([sharp.radius], [Math.min(...exact)], 1e-5)
    expect(sharp.radius).toBeGreaterThanOrEqual(found.radius)
  })

  test('of one head among several', () => {
    const heads = { digit: [dense(3)], sign: [dense(1)] }
    const model = createModel({ inputs: 3, layers: [dense(4, 'tanh')], heads, seed: 1, dtype: 'float64' })
    const targets = { digit: classes, sign: values.map(([a = 0]) => [Number(a > 0)]) }
    const both = linearize(model, { inputs, targets }, { digit: softmaxCrossEntropy(), sign: binaryCrossEntropy() })
    const step = both.gradient()
    const slopes = both.jvp(step)
    const found = softmaxRadius(both, step, { head: 'digit' })
    expectRelative(
      [found.normalisedStep],
      [softmaxRadiusOfSlopes(slopes.digit, { stepLength: 1 }).normalisedStep],
      1e-12,
    )
    expect(softmaxRadius(both, step, { head: 'sign' }).binaryRadius?.length).toBe(samples)
    const losses = { digit: softmaxCrossEntropy(), sign: meanSquaredError() }
    const value = linearize(model, { inputs, targets }, losses)
    expect(softmaxRadius(value, step, { head: 'digit' })).toEqual(found)
    expectError(() => softmaxRadius(value, step, { head: 'sign' }), 'ERR_OPTION', "head 'sign'", 'meanSquaredError')
    expectError(() => softmaxRadius(both, step), 'ERR_OPTION', 'one of digit, sign')
    expectError(() => softmaxRadius(both, step, { head: 'digits' }), 'ERR_OPTION', "did you mean 'digit'")
  })

  test('yes-or-no outputs: the worst of them counts', () => {
    const yes = values.map((row) => row.map((x) => Number(x > 0)))
    const three = pointOf(binaryCrossEntropy(), yes, 3)
    const step = three.gradient()
    const found = softmaxRadius(three, step)
    const slopes = three.jvp(step).data
    const tau = Math.hypot(...step)
    const largest = Array.from({ length: samples }, (_, r) =>
      Math.max(...slopes.subarray(3 * r, 3 * r + 3).map((x) => Math.abs(x) / tau)),
    )
    expectRelative(found.spread, largest, 1e-12)
    expect(found.binaryRadius?.length).toBe(samples)
    expect(softmaxRadius(three, step, { exactBinary: true }).radius).toBeCloseTo(
      Math.min(...(found.binaryRadius ?? [])),
      9,
    )
  })

  test('the zero of the partition function is at the radius', () => {
    // Σ exp(z + t a) = 0 for two logits at t = (δ + iπ) / (a₂ − a₁).
    const [z1, z2, a1, a2] = [0.4, -1.2, 2, 0.5]
    const found = softmaxRadiusOfSlopes([[a1, a2]], { logits: [[z1, z2]], stepLength: 1, exactBinary: true })
    const t = [(z1 - z2) / (a2 - a1), Math.PI / (a2 - a1)] as const
    const term = (z: number, a: number): [number, number] => {
      const size = Math.exp(z + t[0] * a)
      return [size * Math.cos(t[1] * a), size * Math.sin(t[1] * a)]
    }
    const [p, q] = [term(z1, a1), term(z2, a2)]
    expectClose([p[0] + q[0], p[1] + q[1]], [0, 0], 1e-12)
    expect(found.radius).toBeCloseTo(Math.hypot(...t), 12)
  })

  test('misuse', () => {
    expectError(() => softmaxRadius(point, new Float64Array(3)), 'ERR_SHAPE', 'update')
    expectError(
      () =>
        softmaxRadius(
          point,
          update.map(() => NaN),
        ),
      'ERR_NOT_FINITE',
      'update[0]',
    )
    expectError(() => softmaxRadius(point, update, { head: 'digit' }), 'ERR_OPTION', 'head')
    const squares = pointOf(meanSquaredError(), values, 3)
    const wanted = ['point: expected the loss softmaxCrossEntropy or binaryCrossEntropy', 'point with meanSquaredError']
    expectError(() => softmaxRadius(squares, update), 'ERR_OPTION', ...wanted)
    expectError(() => softmaxRadius({} as typeof point, update), 'ERR_OPTION', 'a point made by linearize')
    expectError(() => softmaxRadius(point, update, { exactBinary: true }), 'ERR_OPTION', 'exactBinary', 'two classes')
    expectError(() => softmaxRadius(point, update, { quantile: 1.5 }), 'ERR_OPTION', 'quantile')
    expectError(() => softmaxRadius(point, update, { target: 0 }), 'ERR_OPTION', 'target')
    expectError(() => softmaxRadius(point, update, { temperature: 0 }), 'ERR_OPTION', 'temperature')
    expectError(() => softmaxRadiusOfSlopes([[1, 2]], {} as { stepLength: number }), 'ERR_OPTION', 'stepLength')
    const own = { stepLength: 1, quantile: 2 }
    expectError(() => softmaxRadiusOfSlopes([[1, 2]], own), 'ERR_OPTION', 'softmaxRadiusOfSlopes quantile')
    const blind = { stepLength: 1, exactBinary: true }
    expectError(() => softmaxRadiusOfSlopes([[1, 2]], blind), 'ERR_OPTION', 'logits')
    expectError(() => softmaxRadiusOfSlopes([[1, 2]], { stepLength: 1, logits: [[1, 2, 3]] }), 'ERR_SHAPE', 'logits')
    expectError(
      () =>
        softmaxRadiusOfSlopes([[1, 2]], {
          stepLength: 1,
          logits: [
            [1, 2],
            [1, 2],
          ],
        }),
      'ERR_SHAPE',
      '1 rows',
    )
    const mixed = { stepLength: 1, logits: { data: Float32Array.of(1, 2), shape: [1, 2] as const } }
    expect(softmaxRadiusOfSlopes([[1, 2]], mixed).binaryRadius?.length).toBe(1)
  })
})
