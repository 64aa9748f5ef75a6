// What the addon does with hostile arguments, busy and disposed handles, and memory that the collector does not see.
import { describe, expect, test } from 'vitest'
import { KrylovError } from '../src/internal/errors.js'
import type { NativeDataset, NativeEvent, NativeModel, NativePoint } from '../src/internal/native.js'
import { addon } from '../src/internal/native.js'
import {
  adam,
  cyclic,
  dataset,
  functionSources,
  layer,
  lbfgs,
  tasks,
  trainOptions,
  twoHeads,
} from './support/binding.js'

class Planted extends Error {}

const native = addon()
const nothing = (): void => undefined
const rows = 8
const freshModel = (): NativeModel => new native.Model(twoHeads(), 'float32', 0)
const batch = (): NativeDataset => new native.Dataset(dataset(rows))
const model = freshModel()
const size = model.parameterCount
const out = (): Float32Array[] => [new Float32Array(rows * 2), new Float32Array(rows)]
const point = (): NativePoint => model.linearize(batch(), tasks(), 0, 0)
const withCode = (code: string): unknown => expect.objectContaining({ code })

describe('code that runs while arguments are read', () => {
  /** An array whose first element runs the code when it is read. */
  const trap = (list: unknown[], code: () => void): unknown[] => {
    const first = list[0]
    return Object.defineProperty(list, '0', {
      get: () => {
        code()
        return first
      },
    })
  }
  const transfer = (array: Float32Array): void => {
    structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] })
  }
  const links = ['identity', 'identity'] as const

  test('inputs detached meanwhile', () => {
    const inputs = new Float32Array(rows * 4)
    const outputs = trap(out(), () => transfer(inputs)) as Float32Array[]
    expect(() => model.predict(inputs, rows, 4, 'raw', [...links], outputs)).toThrow(withCode('ERR_SHAPE'))
  })

  test('an output detached by another', () => {
    const [first, second] = out() as [Float32Array, Float32Array]
    const list = [first, second]
    Object.defineProperty(list, '1', {
      get: () => {
        transfer(first)
        return second
      },
    })
    expect(() => model.predict(new Float32Array(rows * 4), rows, 4, 'raw', [...links], list)).toThrow(
      withCode('ERR_SHAPE'),
    )
  })

  test('a model disposed, or asked again, meanwhile', () => {
    const inner = freshModel()
    const list = trap(out(), () => inner.dispose()) as Float32Array[]
    inner.predict(new Float32Array(rows * 4), rows, 4, 'raw', [...links], list)
    expect(() => inner.parameterCount).toThrow(withCode('ERR_STATE'))
    const again = trap(out(), () => {
      model.predict(new Float32Array(4), 1, 4, 'raw', [...links], [new Float32Array(2), new Float32Array(1)])
    }) as Float32Array[]
    model.predict(new Float32Array(rows * 4), rows, 4, 'raw', [...links], again)
  })

  test('a point disposed meanwhile', () => {
    const made = point()
    const list = trap(out(), () => made.dispose()) as Float32Array[]
    expect(() => made.jvp(new Float32Array(size), list)).toThrow(withCode('ERR_STATE'))
  })

  test('the model and the data of a run disposed meanwhile', () => {
    const inner = freshModel()
    const data = batch()
    const options = trainOptions()
    Object.defineProperty(options, 'epochs', {
      get: () => {
        inner.dispose()
        data.dispose()
        return 1
      },
    })
    expect(() => inner.train(data, options, nothing)).toThrow(withCode('ERR_STATE'))
  })

  test('a targets array that grows, data that is detached by a later property', () => {
    const spec = dataset()
    Object.defineProperty(spec, 'sampleWeights', {
      get: () => {
        transfer(spec.inputs as Float32Array)
        return null
      },
    })
    expect(() => new native.Dataset(spec)).toThrow(withCode('ERR_SHAPE'))
  })
})

