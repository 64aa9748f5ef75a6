// Quantities of single samples against the gradients themselves, and what may not change them.
import { describe, expect, test } from 'vitest'
import type { DType } from '../src/index.js'
import {
  averageNoiseScale,
  binaryCrossEntropy,
  createModel,
  dense,
  layerNorm,
  linearize,
  meanSquaredError,
  residual,
  softmaxCrossEntropy,
} from '../src/index.js'
import { expectClose, expectRelative } from './support/compare.js'
import { random, randomRows } from './support/data.js'
import { expectError } from './support/errors.js'

const rows = 61
const inputs = randomRows(rows, 5, 3)
const labels = Array.from({ length: rows }, (_, i) => (i * 7) % 3)
const model = createModel({
  inputs: 5,
  layers: [dense(9, 'silu'), layerNorm(), residual([dense(6, 'tanh'), dense(9)]), dense(3)],
  dtype: 'float64',
  seed: 8,
})
const size = model.parameterCount
const loss = softmaxCrossEntropy()

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0
  for (let k = 0; k < a.length; k++) sum += (a[k] as number) * (b[k] as number)
  return sum
}
const rowsOf = (data: Float64Array<ArrayBuffer>, count: number): Float64Array<ArrayBuffer>[] =>
  Array.from({ length: count }, (_, i) => data.subarray((i * data.length) / count, ((i + 1) * data.length) / count))

