// The addon's combiner of task gradients with arguments that the package would never pass: each call ends with a result or
// with an error of ours, and the process lives.
import { describe, expect, test } from 'vitest'
import { KrylovError } from '../src/internal/errors.js'
import { addon } from '../src/internal/native.js'
import { caGrad, gCond, gradNorm, mgda, pcGrad, samGs, weightedSum } from '../src/multitask/methods.js'
import { adam } from './support/binding.js'
import { garbage, Planted } from './support/garbage.js'

const native = addon()
const methods = [
  weightedSum({ weights: [1, 2] }),
  pcGrad({ order: [[1], [0]] }),
  mgda({ scaling: 'loss' }),
  caGrad(),
  gradNorm({ initialLosses: [1, 2], elements: { first: 0, count: 2 } }),
  samGs(),
  gCond({ lion: {} }),
]
type Call = { readonly name: string; readonly args: () => unknown[]; readonly run: (list: unknown[]) => unknown }

const combinerOf = (method: object) => new native.TaskCombiner(method, 2, 3, [1, 2], 'float64')
const calls: Call[] = methods.flatMap((method) => [
  {
    name: `${method.kind}: constructor`,
    args: () => [structuredClone(method), 2, 3, [1, 2], 'float64'],
    run: (list) => Reflect.construct(native.TaskCombiner, list),
  },
  {
    name: `${method.kind}: combine`,
    args: () => [
      [Float64Array.of(1, 2, 3), Float64Array.of(-1, 1, 0)],
      Float64Array.of(1, 2),
      Float64Array.of(1, 1, 1),
      new Float64Array(3),
    ],
    run: (list) => combinerOf(method).combine(...(list as Parameters<ReturnType<typeof combinerOf>['combine']>)),
  },
])
calls.push(
  {
    name: 'getState',
    args: () => ['momentum'],
    run: ([name]) => combinerOf(samGs()).getState(name as string),
  },
  {
    name: 'setState',
    args: () => ['variance', Float64Array.of(1)],
    run: ([name, values]) => combinerOf(samGs()).setState(name as string, values as Float64Array),
  },
  {
    name: 'setSteps',
    args: () => [3],
    run: ([steps]) => combinerOf(samGs()).setSteps(steps as number),
  },
)

/** Paths of all values inside a list of arguments, functions to replace them. */
function placesOf(holder: object): ((value: unknown) => void)[] {
  return Object.entries(holder).flatMap(([key, value]) => {
    const inside = Array.isArray(value) || Object.getPrototypeOf(value ?? 0) === Object.prototype
    const own = (other: unknown): void => {
      ;(holder as Record<string, unknown>)[key] = other
    }
    return [own, ...(inside ? placesOf(value as object) : [])]
  })
}

describe.each(calls)('$name', ({ args, run }) => {
  test('takes what the package passes', () => {
    expect(() => run(args())).not.toThrow()
  })

  test('survives what it does not', () => {
    const places = placesOf(args()).length
    for (let place = 0; place < places; place++) {
      for (const make of garbage) {
        const list = args()
        placesOf(list)[place]?.(make())
        try {
          run(list)
        } catch (error) {
          if (!(error instanceof KrylovError) && !(error instanceof Planted)) throw error
        }
      }
    }
    for (let count = 0; count < args().length; count++) {
      expect(() => run(args().slice(0, count))).toThrow(KrylovError)
    }
  })
})

test('states of any numbers, and steps beyond counting', () => {
  for (const method of methods) {
    const combiner = combinerOf(method)
    for (const value of [NaN, Infinity, -1, 1e308, 7]) {
      for (const name of combiner.stateNames) combiner.setState(name, combiner.getState(name).fill(value))
      combiner.setSteps(2 ** 53 - 1)
      const rows = [Float64Array.of(1, 2, 3), Float64Array.of(-1, 1, 0)]
      const out = new Float64Array(3)
      expect(() => combiner.combine(rows, Float64Array.of(1, 2), Float64Array.of(1, 1, 1), out)).not.toThrow()
    }
  }
})

test('methods of other objects and disposed ones are refused', () => {
  const combiner = combinerOf(samGs())
  // Node itself refuses an object that is none of its own; one of another class reaches the binding.
  expect(() => Reflect.apply(combiner.combine, {}, [])).toThrow()
  const other = new native.Optimizer(adam(), 3, 'float64')
  expect(() => Reflect.apply(combiner.combine, other, [])).toThrow()
  combiner.dispose()
  combiner.dispose()
  expect(() => combiner.getState('momentum')).toThrow(KrylovError)
  expect(() => combiner.steps).toThrow(KrylovError)
})
