// Hessian alignment of a softmax head over domains: its terms, its derivatives, its use as a regulariser.
import { describe, expect, test } from 'vitest'
import type { HessianAlignmentOptions } from '../src/index.js'
import { hessianAlignment } from '../src/index.js'
import { expectClose } from './support/compare.js'
import { expectError } from './support/errors.js'

const inputs = 3
const classes = 4
const wave = (length: number, phase: number): Float64Array =>
  Float64Array.from({ length }, (_, i) => Math.sin(1.7 * i + phase) + 0.3 * Math.cos(i * i + phase))
const domain = (rows: number, phase: number) => ({
  features: { data: wave(rows * inputs, phase), shape: [rows, inputs] as const },
  labels: Int32Array.from({ length: rows }, (_, i) => (i * i + rows) % classes),
})
const options = (): HessianAlignmentOptions<'float64'> => ({
  weight: wave(classes * inputs, 0.5),
  bias: wave(classes, 2),
  domains: [domain(5, 0), domain(7, 1), domain(4, 2)],
})

describe('values', () => {
  test('defaults are those of the program', () => {
    const found = hessianAlignment(options())
    const { loss, gradientTerm, hessianGradientTerm, hessianDiagonalTerm } = found
    expect(found.value).toBeCloseTo(loss + 1e-4 * hessianGradientTerm + 5e-3 * gradientTerm, 14)
    const other = hessianAlignment({ ...options(), penalty: 'hutchinson' })
    expect(other.value).toBeCloseTo(loss + 1e-3 * hessianDiagonalTerm + 5e-3 * gradientTerm, 14)
  })

  test('equal domains, and one alone, have no penalty', () => {
    for (const domains of [[domain(6, 0), domain(6, 0)], [domain(6, 0)]]) {
      for (const diagonal of ['exact', 5] as const) {
        const found = hessianAlignment({ ...options(), domains, diagonal, alpha: 10, beta: 10 })
        expect(found.gradientTerm + found.hessianGradientTerm + found.hessianDiagonalTerm).toBeLessThan(1e-25)
      }
    }
  })

  test('sampled diagonals: a seed is a result, many probes come near', () => {
    const of = (diagonal: number, seed: number): number =>
      hessianAlignment({ ...options(), diagonal, seed, gradients: false }).hessianDiagonalTerm
    expect(of(3, 1)).toBe(of(3, 1))
    expect(of(3, 1)).not.toBe(of(3, 2))
    const exact = hessianAlignment(options()).hessianDiagonalTerm
    expect(Math.abs(of(20_000, 0) - exact)).toBeLessThan(0.05 * exact)
  })

  test('rows as ordinary arrays, float32', () => {
    const given = options()
    const plain = {
      ...given,
      domains: given.domains.map(({ features, labels }) => {
        const { data } = features as { data: Float64Array }
        const rows = Array.from(labels as Int32Array, (_, r) => [...data.subarray(r * inputs, (r + 1) * inputs)])
        return { features: rows, labels: [...(labels as Int32Array)] }
      }),
    }
    expect(hessianAlignment(plain)).toEqual(hessianAlignment(given))
    const narrow = hessianAlignment({
      ...plain,
      weight: Float32Array.from(given.weight),
      bias: Float32Array.from(given.bias),
    } as HessianAlignmentOptions<'float32'>)
    expect(narrow.gradient?.weight).toBeInstanceOf(Float32Array)
    expectClose(narrow.gradient?.weight ?? [], hessianAlignment(given).gradient?.weight ?? [], 1e-6)
    expect(hessianAlignment({ ...given, gradients: false }).gradient).toBeUndefined()
  })
})

test.each(['hgp', 'hutchinson'] as const)('features learnt under %s agree more across domains', (penalty) => {
  /** The penalty, weights 1 and 2, after 300 steps on the features alone. */
  const learn = (weights: { alpha: number; beta: number }): number => {
    const given = { ...options(), penalty }
    const domains = given.domains.map(({ features, labels }) => {
      const { data, shape } = features as { data: Float64Array; shape: readonly [number, number] }
      return { features: { data: data.slice(), shape }, labels }
    })
    for (let step = 0; step < 300; step++) {
      const { gradient } = hessianAlignment({ ...given, ...weights, domains })
      for (const [e, { features }] of domains.entries()) {
        const slope = gradient?.features[e] as Float64Array
        features.data.forEach((x, i) => {
          features.data[i] = x - 0.1 * (slope[i] as number)
        })
      }
    }
    const { value, loss } = hessianAlignment({ ...given, alpha: 1, beta: 2, domains })
    return value - loss
  }
  const free = learn({ alpha: 0, beta: 0 })
  const bound = learn({ alpha: 1, beta: 2 })
  expect({ free, bound, ratio: bound / free }.ratio).toBeLessThan(0.8)
})

test('misuse', () => {
  const bad = (change: object) => () => hessianAlignment({ ...options(), ...change })
  expectError(bad({ weight: [1, 2] }), 'ERR_OPTION', 'weight')
  expectError(bad({ weight: new Float64Array(7) }), 'ERR_SHAPE', '4 rows')
  expectError(bad({ weight: new Float64Array(12).fill(NaN) }), 'ERR_NOT_FINITE', 'weight[0]')
  expectError(bad({ bias: new Float32Array(4) }), 'ERR_DTYPE', 'bias')
  expectError(bad({ bias: new Float64Array(1) }), 'ERR_SHAPE', 'two classes')
  expectError(bad({ domains: [] }), 'ERR_SHAPE', 'domains')
  expectError(bad({ domains: [{ features: [[1, 2, 3]], labels: [4] }] }), 'ERR_OPTION', 'labels[0]')
  expectError(bad({ domains: [{ features: [[1, 2]], labels: [0] }] }), 'ERR_SHAPE', 'domains[0].features')
  expectError(bad({ domains: [{ features: [[1, 2, 3]], labels: [0, 1] }] }), 'ERR_SHAPE', 'domains[0].features')
  expectError(bad({ domains: [{ features: [[1, 2, Infinity]], labels: [0] }] }), 'ERR_NOT_FINITE', 'features')
  expectError(bad({ domains: [{ feature: [[1, 2, 3]], labels: [0] }] }), 'ERR_OPTION', "did you mean 'features'")
  expectError(bad({ penalty: 'hutch' }), 'ERR_OPTION', 'penalty')
  expectError(bad({ alpha: -1 }), 'ERR_OPTION', 'alpha')
  expectError(bad({ diagonal: 'sampled' }), 'ERR_OPTION', 'diagonal')
  expectError(bad({ diagonal: [[1, -1]] }), 'ERR_SHAPE', 'diagonal[0]')
  expectError(bad({ lambda: 1 }), 'ERR_OPTION', 'lambda')
})
