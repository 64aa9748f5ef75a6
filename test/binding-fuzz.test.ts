// The addon takes whatever JavaScript passes: a call succeeds or throws, and the process lives.
import { afterAll, describe, expect, test } from 'vitest'
import { errorCodes, KrylovError } from '../src/internal/errors.js'
import type {
  NativeComputation,
  NativeDataset,
  NativeEvent,
  NativeModel,
  NativeOptimizerObject,
  NativePoint,
  NativeTask,
  NativeTrainer,
} from '../src/internal/native.js'
import { addon } from '../src/internal/native.js'
import {
  adam,
  dataset,
  functionSources,
  lbfgs,
  stabilityOptions,
  tasks,
  trainOptions,
  twoHeads,
} from './support/binding.js'
import { random } from './support/data.js'
import {
  asking,
  detached,
  foreign,
  garbage,
  handles,
  matrix,
  minimization,
  Planted,
  solverOptions,
} from './support/garbage.js'

const native = addon()

type Random = () => number
const pick = <T>(next: Random, list: readonly T[]): T => list[Math.floor(next() * list.length)] as T

const pending: Promise<unknown>[] = []
const runs = { begun: 0, ended: 0 }
const onEvent = (event: NativeEvent): void => {
  if (event.type === 'end') runs.ended++
}

/** Calls, and checks what comes out; returns whether it succeeded. */
function attempt(label: string, action: () => unknown): boolean {
  let result: unknown
  try {
    result = action()
  } catch (error) {
    if (error instanceof Planted) return false
    if (error instanceof KrylovError) {
      expect(errorCodes, label).toContain(error.code)
      expect(error.message, label).toMatch(/^.+: expected .+/s)
      expect(error.code === 'ERR_NATIVE' ? error.message : '', label).toBe('')
    } else {
      // Calls that never reach us: no `new`, a foreign `this`.
      expect(String(error), label).toMatch(/Illegal invocation|without 'new'|requires 'new'|Class constructor/)
    }
    return false
  }
  if (typeof result === 'object' && result !== null) {
    if (result instanceof Promise) pending.push(result)
    const { promise } = result as { promise?: unknown }
    if (promise instanceof Promise) {
      const task = result as NativeTask<unknown>
      pending.push(task.promise)
      task.abort()
    }
    if (result.constructor?.name === 'Run') {
      runs.begun++
      ;(result as { abort(): void }).abort()
    }
  }
  return true
}

function describeMembers(prototype: object): [string, (self: unknown, args: unknown[]) => unknown][] {
  return Object.entries(Object.getOwnPropertyDescriptors(prototype)).flatMap(([name, { get, value }]) => {
    if (name === 'constructor') return []
    const member = (get ?? value) as (...args: unknown[]) => unknown
    return [[name, (self: unknown, args: unknown[]) => Reflect.apply(member, self, args)]]
  })
}

const members = handles.slice(0, 8).flatMap((make) => {
  const prototype = Object.getPrototypeOf(make()) as object
  return describeMembers(prototype).map(([name, call]) => ({
    name: `${prototype.constructor.name}.${name}`,
    make,
    call,
  }))
})

const functions = Object.entries(native).filter(
  (entry): entry is [string, (...args: unknown[]) => unknown] => typeof entry[1] === 'function',
)

afterAll(async () => {
  await Promise.all(pending)
  while (runs.ended < runs.begun) await new Promise((resolve) => setTimeout(resolve, 5))
})