describe('specs without end', () => {
  const error = withCode('ERR_OPTION')
  const make = (layers: unknown) => new native.Model({ ...twoHeads(), layers: layers as never }, 'float32', 0)

  test('cyclic and deep', () => {
    expect(() => make([cyclic()])).toThrow(error)
    let block: unknown = layer(4)
    for (let depth = 0; depth < 100; depth++) block = { kind: 'residual', layers: [block] }
    expect(() => make([block])).toThrow(error)
    let schedule: unknown = { kind: 'constant', value: 1 }
    for (let depth = 0; depth < 10_000; depth++) {
      schedule = { kind: 'warmup', warmupSteps: 1, startFactor: 0, after: schedule }
    }
    expect(() => native.scheduleValue(schedule as never, 0)).toThrow(error)
  })

  test('few objects that stand for many layers', () => {
    let layers: unknown[] = [layer(4), layer(4)]
    for (let depth = 0; depth < 50; depth++) {
      layers = [
        { kind: 'residual', layers },
        { kind: 'residual', layers },
      ]
    }
    expect(() => make(layers)).toThrow(error)
    expect(() => make(new Array(2 ** 32 - 1))).toThrow(error)
  })

  test('sizes that only overflow could hold', () => {
    expect(() => make([{ ...layer(4), units: 2 ** 53 }])).toThrow(error)
    expect(() => new native.Dataset({ ...dataset(), rows: 2 ** 31, columns: 2 ** 33 })).toThrow(withCode('ERR_SHAPE'))
    expect(() => new native.Optimizer(adam(), 2 ** 53 - 1, 'float32')).toThrow(error)
    expect(() => native.permutation(0, 0, 2 ** 53 - 1)).toThrow(error)
  })
})

describe('the error class', () => {
  test.each([
    [
      'throws',
      class {
        constructor() {
          throw new Planted()
        }
      },
    ],
    ['is no constructor', nothing],
    ['makes no errors', class {}],
  ])('that %s', (_, errorClass) => {
    try {
      native.setErrorClass(errorClass as never)
      expect(() => new native.Dataset(1 as never)).toThrow()
    } finally {
      native.setErrorClass(KrylovError as never)
    }
    expect(() => new native.Dataset(1 as never)).toThrow(KrylovError)
  })
})

