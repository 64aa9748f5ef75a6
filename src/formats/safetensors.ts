import {
  describe,
  describeShape,
  dtypeError,
  fileError,
  optionError,
  rendered,
  shapeError,
} from '../internal/errors.js'
import { readFileBytes, writeFileAtomically } from './atomic-file.js'
import type { ElementType, NumericArray } from './bytes.js'
import { bytesOf, elementTypeOf, littleEndianBytes, readElements } from './bytes.js'
import type { TensorEntry } from './safetensors-header.js'
import { readHeader } from './safetensors-header.js'

/*
 * The safetensors format: 8 bytes of header length, a JSON header, then the tensors' bytes back to back,
 * little-endian and row-major. Layout, validity rules and order of writing follow the format's own description
 * (huggingface/safetensors, README and reference reader).
 */

/** Bits an element of each dtype takes; the order is the reference writer's, from the first written to the last. */
const dtypeBits = Object.freeze({
  U64: 64,
  I64: 64,
  F64: 64,
  C64: 64,
  F32: 32,
  U32: 32,
  I32: 32,
  BF16: 16,
  F16: 16,
  U16: 16,
  I16: 16,
  F8_E5M2FNUZ: 8,
  F8_E4M3FNUZ: 8,
  F8_E8M0: 8,
  F8_E4M3: 8,
  F8_E5M2: 8,
  I8: 8,
  U8: 8,
  F6_E3M2: 6,
  F6_E2M3: 6,
  F4: 4,
  BOOL: 8,
})

export type SafetensorsDtype = keyof typeof dtypeBits

/** Every dtype, in the order of writing. */
export const safetensorsDtypes = Object.freeze(Object.keys(dtypeBits) as SafetensorsDtype[])

const writeRank = new Map<string, number>(safetensorsDtypes.map((dtype, rank) => [dtype, rank]))

/** A tensor as stored: `data` holds its packed little-endian bytes, row-major. */
export type SafetensorsTensor = {
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

/** The content of a safetensors file. Tensors stand in the order of the file's header. */
export type Safetensors = {
  readonly tensors: Map<string, SafetensorsTensor>
  readonly metadata: Map<string, string>
}

/** Longest header in bytes; the reference reader's own limit. */
const longestHeader = 100_000_000
const prefixBytes = 8
const largestSize = 2n ** 64n - 1n

// --- reading ---------------------------------------------------------------------------------------------------------

function isDtype(dtype: string): dtype is SafetensorsDtype {
  return Object.hasOwn(dtypeBits, dtype)
}

/** Product with the reference reader's 64-bit overflow rule: factors are taken in order, so a late zero saves nothing. */
function checkedBits(shape: readonly number[], bits: number): bigint | undefined {
  let small = 1
  let product: bigint | undefined
  for (const factor of [...shape, bits]) {
    if (product === undefined && Number.isSafeInteger(small * factor)) {
      small *= factor
      continue
    }
    product = (product ?? BigInt(small)) * BigInt(factor)
    if (product > largestSize) return undefined
  }
  return product ?? BigInt(small)
}

/** Byte length of a tensor, or what is wrong with it. */
function tensorBytes(shape: readonly number[], bits: number): bigint | string {
  const total = checkedBits(shape, bits)
  if (total === undefined) return 'a size beyond 64 bits'
  if (total % 8n !== 0n) return `${total} bits, which fill no whole number of bytes`
  return total / 8n
}

function checkEntry(entry: TensorEntry, file: string): SafetensorsDtype {
  const { dtype, shape, begin, end, at } = entry
  const tensor = `tensor ${describe(entry.name)}`
  if (!isDtype(dtype)) throw fileError(file, { offset: at }, `a known dtype of ${tensor}`, dtype)
  if (end < begin) {
    throw fileError(file, { offset: at }, `data_offsets of ${tensor} in order`, rendered(`[${begin}, ${end}]`))
  }
  const bytes = tensorBytes(shape, dtypeBits[dtype])
  if (typeof bytes === 'string' || bytes !== BigInt(end - begin)) {
    const size = typeof bytes === 'string' ? bytes : `${bytes} bytes for ${dtype} ${describeShape(shape.slice(0, 8))}`
    throw fileError(
      file,
      { offset: at },
      `data_offsets and shape of ${tensor} to agree`,
      rendered(`${end - begin} bytes by data_offsets, ${size}`),
    )
  }
  return dtype
}

/** Tensors in the order of their offsets must follow each other without hole or overlap and fill the rest. */
function checkTiling(entries: readonly TensorEntry[], available: number, file: string): void {
  const sorted = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)
  let position = 0
  for (const { name, begin, end, at } of sorted) {
    if (begin !== position) {
      const expected = `tensor ${describe(name)} to begin at data offset ${position}, where the one before it ends`
      throw fileError(file, { offset: at }, expected, begin)
    }
    position = end
  }
  if (position !== available) {
    throw fileError(file, { offset: prefixBytes }, `${position} bytes of tensors after the header`, available)
  }
}

