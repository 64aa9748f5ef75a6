import { describe, expect, it } from 'vitest'
import type {
  BatchFigures,
  Loss,
  Model,
  SampleFigures,
  SampleWeightsOption,
  TrainingData,
  WeightsOption,
} from '../src/index.js'
import {
  adam,
  alignmentWeights,
  binaryCrossEntropy,
  classicalMomentum,
  computeSampleWeights,
  confidenceWeights,
  createModel,
  createTrainer,
  dense,
  dropout,
  focalLossWeights,
  focalWeights,
  generalizedCrossEntropyWeights,
  hardExampleWeights,
  hessianFree,
  huberizedCrossEntropyWeights,
  inverseLossWeights,
  labelFigures,
  linear,
  linearize,
  lossThresholdWeights,
  meanSquaredError,
  sampleClipping,
  sgd,
  smallLossWeights,
  softmaxCrossEntropy,
  tiltedWeights,
  train,
  truncatedCrossEntropyWeights,
} from '../src/index.js'
import { errorOf } from './support/thrown.js'

const rows = 24
const width = 5
const inputs = {
  data: Float64Array.from({ length: rows * width }, (_, i) => Math.sin(1 + i * i)),
  shape: [rows, width] as const,
}
const labels = Int32Array.from({ length: rows }, (_, i) => (i * 7) % 3)
const sampleWeights = Float64Array.from({ length: rows }, (_, i) => 0.5 + (i % 4))
const loss = softmaxCrossEntropy()

function network(outputs = 3, dtype: 'float64' | 'float32' = 'float64', extra = false): Model {
  const hidden = [dense(9, 'tanh'), ...(extra ? [dropout(0.2)] : [])]
  return createModel({ inputs: width, layers: [...hidden, dense(outputs)], seed: 3, dtype }) as Model
}

const rules: SampleWeightsOption[] = [
  focalWeights({ gamma: 1.5 }),
  focalLossWeights(),
  generalizedCrossEntropyWeights(),
  truncatedCrossEntropyWeights({ k: 0.3 }),
  huberizedCrossEntropyWeights({ tau: 3 }),
  inverseLossWeights({ offset: 0.7 }),
  confidenceWeights({ power: 2 }),
  tiltedWeights({ temperature: 0.5 }),
  lossThresholdWeights({ threshold: 1.1 }),
  hardExampleWeights(),
  smallLossWeights({ forgetRate: 0.3 }),
  focalWeights({ normalize: 'mean' }),
  hardExampleWeights({ normalize: 'mean' }),
  inverseLossWeights({ normalize: 'mean' }),
]

/** (1/N) Σ wᵢ gᵢ of materialised gradients. */
function weightedMean(model: Model, data: TrainingData, of: Loss, weights: Float64Array): number[] {
  using point = linearize(model, data, of)
  const { data: all } = point.perSampleGradients()
  const size = model.parameterCount
  return Array.from({ length: size }, (_, k) =>
    weights.reduce((sum, w, i) => sum + (w * (all[i * size + k] ?? 0)) / weights.length, 0),
  )
}

/** The gradient of one step, by sgd, and its numbers. */
function stepGradient(
  model: Model,
  data: TrainingData,
  options: { loss: Loss; weights: WeightsOption; threads?: number },
): { gradient: number[]; numbers: Readonly<Record<string, number>> } {
  const before = model.parameters
  using trainer = createTrainer(model, { ...options, optimizer: sgd({ learningRate: 1 }) })
  const { numbers = {} } = trainer.step(data)
  const after = model.parameters
  return { gradient: Array.from(before, (start, i) => start - (after[i] ?? 0)), numbers }
}

function expectSame(found: readonly number[], expected: readonly number[]): void {
  expect(found).toHaveLength(expected.length)
  for (const [i, value] of expected.entries()) {
    expect(Math.abs((found[i] ?? Number.NaN) - value), `index ${i}`).toBeLessThan(1e-9 * Math.abs(value) + 1e-12)
  }
}

