import { describe, expect, test } from 'vitest'
import type { EpochRecord, OptimizerOption, StepRecord } from '../src/index.js'
import {
  adam,
  binaryCrossEntropy,
  classicalMomentum,
  cosine,
  createModel,
  createOptimizer,
  createTrainer,
  dense,
  dropout,
  linear,
  linearize,
  meanSquaredError,
  sgd,
  train,
  warmup,
} from '../src/index.js'
import { classifier, data, loss } from './support/classifier.js'
import { expectClose } from './support/compare.js'
import { classData, regressionData } from './support/data.js'
import { expectError } from './support/errors.js'

describe('a run', () => {
  test('timers keep ticking while a network trains, and an abort ends it', async () => {
    const model = createModel({ inputs: 2, layers: [dense(256, 'relu'), dense(256, 'relu'), dense(3)] })
    const run = train(model, data, { loss, batchSize: 300, epochs: 1_000_000 })
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    await new Promise((wake) => setTimeout(wake, 300))
    clearInterval(timer)
    run.abort()
    const history = await run
    expect(history.reason).toBe('aborted')
    expect(history.updates).toBeGreaterThan(10)
    // A blocked event loop ticks once; a free one nearly 300 times.
    expect(ticks).toBeGreaterThanOrEqual(20)
    expect(model.predict([0.5, 0.5]).data.every(Number.isFinite)).toBe(true)
  })
  test('adam without epsilon leaves weights that have no gradient where they are', async () => {
    const model = createModel({ inputs: 2, layers: [dense(5, 'relu'), dense(3)], seed: 3 })
    const history = await train(model, data, { loss, optimizer: adam({ epsilon: 0 }), epochs: 2 })
    expect(history.reason).toBe('completed')
    expect(model.parameters.every(Number.isFinite)).toBe(true)
  })
  test('learns, and tells its epochs', async () => {
    const model = classifier()
    const validation = classData(100, 2)
    const told: EpochRecord[] = []
    const run = train(model, data, {
      loss,
      optimizer: adam({ learningRate: 0.02 }),
      epochs: 30,
      validation,
      onEpoch: (epoch) => told.push(epoch),
    })
    const seen: EpochRecord[] = []
    for await (const epoch of run) seen.push(epoch)
    const history = await run
    expect(history.reason).toBe('completed')
    expect(history.epochs).toEqual(seen)
    expect(told).toEqual(seen)
    expect(seen.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 30 }, (_, k) => k + 1))
    expect(seen.map(({ updates }) => updates)).toEqual(Array.from({ length: 30 }, (_, k) => 10 * (k + 1)))
    expect(history.updates).toBe(300)
    const last = seen.at(-1) as EpochRecord
    expect(last.loss).toBeLessThan((seen[0] as EpochRecord).loss / 2)
    expect(last.validation?.accuracy).toBeGreaterThan(0.9)
    expect(last.learningRate).toBe(0.02)
    expect(last.samplesPerSecond).toBeGreaterThan(0)
    expect(last.seconds).toBeGreaterThan(0)
    const best = Math.min(...seen.map((epoch) => epoch.validation?.loss ?? Infinity))
    expect(seen[history.bestEpoch - 1]?.validation?.loss).toBe(best)
    expect(run.ended).toBe(true)
    // The outputs now mean what the loss says.
    expect(model.spec.task).toBe('softmax')
    const { data: p } = model.predict([0.3, 0.4], { output: 'probability' })
    expectClose([(p[0] as number) + (p[1] as number) + (p[2] as number)], [1], 1e-6)
  })

  test('an iteration that begins late, and a second one, see every epoch', async () => {
    const run = train(classifier(), data, { loss, epochs: 4 })
    await run
    for (let round = 0; round < 2; round++) {
      const epochs: number[] = []
      for await (const { epoch } of run) epochs.push(epoch)
      expect(epochs).toEqual([1, 2, 3, 4])
    }
  })

  test('the same seed gives the same bits, with any number of threads', async () => {
    const results: Float32Array[] = []
    for (const threads of [1, 2, 3, 'auto'] as const) {
      const model = createModel({ inputs: 2, layers: [dense(64, 'relu'), dropout(0.2), dense(64, 'relu'), dense(3)] })
      await train(model, data, { loss, epochs: 3, batchSize: 64, seed: 5, threads })
      results.push(model.parameters)
    }
    for (const result of results) expect(result).toEqual(results[0])
    const other = createModel({ inputs: 2, layers: [dense(64, 'relu'), dropout(0.2), dense(64, 'relu'), dense(3)] })
    await train(other, data, { loss, epochs: 3, batchSize: 64, seed: 6 })
    expect(other.parameters).not.toEqual(results[0])
  })

  test('the losses fall for every kind of task', async () => {
    const regression = regressionData(200)
    const model = createModel({ inputs: 2, layers: [dense(16, 'tanh'), dense(1)], dtype: 'float64' })
    const history = await train(model, regression, {
      loss: meanSquaredError(),
      optimizer: adam({ learningRate: 0.02 }),
      epochs: 60,
      validation: { fraction: 0.25 },
      metrics: ['r2', 'meanAbsoluteError', 'meanSquaredError', 'rootMeanSquaredError'],
    })
    const last = history.epochs.at(-1)
    expect(last?.validation?.r2).toBeGreaterThan(0.9)
    expectClose([last?.validation?.meanSquaredError ?? 0], [last?.validation?.loss ?? 1], 1e-12)
    expectClose([(last?.validation?.rootMeanSquaredError ?? 0) ** 2], [last?.validation?.loss ?? 1], 1e-12)
    // 150 rows in batches of 32: five updates an epoch.
    expect(history.updates).toBe(300)
    expect(model.spec.task).toBe('identity')
  })

  test('heads, each with its loss, weight and metrics', async () => {
    const model = createModel({
      inputs: 2,
      layers: [dense(16, 'tanh')],
      heads: { sector: [dense(3)], upper: [dense(1)] },
    })
    const targets = { sector: data.targets, upper: data.inputs.map(([, y = 0]) => [y > 0 ? 1 : 0]) }
    const history = await train(
      model,
      { inputs: data.inputs, targets },
      {
        loss: { sector: loss, upper: { loss: binaryCrossEntropy(), weight: 0.5 } },
        optimizer: adam({ learningRate: 0.02 }),
        epochs: 20,
        validation: { fraction: 0.2 },
        metrics: { upper: ['accuracy', 'auc', 'f1'] },
      },
    )
    const heads = history.epochs.at(-1)?.validation?.heads
    expect(heads?.sector?.accuracy).toBeGreaterThan(0.8)
    expect(heads?.upper?.accuracy).toBeGreaterThan(0.9)
    expect(heads?.upper?.auc).toBeGreaterThan(0.9)
    expect(heads?.upper?.f1).toBeGreaterThan(0.9)
    const total = (heads?.sector?.loss ?? 0) + 0.5 * (heads?.upper?.loss ?? 0)
    expectClose([history.epochs.at(-1)?.validation?.loss ?? 0], [total], 1e-6)
    expect(model.spec.task).toEqual({ sector: 'softmax', upper: 'sigmoid' })
  })

  test("one epoch is what a loop of one's own computes", async () => {
    const inputs = data.inputs.slice(0, 70)
    const targets = data.targets.slice(0, 70)
    for (const rule of [
      sgd({ learningRate: 0.1, momentum: 0.9 }),
      adam(),
      classicalMomentum({ nesterov: 'lookahead' }),
    ]) {
      const model = classifier('float64')
      const twin = classifier('float64')
      const options = { loss, optimizer: rule as OptimizerOption, epochs: 2, batchSize: 32, shuffle: false, l2: 0.01 }
      const history = await train(model, { inputs, targets }, options)
      const optimizer = createOptimizer(rule, twin.tensors, { dtype: 'float64' })
      const losses: number[] = []
      for (let step = 0; step < 6; step++) {
        const rows = [32 * (step % 3), Math.min(70, 32 * (step % 3) + 32)] as const
        const w = twin.parameters
        twin.setParameters(optimizer.evaluationPoint(w))
        const batch = { inputs: inputs.slice(...rows), targets: targets.slice(...rows) }
        const point = linearize(twin, batch, loss, { l2: 0.01 })
        losses.push((point.loss * (rows[1] - rows[0])) / 70)
        twin.setParameters(optimizer.step(w, point.gradient()))
      }
      expectClose(model.parameters, twin.parameters, 1e-12, rule.kind)
      const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0)
      const expected = [sum(losses.slice(0, 3)), sum(losses.slice(3))]
      expectClose(
        history.epochs.map((epoch) => epoch.loss),
        expected,
        1e-12,
        'loss',
      )
    }
  })

  test('schedules last as long as the run', async () => {
    const rates: number[] = []
    const run = train(classifier(), data, {
      loss,
      optimizer: sgd({ learningRate: linear({ learningRate: 1 }) }),
      epochs: 5,
      batchSize: 60,
      onEpoch: ({ learningRate }) => rates.push(learningRate),
    })
    await run
    // 25 updates; the last of each epoch has t = 4, 9, ...
    expectClose(
      rates,
      [4, 9, 14, 19, 24].map((t) => 1 - t / 25),
      1e-12,
    )
    const warm = await train(classifier(), data, {
      loss,
      optimizer: sgd({ learningRate: warmup({ warmupSteps: 5, after: cosine({ learningRate: 1 }) }) }),
      epochs: 5,
      batchSize: 60,
    })
    const expected = [4, 9, 14, 19, 24].map((t) => (t < 5 ? t / 5 : (1 + Math.cos((Math.PI * (t - 5)) / 20)) / 2))
    expectClose(
      warm.epochs.map(({ learningRate }) => learningRate),
      expected,
      1e-12,
    )
  })

  test('steps are told, the last of them surely', async () => {
    const steps: StepRecord[] = []
    await train(classifier(), data, { loss, epochs: 2, onStep: { every: 3, callback: (step) => steps.push(step) } })
    expect(steps.length).toBeGreaterThan(0)
    for (const [index, step] of steps.entries()) {
      expect(step.updates % 3).toBe(0)
      expect(step.loss).toBeGreaterThan(0)
      if (index > 0) expect(step.updates).toBeGreaterThan((steps[index - 1] as StepRecord).updates)
    }
  })

  test('sample weights of 0 leave samples out', async () => {
    const half = { inputs: data.inputs.slice(0, 150), targets: data.targets.slice(0, 150) }
    const sampleWeights = data.targets.map((_, row) => (row < 150 ? 1 : 0))
    const [a, b] = [classifier('float64'), classifier('float64')]
    const summed = { ...loss, reduction: 'sum' as const }
    const options = { loss: summed, optimizer: sgd({ learningRate: 1e-3 }), shuffle: false, epochs: 1 }
    await train(a, { ...data, sampleWeights }, { ...options, batchSize: 300 })
    await train(b, half, { ...options, batchSize: 150 })
    expectClose(a.parameters, b.parameters, 1e-12)
  })
})