function decodeHeader(bytes: Uint8Array, file: string): string {
  // A decoder refuses shared memory, and another thread could change the text after its check.
  const own = bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(own)
  } catch (error) {
    throw fileError(file, { offset: prefixBytes }, 'a header in UTF-8', rendered('other bytes'), { cause: error })
  }
}

/**
 * Reads the bytes of a safetensors file. Tensor data are views of `bytes`, not copies.
 *
 * @param file name of the source, for errors
 * @throws KrylovError ERR_FILE with the byte offset when any rule of the format is broken
 */
export function parseSafetensors(bytes: Uint8Array, file = 'safetensors data'): Safetensors {
  if (bytes.length < prefixBytes) {
    throw fileError(file, { offset: 0 }, 'at least 8 bytes', rendered(`${bytes.length} bytes`))
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const headerBytes = view.getBigUint64(0, true)
  if (headerBytes > BigInt(longestHeader)) {
    const received = rendered(`${headerBytes}`)
    throw fileError(file, { offset: 0 }, `a header length of at most ${longestHeader} bytes`, received)
  }
  const dataStart = prefixBytes + Number(headerBytes)
  if (dataStart > bytes.length) {
    throw fileError(
      file,
      { offset: 0 },
      `a header of ${headerBytes} bytes`,
      rendered(`${bytes.length - prefixBytes} bytes after the length`),
    )
  }
  const text = decodeHeader(bytes.subarray(prefixBytes, dataStart), file)
  const { entries, metadata } = readHeader(text, file, prefixBytes)
  const dtypes = entries.map((entry) => checkEntry(entry, file))
  checkTiling(entries, bytes.length - dataStart, file)
  const tensors = new Map<string, SafetensorsTensor>()
  for (const [index, { name, shape, begin, end }] of entries.entries()) {
    const dtype = dtypes[index]
    if (dtype === undefined) continue
    tensors.set(name, { dtype, shape, data: bytes.subarray(dataStart + begin, dataStart + end) })
  }
  return { tensors, metadata: new Map(metadata) }
}

/** Reads a safetensors file. */
export async function readSafetensors(path: string): Promise<Safetensors> {
  return parseSafetensors(await readFileBytes(path), path)
}

// --- values ----------------------------------------------------------------------------------------------------------

const elementOfDtype: Partial<Record<SafetensorsDtype, ElementType>> = {
  BOOL: 'uint8',
  U8: 'uint8',
  I8: 'int8',
  U16: 'uint16',
  I16: 'int16',
  U32: 'uint32',
  I32: 'int32',
  U64: 'uint64',
  I64: 'int64',
  F32: 'float32',
  F64: 'float64',
  C64: 'float32',
}

const dtypeOfElement: Record<ElementType, SafetensorsDtype> = {
  uint8: 'U8',
  int8: 'I8',
  uint16: 'U16',
  int16: 'I16',
  uint32: 'U32',
  int32: 'I32',
  uint64: 'U64',
  int64: 'I64',
  float32: 'F32',
  float64: 'F64',
}

/** Widens IEEE half precision to single precision by its bits: exact, infinities and NaN payloads included. */
function widenHalf(bits: number): number {
  const sign = (bits & 0x8000) << 16
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13)
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13)
  if (fraction === 0) return sign
  // A subnormal half is a normal single: shift its leading one into the hidden place (bit 10).
  const shift = Math.clz32(fraction) - 21
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)
}

function widen(halves: Uint16Array, toSingleBits: (bits: number) => number): Float32Array {
  // Through the bits, not through numbers: storing a number may change the payload of a NaN.
  const bits = new Uint32Array(halves.length)
  for (const [index, half] of halves.entries()) bits[index] = toSingleBits(half)
  return new Float32Array(bits.buffer)
}

/**
 * The values of a tensor as a typed array: a view of its bytes where they are aligned, else a copy. 64-bit integers
 * come as BigInt arrays, BOOL as bytes, C64 as pairs of float32; F16 and BF16 are widened to float32, exactly.
 *
 * @param name how errors call the tensor
 * @throws KrylovError ERR_DTYPE for the 4-, 6- and 8-bit floats, which have no typed array
 */
export function tensorValues(tensor: SafetensorsTensor, name = 'tensor'): NumericArray {
  const { dtype, data } = tensor
  if (dtype === 'F16') return widen(readElements(data, 'uint16', 'little'), widenHalf)
  if (dtype === 'BF16') return widen(readElements(data, 'uint16', 'little'), (bits) => bits << 16)
  const element = elementOfDtype[dtype]
  if (element === undefined) throw dtypeError(name, 'a dtype with a typed array', dtype)
  return readElements(data, element, 'little')
}

/** Wraps a typed array as a tensor, without copying. The dtype follows from the array's type. */
export function tensorFrom(values: NumericArray, shape: readonly number[], name = 'tensor'): SafetensorsTensor {
  const dtype = dtypeOfElement[elementTypeOf(values, name)]
  const tensor = { dtype, shape: [...shape], data: littleEndianBytes(values) }
  checkTensor(tensor, name)
  return tensor
}

