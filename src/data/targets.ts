import { dtypeError, notFiniteError, optionError, rendered, shapeError } from '../internal/errors.js'
import { isRecord } from '../internal/validate.js'
import type { Matrix, MatrixData, MatrixLike } from './matrix.js'
import { checkAttached, copyNumbers, findNotFinite, isMatrixData, ownedArray, toMatrix } from './matrix.js'

/** What a loss wants: one class index a row, or a dense row of values. */
export type TargetSpec =
  | { readonly kind: 'class'; readonly classes: number; readonly rows?: number }
  | { readonly kind: 'dense'; readonly columns: number; readonly rows?: number; readonly dtype?: 'float32' | 'float64' }

/** Checked targets of one head: class indices, or dense rows. */
export type Targets = Int32Array | Matrix

type IntegerArray = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array

/** What users may pass as class indices. */
export type ClassesLike =
  | readonly number[]
  | IntegerArray
  | Float32Array
  | Float64Array
  | { readonly data: IntegerArray | Float32Array | Float64Array; readonly shape: readonly number[] }

/** What users may pass as targets of one head. */
export type TargetsLike = ClassesLike | MatrixLike

/** What users may pass as sample weights. */
export type WeightsLike = readonly number[] | MatrixData

const rowCount = (count: number): string => `${count} ${count === 1 ? 'row' : 'rows'}`

function checkRows(rows: number, name: string, expected: number | undefined): void {
  if (expected !== undefined && rows !== expected) {
    throw shapeError(name, rowCount(expected), rendered(rowCount(rows)))
  }
}

// --- class indices ---------------------------------------------------------------------------------------------------

function isIndexArray(value: unknown): value is IntegerArray | Float32Array | Float64Array {
  return (
    ArrayBuffer.isView(value) &&
    !(value instanceof DataView) &&
    !(value instanceof BigInt64Array) &&
    !(value instanceof BigUint64Array)
  )
}

/** The list of indices inside any accepted form. */
function indexList(value: unknown, name: string): ArrayLike<unknown> {
  if (Array.isArray(value)) return value as unknown[]
  if (isIndexArray(value)) return value
  if (!isRecord(value)) throw dtypeError(name, 'an array of class indices', value)
  const { data, shape } = value
  if (!isIndexArray(data)) throw dtypeError(`${name}.data`, 'a typed array of class indices', data)
  const sizes: unknown = Array.isArray(shape) && shape.length === 2 && shape[1] === 1 ? shape.slice(0, 1) : shape
  if (!Array.isArray(sizes) || sizes.length !== 1) throw shapeError(`${name}.shape`, '[rows]', shape)
  if (sizes[0] !== data.length) throw shapeError(`${name}.shape`, `[${data.length}], the length of data`, shape)
  return data
}

function classError(name: string, index: number, expected: string, value: unknown): Error {
  const at = `${name}[${index}]`
  const details = { path: name, index }
  if (typeof value !== 'number') return dtypeError(at, expected, value, details)
  if (!Number.isFinite(value)) return notFiniteError(at, expected, value, details)
  return optionError(at, expected, value, details)
}

function toClasses(value: unknown, name: string, spec: TargetSpec & { kind: 'class' }): Int32Array {
  const list = indexList(value, name)
  if (ArrayBuffer.isView(list)) checkAttached(list.buffer, name)
  checkRows(list.length, name, spec.rows)
  // Read once and keep what was read: shared memory may change between a check and a copy.
  const classes = new Int32Array(list.length)
  for (let index = 0; index < classes.length; index++) {
    const label = list[index]
    if (typeof label !== 'number' || !Number.isInteger(label) || label < 0 || label >= spec.classes) {
      throw classError(name, index, `a class index (an integer from 0 to ${spec.classes - 1})`, label)
    }
    classes[index] = label
  }
  return classes
}

// --- any target ------------------------------------------------------------------------------------------------------

/**
 * Brings targets into the form a loss wants, checked. Class indices become an Int32Array of their own; dense rows
 * become a matrix, for which one column may also be a plain list.
 *
 * @throws KrylovError ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE or, for a class out of range, ERR_OPTION with its index
 */
export function toTargets(value: unknown, name: string, spec: TargetSpec & { kind: 'class' }): Int32Array
export function toTargets(value: unknown, name: string, spec: TargetSpec & { kind: 'dense' }): Matrix
export function toTargets(value: unknown, name: string, spec: TargetSpec): Targets
export function toTargets(value: unknown, name: string, spec: TargetSpec): Targets {
  if (spec.kind === 'class') return toClasses(value, name, spec)
  const { columns, rows, dtype } = spec
  return toMatrix(value, name, {
    columns,
    ...(rows === undefined ? {} : { rows }),
    ...(dtype === undefined ? {} : { dtype }),
  })
}

// --- weights ---------------------------------------------------------------------------------------------------------

/**
 * Brings sample weights into a float array, checked: one a row, finite, not negative.
 *
 * @param rows required number of weights
 */
export function toSampleWeights(value: unknown, name: string, rows?: number): Float32Array | Float64Array {
  let weights: Float32Array | Float64Array
  if (Array.isArray(value)) {
    weights = new Float64Array(value.length)
    copyNumbers(value as unknown[], weights, 0, (index) => `${name}[${index}]`)
  } else if (isMatrixData(value)) {
    const own = ownedArray(value, name)
    weights = own instanceof Uint8Array ? Float64Array.from(own) : own
  } else {
    throw dtypeError(name, 'an array of numbers', value)
  }
  checkRows(weights.length, name, rows)
  const expected = 'a finite number >= 0'
  const notFinite = findNotFinite(weights)
  if (notFinite >= 0) {
    throw notFiniteError(`${name}[${notFinite}]`, expected, weights[notFinite], { path: name, index: notFinite })
  }
  const negative = weights.findIndex((weight) => weight < 0)
  if (negative >= 0) {
    throw optionError(`${name}[${negative}]`, expected, weights[negative], { path: name, index: negative })
  }
  return weights
}
