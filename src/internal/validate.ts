import type { ErrorDetails } from './errors.js'
import { describe, KrylovError, optionError, rendered, shapeError } from './errors.js'

/*
 * Small checks for factories and entry points. Every check takes the value first and its name second, returns the
 * value with its type narrowed, and throws a KrylovError otherwise.
 *
 * A name is a path of option keys (`damping.initial`, `layers[2].units`), optionally after the words that say whose
 * option it is (`adam learningRate`). The path alone stands in `details.path`; `atPath` puts it below the place where
 * the object stood in a larger configuration.
 */

// --- paths -----------------------------------------------------------------------------------------------------------

/** Joins a path and a key or index: `joinPath('layers', 2)` is `layers[2]`, `joinPath('', 'loss')` is `loss`. */
export function joinPath(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) return `${path}[${JSON.stringify(key)}]`
  return path === '' ? key : `${path}.${key}`
}

function appendPath(path: string, tail: string): string {
  if (path === '' || tail === '') return path + tail
  return tail.startsWith('[') ? path + tail : `${path}.${tail}`
}

/** The path at the end of a name, without the words before it: `adam learningRate` gives `learningRate`. */
function pathOfName(name: string): string {
  // Keys in quoted brackets may hold spaces; elsewhere a space ends the words that say whose option it is.
  const match = /(?:^| )((?:[^\s[\]]|\[(?:\d+|"(?:[^"\\]|\\.)*")\])+)$/.exec(name)
  return match?.[1] ?? ''
}

/** The path of the option that an error is about, or '' when it is not about one. */
export function errorPath(error: KrylovError): string {
  const path = error.details?.path
  if (typeof path === 'string') return path
  const name = error.details?.name
  return typeof name === 'string' && error.code !== 'ERR_FILE' ? pathOfName(name) : ''
}

/**
 * Runs a check of a part of a larger configuration; an error names the full path of the wrong field.
 *
 * @example atPath('optimizer', () => adam(config.optimizer)) // 'optimizer.learningRate: expected ...'
 */
export function atPath<T>(path: string, check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (!(error instanceof KrylovError) || path === '') throw error
    const name = error.details?.name
    const full = appendPath(path, errorPath(error))
    const lead = typeof name === 'string' ? `${name}: ` : ''
    const rest = error.message.startsWith(lead) ? error.message.slice(lead.length) : error.message
    const details: ErrorDetails = { ...error.details, name: full, path: full }
    throw new KrylovError(error.code, `${full}: ${rest}`, details, { cause: error })
  }
}

// --- near matches ----------------------------------------------------------------------------------------------------

/**
 * Edit distance with transpositions of neighbours (Damerau 1964; the variant that edits no substring twice).
 * Row i holds the distances from the first i characters of `a` to every prefix of `b`.
 */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let best = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, at(beforeLast, j - 2) + 1)
      }
      row.push(best)
    }
    beforeLast = last
    last = row
  }
  return at(last, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}

const longestComparedWord = 64

/**
 * The candidate that a misspelt word most likely means, or undefined when none is near. Case, hyphens and
 * underscores do not count (`learning_rate` finds `learningRate`); otherwise about a third of the letters may differ.
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replace(/[\s_-]/g, '')
  const wanted = plain(word)
  if (wanted === '' || wanted.length > longestComparedWord) return undefined
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of candidates) {
    const other = plain(candidate)
    const limit = Math.floor(Math.max(wanted.length, other.length) / 3)
    const distance = editDistance(wanted, other)
    if (distance <= limit && distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function suggestion(word: unknown, candidates: readonly string[]): string {
  const near = typeof word === 'string' ? nearest(word, candidates) : undefined
  return near === undefined ? '' : `; did you mean '${near}'?`
}

// --- objects ---------------------------------------------------------------------------------------------------------

/** True for an object that can hold options: not an array, typed array, buffer, map or other built-in container. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return false
  return Object.prototype.toString.call(value) === '[object Object]'
}

/** An object with named members. */
export function record(value: unknown, name: string): Record<string, unknown> {
  if (!isRecord(value)) throw optionError(name, 'an object', value)
  return value
}

/**
 * Rejects member names that are not in the list, with the nearest right one.
 *
 * @param where whose options these are, for the message: `train options`
 * @param labels `noun`: what a member is called, default `option`; `path`: where the object itself stands, default ''
 * @example checkKnownKeys({ learningrate: 1 }, ['learningRate'], 'train options')
 * // train options: unknown option 'learningrate'; did you mean 'learningRate'?
 */
export function checkKnownKeys(
  object: unknown,
  allowed: readonly string[],
  where: string,
  labels: { readonly noun?: string; readonly path?: string } = {},
): asserts object is Record<string, unknown> {
  const { noun = 'option', path = '' } = labels
  if (!isRecord(object)) throw optionError(where, 'an object', object, { path })
  for (const key of Object.keys(object)) {
    if (allowed.includes(key)) continue
    const near = nearest(key, allowed)
    const hint = near === undefined ? `; the ${noun}s are ${allowed.join(', ')}` : `; did you mean '${near}'?`
    throw new KrylovError(
      'ERR_OPTION',
      `${where}: unknown ${noun} ${describe(key)}${allowed.length === 0 ? '' : hint}`,
      {
        name: where,
        path: joinPath(path, key),
        expected: [...allowed],
        received: key,
        ...(near === undefined ? {} : { suggestion: near }),
      },
    )
  }
}

