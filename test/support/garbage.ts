// What a caller may pass that is wrong: values of every kind, and handles, some of them disposed.
import type { NativeComputation, NativeMinimization, NativeOperator } from '../../src/internal/native.js'
import { addon } from '../../src/internal/native.js'
import { adam, cyclic, dataset, functionSources, lbfgs, tasks, trainOptions, twoHeads } from './binding.js'

const native = addon()
const nothing = (): void => undefined

/** What a trap in an argument throws. */
export class Planted extends Error {}

export function detached(): Float32Array {
  const array = new Float32Array(8)
  structuredClone(array.buffer, { transfer: [array.buffer] })
  return array
}

export const matrix = (): NativeOperator => native.denseOperator(Float32Array.of(2, 1, 1, 3), 2, 2)
export const foreign = { rows: 2, columns: 2, source: 0, transposedSource: -1 }
export const solverOptions = {
  tolerance: 1e-5,
  absoluteTolerance: 0,
  maxIterations: 9,
  progressTolerance: 0,
  progressWindow: 10,
  progressFraction: 0.1,
  shift: 0,
  radius: 0,
  onNegativeCurvature: 'stop' as const,
  recomputeEvery: 0,
  storeGrowth: 0,
  storeFirst: 5,
  collectHistory: 0,
  collectChoice: 'spread' as const,
}
/** A computation that waits for a product. */
export function asking(): NativeComputation<unknown> {
  const computation = native.conjugateGradient(foreign, Float32Array.of(1, 2), null, null, solverOptions, -1)
  computation.advance()
  return computation
}

export const minimization = (): NativeMinimization =>
  new native.Minimization(lbfgs(), Float64Array.of(1, 2), functionSources())

/** Handles, some disposed, made anew for each use. */
export const handles: readonly (() => unknown)[] = [
  () => new native.Model(twoHeads(), 'float32', 0),
  () => new native.Dataset(dataset()),
  () => new native.Optimizer(adam(), 3, 'float64'),
  () => new native.Model(twoHeads(), 'float64', 1).trainer(trainOptions()),
  () => new native.Model(twoHeads(), 'float64', 1).linearize(new native.Dataset(dataset()), tasks(), 0, 0),
  () => matrix(),
  () => asking(),
  () => minimization(),
  () => {
    const handle = new native.Dataset(dataset())
    handle.dispose()
    return handle
  },
  () => {
    const handle = new native.Model(twoHeads(), 'float32', 0)
    handle.dispose()
    return handle
  },
]

export const garbage: readonly (() => unknown)[] = [
  ...[undefined, null, true, Number.NaN, Number.POSITIVE_INFINITY, -1, -0, 0, 0.5, 1, 2, 3, 1e308, 5e-324].map(
    (value) => () => value,
  ),
  ...[2 ** 53, 2 ** 60, -(2 ** 31), 12n, Symbol('s'), '', 'dense', 'constructor', '\0', '\ud800'].map(
    (value) => () => value,
  ),
  () => 'x'.repeat(100_000),
  () => [],
  () => [1, [2, [3]]],
  () => new Array(2 ** 32 - 1),
  () => ({}),
  () => Object.create(null),
  () => ({ kind: 'constant', value: 1 }),
  () => nothing,
  () => class {},
  () => new Date(),
  () => new Map(),
  () => Promise.resolve(1),
  () => new Proxy({}, {}),
  () => new Proxy([], {}),
  () => new Proxy(new Float32Array(3), {}),
  () =>
    new Proxy(
      {},
      {
        get: () => {
          throw new Planted()
        },
      },
    ),
  () => Object.create(new native.Dataset(dataset())),
  () => new Proxy(new native.Dataset(dataset()), {}),
  () => new Float32Array(0),
  () => new Float32Array(3),
  () => new Float64Array(7).fill(Number.NaN),
  () => new Uint8Array(5),
  () => new Uint8ClampedArray(5),
  () => new Int32Array([-1, 2 ** 30, 0]),
  () => new Uint32Array([2 ** 32 - 1]),
  () => new BigInt64Array(2),
  () => new DataView(new ArrayBuffer(8)),
  () => new ArrayBuffer(8),
  () => new Float32Array(new SharedArrayBuffer(32)),
  () => Buffer.from([1, 2, 3]),
  detached,
  cyclic,
  ...handles,
]
