// Combiners and accumulators of task gradients: what they refuse, in which words; the accumulator's sums.
import { describe, expect, test } from 'vitest'
import type { CreateTaskCombinerOptions, TaskMethodOption } from '../src/index.js'
import {
  caGrad,
  createTaskAccumulator,
  createTaskCombiner,
  gCond,
  gradNorm,
  mgda,
  pcGrad,
  samGs,
  weightedSum,
} from '../src/index.js'
import { expectRelative } from './support/compare.js'
import { expectError } from './support/errors.js'

function gradientsOf(tasks: number, size: number, seed: number): Float64Array[] {
  return Array.from({ length: tasks }, (_, i) =>
    Float64Array.from({ length: size }, (_, k) => Math.sin(9 * seed + 5 * i + k)),
  )
}

describe('misuse', () => {
  const rows = gradientsOf(2, 3, 1)
  const options = { tasks: 2, parameterCount: 3, dtype: 'float64' } as const
  const wrong =
    (method: unknown, given: unknown = options) =>
    () =>
      createTaskCombiner(method as TaskMethodOption, given as CreateTaskCombinerOptions)

  test('of factories', () => {
    expectError(() => caGrad({ c: 1 }), 'ERR_OPTION', 'caGrad c', '1')
    expectError(() => pcGrad({ order: 'indx' as 'index' }), 'ERR_OPTION', 'pcGrad order', "did you mean 'index'")
    expectError(() => pcGrad({ order: 'index', seed: 3 }), 'ERR_OPTION', 'pcGrad seed')
    expectError(() => pcGrad({ order: [[1], [0]], includeSelf: true }), 'ERR_OPTION', 'pcGrad includeSelf')
    expectError(() => mgda({ tolerance: 1 }), 'ERR_OPTION', 'mgda tolerance', 'exact')
    expectError(() => mgda({ direction: 'unscaled' }), 'ERR_OPTION', 'mgda direction')
    expectError(() => gradNorm({ initialLosses: [1, -1] }), 'ERR_OPTION', 'gradNorm initialLosses[1]')
    expectError(() => gradNorm({ elements: { first: 0, count: 0 } }), 'ERR_OPTION', 'gradNorm elements.count')
    expectError(() => gradNorm({ elements: { first: 0 } as { first: number; count: number } }), 'ERR_OPTION', 'count')
    expectError(() => samGs({ gama: 1 } as object), 'ERR_OPTION', "did you mean 'gamma'")
    expectError(() => gCond({ thresholds: { main: -0.9 } }), 'ERR_OPTION', 'gCond thresholds.critical', 'main')
    expectError(() => gCond({ mode: 'zones', remapPower: 3 }), 'ERR_OPTION', 'gCond remapPower')
    expectError(() => gCond({ lion: { scal: 1 } as object }), 'ERR_OPTION', "did you mean 'scale'")
    expectError(() => weightedSum({ weights: ['a'] as unknown as number[] }), 'ERR_OPTION', 'weightedSum weights[0]')
  })

  test('of createTaskCombiner', () => {
    expectError(wrong({ kind: 'pcgrad' }), 'ERR_OPTION', 'method.kind', "did you mean 'pcGrad'")
    expectError(wrong(null), 'ERR_OPTION', 'method')
    expectError(wrong(pcGrad(), { ...options, tasks: 0 }), 'ERR_OPTION', 'tasks', '0')
    expectError(wrong(pcGrad(), { ...options, parameterCount: 1.5 }), 'ERR_OPTION', 'parameterCount')
    expectError(wrong(pcGrad(), { ...options, dtype: 'float16' }), 'ERR_OPTION', 'dtype')
    expectError(wrong(pcGrad(), { ...options, tensors: [1, 1] }), 'ERR_SHAPE', 'tensors', '3')
    expectError(wrong(pcGrad({ order: [[1], [2]] })), 'ERR_OPTION', 'pcGrad order[1]', '2')
    expectError(wrong(pcGrad({ order: [[1]] })), 'ERR_SHAPE', 'pcGrad order')
    expectError(wrong(weightedSum({ weights: [1, 2, 3] })), 'ERR_SHAPE', 'weightedSum weights')
    expectError(wrong(gradNorm({ initialLosses: [1] })), 'ERR_SHAPE', 'gradNorm initialLosses')
    expectError(wrong(gradNorm({ elements: { first: 2, count: 2 } })), 'ERR_SHAPE', 'elements')
  })

  test('of combine', () => {
    const combiner = createTaskCombiner(gradNorm(), options)
    const combine =
      (gradients: unknown, given: object = { losses: [1, 1] }) =>
      () =>
        combiner.combine(gradients as Float64Array[], given)
    expectError(combine([rows[0]]), 'ERR_SHAPE', 'gradients')
    expectError(combine([rows[0], new Float32Array(3)]), 'ERR_DTYPE', 'gradients[1]')
    expectError(combine([rows[0], new Float64Array(4)]), 'ERR_SHAPE', 'gradients[1]', '3')
    expectError(combine(new Float64Array(5)), 'ERR_SHAPE', 'gradients', '6')
    expectError(combine('all'), 'ERR_OPTION', 'gradients')
    expectError(combine(rows, {}), 'ERR_OPTION', 'losses', 'gradNorm')
    expectError(combine(rows, { losses: [1] }), 'ERR_SHAPE', 'losses')
    expectError(combine(rows, { losses: [1, -1] }), 'ERR_OPTION', 'losses[1]')
    expectError(combine(rows, { losses: [1, 1], out: rows[0] }), 'ERR_OPTION', 'out', 'memory')
    expectError(combine(rows, { los: 1 }), 'ERR_OPTION', 'los')
    expect(combiner.steps).toBe(0)
  })

  test('of a state', () => {
    const combiner = createTaskCombiner(samGs(), options)
    const state = combiner.state()
    expectError(() => combiner.setState({ ...state, kind: 'gCond' }), 'ERR_OPTION', 'state.kind')
    expectError(() => combiner.setState({ ...state, values: {} }), 'ERR_OPTION', 'state.values.momentum')
    const values = { ...state.values, variance: [1, 2] }
    expectError(() => combiner.setState({ ...state, values }), 'ERR_SHAPE', 'state.values.variance')
    expectError(() => combiner.setState({ ...state, steps: -1 }), 'ERR_OPTION', 'state.steps')
  })

  test('after dispose', () => {
    const combiner = createTaskCombiner(pcGrad(), options)
    combiner[Symbol.dispose]()
    combiner.dispose()
    expectError(() => combiner.combine(rows), 'ERR_STATE', 'disposed')
    expectError(() => combiner.state(), 'ERR_STATE', 'disposed')
    expectError(() => combiner.steps, 'ERR_STATE', 'disposed')
  })
})

