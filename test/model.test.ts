import { describe, expect, test } from 'vitest'
import type { ActivationOption, Initialiser } from '../src/index.js'
import {
  activationNames,
  createModel,
  dense,
  dropout,
  elu,
  heNormal,
  layerNorm,
  leakyRelu,
  lecunNormal,
  lecunUniform,
  normal,
  orthogonal,
  residual,
  softmaxCrossEntropy,
  softplus,
  sparse,
  torchLinear,
  train,
  truncatedNormal,
  uniform,
  xavierNormal,
  xavierUniform,
} from '../src/index.js'
import { expectClose } from './support/compare.js'
import { randomRows } from './support/data.js'
import { expectError, expectRejection } from './support/errors.js'

describe('layer factories', () => {
  test('fill in every default', () => {
    expect(dense(3)).toEqual({
      kind: 'dense',
      units: 3,
      activation: { kind: 'identity' },
      bias: true,
      weightInitialiser: { kind: 'xavierUniform', gain: 1 },
      biasInitialiser: { kind: 'zeros' },
    })
    expect(layerNorm()).toEqual({ kind: 'layerNorm', epsilon: 1e-5 })
    expect(dropout(0.5)).toEqual({ kind: 'dropout', rate: 0.5 })
    expect(leakyRelu()).toEqual({ kind: 'leakyRelu', slope: 0.01 })
    expect(elu()).toEqual({ kind: 'elu', alpha: 1 })
    expect(softplus()).toEqual({ kind: 'softplus', beta: 1 })
    expect(Object.isFrozen(dense(3))).toBe(true)
  })

  const byActivation: [ActivationOption, Initialiser][] = [
    ['relu', heNormal({ gain: Math.SQRT2 })],
    [leakyRelu({ slope: 0.2 }), heNormal({ gain: Math.sqrt(2 / 1.04) })],
    ['gelu', heNormal()],
    ['tanh', xavierUniform()],
    ['sigmoid', xavierUniform({ gain: 1 })],
    ['selu', lecunNormal()],
  ]
  test.each(byActivation)('the weights of %j start from %j', (activation, initialiser) => {
    expect(dense(2, activation).weightInitialiser).toEqual(initialiser)
  })

  test('every activation makes a model', () => {
    for (const name of activationNames) {
      const model = createModel({ inputs: 2, layers: [dense(3, name), dense(1)], dtype: 'float64' })
      expect(model.predict([0.1, -0.2]).data.every(Number.isFinite), name).toBe(true)
    }
  })
})

describe('spec', () => {
  const options = {
    inputs: 4,
    layers: [{ units: 5, activation: 'tanh' as const }, dropout(0.1), residual([layerNorm(), dense(5, 'relu')])],
    heads: { digit: [dense(3)], parity: [dense(1)] },
    seed: 7,
  }

  test('a resolved spec makes the same model again, also after JSON', () => {
    const model = createModel(options)
    expect(model.spec.inputScale).toBe(1 / 255)
    expect(model.spec.task).toBeNull()
    const again = createModel(JSON.parse(JSON.stringify(model.spec)))
    expect(again.spec).toEqual(model.spec)
    expect(again.parameters).toEqual(model.parameters)
  })

  test('tensor names count every layer, dropout and blocks included', () => {
    const model = createModel(options)
    expect(model.tensors.map(({ name, shape }) => [name, ...shape])).toEqual([
      ['layers.0.weight', 5, 4],
      ['layers.0.bias', 5],
      ['layers.2.layers.0.weight', 5],
      ['layers.2.layers.0.bias', 5],
      ['layers.2.layers.1.weight', 5, 5],
      ['layers.2.layers.1.bias', 5],
      ['heads.digit.0.weight', 3, 5],
      ['heads.digit.0.bias', 3],
      ['heads.parity.0.weight', 1, 5],
      ['heads.parity.0.bias', 1],
    ])
    let offset = 0
    for (const tensor of model.tensors) {
      expect(tensor.offset).toBe(offset)
      offset += tensor.size
    }
    expect(model.parameterCount).toBe(offset)
    expect(model.headNames).toEqual(['digit', 'parity'])
    expect(model.outputs.map(({ name, width }) => [name, width])).toEqual([
      ['digit', 3],
      ['parity', 1],
    ])
  })

  test('summary', () => {
    const text = createModel(options).summary()
    expect(text).toMatch(/layers\.0 +dense 5 tanh +5 +25/)
    expect(text).toMatch(/heads\.digit\.0 +dense 3 identity +3 +18/)
    expect(text).toContain('89 parameters, float32, 356 bytes')
  })
})

