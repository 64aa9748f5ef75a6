// Curvature recorded during training: against the functions for scripts at the same parameters and rows, the same for
// any number of threads and after a resume, and without any effect on the run.
import { describe, expect, test } from 'vitest'
import { validateConfig } from '../src/cli/specs.js'
import type { EpochRecord, LossOption, OptimizerOption, RecordOptions, StabilityRecord } from '../src/index.js'
import {
  adam,
  createModel,
  dense,
  dropout,
  eigenpairsSync,
  lbfgs,
  linear,
  linearize,
  meanAbsoluteError,
  renderReport,
  sgd,
  stabilitySync,
  traceSync,
  train,
} from '../src/index.js'
import { addon } from '../src/internal/native.js'
import { dataset, stabilityOptions, trainOptions, twoHeads } from './support/binding.js'
import { classifier, data, loss } from './support/classifier.js'
import { classData } from './support/data.js'
import { expectError } from './support/errors.js'

const recorded = (epochs: readonly EpochRecord[]): (StabilityRecord | undefined)[] =>
  epochs.map(({ stability }) => stability)
/** All but the time that it took. */
const numbers = (epochs: readonly EpochRecord[]) =>
  recorded(epochs).map((one) => (one === undefined ? one : { ...one, seconds: 0 }))

describe('the numbers', () => {
  test.each(['ggn', 'hessian'] as const)('%s: those of eigenpairs and trace at the same point', async (curvature) => {
    const model = classifier('float64')
    const optimizer = sgd({ learningRate: linear({ learningRate: 0.4, endLearningRate: 0.1 }), momentum: 0.9 })
    const options = { loss, optimizer, l2: 1e-3, seed: 4, epochs: 3, batchSize: 50 }
    const record = { stability: { curvature, tolerance: 1e-6, probes: 40 } }
    const { epochs } = await train(model, data, { ...options, record })
    expect(recorded(epochs).filter((one) => one === undefined)).toEqual([])
    const last = epochs.at(-1)?.stability as StabilityRecord

    // All 300 rows are in the sample, in their order.
    const point = linearize(model, data, loss, { l2: 1e-3 })
    const H = curvature === 'ggn' ? point.ggn() : point.hessian()
    const { values, residuals, products } = eigenpairsSync(H, { tolerance: 1e-6, seed: last.seed })
    const { value, standardError } = traceSync(H, { probes: 40, tolerance: 0, seed: last.seed })
    const top = values[0] as number
    expect(Math.abs(last.largestEigenvalue - top)).toBeLessThanOrEqual(1e-12 * top)
    expect(Math.abs(last.residual - (residuals[0] as number))).toBeLessThanOrEqual(1e-12 * top)
    expect(Math.abs(last.trace - value)).toBeLessThanOrEqual(1e-12 * value)
    expect(Math.abs(last.traceError - standardError)).toBeLessThanOrEqual(1e-10 * standardError)
    expect(last).toMatchObject({ samples: 300, iterations: products, probes: 40, reason: 'converged' })

    // And the diagnostics' own ratios.
    expect(last.learningRate).toBe(epochs.at(-1)?.learningRate)
    const rate = last.learningRate as number
    expect(last.threshold).toBe(2 / rate)
    const again = stabilitySync(H, {
      learningRate: rate,
      tolerance: 1e-6,
      seed: last.seed,
      probes: 40,
      traceTolerance: 0,
    })
    expect(last.sharpnessRatio).toBeCloseTo(again.sharpnessRatio, 12)
    expect(last.traceRatio).toBeCloseTo(again.traceRatio, 12)
    expect(last.seconds).toBeGreaterThan(0)
  })

  test('exact for one parameter: λ and tr H are the second derivative', async () => {
    const model = createModel({ inputs: 1, layers: [dense(1, 'identity', { bias: false })], dtype: 'float64' })
    const inputs = [[1], [2], [3], [4]]
    const half: LossOption = { kind: 'meanSquaredError', scale: 0.5 }
    const options = { loss: half, optimizer: sgd({ learningRate: 0.2 }), epochs: 1, l2: 0.5 }
    const run = train(model, { inputs, targets: inputs }, { ...options, record: { stability: true } })
    const { stability } = (await run).epochs[0] as EpochRecord
    // (1 + 4 + 9 + 16) / 4 + l2
    expect(stability?.largestEigenvalue).toBeCloseTo(8, 12)
    expect(stability?.trace).toBeCloseTo(8, 12)
    expect(stability?.traceError).toBeLessThan(1e-12)
    expect(stability?.sharpnessRatio).toBeCloseTo(0.8, 12)
    expect(stability?.threshold).toBe(10)
    expect(stability).toMatchObject({ samples: 4, iterations: 1, probes: 20, reason: 'converged' })
  })

  test('of a sample of the rows that train, the same in every epoch', async () => {
    const epochsOf = async (seed: number) => {
      const model = classifier('float64')
      // No progress: what differs between epochs is the random vectors alone.
      const options = { loss, optimizer: sgd({ learningRate: 1e-12 }), epochs: 2, seed, validation: { fraction: 0.5 } }
      const record = { stability: { samples: 40, tolerance: 1e-8 } }
      return recorded((await train(model, data, { ...options, record })).epochs) as StabilityRecord[]
    }
    const [first, second] = (await epochsOf(1)) as [StabilityRecord, StabilityRecord]
    expect(first.samples).toBe(40)
    expect(first.seed).not.toBe(second.seed)
    expect(second.trace).not.toBe(first.trace)
    const gap = Math.abs(first.largestEigenvalue - second.largestEigenvalue)
    expect(gap).toBeLessThanOrEqual(first.residual + second.residual + 1e-9 * first.largestEigenvalue)
    const [other] = (await epochsOf(2)) as [StabilityRecord]
    expect(Math.abs(other.largestEigenvalue - first.largestEigenvalue)).toBeGreaterThan(1e-4 * first.largestEigenvalue)
  })

  test('an optimizer that divides by curvature has no rate to hold it against', async () => {
    const model = classifier('float64')
    const options = { loss, optimizer: lbfgs(), epochs: 2, l2: 1e-3 }
    const { epochs } = await train(model, data, { ...options, record: { stability: {} } })
    const last = epochs.at(-1)?.stability as StabilityRecord
    const { values } = eigenpairsSync(linearize(model, data, loss, { l2: 1e-3 }).ggn())
    expect(Math.abs(last.largestEigenvalue - (values[0] as number))).toBeLessThanOrEqual(last.residual + 1e-8)
    for (const name of ['learningRate', 'threshold', 'sharpnessRatio', 'traceRatio'])
      expect(last).not.toHaveProperty(name)
  })

  test('products that run out are told', async () => {
    const options = { loss, optimizer: sgd(), epochs: 1 }
    const stability = { iterations: 2, tolerance: 1e-12, probes: 2 }
    const { epochs } = await train(classifier('float64'), data, { ...options, record: { stability } })
    expect(epochs[0]?.stability).toMatchObject({ reason: 'maxProducts', iterations: 2, probes: 2 })
    expect(epochs[0]?.stability?.residual).toBeGreaterThan(0)
  })
})

