// Gradient transformations fed with given gradients, against golden ones (test/golden/transforms/README.md).
import { describe, expect, test } from 'vitest'
import type { DType, GradientTransformOption } from '../src/index.js'
import { createGradientTransform, gradientTransformKinds } from '../src/index.js'
import { expectClose } from './support/compare.js'
import type { Nested } from './support/golden.js'
import { flatten, goldenCases } from './support/golden.js'

type Case = {
  readonly transform: string
  readonly options: Record<string, unknown>
  readonly shapes: number[][]
  readonly params?: Nested[]
  readonly grads: Nested[][]
  readonly outputs: Nested[][]
}

const cases = goldenCases<Case>('transforms')
const vector = (dtype: DType, tensors: Nested) =>
  dtype === 'float32' ? Float32Array.from(flatten(tensors)) : Float64Array.from(flatten(tensors))

test('every transformation has a golden file', () => {
  expect([...new Set(cases.map(({ value }) => value.transform))].sort()).toEqual([...gradientTransformKinds].sort())
})

const dtypes = [
  ['float64', 1e-9],
  ['float32', 1e-4],
] as const

describe.each(cases)('$name', ({ value: golden }) => {
  const spec = { kind: golden.transform, ...golden.options } as GradientTransformOption

  test.each(dtypes)('%s', (dtype, tolerance) => {
    const transform = createGradientTransform(spec, { shapes: golden.shapes, dtype })
    const parameters = golden.params === undefined ? {} : { parameters: vector(dtype, golden.params) }
    expect(golden.grads.length).toBe(8)
    golden.grads.forEach((tensors, step) => {
      const result = transform.apply(vector(dtype, tensors), parameters)
      const expected = flatten(golden.outputs[step] ?? [])
      expectClose(Array.from(result), expected, (b) => tolerance * Math.max(Math.abs(b), 1), `step ${step + 1}`)
    })
    expect(transform.updates).toBe(golden.grads.length)
  })

  test.each(dtypes)('%s: the same bits in place, and after the memory went through JSON', (dtype) => {
    const create = () => createGradientTransform(spec, { shapes: golden.shapes, dtype })
    const first = create()
    let second = create()
    const parameters = golden.params === undefined ? {} : { parameters: vector(dtype, golden.params) }
    golden.grads.forEach((tensors, step) => {
      const gradients = vector(dtype, tensors)
      const kept = gradients.slice()
      const fresh = first.apply(gradients, parameters)
      expect(gradients).toEqual(kept)
      if (step % 2 === 1) {
        const state = JSON.parse(JSON.stringify(second.state()))
        second = create()
        second.setState(state)
      }
      expect(second.apply(gradients, { ...parameters, out: gradients })).toBe(gradients)
      expect(gradients).toEqual(fresh)
    })
    expect(second.updates).toBe(golden.grads.length)
  })
})
