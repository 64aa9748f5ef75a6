// Networks with known faults: each is found, and by nothing else; a healthy one has none.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { DiagnoseOptions, Diagnosis, Finding, FindingKind } from '../src/index.js'
import {
  adam,
  binaryCrossEntropy,
  createModel,
  curvatureNoiseScale,
  dense,
  diagnose,
  diagnosisText,
  diagnosisThresholds,
  filled,
  linearize,
  meanSquaredError,
  normal,
  pairwiseCosines,
  renderDiagnosis,
  softmaxCrossEntropy,
  train,
  writeDiagnosis,
} from '../src/index.js'
import { errorOf } from './support/thrown.js'

const rows = 400
const noise = (i: number): number => {
  const x = Math.sin(i * 12.9898) * 43758.5453
  return 2 * (x - Math.floor(x)) - 1
}
const inputs = Array.from({ length: rows }, (_, i) => [noise(i), noise(i + 1e4), noise(i + 2e4), noise(i + 3e4)])
const labels = inputs.map(([a = 0, b = 0]) => (a > 0 ? 1 : 0) + (b > 0 ? 2 : 0))
const loss = softmaxCrossEntropy()
const kinds = ({ findings }: Diagnosis): FindingKind[] => findings.map(({ kind }) => kind)
const only = ({ findings }: Diagnosis, kind: FindingKind): Finding => {
  const found = findings.find((one) => one.kind === kind)
  if (found === undefined) throw new Error(`no ${kind} among ${findings.map((one) => one.kind).join(', ')}`)
  return found
}
const look = (
  layers: NonNullable<Parameters<typeof createModel>[0]['layers']>,
  options: Partial<DiagnoseOptions> = {},
  targets: number[] = labels,
): Promise<Diagnosis> =>
  diagnose(createModel({ inputs: 4, layers, dtype: 'float64', seed: 5 }), { inputs, targets }, { loss, ...options })

