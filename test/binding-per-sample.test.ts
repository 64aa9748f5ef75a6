// The addon's functions about single samples with arguments that the package never passes.
import { describe, expect, test } from 'vitest'
import { KrylovError } from '../src/internal/errors.js'
import { addon } from '../src/internal/native.js'
import { dataset, tasks, twoHeads } from './support/binding.js'

const native = addon()
const rows = 6
const model = new native.Model(twoHeads(), 'float64', 0)
const point = model.linearize(new native.Dataset(dataset(rows)), tasks(), 0, 0)
const single = new native.Model(twoHeads(), 'float32', 0)
const other = single.linearize(new native.Dataset(dataset(rows)), tasks(), 0, 0)
const size = model.parameterCount
const groups = native.parameterGroups(point)
const square = (count = 1): Float64Array => new Float64Array(count * rows * rows)

const calls: { name: string; args: () => unknown[] }[] = [
  { name: 'parameterGroups', args: () => [point] },
  { name: 'perSampleSquares', args: () => [point, 'layer', new Float64Array(rows * groups.layer.length)] },
  { name: 'perSampleProducts', args: () => [point, new Float64Array(size), new Float64Array(rows)] },
  { name: 'gramMatrix', args: () => [point, point, false, square()] },
  { name: 'gramMatrix', args: () => [point, point, true, square(groups.layer.length)] },
  { name: 'tangentKernel', args: () => [point, point, 'blocks', 1, 2, square(4)] },
  { name: 'outputJacobians', args: () => [point, 1, 2, 0, 3, new Float64Array(6 * size)] },
  { name: 'gradientSquareSums', args: () => [point, new Float64Array(size)] },
  { name: 'gradientVariance', args: () => [point, true, new Float64Array(size)] },
  { name: 'gradientStatistics', args: () => [point] },
  { name: 'samplingProbabilities', args: () => [new Float64Array(rows).fill(1), 0.5, 0.1] },
  {
    name: 'importanceWeights',
    args: () => [new Float64Array(rows).fill(1 / rows), new Uint32Array(3), new Float64Array(rows), 0.5],
  },
  { name: 'varianceReduction', args: () => [new Float64Array(rows).fill(1 / rows)] },
  { name: 'recordHistory', args: () => [new Float64Array(rows), new Uint32Array(2), new Float64Array(2)] },
  { name: 'labelFigures', args: () => [new Float64Array(3 * rows), 3, new Int32Array(rows)] },
  {
    name: 'sampleWeights',
    args: () => [
      { kind: 'smallLossWeights', numbers: { forgetRate: { kind: 'constant', value: 0.2 } }, flags: {}, words: {} },
      3,
      { losses: new Float64Array(rows), probabilities: null, complements: null, confidences: null, alignments: null },
    ],
  },
]

function detached(): Float64Array {
  const array = new Float64Array(size)
  structuredClone(array.buffer, { transfer: [array.buffer] })
  return array
}

const gone = model.linearize(new native.Dataset(dataset(rows)), tasks(), 0, 0)
gone.dispose()

const odd: (() => unknown)[] = [
  ...[undefined, null, true, Number.NaN, Infinity, -1, 0, 0.5, 3, 7, 1e300, 2 ** 53 - 1, 2 ** 53].map((x) => () => x),
  ...[10n, Symbol('s'), '', 'constructor', 'trace', 'tensor'].map((x) => () => x),
  () => ({}),
  () => new Proxy({}, {}),
  () => new Float64Array(0),
  () => new Float32Array(size),
  () => new Float64Array(size).fill(Number.NaN),
  () => new Float64Array(new SharedArrayBuffer(8 * size)),
  detached,
  () => gone,
  () => other,
  () => model,
]

describe.each(calls)('$name', ({ name, args }) => {
  const run = (list: unknown[]): unknown =>
    Reflect.apply(native[name as keyof typeof native] as (...list: unknown[]) => unknown, undefined, list)

  test('takes what the package passes', () => {
    expect(() => run(args())).not.toThrow()
  })

  test('survives what it does not', () => {
    const count = args().length
    for (let place = 0; place < count; place++) {
      for (const make of odd) {
        const list = args()
        list[place] = make()
        try {
          run(list)
        } catch (error) {
          if (!(error instanceof KrylovError)) throw error
          expect(error.code).not.toBe('ERR_NATIVE')
        }
      }
      expect(() => run(args().slice(0, place))).toThrow(KrylovError)
    }
  })
})

test('outputs that the network has not, and another dtype', () => {
  const code = (expected: string): unknown => expect.objectContaining({ code: expected })
  expect(() => native.tangentKernel(point, point, 'trace', 2, 2, square())).toThrow(code('ERR_SHAPE'))
  expect(() => native.tangentKernel(point, point, 'sum', 0, 2 ** 50, square())).toThrow(code('ERR_SHAPE'))
  expect(() => native.tangentKernel(point, point, 'blocks', 0, 2 ** 50, square())).toThrow(code('ERR_SHAPE'))
  expect(() => native.outputJacobians(point, 5, 2, 0, 1, new Float64Array(2 * size))).toThrow(code('ERR_SHAPE'))
  expect(() => native.outputJacobians(point, 0, 0, 3, 1, new Float64Array(0))).toThrow(code('ERR_SHAPE'))
  expect(() => native.gramMatrix(point, other, false, square())).toThrow(code('ERR_DTYPE'))
})
