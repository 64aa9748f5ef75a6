import { describe, expect, it } from 'vitest'
import type { LayerOption, Loss, SampleClippingOptions } from '../src/index.js'
import {
  adam,
  createModel,
  createTrainer,
  dense,
  hessianFree,
  huber,
  layerNorm,
  linearize,
  meanSquaredError,
  residual,
  sampleClipping,
  sgd,
  softmaxCrossEntropy,
  train,
} from '../src/index.js'
import { errorOf } from './support/thrown.js'

const rows = 12
const width = 5
const inputs = {
  data: Float64Array.from({ length: rows * width }, (_, i) => Math.sin(1 + i * i)),
  shape: [rows, width] as const,
}
const labels = Int32Array.from({ length: rows }, (_, i) => (i * 7) % 3)
const sampleWeights = Float64Array.from({ length: rows }, (_, i) => 0.5 + (i % 4))

const nets: Record<string, readonly LayerOption[]> = {
  dense: [dense(9, 'tanh'), dense(3)],
  normalised: [dense(6, 'relu'), layerNorm(), residual([dense(4, 'tanh'), dense(6)]), dense(3)],
}

/** Sizes of the layers with parameters, in the order of the vector. */
function layerSizes(tensors: readonly { name: string; shape: readonly number[] }[]): number[] {
  const sizes = new Map<string, number>()
  for (const { name, shape } of tensors) {
    const layer = name.slice(0, name.lastIndexOf('.'))
    sizes.set(layer, (sizes.get(layer) ?? 0) + shape.reduce((product, size) => product * size, 1))
  }
  return [...sizes.values()]
}

function factor({ mode = 'clip', epsilon }: SampleClippingOptions, threshold: number, norm: number): number {
  if (mode === 'global') return norm <= threshold ? 1 : 0
  const ratio = threshold / (norm + (epsilon ?? (mode === 'automatic' ? 0.01 : 0)))
  return mode === 'automatic' ? ratio : Math.min(1, ratio)
}

/** The clipped mean of per-sample gradients, from the materialised ones. */
function clippedMean(
  gradients: readonly Float64Array[],
  sizes: readonly number[],
  options: SampleClippingOptions,
): { mean: Float64Array; clipped: number } {
  const size = gradients[0]?.length ?? 0
  const mean = new Float64Array(size)
  let clipped = 0
  const parts = options.by === 'layer' ? sizes : [size]
  for (const gradient of gradients) {
    let first = 0
    parts.forEach((length, part) => {
      const own = gradient.subarray(first, first + length)
      const { threshold = 1 } = options
      const c = factor(options, typeof threshold === 'number' ? threshold : (threshold[part] ?? 0), Math.hypot(...own))
      if (c !== 1) clipped += 1 / (gradients.length * parts.length)
      for (let i = 0; i < length; i++) mean[first + i] = (mean[first + i] ?? 0) + (c * (own[i] ?? 0)) / gradients.length
      first += length
    })
  }
  return { mean, clipped }
}

