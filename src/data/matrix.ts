import { describeShape, dtypeError, notFiniteError, rendered, shapeError } from '../internal/errors.js'
import { isRecord } from '../internal/validate.js'

/** Typed arrays that matrices are made of. Bytes keep a scale that belongs to the model. */
export type MatrixData = Float32Array | Float64Array | Uint8Array

/** A dense matrix, row-major. */
export type Matrix = {
  readonly data: MatrixData
  readonly shape: readonly [rows: number, columns: number]
}

/** A row of a nested matrix. */
export type RowLike = readonly number[] | MatrixData

/**
 * What users may pass where a matrix is wanted: a matrix, an array of rows, or the values row by row in one array
 * where the number of columns is known. Arrays over shared memory are copied.
 */
export type MatrixLike =
  | Matrix
  | { readonly data: MatrixData; readonly shape: readonly number[] }
  | readonly RowLike[]
  | readonly number[]
  | MatrixData

export type MatrixOptions = {
  /** Required number of columns. */
  readonly columns?: number
  /** Required number of rows. */
  readonly rows?: number
  /** Element type for values that come in ordinary arrays; default `'float64'`, which loses nothing. */
  readonly dtype?: 'float32' | 'float64'
}

// --- typed arrays ----------------------------------------------------------------------------------------------------

/** True for a typed array of an element type that matrices are made of. */
export function isMatrixData(value: unknown): value is MatrixData {
  return value instanceof Float32Array || value instanceof Float64Array || value instanceof Uint8Array
}

/** Rejects an array whose memory was transferred away. The property `detached` is younger than Node 20. */
export function checkAttached(buffer: ArrayBufferLike, name: string): void {
  if (buffer.byteLength !== 0) return
  try {
    new Uint8Array(buffer)
  } catch {
    throw shapeError(name, 'an array with its memory', rendered('a detached buffer'))
  }
}

/**
 * A typed array whose memory is its own and alive: shared memory is copied, because another thread could change it
 * after the checks; a buffer that was transferred away is an error.
 */
export function ownedArray<A extends MatrixData | Int32Array>(values: A, name: string): A {
  if (values.buffer instanceof ArrayBuffer) {
    checkAttached(values.buffer, name)
    return values
  }
  // The copying constructors take ordinary memory, where slice() of a subclass may not.
  if (values instanceof Float32Array) return new Float32Array(values) as A
  if (values instanceof Float64Array) return new Float64Array(values) as A
  if (values instanceof Int32Array) return new Int32Array(values) as A
  return new Uint8Array(values) as A
}

/** Index of the first NaN or infinity, or -1. */
export function findNotFinite(values: Float32Array | Float64Array): number {
  // x - x is 0 for finite x and NaN otherwise, without a call.
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number
    if (value - value !== 0) return index
  }
  return -1
}

function checkFinite(matrix: Matrix, name: string): void {
  if (matrix.data instanceof Uint8Array) return
  const index = findNotFinite(matrix.data)
  if (index < 0) return
  const row = Math.floor(index / matrix.shape[1])
  const column = index % matrix.shape[1]
  throw notFiniteError(`${name} at row ${row}, column ${column}`, 'a finite number', matrix.data[index], {
    path: name,
    row,
    column,
  })
}

// --- shapes ----------------------------------------------------------------------------------------------------------

function checkSize(rows: number, columns: number, name: string, options: MatrixOptions): void {
  const wrongColumns = options.columns !== undefined && columns !== options.columns
  const wrongRows = options.rows !== undefined && rows !== options.rows
  if (!wrongColumns && !wrongRows) return
  const expected = describeShape([options.rows ?? rows, options.columns ?? columns])
  const received = rendered(`shape ${describeShape([rows, columns])}`)
  throw shapeError(name, `shape ${expected}`, received, { path: name })
}

