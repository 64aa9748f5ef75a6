import { describe, expect, it } from 'vitest'
import type { Matrix, MatrixOptions } from '../src/data/matrix.js'
import { toMatrix } from '../src/data/matrix.js'
import type { TargetSpec } from '../src/data/targets.js'
import { toSampleWeights, toTargets } from '../src/data/targets.js'
import { errorOf } from './support/thrown.js'

function detached<A extends Float32Array | Uint8Array | Int32Array>(values: A): A {
  structuredClone(values.buffer, { transfer: [values.buffer as ArrayBuffer] })
  return values
}

describe('toMatrix', () => {
  it.each<[string, unknown, MatrixOptions, Matrix]>([
    [
      'a matrix',
      { data: new Float32Array([1, 2, 3, 4]), shape: [2, 2] },
      { columns: 2 },
      { data: new Float32Array([1, 2, 3, 4]), shape: [2, 2] },
    ],
    ['bytes', { data: new Uint8Array([1, 255]), shape: [2, 1] }, {}, { data: new Uint8Array([1, 255]), shape: [2, 1] }],
    [
      'rows',
      [
        [1, 2],
        [3, 4],
      ],
      {},
      { data: new Float64Array([1, 2, 3, 4]), shape: [2, 2] },
    ],
    ['rows as float32', [[1, 2]], { dtype: 'float32' }, { data: new Float32Array([1, 2]), shape: [1, 2] }],
    ['typed rows', [new Float32Array([1, 2]), [3, 4]], {}, { data: new Float64Array([1, 2, 3, 4]), shape: [2, 2] }],
    [
      'flat values',
      new Float64Array([1, 2, 3, 4]),
      { columns: 2 },
      { data: new Float64Array([1, 2, 3, 4]), shape: [2, 2] },
    ],
    ['one row of numbers', [1, 2, 3], { columns: 3 }, { data: new Float64Array([1, 2, 3]), shape: [1, 3] }],
    ['a list for one column', [1, 2, 3], { columns: 1 }, { data: new Float64Array([1, 2, 3]), shape: [3, 1] }],
    ['no rows', [], { columns: 3 }, { data: new Float64Array(0), shape: [0, 3] }],
    ['no rows, typed', { data: new Float32Array(0), shape: [0, 3] }, {}, { data: new Float32Array(0), shape: [0, 3] }],
    [
      'a vector for one column',
      { data: new Float32Array([1, 2]), shape: [2] },
      { columns: 1 },
      { data: new Float32Array([1, 2]), shape: [2, 1] },
    ],
  ])('takes %s', (_, value, options, expected) => {
    expect(toMatrix(value, 'inputs', options)).toEqual(expected)
  })

  it('does not copy typed arrays in ordinary memory', () => {
    const data = new Float32Array([1, 2])
    expect(toMatrix({ data, shape: [1, 2] }, 'x').data).toBe(data)
    expect(toMatrix(data, 'x', { columns: 2 }).data).toBe(data)
  })

  it.each([
    new Float32Array(new SharedArrayBuffer(16)),
    new Float64Array(new SharedArrayBuffer(32)),
    new Uint8Array(new SharedArrayBuffer(4)),
  ])('copies shared memory: %o', (data) => {
    data.fill(3)
    const matrix = toMatrix({ data, shape: [2, 2] }, 'x')
    expect(matrix.data.buffer).toBeInstanceOf(ArrayBuffer)
    expect(matrix.data.constructor).toBe(data.constructor)
    expect(Array.from(matrix.data)).toEqual([3, 3, 3, 3])
    expect(toMatrix(data, 'x', { columns: 2 }).data.buffer).toBeInstanceOf(ArrayBuffer)
  })

  it.each<[string, unknown, MatrixOptions, string, string]>([
    ['ragged rows', [[1, 2], [3]], {}, 'ERR_SHAPE', 'inputs[1]: expected 2 columns, as in the first row, received 1'],
    ['a wrong width', [[1, 2]], { columns: 3 }, 'ERR_SHAPE', 'inputs[0]: expected 3 columns, received 2'],
    [
      'a wrong shape',
      { data: new Float32Array(4), shape: [2, 2] },
      { columns: 3 },
      'ERR_SHAPE',
      'inputs: expected shape [2, 3], received shape [2, 2]',
    ],
    [
      'a wrong number of rows',
      [[1], [2]],
      { rows: 3 },
      'ERR_SHAPE',
      'inputs: expected shape [3, 1], received shape [2, 1]',
    ],
    [
      'a wrong length',
      { data: new Float32Array(5), shape: [2, 2] },
      {},
      'ERR_SHAPE',
      'inputs.data: expected 4 values for shape [2, 2], received 5',
    ],
    [
      'a fractional shape',
      { data: new Float32Array(4), shape: [2.5, 2] },
      {},
      'ERR_SHAPE',
      'inputs.shape: expected [rows, columns], received array(2) [2.5, 2]',
    ],
    [
      'three sizes',
      { data: new Float32Array(4), shape: [1, 2, 2] },
      {},
      'ERR_SHAPE',
      'inputs.shape: expected [rows, columns], received [1, 2, 2]',
    ],
    [
      'a vector',
      { data: new Float32Array(4), shape: [4] },
      {},
      'ERR_SHAPE',
      'inputs.shape: expected [rows, columns], received [4]',
    ],
    [
      'no columns',
      { data: new Float32Array(0), shape: [3, 0] },
      {},
      'ERR_SHAPE',
      'inputs.shape: expected at least one column, received [3, 0]',
    ],
    [
      'no shape',
      { data: new Float32Array(4) },
      {},
      'ERR_SHAPE',
      'inputs.shape: expected [rows, columns], received undefined',
    ],
    [
      'flat values of unknown width',
      new Float32Array(4),
      {},
      'ERR_SHAPE',
      'inputs: expected a matrix { data, shape: [rows, columns] } or an array of rows, received Float32Array(4)',
    ],
    [
      'flat values of a wrong length',
      new Float32Array(4),
      { columns: 3 },
      'ERR_SHAPE',
      'inputs: expected a multiple of 3 values (the number of columns), received 4',
    ],
    [
      'nothing',
      [],
      {},
      'ERR_SHAPE',
      'inputs: expected at least one row of at least one column, received an empty array',
    ],
    [
      'undefined',
      undefined,
      {},
      'ERR_SHAPE',
      'inputs: expected a matrix { data, shape: [rows, columns] } or an array of rows, received undefined',
    ],
    [
      'other element types',
      { data: new Int32Array(4), shape: [2, 2] },
      {},
      'ERR_DTYPE',
      'inputs.data: expected a Float32Array, Float64Array or Uint8Array, received Int32Array(4)',
    ],
    [
      'other typed arrays',
      new Int16Array(4),
      { columns: 2 },
      'ERR_DTYPE',
      'inputs: expected a matrix { data, shape: [rows, columns] } or an array of rows, received Int16Array(4)',
    ],
    ['text', [[1, '2']], {}, 'ERR_DTYPE', "inputs[0][1]: expected a number, received '2'"],
    ['text in a row', [1, '2'], { columns: 2 }, 'ERR_DTYPE', "inputs[1]: expected a number, received '2'"],
    ['mixed rows', [[1], 2], {}, 'ERR_DTYPE', 'inputs[1]: expected a row (an array of numbers), received 2'],
    [
      'NaN',
      [
        [1, 2],
        [3, Number.NaN],
      ],
      {},
      'ERR_NOT_FINITE',
      'inputs at row 1, column 1: expected a finite number, received NaN',
    ],
    [
      'infinity in float32',
      { data: new Float32Array([1, 2, 3, 4, Number.NEGATIVE_INFINITY, 6]), shape: [2, 3] },
      {},
      'ERR_NOT_FINITE',
      'inputs at row 1, column 1: expected a finite number, received -Infinity',
    ],
    [
      'a number too large for float32',
      [[1e39]],
      { dtype: 'float32' },
      'ERR_NOT_FINITE',
      'inputs at row 0, column 0: expected a finite number, received Infinity',
    ],
  ])('rejects %s', (_, value, options, code, message) => {
    const error = errorOf(() => toMatrix(value, 'inputs', options))
    expect(error.message).toBe(message)
    expect(error.code).toBe(code)
  })

  it('gives row and column as data', () => {
    const error = errorOf(() => toMatrix(new Float64Array([0, 0, Number.NaN]), 'x', { columns: 2 - 1 }))
    expect(error.details).toMatchObject({ path: 'x', row: 2, column: 0 })
  })

  it('rejects memory that was transferred away', () => {
    for (const shape of [
      [2, 2],
      [0, 2],
    ]) {
      const data = detached(new Float32Array(4))
      const error = errorOf(() => toMatrix({ data, shape }, 'inputs'))
      expect(error.code).toBe('ERR_SHAPE')
      expect(error.message).toBe('inputs.data: expected an array with its memory, received a detached buffer')
    }
    expect(errorOf(() => toMatrix(detached(new Uint8Array(4)), 'x', { columns: 2 })).message).toMatch(/detached/)
  })
})

