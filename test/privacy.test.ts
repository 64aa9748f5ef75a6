// Privacy accounting: golden values, the published ones, edges, states and calibration.
import { describe, expect, test } from 'vitest'
import type { EpsilonConversion } from '../src/index.js'
import {
  createPrivacyAccountant,
  defaultRdpOrders,
  gradientNoiseMultiplier,
  noiseForEpsilon,
  rdpToEpsilon,
  subsampledGaussianRdp,
} from '../src/index.js'
import { expectClose } from './support/compare.js'
import { expectError } from './support/errors.js'
import { goldenFile } from './support/golden.js'

type RdpCase = {
  readonly history: { readonly sigma: number; readonly q: number; readonly steps: number }[]
  readonly delta: number
  readonly orders: number[]
  readonly rdpAtOrders: { readonly order: number; readonly rdp: number }[]
  readonly epsilon: number
  readonly bestOrder: number
  readonly epsilonClassic: number
  readonly bestOrderClassic: number
}

const relative = (expected: number): number => 1e-8 * Math.abs(expected)

describe.each(goldenFile<RdpCase>('privacy', 'rdp.json'))('$name', ({ value: golden }) => {
  const { delta, orders, rdpAtOrders } = golden
  test('divergences, composed, and what they spend', () => {
    expect(defaultRdpOrders).toEqual(orders)
    const accountant = createPrivacyAccountant()
    for (const { sigma, q, steps } of golden.history) {
      accountant.step({ noiseMultiplier: sigma, sampleRate: q, steps })
    }
    const { rdp, steps } = accountant.state()
    expect(steps).toBe(golden.history.reduce((sum, part) => sum + part.steps, 0))
    expectClose(
      rdpAtOrders.map(({ order }) => rdp[orders.indexOf(order)] ?? Number.NaN),
      rdpAtOrders.map((one) => one.rdp),
      relative,
    )
    const spent = accountant.epsilon({ delta })
    expectClose([spent.epsilon], [golden.epsilon], relative)
    expect(spent).toEqual({ epsilon: spent.epsilon, order: golden.bestOrder })
    const classic = accountant.epsilon({ delta, conversion: 'classic' })
    expectClose([classic.epsilon], [golden.epsilonClassic], relative)
    expect(classic.order).toBe(golden.bestOrderClassic)
  })
})

type SigmaCase = Record<'target' | 'q' | 'steps' | 'delta' | 'sigma' | 'tolerance', number>

test.each(goldenFile<SigmaCase>('privacy', 'sigma.json'))('$name', ({ value: golden }) => {
  const { target, q, steps, delta, sigma, tolerance } = golden
  const found = noiseForEpsilon({ epsilon: target, delta, sampleRate: q, steps })
  expectClose([found.noiseMultiplier], [sigma], tolerance * sigma)
  expect(found.epsilon).toBeLessThanOrEqual(target)
  expect(rdpToEpsilon(subsampledGaussianRdp(alike(found.noiseMultiplier, q, steps)), { delta }).epsilon).toBe(
    found.epsilon,
  )
})

const alike = (noiseMultiplier: number, sampleRate: number, steps: number) => ({ noiseMultiplier, sampleRate, steps })

// Values published with other accountants where marked; the rest computed independently to the digits given.
const table: [number, number, number, number, EpsilonConversion, number, number][] = [
  [1.5, 0.04, 2250, 1e-5, 'improved', 7.32911117143, 3.9], // a test of Opacus
  [1.3, 0.004, 3750, 1e-5, 'improved', 0.922049, 17],
  [1.3, 0.004, 3750, 1e-5, 'classic', 1.159749, 17], // Opacus's MNIST example: 1.16
  [0.7, 0.004, 11250, 1e-5, 'classic', 6.858866, 3.9], // the same: 6.86
  [4, 1, 100, 1e-6, 'classic', 16.266315, 3.1],
  [10, 0.2, 500, 1e-7, 'improved', 2.377958, 12],
]
test.each(table)(
  'noise %f, rate %f, %i steps',
  (noiseMultiplier, sampleRate, steps, delta, conversion, value, best) => {
    const rdp = subsampledGaussianRdp({ noiseMultiplier, sampleRate, steps })
    const { epsilon, order } = rdpToEpsilon(rdp, { delta, conversion })
    expectClose([epsilon], [value], 6e-7)
    expect(order).toBe(best)
  },
)

