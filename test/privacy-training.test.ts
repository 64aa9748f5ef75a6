import { describe, expect, it } from 'vitest'
import type { DifferentialPrivacyOptions, TrainingState, TrainOptions } from '../src/index.js'
import {
  adam,
  createModel,
  createPrivacyAccountant,
  createTrainer,
  dense,
  differentialPrivacy,
  focalWeights,
  gradientNoiseMultiplier,
  hessianFree,
  layerNorm,
  layerStatistics,
  meanSquaredError,
  noiseForEpsilon,
  quantileThreshold,
  sampleClipping,
  sgd,
  softmaxCrossEntropy,
  softmaxRadiusControl,
  tiltedWeights,
  train,
} from '../src/index.js'
import { errorOf } from './support/thrown.js'

const rows = 200
const width = 6
const inputs = {
  data: Float64Array.from({ length: rows * width }, (_, i) => Math.sin(1 + i * i)),
  shape: [rows, width] as const,
}
const labels = Int32Array.from({ length: rows }, (_, i) => ((inputs.data[i * width] ?? 0) > 0 ? 1 : 2))
const data = { inputs, targets: labels }
const loss = softmaxCrossEntropy()

function network(dtype: 'float64' | 'float32' = 'float64') {
  return createModel({ inputs: width, layers: [dense(8, 'tanh'), layerNorm(), dense(3)], seed: 3, dtype })
}

function privately(options: DifferentialPrivacyOptions, rest: Partial<TrainOptions> = {}) {
  const optimizer = sgd({ learningRate: 1 })
  return { loss, optimizer, batchSize: 20, epochs: 1, privacy: differentialPrivacy({ seed: 5, ...options }), ...rest }
}

