import { describe, dtypeError, notFiniteError, optionError, rendered, shapeError } from './errors.js'
import type { DType, FloatArray } from './native-types.js'

/*
 * Small helpers for typed arrays at the edge: the right element type, the right length, memory of our own.
 */

/** The float array of a dtype, as functions return it: over memory of its own. */
export type TypedArrayOf<D extends DType> = D extends 'float32'
  ? Float32Array<ArrayBuffer>
  : D extends 'float64'
    ? Float64Array<ArrayBuffer>
    : never

/** The float array of a dtype, as functions take it: its memory may be shared (then it is copied first). */
export type TypedArrayInput<D extends DType> = D extends 'float32'
  ? Float32Array
  : D extends 'float64'
    ? Float64Array
    : never

/** A new array of zeros of the dtype. */
export function floatArray<D extends DType>(dtype: D, length: number): TypedArrayOf<D> {
  return (dtype === 'float32' ? new Float32Array(length) : new Float64Array(length)) as TypedArrayOf<D>
}

export function isFloatArray(value: unknown): value is FloatArray {
  return value instanceof Float32Array || value instanceof Float64Array
}

export function dtypeOf(array: FloatArray): DType {
  return array instanceof Float32Array ? 'float32' : 'float64'
}

export function isShared(array: ArrayBufferView): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && array.buffer instanceof SharedArrayBuffer
}

/** The array itself, or a copy where its memory is shared with other threads, which could change it after its check. */
export function unshared<A extends FloatArray | Uint8Array | Int32Array>(array: A): A {
  return isShared(array) ? (array.slice() as A) : array
}

/** A float array of one dtype and length, ready for the core. */
export function floatInput<D extends DType>(value: unknown, name: string, dtype: D, length: number): TypedArrayOf<D> {
  const wanted = dtype === 'float32' ? Float32Array : Float64Array
  if (!(value instanceof wanted)) throw dtypeError(name, `a ${wanted.name}`, value)
  if (value.length !== length) throw shapeError(name, `length ${length}`, rendered(`length ${value.length}`))
  return unshared(value) as TypedArrayOf<D>
}

/** An array to write into: as `floatInput`, but never a copy. Absent: a new one. */
export function floatOutput<D extends DType>(value: unknown, name: string, dtype: D, length: number): TypedArrayOf<D> {
  if (value === undefined) return floatArray(dtype, length)
  if (isFloatArray(value) && isShared(value))
    throw dtypeError(name, 'an array over memory of its own', rendered('shared memory'))
  return floatInput(value, name, dtype, length)
}

/** Numbers of any float type or a plain array, converted to the dtype; all finite. */
export function convertedFloats<D extends DType>(
  value: unknown,
  name: string,
  dtype: D,
  length: number,
): TypedArrayOf<D> {
  if (!isFloatArray(value) && !Array.isArray(value))
    throw dtypeError(name, 'a float array or an array of numbers', value)
  if (value.length !== length) throw shapeError(name, `length ${length}`, rendered(`length ${value.length}`))
  const source = value as ArrayLike<unknown>
  for (let index = 0; index < length; index++) {
    const item = source[index]
    if (typeof item !== 'number') throw dtypeError(`${name}[${index}]`, 'a number', item)
    if (!Number.isFinite(item)) throw notFiniteError(`${name}[${index}]`, 'a finite number', item)
  }
  const wanted = dtype === 'float32' ? Float32Array : Float64Array
  if (value instanceof wanted) return unshared(value) as TypedArrayOf<D>
  return wanted.from(value as ArrayLike<number>) as TypedArrayOf<D>
}

export function dtypeOption(value: unknown, name: string): DType {
  if (value === 'float32' || value === 'float64') return value
  throw optionError(name, "'float32' or 'float64'", rendered(describe(value)))
}