test('steps that differ: the published example of another accountant', () => {
  const accountant = createPrivacyAccountant({ orders: Array.from({ length: 31 }, (_, index) => index + 2) })
  accountant.step({ noiseMultiplier: 1, sampleRate: 1e-5, steps: 10 })
  accountant.step({ noiseMultiplier: 3, sampleRate: 1e-4, steps: 4 })
  const { epsilon, order } = accountant.epsilon({ delta: 1e-5 })
  expect(epsilon).toBeCloseTo(0.336, 3)
  expect(order).toBe(23)
})

describe('divergences', () => {
  // Quadrature serves any order: at orders beside an integer it must meet the closed form.
  const cases = [0.3, 0.7, 2, 25].flatMap((sigma) => [1e-9, 1e-5, 0.01, 0.5, 0.9].map((q) => [sigma, q] as const))
  test.each(cases)('are smooth across integer orders: noise %f, rate %f', (noiseMultiplier, sampleRate) => {
    for (const order of [2, 3, 7]) {
      const h = 1e-4
      const orders = [order - 2 * h, order - h, order, order + h, order + 2 * h]
      const [a, b, at, c, d] = [...subsampledGaussianRdp({ noiseMultiplier, sampleRate, orders })] as [
        number,
        number,
        number,
        number,
        number,
      ]
      // The cubic through the four neighbours.
      expectClose([(-a + 4 * b + 4 * c - d) / 6], [at], 1e-9 * at, `order ${order}`)
    }
  })

  test('with little noise go over to the closed form of two modes', () => {
    const at = (noiseMultiplier: number): number =>
      subsampledGaussianRdp({ noiseMultiplier, sampleRate: 0.01, orders: [1.5] })[0] as number
    // The change lies between the second and the third; σ² RDP is quadratic in σ there.
    const scaled = [0.0555, 0.0565, 0.0575, 0.0585].map((sigma) => at(sigma) * sigma * sigma) as [
      number,
      number,
      number,
      number,
    ]
    expect(Math.abs(scaled[0] - 3 * scaled[1] + 3 * scaled[2] - scaled[3])).toBeLessThan(1e-11)
    expect(at(1e-4)).toBeCloseTo(1.5 / 2e-8 + (1.5 * Math.log(0.01)) / 0.5, 3)
  })

  test('edges', () => {
    const orders = [1.5, 2, 10.5]
    const rdp = (noiseMultiplier: number, sampleRate: number, steps = 1): number[] => [
      ...subsampledGaussianRdp({ noiseMultiplier, sampleRate, steps, orders }),
    ]
    expect(rdp(2, 0)).toEqual([0, 0, 0])
    expect(rdp(0, 0)).toEqual([0, 0, 0])
    expect(rdp(0, 0.1)).toEqual([Infinity, Infinity, Infinity])
    expect(rdp(0, 0.1, 0)).toEqual([0, 0, 0])
    expectClose(rdp(2, 1), [1.5 / 8, 2 / 8, 10.5 / 8], 1e-15)
    // Nearly all records: nearly no amplification.
    expectClose(rdp(2, 1 - 1e-12), [1.5 / 8, 2 / 8, 10.5 / 8], 1e-11)
  })

  test('for tiny rates are q² α expm1(σ⁻²)/2', () => {
    const orders = [1.5, 2, 6.5, 12]
    const q = 1e-12
    const rdp = subsampledGaussianRdp({ noiseMultiplier: 1.2, sampleRate: q, orders })
    const expected = orders.map((order) => (q * q * order * Math.expm1(1 / 1.44)) / 2)
    expectClose(rdp, expected, (value) => 1e-9 * value)
  })
})

describe('epsilon', () => {
  test('without steps is 0, without noise infinite', () => {
    const accountant = createPrivacyAccountant()
    expect(accountant.epsilon({ delta: 1e-5 }).epsilon).toBe(0)
    expect(accountant.epsilon({ delta: 1e-5, conversion: 'classic' }).epsilon).toBe(0)
    accountant.step({ noiseMultiplier: 0, sampleRate: 0.1 })
    const { epsilon, warning } = accountant.epsilon({ delta: 1e-5 })
    expect([epsilon, warning]).toEqual([Infinity, undefined])
  })

  test('warns at an end of the list', () => {
    const rdp = (orders: readonly number[]): Float64Array =>
      subsampledGaussianRdp({ noiseMultiplier: 1, sampleRate: 0.01, steps: 1000, orders })
    const at = (orders: readonly number[]) => rdpToEpsilon(rdp(orders), { delta: 1e-5, orders }).warning
    expect(at([10, 20])).toContain('first of the list: smaller')
    expect(at([2, 3])).toContain('last of the list: larger')
    expect(at([5, 7.8, 12])).toBeUndefined()
  })
})