describe('sampleClipping', () => {
  const cases: SampleClippingOptions[] = [
    { threshold: 0.7 },
    { threshold: 0.7, epsilon: 0.2 },
    { threshold: 0.5, mode: 'automatic' },
    { threshold: 0.9, mode: 'global' },
    { threshold: 0.3, by: 'layer' },
    { threshold: 0.4, mode: 'automatic', by: 'layer' },
  ]
  for (const [name, layers] of Object.entries(nets)) {
    it.each(cases)(`is the clipped mean of materialised gradients: ${name}, %j`, (options) => {
      const model = createModel({ inputs: width, layers, seed: 3, dtype: 'float64' })
      const data = { inputs, targets: labels, sampleWeights }
      const loss = softmaxCrossEntropy()
      using point = linearize(model, data, loss)
      const { data: all } = point.perSampleGradients()
      const size = model.parameterCount
      const gradients = Array.from({ length: rows }, (_, row) => all.subarray(row * size, (row + 1) * size))
      const { mean, clipped } = clippedMean(gradients, layerSizes(model.tensors), options)
      const before = model.parameters
      using trainer = createTrainer(model, {
        loss,
        optimizer: sgd({ learningRate: 1 }),
        l2: 0.1,
        clipping: sampleClipping(options),
      })
      const { numbers } = trainer.step(data)
      const after = model.parameters
      for (const [i, start] of before.entries()) {
        expect(start - (after[i] ?? 0)).toBeCloseTo((mean[i] ?? 0) + 0.1 * start, 12)
      }
      const norms = gradients.map((gradient) => Math.hypot(...gradient))
      expect(numbers?.clippedShare).toBeCloseTo(clipped, 12)
      expect(numbers?.largestGradientNorm).toBeCloseTo(Math.max(...norms), 12)
      expect(numbers?.meanGradientNorm).toBeCloseTo(norms.reduce((sum, norm) => sum + norm, 0) / rows, 12)
      expect(clipped).toBeGreaterThan(0)
    })
  }

  it('takes a threshold for each layer, and sums where the loss does', () => {
    const model = createModel({ inputs: width, layers: nets.dense ?? [], seed: 3, dtype: 'float64' })
    const targets = {
      data: Float64Array.from({ length: rows * 3 }, (_, i) => 3 * Math.cos(i)),
      shape: [rows, 3] as const,
    }
    const loss: Loss = meanSquaredError({ reduction: 'sum', outputs: 'sum' })
    using point = linearize(model, { inputs, targets }, loss)
    const { data: all } = point.perSampleGradients()
    const size = model.parameterCount
    const gradients = Array.from({ length: rows }, (_, row) => all.subarray(row * size, (row + 1) * size))
    const options: SampleClippingOptions = { threshold: [0.5, 2], by: 'layer' }
    const { mean } = clippedMean(gradients, layerSizes(model.tensors), options)
    const before = model.parameters
    using trainer = createTrainer(model, {
      loss,
      optimizer: sgd({ learningRate: 1 }),
      clipping: sampleClipping(options),
    })
    trainer.step({ inputs, targets })
    const after = model.parameters
    for (const [i, start] of before.entries()) expect(start - (after[i] ?? 0)).toBeCloseTo(rows * (mean[i] ?? 0), 11)
  })

  it('changes nothing where no norm is too large, up to the rounding of the mean', async () => {
    const options = { loss: softmaxCrossEntropy(), optimizer: adam({ learningRate: 0.01 }), batchSize: 4, epochs: 5 }
    const data = { inputs, targets: labels }
    const create = () => createModel({ inputs: width, layers: nets.dense ?? [], seed: 3, dtype: 'float64' })
    const plain = create()
    await train(plain, data, options)
    const clipped = create()
    const history = await train(clipped, data, { ...options, clipping: sampleClipping({ threshold: 1e6 }) })
    for (const [i, value] of plain.parameters.entries()) expect(clipped.parameters[i]).toBeCloseTo(value, 12)
    expect(history.epochs.at(-1)?.numbers?.clippedShare).toBe(0)
  })

  it('gives the same bits for any number of threads', async () => {
    const wide = { data: Float32Array.from({ length: 512 * 96 }, (_, i) => Math.sin(i * i)), shape: [512, 96] as const }
    const targets = Int32Array.from({ length: 512 }, (_, i) => i % 3)
    const results = []
    for (const threads of [1, 2]) {
      const model = createModel({ inputs: 96, layers: [dense(64, 'relu'), dense(32, 'tanh'), dense(3)], seed: 1 })
      await train(
        model,
        { inputs: wide, targets },
        {
          loss: softmaxCrossEntropy(),
          batchSize: 128,
          epochs: 3,
          threads,
          clipping: sampleClipping({ threshold: 0.5 }),
        },
      )
      results.push(model.parameters)
    }
    expect(results[1]).toEqual(results[0])
  })

  it('works with heads: the norm is that of all of them', () => {
    const heads = { class: [dense(3)], value: [dense(1)] }
    const model = createModel({ inputs: width, layers: [dense(6, 'tanh')], heads, seed: 1, dtype: 'float64' })
    const targets = { class: labels, value: { data: new Float64Array(rows).fill(4), shape: [rows, 1] as const } }
    const loss = { class: softmaxCrossEntropy(), value: huber() }
    using point = linearize(model, { inputs, targets }, loss)
    const norms = Array.from(point.perSampleGradientNorms())
    using trainer = createTrainer(model, { loss, clipping: sampleClipping({ threshold: 1 }) })
    expect(trainer.step({ inputs, targets }).numbers?.largestGradientNorm).toBeCloseTo(Math.max(...norms), 12)
  })

  it('refuses what it cannot do', () => {
    const model = createModel({ inputs: width, layers: nets.dense ?? [], seed: 3 })
    const of = (options: object) =>
      errorOf(() => createTrainer(model, { loss: softmaxCrossEntropy(), ...options } as never))
    expect(of({ clipping: sampleClipping({ threshold: [1, 2, 3], by: 'layer' }) }).message).toMatch(
      /clipping\.threshold.*each layer with parameters/,
    )
    expect(of({ clipping: sampleClipping(), optimizer: hessianFree() }).message).toMatch(/clipping: expected none with/)
    const weighted = softmaxCrossEntropy({ normalizeWeights: true })
    expect(of({ clipping: sampleClipping(), loss: weighted }).message).toMatch(/clipping/)
    expect(of({ clipping: { kind: 'noise' } }).message).toMatch(/clipping\.kind/)
    expect(errorOf(() => sampleClipping({ threshold: 0 })).message).toMatch(/sampleClipping threshold/)
    expect(errorOf(() => sampleClipping({ threshold: [1, 2] })).message).toMatch(/sampleClipping threshold/)
    expect(errorOf(() => sampleClipping({ mode: 'automatic', epsilon: 0 })).message).toMatch(/sampleClipping epsilon/)
    expect(errorOf(() => sampleClipping({ mode: 'global', epsilon: 0.1 })).message).toMatch(/sampleClipping epsilon/)
    expect(errorOf(() => sampleClipping({ norm: 1 } as never)).message).toMatch(/norm/)
  })
})
