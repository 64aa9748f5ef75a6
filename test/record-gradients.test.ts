// What runs record of gradients: the numbers of `linearize` at the same parameters and rows, without touching the run.
import { describe, expect, test } from 'vitest'
import type { GradientRecord, LayerOption, StepRecord, TrainOptions } from '../src/index.js'
import {
  adam,
  averageNoiseScale,
  classicalMomentum,
  createModel,
  dense,
  differentialPrivacy,
  layerNorm,
  lbfgs,
  linearize,
  meanSquaredError,
  pairwiseCosines,
  pcGrad,
  residual,
  sampleClipping,
  sgd,
  softmaxCrossEntropy,
  train,
} from '../src/index.js'
import { errorOf } from './support/thrown.js'

const rows = 20
const width = 4
const inputs = {
  data: Float64Array.from({ length: rows * width }, (_, i) => Math.sin(1 + i * i)),
  shape: [rows, width] as const,
}
const targets = Int32Array.from({ length: rows }, (_, i) => (i * 7) % 3)
const data = { inputs, targets }
const loss = softmaxCrossEntropy()
const layers: readonly LayerOption[] = [dense(9, 'tanh'), layerNorm(), residual([dense(9, 'silu')]), dense(3)]
const build = (list = layers) => createModel({ inputs: width, layers: list, dtype: 'float64', seed: 3 })
type Net = ReturnType<typeof build>

/** Runs one epoch of full batches `updates` times, with the records and the parameters after each. */
async function run(options: Partial<TrainOptions>, model: Net = build()) {
  const steps: StepRecord[] = []
  const training = train(model, data, {
    loss,
    optimizer: sgd({ learningRate: 0.05 }),
    batchSize: rows,
    shuffle: false,
    epochs: 4,
    ...options,
    onStep: { every: 1, callback: (step) => steps.push(step) },
  })
  const history = await training
  return { model, history, steps, state: training.state(), parameters: model.parameters }
}

const close = (a: number, b: number): void => {
  expect(Math.abs(a - b) / Math.max(1e-12, Math.abs(b))).toBeLessThan(1e-9)
}