describe('garbage', () => {
  const args = (next: Random): unknown[] => Array.from({ length: Math.floor(next() * 7) }, () => pick(next, garbage)())

  test.each(functions.filter(([name]) => name !== 'setErrorClass'))('%s', (name, call) => {
    const next = random(name.length)
    for (let round = 0; round < 300; round++) {
      const list = args(next)
      attempt(`${name}, round ${round}`, () => Reflect.apply(call, undefined, list))
      attempt(`new ${name}, round ${round}`, () => Reflect.construct(call, list))
    }
  })

  test.each(members)('$name', ({ name, make, call }) => {
    const next = random(name.length)
    for (let round = 0; round < 200; round++) {
      const list = args(next)
      attempt(`${name}, round ${round}`, () => call(make(), list))
      attempt(`${name} on anything, round ${round}`, () => call(pick(next, garbage)(), list))
    }
  })

  test('classes as constructors of each other', () => {
    const classes = functions.map(([, value]) => value).filter((value) => /Model|Dataset|Optimizer/.test(value.name))
    expect(classes).toHaveLength(3)
    for (const made of classes) {
      for (const target of classes) {
        for (const list of [[twoHeads(), 'float32', 0], [dataset()], [adam(), 3, 'float32']]) {
          let object: unknown
          attempt('construct', () => {
            object = Reflect.construct(made, list, target)
          })
          for (const { name, call } of members) attempt(name, () => call(object, []))
        }
      }
    }
  })

  test('objects that only a model makes', () => {
    const model = new native.Model(twoHeads(), 'float32', 0)
    const trainer = model.trainer(trainOptions())
    const point = model.linearize(new native.Dataset(dataset()), tasks(), 0, 0)
    for (const made of [trainer, point, matrix(), asking()]) {
      const make = made.constructor as new (...args: unknown[]) => unknown
      for (const list of [[], [model], [trainer, point]]) {
        expect(() => new make(...list)).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
      }
    }
  })
})

type Call = { readonly name: string; readonly args: () => unknown[]; readonly call: (args: unknown[]) => unknown }

const model = new native.Model(twoHeads(), 'float32', 0)
const size = model.parameterCount
const rows = 8
const out = (): unknown[] => [new Float32Array(rows * 2), new Float32Array(rows)]
const method =
  (make: () => object, name: string) =>
  (args: unknown[]): unknown => {
    const self = make()
    return Reflect.apply((self as Record<string, (...args: unknown[]) => unknown>)[name] as () => unknown, self, args)
  }
/** Starts a computation with the arguments and lets it go on, on this thread and then on its own. */
function advanced(begin: (...args: never[]) => NativeComputation<unknown>, args: unknown[]): unknown {
  const computation = Reflect.apply(begin, undefined, args) as NativeComputation<unknown>
  if (computation.advance() === null) return computation.result()
  computation.abort()
  computation.answer(null, 0)
  return computation.advanceAsync()
}
const optimizer = (): NativeOptimizerObject => new native.Optimizer(adam(), 3, 'float32')
const point = (): NativePoint => model.linearize(new native.Dataset(dataset()), tasks(), 0.1, 0)
const trainer = (): NativeTrainer => new native.Model(twoHeads(), 'float32', 0).trainer(trainOptions())
const minimizer = (): NativeTrainer =>
  new native.Model(twoHeads(), 'float32', 0).trainer({ ...trainOptions(), optimizer: lbfgs() })
function stepped(): NativeTrainer {
  const made = minimizer()
  made.step(batch(), null, null)
  return made
}
const freshModel = (): NativeModel => new native.Model(twoHeads(), 'float32', 0)
const batch = (): NativeDataset => new native.Dataset(dataset(rows))

