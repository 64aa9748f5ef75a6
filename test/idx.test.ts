import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Idx } from '../src/formats/idx.js'
import { parseIdx, readIdx } from '../src/formats/idx.js'
import { KrylovError } from '../src/internal/errors.js'
import { errorOf } from './support/thrown.js'

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))
}

const example = hex('00000803 00000002 00000002 00000002 0102030405060708')

describe('reading', () => {
  it('reads the example of the format', () => {
    const expected = { dtype: 'uint8', shape: [2, 2, 2], data: new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]) }
    expect(parseIdx(example)).toEqual(expected)
    const packed = parseIdx(gzipSync(example))
    expect({ ...packed, data: Uint8Array.from(packed.data) }).toEqual(expected)
  })

  it.each<[string, string, Idx['data']]>([
    ['uint8', '00000801 00000002 00ff', new Uint8Array([0, 255])],
    ['int8', '00000901 00000002 80ff', new Int8Array([-128, -1])],
    ['int16', '00000b01 00000002 8000 0102', new Int16Array([-32768, 258])],
    ['int32', '00000c01 00000002 80000000 01020304', new Int32Array([-(2 ** 31), 16909060])],
    ['float32', '00000d01 00000002 3f800000 80000000', new Float32Array([1, -0])],
    ['float64', '00000e01 00000002 3ff0000000000000 fff0000000000000', new Float64Array([1, Number.NEGATIVE_INFINITY])],
  ])('%s, at any alignment', (dtype, text, data) => {
    const bytes = hex(text)
    for (const shift of [0, 1, 2, 3]) {
      const moved = new Uint8Array(bytes.length + shift).subarray(shift)
      moved.set(bytes)
      expect(parseIdx(moved)).toEqual({ dtype, shape: [2], data })
      // The caller's bytes stay in the order they came in.
      expect(moved).toEqual(bytes)
    }
  })

  it('keeps NaN payloads', () => {
    const { data } = parseIdx(hex('00000d01 00000001 7fa00001'))
    expect(new Uint32Array(data.buffer, data.byteOffset, 1)[0]).toBe(0x7fa00001)
  })

  it('reads scalars and empty arrays', () => {
    expect(parseIdx(hex('00000800 07'))).toEqual({ dtype: 'uint8', shape: [], data: new Uint8Array([7]) })
    expect(parseIdx(hex('00000802 00000000 00000005'))).toEqual({
      dtype: 'uint8',
      shape: [0, 5],
      data: new Uint8Array(0),
    })
    expect(parseIdx(gzipSync(hex('00000801 00000000'))).shape).toEqual([0])
  })

  it('reads a gzip file with every optional header field', () => {
    const tail = gzipSync(example).subarray(10)
    const fields = [hex('1f8b081e 00000000 0003'), hex('0300 aabbcc'), Buffer.from('name\0'), Buffer.from('comment\0')]
    // The header CRC covers what stands before it; zlib checks it.
    const head = Buffer.concat(fields)
    expect(parseIdx(Buffer.concat([head, crc16(head), tail])).shape).toEqual([2, 2, 2])
  })

  it('reads a gzip file of several members', () => {
    const bytes = Buffer.concat([gzipSync(example.subarray(0, 18)), gzipSync(example.subarray(18))])
    expect(Array.from(parseIdx(bytes).data)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })
})

/** The low half of CRC-32 (RFC 1952), bit by bit. */
function crc16(bytes: Uint8Array): Uint8Array {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  crc = ~crc
  return Uint8Array.from([crc & 0xff, (crc >>> 8) & 0xff])
}