describe('the run', () => {
  const make = () => createModel({ inputs: 2, layers: [dense(24, 'tanh'), dropout(0.3), dense(3)], seed: 2 })
  const optimizers: [string, OptimizerOption][] = [
    ['adam', adam({ learningRate: 0.01 })],
    ['sgd', sgd({ learningRate: 0.05, momentum: 0.9 })],
    ['lbfgs', lbfgs()],
  ]

  test.each(optimizers)(
    '%s: not changed by one bit, and the same on one, two and three threads',
    async (_, optimizer) => {
      const options = { loss, optimizer, epochs: 4, seed: 3, validation: classData(60, 2) }
      const plain = make()
      const without = train(plain, data, options)
      const expected = await without
      expect(expected.epochs.some((epoch) => 'stability' in epoch)).toBe(false)
      let first: ReturnType<typeof numbers> | undefined
      for (const threads of [1, 2, 3]) {
        const model = make()
        const run = train(model, data, {
          ...options,
          threads,
          record: { stability: { every: 2, samples: 100, probes: 5 } },
        })
        const { epochs } = await run
        expect(model.parameters).toEqual(plain.parameters)
        expect(run.state()).toEqual(without.state())
        expect(epochs.map((epoch) => [epoch.loss, epoch.validation])).toEqual(
          expected.epochs.map((epoch) => [epoch.loss, epoch.validation]),
        )
        expect(recorded(epochs).map((one) => one !== undefined)).toEqual([false, true, false, true])
        first ??= numbers(epochs)
        expect(numbers(epochs)).toEqual(first)
      }
    },
  )

  test('a resumed run records what an unbroken one does, under its own optimizer state', async () => {
    const options = {
      loss,
      optimizer: adam(),
      batchSize: 30,
      seed: 3,
      record: { stability: { samples: 100, probes: 5 } },
    }
    const whole = await train(make(), data, { ...options, epochs: 5 })
    const parts = make()
    const first = train(parts, data, { ...options, epochs: 2 })
    await first
    const { seed: _, ...rest } = options
    const second = await train(parts, data, { ...rest, epochs: 5, resume: first.state() })
    expect(numbers(second.epochs)).toEqual(numbers(whole.epochs).slice(2))
  })

  test('an abort while it measures ends at once; the epoch is recorded by the run that goes on', async () => {
    const options = { loss, optimizer: adam(), batchSize: 50, seed: 3, epochs: 2 }
    const stability = { samples: 300, probes: 2 ** 31 - 1 }
    const model = make()
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    const steps: number[] = []
    const run = train(model, data, {
      ...options,
      record: { stability },
      onStep: { every: 1, callback: ({ updates }) => steps.push(updates) },
    })
    await new Promise((resolve) => setTimeout(resolve, 200))
    const begin = performance.now()
    run.abort()
    const { reason, epochs, updates } = await run
    clearInterval(timer)
    expect(performance.now() - begin).toBeLessThan(2000)
    expect({ reason, epochs, updates }).toEqual({ reason: 'aborted', epochs: [], updates: 6 })
    expect(steps.at(-1)).toBe(6)
    // The event loop went on meanwhile.
    expect(turns).toBeGreaterThan(20)
    const few: RecordOptions = { stability: { samples: 300, probes: 5 } }
    const { seed: _, ...rest } = options
    const resumed = await train(model, data, { ...rest, record: few, resume: run.state() })
    const unbroken = await train(make(), data, { ...options, record: few })
    expect(numbers(resumed.epochs)).toEqual(numbers(unbroken.epochs))
    expect(resumed.epochs.map((epoch) => epoch.loss)).toEqual(unbroken.epochs.map((epoch) => epoch.loss))
  })

  test('another run goes on while one measures', async () => {
    const stability = { samples: 300, probes: 2 ** 31 - 1 }
    const measuring = train(make(), data, { loss, epochs: 1, record: { stability } })
    const { reason } = await train(classifier(), data, { loss, epochs: 3 })
    expect(reason).toBe('completed')
    expect(measuring.epochs).toEqual([])
    measuring.abort()
    expect((await measuring).reason).toBe('aborted')
  })
})