describe('diagnose', () => {
  test('finds nothing in a healthy network', async () => {
    const healthy = await look([dense(24, 'relu'), dense(16, 'tanh'), dense(4)])
    expect(kinds(healthy)).toEqual([])
    expect(diagnosisText(healthy)).toMatch('Nothing stands out.')
    expect(healthy.samples).toBe(400)
    expect(healthy.outputs[0]?.classes?.reduce((sum, { samples }) => sum + samples, 0)).toBe(400)
    expect(healthy.outputs[0]?.largestLosses).toHaveLength(10)
  })

  test('has the numbers of a point', async () => {
    const model = createModel({ inputs: 4, layers: [dense(8, 'relu'), dense(4)], dtype: 'float64', seed: 5 })
    const found = await diagnose(model, { inputs, targets: labels }, { loss, samples: 100, seed: 3 })
    expect(found.rows).toHaveLength(100)
    expect(new Set(found.rows).size).toBe(100)
    const batch = {
      inputs: found.rows.map((row) => inputs[row] ?? []),
      targets: found.rows.map((row) => labels[row] ?? 0),
    }
    using point = linearize(model, batch, loss)
    const statistics = point.gradientStatistics()
    const gradient = point.gradient()
    expect(found.loss).toBeCloseTo(point.loss, 12)
    expect(found.gradientNorm).toBeCloseTo(Math.hypot(...gradient), 10)
    expect(found.variance).toBeCloseTo(statistics.noiseScale.traceUnbiased, 10)
    const norms = Array.from(point.perSampleGradientNorms()).sort((a, b) => a - b)
    expect(found.norms.largest).toBeCloseTo(norms.at(-1) ?? 0, 10)
    expect(found.norms.topShare).toBeCloseTo((norms.at(-1) ?? 0) / norms.reduce((sum, norm) => sum + norm, 0), 10)
    const pairs = pairwiseCosines(point.gramMatrix(), { classes: batch.targets })
    expect(found.cosines).toEqual({
      mean: pairs.mean,
      negativeShare: pairs.negativeShare,
      within: pairs.within,
      between: pairs.between,
    })
    expect(Math.hypot(...found.layers.map(({ gradientNorm }) => gradientNorm))).toBeCloseTo(found.gradientNorm, 10)
    // A delta is the gradient by the bias.
    const tensors = point.perSampleSquaredNorms({ by: 'tensor' })
    const column = tensors.names.indexOf('layers.1.bias')
    const deltas = found.rows.map((_, row) => Math.sqrt(tensors.data[row * tensors.names.length + column] ?? 0))
    expect(found.layers[1]?.deltaNorm).toBeCloseTo(
      deltas.reduce((sum, delta) => sum + delta / 100, 0),
      10,
    )
  })

  test('a dead layer', async () => {
    const dead = await look([dense(24, 'relu', { biasInitialiser: filled({ value: -9 }) }), dense(4)])
    expect(kinds(dead)).toContain('deadUnits')
    expect(only(dead, 'deadUnits')).toMatchObject({ where: 'layers.0', value: 1, threshold: 0.1 })
    expect(dead.layers[0]?.units).toEqual({ count: 24, activation: 'relu', quiet: 24 })
    expect(only(dead, 'deadUnits').suggestion).toMatch('leakyRelu()')
  })

  test('a saturated layer', async () => {
    const saturated = await look([dense(24, 'sigmoid', { biasInitialiser: filled({ value: 12 }) }), dense(4)])
    expect(only(saturated, 'saturatedUnits')).toMatchObject({ where: 'layers.0', value: 1 })
  })

  test('vanishing and exploding gradients', async () => {
    const deep = (std: number) =>
      Array.from({ length: 8 }, () => dense(16, 'tanh', { weightInitialiser: normal({ standardDeviation: std }) }))
    expect(kinds(await look([...deep(0.05), dense(4)]))).toContain('vanishingGradients')
    const relu = Array.from({ length: 8 }, () =>
      dense(16, 'relu', { weightInitialiser: normal({ standardDeviation: 1.5 }) }),
    )
    const exploding = await look([...relu, dense(4)])
    expect(only(exploding, 'explodingGradients').value).toBeGreaterThan(100)
    expect(only(exploding, 'explodingGradients').suggestion).toMatch('sampleClipping()')
  })

  test('heads in conflict, and of unequal weight', async () => {
    const model = createModel({
      inputs: 4,
      layers: [dense(8, 'tanh')],
      heads: {
        a: [dense(1, 'identity', { weightInitialiser: filled({ value: 1 }) })],
        b: [dense(1, 'identity', { weightInitialiser: filled({ value: 1 }) })],
      },
      dtype: 'float64',
      seed: 2,
    })
    const data = { inputs, targets: { a: inputs.map(() => [3]), b: inputs.map(() => [-40]) } }
    const found = await diagnose(model, data, { loss: { a: meanSquaredError(), b: meanSquaredError() } })
    expect(only(found, 'conflictingTasks')).toMatchObject({ where: 'a, b', threshold: -0.1 })
    expect(only(found, 'conflictingTasks').suggestion).toMatch('pcGrad()')
    expect(only(found, 'unequalTasks').value).toBeGreaterThan(10)
    expect(found.taskCosines?.data[1]).toBe(only(found, 'conflictingTasks').value)
    expect(found.outputs.map(({ head }) => head)).toEqual(['a', 'b'])
    const together = { inputs, targets: { a: data.targets.a, b: data.targets.a } }
    const same = await diagnose(model, together, { loss: { a: meanSquaredError(), b: meanSquaredError() } })
    expect(kinds(same)).toEqual([])
  })

  test('losses that are sums are looked at as means, head by head', async () => {
    const heads = { a: [dense(1)], b: [dense(1)] }
    const model = createModel({ inputs: 4, layers: [dense(8, 'tanh')], heads, dtype: 'float64', seed: 2 })
    const targets = { a: inputs.map(([a = 0]) => [a]), b: inputs.map(([, b = 0]) => [2 * b]) }
    const mean = meanSquaredError()
    const sum = meanSquaredError({ reduction: 'sum' })
    const means = await diagnose(model, { inputs, targets }, { loss: { a: mean, b: mean } })
    expect(await diagnose(model, { inputs, targets }, { loss: { a: sum, b: sum } })).toEqual(means)
    expect(await diagnose(model, { inputs, targets }, { loss: { a: mean, b: sum } })).toEqual(means)
    const options = { loss: softmaxCrossEntropy({ reduction: 'sum' }) }
    expect(await look([dense(8, 'relu'), dense(4)], options)).toEqual(await look([dense(8, 'relu'), dense(4)]))
  })

  test('wrong labels, and where they are', async () => {
    const model = createModel({ inputs: 4, layers: [dense(32, 'relu'), dense(4)], seed: 5 })
    await train(model, { inputs, targets: labels }, { loss, epochs: 60, optimizer: adam({ learningRate: 0.01 }) })
    const wrong = Array.from({ length: 24 }, (_, i) => 7 + 16 * i)
    const noisy = labels.map((label, row) => (wrong.includes(row) ? (label + 2) % 4 : label))
    const clean = await diagnose(model, { inputs, targets: labels }, { loss })
    expect(kinds(clean)).not.toContain('suspectLabels')
    const found = await diagnose(model, { inputs, targets: noisy }, { loss, largest: 24 })
    expect(only(found, 'suspectLabels').value).toBeGreaterThan(0.04)
    expect(only(found, 'suspectLabels').suggestion).toMatch('generalizedCrossEntropyWeights()')
    const named = found.outputs[0]?.largestLosses.map(({ row }) => row) ?? []
    expect(named.filter((row) => wrong.includes(row)).length).toBeGreaterThanOrEqual(22)
    expect(found.outputs[0]?.largestLosses[0]?.label).toBe(noisy[named[0] ?? 0])
  })

  test('a rare class, a hard class', async () => {
    const model = createModel({ inputs: 4, layers: [dense(16, 'relu'), dense(1)], seed: 5 })
    const targets = inputs.map((_, row) => [row % 50 === 0 ? 1 : 0])
    await train(model, { inputs, targets }, { loss: binaryCrossEntropy(), epochs: 30 })
    const found = await diagnose(model, { inputs, targets }, { loss: binaryCrossEntropy() })
    expect(only(found, 'rareClass')).toMatchObject({ where: 'class 1', value: 49 })
    expect(only(found, 'hardClass').suggestion).toMatch('focalWeights()')
  })

  test('a heavy tail: a few samples have most of the gradient', async () => {
    const model = createModel({ inputs: 4, layers: [dense(8, 'tanh'), dense(1)], seed: 5 })
    const targets = inputs.map((_, row) => [row % 100 === 3 ? 500 : noise(row)])
    const found = await diagnose(model, { inputs, targets }, { loss: meanSquaredError() })
    expect(only(found, 'heavyTail').value).toBeGreaterThan(diagnosisThresholds.topShare)
    expect(only(found, 'heavyTail').suggestion).toMatch('clipping: sampleClipping({ threshold: ')
    expect(found.outputs[0]?.largestLosses.slice(0, 4).map(({ row }) => row % 100)).toEqual([3, 3, 3, 3])
  })

  test('the batch size against the noise', async () => {
    const model = createModel({ inputs: 4, layers: [dense(1)], seed: 5 })
    const alike = { inputs: inputs.map(() => [1, 1, 1, 1]), targets: inputs.map((_, i) => [5 + 0.1 * noise(i)]) }
    const large = await diagnose(model, alike, { loss: meanSquaredError(), batchSize: 64 })
    expect(only(large, 'largeBatch').value).toBeGreaterThan(10)
    expect(kinds(await diagnose(model, alike, { loss: meanSquaredError() }))).toEqual([])
    const opposed = { inputs: alike.inputs, targets: inputs.map((_, i) => [i % 2 === 0 ? 100 : -100]) }
    expect(
      only(await diagnose(model, opposed, { loss: meanSquaredError(), batchSize: 2 }), 'smallBatch').value,
    ).toBeGreaterThan(10)
  })

  test('numbers that are not finite stand alone', async () => {
    const huge = await look([
      dense(8, 'identity', { weightInitialiser: normal({ standardDeviation: 1e200 }) }),
      dense(4, 'identity', { weightInitialiser: normal({ standardDeviation: 1e200 }) }),
    ])
    expect(kinds(huge)).toEqual(['notFinite'])
  })

  test('as text and as a page', async () => {
    const found = await look([dense(24, 'relu', { biasInitialiser: filled({ value: -9 }) }), dense(4)])
    const text = diagnosisText(found)
    expect(text).toMatch('1. ')
    expect(text).toMatch('24 of 24 dead')
    const page = renderDiagnosis(found, { title: 'A <net>' })
    expect(page).toMatch('<h1>A &lt;net&gt;</h1>')
    expect(page).toMatch('24 of 24 units of layers.0 are dead')
    expect(page.match(/<svg/g)).toHaveLength(3)
    const folder = mkdtempSync(join(tmpdir(), 'krylov-'))
    try {
      await writeDiagnosis(join(folder, 'page.html'), found)
      expect(readFileSync(join(folder, 'page.html'), 'utf8')).toMatch('<h1>Diagnosis</h1>')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('the model stays as it was, and the same seed sees the same', async () => {
    const model = createModel({ inputs: 4, layers: [dense(8, 'relu'), dense(4)], seed: 1 })
    const before = model.parameters
    const options = { loss, samples: 50, seed: 9 }
    const first = await diagnose(model, { inputs, targets: labels }, options)
    expect(await diagnose(model, { inputs, targets: labels }, options)).toEqual(first)
    expect(model.parameters).toEqual(before)
  })

  test('says what is wrong', async () => {
    const model = createModel({ inputs: 4, layers: [dense(4)] })
    const data = { inputs, targets: labels }
    await expect(diagnose(model, data, { loss, samples: 1 })).rejects.toThrow('diagnose samples')
    await expect(diagnose(model, data, { loss, batchSize: 0 })).rejects.toThrow('diagnose batchSize')
    await expect(diagnose(model, data, { loss, rows: 3 } as never)).rejects.toThrow('diagnose options')
    await expect(diagnose(model, data, {} as never)).rejects.toThrow('loss')
    expect(errorOf(() => renderDiagnosis(null as never)).message).toMatch('diagnosis')
  })
})

describe('pairwiseCosines', () => {
  test('of vectors, and of a Gram matrix', () => {
    const vectors = [Float64Array.of(1, 0), Float64Array.of(1, 1), Float64Array.of(-2, 0), Float64Array.of(0, 0)]
    const { data, shape, mean, negativeShare, within, between } = pairwiseCosines(vectors, { classes: [0, 0, 1, 1] })
    const h = Math.SQRT1_2
    expect(shape).toEqual([4, 4])
    const wanted = [1, h, -1, 0, h, 1, -h, 0, -1, -h, 1, 0, 0, 0, 0, 0]
    for (const [at, value] of data.entries()) expect(value).toBeCloseTo(wanted[at] ?? Number.NaN, 14)
    expect(mean).toBeCloseTo(-1 / 6, 14)
    expect(negativeShare).toBeCloseTo(1 / 3, 14)
    expect(within).toBeCloseTo(h / 2, 14)
    expect(between).toBeCloseTo((-1 - h) / 4, 14)
    const gram = vectors.flatMap((a) => vectors.map((b) => (a[0] ?? 0) * (b[0] ?? 0) + (a[1] ?? 0) * (b[1] ?? 0)))
    expect(pairwiseCosines({ data: Float64Array.from(gram), shape: [4, 4] }).data).toEqual(data)
    expect(pairwiseCosines([Float32Array.of(3, 4)])).toMatchObject({ mean: Number.NaN, shape: [1, 1] })
  })

  test('says what is wrong', () => {
    expect(errorOf(() => pairwiseCosines([])).message).toMatch('vectors')
    expect(errorOf(() => pairwiseCosines([new Float64Array(2), new Float64Array(3)])).message).toMatch('vectors[1]')
    expect(errorOf(() => pairwiseCosines([new Float64Array(2), new Float32Array(2)])).code).toBe('ERR_DTYPE')
    expect(errorOf(() => pairwiseCosines({ data: new Float64Array(6), shape: [2, 3] })).code).toBe('ERR_SHAPE')
    expect(errorOf(() => pairwiseCosines([new Float64Array(2)], { classes: [0, 1] })).message).toMatch('classes')
  })
})

describe('curvatureNoiseScale', () => {
  test.each(['ggn', 'hessian'] as const)('equals the traces of dense matrices: %s', (curvature) => {
    const model = createModel({ inputs: 4, layers: [dense(3, 'tanh'), dense(4)], dtype: 'float64', seed: 5 })
    using point = linearize(model, { inputs: inputs.slice(0, 9), targets: labels.slice(0, 9) }, loss)
    const { parameterCount: size, sampleCount: count } = point
    const operator = curvature === 'ggn' ? point.ggn() : point.hessian()
    const h = Array.from({ length: size }, (_, i) =>
      operator.matvec(Float64Array.from({ length: size }, (_, j) => Number(i === j))),
    )
    const form = (v: Float64Array): number =>
      v.reduce((sum, x, i) => sum + x * v.reduce((own, y, j) => own + y * (h[i]?.[j] ?? 0), 0), 0)
    const { data } = point.perSampleGradients()
    const mean = point.gradient()
    const total = Array.from({ length: count }, (_, i) => form(data.slice(i * size, (i + 1) * size)))
    const found = curvatureNoiseScale(point, { curvature })
    const trace = total.reduce((sum, value) => sum + value / count, 0) - form(mean)
    expect(found.gradientCurvature).toBeCloseTo(form(mean), 10)
    expect(found.noiseCurvature).toBeCloseTo(trace, 10)
    expect(found.noiseScale).toBeCloseTo(trace / form(mean), 8)
    expect(errorOf(() => curvatureNoiseScale(point, { curvature: 'fisher' as never })).message).toMatch('curvature')
  })
})
