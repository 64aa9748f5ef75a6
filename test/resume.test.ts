import { describe, expect, test } from 'vitest'
import type { OptimizerOption, TrainRun } from '../src/index.js'
import {
  adam,
  classicalMomentum,
  cosine,
  createModel,
  createTrainer,
  dense,
  dropout,
  sgd,
  train,
} from '../src/index.js'
import { classifier, data, loss } from './support/classifier.js'
import { classData } from './support/data.js'
import { expectError } from './support/errors.js'

describe('state', () => {
  test('a run that early stopping ended goes on with whole epochs', async () => {
    const model = classifier()
    const options = { loss, optimizer: sgd({ learningRate: 0.1 }), batchSize: 50, validation: classData(60, 2) }
    const run = train(model, data, { ...options, epochs: 50, earlyStopping: { patience: 1, minDelta: 1e9 } })
    const stopped = await run
    expect(stopped.reason).toBe('earlyStopped')
    const done = stopped.epochs.length
    const more = await train(model, data, { ...options, epochs: done + 2, resume: run.state() })
    expect(more.epochs.map(({ epoch, updates }) => [epoch, updates])).toEqual([
      [done + 1, 6 * (done + 1)],
      [done + 2, 6 * (done + 2)],
    ])
  })

  test("a trainer takes over a state's seed: the same units are dropped", () => {
    const make = () => createModel({ inputs: 2, layers: [dense(16, 'tanh'), dropout(0.5), dense(3)], seed: 2 })
    const options = { loss, optimizer: sgd({ learningRate: 0.1 }) }
    const [a, b] = [make(), make()]
    const first = createTrainer(a, { ...options, seed: 5 })
    const second = createTrainer(b, options)
    first.step(data)
    b.setParameters(a.parameters)
    second.setState(first.state())
    expect(second.step(data).loss).toBe(first.step(data).loss)
    expect(b.parameters).toEqual(a.parameters)
  })

  const rules: [string, OptimizerOption][] = [
    ['sgd', sgd({ learningRate: 0.05, momentum: 0.9 })],
    ['classicalMomentum', classicalMomentum({ learningRate: 0.05, nesterov: 'lookahead' })],
    ['adam', adam({ learningRate: cosine({ learningRate: 0.01, totalSteps: 100 }) })],
    ['adam amsgrad', adam({ learningRate: 0.01, amsgrad: true })],
    ['adamw', { kind: 'adamw', learningRate: 0.01 }],
  ]
  const make = () => createModel({ inputs: 2, layers: [dense(9, 'relu'), dropout(0.3), dense(3)], seed: 2 })

  test.each(rules)('a run in two parts ends in the same bits: %s', async (_, optimizer) => {
    const whole = make()
    const options = { loss, optimizer, batchSize: 32, seed: 3 }
    const expected = await train(whole, data, { ...options, epochs: 5 })
    const parts = make()
    const first = train(parts, data, { ...options, epochs: 2 })
    await first
    const state = JSON.parse(JSON.stringify(first.state(), typedArraysAsLists))
    const again = make()
    again.setParameters(parts.parameters)
    const second = await train(again, data, { loss, optimizer, batchSize: 32, epochs: 5, resume: state })
    expect(again.parameters).toEqual(whole.parameters)
    expect(second.epochs.map(({ epoch, loss: value }) => [epoch, value])).toEqual(
      expected.epochs.slice(2).map(({ epoch, loss: value }) => [epoch, value]),
    )
    expect(second.updates).toBe(expected.updates)
  })

  test('also when the first part was aborted in the middle of an epoch', async () => {
    const options = { loss, optimizer: adam(), batchSize: 4, seed: 3, epochs: 40 }
    const whole = make()
    const expected = await train(whole, data, options)
    const parts = make()
    const run: TrainRun = train(parts, data, { ...options, onStep: { every: 100, callback: () => run.abort() } })
    const first = await run
    const second = await train(parts, data, { ...options, resume: run.state() })
    expect(parts.parameters).toEqual(whole.parameters)
    expect([...first.epochs, ...second.epochs].map(({ loss: value }) => value)).toEqual(
      expected.epochs.map(({ loss: value }) => value),
    )
  })

  test('what does not fit is refused', async () => {
    const model = make()
    const run = train(model, data, { loss, epochs: 1 })
    await run
    const state = run.state()
    expectError(
      () => train(model, data, { loss, optimizer: sgd(), resume: state }),
      'ERR_OPTION',
      'resume.optimizer.kind',
    )
    expectError(() => train(model, data, { loss, seed: 9, resume: state }), 'ERR_OPTION', 'seed')
    expectError(() => train(classifier(), data, { loss, resume: state }), 'ERR_SHAPE', 'resume.optimizer.values')
  })
})

function typedArraysAsLists(_: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value
}