const calls: Call[] = [
  {
    name: 'Model',
    args: () => [twoHeads(), 'float32', 7],
    call: ([spec, dtype, seed]) => new native.Model(spec as never, dtype as never, seed as never),
  },
  { name: 'Dataset', args: () => [dataset()], call: ([spec]) => new native.Dataset(spec as never) },
  {
    name: 'Optimizer',
    args: () => [adam(), 3, 'float64'],
    call: ([spec, length, dtype]) => new native.Optimizer(spec as never, length as never, dtype as never),
  },
  { name: 'getParameters', args: () => [new Float64Array(size)], call: method(() => model, 'getParameters') },
  { name: 'setParameters', args: () => [new Float32Array(size)], call: method(freshModel, 'setParameters') },
  {
    name: 'predict',
    args: () => [new Uint8Array(rows * 4), rows, 4, 'probability', ['softmax', 'identity'], out()],
    call: method(() => model, 'predict'),
  },
  {
    name: 'predictAsync',
    args: () => [batch(), 'raw', ['softmax', 'identity'], 1],
    call: method(() => model, 'predictAsync'),
  },
  { name: 'evaluateAsync', args: () => [batch(), tasks(), 0.1, 0], call: method(() => model, 'evaluateAsync') },
  {
    name: 'train',
    args: () => [batch(), { ...trainOptions(), validation: batch(), stability: stabilityOptions() }, onEvent],
    // The listener is ours, so that every run is counted.
    call: ([data, options, listener]) =>
      method(freshModel, 'train')([data, options, typeof listener === 'function' ? onEvent : listener]),
  },
  {
    name: 'train a minimizer',
    args: () => [
      batch(),
      { ...trainOptions(), optimizer: lbfgs(), curvatureBatchSize: 2, earlyStopping: null },
      onEvent,
    ],
    call: ([data, options, listener]) =>
      method(freshModel, 'train')([data, options, typeof listener === 'function' ? onEvent : listener]),
  },
  { name: 'trainer', args: () => [trainOptions()], call: method(freshModel, 'trainer') },
  {
    name: 'Minimization',
    args: () => [lbfgs(), new Float64Array(3), functionSources()],
    call: ([spec, x0, sources]) =>
      advanced(
        (...list: never[]) => new native.Minimization(...(list as unknown as [never, never, never])).update(),
        [spec, x0, sources],
      ),
  },
  {
    name: 'minimization.setState',
    args: () => [minimization().state()],
    call: method(minimization, 'setState'),
  },
  { name: 'linearize', args: () => [batch(), tasks(), 0.1, 0], call: method(freshModel, 'linearize') },
  { name: 'trainer.step', args: () => [batch(), null, null], call: method(trainer, 'step') },
  { name: 'trainer.setState', args: () => [trainer().state()], call: method(trainer, 'setState') },
  {
    name: 'minimizer.step',
    args: () => [batch(), batch(), null],
    call: method(minimizer, 'step'),
  },
  { name: 'minimizer.setState', args: () => [stepped().state()], call: method(minimizer, 'setState') },
  { name: 'point.outputs', args: () => [1], call: method(point, 'outputs') },
  { name: 'point.gradient', args: () => [new Float32Array(size)], call: method(point, 'gradient') },
  {
    name: 'point.perSampleGradients',
    args: () => [2, 3, new Float32Array(3 * size)],
    call: method(point, 'perSampleGradients'),
  },
  {
    name: 'point.perSampleGradientNorms',
    args: () => [new Float64Array(rows)],
    call: method(point, 'perSampleGradientNorms'),
  },
  { name: 'point.jvp', args: () => [new Float32Array(size), out()], call: method(point, 'jvp') },
  { name: 'point.vjp', args: () => [out(), new Float32Array(size)], call: method(point, 'vjp') },
  { name: 'point.operator', args: () => ['ggn'], call: method(point, 'operator') },
  {
    name: 'denseOperator',
    args: () => [new Float64Array(6), 2, 3],
    call: ([values, height, width]) => native.denseOperator(values as never, height as never, width as never),
  },
  {
    name: 'diagonalOperator',
    args: () => [new Float32Array(3)],
    call: ([diagonal]) => native.diagonalOperator(diagonal as never),
  },
  {
    name: 'sumOperator',
    args: () => [[matrix(), matrix()], Float64Array.of(1, 2), 0.5],
    call: ([parts, factors, shift]) => native.sumOperator(parts as never, factors as never, shift as never),
  },
  {
    name: 'lowRankOperator',
    args: () => [new Float32Array(6), Float64Array.of(1, 2), 3],
    call: ([factor, weights, height]) => native.lowRankOperator(factor as never, weights as never, height as never),
  },
  {
    name: 'blockDiagonalOperator',
    args: () => [[matrix(), matrix()]],
    call: ([parts]) => native.blockDiagonalOperator(parts as never),
  },
  {
    name: 'combine',
    args: () => [1, new Float32Array(3), 2, new Float32Array(3), new Float32Array(3)],
    call: (list) => Reflect.apply(native.combine, undefined, list),
  },
  ...['matvec', 'matvecTransposed'].map((name) => ({
    name: `operator.${name}`,
    args: () => [new Float32Array(2), new Float32Array(2)],
    call: method(matrix, name),
  })),
  {
    name: 'operator.matmat',
    args: () => [new Float32Array(6), 3, new Float32Array(6)],
    call: method(matrix, 'matmat'),
  },
  {
    name: 'conjugateGradient',
    args: () => [matrix(), Float32Array.of(1, 2), Float32Array.of(3, 4), matrix(), { ...solverOptions }, -1],
    call: (list) => advanced(native.conjugateGradient, list),
  },
  {
    name: 'minres',
    args: () => [
      { ...foreign },
      Float64Array.of(1, 2),
      null,
      null,
      { ...solverOptions, leastSquaresTolerance: 0, stopAtNegativeCurvature: true, inexactness: 0 },
      1,
    ],
    call: (list) => advanced(native.minres, list),
  },
  {
    name: 'leastSquares',
    args: () => [
      { rows: 3, columns: 2, source: 0, transposedSource: 1 },
      new Float64Array(3).fill(1),
      new Float64Array(2),
      { tolerance: 0, absoluteTolerance: 0, maxIterations: 5, damping: 1 },
      -1,
    ],
    call: (list) => advanced(native.leastSquares, list),
  },
  {
    name: 'lanczos',
    args: () => [matrix(), Float32Array.of(1, 2), { steps: 2, keepBasis: true, reorthogonalise: true }],
    call: (list) => advanced(native.lanczos, list),
  },
  {
    name: 'computation.answer',
    args: () => [Float32Array.of(1, 2), 0],
    call: method(asking, 'answer'),
  },
  {
    name: 'optimizer.step',
    args: () => [new Float32Array(3), new Float32Array(3), new Float32Array(3)],
    call: method(optimizer, 'step'),
  },
  {
    name: 'optimizer.evaluationPoint',
    args: () => [new Float32Array(3), new Float32Array(3)],
    call: method(optimizer, 'evaluationPoint'),
  },
  { name: 'optimizer.getState', args: () => ['m', new Float32Array(3)], call: method(optimizer, 'getState') },
  { name: 'optimizer.setState', args: () => ['v', new Float32Array(3)], call: method(optimizer, 'setState') },
  {
    name: 'scheduleValue',
    args: () => [adam().numbers.learningRate, 5],
    call: ([schedule, t]) => native.scheduleValue(schedule as never, t as never),
  },
  {
    name: 'permutation',
    args: () => [1, 2, 10],
    call: ([seed, epoch, count]) => native.permutation(seed as never, epoch as never, count as never),
  },
]