describe('parameters', () => {
  test('are copies, in and out', () => {
    const model = createModel({ inputs: 2, layers: [dense(2)], seed: 3 })
    const before = model.parameters
    before.fill(9)
    expect(model.parameters).not.toEqual(before)
    const values = Float32Array.of(1, 2, 3, 4, 5, 6)
    model.setParameters(values)
    values.fill(0)
    expect([...model.parameters]).toEqual([1, 2, 3, 4, 5, 6])
    expect([...model.predict([1, 1]).data]).toEqual([8, 13])
    model.setParameters(Float64Array.of(6, 5, 4, 3, 2, 1))
    expect([...model.parameters]).toEqual([6, 5, 4, 3, 2, 1])
    model.setParameters([1, 0, 0, 1, 0, 0])
    expect([...model.predict([3, 4]).data]).toEqual([3, 4])
  })

  test('views name the parts of a vector', () => {
    const model = createModel({ inputs: 2, layers: [dense(2)], dtype: 'float64' })
    const flat = Float64Array.of(1, 2, 3, 4, 5, 6)
    const views = model.views(flat)
    expect(Object.keys(views)).toEqual(['layers.0.weight', 'layers.0.bias'])
    views['layers.0.bias']?.fill(0)
    expect([...flat]).toEqual([1, 2, 3, 4, 0, 0])
  })

  test('the seed decides them, whatever the dtype', () => {
    const make = (seed: number, dtype: 'float32' | 'float64') =>
      createModel({ inputs: 5, layers: [dense(7, 'relu'), dense(2)], seed, dtype }).parameters
    expect(make(1, 'float64')).toEqual(make(1, 'float64'))
    expect(make(1, 'float64')).not.toEqual(make(2, 'float64'))
    expect(make(1, 'float32')).toEqual(Float32Array.from(make(1, 'float64')))
  })
})

describe('initialisers', () => {
  const [out, fi] = [120, 80]
  const limit = (n: number, kurtosis: number): number => 4.5 * Math.sqrt((kurtosis - 1) / n)
  // Mean square of W and kurtosis of its entries, from the formulas.
  const table: [string, Initialiser, number, number, number][] = [
    ['lecunNormal', lecunNormal(), 1 / fi, 3, Infinity],
    ['lecunUniform', lecunUniform(), 1 / fi, 1.8, Math.sqrt(3 / fi)],
    ['xavierNormal', xavierNormal({ gain: 2 }), 8 / (fi + out), 3, Infinity],
    ['xavierUniform', xavierUniform(), 2 / (fi + out), 1.8, Math.sqrt(6 / (fi + out))],
    ['heNormal', heNormal(), 2 / fi, 3, Infinity],
    ['heNormal fanOut', heNormal({ mode: 'fanOut', gain: 1 }), 1 / out, 3, Infinity],
    ['torchLinear', torchLinear(), 1 / (3 * fi), 1.8, 1 / Math.sqrt(fi)],
    ['normal', normal({ standardDeviation: 0.3 }), 0.09, 3, Infinity],
    ['uniform', uniform({ bound: 0.3 }), 0.03, 1.8, 0.3],
    ['sparse', sparse(), 15 / fi, (3 * fi) / 15, Infinity],
    ['truncatedNormal', truncatedNormal({ standardDeviation: 1 }), 0.87962566 ** 2, 3, 2],
  ]
  test.each(table)('%s has its statistics', (_, weightInitialiser, meanSquare, kurtosis, bound) => {
    const model = createModel({
      inputs: fi,
      layers: [dense(out, 'identity', { weightInitialiser })],
      dtype: 'float64',
      seed: 11,
    })
    const w = model.views()['layers.0.weight'] as Float64Array
    const n = w.length
    const mean = w.reduce((sum, x) => sum + x, 0) / n
    const square = w.reduce((sum, x) => sum + x * x, 0) / n
    expect(Math.abs(mean)).toBeLessThanOrEqual(4.5 * Math.sqrt(meanSquare / n))
    expect(Math.abs(square / meanSquare - 1)).toBeLessThanOrEqual(limit(n, kurtosis))
    const most = w.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0)
    expect(most).toBeLessThanOrEqual(bound)
    if (bound !== Infinity && kurtosis === 1.8) expect(most).toBeGreaterThan(0.99 * bound)
  })

  test('sparse rows have exactly their connections', () => {
    const layer = dense(out, 'identity', { weightInitialiser: sparse({ connections: 6 }) })
    const w = createModel({ inputs: fi, layers: [layer] }).views()['layers.0.weight'] as Float32Array
    for (let row = 0; row < out; row++) {
      expect(w.subarray(row * fi, (row + 1) * fi).filter((x) => x !== 0).length).toBe(6)
    }
  })

  test.each([
    [6, 9],
    [9, 6],
  ])('orthogonal [%i, %i]', (rows, columns) => {
    const layer = dense(rows, 'identity', { weightInitialiser: orthogonal({ gain: 2 }) })
    const w = createModel({ inputs: columns, layers: [layer], dtype: 'float64' }).views()[
      'layers.0.weight'
    ] as Float64Array
    const short = Math.min(rows, columns)
    const at = (line: number, k: number) => (rows <= columns ? w[line * columns + k] : w[k * columns + line]) as number
    for (let a = 0; a < short; a++) {
      for (let b = 0; b < short; b++) {
        let sum = 0
        for (let k = 0; k < Math.max(rows, columns); k++) sum += at(a, k) * at(b, k)
        expectClose([sum], [a === b ? 4 : 0], 1e-12, `product ${a}, ${b}`)
      }
    }
  })
})