describe('weights of training', () => {
  it.each(rules)('are those of computeSampleWeights: $kind, $normalize', (rule) => {
    const model = network()
    const data = { inputs, targets: labels, sampleWeights }
    const own = labelFigures(model.predict(inputs), labels)
    const figures: SampleFigures = { ...own, losses: own.losses.map((l, i) => l * (sampleWeights[i] ?? 1)) }
    const weights = computeSampleWeights(rule, figures)
    const expected = weightedMean(model, data, loss, weights)
    const { gradient, numbers } = stepGradient(model, data, { loss, weights: rule })
    expectSame(gradient, expected)
    const sum = weights.reduce((a, w) => a + w, 0)
    const squares = weights.reduce((a, w) => a + w * w, 0)
    expect(numbers.meanWeight).toBeCloseTo(sum / rows, 12)
    expect(numbers.largestWeight).toBeCloseTo(Math.max(...weights), 12)
    expect(numbers.zeroWeightShare).toBe(weights.filter((w) => w === 0).length / rows)
    expect(numbers.effectiveSampleShare).toBeCloseTo((sum * sum) / squares / rows, 12)
    expect(numbers.weightlessSteps).toBe(0)
    expect(Math.max(...weights) - Math.min(...weights)).toBeGreaterThan(1e-3)
  })

  it.each([0, 1, 0.3])('take one sigmoid as two classes, with targets of %s', (share) => {
    const model = network(1)
    const answers = Float64Array.from(labels, (label, i) => (share === 0.3 && i % 2 === 0 ? share : Math.min(1, label)))
    const targets = { data: answers, shape: [rows, 1] as const }
    const z = model.predict(inputs)
    const yes = labelFigures(z, new Int32Array(rows).fill(1)).probabilities
    const probabilities = yes.map((p, i) => (answers[i] ?? 0) * p + (1 - (answers[i] ?? 0)) * (1 - p))
    const expected = computeSampleWeights(focalWeights(), { probabilities })
    const binary = binaryCrossEntropy()
    const mean = weightedMean(model, { inputs, targets }, binary, expected)
    const { gradient } = stepGradient(model, { inputs, targets }, { loss: binary, weights: focalWeights() })
    expectSame(gradient, mean)
  })

  it('take rules by losses with any loss and several heads', () => {
    const model = createModel({
      inputs: width,
      layers: [dense(6, 'tanh')],
      heads: { a: [dense(3)], b: [dense(2)] },
      seed: 1,
      dtype: 'float64',
    })
    const values = { data: Float64Array.from({ length: rows * 2 }, (_, i) => Math.cos(i)), shape: [rows, 2] as const }
    const data = { inputs, targets: { a: labels, b: values } }
    const losses = { a: { loss, weight: 0.5 }, b: { loss: meanSquaredError(), weight: 2 } }
    using point = linearize(model, data, losses)
    const { data: all } = point.perSampleGradients()
    const before = model.parameters
    using trainer = createTrainer(model, {
      loss: losses,
      optimizer: sgd({ learningRate: 1 }),
      weights: inverseLossWeights(),
    })
    const { lossPerSample } = trainer.step(data)
    const weights = computeSampleWeights(inverseLossWeights(), { losses: lossPerSample })
    const after = model.parameters
    const expected = Array.from(before, (_, k) =>
      weights.reduce((sum, w, i) => sum + (w * (all[i * before.length + k] ?? 0)) / rows, 0),
    )
    expectSame(
      Array.from(before, (start, k) => start - (after[k] ?? 0)),
      expected,
    )
    const refused = errorOf(() => createTrainer(model, { loss: losses, weights: focalWeights() }))
    expect(refused).toMatchObject({ code: 'ERR_OPTION' })
    expect(refused.message).toContain('weights')
  })

  it('come before clipping', () => {
    const model = network()
    const weights = computeSampleWeights(focalWeights(), labelFigures(model.predict(inputs), labels))
    using point = linearize(model, { inputs, targets: labels }, loss)
    const norms = point.perSampleGradientNorms()
    const before = model.parameters
    using trainer = createTrainer(model, {
      loss,
      optimizer: sgd({ learningRate: 1 }),
      weights: focalWeights(),
      clipping: sampleClipping({ threshold: 0.2 }),
    })
    const { numbers } = trainer.step({ inputs, targets: labels })
    const clipped = weights.map((w, i) => (w === 0 ? 0 : w * Math.min(1, 0.2 / (w * (norms[i] ?? 1)))))
    const expected = weightedMean(network(), { inputs, targets: labels }, loss, clipped)
    const after = model.parameters
    expectSame(
      Array.from(before, (start, k) => start - (after[k] ?? 0)),
      expected,
    )
    expect(numbers?.clippedShare).toBeGreaterThan(0)
    expect(numbers?.largestGradientNorm).toBeCloseTo(Math.max(...weights.map((w, i) => w * (norms[i] ?? 0))), 12)
  })

  it('follow a schedule by updates', () => {
    const rule = smallLossWeights({ forgetRate: linear({ learningRate: 0, endLearningRate: 0.5, totalSteps: 4 }) })
    using trainer = createTrainer(network(), { loss, weights: rule })
    const shares = Array.from({ length: 5 }, () => trainer.step({ inputs, targets: labels }).numbers?.zeroWeightShare)
    expect(shares).toEqual([0, 0.125, 0.25, 0.375, 0.5])
  })

  it('take no part where all are 0: the gradient is 0, and the step is counted', async () => {
    const model = network()
    const before = model.parameters
    const rule = lossThresholdWeights({ threshold: 1e-9, normalize: 'mean' })
    const history = await train(
      model,
      { inputs, targets: labels },
      { loss, optimizer: sgd({ learningRate: 1 }), weights: rule, batchSize: 6, epochs: 2 },
    )
    expect(model.parameters).toEqual(before)
    expect(history.reason).toBe('completed')
    expect(history.epochs.map(({ numbers }) => numbers?.weightlessSteps)).toEqual([4, 8])
    expect(history.epochs[1]?.numbers).toMatchObject({ meanWeight: 0, zeroWeightShare: 1, effectiveSampleShare: 0 })
  })

  it.each(['float32', 'float64'] as const)('give the same bits for any number of threads: %s', async (dtype) => {
    const count = 256
    const many = {
      inputs: {
        data: Float64Array.from({ length: count * width }, (_, i) => Math.sin(i * i)),
        shape: [count, width] as const,
      },
      targets: Int32Array.from({ length: count }, (_, i) => (i * 5) % 3),
    }
    for (const weights of [focalWeights(), smallLossWeights(), tiltedWeights(), focalWeights({ normalize: 'mean' })]) {
      const results = []
      for (const threads of [1, 2, 3]) {
        const model = createModel({
          inputs: width,
          layers: [dense(300, 'relu'), dropout(0.1), dense(200, 'relu'), dense(3)],
          seed: 2,
          dtype,
        })
        await train(model, many, { loss, weights, threads, batchSize: 100, epochs: 2 })
        results.push(model.parameters)
      }
      expect(results[1]).toEqual(results[0])
      expect(results[2]).toEqual(results[0])
    }
  })

  const ownRule = ({ losses }: BatchFigures): number[] => Array.from(losses, (l) => 1 / (1 + l))
  it.each<[string, WeightsOption]>([
    ['rule', lossThresholdWeights({ threshold: 0.6 })],
    ['function', ownRule],
  ])('continue to the same bits: %s', async (_, weights) => {
    const data = { inputs, targets: labels }
    const options = {
      loss,
      weights,
      batchSize: 7,
      optimizer: classicalMomentum({ learningRate: 0.1, momentum: 0.9, nesterov: 'lookahead' }),
    }
    const whole = network(3, 'float32', true)
    const unbroken = await train(whole, data, { ...options, epochs: 6 })
    const model = network(3, 'float32', true)
    const first = train(model, data, { ...options, epochs: 2 })
    await first
    const second = await train(model, data, { ...options, epochs: 6, resume: first.state() })
    expect(model.parameters).toEqual(whole.parameters)
    expect(second.epochs.at(-1)?.numbers).toEqual(unbroken.epochs.at(-1)?.numbers)
  })

  it('are refused where they have no meaning', () => {
    const model = network()
    const make = (options: object): unknown => createTrainer(model, { loss, ...options })
    const cases: [object, RegExp][] = [
      [{ weights: alignmentWeights() }, /^weights: expected .*clean samples/],
      [{ weights: focalWeights(), optimizer: hessianFree() }, /^weights: expected none with hessianFree/],
      [{ weights: { kind: 'focal' } }, /^weights\.kind: expected .*focalWeights/s],
      [{ weights: { kind: 'focalWeights', gamma: -1 } }, /^weights\.gamma: expected/],
      [{ weights: 'focalWeights' }, /^weights: expected an object/],
      [
        { weights: focalWeights(), loss: softmaxCrossEntropy({ targets: 'probabilities' }) },
        /^weights: expected .*class indices/,
      ],
      [{ weights: confidenceWeights(), loss: meanSquaredError() }, /^weights: expected/],
      [{ weights: focalWeights(), loss: binaryCrossEntropy() }, /^weights: expected .*width 1/],
      [
        { weights: inverseLossWeights(), loss: softmaxCrossEntropy({ normalizeWeights: true }) },
        /^weights: expected losses/,
      ],
      [{ weights: smallLossWeights({ forgetRate: linear({ learningRate: 0, endLearningRate: 0.4 }) }) }, /totalSteps/],
    ]
    for (const [options, message] of cases) {
      const error = errorOf(() => make(options))
      expect(error).toMatchObject({ code: 'ERR_OPTION' })
      expect(error.message).toMatch(message)
    }
  })
})

