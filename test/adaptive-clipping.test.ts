import { describe, expect, it } from 'vitest'
import type { LayerOption, SampleClippingOptions, TrainingState } from '../src/index.js'
import {
  adam,
  createModel,
  createTrainer,
  dense,
  layerNorm,
  layerStatistics,
  linearize,
  meanSquaredError,
  quantileThreshold,
  sampleClipping,
  sgd,
  softmaxCrossEntropy,
  train,
} from '../src/index.js'
import { errorOf } from './support/thrown.js'

const rows = 24
const width = 5
const inputs = {
  data: Float64Array.from({ length: rows * width }, (_, i) => Math.sin(1 + i * i)),
  shape: [rows, width] as const,
}
const labels = Int32Array.from({ length: rows }, (_, i) => (i * 7) % 3)
const data = { inputs, targets: labels }
const layers: readonly LayerOption[] = [dense(8, 'tanh'), layerNorm(), dense(3)]
const loss = softmaxCrossEntropy()

function network(dtype: 'float64' | 'float32' = 'float64') {
  return createModel({ inputs: width, layers, seed: 3, dtype })
}

/** Norms of every sample's gradient by the parts that have a threshold of their own: [parts][rows]. */
function partNorms(model: ReturnType<typeof network>, by: 'sample' | 'layer'): number[][] {
  using point = linearize(model, data, loss)
  const { data: all } = point.perSampleGradients()
  const size = model.parameterCount
  const starts =
    by === 'sample'
      ? [0]
      : [...new Set(model.tensors.map(({ name }) => name.replace(/\.[^.]*$/, '')))].map(
          (layer) => model.tensors.find(({ name }) => name.startsWith(`${layer}.`))?.offset ?? 0,
        )
  return starts.map((start, part) =>
    Array.from({ length: rows }, (_, row) =>
      Math.hypot(...all.subarray(row * size + start, row * size + (starts[part + 1] ?? size))),
    ),
  )
}

/** Steps on the whole data, with what each step's thresholds are to be according to `follow`. */
function checkThresholds(
  options: SampleClippingOptions,
  steps: number,
  follow: (thresholds: number[], norms: number[][]) => number[],
  start: number[],
): void {
  const model = network()
  using trainer = createTrainer(model, {
    loss,
    optimizer: sgd({ learningRate: 0.05 }),
    clipping: sampleClipping(options),
  })
  let thresholds = start
  for (let step = 0; step < steps; step++) {
    const norms = partNorms(model, options.by ?? 'sample')
    const { numbers = {} } = trainer.step(data)
    if (options.by === 'layer') {
      if (Number.isFinite(thresholds[0])) {
        expect(numbers.smallestClippingThreshold).toBeCloseTo(Math.min(...thresholds), 11)
        expect(numbers.largestClippingThreshold).toBeCloseTo(Math.max(...thresholds), 11)
      } else {
        expect(numbers.largestClippingThreshold).toBeUndefined()
      }
    } else {
      expect(numbers.clippingThreshold).toBeCloseTo(thresholds[0] ?? 0, 11)
    }
    const clipped = norms.flatMap((part, index) => part.filter((norm) => norm > (thresholds[index] ?? 0)))
    expect(numbers.clippedShare).toBeCloseTo(clipped.length / (rows * norms.length), 12)
    thresholds = follow(thresholds, norms)
  }
}

describe('quantileThreshold', () => {
  it('fills in its defaults', () => {
    expect(quantileThreshold()).toEqual({ kind: 'quantile', quantile: 0.5, rate: 0.2, min: 1e-8, max: 1e8 })
  })

  it.each(['sample', 'layer'] as const)('follows C exp(-rate (b - quantile)) by %s', (by) => {
    const [quantile, rate] = [0.7, 0.5]
    checkThresholds(
      { threshold: 0.6, by, adapt: quantileThreshold({ quantile, rate, max: 0.9 }) },
      12,
      (thresholds, norms) =>
        thresholds.map((threshold, part) => {
          const within = (norms[part] ?? []).filter((norm) => norm <= threshold).length / rows
          return Math.min(0.9, threshold * Math.exp(-rate * (within - quantile)))
        }),
      by === 'sample' ? [0.6] : [0.6, 0.6, 0.6],
    )
  })

  it('comes to the quantile that was asked for', () => {
    const model = network()
    const adapt = quantileThreshold({ quantile: 0.75, rate: 0.3 })
    using trainer = createTrainer(model, {
      loss,
      optimizer: sgd({ learningRate: 1e-6 }),
      clipping: sampleClipping({ threshold: 100, adapt }),
    })
    for (let step = 0; step < 400; step++) trainer.step(data)
    // To the next sample: norms that are nearly equal have no threshold between them.
    const { clippedShare = 0 } = trainer.step(data).numbers ?? {}
    expect(Math.abs(clippedShare - 0.25)).toBeLessThan(1.01 / rows)
  })
})

