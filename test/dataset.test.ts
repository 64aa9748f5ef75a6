import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Dataset, DatasetSpec } from '../src/data/dataset.js'
import { splitData, toDataset } from '../src/data/dataset.js'
import { datasetFromCsv, datasetFromIdx } from '../src/data/load.js'
import { errorOf } from './support/thrown.js'

describe('toDataset', () => {
  const spec: DatasetSpec = { columns: 2, targets: { kind: 'class', classes: 2 } }
  const inputs = [
    [1, 2],
    [3, 4],
  ]

  it('checks every part', () => {
    expect(toDataset({ inputs, targets: [0, 1], sampleWeights: [1, 2] }, 'data', spec)).toEqual({
      inputs: { data: new Float64Array([1, 2, 3, 4]), shape: [2, 2] },
      targets: new Int32Array([0, 1]),
      sampleWeights: new Float64Array([1, 2]),
    })
  })

  it('passes the dtype on', () => {
    const dense: DatasetSpec = { columns: 2, targets: { kind: 'dense', columns: 1 }, dtype: 'float32' }
    const data = toDataset({ inputs, targets: [5, 6], sampleWeights: undefined }, '', dense)
    expect(data.inputs.data).toBeInstanceOf(Float32Array)
    expect(data.targets).toEqual({ data: new Float32Array([5, 6]), shape: [2, 1] })
    expect('sampleWeights' in data).toBe(false)
  })

  it('takes targets by head', () => {
    const heads: DatasetSpec = {
      columns: 2,
      targets: { heads: { digit: { kind: 'class', classes: 3 }, angle: { kind: 'dense', columns: 1 } } },
    }
    const data = toDataset({ inputs, targets: { angle: [0.5, 1], digit: [2, 0] } }, 'data', heads)
    expect(data.targets).toEqual(
      Object.assign(Object.create(null), {
        digit: new Int32Array([2, 0]),
        angle: { data: new Float64Array([0.5, 1]), shape: [2, 1] },
      }),
    )
    expect(errorOf(() => toDataset({ inputs, targets: { digit: [0, 1] } }, 'data', heads)).message).toBe(
      'data.targets.angle: expected targets for this head, received undefined',
    )
    expect(errorOf(() => toDataset({ inputs, targets: { digti: [0, 1] } }, 'data', heads)).message).toBe(
      "data.targets: unknown head 'digti'; did you mean 'digit'?",
    )
  })

  it.each<[string, unknown, string]>([
    ['a misspelt part', { input: inputs, targets: [0, 1] }, "data: unknown part 'input'; did you mean 'inputs'?"],
    ['no object', inputs, 'data: expected an object, received array(2) [array(2), array(2)]'],
    ['rows that differ', { inputs, targets: [0] }, 'data.targets: expected 2 rows, received 1 row'],
    [
      'weights that differ',
      { inputs, targets: [0, 1], sampleWeights: [1] },
      'data.sampleWeights: expected 2 rows, received 1 row',
    ],
    ['a wrong width', { inputs: [[1]], targets: [0] }, 'data.inputs[0]: expected 2 columns, received 1'],
  ])('rejects %s', (_, value, message) => {
    expect(errorOf(() => toDataset(value, 'data', spec)).message).toBe(message)
  })
})

describe('splitData', () => {
  const data: Dataset = {
    inputs: { data: new Float32Array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4]), shape: [5, 2] },
    targets: { a: new Int32Array([0, 1, 2, 3, 4]), b: { data: new Float64Array([0, 1, 2, 3, 4]), shape: [5, 1] } },
    sampleWeights: new Float64Array([0, 1, 2, 3, 4]),
    names: { inputs: ['x', 'y'] },
  }

  it('cuts views off the end', () => {
    const { train, validation } = splitData(data, { count: 2 })
    expect(train.inputs).toEqual({ data: new Float32Array([0, 0, 1, 1, 2, 2]), shape: [3, 2] })
    expect(validation.inputs).toEqual({ data: new Float32Array([3, 3, 4, 4]), shape: [2, 2] })
    expect(validation.targets).toEqual({
      a: new Int32Array([3, 4]),
      b: { data: new Float64Array([3, 4]), shape: [2, 1] },
    })
    expect(validation.sampleWeights).toEqual(new Float64Array([3, 4]))
    expect(validation.names).toBe(data.names)
    expect(validation.inputs.data.buffer).toBe(data.inputs.data.buffer)
  })

  it('takes rows in a given order', () => {
    const order = new Uint32Array([4, 0, 3, 1, 2])
    const { train, validation } = splitData(data, { fraction: 0.4, order })
    expect(train.inputs.data).toEqual(new Float32Array([4, 4, 0, 0, 3, 3]))
    expect(train.sampleWeights).toEqual(new Float64Array([4, 0, 3]))
    expect(validation.targets).toEqual({
      a: new Int32Array([1, 2]),
      b: { data: new Float64Array([1, 2]), shape: [2, 1] },
    })
    expect(validation.inputs.data.buffer).not.toBe(data.inputs.data.buffer)
  })

  it('cuts single targets', () => {
    const single = { inputs: data.inputs, targets: new Int32Array([0, 1, 2, 3, 4]) }
    const split = splitData(single, { fraction: 0.2 })
    expect(split.train.targets).toEqual(new Int32Array([0, 1, 2, 3]))
    expect('sampleWeights' in split.train).toBe(false)
  })

  it.each<[string, unknown, string]>([
    [
      'both',
      { fraction: 0.5, count: 2 },
      'splitData options: expected either fraction or count, received object { fraction, count }',
    ],
    ['neither', {}, 'splitData options: expected either fraction or count, received an empty object'],
    ['a fraction of 1', { fraction: 1 }, 'splitData fraction: expected a finite number > 0 and < 1, received 1'],
    [
      'too small a part',
      { fraction: 0.01 },
      'splitData: expected at least one row in each part, received 0 of 5 rows for validation',
    ],
    [
      'everything',
      { count: 5 },
      'splitData: expected at least one row in each part, received 5 of 5 rows for validation',
    ],
    [
      'an order of other length',
      { count: 1, order: new Uint32Array(4) },
      'splitData order: expected 5 row numbers, received 4',
    ],
    [
      'a row twice',
      { count: 1, order: new Uint32Array([0, 1, 2, 3, 3]) },
      'splitData order[4]: expected every row once, received 3',
    ],
    [
      'a row beyond',
      { count: 1, order: new Uint32Array([0, 1, 2, 3, 5]) },
      'splitData order[4]: expected a row number below 5, received 5',
    ],
    [
      'an ordinary array',
      { count: 1, order: [0, 1, 2, 3, 4] },
      'splitData order: expected a Uint32Array, received array(5) [0, 1, 2, 3, …]',
    ],
    ['a misspelt option', { faction: 0.5 }, "splitData options: unknown option 'faction'; did you mean 'fraction'?"],
  ])('rejects %s', (_, options, message) => {
    expect(errorOf(() => splitData(data, options as { count: number })).message).toBe(message)
  })

  it('rejects parts of different length', () => {
    const odd = { inputs: data.inputs, targets: new Int32Array(4) }
    expect(errorOf(() => splitData(odd, { count: 1 })).message).toBe(
      'splitData targets: expected 5 rows, as inputs have, received 4',
    )
  })
})