describe('busy and disposed', () => {
  /** A run until the action has been called from its first epoch; its events. */
  function during(busy: NativeModel, action: (abort: () => void) => void): Promise<NativeEvent[]> {
    return new Promise((resolve, reject) => {
      const events: NativeEvent[] = []
      const options = { ...trainOptions(), epochs: 2 ** 40, earlyStopping: null }
      const run = busy.train(batch(), options, (event) => {
        events.push(event)
        if (event.type === 'end') return resolve(events)
        if (events.length > 1) return
        try {
          action(() => run.abort())
        } catch (error) {
          run.abort()
          reject(error)
        }
      })
      expect(() => run.state()).toThrow(withCode('ERR_STATE'))
    })
  }

  test('a model that trains answers what reads and refuses what writes', async () => {
    const busy = freshModel()
    const trainer = busy.trainer(trainOptions())
    const promises: Promise<unknown>[] = []
    const events = await during(busy, (abort) => {
      expect(busy.busy).toBe(true)
      const refused = [
        () => busy.train(batch(), trainOptions(), nothing),
        () => busy.setParameters(new Float32Array(size)),
        () => busy.linearize(batch(), tasks(), 0, 0),
        () => busy.dispose(),
        () => trainer.step(batch(), null, null),
      ]
      for (const call of refused) expect(call).toThrow(withCode('ERR_BUSY'))
      busy.getParameters(new Float64Array(size))
      busy.predict(new Float32Array(rows * 4), rows, 4, 'raw', ['identity', 'identity'], out())
      promises.push(busy.evaluateAsync(batch(), tasks(), 0, 0).promise)
      promises.push(busy.predictAsync(batch(), 'class', ['softmax', 'identity'], 0).promise)
      Promise.all(promises).then(abort)
    })
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'aborted' })
    expect(await promises[0]).toMatchObject({ loss: expect.any(Number) })
    expect(await promises[1]).toEqual([expect.any(Int32Array), expect.any(Int32Array)])
    expect(busy.busy).toBe(false)
    trainer.step(batch(), null, null)
    busy.dispose()
  })

  test('a train that is refused leaves the model free', () => {
    const free = freshModel()
    const options = { ...trainOptions(), rows: new Uint32Array([rows]) }
    expect(() => free.train(batch(), options, nothing)).toThrow(withCode('ERR_SHAPE'))
    expect(free.busy).toBe(false)
    free.setParameters(new Float32Array(size))
  })

  test('every epoch arrives, in order; steps are coalesced', async () => {
    const epochs: number[] = []
    let steps = 0
    await new Promise<void>((resolve) => {
      freshModel().train(batch(), { ...trainOptions(), epochs: 200, earlyStopping: null }, (event) => {
        if (event.type === 'epoch') epochs.push(event.epoch)
        else if (event.type === 'step') steps++
        else resolve()
      })
      // Meanwhile nobody listens.
      const until = Date.now() + 100
      while (Date.now() < until);
    })
    expect(epochs).toEqual(Array.from({ length: 200 }, (_, index) => index + 1))
    expect(steps).toBeGreaterThan(0)
    expect(steps).toBeLessThanOrEqual(400)
  })

  test('dispose may come twice; later calls throw', () => {
    const disposed = freshModel()
    const trainer = disposed.trainer(trainOptions())
    disposed.dispose()
    disposed.dispose()
    expect(() => disposed.getParameters(new Float32Array(size))).toThrow(withCode('ERR_STATE'))
    expect(() => disposed.busy).toThrow(withCode('ERR_STATE'))
    expect(() => trainer.step(batch(), null, null)).toThrow(withCode('ERR_STATE'))
    const data = batch()
    data.dispose()
    data.dispose()
    expect(() => data.rows).toThrow(withCode('ERR_STATE'))
    expect(() => model.linearize(data, tasks(), 0, 0)).toThrow(withCode('ERR_STATE'))
    expect(() => model.evaluateAsync(data, tasks(), 0, 0)).toThrow(withCode('ERR_STATE'))
    const made = point()
    made.dispose()
    made.dispose()
    expect(() => made.loss).toThrow(withCode('ERR_STATE'))
    const stepper = freshModel().trainer(trainOptions())
    stepper.dispose()
    stepper.dispose()
    expect(() => stepper.state()).toThrow(withCode('ERR_STATE'))
  })

  test('an aborted task settles with null', async () => {
    const data = new native.Dataset(dataset(100_000))
    // The last of a queue, so that it cannot be over before it is aborted.
    const queue = Array.from({ length: 5 }, () => model.evaluateAsync(data, tasks(), 0, 1))
    for (const task of queue.reverse()) task.abort()
    expect(await queue[0]?.promise).toBeNull()
    await Promise.all(queue.map(({ promise }) => promise))
    queue[0]?.abort()
  })
})

