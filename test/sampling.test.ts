// Sampling strategies of train: what they know of samples, what they tell, that they go on, and what is refused.
import { describe, expect, it } from 'vitest'
import type { ImportanceScore, Model, SamplingOption, TrainOptions, TrainRun } from '../src/index.js'
import {
  adam,
  createModel,
  createTrainer,
  dense,
  evaluate,
  hessianFree,
  historySampling,
  importanceProbabilities,
  importanceSampling,
  importanceTau,
  importanceWeights,
  linearize,
  meanSquaredError,
  poissonSampling,
  replacementSampling,
  samplingKinds,
  scoreSamples,
  sgd,
  shuffledSampling,
  softmaxCrossEntropy,
  train,
  weightedSampling,
} from '../src/index.js'
import { errorOf } from './support/thrown.js'

const rows = 40
const inputs = {
  data: Float64Array.from({ length: rows * 5 }, (_, i) => Math.sin(1 + i * i)),
  shape: [rows, 5] as const,
}
const labels = Int32Array.from({ length: rows }, (_, i) => (i * 7) % 3)
const data = { inputs, targets: labels }
const loss = softmaxCrossEntropy()
/** Parameters stay where they are. */
const still = sgd({ learningRate: 0 })

function network(): Model<'float64'> {
  return createModel({ inputs: 5, layers: [dense(9, 'tanh'), dense(3)], seed: 3, dtype: 'float64' })
}

const all: Record<string, SamplingOption> = {
  replacement: replacementSampling(),
  poisson: poissonSampling({ rate: 0.2 }),
  weighted: weightedSampling({ scores: Float64Array.from({ length: rows }, (_, i) => 1 + (i % 3)) }),
  importance: importanceSampling({ startThreshold: 0.3, smoothing: { fraction: 0.1 }, biasPower: 0.8 }),
  history: historySampling(),
}

describe('specs', () => {
  it('have their defaults filled in, and are frozen', () => {
    expect(shuffledSampling()).toEqual({ kind: 'shuffled' })
    expect(poissonSampling()).toEqual({ kind: 'poisson' })
    expect(importanceSampling()).toEqual({
      kind: 'importance',
      by: 'upperBound',
      presample: 3,
      smoothing: 0,
      startThreshold: 'auto',
      biasPower: 1,
    })
    expect(weightedSampling({ scores: [1, 3] })).toEqual({
      kind: 'weighted',
      probabilities: [0.25, 0.75],
      unbiased: true,
    })
    expect(historySampling({ unbiased: false })).toEqual({ kind: 'history', unbiased: false })
    expect(Object.isFrozen(historySampling())).toBe(true)
    expect(new Set(Object.values(all).map(({ kind }) => kind)).add('shuffled')).toEqual(new Set(samplingKinds))
  })

  it.each<[() => unknown, string]>([
    [() => poissonSampling({ rate: 0 }), 'rate'],
    [() => poissonSampling({ rat: 1 } as never), 'rate'],
    [() => weightedSampling({} as never), 'either probabilities or scores'],
    [() => weightedSampling({ probabilities: [0.5, 0.6] }), 'add up to 1'],
    [() => weightedSampling({ scores: [1, 0] }), 'scores[1]'],
    [() => weightedSampling({ scores: [0, 0], unbiased: false }), 'above 0'],
    [() => weightedSampling({ scores: [1, -1], unbiased: false }), 'scores[1]'],
    [() => weightedSampling({ scores: [1e308, 1e308] }), 'weightedSampling scores'],
    [() => weightedSampling({ scores: [1e300, 1e-300] }), 'weightedSampling scores[1]'],
    [() => weightedSampling({ probabilities: [1, 5e-324] }), 'weightedSampling probabilities[1]'],
    [() => weightedSampling({ scores: null } as never), 'weightedSampling scores'],
    [() => importanceSampling({ by: 'norm' } as never), 'gradientNorm'],
    [() => importanceSampling({ presample: 0.5 }), 'presample'],
    [() => importanceSampling({ smoothing: { fraction: -1 } }), 'smoothing.fraction'],
    [() => importanceSampling({ startThreshold: -1 }), 'startThreshold'],
    [() => importanceSampling({ biasPower: 2 }), 'biasPower'],
    [() => historySampling({ unbiased: 1 } as never), 'unbiased'],
  ])('%s', (make, part) => {
    const error = errorOf(make)
    expect(error.code).toBe('ERR_OPTION')
    expect(error.message).toContain(part)
  })
})