describe('where it shows', () => {
  test('a report draws it, at the epochs that have it', async () => {
    const model = classifier()
    const options = { loss, optimizer: sgd(), epochs: 4 }
    const history = await train(model, data, { ...options, record: { stability: { every: 2, probes: 5 } } })
    const html = renderReport({ model, history })
    const plain = history.epochs.map(({ stability: _, ...rest }) => rest)
    const without = renderReport({ model, history: { ...history, epochs: plain } })
    const drawings = (page: string): number => page.match(/<svg/g)?.length ?? 0
    expect(drawings(html)).toBe(drawings(without) + 1)
    expect(html).toContain('largest eigenvalue')
    expect(html).toContain('2 / learning rate')
    expect(without).not.toContain('largest eigenvalue')
  })

  test('a configuration of the command line has it', async () => {
    const config = (record: unknown) => ({
      data: { train: { csv: 'a.csv', target: 'kind' } },
      model: { layers: [{ units: 3 }] },
      loss: 'softmaxCrossEntropy',
      training: { epochs: 1, record },
      output: { model: 'a.safetensors' },
    })
    const checked = await validateConfig(config({ stability: { every: 5 } }))
    expect(checked.training.record).toEqual({ stability: { every: 5 } })
    await expect(validateConfig(config({ stability: { evry: 5 } }))).rejects.toThrow(
      "training.record.stability.evry: unknown option; did you mean 'every'?",
    )
    await expect(validateConfig(config(true))).rejects.toThrow('training.record: expected an object, received true')
  })
})

describe('misuse', () => {
  const start =
    (record: unknown, others: object = {}) =>
    () =>
      train(classifier(), data, { loss, epochs: 1, record: record as RecordOptions, ...others })
  const cases: [string, unknown, string][] = [
    ['no object', 'stability', 'record'],
    ['a misspelt diagnostic', { stabilty: true }, "did you mean 'stability'"],
    ['a word', { stability: 'yes' }, 'record.stability'],
    ['null', { stability: null }, 'record.stability'],
    ['a misspelt option', { stability: { evry: 2 } }, "record.stability: unknown option 'evry'"],
    ['every', { stability: { every: 0 } }, 'record.stability.every'],
    ['samples', { stability: { samples: 0.5 } }, 'record.stability.samples'],
    ['curvature', { stability: { curvature: 'fisher' } }, 'record.stability.curvature'],
    ['tolerance', { stability: { tolerance: -1 } }, 'record.stability.tolerance'],
    ['iterations', { stability: { iterations: 0 } }, 'record.stability.iterations'],
    ['probes', { stability: { probes: 1 } }, 'record.stability.probes'],
  ]
  test.each(cases)('%s', (_, record, part) => {
    expectError(start(record), 'ERR_OPTION', part)
  })

  test('the addon looks again', () => {
    for (const [name, value] of [
      ['every', 0],
      ['samples', 1.5],
      ['curvature', 'fisher'],
      ['tolerance', Number.NaN],
      ['iterations', 0],
      ['probes', 1],
    ] as const) {
      const native = addon()
      const model = new native.Model(twoHeads(), 'float32', 0)
      const options = { ...trainOptions(), stability: { ...stabilityOptions(), [name]: value } as never }
      const call = () => model.train(new native.Dataset(dataset(8)), options, () => undefined)
      expectError(call, 'ERR_OPTION', `options.stability.${name}`)
    }
  })

  test('a loss without curvature', async () => {
    const model = createModel({ inputs: 1, layers: [dense(1)] })
    const values = { inputs: [[1], [2]], targets: [[1], [2]] }
    const options = { loss: meanAbsoluteError(), epochs: 1 }
    expectError(
      () => train(model, values, { ...options, record: { stability: true } }),
      'ERR_OPTION',
      'record.stability',
      'meanAbsoluteError',
    )
    // The model is free afterwards.
    expect((await train(model, values, { ...options, record: { stability: false } })).reason).toBe('completed')
  })
})
