// Rules that decide where the gradient is taken, on quadratics (test/golden/trajectories/README.md).
import { describe, expect, test } from 'vitest'
import type { UpdateRuleOption } from '../src/index.js'
import { classicalMomentum, createOptimizer, sgd } from '../src/index.js'
import { expectRelative } from './support/compare.js'
import { goldenCases } from './support/golden.js'

type Case = {
  readonly method: string
  readonly options: Record<string, number | string | boolean>
  readonly A: number[][]
  readonly b: number[]
  readonly w0: number[]
  readonly w: Record<string, number[]>
}

/** Methods that belong to later work. */
const later = ['sharpnessAware']

function optimizerOf({ method, options }: Case): UpdateRuleOption | undefined {
  const { lookahead, ...rest } = options
  switch (method) {
    case 'nesterovLookahead':
      return classicalMomentum({ ...rest, nesterov: lookahead === 'literal' ? 'literal' : 'lookahead' })
    case 'nesterovShifted':
      return sgd({ ...rest, nesterov: true })
    default:
      return undefined
  }
}

const cases = goldenCases<Case>('trajectories')
const supported = cases.filter(({ value }) => optimizerOf(value) !== undefined)

test('only later work is left out', () => {
  const left = cases.filter((entry) => !supported.includes(entry)).map(({ value }) => value.method)
  expect([...new Set(left)]).toEqual(later)
  expect(supported.length).toBeGreaterThan(0)
})

describe.each(supported)('$name', ({ value: golden }) => {
  test('trajectory', () => {
    const optimizer = createOptimizer(optimizerOf(golden) as UpdateRuleOption, [[golden.w0.length]], {
      dtype: 'float64',
    })
    let w = Float64Array.from(golden.w0)
    const steps = Object.keys(golden.w).map(Number)
    const checked: number[] = []
    for (let k = 1; k <= Math.max(...steps); k++) {
      const at = optimizer.evaluationPoint(w)
      const gradient = Float64Array.from(golden.b, (b, i) => {
        const row = golden.A[i] ?? []
        return row.reduce((sum, a, j) => sum + a * (at[j] as number), 0) - b
      })
      w = optimizer.step(w, gradient)
      const expected = golden.w[String(k)]
      if (expected === undefined) continue
      expectRelative(w, expected, 1e-9, `w after step ${k}`)
      checked.push(k)
    }
    expect(checked).toEqual(steps.sort((a, b) => a - b))
  })
})