describe('arithmetic', () => {
  it('takes any typed array of numbers', () => {
    expect(weightedSampling({ scores: Uint8Array.of(1, 3) }).probabilities).toEqual([0.25, 0.75])
    expect(weightedSampling({ scores: [1e300, 1e-300], unbiased: false }).probabilities).toEqual([1, 0])
    const p = importanceProbabilities(Int32Array.of(3, 1))
    expect(p).toEqual(importanceProbabilities([3, 1]))
    expect(importanceWeights(p, Uint32Array.of(0, 1))).toEqual(importanceWeights(p, [0, 1]))
    expect(importanceTau(Uint16Array.of(1, 0))).toBeCloseTo(Math.SQRT2, 14)
    expect(errorOf(() => importanceProbabilities(BigInt64Array.of(1n) as never)).message).toContain('scores')
  })

  it('weights are unbiased: Σ p w is 1', () => {
    const p = importanceProbabilities([3, 1, 0.5, 0.5], { smoothing: 0.1 })
    const weights = importanceWeights(p, [0, 1, 2, 3])
    // The mean over the pool of p w B is 1.
    expect(p.reduce((sum, value, i) => sum + value * (weights[i] as number), 0)).toBeCloseTo(1, 14)
  })

  it('an exponent evens weights out and keeps Σ w s', () => {
    const scores = [3, 1, 0.5, 0.5]
    const p = importanceProbabilities(scores)
    const picked = [0, 0, 1, 3]
    const total = (weights: Float64Array): number =>
      picked.reduce((sum, index, i) => sum + (weights[i] as number) * (scores[index] as number), 0)
    const plain = importanceWeights(p, picked)
    expect(importanceWeights(p, picked, { biasPower: 1 })).toEqual(plain)
    const even = importanceWeights(p, picked, { biasPower: 0.5, scores })
    expect(total(even)).toBeCloseTo(total(plain), 14)
    expect(Math.max(...even) / Math.min(...even)).toBeCloseTo(Math.sqrt(Math.max(...plain) / Math.min(...plain)), 13)
  })

  it('equal scores, or none, are uniform and save nothing', () => {
    expect([...importanceProbabilities([0, 0])]).toEqual([0.5, 0.5])
    expect([...importanceProbabilities([1, 3], { mix: 0 })]).toEqual([0.5, 0.5])
    expect(importanceTau([0.25, 0.25, 0.25, 0.25])).toBe(1)
    expect(importanceTau([1, 0, 0, 0])).toBe(2)
  })

  it.each<[() => unknown, string]>([
    [() => importanceWeights([1, 0], [1]), 'probabilities of picked[0]'],
    [() => importanceWeights([1, 0], [2]), 'picked[0]'],
    [() => importanceWeights([1, 0], null as never), 'picked: expected an array'],
    [() => importanceWeights([0.5, 0.5], [0], { biasPower: 3 }), 'biasPower'],
    [() => importanceProbabilities([-1]), 'scores[0]'],
    [() => importanceProbabilities([1], { mix: 2 }), 'mix'],
    [() => importanceTau([2]), 'probabilities[0]'],
  ])('%s', (call, part) => {
    const error = errorOf(call)
    expect(error.code).toBe('ERR_OPTION')
    expect(error.message).toContain(part)
  })
})

/** Norms of the samples' gradients, bounds of them, and losses, of the model as it is. */
function scoresOf(model: Model<'float64'>, by: ImportanceScore): Float64Array {
  if (by === 'upperBound') return scoreSamples(model, data, { score: 'el2n' }).scores
  using point = linearize(model, data, loss)
  return Float64Array.from(by === 'loss' ? point.lossPerSample : point.perSampleGradientNorms())
}

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