describe('with layerNorm and a residual block', () => {
  const point = linearize(model, { inputs, targets: labels }, loss)
  const gradients = rowsOf(point.perSampleGradients().data, rows)
  const jacobians = rowsOf(point.outputJacobians().data, 3 * rows)

  test('norms by layer and tensor, Gram matrices, products', () => {
    const { data, names, shape } = point.perSampleSquaredNorms({ by: 'tensor' })
    expect(shape).toEqual([rows, model.tensors.length])
    const expected = gradients.flatMap((g) => Object.values(model.views(g)).map((part) => dot(part, part)))
    expectRelative(data, expected, 1e-13, 'tensors')
    const layers = point.perSampleSquaredNorms({ by: 'layer' })
    const place = names.map((name) => layers.names.indexOf(name.slice(0, name.lastIndexOf('.'))))
    const sums = new Float64Array(layers.data.length)
    for (const [at, square] of expected.entries()) {
      const row = Math.floor(at / names.length)
      sums[row * layers.names.length + (place[at % names.length] as number)]! += square
    }
    expectRelative(layers.data, sums, 1e-13, 'layers')
    const gram = gradients.flatMap((a) => gradients.map((b) => dot(a, b)))
    const total = point.gramMatrix()
    expectRelative(total.data, gram, 1e-12, 'gram')
    const added = new Float64Array(rows * rows)
    for (const { data: part } of point.layerGramMatrices()) {
      for (const [at, value] of part.entries()) added[at]! += value
    }
    expectRelative(total.data, added, 1e-14, 'sum of layers')
    const v = Float64Array.from({ length: size }, (_, p) => Math.sin(p + 1))
    expectRelative(
      point.perSampleProducts(v),
      gradients.map((g) => dot(g, v)),
      1e-12,
      'products',
    )
  })

  test('Jacobians and the kernels that they make', () => {
    const v = Float64Array.from({ length: size }, (_, p) => Math.cos(p))
    expectRelative(
      jacobians.map((row) => dot(row, v)),
      point.jvp(v).data,
      1e-12,
      'J v',
    )
    const some = point.outputJacobians({ first: 4, count: 2 })
    expect(some.shape).toEqual([6, size])
    expect(some.data).toEqual(point.outputJacobians().data.slice(12 * size, 18 * size))
    const trace = new Float64Array(rows * rows)
    const sum = new Float64Array(rows * rows)
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < rows; j++) {
        for (let c = 0; c < 9; c++) {
          const value = dot(jacobians[3 * i + Math.floor(c / 3)]!, jacobians[3 * j + (c % 3)]!)
          sum[i * rows + j]! += value
          if (c % 4 === 0) trace[i * rows + j]! += value
        }
      }
    }
    expectRelative(point.ntk().data, trace, 1e-12, 'trace')
    expectRelative(point.ntk({ outputs: 'sum' }).data, sum, 1e-12, 'sum')
  })

  test('variance and statistics', () => {
    const mean = Float64Array.from({ length: size }, (_, p) => gradients.reduce((s, g) => s + g[p]! / rows, 0))
    const variance = mean.map((m, p) => gradients.reduce((s, g) => s + (g[p]! - m) ** 2 / rows, 0))
    expectRelative(point.gradientVariance(), variance, 1e-12, 'variance')
    const s = point.gradientStatistics()
    expectRelative(
      s.dotWithMean,
      gradients.map((g) => dot(g, mean)),
      1e-12,
      'dots',
    )
    const trace = variance.reduce((a, b) => a + b)
    expectClose([s.normTest], [trace / (rows - 1) / dot(mean, mean)], 1e-12 * s.normTest, 'normTest')
    const spread = gradients.reduce((sum, g) => sum + (dot(g, mean) - dot(mean, mean)) ** 2, 0)
    const expected = spread / (rows * (rows - 1)) / dot(mean, mean) ** 2
    expectClose([s.innerProductTest], [expected], 1e-10 * expected, 'innerProductTest')
    expect(s.gradientDiversity).toBeCloseTo(1 / s.coherence, 10)
  })

  test('between points, of one network and of two, as within one large batch', () => {
    const part = (from: number, to: number, of = model) =>
      linearize(of, { inputs: inputs.slice(from, to), targets: labels.slice(from, to) }, loss)
    const [a, b] = [part(0, 25), part(25, rows)]
    const pick = (data: Float64Array): Float64Array =>
      Float64Array.from({ length: 25 * 36 }, (_, at) => data[Math.floor(at / 36) * rows + 25 + (at % 36)] as number)
    const cross = a.gramMatrix({ with: b })
    expect(cross.shape).toEqual([25, 36])
    expect(cross.data).toEqual(pick(point.gramMatrix().data))
    expect(a.ntk({ with: b }).data).toEqual(pick(point.ntk().data))
    expect(a.ntk({ with: b, outputs: 1 }).data).toEqual(pick(point.ntk({ outputs: 1 }).data))
    const [first] = a.layerGramMatrices({ with: b })
    expect(first?.data).toEqual(pick(point.layerGramMatrices()[0]!.data))

    const moved = createModel({ inputs: 5, layers: model.spec.layers, dtype: 'float64', seed: 9 })
    const later = part(0, rows, moved)
    const others = rowsOf(later.perSampleGradients().data, rows)
    const products = gradients.flatMap((g) => others.map((h) => dot(g, h)))
    expectRelative(point.gramMatrix({ with: later }).data, products, 1e-12, 'other parameters')
  })

  test('a chunked point gives the same', () => {
    const chunked = linearize(model, { inputs, targets: labels }, loss, { batchSize: 16 })
    expect(chunked.gramMatrix()).toEqual(point.gramMatrix())
    expect(chunked.ntk({ outputs: 'blocks' })).toEqual(point.ntk({ outputs: 'blocks' }))
    expect(chunked.perSampleSquaredNorms({ by: 'layer' })).toEqual(point.perSampleSquaredNorms({ by: 'layer' }))
    expect(chunked.outputJacobians()).toEqual(point.outputJacobians())
    expect(chunked.perSampleProducts(point.gradient())).toEqual(point.perSampleProducts(point.gradient()))
    expectRelative(chunked.gradientVariance(), point.gradientVariance(), 1e-13, 'variance')
  })

  test.each(['float32', 'float64'] as DType[])('the place in the batch changes no bit: %s', (dtype) => {
    const copy = createModel({ inputs: 5, layers: model.spec.layers, dtype, seed: 8 })
    const order = Array.from({ length: rows }, (_, i) => (i * 17 + 3) % rows)
    const here = linearize(copy, { inputs, targets: labels }, loss)
    const there = linearize(
      copy,
      { inputs: order.map((i) => inputs[i] as number[]), targets: order.map((i) => labels[i] as number) },
      loss,
    )
    const v = here.gradient()
    const moved = (data: Float64Array): Float64Array => Float64Array.from(order, (i) => data[i] as number)
    const movedMatrix = (data: Float64Array): Float64Array =>
      Float64Array.from(order.flatMap((i) => order.map((j) => data[i * rows + j] as number)))
    expect(there.perSampleSquaredNorms().data).toEqual(moved(here.perSampleSquaredNorms().data))
    expect(there.perSampleProducts(v)).toEqual(moved(here.perSampleProducts(v)))
    expect(there.gramMatrix().data).toEqual(movedMatrix(here.gramMatrix().data))
    expect(there.ntk().data).toEqual(movedMatrix(here.ntk().data))
  })
})