describe('differentialPrivacy', () => {
  it('fills in its defaults', () => {
    expect(differentialPrivacy({ noiseMultiplier: 1.1 })).toEqual({
      kind: 'differentialPrivacy',
      noiseMultiplier: 1.1,
      delta: 1e-5,
      conversion: 'improved',
      threshold: 1,
      mode: 'clip',
      by: 'sample',
    })
  })

  it('without noise and with every sample in every batch it is clipping, to the bit', async () => {
    for (const by of ['sample', 'layer'] as const) {
      const clipped = network('float32')
      const options = { loss, optimizer: adam({ learningRate: 0.01 }), batchSize: rows, epochs: 5, l2: 0.01 }
      await train(clipped, data, { ...options, shuffle: false, clipping: sampleClipping({ threshold: 0.4, by }) })
      const noiseless = network('float32')
      const privacy = differentialPrivacy({ noiseMultiplier: 0, threshold: 0.4, by })
      const history = await train(noiseless, data, { ...options, privacy })
      expect(noiseless.parameters).toEqual(clipped.parameters)
      expect(history.updates).toBe(5)
      expect(history.privacy?.epsilon).toBe(Number.POSITIVE_INFINITY)
    }
  })

  // With inputs that are all 0 and a loss without a gradient every update is noise alone.
  it.each([
    ['by sample', { threshold: 0.5 }, 0.5],
    ['by layer', { threshold: [0.3, 0.4], by: 'layer' as const }, 0.5],
  ])('adds noise of standard deviation sigma C / batch size, %s', async (_, clipping, sensitivity) => {
    const model = createModel({
      inputs: 40,
      layers: [dense(50, { kind: 'identity' }), dense(30)],
      seed: 1,
      dtype: 'float64',
    })
    const zeros = new Float64Array(model.parameterCount)
    model.setParameters(zeros)
    const count = 64
    const blank = {
      inputs: { data: new Float64Array(count * 40), shape: [count, 40] as const },
      targets: { data: new Float64Array(count * 30), shape: [count, 30] as const },
    }
    const options = privately({ noiseMultiplier: 2, ...clipping })
    let moved = zeros
    const all: number[] = []
    const run = (epochs: number, resume?: TrainingState) =>
      train(model, blank, {
        ...options,
        loss: meanSquaredError(),
        batchSize: count,
        epochs,
        ...(resume === undefined ? {} : { resume }),
      })
    const first = run(1)
    await first
    const after = model.parameters
    for (const [i, value] of after.entries()) all.push(value - (moved[i] ?? 0))
    moved = after
    const deviation = (2 * sensitivity) / count
    const n = all.length
    const mean = all.reduce((sum, value) => sum + value, 0) / n
    const variance = all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n
    const fourth = all.reduce((sum, value) => sum + (value - mean) ** 4, 0) / n / variance ** 2
    // Five standard errors of each for a fixed seed.
    expect(Math.abs(mean)).toBeLessThan((5 * deviation) / Math.sqrt(n))
    expect(Math.abs(variance / deviation ** 2 - 1)).toBeLessThan(5 * Math.sqrt(2 / n))
    expect(Math.abs(fourth - 3)).toBeLessThan(5 * Math.sqrt(24 / n))
    expect(first.epochs[0]?.numbers?.gradientNoise).toBeCloseTo(deviation, 15)
    // Neighbours, in either direction of a weight's matrix, have nothing to do with each other.
    for (const lag of [1, 40, 50]) {
      let product = 0
      for (let i = lag; i < n; i++) product += (all[i] ?? 0) * (all[i - lag] ?? 0)
      expect(Math.abs(product / n / variance)).toBeLessThan(5 / Math.sqrt(n))
    }
    // Nor has the next update.
    await run(2, first.state())
    const next = Array.from(model.parameters, (value, i) => value - (moved[i] ?? 0))
    const common = next.reduce((sum, value, i) => sum + value * (all[i] ?? 0), 0)
    expect(Math.abs(common / n / variance)).toBeLessThan(5 / Math.sqrt(n))
  })

  it('takes steps on empty batches', async () => {
    const model = network()
    const numbers: number[] = []
    const history = await train(model, data, {
      ...privately({ noiseMultiplier: 1 }),
      batchSize: 1,
      onStep: { every: 1, callback: ({ numbers: told }) => numbers.push(told?.gradientNoise ?? 0) },
    })
    expect(history.updates).toBe(rows)
    expect(history.reason).toBe('completed')
    expect(model.parameters.every(Number.isFinite)).toBe(true)
    expect(numbers.length).toBeGreaterThan(0)
    expect(numbers.every((value) => value === 1)).toBe(true)
  })

  it('reports the epsilon of the accountant, epoch by epoch', async () => {
    const noiseMultiplier = 1.3
    const history = await train(network(), data, privately({ noiseMultiplier, delta: 1e-4 }, { epochs: 3 }))
    const accountant = createPrivacyAccountant()
    for (const { privacy, updates, epoch } of history.epochs) {
      expect(updates).toBe(10 * epoch)
      accountant.step({ noiseMultiplier, sampleRate: 20 / rows, steps: 10 })
      const { epsilon, order } = accountant.epsilon({ delta: 1e-4 })
      expect(privacy?.epsilon).toBeCloseTo(epsilon, 10)
      expect(privacy).toMatchObject({ order, delta: 1e-4, noiseMultiplier, sampleRate: 0.1 })
    }
    expect(history.privacy).toEqual(history.epochs.at(-1)?.privacy)
  })

  it('has spent nothing in a run that is aborted before it begins', async () => {
    const options = privately({ noiseMultiplier: 1 }, { signal: AbortSignal.abort() })
    const { reason, updates, privacy } = await train(network(), data, options)
    expect([reason, updates]).toEqual(['aborted', 0])
    expect(privacy).toMatchObject({ epsilon: 0, delta: 1e-5, noiseMultiplier: 1, sampleRate: 0.1 })
  })

  it('finds the noise for a target', async () => {
    const history = await train(network(), data, privately({ targetEpsilon: 2 }, { epochs: 4 }))
    const plan = { epsilon: 2, delta: 1e-5, sampleRate: 0.1, steps: 40 }
    expect(history.privacy?.noiseMultiplier).toBe(noiseForEpsilon(plan).noiseMultiplier)
    expect(history.privacy?.epsilon).toBeLessThanOrEqual(2)
    expect(history.privacy?.epsilon).toBeGreaterThan(1.999)
  })

  it('gives more noise to gradients where counts are told', async () => {
    const adapt = quantileThreshold({ quantile: 0.6 })
    const history = await train(
      network(),
      data,
      privately({ noiseMultiplier: 1, threshold: 0.1, adapt, countNoise: 4, by: 'layer' }, { epochs: 3 }),
    )
    const { numbers, privacy } = history.epochs.at(-1) ?? {}
    expect(privacy?.noiseMultiplier).toBe(1)
    const gradientNoise = gradientNoiseMultiplier({ noiseMultiplier: 1, countNoise: 4 / Math.sqrt(3) })
    const { smallestClippingThreshold: least = 0, largestClippingThreshold: most = 0 } = numbers ?? {}
    expect(most).toBeGreaterThan(0.1)
    const sensitivity = ((numbers?.gradientNoise ?? 0) * 20) / gradientNoise
    expect(sensitivity).toBeGreaterThan(Math.hypot(most, least))
    expect(sensitivity).toBeLessThan(Math.sqrt(3) * most)
    const without = await train(network(), data, privately({ noiseMultiplier: 1, threshold: 0.1 }, { epochs: 3 }))
    expect(privacy?.epsilon).toBe(without.privacy?.epsilon)
  })

  const cases: [string, DifferentialPrivacyOptions][] = [
    ['a fixed threshold', { noiseMultiplier: 1.1, threshold: 0.3 }],
    ['a quantile', { noiseMultiplier: 0.8, threshold: 0.3, by: 'layer', adapt: quantileThreshold(), countNoise: 3 }],
  ]
  it.each(cases)('with %s a resumed run gives the bits of an unbroken one', async (_, options) => {
    const { seed: __, ...common } = privately(options, { optimizer: adam({ learningRate: 0.02 }) }) as never as {
      seed?: number
    } & ReturnType<typeof privately>
    const whole = network('float32')
    const unbroken = train(whole, data, { ...common, epochs: 4 })
    const history = await unbroken
    const parts = network('float32')
    const first = train(parts, data, { ...common, epochs: 2 })
    await first
    // The seed of the noise comes with the state.
    const second = train(parts, data, {
      ...common,
      privacy: differentialPrivacy(options),
      epochs: 4,
      resume: first.state(),
    })
    expect((await second).privacy).toEqual(history.privacy)
    expect(parts.parameters).toEqual(whole.parameters)
    expect(second.state()).toEqual(unbroken.state())
  })

  it.each(cases)('with %s gives the same bits for one thread and two', async (_, options) => {
    const wide = {
      data: Float32Array.from({ length: 512 * 96 }, (__, i) => Math.sin(i * i)),
      shape: [512, 96] as const,
    }
    const targets = Int32Array.from({ length: 512 }, (__, i) => i % 3)
    const results = []
    for (const threads of [1, 2]) {
      const model = createModel({ inputs: 96, layers: [dense(64, 'relu'), dense(32, 'tanh'), dense(3)], seed: 1 })
      await train(model, { inputs: wide, targets }, { ...privately(options), batchSize: 128, epochs: 3, threads })
      results.push(model.parameters)
    }
    expect(results[1]).toEqual(results[0])
  })

  it('draws a noise of its own where no seed is given', async () => {
    const results = []
    for (let run = 0; run < 2; run++) {
      const model = network()
      await train(model, data, { loss, batchSize: 20, epochs: 1, privacy: differentialPrivacy({ noiseMultiplier: 1 }) })
      results.push(Array.from(model.parameters))
    }
    expect(results[1]).not.toEqual(results[0])
  })

  it('learns in spite of the noise, within a validation split', async () => {
    const model = network('float32')
    const history = await train(model, data, {
      ...privately({ noiseMultiplier: 0.7 }, { epochs: 30, optimizer: adam({ learningRate: 0.03 }) }),
      validation: { fraction: 0.25 },
      weights: focalWeights(),
    })
    expect(history.epochs[0]?.updates).toBe(Math.round(150 / 20))
    expect(history.privacy?.sampleRate).toBe(20 / 150)
    expect(history.epochs.at(-1)?.validation?.accuracy).toBeGreaterThan(0.8)
  })

  it('leaves out samples that are not finite', async () => {
    const targets = {
      data: Float32Array.from({ length: rows }, (_, i) => (i === 7 ? 3e38 : 0)),
      shape: [rows, 1] as const,
    }
    const model = createModel({ inputs: width, layers: [dense(4, 'tanh'), dense(1)], seed: 1 })
    const history = await train(
      model,
      { inputs, targets },
      {
        ...privately({ noiseMultiplier: 1 }),
        loss: meanSquaredError(),
        batchSize: rows,
        epochs: 3,
      },
    )
    expect(history.reason).toBe('completed')
    expect(history.epochs.at(-1)?.numbers?.droppedSamples).toBe(3)
  })
})