describe('files', () => {
  let folder = ''
  const at = (name: string): string => join(folder, name)
  const idx = (type: number, shape: number[], values: number[]): Buffer => {
    const head = Buffer.alloc(4 + 4 * shape.length)
    head.set([0, 0, type, shape.length])
    shape.forEach((size, axis) => {
      head.writeUInt32BE(size, 4 + 4 * axis)
    })
    return Buffer.concat([head, Buffer.from(values)])
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'krylov-data-'))
    await writeFile(at('images'), gzipSync(idx(8, [3, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255])))
    await writeFile(at('labels'), idx(8, [3], [7, 2, 1]))
    await writeFile(at('two-labels'), idx(8, [2], [7, 2]))
    await writeFile(at('shorts'), idx(0x0b, [1, 2], [0xff, 0xff, 1, 0]))
    await writeFile(at('one-label'), idx(9, [1], [0xff]))
    await writeFile(at('table.csv'), 'x,y,k\n1,2,b\n3,4,a\n')
  })
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('of IDX make a dataset', async () => {
    const data = await datasetFromIdx(at('images'), at('labels'))
    expect(data.inputs.shape).toEqual([3, 4])
    expect(data.inputs.data[11]).toBe(255)
    expect(data.inputs.data).toBeInstanceOf(Uint8Array)
    expect(data.targets).toEqual(new Int32Array([7, 2, 1]))
  })

  it('of IDX must fit each other', async () => {
    await expect(datasetFromIdx(at('images'), at('two-labels'))).rejects.toMatchObject({
      code: 'ERR_SHAPE',
      message: `${at('two-labels')}: expected 3 labels, one for each image, received 2`,
    })
    await expect(datasetFromIdx(at('labels'), at('images'))).rejects.toMatchObject({
      code: 'ERR_SHAPE',
      message: `${at('images')}: expected one label for each image (rank 1), received shape [3, 2, 2]`,
    })
    await expect(datasetFromIdx(at('shorts'), at('one-label'))).rejects.toMatchObject({ code: 'ERR_OPTION' })
  })

  it('of CSV make a dataset with numbers', async () => {
    expect(await datasetFromCsv(at('table.csv'), { columns: ['x'], target: 'y' })).toEqual({
      inputs: { data: new Float32Array([1, 3]), shape: [2, 1] },
      targets: { data: new Float32Array([2, 4]), shape: [2, 1] },
      names: { inputs: ['x'], targets: ['y'] },
    })
  })

  it('of CSV make a dataset with classes', async () => {
    const data = await datasetFromCsv(at('table.csv'), { target: 'k', targetKind: 'class', dtype: 'float64' })
    expect(data).toEqual({
      inputs: { data: new Float64Array([1, 2, 3, 4]), shape: [2, 2] },
      targets: new Int32Array([1, 0]),
      names: { inputs: ['x', 'y'], targets: ['k'], classes: ['a', 'b'] },
    })
    const spec: DatasetSpec = { columns: 2, targets: { kind: 'class', classes: 2 } }
    expect(toDataset(data, 'data', spec)).toEqual(data)
  })

  it('of CSV need a target and an input', async () => {
    await expect(datasetFromCsv(at('table.csv'), {} as { target: string })).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: 'datasetFromCsv target: expected a column name or index, received undefined',
    })
    await writeFile(at('one.csv'), 'y\n1\n')
    await expect(datasetFromCsv(at('one.csv'), { target: 'y' })).rejects.toMatchObject({
      code: 'ERR_SHAPE',
      message: `${at('one.csv')}: expected at least one column beside the target, received none`,
    })
  })
})