describe("a function of one's own", () => {
  const data = { inputs, targets: labels }
  const inverse = ({ losses }: BatchFigures): Float64Array => losses.map((l) => 1 / (1 + l))

  it('gives the step of the rule that it repeats', () => {
    const byRule = stepGradient(network(), data, { loss, weights: inverseLossWeights() })
    const told: BatchFigures[] = []
    const weights = (figures: BatchFigures): Float64Array => {
      told.push(figures)
      return inverse(figures)
    }
    const model = network()
    const own = labelFigures(model.predict(inputs), labels)
    const byFunction = stepGradient(model, data, { loss, weights })
    expect(byFunction).toEqual(byRule)
    expect(told).toHaveLength(1)
    expect(told[0]).toMatchObject({ step: 1 })
    expect(told[0]).not.toHaveProperty('epoch')
    expectSame([...(told[0]?.losses ?? [])], [...own.losses])
    expectSame([...(told[0]?.probabilities ?? [])], [...own.probabilities])
  })

  it('is asked in a run, step by step, with the same result', async () => {
    const options = { loss, optimizer: adam({ learningRate: 0.01 }), batchSize: 7, epochs: 3 }
    const byRule = network()
    const expected = await train(byRule, data, { ...options, weights: inverseLossWeights() })
    const byFunction = network()
    const told: [number, number | undefined, number][] = []
    const history = await train(byFunction, data, {
      ...options,
      weights: (figures) => {
        told.push([figures.step, figures.epoch, figures.losses.length])
        return inverse(figures)
      },
      onStep: { every: 1, callback: () => undefined },
    })
    expect(byFunction.parameters).toEqual(byRule.parameters)
    expect(history.epochs.map((e) => [e.loss, e.numbers])).toEqual(expected.epochs.map((e) => [e.loss, e.numbers]))
    const sizes = [7, 7, 7, 3]
    expect(told).toEqual(Array.from({ length: 12 }, (_, i) => [i + 1, 1 + Math.floor(i / 4), sizes[i % 4]]))
  })

  it('is asked on several threads', async () => {
    const count = 256
    const many = {
      inputs: {
        data: Float64Array.from({ length: count * width }, (_, i) => Math.sin(i * i)),
        shape: [count, width] as const,
      },
      targets: Int32Array.from({ length: count }, (_, i) => (i * 5) % 3),
    }
    const results = []
    for (const threads of [1, 2]) {
      const model = createModel({ inputs: width, layers: [dense(400, 'relu'), dense(300, 'relu'), dense(3)], seed: 2 })
      await train(model, many, { loss, weights: inverse, threads, batchSize: 128, epochs: 2 })
      using trainer = createTrainer(model, { loss, weights: inverse, threads })
      trainer.step(many)
      results.push(model.parameters)
    }
    expect(results[1]).toEqual(results[0])
  })

  it('sees no probabilities where the loss has none', () => {
    const targets = { data: new Float64Array(rows * 3), shape: [rows, 3] as const }
    let seen: unknown
    stepGradient(
      network(),
      { inputs, targets },
      {
        loss: meanSquaredError(),
        weights: (figures) => {
          seen = figures.probabilities
          return new Float32Array(rows).fill(1)
        },
      },
    )
    expect(seen).toBeNull()
  })

  it('that throws ends the run with its error, at the last whole step', async () => {
    const options = { loss, batchSize: 6, epochs: 5, shuffle: true }
    const three = network()
    const reference = train(three, data, {
      ...options,
      weights: inverse,
      epochs: 5,
      onStep: { every: 1, callback: () => undefined },
    })
    await reference
    const model = network()
    const planted = new Error('planted')
    const at: Float64Array[] = []
    const run = train(model, data, {
      ...options,
      weights: (figures) => {
        if (figures.step === 6) throw planted
        return inverse(figures)
      },
    })
    await expect(run).rejects.toBe(planted)
    at.push(model.parameters as Float64Array)
    const state = run.state()
    expect([state.updates, state.epoch, state.position]).toEqual([5, 1, 6])
    // From there on the run is the unbroken one.
    await train(model, data, { ...options, weights: inverse, resume: state })
    expect(model.parameters).toEqual(three.parameters)
    expect(model.parameters).not.toEqual(at[0])
  })

  it.each<[string, unknown, string]>([
    ['too few', [1, 2], 'result of weights: expected length 6'],
    ['negative', Array(6).fill(-1), 'result of weights[0]'],
    ['NaN', new Float64Array(6).fill(Number.NaN), 'result of weights[0]'],
    ['nothing', undefined, 'result of weights: expected an array'],
    ['a promise', Promise.resolve([1]), 'result of weights: expected an array'],
  ])('must answer with weights: %s', async (_, answer, message) => {
    const weights = (() => answer) as unknown as () => number[]
    await expect(train(network(), data, { loss, weights, batchSize: 6 })).rejects.toThrow(message)
    const model = network()
    const before = model.parameters
    using trainer = createTrainer(model, { loss, weights })
    const batch = {
      inputs: { data: inputs.data.subarray(0, 30), shape: [6, 5] as const },
      targets: labels.subarray(0, 6),
    }
    expect(() => trainer.step(batch)).toThrow(message)
    expect(model.parameters).toEqual(before)
    // The model is free again.
    using other = createTrainer(model, { loss })
    expect(other.step(batch).updates).toBe(1)
  })

  it('may abort its run', async () => {
    const controller = new AbortController()
    const model = network()
    const run = train(model, data, {
      loss,
      batchSize: 6,
      epochs: 100,
      signal: controller.signal,
      weights: (figures) => {
        if (figures.step === 8) controller.abort()
        return inverse(figures)
      },
    })
    const history = await run
    expect(history).toMatchObject({ reason: 'aborted', updates: 7 })
    expect(run.state()).toMatchObject({ updates: 7, epoch: 1, position: 18 })
    const again = train(model, data, { loss, batchSize: 6, epochs: 100, weights: inverse })
    again.abort()
    expect((await again).reason).toBe('aborted')
  })

  it('cannot use the trainer that waits for it', () => {
    const model = network()
    const errors: unknown[] = []
    const trainer = createTrainer(model, {
      loss,
      weights: ({ losses }) => {
        for (const action of [() => trainer.step(data), () => trainer.state(), () => trainer.dispose()]) {
          errors.push((errorOf(action) as { code?: string }).code)
        }
        return new Float64Array(losses.length).fill(1)
      },
    })
    expect(trainer.step(data).updates).toBe(1)
    expect(errors).toEqual(['ERR_BUSY', 'ERR_BUSY', 'ERR_BUSY'])
    trainer.dispose()
  })

  it('is not asked where the losses are not finite', async () => {
    const model = createModel({ inputs: 1, layers: [dense(1)], seed: 1, dtype: 'float32' })
    let asked = 0
    const weights = ({ losses }: BatchFigures): Float64Array => {
      asked++
      return new Float64Array(losses.length).fill(1)
    }
    const history = await train(
      model,
      { inputs: [[3e30], [1]], targets: [[0], [0]] },
      { loss: meanSquaredError(), weights },
    )
    expect(history).toMatchObject({ reason: 'notFinite', notFinite: { step: 1, where: 'loss' } })
    expect(asked).toBe(0)
  })
})