describe('broken files', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(0), /byte 0: expected at least 4 bytes, received 0 bytes/],
    ['other magic', hex('89504e47 0d0a1a0a'), /byte 0: expected two zero bytes \(an IDX file\), received 0x89504e47/],
    ['unknown type', hex('00000a01 00000001 00'), /byte 2: expected an element type of 0x08, 0x09, .*, received 0x0a/],
    ['sizes missing', hex('00000803 00000002'), /byte 4: expected 3 sizes of 4 bytes, received 4 bytes/],
    ['too short', example.subarray(0, -1), /byte 16: expected 8 bytes for uint8 \[2, 2, 2], received 7 bytes/],
    ['too long', Uint8Array.from([...example, 0]), /expected 8 bytes for uint8 \[2, 2, 2], received 9 bytes/],
    ['huge', hex('00000e04 ffffffff ffffffff ffffffff ffffffff'), /fewer than 2\^53 bytes/],
    ['announced but absent', hex('00000801 ffffffff'), /expected 4294967295 bytes/],
    ['empty gzip', gzipSync(new Uint8Array(0)), /at least 4 bytes/],
    ['gzip of something else', gzipSync(Buffer.from('hello, world')), /two zero bytes/],
    ['gzip header alone', hex('1f8b0800 00000000 0003'), /the end of the file within the gzip header/],
    [
      'gzip name without end',
      Buffer.concat([hex('1f8b0808 00000000 0003'), Buffer.alloc(100, 65)]),
      /within the gzip header/,
    ],
    [
      'gzip of too little',
      gzipSync(example.subarray(0, -1)),
      /expected 8 bytes for uint8 \[2, 2, 2], received 7 bytes/,
    ],
    ['gzip that cannot hold it', gzipSync(hex('00000801 ffffffff')), /gzip data that unpack to 4294967303 bytes/],
  ])('rejects: %s', (_, bytes, message) => {
    const error = errorOf(() => parseIdx(bytes, 'train-images'))
    expect(error.code).toBe('ERR_FILE')
    expect(error.message).toMatch(message)
    expect(error.message.startsWith('train-images, byte ')).toBe(true)
  })

  it('does not unpack more than the header announces', () => {
    const bomb = Buffer.concat([example, Buffer.alloc(64 * 2 ** 20)])
    expect(errorOf(() => parseIdx(gzipSync(bomb))).message).toMatch(/a whole gzip file, received/)
  })

  it('does not unpack much to find a header that is not there', () => {
    const empty = Buffer.concat(Array.from({ length: 2000 }, () => Buffer.from([0, 0, 0, 0xff, 0xff])))
    const bytes = Buffer.concat([hex('1f8b0800 00000000 0003'), empty, deflateRawSync(Buffer.alloc(2 ** 20))])
    expect(errorOf(() => parseIdx(bytes)).message).toMatch(/at least 4 bytes/)
  })
})

describe('fuzzing', () => {
  const plain = hex('00000d02 00000003 00000002 3f800000 40000000 40400000 40800000 40a00000 40c00000')
  const packed = new Uint8Array(gzipSync(plain))

  function attempt(bytes: Uint8Array): Idx | undefined {
    try {
      const idx = parseIdx(bytes)
      expect(idx.data.length).toBe(idx.shape.reduce((product, size) => product * size, 1))
      return idx
    } catch (error) {
      expect(error).toBeInstanceOf(KrylovError)
      expect((error as KrylovError).code).toBe('ERR_FILE')
      return undefined
    }
  }

  it('rejects every truncation', () => {
    for (const whole of [plain, packed]) {
      for (let length = 0; length < whole.length; length++) expect(attempt(whole.slice(0, length))).toBeUndefined()
    }
  })

  it('survives every single flipped bit', () => {
    for (const [whole, isPacked] of [
      [plain, false],
      [packed, true],
    ] as const) {
      for (let bit = 0; bit < 8 * whole.length; bit++) {
        const flipped = whole.slice()
        const at = bit >> 3
        flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit & 7))
        const idx = attempt(flipped)
        // A checksum guards what is packed: accepted means unchanged (time stamp, system and flags do not count).
        if (isPacked && idx !== undefined) expect(Array.from(idx.data)).toEqual([1, 2, 3, 4, 5, 6])
      }
    }
  })

  it('survives changed and extended copies', () => {
    const change = fc.tuple(fc.nat(200), fc.nat(255))
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.array(change, { maxLength: 4 }),
        fc.uint8Array({ maxLength: 8 }),
        (zip, changes, extra) => {
          const whole = zip ? packed : plain
          const bytes = Uint8Array.from([...whole, ...extra])
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
          const idx = attempt(bytes)
          if (!zip && changes.length === 0 && extra.length > 0) expect(idx).toBeUndefined()
        },
      ),
      { seed: 6, numRuns: 2000 },
    )
  })
})

describe('files', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'krylov-idx-'))
  })
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('reads both kinds whatever the name says', async () => {
    const plain = join(folder, 'a.gz')
    const packed = join(folder, 'b')
    await writeFile(plain, example)
    await writeFile(packed, gzipSync(example))
    expect(Array.from((await readIdx(plain)).data)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(Array.from((await readIdx(packed)).data)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })

  it('names the file that is missing or broken', async () => {
    const path = join(folder, 'c')
    await expect(readIdx(path)).rejects.toMatchObject({ code: 'ERR_FILE', details: { file: path } })
    const damaged = gzipSync(example)
    damaged[damaged.length - 8] = (damaged[damaged.length - 8] ?? 0) ^ 1
    await writeFile(path, damaged)
    await expect(readIdx(path)).rejects.toMatchObject({ code: 'ERR_FILE', details: { file: path, offset: 0 } })
  })
})
