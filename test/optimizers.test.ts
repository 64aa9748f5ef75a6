import { describe, expect, test } from 'vitest'
import type { UpdateRuleOption } from '../src/index.js'
import {
  adam,
  adamw,
  classicalMomentum,
  cosine,
  createOptimizer,
  linear,
  sgd,
  sutskeverMomentum,
} from '../src/index.js'
import { expectClose } from './support/compare.js'
import { expectError } from './support/errors.js'

test('factories fill in every default and freeze', () => {
  const adamDefaults = {
    learningRate: 1e-3,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    amsgrad: false,
    biasCorrection: true,
  }
  expect(adam()).toEqual({ kind: 'adam', ...adamDefaults, weightDecay: 0 })
  expect(adamw()).toEqual({ kind: 'adamw', ...adamDefaults, weightDecay: 0.01 })
  expect(sgd()).toEqual({ kind: 'sgd', learningRate: 0.01, momentum: 0, dampening: 0, weightDecay: 0, nesterov: false })
  expect(classicalMomentum()).toEqual({
    kind: 'classicalMomentum',
    learningRate: 0.01,
    gradientScale: 1,
    momentum: 0.9,
    weightDecay: 0,
    nesterov: 'none',
  })
  expect(Object.isFrozen(adam())).toBe(true)
})

// Each with a rate that suits both functions.
const rules: [string, UpdateRuleOption][] = [
  ['sgd', sgd({ learningRate: 1e-3 })],
  ['sgd with momentum', sgd({ learningRate: 2e-4, momentum: 0.9 })],
  ['sgd with nesterov', sgd({ learningRate: 2e-4, momentum: 0.9, nesterov: true })],
  ['classicalMomentum', classicalMomentum({ learningRate: 2e-4 })],
  ['classicalMomentum lookahead', classicalMomentum({ learningRate: 2e-4, nesterov: 'lookahead' })],
  ['classicalMomentum literal', classicalMomentum({ learningRate: 1, gradientScale: 2e-4, nesterov: 'literal' })],
  ['adam', adam({ learningRate: 0.01 })],
  ['adam amsgrad', adam({ learningRate: 0.01, amsgrad: true })],
  ['adamw', adamw({ learningRate: 0.01, weightDecay: 1e-4 })],
]

const parabola = {
  f: (w: Float64Array) => 10 * (w[0] as number) ** 2 + 3 * (w[1] as number) ** 2,
  gradient: (w: Float64Array) => Float64Array.of(20 * (w[0] as number), 6 * (w[1] as number)),
}
const rosenbrock = {
  f: (w: Float64Array) => (1 - (w[0] as number)) ** 2 + 100 * ((w[1] as number) - (w[0] as number) ** 2) ** 2,
  gradient: (w: Float64Array) => {
    const [x, y] = [w[0] as number, w[1] as number]
    return Float64Array.of(-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x))
  },
}

describe.each(rules)('%s', (_, spec) => {
  const run = (gradient: (w: Float64Array) => Float64Array<ArrayBuffer>, start: number[], steps: number) => {
    const optimizer = createOptimizer(spec, [[2]], { dtype: 'float64' })
    let w = Float64Array.from(start)
    for (let k = 0; k < steps; k++) w = optimizer.step(w, gradient(optimizer.evaluationPoint(w)))
    return w
  }

  test('finds the bottom of a parabola', () => {
    const w = run(parabola.gradient, [1, -1], 2000)
    expect(parabola.f(w)).toBeLessThan(1e-3)
  })

  test('goes down the Rosenbrock function', () => {
    const w = run(rosenbrock.gradient, [-1, 1], 4000)
    expect(rosenbrock.f(w)).toBeLessThan(0.5)
  })

  test('a resumed run equals the unbroken one to the bit', () => {
    const whole = run(rosenbrock.gradient, [-1, 1], 40)
    const first = createOptimizer(spec, [[2]], { dtype: 'float64' })
    let w = Float64Array.of(-1, 1)
    for (let k = 0; k < 17; k++) w = first.step(w, rosenbrock.gradient(first.evaluationPoint(w)))
    const second = createOptimizer(spec, [[2]], { dtype: 'float64' })
    second.setState(JSON.parse(JSON.stringify(first.state())))
    for (let k = 17; k < 40; k++) w = second.step(w, rosenbrock.gradient(second.evaluationPoint(w)))
    expect(w).toEqual(whole)
    expect(second.updates).toBe(40)
  })
})

test('a number may follow a schedule', () => {
  const schedule = linear({ learningRate: 1, totalSteps: 4 })
  const optimizer = createOptimizer(sgd({ learningRate: schedule }), [[1]], { dtype: 'float64' })
  let w = Float64Array.of(0)
  const seen: number[] = []
  for (let k = 0; k < 6; k++) {
    const next = optimizer.step(w, Float64Array.of(-1))
    seen.push((next[0] as number) - (w[0] as number))
    w = next
  }
  expectClose(seen, [1, 0.75, 0.5, 0.25, 0, 0], 1e-15)
})

