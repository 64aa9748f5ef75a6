import { describe, expect, it } from 'vitest'
import type { Model, StepSizeOption } from '../src/index.js'
import {
  adam,
  binaryCrossEntropy,
  classicalMomentum,
  createModel,
  createOptimizer,
  createTrainer,
  dense,
  dropout,
  hessianFree,
  lbfgs,
  linearize,
  meanSquaredError,
  sgd,
  softmaxCrossEntropy,
  softmaxRadius,
  softmaxRadiusControl,
  train,
} from '../src/index.js'
import { errorOf } from './support/thrown.js'

const rows = 48
const inputs = {
  data: Float64Array.from({ length: rows * 5 }, (_, i) => Math.sin(1 + i * i)),
  shape: [rows, 5] as const,
}
const labels = Int32Array.from({ length: rows }, (_, i) => (i * 7) % 3)
const data = { inputs, targets: labels }

function network(dtype: 'float64' | 'float32' = 'float64'): Model<typeof dtype> {
  return createModel({ inputs: 5, layers: [dense(9, 'tanh'), dense(3)], seed: 3, dtype })
}

/** The controlled step by the parts that scripts have: w + s p. */
function byHand(model: Model<'float64'>, learningRate: number, options = {}): { scale: number; parameters: number[] } {
  using point = linearize(model, data, softmaxCrossEntropy())
  const start = model.parameters
  const optimizer = createOptimizer(sgd({ learningRate }), [[start.length]], { dtype: 'float64' })
  const moved = optimizer.step(start, point.gradient())
  const update = moved.map((value, i) => value - (start[i] ?? 0))
  const { scale } = softmaxRadius(point, update, options)
  return { scale, parameters: Array.from(start, (value, i) => value + scale * (update[i] ?? 0)) }
}