describe('layerStatistics', () => {
  it('limits each layer to mean + kappa deviations of the steps before', () => {
    const decay = 0.8
    const [kappaFirst, kappaLast] = [0.5, 1.5]
    let [means, variances, power] = [[0, 0, 0], [0, 0, 0], 1]
    checkThresholds(
      { by: 'layer', adapt: layerStatistics({ kappaFirst, kappaLast, decay }) },
      8,
      (_, norms) => {
        const mean = norms.map((part) => part.reduce((sum, norm) => sum + norm, 0) / rows)
        const variance = norms.map(
          (part, i) => part.reduce((sum, norm) => sum + (norm - (mean[i] ?? 0)) ** 2, 0) / rows,
        )
        means = means.map((old, i) => decay * old + (1 - decay) * (mean[i] ?? 0))
        variances = variances.map((old, i) => decay * old + (1 - decay) * (variance[i] ?? 0))
        power *= decay
        return means.map((average, i) => {
          const kappa = kappaFirst + (i / 2) * (kappaLast - kappaFirst)
          return average / (1 - power) + kappa * Math.sqrt((variances[i] ?? 0) / (1 - power))
        })
      },
      [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    )
  })
})

describe('thresholds that follow', () => {
  const cases: [string, SampleClippingOptions][] = [
    ['a quantile', { threshold: 0.5, adapt: quantileThreshold() }],
    ['a quantile by layer', { threshold: 0.5, by: 'layer', adapt: quantileThreshold({ quantile: 0.3 }) }],
    ['statistics', { by: 'layer', adapt: layerStatistics({ kappaFirst: 0.2 }), notFinite: 'drop' }],
  ]

  it.each(cases)('%s: a resumed run gives the bits of an unbroken one', async (_, clipping) => {
    const options = { loss, optimizer: adam({ learningRate: 0.02 }), batchSize: 7, clipping: sampleClipping(clipping) }
    const whole = network('float32')
    const unbroken = train(whole, data, { ...options, epochs: 4 })
    await unbroken
    const parts = network('float32')
    const first = train(parts, data, { ...options, epochs: 2 })
    await first
    const state = JSON.parse(
      JSON.stringify(first.state(), (__, value) => (ArrayBuffer.isView(value) ? Array.from(value as never) : value)),
    ) as TrainingState
    const second = train(parts, data, { ...options, epochs: 4, resume: state })
    await second
    expect(parts.parameters).toEqual(whole.parameters)
    expect(second.state()).toEqual(unbroken.state())
  })

  it.each(cases)('%s: the same bits for one thread and two', async (_, clipping) => {
    const results = []
    const wide = {
      data: Float32Array.from({ length: 512 * 96 }, (__, i) => Math.sin(i * i)),
      shape: [512, 96] as const,
    }
    const targets = Int32Array.from({ length: 512 }, (__, i) => i % 3)
    for (const threads of [1, 2]) {
      const model = createModel({ inputs: 96, layers: [dense(64, 'relu'), dense(32, 'tanh'), dense(3)], seed: 1 })
      const run = train(
        model,
        { inputs: wide, targets },
        { loss, batchSize: 128, epochs: 3, threads, clipping: sampleClipping(clipping) },
      )
      await run
      results.push({ parameters: model.parameters, state: run.state() })
    }
    expect(results[1]).toEqual(results[0])
  })

  it('cannot go on from a state without them', () => {
    const model = network()
    using plain = createTrainer(model, { loss, clipping: sampleClipping() })
    plain.step(data)
    const error = errorOf(() =>
      createTrainer(model, {
        loss,
        clipping: sampleClipping({ adapt: quantileThreshold() }),
        resume: plain.state(),
      } as never),
    )
    expect(error.message).toMatch(/thresholds|resume/)
  })
})

describe('samples that are not finite', () => {
  // Twice these targets, which is the order of the deltas, is no float32 number.
  const size = 12
  const values = Float32Array.from({ length: size }, (_, i) => Math.cos(i))
  const broken = Float32Array.from(values)
  broken[4] = 2.5e38
  broken[9] = 3e38
  const columns = { data: Float32Array.from({ length: size * 2 }, (_, i) => Math.sin(i)), shape: [size, 2] as const }
  const table = (targets: Float32Array) => ({ inputs: columns, targets: { data: targets, shape: [size, 1] as const } })
  const create = () => createModel({ inputs: 2, layers: [dense(4, 'tanh'), dense(1)], seed: 2 })

  it.each(['sample', 'layer'] as const)('are left out and counted by %s', (by) => {
    const options = { loss: meanSquaredError(), optimizer: sgd({ learningRate: 1 }) }
    const model = create()
    using trainer = createTrainer(model, { ...options, clipping: sampleClipping({ by, notFinite: 'drop' }) })
    const result = trainer.step(table(broken))
    expect(result.finite).toBe(true)
    expect(Number.isFinite(result.loss)).toBe(true)
    expect(result.numbers?.droppedSamples).toBe(2)
    expect(result.lossPerSample[4]).toBe(0)
    // The others alone, whose sum is divided by all.
    const kept = [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]
    const other = create()
    using alone = createTrainer(other, {
      ...options,
      optimizer: sgd({ learningRate: kept.length / size }),
      clipping: sampleClipping({ by }),
    })
    alone.step({
      inputs: {
        data: Float32Array.from(kept.flatMap((row) => [columns.data[2 * row] ?? 0, columns.data[2 * row + 1] ?? 0])),
        shape: [kept.length, 2],
      },
      targets: { data: Float32Array.from(kept, (row) => values[row] ?? 0), shape: [kept.length, 1] },
    })
    for (const [i, value] of other.parameters.entries()) expect(model.parameters[i]).toBeCloseTo(value, 5)
  })

  it('end the run without that option', async () => {
    const model = create()
    const before = model.parameters
    const history = await train(model, table(broken), { loss: meanSquaredError(), clipping: sampleClipping() })
    expect(history.reason).toBe('notFinite')
    expect(model.parameters).toEqual(before)
  })
})

describe('misuse', () => {
  it.each<[() => unknown, RegExp]>([
    [() => quantileThreshold({ quantile: 1 }), /quantileThreshold quantile/],
    [() => quantileThreshold({ rate: 0 }), /quantileThreshold rate/],
    [() => quantileThreshold({ min: 2, max: 1 }), /quantileThreshold max/],
    [() => quantileThreshold({ eta: 1 } as never), /eta/],
    [() => layerStatistics({ decay: 1 }), /layerStatistics decay/],
    [() => layerStatistics({ kappaLast: -1 }), /layerStatistics kappaLast/],
    [() => sampleClipping({ adapt: layerStatistics() }), /sampleClipping adapt.*by 'layer'/],
    [() => sampleClipping({ by: 'layer', mode: 'global', adapt: layerStatistics() }), /sampleClipping adapt/],
    [() => sampleClipping({ by: 'layer', threshold: 1, adapt: layerStatistics() }), /sampleClipping threshold/],
    [() => sampleClipping({ mode: 'automatic', adapt: quantileThreshold() }), /sampleClipping adapt/],
    [() => sampleClipping({ adapt: { kind: 'median' } as never }), /sampleClipping adapt.*kind/],
    [() => sampleClipping({ notFinite: 'skip' as never }), /sampleClipping notFinite/],
  ])('is told: %s', (call, message) => {
    const error = errorOf(call)
    expect(error.code).toBe('ERR_OPTION')
    expect(error.message).toMatch(message)
  })
})