// --- writing ---------------------------------------------------------------------------------------------------------

function checkTensor(tensor: SafetensorsTensor, name: string): void {
  const { dtype, shape, data } = tensor
  if (typeof dtype !== 'string' || !isDtype(dtype)) throw dtypeError(name, 'a safetensors dtype', dtype)
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw shapeError(name, 'a shape of integers >= 0', shape)
  }
  if (!ArrayBuffer.isView(data)) throw dtypeError(name, 'data as bytes', data)
  const bytes = tensorBytes(shape, dtypeBits[dtype])
  if (typeof bytes === 'string' || bytes !== BigInt(data.byteLength)) {
    const expected =
      typeof bytes === 'string' ? 'a smaller shape' : `${bytes} bytes for ${dtype} ${describeShape(shape)}`
    throw shapeError(name, expected, rendered(typeof bytes === 'string' ? bytes : `${data.byteLength} bytes`))
  }
}

function checkText(text: unknown, name: string): asserts text is string {
  if (typeof text !== 'string') throw optionError(name, 'a string', text)
  if (/\p{Cs}/u.test(text)) throw optionError(name, 'text without lone surrogates', text)
}

type NamedTensor = { name: string; key: Uint8Array; tensor: SafetensorsTensor }

function rankOf(dtype: SafetensorsDtype): number {
  return writeRank.get(dtype) ?? safetensorsDtypes.length
}

function inWritingOrder(tensors: Iterable<readonly [string, SafetensorsTensor]>): NamedTensor[] {
  const encoder = new TextEncoder()
  const named: NamedTensor[] = []
  const seen = new Set<string>()
  for (const [name, tensor] of tensors) {
    checkText(name, 'tensor name')
    if (name === '__metadata__') throw optionError('tensor name', 'a name that is not reserved', name)
    if (seen.has(name)) throw optionError('tensor name', 'every name once', name)
    seen.add(name)
    checkTensor(tensor, `tensor ${describe(name)}`)
    named.push({ name, key: encoder.encode(name), tensor })
  }
  // Names are compared by their UTF-8 bytes: UTF-16 order differs beyond the basic plane.
  return named.sort((a, b) => rankOf(a.tensor.dtype) - rankOf(b.tensor.dtype) || Buffer.compare(a.key, b.key))
}

/** Metadata as a map or a plain object; both keys and values are text. */
export type SafetensorsMetadata = ReadonlyMap<string, string> | Readonly<Record<string, string>>

function metadataMember(metadata: SafetensorsMetadata): string | undefined {
  const entries: Iterable<readonly [string, string]> = metadata instanceof Map ? metadata : Object.entries(metadata)
  const members: string[] = []
  for (const [key, value] of entries) {
    checkText(key, 'metadata key')
    checkText(value, `metadata ${describe(key)}`)
    members.push(`${JSON.stringify(key)}:${JSON.stringify(value)}`)
  }
  return members.length === 0 ? undefined : `"__metadata__":{${members.join(',')}}`
}

/** The file as pieces in order, so that writing it needs no second copy of the tensors. */
function safetensorsChunks(
  tensors: Iterable<readonly [string, SafetensorsTensor]>,
  metadata: SafetensorsMetadata,
): Uint8Array[] {
  const ordered = inWritingOrder(tensors)
  const first = metadataMember(metadata)
  const members = first === undefined ? [] : [first]
  let offset = 0
  for (const { name, tensor } of ordered) {
    const end = offset + tensor.data.byteLength
    const shape = tensor.shape.join(',')
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${tensor.dtype}","shape":[${shape}],"data_offsets":[${offset},${end}]}`,
    )
    offset = end
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`)
  const headerBytes = Math.ceil(json.length / 8) * 8
  if (headerBytes > longestHeader) {
    throw optionError('metadata and tensor names', `a header of at most ${longestHeader} bytes`, headerBytes)
  }
  const head = new Uint8Array(prefixBytes + headerBytes).fill(0x20)
  new DataView(head.buffer).setBigUint64(0, BigInt(headerBytes), true)
  head.set(json, prefixBytes)
  return [head, ...ordered.map(({ tensor }) => bytesOf(tensor.data))]
}

/** The bytes of a safetensors file, in the reference writer's order. Metadata keep the order they are given in. */
export function serializeSafetensors(
  tensors: Iterable<readonly [string, SafetensorsTensor]>,
  metadata: SafetensorsMetadata = {},
): Uint8Array {
  const chunks = safetensorsChunks(tensors, metadata)
  const total = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  const bytes = new Uint8Array(total)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}

/**
 * Writes a safetensors file as a whole or not at all: on failure an existing file stays as it was.
 * The tensors must not change until the promise settles.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, SafetensorsTensor]>,
  metadata: SafetensorsMetadata = {},
): Promise<void> {
  await writeFileAtomically(path, safetensorsChunks(tensors, metadata))
}