test('an accountant goes on from its state, to the bit', () => {
  const first = { noiseMultiplier: 1.1, sampleRate: 0.01, steps: 40 }
  const second = { noiseMultiplier: 0.9, sampleRate: 0.02, steps: 3 }
  const whole = createPrivacyAccountant()
  whole.step(first)
  const half = createPrivacyAccountant({ state: JSON.parse(JSON.stringify(whole.state())) })
  whole.step(second)
  half.step(second)
  expect(half.state()).toEqual(whole.state())
  whole.step({ noiseMultiplier: 0, sampleRate: 0.5 })
  const state = whole.state()
  expect(state.rdp[0]).toBeNull()
  const again = createPrivacyAccountant({ state: JSON.parse(JSON.stringify(state)) })
  expect(again.epsilon({ delta: 0.1 }).epsilon).toBe(Infinity)
  expect(again.steps).toBe(44)
})

test('noise beside a noisy count', () => {
  const gradients = gradientNoiseMultiplier({ noiseMultiplier: 1.1, countNoise: 10 })
  expectClose([gradients ** -2 + 20 ** -2], [1.1 ** -2], 1e-15)
  expect(gradients).toBeGreaterThan(1.1)
})

test('calibration of any size', () => {
  for (const epsilon of [0.01, 50, 5000]) {
    const found = noiseForEpsilon({ epsilon, delta: 1e-5, sampleRate: 0.02, steps: 100, tolerance: 1e-4 })
    expect(found.epsilon).toBeLessThanOrEqual(epsilon)
    const rdp = subsampledGaussianRdp(alike(found.noiseMultiplier * 0.999, 0.02, 100))
    expect(rdpToEpsilon(rdp, { delta: 1e-5 }).epsilon).toBeGreaterThan(epsilon)
  }
})

describe('what cannot be used is refused', () => {
  const step = { noiseMultiplier: 1, sampleRate: 0.1 }
  const accountant = createPrivacyAccountant()
  const cases: [string, () => unknown, ...string[]][] = [
    ['noise', () => subsampledGaussianRdp({ ...step, noiseMultiplier: -1 }), 'noiseMultiplier', '-1'],
    ['rate', () => subsampledGaussianRdp({ ...step, sampleRate: 1.5 }), 'sampleRate', '1.5'],
    ['steps', () => accountant.step({ ...step, steps: 0.5 }), 'accountant step steps', '0.5'],
    ['misspelt', () => accountant.step({ ...step, sigma: 1 } as never), "'sigma'"],
    ['an order', () => subsampledGaussianRdp({ ...step, orders: [1, 2] }), 'orders[0]', '> 1'],
    ['their order', () => createPrivacyAccountant({ orders: [3, 2] }), 'orders[1]', 'ascending'],
    ['delta', () => accountant.epsilon({ delta: 0 }), 'delta', '0'],
    ['conversion', () => accountant.epsilon({ delta: 0.1, conversion: 'clasic' as never }), "did you mean 'classic'"],
    ['a target', () => noiseForEpsilon({ epsilon: 0, delta: 1e-5, sampleRate: 0.1, steps: 1 }), 'epsilon'],
    ['no sampling', () => noiseForEpsilon({ epsilon: 1, delta: 1e-5, sampleRate: 0, steps: 1 }), 'sampleRate'],
    ['a count too exact', () => gradientNoiseMultiplier({ noiseMultiplier: 1, countNoise: 0.5 }), 'countNoise', '0.5'],
    [
      'a state without orders',
      () => createPrivacyAccountant({ state: { rdp: [], steps: 0 } as never }),
      'state.orders',
      'null',
    ],
    ['both', () => createPrivacyAccountant({ state: accountant.state(), orders: [2] } as never), "'orders'"],
  ]
  test.each(cases)('%s', (_, action, ...parts) => {
    expectError(action, 'ERR_OPTION', ...parts)
  })
  test('lengths', () => {
    expectError(() => rdpToEpsilon([1, 2], { delta: 0.1, orders: [2, 3, 4] }), 'ERR_SHAPE', 'rdp', '3 numbers')
  })
})