/** `fallback` when the value is absent (undefined), else what the check returns. */
export function optional<T, F>(value: unknown, fallback: F, check: (value: unknown) => T): T | F {
  return value === undefined ? fallback : check(value)
}

// --- numbers ---------------------------------------------------------------------------------------------------------

/** Bounds of a number: `min` and `max` are allowed values themselves, `above` and `below` are not. */
export type NumberRange = {
  readonly min?: number
  readonly max?: number
  readonly above?: number
  readonly below?: number
}

function describeRange(noun: string, range: NumberRange): string {
  if (range.min !== undefined && range.max !== undefined) return `${noun} from ${range.min} to ${range.max}`
  const parts: string[] = []
  if (range.min !== undefined) parts.push(`>= ${range.min}`)
  if (range.above !== undefined) parts.push(`> ${range.above}`)
  if (range.max !== undefined) parts.push(`<= ${range.max}`)
  if (range.below !== undefined) parts.push(`< ${range.below}`)
  return parts.length === 0 ? noun : `${noun} ${parts.join(' and ')}`
}

function within(value: number, range: NumberRange): boolean {
  return (
    (range.min === undefined || value >= range.min) &&
    (range.max === undefined || value <= range.max) &&
    (range.above === undefined || value > range.above) &&
    (range.below === undefined || value < range.below)
  )
}

/** A finite number within bounds. */
export function numberInRange(value: unknown, name: string, range: NumberRange = {}): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || !within(value, range)) {
    throw optionError(name, describeRange('a finite number', range), value)
  }
  return value
}

/** An integer of at most 2^53 - 1 in size, within bounds. */
export function integerInRange(value: unknown, name: string, range: NumberRange = {}): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || !within(value, range)) {
    throw optionError(name, describeRange('an integer', range), value)
  }
  return value
}

/** A generator's seed: an integer from 0 to 2^53 - 1. */
export function seed(value: unknown, name: string): number {
  return integerInRange(value, name, { min: 0, max: Number.MAX_SAFE_INTEGER })
}

// --- other scalars ---------------------------------------------------------------------------------------------------

export function boolean(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw optionError(name, 'true or false', value)
  return value
}

/** A string, by default not empty. */
export function string(value: unknown, name: string, options: { readonly empty?: boolean } = {}): string {
  if (typeof value !== 'string') throw optionError(name, 'a string', value)
  if (value === '' && options.empty !== true) throw optionError(name, 'a string that is not empty', value)
  return value
}

/** One of a list of strings or numbers; a misspelt string gets the nearest right one in the message. */
export function oneOf<const T extends string | number>(value: unknown, name: string, choices: readonly T[]): T {
  if (choices.includes(value as T)) return value as T
  const words = choices.filter((choice) => typeof choice === 'string')
  const expected = choices.map(describe)
  const last = expected.pop() ?? 'nothing'
  const list = expected.length === 0 ? last : `${expected.join(', ')} or ${last}`
  throw optionError(name, list, rendered(`${describe(value)}${suggestion(value, words)}`))
}

/** A function, returned as the type that the caller states; what it takes and returns cannot be checked here. */
export function callable<F extends (...args: never[]) => unknown>(value: unknown, name: string): F {
  if (typeof value !== 'function') throw optionError(name, 'a function', value)
  return value as F
}

// --- arrays ----------------------------------------------------------------------------------------------------------

/** How long an array may be; `length` is exact. */
export type ArrayLimits = { readonly length?: number; readonly minLength?: number; readonly maxLength?: number }

function checkLength(length: number, name: string, limits: ArrayLimits): void {
  if (limits.length !== undefined && length !== limits.length) {
    throw shapeError(name, `length ${limits.length}`, rendered(`length ${length}`))
  }
  if (limits.minLength !== undefined && length < limits.minLength) {
    throw shapeError(name, `length >= ${limits.minLength}`, rendered(`length ${length}`))
  }
  if (limits.maxLength !== undefined && length > limits.maxLength) {
    throw shapeError(name, `length <= ${limits.maxLength}`, rendered(`length ${length}`))
  }
}

/** An array whose items all pass a check; the check gets each item's own name (`betas[1]`). */
export function arrayOf<T>(
  value: unknown,
  name: string,
  check: (item: unknown, name: string) => T,
  limits: ArrayLimits = {},
): T[] {
  if (!Array.isArray(value)) throw optionError(name, 'an array', value)
  checkLength(value.length, name, limits)
  // Array.from visits holes too, as undefined, where map would skip them.
  return Array.from(value as unknown[], (item, index) => check(item, joinPath(name, index)))
}

function isNumberView(value: unknown): value is ArrayLike<number> {
  if (!ArrayBuffer.isView(value) || value instanceof DataView) return false
  return !(value instanceof BigInt64Array || value instanceof BigUint64Array)
}

/** An array or typed array of finite numbers within bounds, copied to an ordinary array. */
export function finiteArray(value: unknown, name: string, limits: ArrayLimits & NumberRange = {}): number[] {
  const source: unknown = isNumberView(value) ? Array.from(value) : value
  if (!Array.isArray(source)) throw optionError(name, 'an array of finite numbers', value)
  return arrayOf(source, name, (item, itemName) => numberInRange(item, itemName, limits), limits)
}