describe('toTargets', () => {
  const classes: TargetSpec & { kind: 'class' } = { kind: 'class', classes: 3 }

  it.each<[string, unknown]>([
    ['numbers', [0, 2, 1]],
    ['bytes', new Uint8Array([0, 2, 1])],
    ['int32', new Int32Array([0, 2, 1])],
    ['uint16', new Uint16Array([0, 2, 1])],
    ['floats that are integers', new Float32Array([0, 2, 1])],
    ['a vector', { data: new Uint8Array([0, 2, 1]), shape: [3] }],
    ['a column', { data: new Float64Array([0, 2, 1]), shape: [3, 1] }],
    ['shared memory', new Uint8Array(new SharedArrayBuffer(3)).map((_, index) => [0, 2, 1][index] ?? 0)],
  ])('takes class indices as %s', (_, value) => {
    const targets = toTargets(value, 'targets', classes)
    expect(targets).toEqual(new Int32Array([0, 2, 1]))
    expect(targets).not.toBe(value)
  })

  it.each<[string, unknown, TargetSpec, string, string]>([
    [
      'a class too large',
      [0, 3],
      classes,
      'ERR_OPTION',
      'targets[1]: expected a class index (an integer from 0 to 2), received 3',
    ],
    [
      'a negative class',
      new Int32Array([-1]),
      classes,
      'ERR_OPTION',
      'targets[0]: expected a class index (an integer from 0 to 2), received -1',
    ],
    [
      'a fraction',
      [0, 1, 1.5],
      classes,
      'ERR_OPTION',
      'targets[2]: expected a class index (an integer from 0 to 2), received 1.5',
    ],
    [
      'NaN',
      [Number.NaN],
      classes,
      'ERR_NOT_FINITE',
      'targets[0]: expected a class index (an integer from 0 to 2), received NaN',
    ],
    ['text', ['a'], classes, 'ERR_DTYPE', "targets[0]: expected a class index (an integer from 0 to 2), received 'a'"],
    [
      'one-hot rows',
      [[0, 1]],
      classes,
      'ERR_DTYPE',
      'targets[0]: expected a class index (an integer from 0 to 2), received array(2) [0, 1]',
    ],
    [
      'a matrix',
      { data: new Uint8Array(6), shape: [2, 3] },
      classes,
      'ERR_SHAPE',
      'targets.shape: expected [rows], received array(2) [2, 3]',
    ],
    [
      'a wrong shape',
      { data: new Uint8Array(6), shape: [5] },
      classes,
      'ERR_SHAPE',
      'targets.shape: expected [6], the length of data, received array(1) [5]',
    ],
    [
      'big integers',
      new BigInt64Array(2),
      classes,
      'ERR_DTYPE',
      'targets: expected an array of class indices, received BigInt64Array(2)',
    ],
    ['a wrong count', [0, 1], { ...classes, rows: 3 }, 'ERR_SHAPE', 'targets: expected 3 rows, received 2 rows'],
    [
      'a dense row too short',
      [[1, 2]],
      { kind: 'dense', columns: 3 },
      'ERR_SHAPE',
      'targets[0]: expected 3 columns, received 2',
    ],
    [
      'dense rows of a wrong count',
      [[1], [2]],
      { kind: 'dense', columns: 1, rows: 3 },
      'ERR_SHAPE',
      'targets: expected shape [3, 1], received shape [2, 1]',
    ],
    [
      'a dense NaN',
      [1, Number.NaN],
      { kind: 'dense', columns: 1 },
      'ERR_NOT_FINITE',
      'targets at row 1, column 0: expected a finite number, received NaN',
    ],
  ])('rejects %s', (_, value, spec, code, message) => {
    const error = errorOf(() => toTargets(value, 'targets', spec))
    expect(error.message).toBe(message)
    expect(error.code).toBe(code)
  })

  it('takes dense rows, and a list for one column', () => {
    expect(toTargets([[1, 2]], 'y', { kind: 'dense', columns: 2 })).toEqual({
      data: new Float64Array([1, 2]),
      shape: [1, 2],
    })
    expect(toTargets([1, 2], 'y', { kind: 'dense', columns: 1, dtype: 'float32' })).toEqual({
      data: new Float32Array([1, 2]),
      shape: [2, 1],
    })
  })

  it('rejects memory that was transferred away', () => {
    expect(errorOf(() => toTargets(detached(new Int32Array(2)), 'y', { ...classes })).message).toMatch(/detached/)
  })
})