test('heads: all of them, or one', () => {
  const two = createModel({
    inputs: 5,
    layers: [dense(8, 'tanh')],
    heads: { digit: [dense(3)], parity: [dense(4, 'relu'), dense(1)] },
    dtype: 'float64',
    seed: 2,
  })
  const point = linearize(
    two,
    { inputs, targets: { digit: labels, parity: labels.map((y) => [y % 2]) } },
    { digit: softmaxCrossEntropy(), parity: binaryCrossEntropy({ scale: 0.5 }) },
  )
  const all = rowsOf(point.outputJacobians().data, 4 * rows)
  const parity = rowsOf(point.outputJacobians({ head: 'parity' }).data, rows)
  for (const [i, row] of parity.entries()) expect(row).toEqual(all[4 * i + 3])
  expect(point.ntk({ outputs: 'blocks' }).shape).toEqual([rows, rows, 4, 4])
  expect(point.ntk({ outputs: 'blocks', head: 'digit' }).shape).toEqual([rows, rows, 3, 3])
  expect(point.ntk({ head: 'parity' }).data).toEqual(point.ntk({ outputs: 3 }).data)
  expect(point.ntk({ head: 'digit', outputs: 1 }).data).toEqual(point.ntk({ outputs: 1 }).data)
  const gradients = rowsOf(point.perSampleGradients().data, rows)
  expectRelative(
    point.gramMatrix().data,
    gradients.flatMap((a) => gradients.map((b) => dot(a, b))),
    1e-12,
    'gram',
  )
  expectError(() => point.ntk({ head: 'digits' }), 'ERR_OPTION', 'ntk head', 'digit')
  expectError(() => point.ntk({ head: 'parity', outputs: 1 }), 'ERR_OPTION', 'ntk outputs')
})

test('the variance survives a mean that dominates it, in float32', () => {
  const one = createModel({ inputs: 1, layers: [dense(1)], dtype: 'float32', seed: 1 })
  one.setParameters([0, 0])
  const next = random(4)
  const targets = Array.from({ length: 500 }, () => [-1000 - 0.01 * next()])
  const point = linearize(one, { inputs: targets.map(() => [1]), targets }, meanSquaredError({ scale: 0.5 }))
  const values = targets.map(([y]) => -Math.fround(y as number))
  const mean = values.reduce((a, b) => a + b) / 500
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 500
  expectRelative(point.gradientVariance(), [variance, variance], 1e-4, 'variance')
})

