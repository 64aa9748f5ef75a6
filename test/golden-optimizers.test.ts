// Update rules fed with given gradients, against golden parameters (test/golden/README.md).
import { describe, expect, test } from 'vitest'
import type { DType, UpdateRuleOption } from '../src/index.js'
import { createOptimizer, minimizerKinds, optimizerKinds } from '../src/index.js'
import { expectClose, largest } from './support/compare.js'
import type { Nested } from './support/golden.js'
import { flatten, goldenCases } from './support/golden.js'

type Case = {
  readonly optimizer: string
  readonly options: Record<string, unknown>
  readonly shapes: number[][]
  readonly params0: Nested[]
  readonly grads: Nested[][]
  readonly params: Record<string, Nested[]>
}

const cases = goldenCases<Case>('optimizers')
const vector = (dtype: DType, tensors: Nested) =>
  dtype === 'float32' ? Float32Array.from(flatten(tensors)) : Float64Array.from(flatten(tensors))

test('every update rule has a golden file', () => {
  // The others look at a function: golden-second-order.test.ts.
  const minimizers: readonly string[] = minimizerKinds
  const rules = optimizerKinds.filter((kind) => !minimizers.includes(kind))
  expect([...new Set(cases.map(({ value }) => value.optimizer))].sort()).toEqual(rules.sort())
})

/** |a − b| <= tolerance·max(|b|, 1e-3·(largest entry of the tensor)), tensor by tensor. */
function expectTensors(actual: ArrayLike<number>, expected: Nested[], tolerance: number, label: string): void {
  let offset = 0
  expected.forEach((tensor, index) => {
    const values = flatten(tensor)
    const most = largest(values)
    const part = Array.from(actual).slice(offset, offset + values.length)
    expectClose(part, values, (b) => tolerance * Math.max(Math.abs(b), 1e-3 * most), `${label} tensor ${index}`)
    offset += values.length
  })
  expect(actual.length).toBe(offset)
}

const dtypes = [
  ['float64', 1e-9],
  ['float32', 1e-4],
] as const

describe.each(cases)('$name', ({ value: golden }) => {
  const spec = { kind: golden.optimizer, ...golden.options } as UpdateRuleOption

  test.each(dtypes)('%s', (dtype, tolerance) => {
    const optimizer = createOptimizer(spec, golden.shapes, { dtype })
    let parameters = vector(dtype, golden.params0)
    const checked: string[] = []
    golden.grads.forEach((tensors, index) => {
      parameters = optimizer.step(parameters, vector(dtype, tensors))
      const expected = golden.params[String(index + 1)]
      if (expected === undefined) return
      expectTensors(parameters, expected, tolerance, `step ${index + 1}`)
      checked.push(String(index + 1))
    })
    expect(checked.sort()).toEqual(Object.keys(golden.params).sort())
    expect(optimizer.updates).toBe(golden.grads.length)
  })

  test.each(dtypes)('%s: the same bits in place, and after the state went through JSON', (dtype) => {
    const first = createOptimizer(spec, golden.shapes, { dtype })
    const second = createOptimizer(spec, golden.shapes, { dtype })
    let fresh = vector(dtype, golden.params0)
    const inPlace = vector(dtype, golden.params0)
    golden.grads.forEach((tensors, index) => {
      const gradients = vector(dtype, tensors)
      const before = fresh.slice()
      const kept = gradients.slice()
      const next = first.step(fresh, gradients)
      expect(fresh).toEqual(before)
      expect(gradients).toEqual(kept)
      fresh = next
      const resumed = index % 2 === 0 ? second : createOptimizer(spec, golden.shapes, { dtype })
      if (resumed !== second) resumed.setState(JSON.parse(JSON.stringify(second.state())))
      expect(resumed.step(inPlace, gradients, inPlace)).toBe(inPlace)
      if (resumed !== second) second.setState(JSON.parse(JSON.stringify(resumed.state())))
      expect(inPlace).toEqual(fresh)
    })
    expect(second.updates).toBe(golden.grads.length)
  })
})
