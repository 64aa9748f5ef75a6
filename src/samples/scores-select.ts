import type { DatasetLike } from '../data/dataset.js'
import { dtypeError, optionError, rendered, shapeError } from '../internal/errors.js'
import { isRecord, joinPath, record } from '../internal/validate.js'

const arrayTypes = [
  Float32Array,
  Float64Array,
  Uint8Array,
  Int32Array,
  Uint32Array,
  Int16Array,
  Uint16Array,
  Int8Array,
] as const
type NumberArray = InstanceType<(typeof arrayTypes)[number]>

function isNumberArray(value: unknown): value is NumberArray {
  return arrayTypes.some((type) => value instanceof type)
}

function takeFlat(values: NumberArray, width: number, indices: Uint32Array): NumberArray {
  const type = arrayTypes.find((one) => values instanceof one) ?? Float64Array
  const out = new type(indices.length * width)
  for (let row = 0; row < indices.length; row++) {
    const from = (indices[row] as number) * width
    if (width === 1) out[row] = values[from] as number
    else out.set(values.subarray(from, from + width), row * width)
  }
  return out
}

/** Rows of any form that data may come in: rows of a matrix, items of a list, values of a flat array. */
function takeRows(value: unknown, name: string, rows: number, indices: Uint32Array): unknown {
  const wrong = (found: number): Error => shapeError(name, `${rows} rows, as inputs have`, rendered(`${found}`))
  if (Array.isArray(value)) {
    const list: readonly unknown[] = value
    if (list.length !== rows) throw wrong(list.length)
    return Array.from(indices, (index) => list[index])
  }
  if (isNumberArray(value)) {
    if (value.length % rows !== 0) throw wrong(value.length)
    return takeFlat(value, value.length / rows, indices)
  }
  if (isRecord(value) && isNumberArray(value.data) && Array.isArray(value.shape)) {
    const [found, ...rest] = value.shape as number[]
    if (found !== rows || value.data.length % rows !== 0) throw wrong(Number(found))
    return { data: takeFlat(value.data, value.data.length / rows, indices), shape: [indices.length, ...rest] }
  }
  throw dtypeError(name, 'an array, a matrix or a typed array', value)
}

function rowsOf(inputs: unknown): number {
  if (Array.isArray(inputs) && typeof inputs[0] !== 'number') return inputs.length
  if (isRecord(inputs) && Array.isArray(inputs.shape) && typeof inputs.shape[0] === 'number') return inputs.shape[0]
  throw shapeError('inputs', 'a matrix { data, shape: [rows, columns] } or an array of rows', inputs)
}

function checkedIndices(value: unknown, rows: number): Uint32Array {
  if (!Array.isArray(value) && !isNumberArray(value)) throw dtypeError('indices', 'an array of row numbers', value)
  const list = value as ArrayLike<unknown>
  const indices = new Uint32Array(list.length)
  for (let at = 0; at < indices.length; at++) {
    const index = list[at]
    if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index >= rows) {
      throw optionError(`indices[${at}]`, `a row number from 0 to ${rows - 1}`, index)
    }
    indices[at] = index
  }
  return indices
}

/**
 * The samples of a data set at given rows, in that order, as a data set of the same form: a copy. A row may be taken more
 * than once.
 *
 * @param data inputs as a matrix or nested rows; targets, also by head, and sampleWeights go with them
 * @throws KrylovError ERR_SHAPE, ERR_DTYPE, ERR_OPTION
 * @example selectSamples(data, pruneByScore(scores, { keep: 30000 }))
 */
export function selectSamples<S extends DatasetLike>(
  data: S,
  indices: readonly number[] | Uint32Array | Int32Array,
): S {
  const { inputs, targets, sampleWeights } = record(data, 'data')
  const rows = rowsOf(inputs)
  const at = checkedIndices(indices, rows)
  const isByHead = isRecord(targets) && !isNumberArray(targets.data)
  return {
    ...data,
    inputs: takeRows(inputs, 'inputs', rows, at),
    targets: isByHead
      ? Object.fromEntries(
          Object.entries(targets).map(([head, part]) => [head, takeRows(part, joinPath('targets', head), rows, at)]),
        )
      : takeRows(targets, 'targets', rows, at),
    ...(sampleWeights === undefined ? {} : { sampleWeights: takeRows(sampleWeights, 'sampleWeights', rows, at) }),
  }
}