describe('importance', () => {
  it.each(['upperBound', 'gradientNorm', 'loss'] as const)('knows samples by %s', async (by) => {
    const model = network()
    const scores = scoresOf(model, by)
    const sampling = importanceSampling({ by, startThreshold: 100 })
    const run = train(model, data, { loss, optimizer: still, sampling, batchSize: rows, epochs: 5 })
    const { epochs } = await run
    const { importanceTau: tau, importanceOn } = epochs.at(-1)?.numbers ?? {}
    expect(importanceOn).toBe(0)
    expect(tau).toBeCloseTo(importanceTau(importanceProbabilities(scores)) * (1 - 0.9 ** 5), 10)
    expect(run.state().optimizer.numbers?.['sampling.score']).toBeCloseTo(mean(scores), 10)
  })

  it.each(['upperBound', 'gradientNorm', 'loss'] as const)('scores the pool by %s as a step does', async (by) => {
    // Samples alike: every pool has the scores of the data.
    const one = { data: Float64Array.from({ length: rows * 5 }, (_, i) => Math.cos(i % 5)), shape: [rows, 5] as const }
    const targets = {
      data: Float64Array.from({ length: rows * 2 }, (_, i) => (i % 2) - 0.25),
      shape: [rows, 2] as const,
    }
    const made = { inputs: 5, layers: [dense(6, 'relu'), dense(2, 'tanh')], seed: 1, dtype: 'float64' } as const
    const score = async (startThreshold: number): Promise<number | undefined> => {
      const run = train(
        createModel(made),
        { inputs: one, targets },
        {
          loss: meanSquaredError(),
          optimizer: still,
          sampling: importanceSampling({ by, startThreshold }),
          batchSize: 8,
          epochs: 4,
        },
      )
      const { epochs } = await run
      expect(epochs.at(-1)?.numbers?.importanceOn).toBe(startThreshold === 0 ? 1 : 0)
      return run.state().optimizer.numbers?.['sampling.score']
    }
    const off = await score(100)
    expect(await score(0)).toBeCloseTo(off ?? Number.NaN, 12)
    if (by !== 'upperBound') return
    const output = createModel(made).predict(one)
    const delta = [0, 1].map((c) => {
      const a = output.data[c] as number
      return (a - (targets.data[c] as number)) * (1 - a * a)
    })
    expect(off).toBeCloseTo(Math.hypot(...delta), 12)
  })

  it('is shuffled training, to the bit, until it begins', async () => {
    const options: TrainOptions = { loss, optimizer: adam(), batchSize: 8, epochs: 3 }
    const plain = network()
    await train(plain, data, options)
    const same = network()
    await train(same, data, { ...options, sampling: shuffledSampling() })
    expect(same.parameters).toEqual(plain.parameters)
    const waiting = network()
    await train(waiting, data, { ...options, sampling: importanceSampling({ startThreshold: 100 }) })
    expect(waiting.parameters).toEqual(plain.parameters)
    const drawing = network()
    const history = await train(drawing, data, { ...options, sampling: importanceSampling({ startThreshold: 0 }) })
    expect(drawing.parameters).not.toEqual(plain.parameters)
    const { importanceOn, effectiveSampleSize = 0 } = history.epochs.at(-1)?.numbers ?? {}
    expect(importanceOn).toBe(1)
    expect(effectiveSampleSize).toBeGreaterThan(1)
    expect(effectiveSampleSize).toBeLessThanOrEqual(8)
  })

  it.each(Object.entries(all).filter(([name]) => name !== 'importance'))(
    'the mean loss of %s is that of the data',
    async (_, sampling) => {
      const model = network()
      const { loss: expected } = await evaluate(model, data, { loss })
      const { epochs } = await train(model, data, { loss, optimizer: still, sampling, batchSize: 8, epochs: 600 })
      const losses = epochs.map(({ loss: value }) => value)
      const average = mean(losses)
      const deviation = Math.sqrt(mean(losses.map((value) => (value - average) ** 2)) / losses.length)
      expect(deviation).toBeGreaterThan(0)
      expect(Math.abs(average - expected)).toBeLessThan(5 * deviation)
    },
  )

  it.each(['upperBound', 'gradientNorm', 'loss'] as const)('so is that of importance by %s', async (by) => {
    const model = network()
    const { loss: expected } = await evaluate(model, data, { loss })
    const sampling = importanceSampling({ by, startThreshold: 0, smoothing: 0.05 })
    const { epochs } = await train(model, data, { loss, optimizer: still, sampling, batchSize: 8, epochs: 600 })
    const losses = epochs.slice(1).map(({ loss: value }) => value)
    const average = mean(losses)
    const deviation = Math.sqrt(mean(losses.map((value) => (value - average) ** 2)) / losses.length)
    expect(Math.abs(average - expected)).toBeLessThan(5 * deviation)
  })
})

