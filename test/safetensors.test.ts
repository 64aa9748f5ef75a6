import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readFileBytes, writeFileAtomically } from '../src/formats/atomic-file.js'
import type { NumericArray } from '../src/formats/bytes.js'
import type { SafetensorsDtype, SafetensorsTensor } from '../src/formats/safetensors.js'
import {
  parseSafetensors,
  readSafetensors,
  safetensorsDtypes,
  serializeSafetensors,
  tensorFrom,
  tensorValues,
  writeSafetensors,
} from '../src/formats/safetensors.js'
import { errorOf } from './support/thrown.js'

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))
}

const bits: Record<string, number> = { F4: 4, F6_E2M3: 6, F6_E3M2: 6, BOOL: 8 }
for (const dtype of safetensorsDtypes)
  bits[dtype] ??= dtype === 'BF16' ? 16 : dtype.startsWith('F8') ? 8 : Number(dtype.slice(1))

describe('checked examples', () => {
  it('writes and reads the empty file', () => {
    const bytes = hex('0800000000000000 7b7d202020202020')
    expect(serializeSafetensors([])).toEqual(bytes)
    const { tensors, metadata } = parseSafetensors(bytes)
    expect(tensors.size).toBe(0)
    expect(metadata.size).toBe(0)
  })

  it('writes and reads one tensor', () => {
    const header = '{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}       '
    const expected = Buffer.concat([
      hex('4000000000000000'),
      Buffer.from(header),
      hex('0000803f 00000040 00004040 00008040'),
    ])
    const written = serializeSafetensors([['w', tensorFrom(new Float32Array([1, 2, 3, 4]), [2, 2])]])
    expect(Buffer.from(written).equals(expected)).toBe(true)
    const tensor = parseSafetensors(written).tensors.get('w')
    expect(tensor?.dtype).toBe('F32')
    expect(tensor?.shape).toEqual([2, 2])
    expect(tensor === undefined ? undefined : tensorValues(tensor)).toEqual(new Float32Array([1, 2, 3, 4]))
  })
})

describe('order of writing', () => {
  it('puts metadata first, then tensors by dtype rank and name bytes', () => {
    const byte = (dtype: SafetensorsDtype): SafetensorsTensor => ({
      dtype,
      shape: [],
      data: new Uint8Array((bits[dtype] ?? 0) / 8),
    })
    const bytes = serializeSafetensors(
      new Map([
        ['z', byte('F32')],
        // U+FF5E comes after U+1F600 in UTF-16 units, before it in UTF-8 bytes.
        ['\u{1f600}', byte('F32')],
        ['～', byte('F32')],
        ['a', byte('BOOL')],
        ['b', byte('I64')],
        ['c', byte('U64')],
        ['d', byte('F64')],
      ]),
      { format: 'x', 'a"b': 'line\nbreak' },
    )
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    expect(length % 8).toBe(0)
    const text = Buffer.from(bytes.subarray(8, 8 + length)).toString()
    expect(
      text.startsWith('{"__metadata__":{"format":"x","a\\"b":"line\\nbreak"},"c":{"dtype":"U64","shape":[],'),
    ).toBe(true)
    expect(Object.keys(JSON.parse(text) as object)).toEqual([
      '__metadata__',
      'c',
      'b',
      'd',
      'z',
      '～',
      '\u{1f600}',
      'a',
    ])
    const { metadata } = parseSafetensors(bytes)
    expect([...metadata]).toEqual([
      ['format', 'x'],
      ['a"b', 'line\nbreak'],
    ])
  })

  it('does not depend on the order of the tensors given', () => {
    const a = tensorFrom(new Float32Array([1]), [1])
    const b = tensorFrom(new Float64Array([2]), [1])
    expect(
      serializeSafetensors([
        ['a', a],
        ['b', b],
      ]),
    ).toEqual(
      serializeSafetensors([
        ['b', b],
        ['a', a],
      ]),
    )
  })
})