describe('a minimization', () => {
  const make = () => new native.Minimization(lbfgs(), Float64Array.of(3, 4), functionSources())
  const gradient = (x: Float64Array) => x.map((value) => 2 * value)
  const value = (x: Float64Array) => x.reduce((sum, entry) => sum + entry * entry, 0)

  test('asks for what its sources say, and reports', () => {
    const minimization = make()
    const update = minimization.update()
    for (let request = update.advance(); request !== null; request = update.advance()) {
      expect([0, 1]).toContain(request.source)
      const x = request.input as Float64Array
      update.answer(request.outputLength === 0 ? null : gradient(x), value(x))
    }
    expect(update.result()).toMatchObject({ outcome: 'updated', accepted: true, loss: 25 })
    expect(minimization.updates).toBe(1)
    expect(minimization.evaluations).toBeGreaterThan(1)
    expect(value(minimization.x() as Float64Array)).toBeLessThan(25)
  })

  test('one computation at a time; what is left of one frees it', () => {
    const minimization = make()
    const update = minimization.update()
    expect(() => minimization.evaluate()).toThrow(withCode('ERR_BUSY'))
    expect(() => minimization.x()).toThrow(withCode('ERR_BUSY'))
    update.advance()
    update.dispose()
    expect(minimization.x()).toEqual(Float64Array.of(3, 4))
    minimization.dispose()
    minimization.dispose()
    expect(() => minimization.update()).toThrow(withCode('ERR_STATE'))
  })

  test('takes over the state of another one', () => {
    const first = make()
    expect(first.state()).toMatchObject({ updates: 0, evaluations: 0, value: null, gradientKnown: false })
    const update = first.update()
    expect(() => first.state()).toThrow(withCode('ERR_BUSY'))
    expect(() => first.setState(make().state())).toThrow(withCode('ERR_BUSY'))
    for (let request = update.advance(); request !== null; request = update.advance()) {
      const x = request.input as Float64Array
      update.answer(gradient(x), value(x))
    }
    const second = new native.Minimization(lbfgs(), first.x(), functionSources())
    second.setState(first.state())
    expect(second.state()).toEqual(first.state())
    expect([second.updates, second.evaluations]).toEqual([1, first.evaluations])
    const state = first.state()
    for (const wrong of [
      { evaluations: -1 },
      { value: '1' },
      { gradientKnown: 0 },
      { numbers: null },
      { updates: 0.5 },
    ]) {
      expect(() => second.setState({ ...state, ...wrong } as never)).toThrow(withCode('ERR_OPTION'))
    }
    expect(() => second.setState({ ...state, plain: { pairScales: [1] } } as never)).toThrow(withCode('ERR_DTYPE'))
    first.dispose()
    expect(() => first.state()).toThrow(withCode('ERR_STATE'))
    expect(() => first.setState(state)).toThrow(withCode('ERR_STATE'))
  })

  test('a computation outlives its minimization', () => {
    const minimization = make()
    const update = minimization.update()
    update.advance()
    minimization.dispose()
    update.abort()
    update.answer(null, 0)
    while (update.advance() !== null) update.answer(null, 0)
    expect(update.result()).toMatchObject({ outcome: 'stopped' })
  })

  test('what is wrong is named', () => {
    const sources = functionSources()
    const created =
      (...args: unknown[]) =>
      () =>
        Reflect.construct(native.Minimization, args)
    expect(created(lbfgs(), new Float32Array(0), sources)).toThrow(withCode('ERR_SHAPE'))
    expect(created(lbfgs(), [1], sources)).toThrow(withCode('ERR_DTYPE'))
    expect(created(adam(), Float64Array.of(1), sources)).toThrow(withCode('ERR_OPTION'))
    expect(created(lbfgs(), Float64Array.of(1), { ...sources, gradient: false })).toThrow(withCode('ERR_OPTION'))
    expect(created(lbfgs(), Float64Array.of(1), { ...sources, residualCount: -1 })).toThrow(withCode('ERR_OPTION'))
    expect(created({ ...lbfgs(), words: {} }, Float64Array.of(1), sources)).toThrow(withCode('ERR_OPTION'))
  })
})

describe('memory', () => {
  test('handles that are let go are collected before they fill it', async () => {
    const elements = 2 ** 21
    const inputs = new Float32Array(elements)
    const before = process.memoryUsage().rss
    let most = 0
    for (let round = 0; round < 150; round++) {
      new native.Dataset({ inputs, rows: elements / 4, columns: 4, targets: [], sampleWeights: null })
      await new Promise((resolve) => setImmediate(resolve))
      most = Math.max(most, process.memoryUsage().rss - before)
    }
    expect(most).toBeLessThan((150 * inputs.byteLength) / 2)
  })
})