describe('softmaxRadiusControl', () => {
  it('fills in its defaults', () => {
    expect(softmaxRadiusControl()).toEqual({
      kind: 'softmaxRadius',
      target: 1,
      temperature: 1,
      quantile: 1,
      exactBinary: false,
    })
  })

  it.each([{}, { target: 0.25 }, { temperature: 3 }, { quantile: 0.9 }])('takes w + s p with %j', (options) => {
    const model = network() as Model<'float64'>
    const learningRate = 300
    const expected = byHand(model, learningRate, options)
    expect(expected.scale).toBeLessThan(1)
    using trainer = createTrainer(model, {
      loss: softmaxCrossEntropy(),
      optimizer: sgd({ learningRate }),
      stepSize: softmaxRadiusControl(options),
    })
    const { numbers } = trainer.step(data)
    expect(numbers?.stepScale).toBeCloseTo(expected.scale, 12)
    expect(numbers?.shortenedSteps).toBe(1)
    for (const [i, value] of model.parameters.entries()) expect(value).toBeCloseTo(expected.parameters[i] ?? 0, 10)
  })

  it('leaves a step within the radius as it is, to the bit', async () => {
    const options = { loss: softmaxCrossEntropy(), optimizer: adam({ learningRate: 1e-3 }), batchSize: 16, epochs: 3 }
    const plain = network('float32')
    await train(plain, data, options)
    const controlled = network('float32')
    const history = await train(controlled, data, { ...options, stepSize: softmaxRadiusControl() })
    expect(controlled.parameters).toEqual(plain.parameters)
    expect(history.epochs.at(-1)?.numbers).toMatchObject({ stepScale: 1, shortenedSteps: 0 })
    const { convergenceRadius = 0, stepLength = 0, normalisedStep = 0 } = history.epochs.at(-1)?.numbers ?? {}
    expect(normalisedStep).toBeCloseTo(stepLength / convergenceRadius, 10)
    expect(normalisedStep).toBeGreaterThan(0)
  })

  it('keeps training sound at a rate that ruins it otherwise', async () => {
    const options = { loss: softmaxCrossEntropy(), optimizer: sgd({ learningRate: 1e5 }), batchSize: 16, epochs: 30 }
    const plain = await train(network(), data, options)
    const controlled = await train(network(), data, { ...options, stepSize: softmaxRadiusControl({ target: 0.5 }) })
    expect(controlled.epochs.at(-1)?.loss).toBeLessThan(2)
    expect(plain.reason === 'notFinite' || (plain.epochs.at(-1)?.loss ?? 0) > 100).toBe(true)
  })

  it('gives the same bits for any number of threads, and goes on from a state', async () => {
    const layers = [dense(64, 'relu'), dropout(0.2), dense(32, 'tanh'), dense(3)]
    const wide = { data: Float32Array.from({ length: 512 * 96 }, (_, i) => Math.sin(i * i)), shape: [512, 96] as const }
    const many = { inputs: wide, targets: Int32Array.from({ length: 512 }, (_, i) => i % 3) }
    const options = {
      loss: softmaxCrossEntropy(),
      optimizer: sgd({ learningRate: 5, momentum: 0.9 }),
      stepSize: softmaxRadiusControl({ target: 0.3, quantile: 0.95 }),
      batchSize: 128,
      l2: 1e-3,
    }
    const results = []
    for (const threads of [1, 2]) {
      const model = createModel({ inputs: 96, layers, seed: 1 })
      const history = await train(model, many, { ...options, epochs: 4, threads })
      expect(history.epochs.at(-1)?.numbers?.shortenedSteps).toBeGreaterThan(0)
      results.push(model.parameters)
    }
    expect(results[1]).toEqual(results[0])
    const model = createModel({ inputs: 96, layers, seed: 1 })
    const first = train(model, many, { ...options, epochs: 2 })
    await first
    await train(model, many, { ...options, epochs: 4, resume: first.state() })
    expect(model.parameters).toEqual(results[0])
  })

  it('goes on counting where a larger batch takes a new workspace', () => {
    const few = { inputs: { data: inputs.data.slice(0, 50), shape: [10, 5] as const }, targets: labels.slice(0, 10) }
    using trainer = createTrainer(network(), {
      loss: softmaxCrossEntropy(),
      optimizer: sgd({ learningRate: 300 }),
      stepSize: softmaxRadiusControl({ target: 0.1 }),
    })
    expect(trainer.step(few).numbers?.shortenedSteps).toBe(1)
    expect(trainer.step(data).numbers?.shortenedSteps).toBe(2)
  })

  it('works with sigmoids and where the gradient is taken elsewhere', async () => {
    const model = createModel({ inputs: 5, layers: [dense(4, 'tanh'), dense(2)], seed: 1, dtype: 'float64' })
    const targets = { data: Float64Array.from({ length: rows * 2 }, (_, i) => i % 2), shape: [rows, 2] as const }
    const history = await train(
      model,
      { inputs, targets },
      {
        loss: binaryCrossEntropy(),
        optimizer: classicalMomentum({ learningRate: 100, nesterov: 'lookahead' }),
        stepSize: softmaxRadiusControl({ exactBinary: true }),
        epochs: 5,
      },
    )
    expect(history.reason).toBe('completed')
    expect(history.epochs.at(-1)?.numbers?.shortenedSteps).toBeGreaterThan(0)
  })

  it('looks at the heads that it is told to', () => {
    const heads = { class: [dense(3)], value: [dense(1)] }
    const model = createModel({ inputs: 5, layers: [dense(6, 'tanh')], heads, seed: 1, dtype: 'float64' })
    const targets = { class: labels, value: { data: new Float64Array(rows), shape: [rows, 1] as const } }
    const loss = { class: softmaxCrossEntropy(), value: meanSquaredError() }
    const step = (stepSize: StepSizeOption) => {
      using trainer = createTrainer(model, { loss, stepSize })
      return trainer.step({ inputs, targets }).numbers
    }
    expect(step(softmaxRadiusControl())?.normalisedStep).toBeGreaterThan(0)
    expect(step(softmaxRadiusControl({ head: 'class' }))?.normalisedStep).toBeGreaterThan(0)
    expect(errorOf(() => step(softmaxRadiusControl({ head: 'value' }))).message).toMatch(
      /stepSize\.head.*cross-entropy/,
    )
    expect(errorOf(() => step(softmaxRadiusControl({ head: 'other' }))).message).toMatch(
      /stepSize\.head: expected 'class' or 'value'/,
    )
  })

  it('refuses what it cannot do', () => {
    const of = (options: object) => errorOf(() => createTrainer(network(), options as never))
    const stepSize = softmaxRadiusControl()
    expect(of({ loss: meanSquaredError(), stepSize }).message).toMatch(/stepSize: expected a head with a softmax/)
    for (const optimizer of [hessianFree(), lbfgs()]) {
      expect(of({ loss: softmaxCrossEntropy(), optimizer, stepSize }).message).toMatch(/stepSize: expected none with/)
    }
    expect(of({ loss: softmaxCrossEntropy(), stepSize: 3 }).message).toMatch(/stepSize/)
    expect(of({ loss: softmaxCrossEntropy(), stepSize: { kind: 'lineSearch' } }).message).toMatch(/stepSize\.kind/)
    expect(errorOf(() => softmaxRadiusControl({ target: 0 })).message).toMatch(/softmaxRadiusControl target/)
    expect(errorOf(() => softmaxRadiusControl({ speed: 1 } as never)).message).toMatch(/speed/)
  })
})
