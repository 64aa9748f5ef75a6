// Quantities of single samples against vectors computed independently in float64 (test/golden/per-sample).
import { describe, expect, test } from 'vitest'
import type { DType, LayerOption, LossOption } from '../src/index.js'
import { createModel, linearize } from '../src/index.js'
import { expectClose } from './support/compare.js'
import type { Nested } from './support/golden.js'
import { flatten, goldenFile } from './support/golden.js'

type Clipped = {
  readonly function: 'clip' | 'automatic' | 'global'
  readonly threshold: number
  readonly epsilon: number
  readonly gamma?: number
  readonly factors: number[]
  readonly meanGradient: Nested
}

type Case = {
  readonly model: { readonly inputs: number; readonly layers: readonly LayerOption[] }
  readonly loss: string
  readonly lossOptions: Record<string, unknown>
  readonly params: Nested
  readonly x: number[][]
  readonly y: number[] | number[][]
  readonly squaredNorms: { readonly perTensor: Nested; readonly perLayer: Nested; readonly total: Nested }
  readonly gram: { readonly perLayer: Nested[]; readonly total: Nested }
  readonly ntk: {
    readonly blocks: Nested
    readonly trace: Nested
    readonly perOutput: Nested[]
    readonly ofOutputSum: Nested
  }
  readonly clipped: Clipped[]
  readonly layerClipped: {
    readonly thresholds: number[]
    readonly factors: number[][]
    readonly meanGradient: Nested
  }
  readonly noiseScale: Record<string, number>
  readonly [key: string]: unknown
}

const files = ['mlp-softmax.json', 'mlp-sigmoid.json', 'mlp-squared.json']
const cases = files.flatMap((file) => goldenFile<Case>('per-sample', file))
const dtypes = [
  ['float64', 1e-9, 1e-12],
  ['float32', 1e-4, 1e-6],
] as const
const given = ['source', 'model', 'loss', 'lossDefinition', 'lossOptions', 'params', 'x', 'y']

function pointOf(golden: Case, dtype: DType) {
  const model = createModel({ ...golden.model, dtype })
  model.setParameters(flatten(golden.params))
  const loss = { kind: golden.loss, ...golden.lossOptions } as LossOption
  return { model, point: linearize(model, { inputs: golden.x, targets: golden.y }, loss) }
}

function softmax(logits: readonly number[]): number[] {
  const most = Math.max(...logits)
  const exponentials = logits.map((z) => Math.exp(z - most))
  const sum = exponentials.reduce((a, b) => a + b)
  return exponentials.map((e) => e / sum)
}

function factorOf(rule: Clipped, norm: number): number {
  if (rule.function === 'clip') return Math.min(1, rule.threshold / (norm + rule.epsilon))
  if (rule.function === 'automatic') return rule.threshold / (norm + (rule.gamma as number))
  return norm <= rule.threshold ? 1 : 0
}

