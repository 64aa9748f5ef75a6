import type { KrylovError } from '../internal/errors.js'
import { describe, fileError, rendered } from '../internal/errors.js'

/** One tensor as the header describes it; `at` is the byte offset of its description in the file. */
export type TensorEntry = {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
  readonly at: number
}

export type SafetensorsHeader = {
  readonly entries: readonly TensorEntry[]
  readonly metadata: ReadonlyMap<string, string>
}

const deepestNesting = 64
const loneSurrogate = /\p{Cs}/u

/*
 * JSON.parse keeps the last of two equal names, loses positions and turns 1e3 or 1.0 into integers, so the header has
 * a reader of its own. It follows the header's grammar instead of building a tree: memory stays proportional to what
 * a valid header holds, whatever the text.
 */
class HeaderReader {
  readonly #text: string
  readonly #file: string
  /** Where the text begins in the file. */
  readonly #base: number
  #at = 0

  constructor(text: string, file: string, base: number) {
    this.#text = text
    this.#file = file
    this.#base = base
  }

  get position(): number {
    return this.#at
  }

  /** Byte offset in the file of an index in the text: characters beyond ASCII take several bytes. */
  byteOffset(index: number): number {
    return this.#base + Buffer.byteLength(this.#text.slice(0, index))
  }