type Place = { readonly holder: Record<string, unknown>; readonly key: string }

/** Every property of the plain objects and arrays within a list of arguments. */
function places(holder: object): Place[] {
  return Object.keys(holder).flatMap((key) => {
    const record = holder as Record<string, unknown>
    const value = record[key]
    const plain = Array.isArray(value) || Object.getPrototypeOf(value ?? 0) === Object.prototype
    return [{ holder: record, key }, ...(plain ? places(value as object) : [])]
  })
}

/** Damages an argument: one value replaced, removed, of another type or length, detached, or an accessor. */
function damage(next: Random, { holder, key }: Place): void {
  const kind = next()
  if (kind < 0.1) {
    Object.defineProperty(holder, key, {
      configurable: true,
      enumerable: true,
      get: () => {
        throw new Planted()
      },
    })
    return
  }
  const value = Object.getOwnPropertyDescriptor(holder, key)?.value as unknown
  if (ArrayBuffer.isView(value) && !(value instanceof DataView) && kind < 0.5) {
    const array = value as unknown as Float32Array
    const count = array.length
    const swapped = pick(next, [
      () => new (array.constructor as Float32ArrayConstructor)(count + 1),
      () => new (array.constructor as Float32ArrayConstructor)(count * 2),
      () => new Float32Array(new SharedArrayBuffer(4 * count)),
      () => new Float64Array(count),
      () => new Float32Array(count),
      () => new Int32Array(count).fill(-1),
      detached,
    ])()
    Object.defineProperty(holder, key, { configurable: true, enumerable: true, value: swapped })
  } else if (kind < 0.6) {
    delete holder[key]
  } else {
    Object.defineProperty(holder, key, { configurable: true, enumerable: true, value: pick(next, garbage)() })
  }
}

describe('arguments that are nearly right', () => {
  test.each(calls)('$name takes the undamaged ones', ({ name, args, call }) => {
    expect(attempt(name, () => call(args()))).toBe(true)
  })

  test.each(calls)('$name', ({ name, args, call }) => {
    const next = random(name.length)
    for (let round = 0; round < 1200; round++) {
      const list = args()
      const found = places(list)
      damage(next, pick(next, found))
      if (next() < 0.3) damage(next, pick(next, found))
      attempt(`${name}, round ${round}`, () => call(list))
    }
  })
})
