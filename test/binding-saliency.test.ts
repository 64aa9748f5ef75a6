// The addon's functions about saliency and tangent kernels with arguments that the package would never pass: each call ends
// with a result or with an error of ours, and the process lives.
import { describe, expect, test } from 'vitest'
import { KrylovError } from '../src/internal/errors.js'
import { addon } from '../src/internal/native.js'
import { dataset, twoHeads } from './support/binding.js'
import { detached } from './support/garbage.js'

const native = addon()
const model = new native.Model(twoHeads(), 'float64', 1)
const inputs = new native.Dataset(dataset())
const { rows, columns } = inputs
const explained = () => ({
  head: 0,
  positions: 1,
  metaStep: 0,
  targets: new Int32Array(rows),
  values: new Float64Array(rows),
})
const network = () => ({ weightStd: 1, biasStd: 0.1, sharpness: 2, surrogate: 'erf', beta: 1 })
const sizes = () => ({ left: 2, right: 3, columns: 2 })

type Call = { readonly name: string; readonly args: () => unknown[]; readonly run: (...list: never[]) => unknown }

const calls: Call[] = [
  {
    name: 'inputSaliency',
    args: () => [
      model,
      inputs,
      explained(),
      { map: 'integratedGradients', steps: 2, baseline: inputs, baselineValues: new Float64Array(rows) },
      new Float64Array(rows * columns),
    ],
    run: native.inputSaliency as never,
  },
  {
    name: 'layerSaliency',
    args: () => [
      model,
      inputs,
      explained(),
      { map: 'scaling', identity: true, layers: [0, 1] },
      new Float64Array(2 * rows),
    ],
    run: native.layerSaliency as never,
  },
  {
    name: 'positionMap',
    args: () => ['linear', new Float64Array(6), 2, 3, new Float64Array(6), 3, new Float64Array(2)],
    run: native.positionMap as never,
  },
  {
    name: 'combineMaps',
    args: () => [[new Float64Array(6), new Float64Array(6)], Float64Array.of(1, 2), 'sum', 2, 3, new Float64Array(6)],
    run: native.combineMaps as never,
  },
  {
    name: 'rankCorrelation',
    args: () => [new Float64Array(6), new Float64Array(6), 2, 3, new Float64Array(2)],
    run: native.rankCorrelation as never,
  },
  {
    name: 'surrogateKernel',
    args: () => [
      network(),
      2,
      sizes(),
      new Float64Array(4),
      new Float64Array(6),
      new Float64Array(6),
      new Float64Array(12),
    ],
    run: native.surrogateKernel as never,
  },
  {
    name: 'finiteSurrogateKernel',
    args: () => [
      network(),
      [3, 1],
      sizes(),
      new Float64Array(13),
      true,
      new Float64Array(4),
      new Float64Array(6),
      new Float64Array(6),
      new Float64Array(2),
    ],
    run: native.finiteSurrogateKernel as never,
  },
  {
    name: 'kernelRegression',
    args: () => [
      { until: 'time', rate: 1, steps: 2, time: 3, damping: 0, transposed: true },
      2,
      1,
      Float64Array.of(2, 1, 1, 3),
      Float64Array.of(1, 2),
    ],
    run: native.kernelRegression as never,
  },
]

const odd: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  () => Number.NaN,
  () => -1,
  () => 0.5,
  () => 2 ** 53 - 1,
  () => 7,
  () => 'gradient',
  () => true,
  () => [],
  () => [-3, 2 ** 40],
  () => ({}),
  () => Int32Array.of(-7, 9),
  () => new Float32Array(3),
  () => new Float64Array(5),
  () => new Float64Array(0),
  detached,
  () => new Float64Array(new SharedArrayBuffer(48)),
  () => {
    const disposed = new native.Dataset(dataset())
    disposed.dispose()
    return disposed
  },
  () => new native.Model(twoHeads(), 'float32', 1),
]

/** Puts a value at each argument, and at each member of those that are objects or lists. */
function placesOf(list: unknown[]): ((value: unknown) => void)[] {
  return list.flatMap((argument, index) => {
    const own = (value: unknown): void => {
      list[index] = value
    }
    const plain =
      typeof argument === 'object' && argument !== null && /^(Object|Array)$/.test(argument.constructor.name)
    const inner = plain ? (argument as Record<string, unknown>) : {}
    const members = Object.keys(inner).map((key) => (value: unknown): void => {
      inner[key] = value
    })
    return [own, ...members]
  })
}

describe.each(calls)('$name', ({ args, run }) => {
  test('takes what the package passes', () => {
    expect(() => run(...(args() as never[]))).not.toThrow()
  })

  test('survives what it does not', () => {
    const places = placesOf(args()).length
    for (let place = 0; place < places; place++) {
      for (const make of odd) {
        const list = args()
        placesOf(list)[place]?.(make())
        try {
          run(...(list as never[]))
        } catch (error) {
          if (!(error instanceof KrylovError)) throw error
          expect(error.code, `${place}: ${error.message}`).not.toBe('ERR_NATIVE')
        }
      }
    }
    for (let count = 0; count < args().length - 1; count++) {
      expect(() => run(...(args().slice(0, count) as never[]))).toThrow(KrylovError)
    }
  })
})