describe('misuse of privacy', () => {
  it.each<[() => unknown, RegExp]>([
    [() => differentialPrivacy({}), /noiseMultiplier.*either it or targetEpsilon/],
    [() => differentialPrivacy({ noiseMultiplier: 1, targetEpsilon: 1 }), /either it or targetEpsilon/],
    [() => differentialPrivacy({ noiseMultiplier: -1 }), /differentialPrivacy noiseMultiplier/],
    [() => differentialPrivacy({ targetEpsilon: 0 }), /differentialPrivacy targetEpsilon/],
    [() => differentialPrivacy({ noiseMultiplier: 1, delta: 1 }), /differentialPrivacy delta/],
    [() => differentialPrivacy({ noiseMultiplier: 1, threshold: 0 }), /differentialPrivacy threshold/],
    [() => differentialPrivacy({ noiseMultiplier: 1, countNoise: 3 }), /differentialPrivacy countNoise/],
    [
      () => differentialPrivacy({ noiseMultiplier: 0, adapt: quantileThreshold(), countNoise: 3 }),
      /differentialPrivacy countNoise.*noiseMultiplier 0/,
    ],
    [() => differentialPrivacy({ noiseMultiplier: 1, adapt: null } as never), /differentialPrivacy adapt.*an object/],
    [() => differentialPrivacy({ noiseMultiplier: 1, by: 'layer', adapt: layerStatistics() }), /adapt/],
    [() => differentialPrivacy({ noiseMultiplier: 1, sigma: 1 } as never), /sigma/],
  ])('is told: %s', (call, message) => {
    const error = errorOf(call)
    expect(error.code).toBe('ERR_OPTION')
    expect(error.message).toMatch(message)
  })

  const privacy = differentialPrivacy({ noiseMultiplier: 1 })
  it.each<[string, object, RegExp]>([
    ['clipping', { clipping: sampleClipping() }, /^clipping: expected none with privacy/],
    ['a step-size stage', { stepSize: softmaxRadiusControl() }, /^stepSize: expected none with privacy/],
    ['an order of the data', { shuffle: false }, /^shuffle: expected none with privacy/],
    ['weights of a batch', { weights: tiltedWeights() }, /weights.*privacy/],
    ['weights by a function', { weights: () => [] }, /weights.*privacy/],
    ['normalised weights', { loss: softmaxCrossEntropy({ normalizeWeights: true }) }, /clipping|privacy/],
    ['a sum', { loss: softmaxCrossEntropy({ reduction: 'sum' }) }, /loss.*means/],
    ['a minimizer', { optimizer: hessianFree() }, /privacy: expected none with/],
    [
      'too little noise on counts',
      { privacy: differentialPrivacy({ noiseMultiplier: 3, adapt: quantileThreshold(), countNoise: 1 }) },
      /countNoise/,
    ],
    ['another kind', { privacy: { kind: 'laplace' } }, /privacy\.kind/],
  ])('%s beside it is refused', (_, options, message) => {
    const error = errorOf(() => train(network(), data, { loss, batchSize: 20, privacy, ...options } as never))
    expect(error.message).toMatch(message)
  })

  it('belongs to train alone, which draws the samples', () => {
    expect(errorOf(() => createTrainer(network(), { loss, privacy } as never)).message).toMatch(/privacy/)
  })

  it('goes on only as it began', async () => {
    const model = network()
    const run = train(model, data, privately({ noiseMultiplier: 1 }))
    await run
    const resume = run.state()
    const again = (options: DifferentialPrivacyOptions, rest = {}) =>
      errorOf(() => train(model, data, { ...privately(options), epochs: 2, resume, ...rest } as never)).message
    expect(again({ noiseMultiplier: 2 })).toMatch(/noise multiplier of the resumed state/)
    expect(again({ noiseMultiplier: 1, seed: 6 })).toMatch(/privacy\.seed/)
    expect(again({ noiseMultiplier: 1 }, { batchSize: 25 })).toMatch(/sample rate|sampleRate/)
    expect(again({ noiseMultiplier: 1 }, { privacy: undefined })).toMatch(/resume|names/)
    const plain = train(network(), data, { loss, optimizer: sgd({ learningRate: 1 }), batchSize: 20, epochs: 1 })
    await plain
    expect(again({ noiseMultiplier: 1 }, { resume: plain.state(), seed: 0 })).toMatch(/droppedSamples|privacy/)
  })
})