describe('round trips', () => {
  const values: NumericArray[] = [
    new Uint8Array([0, 1, 255]),
    new Int8Array([-128, 0, 127]),
    new Uint16Array([0, 65535]),
    new Int16Array([-32768, 32767]),
    new Uint32Array([0, 2 ** 32 - 1]),
    new Int32Array([-(2 ** 31), 2 ** 31 - 1]),
    new BigUint64Array([0n, 2n ** 64n - 1n]),
    new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n]),
    new Float32Array([0, -0, 1e-45, Number.MAX_VALUE, Number.NEGATIVE_INFINITY]),
    new Float64Array([0, -0, 5e-324, Number.MAX_VALUE, Number.NEGATIVE_INFINITY]),
    new Float32Array(new Uint32Array([0x7fc00001, 0xff800001, 0x7fffffff]).buffer),
    new Float64Array(new BigUint64Array([0x7ff8000000000001n, 0xfff0000000000001n]).buffer),
  ]

  function bytesOf(array: NumericArray): Buffer {
    return Buffer.from(array.buffer, array.byteOffset, array.byteLength)
  }

  it.each(values.map((array) => [`${array.constructor.name}(${array.length})`, array] as const))('%s', (_, array) => {
    // A one-byte tensor of higher rank order cannot stand first, so shift the alignment by hand as well.
    const file = serializeSafetensors([['x', tensorFrom(array, [array.length])]])
    for (const shift of [0, 1, 2, 4]) {
      const moved = new Uint8Array(file.length + shift).subarray(shift)
      moved.set(file)
      const tensor = parseSafetensors(moved).tensors.get('x')
      if (tensor === undefined) throw new Error('tensor lost')
      const again = tensorValues(tensor)
      expect(again.constructor).toBe(array.constructor)
      expect(bytesOf(again).equals(bytesOf(array))).toBe(true)
    }
  })

  it.each(safetensorsDtypes)('any bytes as %s, also scalar and empty', (dtype) => {
    const size = bits[dtype] ?? 0
    for (const shape of [[8], [2, 4], [8, 0], [0], [0, 5], ...(size >= 8 ? [[], [1], [3]] : [])]) {
      const count = shape.reduce((product, dimension) => product * dimension, 1)
      const data = Uint8Array.from({ length: (count * size) / 8 }, (_, index) => 255 - 7 * index)
      const { tensors } = parseSafetensors(serializeSafetensors([['x', { dtype, shape, data }]]))
      expect(tensors.get('x')).toEqual({ dtype, shape, data })
    }
  })

  it('any set of tensors and metadata', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 12 })
    const tensor = fc
      .tuple(
        fc.constantFrom(...safetensorsDtypes),
        fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
        fc.nat(255),
      )
      .map(([dtype, sizes, fill]): SafetensorsTensor => {
        const shape = (bits[dtype] ?? 0) < 8 ? [...sizes, 8] : sizes
        const count = shape.reduce((product, size) => product * size, 1)
        return { dtype, shape, data: new Uint8Array((count * (bits[dtype] ?? 0)) / 8).fill(fill) }
      })
    const names = text.filter((name) => name !== '__metadata__')
    fc.assert(
      fc.property(
        fc.array(fc.tuple(names, tensor), { maxLength: 6 }),
        fc.array(fc.tuple(text, text)),
        (list, pairs) => {
          const tensors = new Map(list)
          const metadata = new Map(pairs)
          const again = parseSafetensors(serializeSafetensors(tensors, metadata))
          expect(new Map([...again.tensors].sort())).toEqual(new Map([...tensors].sort()))
          expect([...again.metadata]).toEqual([...metadata])
        },
      ),
      { seed: 3 },
    )
  })

  it.each<[SafetensorsDtype, number, number]>([
    ['F16', 0x3c00, 0x3f800000],
    ['F16', 0xc000, 0xc0000000],
    ['F16', 0x7bff, 0x477fe000],
    ['F16', 0x0400, 0x38800000],
    ['F16', 0x03ff, 0x387fc000],
    ['F16', 0x0001, 0x33800000],
    ['F16', 0x8000, 0x80000000],
    ['F16', 0xfc00, 0xff800000],
    ['F16', 0x7e01, 0x7fc02000],
    ['BF16', 0x3f80, 0x3f800000],
    ['BF16', 0xff81, 0xff810000],
  ])('widens %s 0x%i to float32 exactly', (dtype, half, single) => {
    const data = new Uint8Array(new Uint16Array([half]).buffer)
    const wide = tensorValues({ dtype, shape: [1], data })
    expect(new Uint32Array(wide.buffer)[0]).toBe(single)
  })

  it('reads complex numbers as pairs and has no values for small floats', () => {
    const data = new Uint8Array(new Float32Array([1, -2]).buffer)
    expect(tensorValues({ dtype: 'C64', shape: [1], data })).toEqual(new Float32Array([1, -2]))
    const error = errorOf(() => tensorValues({ dtype: 'F8_E4M3', shape: [8], data }, "tensor 'q'"))
    expect(error.code).toBe('ERR_DTYPE')
    expect(error.message).toBe("tensor 'q': expected a dtype with a typed array, received 'F8_E4M3'")
  })

  it('reads shared memory', () => {
    const file = serializeSafetensors([['x', tensorFrom(new Float32Array([1, 2]), [2])]])
    const shared = new Uint8Array(new SharedArrayBuffer(file.length))
    shared.set(file)
    expect(parseSafetensors(shared).tensors.get('x')?.shape).toEqual([2])
  })
})