describe('the end of a run', () => {
  const endless = { loss, epochs: 100_000, batchSize: 8 }

  test('abort: a reason, whole parameters, a usable model', async () => {
    const model = classifier()
    const run = train(model, data, endless)
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(model.busy).toBe(true)
    expect(model.parameters.every(Number.isFinite)).toBe(true)
    expect(model.predict([0.1, 0.2]).data.length).toBe(3)
    expectError(() => train(model, data, endless), 'ERR_BUSY')
    expectError(() => model.setParameters(model.parameters), 'ERR_BUSY')
    expectError(() => model.dispose(), 'ERR_BUSY')
    expectError(() => run.state(), 'ERR_STATE', 'ended')
    run.abort()
    const history = await run
    expect(history.reason).toBe('aborted')
    expect(model.busy).toBe(false)
    run.abort()
    expect((await train(model, data, { loss, epochs: 1 })).reason).toBe('completed')
    model.dispose()
  })

  test('a signal, before and during', async () => {
    const model = classifier()
    const before = model.parameters
    const early = await train(model, data, { ...endless, signal: AbortSignal.abort() })
    expect(early).toMatchObject({ reason: 'aborted', epochs: [], updates: 0, bestEpoch: 0 })
    expect(model.parameters).toEqual(before)
    expect(model.busy).toBe(false)
    const controller = new AbortController()
    const run = train(model, data, { ...endless, signal: controller.signal })
    setTimeout(() => controller.abort(), 20)
    expect((await run).reason).toBe('aborted')
    expect(model.parameters).not.toEqual(before)
  })

  test('dispose aborts', async () => {
    const run = train(classifier(), data, endless)
    run[Symbol.dispose]()
    expect((await run).reason).toBe('aborted')
  })

  test('early stopping restores the best epoch', async () => {
    // A rate so large that the loss soon grows again.
    const model = classifier('float64')
    const validation = classData(60, 5)
    const history = await train(
      model,
      { inputs: data.inputs.slice(0, 20), targets: data.targets.slice(0, 20) },
      {
        loss,
        optimizer: adam({ learningRate: 0.3 }),
        epochs: 500,
        validation,
        earlyStopping: { patience: 4, minDelta: 0.001 },
      },
    )
    expect(history.reason).toBe('earlyStopped')
    const losses = history.epochs.map((epoch) => epoch.validation?.loss ?? Infinity)
    expect(history.epochs.length).toBe(history.bestEpoch + 4)
    expect(history.epochs[history.bestEpoch - 1]?.best).toBe(true)
    const restored = linearize(model, validation, loss).loss
    expectClose([restored], [losses[history.bestEpoch - 1] as number], 1e-12)
  })

  test('early stopping by a metric, larger is better', async () => {
    const history = await train(classifier(), data, {
      loss,
      optimizer: adam({ learningRate: 0.05 }),
      epochs: 400,
      validation: { fraction: 0.2 },
      earlyStopping: { monitor: 'accuracy', patience: 3 },
    })
    expect(history.reason).toBe('earlyStopped')
    const accuracies = history.epochs.map((epoch) => epoch.validation?.accuracy ?? 0)
    expect(accuracies[history.bestEpoch - 1]).toBe(Math.max(...accuracies))
  })

  test('NaN: the step, the place, and the last finite parameters', async () => {
    const model = createModel({ inputs: 2, layers: [dense(4, 'relu'), dense(1)] })
    const history = await train(model, regressionData(100), {
      loss: meanSquaredError(),
      optimizer: sgd({ learningRate: 1e30 }),
      epochs: 50,
    })
    expect(history.reason).toBe('notFinite')
    expect(history.notFinite?.step).toBeGreaterThan(0)
    expect(['loss', ...model.tensors.map(({ name }) => name)]).toContain(history.notFinite?.where)
    expect(model.parameters.every(Number.isFinite)).toBe(true)
  })

  test.each(['onEpoch', 'onStep'] as const)('an error of %s stops the run and comes out of it', async (name) => {
    const failure = new Error('mine')
    const callback = (): never => {
      throw failure
    }
    const options = name === 'onEpoch' ? { onEpoch: callback } : { onStep: { every: 1, callback } }
    const model = classifier()
    const run = train(model, data, { ...endless, ...options })
    await expect(run).rejects.toBe(failure)
    await expect(async () => {
      for await (const _ of run);
    }).rejects.toBe(failure)
    expect(model.busy).toBe(false)
  })

  test('the failure of an asynchronous callback too', async () => {
    const failure = new Error('later')
    const run = train(classifier(), data, { ...endless, onEpoch: async () => Promise.reject(failure) })
    await expect(run).rejects.toBe(failure)
  })

  test.each(['onEpoch', 'onStep'] as const)('a failure of an asynchronous %s after the end', async (name) => {
    const failure = new Error('last')
    const atOnce = async (): Promise<never> => {
      throw failure
    }
    const later = async (): Promise<never> => {
      await new Promise((resolve) => setTimeout(resolve, 100))
      throw failure
    }
    for (const callback of [atOnce, later]) {
      const options = name === 'onEpoch' ? { onEpoch: callback } : { onStep: { every: 1, callback } }
      const model = classifier()
      const run = train(model, data, { loss, epochs: 1, ...options })
      await expect(run).rejects.toBe(failure)
      expect(run.ended).toBe(true)
      await expect(async () => {
        for await (const _ of run);
      }).rejects.toBe(failure)
    }
  })

  test('asynchronous callbacks are over when the run is', async () => {
    let over = 0
    const onEpoch = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, 50))
      over++
    }
    const model = classifier()
    const history = await train(model, data, { loss, epochs: 3, onEpoch })
    expect([history.reason, history.epochs.length, over]).toEqual(['completed', 3, 3])
  })
})