describe('history', () => {
  it('records how hard each sample is that was drawn', async () => {
    const model = network()
    const { scores } = scoreSamples(model, data, { score: 'el2n' })
    const run = train(model, data, { loss, optimizer: still, sampling: historySampling(), batchSize: 8, epochs: 2 })
    await run
    const figures = run.state().optimizer.arrays?.['sampling.figures'] ?? new Float64Array()
    expect(figures).toHaveLength(rows)
    const seen = [...figures.keys()].filter((i) => figures[i] !== -1)
    expect(seen.length).toBeGreaterThan(rows / 3)
    expect(seen.length).toBeLessThan(rows)
    // Drawn in the second epoch: weights 1/(N q) are taken out of the records again.
    for (const i of seen) expect(figures[i]).toBeCloseTo(scores[i] as number, 12)
  })

  it('draws what was hard more often, and by option without weights', async () => {
    const wide = { loss, optimizer: still, batchSize: 8, epochs: 400 }
    const { loss: expected } = await evaluate(network(), data, { loss })
    const biased = await train(network(), data, { ...wide, sampling: historySampling({ unbiased: false }) })
    const late = biased.epochs.slice(300).map(({ loss: value }) => value)
    expect(mean(late)).toBeGreaterThan(expected * 1.02)
    expect(biased.epochs.at(-1)?.numbers?.effectiveSampleSize).toBeUndefined()
  })
})

describe('runs', () => {
  it.each(Object.entries(all))('%s goes on from a state to the same bits', async (_, sampling) => {
    const options: TrainOptions = { loss, optimizer: adam({ learningRate: 0.05 }), sampling, batchSize: 8 }
    const whole = network()
    await train(whole, data, { ...options, epochs: 6 })
    const model = network()
    const first: TrainRun = train(model, data, {
      ...options,
      epochs: 6,
      onStep: { every: 1, callback: ({ updates }) => (updates >= 13 ? first.abort() : undefined) },
    })
    await first
    const state = JSON.parse(
      JSON.stringify(first.state(), (_key, value) => (ArrayBuffer.isView(value) ? [...(value as never)] : value)),
    )
    await train(model, data, { ...options, epochs: 6, resume: state })
    expect(model.parameters).toEqual(whole.parameters)
  })

  it('leave out what is held out for validation', async () => {
    const sampling = weightedSampling({ scores: new Float64Array(rows).fill(2) })
    const { epochs } = await train(network(), data, { loss, sampling, validation: { fraction: 0.25 }, epochs: 2 })
    expect(epochs.at(-1)?.validation).toBeDefined()
    expect(epochs.at(-1)?.numbers?.effectiveSampleSize).toBeCloseTo(30, 10)
  })

  it('of Poisson batches have as many updates as an epoch has', async () => {
    const sizes: number[] = []
    const { updates } = await train(network(), data, { loss, sampling: poissonSampling({ rate: 0.25 }), epochs: 5 })
    sizes.push(updates)
    expect(sizes).toEqual([20])
  })
})

describe('misuse', () => {
  const options: TrainOptions = { loss }

  it.each<[string, TrainOptions, string]>([
    ['unknown kinds', { ...options, sampling: { kind: 'uniform' } as never }, 'sampling.kind'],
    ['unknown options', { ...options, sampling: { kind: 'shuffled', rate: 1 } as never }, 'rate'],
    ['no shuffling', { ...options, sampling: replacementSampling(), shuffle: false }, 'shuffle'],
    ['minimizers', { ...options, optimizer: hessianFree(), sampling: replacementSampling() }, 'sampling'],
    ['rates below one sample', { ...options, sampling: poissonSampling({ rate: 0.01 }) }, 'sampling.rate'],
  ])('%s', (_, given, part) => {
    const error = errorOf(() => train(network(), data, given))
    expect(error.code).toBe('ERR_OPTION')
    expect(error.message).toContain(part)
  })

  it('probabilities of other data, and states of other sampling', async () => {
    const few = weightedSampling({ scores: [1, 2] })
    expect(errorOf(() => train(network(), data, { loss, sampling: few })).code).toBe('ERR_SHAPE')
    const model = network()
    const run = train(model, data, { loss, epochs: 1 })
    await run
    const resume = run.state()
    const sampling = historySampling()
    expect(errorOf(() => train(model, data, { loss, epochs: 2, sampling, resume })).code).toBe('ERR_STATE')
  })

  it('losses that are no plain sums where samples are scored', () => {
    const weighted = softmaxCrossEntropy({ normalizeWeights: true })
    const error = errorOf(() => train(network(), data, { loss: weighted, sampling: importanceSampling() }))
    expect(error.message).toContain('sampling')
  })

  it('createTrainer', () => {
    const error = errorOf(() => createTrainer(network(), { loss, sampling: replacementSampling() } as never))
    expect(error.code).toBe('ERR_OPTION')
    expect(error.message).toContain('brings the batches')
  })
})
