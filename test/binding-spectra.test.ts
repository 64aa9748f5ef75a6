// The addon's functions about spectra and step sizes with arguments that the package would never pass: each call ends
// with a result or with an error of ours, and the process lives.
import { describe, expect, test } from 'vitest'
import { KrylovError } from '../src/internal/errors.js'
import type { NativeComputation, NativePoint } from '../src/internal/native.js'
import { addon } from '../src/internal/native.js'
import { dataset, tasks, twoHeads } from './support/binding.js'

const native = addon()
const n = 3
const foreign = () => ({ rows: n, columns: n, source: 0, transposedSource: 0 })
const probes = () => ({ kind: 'signs', seed: 1, given: new Float64Array(2 * n).fill(1) as Float64Array | null })
const model = new native.Model(twoHeads(), 'float64', 1)
const points: NativePoint = model.linearize(new native.Dataset(dataset()), tasks(), 0, 0)
const rows = 8

/** Drives a computation to its first request, answers with itself, and so on, a few times. */
function driven(made: unknown): void {
  const computation = made as NativeComputation<unknown>
  for (let step = 0; step < 40; step++) {
    const request = computation.advance()
    if (request === null) return void computation.result()
    computation.answer(request.input, 0)
  }
  computation.abort()
  computation.advance()
  computation.dispose()
}

type Call = { readonly name: string; readonly args: () => unknown[]; readonly run: (...list: never[]) => unknown }

const subject = () => [foreign(), 'float64', probes()]
const radius = () => ({
  stepLength: 1,
  target: 1,
  temperature: 1,
  quantile: 0.9,
  exactBinary: true,
  alongUpdate: false,
  sigmoids: false,
})
const calls: Call[] = [
  {
    name: 'eigenpairs',
    args: () => [...subject(), { count: 2, which: 'magnitude', tolerance: 1e-9, maxProducts: 30, subspace: 0 }],
    run: (...list) => driven(Reflect.apply(native.eigenpairs, undefined, list)),
  },
  {
    name: 'quadrature',
    args: () => [...subject(), { probes: 3, steps: 2, reorthogonalise: true }],
    run: (...list) => driven(Reflect.apply(native.quadrature, undefined, list)),
  },
  {
    name: 'hutchinson',
    args: () => [...subject(), { watch: 'diagonal', maxProbes: 4, minProbes: 2, tolerance: 0 }],
    run: (...list) => driven(Reflect.apply(native.hutchinson, undefined, list)),
  },
  {
    name: 'hutchPlusPlus',
    args: () => [...subject(), { products: 9 }],
    run: (...list) => driven(Reflect.apply(native.hutchPlusPlus, undefined, list)),
  },
  {
    name: 'spectralNorm',
    args: () => [...subject(), { tolerance: 1e-3, maxIterations: 9 }],
    run: (...list) => driven(Reflect.apply(native.spectralNorm, undefined, list)),
  },
  {
    name: 'curvatureNoise',
    args: () => [...subject(), { count: 2 }, [foreign(), native.denseOperator(new Float64Array(n * n), n, n)]],
    run: (...list) => driven(Reflect.apply(native.curvatureNoise, undefined, list)),
  },
  {
    name: 'stability',
    args: () => [Float64Array.of(1, 2, 3, 4, 5, 6), 3, 1, 2, [1, 3]],
    run: (...list) => driven(Reflect.apply(native.stability, undefined, list)),
  },
  {
    name: 'spectralDensity',
    args: () => [[Float64Array.of(1, 2)], [Float64Array.of(0.5, 0.5)], 0.1, Float64Array.of(0, 1, 2)],
    run: (...list) => Reflect.apply(native.spectralDensity, undefined, list),
  },
  {
    name: 'softmaxRadius',
    args: () => [new Float32Array(6).fill(1), new Float32Array(6), 2, new Float32Array(4), radius()],
    run: (...list) => Reflect.apply(native.softmaxRadius, undefined, list),
  },
  {
    name: 'hessianAlignment',
    args: () => [
      {
        weight: new Float32Array(6),
        bias: new Float32Array(2),
        domains: [{ features: new Float32Array(6), labels: Int32Array.of(0, 1) }],
        penalty: 'hessianDiagonal',
        alpha: 1,
        beta: 1,
        probes: 2,
        seed: 0,
        given: null,
        gradients: true,
      },
    ],
    run: (...list) => Reflect.apply(native.hessianAlignment, undefined, list),
  },
  {
    name: 'curvatureRows',
    args: () => [1, 2, new Float64Array(2 * points.curvatureRowsPerSample * model.parameterCount)],
    run: (...list) => points.curvatureRows(...(list as unknown as [number, number, Float64Array])),
  },
  {
    name: 'curvatureNorms',
    args: () => [new Float64Array(rows)],
    run: (...list) => points.curvatureNorms(...(list as unknown as [Float64Array])),
  },
]

function detached(): Float64Array {
  const array = new Float64Array(n)
  structuredClone(array.buffer, { transfer: [array.buffer] })
  return array
}

const odd: (() => unknown)[] = [
  ...[undefined, null, true, Number.NaN, Infinity, -Infinity, -1, 0, 0.5, 1, 7, 1e300, 5e-324].map((x) => () => x),
  ...[2 ** 53 - 1, 2 ** 53, -(2 ** 31), 10n, Symbol('s'), '', 'constructor'].map((x) => () => x),
  () => [],
  () => [new Float64Array(1)],
  () => new Array(2 ** 32 - 1),
  () => ({}),
  () => new Proxy({}, {}),
  () => new Float64Array(0),
  () => new Float64Array(n),
  () => new Float32Array(n),
  () => new Float64Array(1000).fill(NaN),
  () => Int32Array.of(-1, 2 ** 30, 5),
  () => new Float64Array(new SharedArrayBuffer(8 * n)),
  detached,
  () => native.denseOperator(new Float32Array(4), 2, 2),
  () => ({ rows: 2 ** 40, columns: 2 ** 40, source: 0, transposedSource: -1 }),
  () => ({ rows: 2, columns: 5, source: 0, transposedSource: 3 }),
]

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
        }
      }
    }
    for (let count = 0; count < args().length; count++) {
      expect(() => run(...(args().slice(0, count) as never[]))).toThrow(KrylovError)
    }
  })
})