describe('createTrainer', () => {
  test('steps like a run, with all numbers', async () => {
    const model = classifier('float64')
    const twin = classifier('float64')
    const optimizer = adam({ learningRate: 0.01 })
    using trainer = createTrainer(twin, { loss, optimizer, l2: 0.001 })
    for (let step = 0; step < 3; step++) {
      const rows = [100 * step, 100 * step + 100] as const
      const batch = { inputs: data.inputs.slice(...rows), targets: data.targets.slice(...rows) }
      const point = linearize(createFrom(twin.parameters), batch, loss, { l2: 0.001 })
      const result = trainer.step(batch)
      expectClose([result.loss], [point.loss], 1e-12)
      expectClose(result.lossPerSample, point.lossPerSample, 1e-12)
      expect(result).toMatchObject({ learningRate: 0.01, updates: step + 1, finite: true })
    }
    await train(model, data, { loss, optimizer, l2: 0.001, batchSize: 100, epochs: 1, shuffle: false })
    expectClose(twin.parameters, model.parameters, 1e-13)
  })

  function createFrom(parameters: Float64Array) {
    const copy = classifier('float64')
    copy.setParameters(parameters)
    return copy
  }

  test('state goes round', () => {
    const batch = { inputs: data.inputs.slice(0, 20), targets: data.targets.slice(0, 20) }
    const model = classifier()
    const trainer = createTrainer(model, { loss })
    trainer.step(batch)
    const [state, parameters] = [trainer.state(), model.parameters]
    trainer.step(batch)
    const expected = model.parameters
    trainer.dispose()
    const again = createTrainer(model, { loss })
    again.setState(state)
    model.setParameters(parameters)
    expect(again.step(batch).updates).toBe(2)
    expect(model.parameters).toEqual(expected)
    again.dispose()
    expectError(() => again.step(batch), 'ERR_STATE')
  })

  test('a step that is not finite changes nothing', () => {
    const model = createModel({ inputs: 1, layers: [dense(1)] })
    model.setParameters([3e38, 0])
    using trainer = createTrainer(model, { loss: meanSquaredError() })
    const result = trainer.step({ inputs: [[3e38]], targets: [[0]] })
    expect(result.finite).toBe(false)
    expect([...model.parameters]).toEqual([Math.fround(3e38), 0])
  })

  test('schedules need a length', () => {
    const optimizer = sgd({ learningRate: cosine({ learningRate: 1 }) })
    expectError(() => createTrainer(classifier(), { loss, optimizer }), 'ERR_OPTION', 'learningRate.totalSteps')
    using trainer = createTrainer(classifier(), { loss, optimizer, totalSteps: 10 })
    expect(trainer.step({ inputs: [[1, 2]], targets: [0] }).learningRate).toBe(1)
  })
})