test('momentum may follow a schedule', () => {
  const rule = classicalMomentum({ learningRate: 1, momentum: sutskeverMomentum({ period: 1, maxMomentum: 0.9 }) })
  const optimizer = createOptimizer(rule, [1], { dtype: 'float64' })
  let w = Float64Array.of(0)
  for (let k = 0; k < 3; k++) w = optimizer.step(w, Float64Array.of(-1))
  // Momenta 1/2, 3/4, 5/6: p is 1, then 3/4 + 1, then 5/6·1.75 + 1.
  expectClose(w, [1 + 1.75 + (1.75 * 5) / 6 + 1], 1e-14)
})

test('shapes may be tensors of a model, and their order is the vector', () => {
  const optimizer = createOptimizer(sgd({ learningRate: 1 }), [{ shape: [2, 2] }, [1], 2])
  expect(optimizer.size).toBe(7)
  expect(optimizer.dtype).toBe('float32')
  expect(optimizer.step(new Float32Array(7), new Float32Array(7).fill(1))).toEqual(new Float32Array(7).fill(-1))
})

describe('misuse', () => {
  const make = () => createOptimizer(adam(), [[2]])
  const two = new Float32Array(2)
  const cases: [string, () => unknown, 'ERR_OPTION' | 'ERR_SHAPE' | 'ERR_DTYPE' | 'ERR_NOT_FINITE', ...string[]][] = [
    ['misspelt option', () => adam({ learningrate: 1 } as never), 'ERR_OPTION', "did you mean 'learningRate'"],
    ['range', () => adam({ beta1: 1 }), 'ERR_OPTION', 'adam beta1', '< 1'],
    ['range of a schedule', () => adam({ beta1: cosine({ learningRate: 1.5 }) }), 'ERR_OPTION', 'beta1', '1.5'],
    ['type', () => adam({ learningRate: '1' as never }), 'ERR_OPTION', 'a number or a schedule', "'1'"],
    ['NaN', () => sgd({ learningRate: Number.NaN }), 'ERR_OPTION', 'learningRate', 'NaN'],
    ['nesterov without momentum', () => sgd({ nesterov: true }), 'ERR_OPTION', 'nesterov'],
    ['nesterov word', () => classicalMomentum({ nesterov: 'ahead' as never }), 'ERR_OPTION', 'nesterov', "'ahead'"],
    ['kind', () => createOptimizer({ kind: 'adma' } as never, [1]), 'ERR_OPTION', "did you mean 'adam'"],
    ['no spec', () => createOptimizer('adam' as never, [1]), 'ERR_OPTION', 'optimizer'],
    ['shapes', () => createOptimizer(adam(), 3 as never), 'ERR_OPTION', 'shapes'],
    ['negative side', () => createOptimizer(adam(), [[2, -1]]), 'ERR_OPTION', 'shapes[0][1]'],
    ['nothing', () => createOptimizer(adam(), []), 'ERR_SHAPE', 'shapes'],
    ['dtype', () => createOptimizer(adam(), [1], { dtype: 'float16' as never }), 'ERR_OPTION', 'dtype', "'float16'"],
    [
      'schedule without length',
      () => createOptimizer(adam({ learningRate: cosine({ learningRate: 1 }) }), [1]),
      'ERR_OPTION',
      'learningRate.totalSteps',
    ],
    ['wrong length', () => make().step(two, new Float32Array(3)), 'ERR_SHAPE', 'gradients', 'length 2', 'length 3'],
    ['wrong dtype', () => make().step(two, new Float64Array(2) as never), 'ERR_DTYPE', 'gradients', 'Float32Array'],
    ['ordinary array', () => make().step([1, 2] as never, two), 'ERR_DTYPE', 'parameters'],
    ['wrong out', () => make().step(two, two, new Float32Array(1)), 'ERR_SHAPE', 'out'],
    [
      'state of another rule',
      () => make().setState({ kind: 'sgd', updates: 0, values: {} }),
      'ERR_OPTION',
      'state.kind',
    ],
    [
      'state without arrays',
      () => make().setState({ kind: 'adam', updates: 1, values: {} }),
      'ERR_OPTION',
      'state.values',
    ],
    [
      'state of another size',
      () => make().setState({ kind: 'adam', updates: 1, values: { m: [1], v: [1] } }),
      'ERR_SHAPE',
      'state.values.m',
    ],
  ]
  test.each(cases)('%s', (_, action, code, ...parts) => {
    expectError(action, code, ...parts)
  })
})