describe('accumulator', () => {
  const options = { tasks: 2, parameterCount: 3, dtype: 'float64' } as const
  const batches = [1, 2, 3, 4].map((seed) => gradientsOf(2, 3, seed))
  const of = (batch: number, task: number) => (batches[batch] as Float64Array[])[task] as Float64Array

  test('sequential: the mean over micro-batches, weighted', () => {
    const sums = createTaskAccumulator({ ...options, microBatches: 4, weights: [1, 0.5] })
    for (const batch of batches) sums.add(batch)
    const mean = (task: number, weight: number) =>
      of(0, task).map((_, k) => (weight * [0, 1, 2, 3].reduce((sum, b) => sum + (of(b, task)[k] as number), 0)) / 4)
    expectRelative(sums.gradients[0] ?? [], mean(0, 1), 1e-14)
    expectRelative(sums.gradients[1] ?? [], mean(1, 0.5), 1e-14)
    expect(sums.complete).toBe(true)
    expectError(() => sums.add(batches[0] ?? []), 'ERR_STATE', 'reset')
    sums.reset()
    expect([sums.added, ...(sums.gradients[1] ?? [])]).toEqual([0, 0, 0, 0])
  })

  test('stochastic: each micro-batch is of one task', () => {
    const sums = createTaskAccumulator({ ...options, microBatches: 4, mode: 'stochastic' })
    const visited: (number | undefined)[] = []
    for (let batch = 0; batch < 4; batch++) {
      visited.push(sums.task)
      sums.add(of(batch, sums.task ?? 0))
    }
    expect([...visited, sums.task]).toEqual([0, 0, 1, 1, undefined])
    expectRelative(
      sums.gradients[0] ?? [],
      of(0, 0).map((x, k) => (x + (of(1, 0)[k] as number)) / 2),
      1e-14,
    )
    expectRelative(
      sums.gradients[1] ?? [],
      of(2, 1).map((x, k) => (x + (of(3, 1)[k] as number)) / 2),
      1e-14,
    )
  })

  test('misuse', () => {
    const make = (given: object) => () => createTaskAccumulator({ ...options, microBatches: 4, ...given })
    expectError(make({ microBatches: 3, mode: 'stochastic' }), 'ERR_OPTION', 'microBatches', 'multiple')
    expectError(make({ mode: 'random' }), 'ERR_OPTION', 'mode')
    expectError(make({ weights: [1] }), 'ERR_SHAPE', 'weights')
    const sums = createTaskAccumulator({ ...options, microBatches: 4 })
    expectError(() => sums.add([new Float64Array(3)]), 'ERR_SHAPE', 'gradients')
    expectError(() => sums.add([new Float64Array(3), new Float64Array(2)]), 'ERR_SHAPE', 'gradients[1]')
    expect(sums.added).toBe(0)
  })
})