describe('writing', () => {
  it.each<[string, () => unknown, string, RegExp]>([
    [
      'reserved name',
      () => serializeSafetensors([['__metadata__', tensorFrom(new Uint8Array(1), [1])]]),
      'ERR_OPTION',
      /not reserved/,
    ],
    [
      'a name twice',
      () =>
        serializeSafetensors([
          ['a', tensorFrom(new Uint8Array(1), [1])],
          ['a', tensorFrom(new Uint8Array(1), [1])],
        ]),
      'ERR_OPTION',
      /every name once, received 'a'/,
    ],
    [
      'lone surrogate',
      () => serializeSafetensors([['\ud800', tensorFrom(new Uint8Array(1), [1])]]),
      'ERR_OPTION',
      /lone surrogates/,
    ],
    [
      'wrong length',
      () => tensorFrom(new Float32Array(3), [2], 'w'),
      'ERR_SHAPE',
      /w: expected 8 bytes for F32 \[2], received 12 bytes/,
    ],
    ['negative size', () => tensorFrom(new Float32Array(3), [-3]), 'ERR_SHAPE', /integers >= 0/],
    ['huge size', () => tensorFrom(new Float32Array(0), [2 ** 52, 2 ** 52]), 'ERR_SHAPE', /beyond 64 bits/],
    [
      'clamped bytes',
      () => tensorFrom(new Uint8ClampedArray(1) as unknown as Uint8Array, [1]),
      'ERR_DTYPE',
      /Uint8ClampedArray\(1\)/,
    ],
    [
      'unknown dtype',
      () => serializeSafetensors([['a', { dtype: 'f32' as SafetensorsDtype, shape: [0], data: new Uint8Array(0) }]]),
      'ERR_DTYPE',
      /a safetensors dtype, received 'f32'/,
    ],
    [
      'metadata number',
      () => serializeSafetensors([], { a: 1 as unknown as string }),
      'ERR_OPTION',
      /metadata 'a': expected a string, received 1/,
    ],
    ['metadata surrogate', () => serializeSafetensors([], { a: '\udc00' }), 'ERR_OPTION', /lone surrogates/],
  ])('rejects: %s', (_, action, code, message) => {
    const error = errorOf(action)
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
  })

  let folder = ''
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'krylov-safetensors-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('writes a file that reads back, and leaves no temporary file', async () => {
    const path = join(folder, 'model.safetensors')
    const tensors = new Map([['w', tensorFrom(new Float64Array([1, -0]), [2])]])
    await writeSafetensors(path, tensors, new Map([['a', 'b']]))
    await writeSafetensors(path, tensors, { a: 'c' })
    const again = await readSafetensors(path)
    expect(again.metadata.get('a')).toBe('c')
    expect(again.tensors.get('w')).toEqual(tensors.get('w'))
    expect(await readdir(folder)).toEqual(['model.safetensors'])
    expect(new Uint8Array(await readFile(path))).toEqual(serializeSafetensors(tensors, { a: 'c' }))
  })

  it('leaves the old file as it was when writing fails half-way', async () => {
    const path = join(folder, 'model.safetensors')
    await writeFile(path, 'old')
    function* failing(): Generator<Uint8Array> {
      yield new Uint8Array(1000)
      throw new Error('disk of clay')
    }
    await expect(writeFileAtomically(path, failing())).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: `${path}: expected a writable file, received disk of clay`,
    })
    expect(await readFile(path, 'utf8')).toBe('old')
    expect(await readdir(folder)).toEqual(['model.safetensors'])
  })

  it('leaves a folder in the way as it was', async () => {
    const path = join(folder, 'model.safetensors')
    await mkdir(path)
    await expect(writeSafetensors(path, [])).rejects.toMatchObject({ code: 'ERR_FILE' })
    expect((await stat(path)).isDirectory()).toBe(true)
    expect(await readdir(folder)).toEqual(['model.safetensors'])
  })

  it('keeps permissions and follows links', async () => {
    const path = join(folder, 'model.safetensors')
    const link = join(folder, 'latest')
    await writeFile(path, 'old')
    await chmod(path, 0o640)
    await symlink(path, link)
    await writeSafetensors(link, [])
    expect((await readSafetensors(path)).tensors.size).toBe(0)
    expect((await stat(path)).mode & 0o777).toBe(0o640)
    expect((await readdir(folder)).sort()).toEqual(['latest', 'model.safetensors'])
  })

  it('names the file that cannot be read or written', async () => {
    const missing = join(folder, 'no', 'model.safetensors')
    await expect(readSafetensors(missing)).rejects.toMatchObject({ code: 'ERR_FILE', details: { file: missing } })
    await expect(writeSafetensors(missing, [])).rejects.toMatchObject({ code: 'ERR_FILE', details: { file: missing } })
    await expect(readSafetensors(folder)).rejects.toMatchObject({ code: 'ERR_FILE' })
  })

  it('refuses a file above a limit before reading it', async () => {
    const path = join(folder, 'big')
    await writeFile(path, new Uint8Array(100))
    expect(await readFileBytes(path, 100)).toHaveLength(100)
    await expect(readFileBytes(path, 99)).rejects.toMatchObject({
      message: `${path}: expected at most 99 bytes, received 100 bytes`,
    })
  })
})
