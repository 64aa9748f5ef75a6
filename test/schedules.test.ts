import { describe, expect, test } from 'vitest'
import { constant, cosine, linear, polynomial, scheduleValue, sutskeverMomentum, warmup } from '../src/index.js'
import { expectClose } from './support/compare.js'
import { expectError } from './support/errors.js'

test('factories fill in every default and freeze', () => {
  expect(constant({ learningRate: 2 })).toEqual({ kind: 'constant', learningRate: 2 })
  const line = { kind: 'polynomial', learningRate: 2, endLearningRate: 0, power: 1, totalSteps: 'run' }
  expect(linear({ learningRate: 2 })).toEqual(line)
  expect(polynomial({ learningRate: 2 })).toEqual(line)
  expect(cosine({ learningRate: 2 })).toEqual({
    kind: 'cosine',
    learningRate: 2,
    minLearningRate: 0,
    totalSteps: 'run',
  })
  expect(sutskeverMomentum()).toEqual({ kind: 'sutskeverMomentum', maxMomentum: 0.99, period: 250 })
  expect(warmup({ warmupSteps: 5, after: 0.5 })).toEqual({
    kind: 'warmup',
    warmupSteps: 5,
    startFactor: 0,
    after: { kind: 'constant', learningRate: 0.5 },
  })
  expect(Object.isFrozen(cosine({ learningRate: 2 }))).toBe(true)
})

describe('values', () => {
  test('a number is constant', () => {
    expect(scheduleValue(0.25, 1000)).toBe(0.25)
  })

  test('the length of the run', () => {
    const line = linear({ learningRate: 1 })
    expect(scheduleValue(line, 25, { totalSteps: 100 })).toBe(0.75)
    expectError(() => scheduleValue(line, 25), 'ERR_OPTION', 'totalSteps')
    // A warm-up takes its steps off what follows.
    const warm = warmup({ warmupSteps: 20, after: linear({ learningRate: 1 }) })
    const found = [0, 10, 20, 60, 100, 200].map((t) => scheduleValue(warm, t, { totalSteps: 100 }))
    expectClose(found, [0, 0.5, 1, 0.5, 0, 0], 1e-15)
  })

  test('cosine stays at its end', () => {
    const wave = cosine({ learningRate: 1, minLearningRate: 0.1, totalSteps: 10 })
    expectClose(
      [0, 5, 10, 15].map((t) => scheduleValue(wave, t)),
      [1, 0.55, 0.1, 0.1],
      1e-15,
    )
  })

  test('survive JSON', () => {
    const spec = warmup({ warmupSteps: 3, startFactor: 0.1, after: cosine({ learningRate: 1, totalSteps: 9 }) })
    const again = JSON.parse(JSON.stringify(spec))
    for (let t = 0; t < 15; t++) expect(scheduleValue(again, t)).toBe(scheduleValue(spec, t))
  })
})

describe('misuse', () => {
  const cases: [string, () => unknown, ...string[]][] = [
    ['misspelt', () => cosine({ learningRate: 1, totalstep: 3 } as never), "did you mean 'totalSteps'"],
    ['missing', () => cosine({} as never), 'cosine learningRate', 'undefined'],
    ['steps', () => cosine({ learningRate: 1, totalSteps: 1.5 }), 'totalSteps', '1.5'],
    ['steps as text', () => cosine({ learningRate: 1, totalSteps: 'all' as never }), "'run'", "'all'"],
    ['power', () => polynomial({ learningRate: 1, power: 0 }), 'power'],
    ['momentum', () => sutskeverMomentum({ maxMomentum: 1 }), 'maxMomentum'],
    ['after', () => warmup({ warmupSteps: 1 } as never), 'after'],
    ['kind', () => scheduleValue({ kind: 'cosinus', learningRate: 1 } as never, 0), "did you mean 'cosine'"],
    ['t', () => scheduleValue(1, -1), 't: expected', '-1'],
  ]
  test.each(cases)('%s', (_, action, ...parts) => {
    expectError(action, 'ERR_OPTION', ...parts)
  })
})
