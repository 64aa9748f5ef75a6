import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseSafetensors, serializeSafetensors, tensorFrom, tensorValues } from '../src/formats/safetensors.js'
import { KrylovError } from '../src/internal/errors.js'
import { errorOf } from './support/thrown.js'

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))
}

/** A file with this header text, padded or not, and so many bytes of data. */
function fileOf(header: string | Uint8Array, data: number | Uint8Array = 0): Uint8Array {
  const text = typeof header === 'string' ? Buffer.from(header) : header
  const bytes = typeof data === 'number' ? new Uint8Array(data) : data
  const out = new Uint8Array(8 + text.length + bytes.length)
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true)
  out.set(text, 8)
  out.set(bytes, 8 + text.length)
  return out
}

describe('broken files', () => {
  const entry = (shape: string, offsets: string, dtype = 'F32'): string =>
    `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`
  const x = (shape: string, offsets: string, dtype = 'F32'): string => `{"x":${entry(shape, offsets, dtype)}}`

  it.each<[string, Uint8Array, RegExp]>([
    ['too short', new Uint8Array(7), /byte 0: expected at least 8 bytes, received 7 bytes/],
    ['header beyond the limit', hex('01e1f50500000000'), /at most 100000000 bytes, received 100000001/],
    ['header length of 64 bits', hex('ffffffffffffffff'), /received 18446744073709551615/],
    ['header beyond the file', hex('0300000000000000 7b7d'), /a header of 3 bytes, received 2 bytes/],
    ['no header', hex('0000000000000000'), /byte 8: expected '\{' as the header's first byte, received the end/],
    ['space before the header', fileOf(' {}'), /byte 8: expected '\{' as the header's first byte, received ' '/],
    ['byte order mark', fileOf('\ufeff{}'), /first byte/],
    ['an array', fileOf('[]'), /first byte/],
    ['not UTF-8', fileOf(Uint8Array.from([0x7b, 0xff, 0x7d])), /a header in UTF-8/],
    ['unclosed', fileOf('{"x"'), /byte 12: expected ':', received the end of the header/],
    ['newline after the object', fileOf('{}\n'), /only spaces after the header object, received '\\n'/],
    ['text after the object', fileOf('{} {}'), /only spaces/],
    ['trailing comma', fileOf(`{"x":${entry('[1]', '[0,4]')},}`, 4), /a name \(a string\), received '}'/],
    [
      'a name twice',
      fileOf(`{"x":${entry('[1]', '[0,4]')},"x":${entry('[1]', '[0,4]')}}`, 4),
      /every name once, received 'x again'/,
    ],
    [
      'a name twice by escapes',
      fileOf(`{"x":${entry('[1]', '[0,4]')},"\\u0078":${entry('[1]', '[4,8]')}}`, 8),
      /every name once/,
    ],
    ['metadata twice', fileOf('{"__metadata__":{},"__metadata__":{}}'), /every name once/],
    ['a metadata key twice', fileOf('{"__metadata__":{"a":"1","a":"2"}}'), /every name once/],
    [
      'a member twice',
      fileOf('{"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      /every name once/,
    ],
    ['metadata number', fileOf('{"__metadata__":{"a":1}}'), /the metadata value of 'a' \(a string\), received '1'/],
    ['metadata null', fileOf('{"__metadata__":null}'), /'\{', received 'n'/],
    ['unknown dtype', fileOf(x('[1]', '[0,4]', 'F33'), 4), /a known dtype of tensor 'x', received 'F33'/],
    ['prototype dtype', fileOf(x('[1]', '[0,4]', 'toString'), 4), /a known dtype/],
    ['dtype number', fileOf('{"x":{"dtype":1,"shape":[1],"data_offsets":[0,4]}}', 4), /a dtype \(a string\)/],
    ['no dtype', fileOf('{"x":{"shape":[1],"data_offsets":[0,4]}}', 4), /member 'dtype' of tensor 'x'/],
    ['no shape', fileOf('{"x":{"dtype":"F32","data_offsets":[0,4]}}', 4), /member 'shape'/],
    ['no offsets', fileOf('{"x":{"dtype":"F32","shape":[1]}}', 4), /member 'data_offsets'/],
    ['negative size', fileOf(x('[-1]', '[0,4]'), 4), /a size \(an integer from 0 to 2\^53 - 1\), received '-1'/],
    ['fractional size', fileOf(x('[1.0]', '[0,4]'), 4), /received '1.0'/],
    ['exponent', fileOf(x('[1e0]', '[0,4]'), 4), /received '1e0'/],
    ['leading zero', fileOf(x('[01]', '[0,4]'), 4), /',' or ']'/],
    ['size of 2^53', fileOf(x('[9007199254740992]', '[0,4]'), 4), /received '9007199254740992'/],
    ['offset of 2^53', fileOf(x('[1]', '[0,9007199254740992]'), 4), /an offset/],
    ['one offset', fileOf(x('[1]', '[0]'), 4), /two data_offsets for tensor 'x'/],
    ['three offsets', fileOf(x('[1]', '[0,4,4]'), 4), /two data_offsets/],
    ['offsets reversed', fileOf(x('[1]', '[4,0]'), 4), /in order, received \[4, 0]/],
    [
      'first tensor not at 0',
      fileOf(x('[1]', '[4,8]'), 8),
      /begin at data offset 0, where the one before it ends, received 4/,
    ],
    [
      'a hole',
      fileOf(`{"x":${entry('[1]', '[0,4]')},"y":${entry('[1]', '[5,9]')}}`, 9),
      /'y' to begin at data offset 4/,
    ],
    [
      'an overlap',
      fileOf(`{"x":${entry('[1]', '[0,4]')},"y":${entry('[1]', '[2,6]')}}`, 6),
      /'y' to begin at data offset 4/,
    ],
    ['trailing bytes', fileOf(x('[1]', '[0,4]'), 5), /4 bytes of tensors after the header, received 5/],
    ['missing bytes', fileOf(x('[1]', '[0,4]'), 3), /4 bytes of tensors after the header, received 3/],
    ['bytes without tensors', fileOf('{}', 1), /0 bytes of tensors/],
    [
      'shape and offsets disagree',
      fileOf(x('[2]', '[0,4]'), 4),
      /to agree, received 4 bytes by data_offsets, 8 bytes for F32 \[2]/,
    ],
    ['overflow', fileOf(x('[9007199254740991,9007199254740991]', '[0,4]'), 4), /a size beyond 64 bits/],
    ['overflow before a zero', fileOf(x('[9007199254740991,9007199254740991,0]', '[0,0]')), /a size beyond 64 bits/],
    ['overflow by the element', fileOf(x('[9007199254740991,1024]', '[0,0]')), /a size beyond 64 bits/],
    ['half a byte', fileOf(x('[3]', '[0,1]', 'F4'), 1), /12 bits, which fill no whole number of bytes/],
    ['six bits', fileOf(x('[2]', '[0,1]', 'F6_E2M3'), 1), /12 bits/],
    ['lone surrogate', fileOf('{"\\ud800":{}}'), /without lone surrogates/],
    ['bad escape', fileOf('{"\\q":{}}'), /valid escapes/],
    ['control character', fileOf('{"a\u0001":{}}'), /no control characters/],
    ['string cut in an escape', fileOf('{"a\\'), /a closing quotation mark/],
    ['deep nesting', fileOf(`{"x":{"more":${'['.repeat(10_000)}`), /levels of nesting/],
    ['bad value in an unknown member', fileOf('{"x":{"more":nope}}'), /a JSON value/],
  ])('rejects: %s', (_, bytes, message) => {
    const error = errorOf(() => parseSafetensors(bytes, 'model.safetensors'))
    expect(error.code).toBe('ERR_FILE')
    expect(error.message).toMatch(message)
    expect(error.message.startsWith('model.safetensors, byte ')).toBe(true)
    const offset = error.details?.offset
    expect(typeof offset === 'number' && offset >= 0 && offset <= bytes.length).toBe(true)
  })

  it('counts byte offsets, not characters', () => {
    const header = '{"ä€😀":{"dtype":1}}'
    const error = errorOf(() => parseSafetensors(fileOf(header)))
    expect(error.details?.offset).toBe(8 + Buffer.from(header).indexOf(':1') + 1)
    const late = `{"ä":${entry('[1]', '[0,4]')},"€":${entry('[1]', '[4,8]', 'Q')}}`
    const second = errorOf(() => parseSafetensors(fileOf(late, 8)))
    expect(second.details?.offset).toBe(8 + Buffer.from(late).indexOf('"€"'))
  })

  it.each<[string, Uint8Array]>([
    [
      'white space in the header',
      fileOf(`{ "x" :\n\t{ "shape" : [ 1 , 1 ] ,\r"dtype":"F32", "data_offsets":[ 0, 4 ] } }   `, 4),
    ],
    [
      'members it does not know',
      fileOf('{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":[{"a":[]},-1.5e3,null,true,false,"x"]}}', 4),
    ],
    ['tensors against the order of the data', fileOf(`{"b":${entry('[1]', '[4,8]')},"x":${entry('[1]', '[0,4]')}}`, 8)],
    [
      'empty tensors between others',
      fileOf(
        `{"b":${entry('[1]', '[0,4]')},"x":${entry('[0,9007199254740991]', '[0,0]')},"c":${entry('[0]', '[4,4]')}}`,
        4,
      ),
    ],
    ['misaligned tensors', fileOf(`{"b":${entry('[1]', '[0,1]', 'U8')},"x":${entry('[1]', '[1,5]')}}`, 5)],
    ['names of object members', fileOf(`{"__proto__":${entry('[0]', '[0,0]')},"x":${entry('[1]', '[0,4]')}}`, 4)],
  ])('accepts: %s', (_, bytes) => {
    const tensor = parseSafetensors(bytes).tensors.get('x')
    if (tensor === undefined) throw new Error('tensor lost')
    expect(tensorValues(tensor).every((value) => value === 0)).toBe(true)
  })
})

describe('fuzzing', () => {
  const sample = serializeSafetensors(
    [
      ['layers.0.weight', tensorFrom(new Float32Array([1, -2, 3, 4, 5, 6]), [3, 2])],
      ['layers.0.bias', tensorFrom(new Float32Array([7, 8, 9]), [3])],
      ['state.ä', tensorFrom(new BigUint64Array([1n]), [])],
      ['flags', { dtype: 'BOOL', shape: [3], data: new Uint8Array([0, 1, 1]) }],
    ],
    { format: 'test', note: 'with "quotes"' },
  )
  const dataStart = 8 + Number(new DataView(sample.buffer).getBigUint64(0, true))

  /** Whatever was accepted must be consistent: rewriting and rereading it changes nothing. */
  function check(bytes: Uint8Array): boolean {
    let parsed: ReturnType<typeof parseSafetensors>
    try {
      parsed = parseSafetensors(bytes)
    } catch (error) {
      expect(error).toBeInstanceOf(KrylovError)
      expect((error as KrylovError).code).toBe('ERR_FILE')
      return false
    }
    const again = parseSafetensors(serializeSafetensors(parsed.tensors, parsed.metadata))
    expect(again.tensors.size).toBe(parsed.tensors.size)
    for (const [name, tensor] of parsed.tensors) expect(again.tensors.get(name)).toEqual(tensor)
    return true
  }

  it('rejects every truncation', () => {
    for (let length = 0; length < sample.length; length++) expect(check(sample.slice(0, length))).toBe(false)
  })

  it('rejects every extension', () => {
    for (const extra of [1, 2, 8, 1000]) {
      const longer = new Uint8Array(sample.length + extra)
      longer.set(sample)
      expect(check(longer)).toBe(false)
    }
  })

  it('survives every single flipped bit', () => {
    for (let bit = 0; bit < 8 * sample.length; bit++) {
      const flipped = sample.slice()
      const at = bit >> 3
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit & 7))
      const accepted = check(flipped)
      // Flips in the data change values alone.
      if (at >= dataStart) expect(accepted).toBe(true)
    }
  })

  it('survives several changes at once', () => {
    const change = fc.tuple(fc.nat(sample.length - 1), fc.nat(255))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(20), (changes, cut) => {
        const bytes = sample.slice(0, sample.length - cut)
        for (const [at, value] of changes) bytes[at] = value
        check(bytes)
      }),
      { seed: 4, numRuns: 2000 },
    )
  })

  it('survives noise as a header', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '"',
      ':',
      ',',
      ' ',
      '0',
      '12',
      '-',
      '.5',
      '"x"',
      '"dtype"',
      '"F32"',
      '"shape"',
      '"data_offsets"',
      '"__metadata__"',
      '\\',
      'null',
      '\n',
      '\u0000',
      'é',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        check(fileOf(`{${pieces.join('')}`))
      }),
      { seed: 5, numRuns: 2000 },
    )
  })
})