  fail(expected: string, received?: string, index = this.#at): KrylovError {
    const code = this.#text.codePointAt(index)
    const found = code === undefined ? rendered('the end of the header') : String.fromCodePoint(code)
    return fileError(this.#file, { offset: this.byteOffset(index) }, expected, received ?? found)
  }

  peek(): string {
    return this.#text[this.#at] ?? ''
  }

  skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  /** Takes one punctuation mark, with the white space around it. */
  take(mark: string): void {
    this.skipSpace()
    if (this.peek() !== mark) throw this.fail(`'${mark}'`)
    this.#at++
    this.skipSpace()
  }

  /** Takes the comma before a next member, or the closing mark; true when a member follows. */
  takeSeparator(close: string): boolean {
    this.skipSpace()
    const mark = this.peek()
    if (mark !== ',' && mark !== close) throw this.fail(`',' or '${close}'`)
    this.#at++
    if (mark !== ',') return false
    this.skipSpace()
    return true
  }

  readString(what: string): string {
    const start = this.#at
    if (this.peek() !== '"') throw this.fail(`${what} (a string)`)
    let end = start + 1
    let escaped = false
    for (;;) {
      const code = this.#text.charCodeAt(end)
      if (code === 0x22) break
      if (Number.isNaN(code)) throw this.fail('a closing quotation mark', undefined, end)
      if (code < 0x20) throw this.fail('no control characters in a string', undefined, end)
      if (code === 0x5c) {
        escaped = true
        end++
      }
      end++
    }
    this.#at = end + 1
    const raw = this.#text.slice(start + 1, end)
    if (!escaped) return raw
    let value: string
    try {
      value = JSON.parse(`"${raw}"`) as string
    } catch {
      throw this.fail('a string with valid escapes', raw, start)
    }
    if (loneSurrogate.test(value)) throw this.fail('a string without lone surrogates', raw, start)
    return value
  }

  /** Takes an integer from 0 to 2^53 - 1, written as digits alone. */
  readInteger(what: string): number {
    const start = this.#at
    const token = this.#readNumber()
    const value = /^\d+$/.test(token) && token.length <= 16 ? Number(token) : Number.NaN
    if (!Number.isSafeInteger(value)) {
      throw this.fail(`${what} (an integer from 0 to 2^53 - 1)`, token === '' ? undefined : token, start)
    }
    return value
  }

  #readNumber(): string {
    const pattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
    pattern.lastIndex = this.#at
    const token = pattern.exec(this.#text)?.[0] ?? ''
    this.#at += token.length
    return token
  }

  readIntegers(what: string): number[] {
    const values: number[] = []
    this.take('[')
    if (this.peek() === ']') {
      this.#at++
      return values
    }
    do {
      values.push(this.readInteger(what))
    } while (this.takeSeparator(']'))
    return values
  }

  /** Reads an object's members by a callback that must take the value; equal names are an error. */
  readMembers(take: (name: string, at: number) => void): void {
    const seen = new Set<string>()
    this.take('{')
    if (this.peek() === '}') {
      this.#at++
      return
    }
    do {
      const at = this.#at
      const name = this.readString('a name')
      if (seen.has(name)) throw this.fail('every name once', `${name} again`, at)
      seen.add(name)
      this.take(':')
      take(name, at)
    } while (this.takeSeparator('}'))
  }

  /** Passes over any JSON value. */
  skipValue(depth = 0): void {
    if (depth > deepestNesting) throw this.fail(`at most ${deepestNesting} levels of nesting`)
    const first = this.peek()
    if (first === '"') {
      this.readString('a value')
    } else if (first === '{') {
      this.readMembers(() => this.skipValue(depth + 1))
    } else if (first === '[') {
      this.take('[')
      if (this.peek() === ']') {
        this.#at++
        return
      }
      do {
        this.skipValue(depth + 1)
      } while (this.takeSeparator(']'))
    } else {
      for (const word of ['true', 'false', 'null']) {
        if (this.#text.startsWith(word, this.#at)) {
          this.#at += word.length
          return
        }
      }
      if (this.#readNumber() === '') throw this.fail('a JSON value')
    }
  }

  /** After the object only spaces may follow. */
  finish(): void {
    const rest = /[^ ]/g
    rest.lastIndex = this.#at
    const match = rest.exec(this.#text)
    if (match !== null) throw this.fail('only spaces after the header object', undefined, match.index)
  }
}

function readEntry(reader: HeaderReader, name: string, at: number): TensorEntry {
  let dtype: string | undefined
  let shape: number[] | undefined
  let offsets: number[] | undefined
  reader.readMembers((member) => {
    if (member === 'dtype') dtype = reader.readString('a dtype')
    else if (member === 'shape') shape = reader.readIntegers('a size')
    else if (member === 'data_offsets') offsets = reader.readIntegers('an offset')
    // The reference reader passes over members that it does not know, so later versions of the format stay readable.
    else reader.skipValue()
  })
  const missing =
    dtype === undefined ? 'dtype' : shape === undefined ? 'shape' : offsets === undefined ? 'data_offsets' : undefined
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    throw reader.fail(`member '${missing}' of tensor ${describe(name)}`, 'none', at)
  }
  const [begin, end] = offsets
  if (begin === undefined || end === undefined || offsets.length !== 2) {
    throw reader.fail(`two data_offsets for tensor ${describe(name)}`, `${offsets.length}`, at)
  }
  return { name, dtype, shape, begin, end, at }
}

/**
 * Reads the JSON header of a safetensors file.
 *
 * @param text the header, decoded
 * @param file name of the source, for errors
 * @param base byte offset of the header in the file
 */
export function readHeader(text: string, file: string, base: number): SafetensorsHeader {
  const reader = new HeaderReader(text, file, base)
  if (reader.peek() !== '{') throw reader.fail("'{' as the header's first byte")
  const entries: TensorEntry[] = []
  const metadata = new Map<string, string>()
  reader.readMembers((name, at) => {
    if (name === '__metadata__') {
      reader.readMembers((key) => {
        metadata.set(key, reader.readString(`the metadata value of ${describe(key)}`))
      })
    } else {
      entries.push(readEntry(reader, name, at))
    }
  })
  reader.finish()
  // Positions in the text become positions in the file, counted piece by piece.
  let counted = 0
  let offset = base
  const placed = entries.map((entry) => {
    offset += Buffer.byteLength(text.slice(counted, entry.at))
    counted = entry.at
    return { ...entry, at: offset }
  })
  return { entries: placed, metadata }
}