describe.each(cases)('$name', ({ value: golden }) => {
  test.each(dtypes)('%s', (dtype, relative, absolute) => {
    const { model, point } = pointOf(golden, dtype)
    const samples = golden.x.length
    const size = model.parameterCount
    const classes = golden.loss === 'softmaxCrossEntropy'
    const checked = new Set<string>()
    const check = (key: string, values: ArrayLike<number>, expected: unknown, label = key): void => {
      checked.add(key)
      expectClose(values, flatten(expected as Nested), (b) => relative * Math.abs(b) + absolute, label)
    }

    const gradients = point.perSampleGradients().data
    const outputs = Array.from(point.outputs.data)
    check('outputs', outputs, golden.outputs)
    check('lossPerSample', point.lossPerSample, golden.lossPerSample)
    check('meanLoss', [point.loss], golden.meanLoss)
    check('gradient', point.gradient(), golden.gradient)
    check('perSampleGradients', gradients, golden.perSampleGradients)

    const byTensor = point.perSampleSquaredNorms({ by: 'tensor' })
    const byLayer = point.perSampleSquaredNorms({ by: 'layer' })
    const total = point.perSampleSquaredNorms()
    check('squaredNorms', byTensor.data, golden.squaredNorms.perTensor, 'perTensor')
    check('squaredNorms', byLayer.data, golden.squaredNorms.perLayer, 'perLayer')
    check('squaredNorms', total.data, golden.squaredNorms.total, 'total')
    const layers = golden.model.layers.length
    expect([byTensor.shape, byLayer.shape, total.shape]).toEqual([
      [samples, 2 * layers],
      [samples, layers],
      [samples, 1],
    ])
    expect(byTensor.names).toEqual(model.tensors.map(({ name }) => name))

    const gram = point.gramMatrix()
    check('gram', gram.data, golden.gram.total, 'gram')
    expect(Array.from(total.data)).toEqual(Array.from(total.data, (_, i) => gram.data[i * samples + i]))
    const layerGrams = point.layerGramMatrices()
    expect(layerGrams.map(({ layer }) => layer)).toEqual(byLayer.names)
    for (const [index, expected] of golden.gram.perLayer.entries()) {
      check('gram', layerGrams[index]?.data ?? [], expected, `gram of layer ${index}`)
    }

    const blocks = point.ntk({ outputs: 'blocks' })
    const width = outputs.length / samples
    expect(blocks.shape).toEqual([samples, samples, width, width])
    check('ntk', blocks.data, golden.ntk.blocks, 'blocks')
    check('ntk', point.ntk().data, golden.ntk.trace, 'trace')
    check('ntk', point.ntk({ outputs: 'sum' }).data, golden.ntk.ofOutputSum, 'ofOutputSum')
    for (const [index, expected] of golden.ntk.perOutput.entries()) {
      check('ntk', point.ntk({ outputs: index }).data, expected, `output ${index}`)
    }
    expect(golden.ntk.perOutput).toHaveLength(width)

    const weighted = (weight: (sample: number, parameter: number) => number): number[] =>
      Array.from({ length: size }, (_, p) => {
        let sum = 0
        for (let i = 0; i < samples; i++) sum += weight(i, p) * (gradients[i * size + p] as number)
        return sum / samples
      })
    const norms = Array.from(total.data, Math.sqrt)
    for (const [index, rule] of golden.clipped.entries()) {
      const factors = norms.map((norm) => factorOf(rule, norm))
      check('clipped', factors, rule.factors, `clipped ${index}`)
      check(
        'clipped',
        weighted((i) => factors[i] as number),
        rule.meanGradient,
        `clipped ${index} mean`,
      )
    }
    const { thresholds, factors, meanGradient } = golden.layerClipped
    const layerFactors = Array.from(byLayer.data, (square, at) =>
      factorOf({ function: 'clip', epsilon: 0, threshold: thresholds[at % layers] } as Clipped, Math.sqrt(square)),
    )
    check('layerClipped', layerFactors, factors, 'layer factors')
    const layerOf = model.tensors.flatMap(({ shape }, t) =>
      new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(Math.floor(t / 2)),
    )
    check(
      'layerClipped',
      weighted((i, p) => layerFactors[i * layers + (layerOf[p] as number)] as number),
      meanGradient,
      'layer mean',
    )

    check('grand', norms, golden.grand)
    // The gradient by the last bias is the last delta.
    const bound = Array.from(norms, (_, i) => Math.sqrt(byTensor.data[(i + 1) * 2 * layers - 1] as number))
    check('lastLayerBound', bound, golden.lastLayerBound)
    if (classes) {
      const distances = Array.from(norms, (_, i) => {
        const p = softmax(outputs.slice(i * width, (i + 1) * width))
        return Math.hypot(...p.map((value, k) => value - (k === golden.y[i] ? 1 : 0)))
      })
      check('el2n', distances, golden.el2n)
    }

    check('sumOfSquares', point.gradientSquareSums(), golden.sumOfSquares)
    check('variance', point.gradientVariance(), golden.variance)
    check('varianceUnbiased', point.gradientVariance({ unbiased: true }), golden.varianceUnbiased)

    const statistics = point.gradientStatistics()
    expect(Object.keys(statistics.noiseScale).sort()).toEqual(Object.keys(golden.noiseScale).sort())
    for (const [key, value] of Object.entries(golden.noiseScale)) {
      check('noiseScale', [statistics.noiseScale[key as keyof typeof statistics.noiseScale]], value, key)
    }
    check('dotWithMean', statistics.dotWithMean, golden.dotWithMean)
    check('dotWithMean', point.perSampleProducts(point.gradient()), golden.dotWithMean, 'products')
    check('cosineWithMean', statistics.cosineWithMean, golden.cosineWithMean)
    check('gradientDiversity', [statistics.gradientDiversity], golden.gradientDiversity)
    expectClose([statistics.coherence * statistics.gradientDiversity], [1], 1e-14, 'coherence')

    expect(Object.keys(golden).filter((key) => !given.includes(key) && !checked.has(key))).toEqual([])
  })
})