test('noise scales are averaged apart', () => {
  const a = { traceUnbiased: 4, squaredGradientUnbiased: -1 }
  const b = { traceUnbiased: 2, squaredGradientUnbiased: 3 }
  const first = averageNoiseScale(a, undefined, { beta: 0.5 })
  expect(first).toEqual({ updates: 1, trace: 4, squaredGradient: -1, noiseScale: undefined })
  // (0.25 · a + 0.5 · b) / 0.75
  const second = averageNoiseScale(b, JSON.parse(JSON.stringify(first)), { beta: 0.5 })
  expectClose([second.trace, second.squaredGradient], [8 / 3, 5 / 3], 1e-15, 'averages')
  expect(second.noiseScale).toBeCloseTo(1.6, 14)
  let average = averageNoiseScale(b)
  for (let t = 0; t < 50; t++) average = averageNoiseScale(b, average)
  expectClose([average.trace, average.squaredGradient], [2, 3], 1e-13, 'of equal numbers')
  expectError(() => averageNoiseScale({ ...a, traceUnbiased: Number.NaN }), 'ERR_NOT_FINITE', 'estimate.traceUnbiased')
  expectError(() => averageNoiseScale(a, undefined, { beta: 1 }), 'ERR_OPTION', 'averageNoiseScale beta')
  expectError(() => averageNoiseScale(a, { ...first, updates: 0 }), 'ERR_OPTION', 'previous.updates')
})

test('a single sample', () => {
  const point = linearize(model, { inputs: inputs.slice(0, 1), targets: [1] }, loss)
  expectError(() => point.gradientVariance({ unbiased: true }), 'ERR_OPTION', 'unbiased', 'one sample')
  expect(point.gradientVariance()).toEqual(new Float64Array(size))
  const s = point.gradientStatistics()
  expect([s.noiseScale.traceUnbiased, s.noiseScale.simpleUnbiased, s.normTest, s.innerProductTest]).toEqual(
    new Array(4).fill(Number.NaN),
  )
  expectClose([s.cosineWithMean[0] as number], [1], 1e-14, 'cosine')
})

test('what cannot be', () => {
  const point = linearize(model, { inputs, targets: labels }, loss)
  const other = createModel({ inputs: 5, layers: [dense(3)], dtype: 'float64' })
  const short = linearize(other, { inputs, targets: labels }, loss)
  const single = linearize(
    createModel({ inputs: 5, layers: [dense(3)], dtype: 'float32' }),
    { inputs, targets: labels },
    loss,
  )
  expectError(() => point.gramMatrix({ with: short }), 'ERR_SHAPE', 'with', 'same parameters')
  expectError(() => point.ntk({ with: short }), 'ERR_SHAPE', 'with')
  expectError(() => short.gramMatrix({ with: single as never }), 'ERR_DTYPE', 'with', 'same dtype')
  expectError(() => point.gramMatrix({ with: 3 as never }), 'ERR_OPTION', 'gramMatrix with', 'linearize')
  expectError(() => point.gramMatrix({ out: new Float64Array(3) }), 'ERR_SHAPE', 'out', `${rows * rows}`)
  expectError(() => point.gramMatrix({ by: 'layer' } as never), 'ERR_OPTION', 'by')
  expectError(() => point.perSampleSquaredNorms({ by: 'rows' as never }), 'ERR_OPTION', 'by', 'layer')
  expectError(() => point.perSampleProducts(new Float64Array(3)), 'ERR_SHAPE', 'v')
  expectError(() => point.perSampleProducts(new Float32Array(size) as never), 'ERR_DTYPE', 'v')
  expectError(() => point.ntk({ outputs: 3 }), 'ERR_OPTION', 'ntk outputs', '2')
  expectError(() => point.ntk({ outputs: 'all' as never }), 'ERR_OPTION', 'ntk outputs')
  expectError(() => point.ntk({ head: 'digit' }), 'ERR_OPTION', 'ntk head', 'one output')
  expectError(() => point.outputJacobians({ first: 60, count: 2 }), 'ERR_OPTION', 'count')
  expectError(() => point.gradientVariance({ unbiased: 1 as never }), 'ERR_OPTION', 'unbiased')
  expect(point.outputJacobians({ count: 0 }).shape).toEqual([0, size])
  const gone = linearize(model, { inputs, targets: labels }, loss)
  gone.dispose()
  expectError(() => point.gramMatrix({ with: gone }), 'ERR_STATE', 'with')
  expectError(() => gone.gradientStatistics(), 'ERR_STATE', 'point')
})
