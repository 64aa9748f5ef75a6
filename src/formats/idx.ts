import { promisify } from 'node:util'
import { constants, gunzip, gunzipSync, inflateRawSync } from 'node:zlib'
import { describeShape, fileError, type KrylovError, rendered } from '../internal/errors.js'
import { readFileBytes } from './atomic-file.js'
import { arrayTypes, readElements } from './bytes.js'

/*
 * IDX, the format of the MNIST files: two zero bytes, a type, the number of dimensions, their sizes as big-endian
 * 32-bit integers, then the values, big-endian and row-major.
 */

const idxTypes = Object.freeze({
  8: 'uint8',
  9: 'int8',
  11: 'int16',
  12: 'int32',
  13: 'float32',
  14: 'float64',
} as const)

export type IdxDtype = (typeof idxTypes)[keyof typeof idxTypes]

/** One IDX file: `data` is row-major. For single-byte types it is a view of the bytes that were read. */
export type Idx =
  | { readonly dtype: 'uint8'; readonly shape: readonly number[]; readonly data: Uint8Array }
  | { readonly dtype: 'int8'; readonly shape: readonly number[]; readonly data: Int8Array }
  | { readonly dtype: 'int16'; readonly shape: readonly number[]; readonly data: Int16Array }
  | { readonly dtype: 'int32'; readonly shape: readonly number[]; readonly data: Int32Array }
  | { readonly dtype: 'float32'; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: 'float64'; readonly shape: readonly number[]; readonly data: Float64Array }

type IdxHeader = { dtype: IdxDtype; shape: number[]; dataStart: number; totalBytes: number }

/** Magic number and 255 sizes: the longest header there is. */
const longestHeader = 4 + 4 * 255

function readIdxHeader(bytes: Uint8Array, file: string): IdxHeader {
  if (bytes.length < 4) throw fileError(file, { offset: 0 }, 'at least 4 bytes', rendered(`${bytes.length} bytes`))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const magic = view.getUint32(0)
  if (magic >>> 16 !== 0) {
    const received = rendered(`0x${magic.toString(16).padStart(8, '0')}`)
    throw fileError(file, { offset: 0 }, 'two zero bytes (an IDX file)', received)
  }
  const code = (magic >>> 8) & 0xff
  const dtype = (idxTypes as Partial<Record<number, IdxDtype>>)[code]
  if (dtype === undefined) {
    const known = Object.keys(idxTypes).map((known) => `0x0${Number(known).toString(16)}`)
    const received = rendered(`0x${code.toString(16).padStart(2, '0')}`)
    throw fileError(file, { offset: 2 }, `an element type of ${known.join(', ')}`, received)
  }
  const rank = magic & 0xff
  const dataStart = 4 + 4 * rank
  if (bytes.length < dataStart) {
    throw fileError(file, { offset: 4 }, `${rank} sizes of 4 bytes`, rendered(`${bytes.length - 4} bytes`))
  }
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis))
  const totalBytes = shape.reduce((product, size) => product * size, arrayTypes[dtype].BYTES_PER_ELEMENT) + dataStart
  // Sizes below 2^53 multiply exactly; a product that is larger only grows or becomes zero, inexactly but not less.
  if (!Number.isSafeInteger(totalBytes)) {
    throw fileError(file, { offset: 4 }, 'fewer than 2^53 bytes of values', rendered(`shape ${describeShape(shape)}`))
  }
  return { dtype, shape, dataStart, totalBytes }
}

function parsePlain(bytes: Uint8Array, file: string): Idx {
  const { dtype, shape, dataStart, totalBytes } = readIdxHeader(bytes, file)
  if (bytes.length !== totalBytes) {
    throw fileError(
      file,
      { offset: dataStart },
      `${totalBytes - dataStart} bytes for ${dtype} ${describeShape(shape)}`,
      rendered(`${bytes.length - dataStart} bytes`),
    )
  }
  // The pair of dtype and array type cannot be told to the type checker without one branch for each.
  return { dtype, shape, data: readElements(bytes.subarray(dataStart), dtype, 'big') } as Idx
}

// --- gzip ------------------------------------------------------------------------------------------------------------

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

function gzipError(file: string, error: unknown): KrylovError {
  const text = error instanceof Error ? error.message : String(error)
  return fileError(file, { offset: 0 }, 'a whole gzip file', rendered(text), { cause: error })
}

/** Where the compressed data begins (RFC 1952, section 2.3: optional extra field, name, comment, header CRC). */
function deflateStart(bytes: Uint8Array, file: string): number {
  const flags = bytes[3] ?? 0
  let at = 10
  if ((flags & 4) !== 0) at += 2 + (bytes[at] ?? 0) + 256 * (bytes[at + 1] ?? 0)
  for (const flag of [8, 16]) {
    if ((flags & flag) === 0) continue
    const end = bytes.indexOf(0, at)
    at = end < 0 ? bytes.length : end + 1
  }
  if ((flags & 2) !== 0) at += 2
  if (at >= bytes.length) throw gzipError(file, 'the end of the file within the gzip header')
  return at
}

/** Compressed bytes that surely hold an IDX header: an ordinary encoder needs far fewer than the header's own size. */
const probeBytes = 4096
/** What those bytes can unpack to: deflate expands at most 1032 times. */
const probeLimit = probeBytes * 1032 + 1024

/**
 * How many bytes the unpacked file must have, from its header alone, so that the rest is never unpacked into more
 * memory than the header announces.
 */
function unpackedBytes(bytes: Uint8Array, file: string): number {
  const start = deflateStart(bytes, file)
  let head: Uint8Array
  try {
    const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: probeLimit }
    head = inflateRawSync(bytes.subarray(start, start + probeBytes), options)
  } catch (error) {
    throw gzipError(file, error)
  }
  const { totalBytes } = readIdxHeader(head.subarray(0, longestHeader), file)
  // Deflate's ratio bounds what the file can hold at all.
  if (totalBytes > bytes.length * 1032 + 1024) {
    const received = rendered(`a file of ${bytes.length} bytes`)
    throw fileError(file, { offset: 0 }, `gzip data that unpack to ${totalBytes} bytes`, received)
  }
  return totalBytes
}

function unpackOptions(totalBytes: number): { maxOutputLength: number } {
  return { maxOutputLength: Math.max(totalBytes, 1) }
}

const gunzipAsync = promisify<Uint8Array, { maxOutputLength: number }, Buffer>(gunzip)

/**
 * Reads the bytes of an IDX file, plain or gzip-compressed (told apart by content).
 *
 * @param file name of the source, for errors
 * @throws KrylovError ERR_FILE when the header is wrong or the length does not match it exactly
 */
export function parseIdx(bytes: Uint8Array, file = 'IDX data'): Idx {
  if (!isGzip(bytes)) return parsePlain(bytes, file)
  const totalBytes = unpackedBytes(bytes, file)
  let unpacked: Uint8Array
  try {
    unpacked = gunzipSync(bytes, unpackOptions(totalBytes))
  } catch (error) {
    throw gzipError(file, error)
  }
  return parsePlain(unpacked, file)
}

/** Reads an IDX file, plain or gzip-compressed; unpacking does not block the event loop. */
export async function readIdx(path: string): Promise<Idx> {
  const bytes = await readFileBytes(path)
  if (!isGzip(bytes)) return parsePlain(bytes, path)
  const totalBytes = unpackedBytes(bytes, path)
  let unpacked: Uint8Array
  try {
    unpacked = await gunzipAsync(bytes, unpackOptions(totalBytes))
  } catch (error) {
    throw gzipError(path, error)
  }
  return parsePlain(unpacked, path)
}