describe('predict', () => {
  const model = createModel({ inputs: 3, layers: [dense(4, 'tanh'), dense(3)], seed: 5 })
  const rows = randomRows(150, 3, 2)
  const reference = model.predict(rows)

  test('every form of input gives the same bits', () => {
    const flat = Float32Array.from(rows.flat())
    expect(reference.shape).toEqual([150, 3])
    expect(model.predict({ data: flat, shape: [150, 3] }).data).toEqual(reference.data)
    expect(model.predict(flat).data).toEqual(reference.data)
    const shared = new Float32Array(new SharedArrayBuffer(flat.byteLength))
    shared.set(flat)
    expect(model.predict({ data: shared, shape: [150, 3] }).data).toEqual(reference.data)
    rows.forEach((row, index) => {
      const expected = reference.data.slice(3 * index, 3 * index + 3)
      expect(model.predict(row).data).toEqual(expected)
      const single = model.predict(Float32Array.from(row))
      expect(single.data).toEqual(expected)
      expect(single.shape).toEqual([1, 3])
    })
  })

  test('predictAsync gives the same bits and stops at a signal', async () => {
    expect(await model.predictAsync(rows)).toEqual(reference)
    expect(await model.predictAsync(rows, { output: 'class', threads: 1 })).toEqual(
      model.predict(rows, { output: 'class' }),
    )
    const reason = new Error('enough')
    await expect(model.predictAsync(rows, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })

  test('without a link there are no probabilities, and no classes of a single output', async () => {
    const message = "train the model, or give createModel its task, such as 'softmax'"
    expectError(() => model.predict(rows, { output: 'probability' }), 'ERR_STATE', 'predict output', message)
    const refused = model.predictAsync(rows, { output: 'probability' })
    await expect(refused).rejects.toThrow(/predictAsync output.*'probability'/)
    const layers = [dense(4, 'relu')]
    const heads = createModel({ inputs: 3, layers, heads: { a: [dense(2)], b: [dense(1)] } })
    expectError(() => heads.predict(rows, { output: 'class' }), 'ERR_STATE', "the output 'b'", "'sigmoid'")
    expectError(() => heads.predict(rows, { output: 'clas' as never }), 'ERR_OPTION', 'predict output', "'class'")
    const trained = createModel(model.spec)
    const data = { inputs: rows, targets: rows.map((_, i) => i % 3) }
    await train(trained, data, { loss: softmaxCrossEntropy(), epochs: 1 })
    const [a = 0, b = 0, c = 0] = trained.predict(rows.slice(0, 1), { output: 'probability' }).data
    expect(a + b + c).toBeCloseTo(1, 6)
  })

  test('probabilities and classes of an untrained model that is told its links', () => {
    const told = createModel({ inputs: 3, layers: [dense(4, 'tanh'), dense(3)], seed: 5, task: 'softmax' })
    const { data } = told.predict(rows, { output: 'probability' })
    const classes = model.predict(rows, { output: 'class' })
    expect(classes).toBeInstanceOf(Int32Array)
    rows.forEach((_, row) => {
      const z = [...reference.data.subarray(3 * row, 3 * row + 3)]
      const sum = z.reduce((total, x) => total + Math.exp(x), 0)
      expectClose(
        data.subarray(3 * row, 3 * row + 3),
        z.map((x) => Math.exp(x) / sum),
        1e-6,
        'softmax',
      )
      expect(classes[row]).toBe(z.indexOf(Math.max(...z)))
    })
    const one = createModel({ inputs: 3, layers: [dense(1)], seed: 2, task: 'sigmoid' })
    const raw = one.predict(rows).data
    expectClose(
      one.predict(rows, { output: 'probability' }).data,
      raw.map((x) => 1 / (1 + Math.exp(-x))),
      1e-6,
      'sigmoid',
    )
    expect([...one.predict(rows, { output: 'class' })]).toEqual([...raw].map((x) => (x > 0 ? 1 : 0)))
    const squashed = createModel({ inputs: 3, layers: [dense(1, 'sigmoid')], seed: 2 })
    expect(squashed.predict(rows, { output: 'probability' })).toEqual(squashed.predict(rows))
  })

  test('bytes are scaled by the model', () => {
    const bytes = Uint8Array.of(0, 51, 255)
    const expected = model.predict(Float32Array.from(bytes, (x) => Math.fround(x * Math.fround(1 / 255)))).data
    expectClose(model.predict(bytes).data, expected, 1e-6, 'bytes')
    const plain = createModel({ inputs: 3, layers: [dense(4, 'tanh'), dense(3)], seed: 5, inputScale: 1 })
    expectClose(plain.predict(bytes).data, model.predict(Float32Array.from(bytes)).data, 1e-6, 'scale 1')
  })

  test('with heads gives an object of outputs', async () => {
    const task = { a: 'softmax', b: 'sigmoid' } as const
    const heads = createModel({
      inputs: 3,
      layers: [dense(4, 'relu')],
      heads: { a: [dense(2)], b: [dense(1)] },
      task,
    })
    const out = heads.predict(rows)
    expect(out.a.shape).toEqual([150, 2])
    expect(out.b.shape).toEqual([150, 1])
    expect(await heads.predictAsync(rows)).toEqual(out)
    expect(heads.predict(rows, { output: 'class' }).a.length).toBe(150)
  })

  test('dropout does nothing', () => {
    const layers = [dense(8, 'relu'), dropout(0.9), dense(2)]
    const a = createModel({ inputs: 3, layers, seed: 1 })
    expect(a.predict(rows)).toEqual(a.predict(rows))
    const b = createModel({ inputs: 3, layers: [layers[0]!, dropout(0), layers[2]!], seed: 1 })
    expect(a.predict(rows)).toEqual(b.predict(rows))
  })

  test('no rows give no rows', async () => {
    const none = { data: new Float32Array(0), shape: [0, 3] as const }
    expect(model.predict(none)).toEqual({ data: new Float32Array(0), shape: [0, 3] })
    expect((await model.predictAsync(none)).shape).toEqual([0, 3])
  })

  test('rejects what does not fit', async () => {
    expectError(() => model.predict([1, 2, 3, 4]), 'ERR_SHAPE', 'inputs', '3')
    expectError(() => model.predict([[1, 2]]), 'ERR_SHAPE', 'inputs', '3 columns', '2')
    expectError(() => model.predict(Float32Array.of(1, Number.NaN, 0)), 'ERR_NOT_FINITE', 'inputs', 'column 1')
    expectError(() => model.predict('x' as never), 'ERR_SHAPE', 'inputs')
    expectError(() => model.predict(rows, { output: 'klass' as never }), 'ERR_OPTION', "did you mean 'class'")
    expectError(() => model.predict(rows, { outputs: 'raw' } as never), 'ERR_OPTION', "did you mean 'output'")
    await expectRejection(() => model.predictAsync(rows, { threads: 0 }), 'ERR_OPTION', 'threads')
  })
})

test('a disposed model says so', () => {
  const model = createModel({ inputs: 1, layers: [dense(1)] })
  model.dispose()
  expectError(() => model.parameters, 'ERR_STATE')
  expectError(() => model.predict([1]), 'ERR_STATE')
})