describe('record.gradients', () => {
  test.each([
    ['a mean', softmaxCrossEntropy(), 1],
    ['a sum', softmaxCrossEntropy({ reduction: 'sum' }), rows],
  ] as const)('has the numbers of linearize, for %s', async (_, used, factor) => {
    const model = build()
    const gradients: Float64Array[] = []
    let average: ReturnType<typeof averageNoiseScale> | undefined
    for (let epoch = 1; epoch <= 3; epoch++) {
      using point = linearize(model, data, used)
      const statistics = point.gradientStatistics()
      const gradient = point.gradient()
      const norms = point.perSampleGradientNorms()
      const byLayer = point.perSampleSquaredNorms({ by: 'layer' })
      const pairs = pairwiseCosines(point.gramMatrix())
      average = averageNoiseScale(statistics.noiseScale, average, { beta: 0.5 })
      gradients.push(gradient)
      const { history } = await run(
        { loss: used, epochs: 1, optimizer: sgd({ learningRate: 1e-3 }), record: { gradients: { beta: 0.5 } } },
        model,
      )
      const record = history.epochs[0]?.gradients as GradientRecord
      expect(record.update).toBe(1)
      expect(record.samples).toBe(rows)
      close(record.norm, Math.hypot(...gradient))
      close(
        record.meanSampleNorm,
        norms.reduce((sum, norm) => sum + norm / rows, 0),
      )
      close(record.largestSampleNorm, Math.max(...norms))
      close(record.variance, statistics.noiseScale.traceUnbiased)
      close(record.squaredGradient, statistics.noiseScale.squaredGradientUnbiased)
      if (record.squaredGradient > 0) close(record.noiseScale, statistics.noiseScale.simpleUnbiased)
      let weighted = 0
      let weights = 0
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < i; j++) {
          const weight = (norms[i] as number) * (norms[j] as number)
          weighted += weight * (pairs.data[i * rows + j] as number)
          weights += weight
        }
      }
      close(record.meanCosine, weighted / weights)
      expect(record.stepCosine).toBeNaN()
      expect(record.layers.map(({ name }) => name)).toEqual(byLayer.names)
      record.layers.forEach((layer, index) => {
        const own = Array.from({ length: rows }, (_, row) =>
          Math.sqrt(byLayer.data[row * byLayer.names.length + index] as number),
        )
        close(
          layer.meanSampleNorm,
          own.reduce((sum, norm) => sum + norm / rows, 0),
        )
        close(layer.largestSampleNorm, Math.max(...own))
      })
      close(Math.hypot(...record.layers.map(({ norm }) => norm)), factor * Math.sqrt(statistics.squaredMeanNorm))
    }
  })

  test('follows the gradient over steps: cosine with the update before, averaged noise scale', async () => {
    const model = build()
    const gradients: Float64Array[] = []
    let average: ReturnType<typeof averageNoiseScale> | undefined
    for (let epoch = 1; epoch <= 4; epoch++) {
      using point = linearize(model, data, loss)
      gradients.push(point.gradient())
      average = averageNoiseScale(point.gradientStatistics().noiseScale, average, { beta: 0.9 })
      await run({ epochs: 1 }, model)
    }
    const { history } = await run({ record: { gradients: { beta: 0.9 } } })
    history.epochs.forEach(({ gradients: record }, index) => {
      expect(record?.update).toBe(index + 1)
      if (index === 0) return
      const cosine = pairwiseCosines([gradients[index - 1] as Float64Array, gradients[index] as Float64Array]).mean
      close(record?.stepCosine as number, cosine)
    })
    close(history.epochs[3]?.gradients?.averagedNoiseScale ?? 0, average?.noiseScale ?? Number.NaN)
  })

  test('measures every n-th update, and the records keep the newest', async () => {
    const every = await run({ record: { gradients: true } })
    const third = await run({ record: { gradients: { every: 3 } } })
    expect(third.history.epochs.map(({ gradients }) => gradients?.update)).toEqual([undefined, undefined, 3, 3])
    const newest = third.history.epochs[2]?.gradients as GradientRecord
    const { averagedNoiseScale: _, ...rest } = newest
    expect(every.history.epochs[2]?.gradients).toMatchObject(rest)
    expect(every.steps.at(-1)?.gradients?.update).toBe(4)
    expect(every.history.epochs[0]?.numbers).toBeUndefined()
  })

  const variants: Record<string, Partial<TrainOptions>> = {
    adam: { optimizer: adam({ learningRate: 0.01 }), batchSize: 6, l2: 0.01 },
    nesterov: { optimizer: classicalMomentum({ learningRate: 0.01, nesterov: 'lookahead' }), batchSize: 7 },
    clipped: { clipping: sampleClipping({ threshold: 0.1 }), batchSize: 8, shuffle: true },
  }
  test.each(Object.keys(variants))('leaves the run alone to the bit, on any number of threads: %s', async (name) => {
    const plain = await run({ ...variants[name] })
    const recorded = await run({ ...variants[name], threads: 1, record: { gradients: { every: 2 } } })
    const threaded = await run({ ...variants[name], threads: 3, record: { gradients: { every: 2 } } })
    expect(recorded.parameters).toEqual(plain.parameters)
    expect(threaded.parameters).toEqual(plain.parameters)
    const told = recorded.history.epochs.at(-1)?.gradients
    expect(told?.update).toBeGreaterThan(0)
    expect(threaded.history.epochs.at(-1)?.gradients).toEqual(told)
  })

  test('sees the samples as they enter the batch: after clipping', async () => {
    const { history } = await run({
      clipping: sampleClipping({ threshold: 0.1 }),
      epochs: 1,
      record: { gradients: true },
    })
    const { gradients, numbers } = history.epochs[0] ?? {}
    close(gradients?.largestSampleNorm ?? 0, 0.1)
    expect(numbers?.largestGradientNorm).toBeGreaterThan(0.1)
  })

  test.each([1, 2, 3])('a resumed run records the same, every %i', async (every) => {
    const options: Partial<TrainOptions> = { batchSize: 6, shuffle: true, record: { gradients: { every } } }
    const whole = await run(options)
    const first = await run({ ...options, epochs: 2 })
    const second = await run(
      { ...options, resume: JSON.parse(JSON.stringify(stateWithLists(first.state))) },
      first.model,
    )
    expect(second.parameters).toEqual(whole.parameters)
    expect(second.history.epochs.at(-1)?.gradients).toEqual(whole.history.epochs.at(-1)?.gradients)
  })

  test('starts anew from a state without it', async () => {
    const first = await run({ epochs: 2 })
    const { history } = await run({ resume: first.state, record: { gradients: true } }, first.model)
    expect(history.epochs[0]?.gradients?.stepCosine).toBeNaN()
    expect(history.epochs[1]?.gradients?.stepCosine).not.toBeNaN()
  })

  test('says what is wrong', () => {
    const start = (options: object) => () => train(build(), data, { loss, ...options } as TrainOptions)
    expect(errorOf(start({ record: { gradients: { every: 0 } } }))).toMatchObject({ code: 'ERR_OPTION' })
    expect(errorOf(start({ record: { gradients: { every: 0 } } })).message).toMatch('record.gradients.every')
    expect(errorOf(start({ record: { gradients: { beta: 1 } } })).message).toMatch('record.gradients.beta')
    expect(errorOf(start({ record: { gradients: { rate: 1 } } })).message).toMatch('record.gradients')
    expect(errorOf(start({ optimizer: lbfgs(), record: { gradients: true } })).message).toMatch('none with lbfgs')
    const heads = createModel({ inputs: width, layers: [dense(4)], heads: { a: [dense(3)], b: [dense(1)] } })
    const mixed = () =>
      train(
        heads,
        { inputs, targets: { a: targets, b: Array.from(targets, (label) => [label]) } },
        {
          loss: { a: softmaxCrossEntropy(), b: meanSquaredError({ reduction: 'sum' }) },
          record: { gradients: true },
        },
      )
    expect(errorOf(mixed).message).toMatch('record.gradients')
    const together = () =>
      train(
        heads,
        { inputs, targets: { a: targets, b: Array.from(targets, (label) => [label]) } },
        { loss: { a: softmaxCrossEntropy(), b: meanSquaredError() }, multitask: pcGrad(), record: { gradients: true } },
      )
    expect(errorOf(together).message).toMatch('none beside multitask')
    const secret = start({ privacy: differentialPrivacy({ noiseMultiplier: 1 }), record: { gradients: true } })
    expect(errorOf(secret).message).toMatch('none beside privacy')
  })
})

/** A state as JSON has it: ordinary arrays. */
function stateWithLists(state: Awaited<ReturnType<typeof run>>['state']): object {
  const values = Object.fromEntries(
    Object.entries(state.optimizer.values).map(([name, list]) => [name, Array.from(list)]),
  )
  return { ...state, optimizer: { ...state.optimizer, values } }
}