describe('toSampleWeights', () => {
  it('takes numbers and typed arrays', () => {
    const weights = new Float32Array([0, 1.5])
    expect(toSampleWeights(weights, 'w', 2)).toBe(weights)
    expect(toSampleWeights([0, 1.5], 'w')).toEqual(new Float64Array([0, 1.5]))
    expect(toSampleWeights(new Uint8Array([0, 2]), 'w')).toEqual(new Float64Array([0, 2]))
  })

  it.each<[string, unknown, string, string]>([
    ['negative', [1, -1], 'ERR_OPTION', 'w[1]: expected a finite number >= 0, received -1'],
    ['NaN', new Float32Array([Number.NaN]), 'ERR_NOT_FINITE', 'w[0]: expected a finite number >= 0, received NaN'],
    ['text', ['1'], 'ERR_DTYPE', "w[0]: expected a number, received '1'"],
    ['a number', 1, 'ERR_DTYPE', 'w: expected an array of numbers, received 1'],
    ['a wrong count', [1, 2, 3], 'ERR_SHAPE', 'w: expected 2 rows, received 3 rows'],
  ])('rejects %s', (_, value, code, message) => {
    const error = errorOf(() => toSampleWeights(value, 'w', code === 'ERR_SHAPE' ? 2 : undefined))
    expect(error.message).toBe(message)
    expect(error.code).toBe(code)
  })
})
