import { dtypeError } from '../internal/errors.js'

/** Typed arrays whose elements are stored numbers, without the clamped one. */
export type NumericArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array

/** The element types that bytes can be read as. */
export const arrayTypes = Object.freeze({
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  uint64: BigUint64Array,
  int64: BigInt64Array,
  float32: Float32Array,
  float64: Float64Array,
})

export type ElementType = keyof typeof arrayTypes

/** The typed array for an element type. */
export type ArrayOf<E extends ElementType> = InstanceType<(typeof arrayTypes)[E]>

const hostIsLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/** The bytes behind a view, without copying. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

/** The element type of a typed array. */
export function elementTypeOf(values: NumericArray, name: string): ElementType {
  for (const [element, type] of Object.entries(arrayTypes)) {
    if (values instanceof type) return element as ElementType
  }
  throw dtypeError(name, 'a typed array of numbers', values)
}

/** Reverses the bytes of each element in place: the bits stay what they are, NaN payloads included. */
function swapElements(bytes: Uint8Array<ArrayBuffer>, size: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (size === 2) buffer.swap16()
  else if (size === 4) buffer.swap32()
  else if (size === 8) buffer.swap64()
}

/**
 * Reads packed bytes as elements of one type. The result is a view of the same memory where alignment and byte order
 * allow it, else a copy; the input is never changed. The byte length must be a multiple of the element size.
 */
export function readElements<E extends ElementType>(
  bytes: Uint8Array,
  element: E,
  byteOrder: 'little' | 'big',
): ArrayOf<E> {
  const type = arrayTypes[element]
  const size = type.BYTES_PER_ELEMENT
  const swapped = size > 1 && (byteOrder === 'little') !== hostIsLittleEndian
  if (!swapped && bytes.byteOffset % size === 0) {
    // Shared memory is fine as well; the union of constructors only types the ordinary kind.
    const buffer = bytes.buffer as ArrayBuffer
    return new type(buffer, bytes.byteOffset, bytes.byteLength / size) as ArrayOf<E>
  }
  const copy = new Uint8Array(bytes)
  if (swapped) swapElements(copy, size)
  return new type(copy.buffer, 0, copy.byteLength / size) as ArrayOf<E>
}

/** The little-endian bytes of a typed array: a view of it on the usual hosts, a swapped copy on the others. */
export function littleEndianBytes(values: NumericArray): Uint8Array {
  const bytes = bytesOf(values)
  if (hostIsLittleEndian || values.BYTES_PER_ELEMENT === 1) return bytes
  const copy = new Uint8Array(bytes)
  swapElements(copy, values.BYTES_PER_ELEMENT)
  return copy
}