function fromParts(parts: Record<string, unknown>, name: string, options: MatrixOptions): Matrix {
  const { data, shape } = parts
  if (!isMatrixData(data)) throw dtypeError(`${name}.data`, 'a Float32Array, Float64Array or Uint8Array', data)
  const own = ownedArray(data, `${name}.data`)
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw shapeError(`${name}.shape`, '[rows, columns]', shape)
  }
  // One column may be given as a plain vector.
  const sizes = shape.length === 1 && options.columns === 1 ? [...shape, 1] : shape
  const [rows, columns] = sizes as number[]
  if (rows === undefined || columns === undefined || sizes.length !== 2) {
    throw shapeError(`${name}.shape`, '[rows, columns]', rendered(describeShape(shape)))
  }
  if (columns === 0) throw shapeError(`${name}.shape`, 'at least one column', rendered(describeShape(shape)))
  if (own.length !== rows * columns) {
    const expected = `${rows * columns} values for shape ${describeShape([rows, columns])}`
    throw shapeError(`${name}.data`, expected, rendered(`${own.length}`))
  }
  checkSize(rows, columns, name, options)
  return { data: own, shape: [rows, columns] }
}

/** Values row by row in one array: the number of columns must be known. */
function fromFlat(values: MatrixData, name: string, options: MatrixOptions): Matrix {
  const own = ownedArray(values, name)
  const { columns } = options
  if (columns === undefined) {
    throw shapeError(name, 'a matrix { data, shape: [rows, columns] } or an array of rows', own)
  }
  if (own.length % columns !== 0) {
    throw shapeError(name, `a multiple of ${columns} values (the number of columns)`, rendered(`${own.length}`))
  }
  checkSize(own.length / columns, columns, name, options)
  return { data: own, shape: [own.length / columns, columns] }
}

function newFloats(length: number, options: MatrixOptions): Float32Array | Float64Array {
  return options.dtype === 'float32' ? new Float32Array(length) : new Float64Array(length)
}

/** Copies ordinary numbers; `place` names the one that is not a number. */
export function copyNumbers(
  values: readonly unknown[],
  out: Float32Array | Float64Array,
  offset: number,
  place: (index: number) => string,
): void {
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    if (typeof value !== 'number') throw dtypeError(place(index), 'a number', value)
    out[offset + index] = value
  }
}

function fromRows(rows: readonly unknown[], name: string, options: MatrixOptions): Matrix {
  const first = rows[0]
  const columns = options.columns ?? (Array.isArray(first) || isMatrixData(first) ? first.length : 0)
  if (columns === 0) throw shapeError(name, 'at least one row of at least one column', rows)
  checkSize(rows.length, columns, name, options)
  const data = newFloats(rows.length * columns, options)
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index]
    if (!Array.isArray(row) && !isMatrixData(row)) {
      throw dtypeError(`${name}[${index}]`, 'a row (an array of numbers)', row)
    }
    if (row.length !== columns) {
      const why = options.columns === undefined ? ', as in the first row' : ''
      throw shapeError(`${name}[${index}]`, `${columns} columns${why}`, rendered(`${row.length}`))
    }
    if (isMatrixData(row)) data.set(row, index * columns)
    else copyNumbers(row, data, index * columns, (column) => `${name}[${index}][${column}]`)
  }
  return { data, shape: [rows.length, columns] }
}

function isListOfNumbers(value: readonly unknown[], options: MatrixOptions): boolean {
  // An empty list has no rows either way, but only a known number of columns makes it a matrix.
  return value.length > 0 && typeof value[0] === 'number' && options.columns !== undefined
}

/**
 * Brings what a user passed into the form of a matrix, checked: shape, element type, finite values. Typed arrays in
 * ordinary memory are used as they are, without copying.
 *
 * @param name how errors call the argument
 * @throws KrylovError ERR_SHAPE, ERR_DTYPE or ERR_NOT_FINITE (with row and column)
 */
export function toMatrix(value: unknown, name: string, options: MatrixOptions = {}): Matrix {
  let matrix: Matrix
  if (isMatrixData(value)) {
    matrix = fromFlat(value, name, options)
  } else if (Array.isArray(value)) {
    const list: readonly unknown[] = value
    if (isListOfNumbers(list, options)) {
      const flat = newFloats(list.length, options)
      copyNumbers(list, flat, 0, (index) => `${name}[${index}]`)
      matrix = fromFlat(flat, name, options)
    } else {
      matrix = fromRows(list, name, options)
    }
  } else if (isRecord(value)) {
    matrix = fromParts(value, name, options)
  } else {
    const expected = 'a matrix { data, shape: [rows, columns] } or an array of rows'
    throw (ArrayBuffer.isView(value) ? dtypeError : shapeError)(name, expected, value)
  }
  checkFinite(matrix, name)
  return matrix
}
