/** The stable codes that every error of this package carries. */
export type ErrorCode =
  | 'ERR_SHAPE'
  | 'ERR_DTYPE'
  | 'ERR_OPTION'
  | 'ERR_NOT_FINITE'
  | 'ERR_BUSY'
  | 'ERR_STATE'
  | 'ERR_FILE'
  | 'ERR_NATIVE'

/** Every code once, for run-time checks (the binding sends codes as text). */
export const errorCodes: readonly ErrorCode[] = Object.freeze([
  'ERR_SHAPE',
  'ERR_DTYPE',
  'ERR_OPTION',
  'ERR_NOT_FINITE',
  'ERR_BUSY',
  'ERR_STATE',
  'ERR_FILE',
  'ERR_NATIVE',
])

/** Machine-readable facts about a failure; which members are present depends on the code. */
export type ErrorDetails = Record<string, unknown>

/**
 * The one error class of this package.
 *
 * `code` is stable and meant for programs; `message` is meant for people and names the argument, what was expected
 * and what came; `details` repeats those facts as data where they are known.
 */
export class KrylovError extends Error {
  readonly code: ErrorCode
  // Declared only: an ordinary field would make every error show `details: undefined`.
  declare readonly details?: ErrorDetails

  constructor(code: ErrorCode, message: string, details?: ErrorDetails, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    if (details !== undefined) this.details = details
  }

  static {
    // On the prototype, so that the name is not an own property of each instance (it would show in every log).
    Object.defineProperty(KrylovError.prototype, 'name', { value: 'KrylovError', configurable: true, writable: true })
  }
}

/** True for a KrylovError, including one that another copy of this package (a worker's, a bundle's) made. */
export function isKrylovError(value: unknown): value is KrylovError {
  if (value instanceof KrylovError) return true
  return (
    value instanceof Error &&
    value.name === 'KrylovError' &&
    errorCodes.includes((value as { code?: unknown }).code as ErrorCode)
  )
}

const longestText = 60
const mostItems = 4

function quote(text: string): string {
  // Cut by code points, so that no half of a surrogate pair is left at the end.
  const points = text.length > longestText ? [...text.slice(0, 2 * longestText)].slice(0, longestText) : undefined
  const shown = points === undefined ? text : `${points.join('')}…`
  return `'${JSON.stringify(shown).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`
}

function describeItem(value: unknown): string {
  switch (typeof value) {
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'string':
      return quote(value)
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'bigint':
      return `${value}n`
    default:
      return value === null ? 'null' : Array.isArray(value) ? `array(${value.length})` : typeof value
  }
}

/** Names the class of an object without trusting it: proxies and objects without prototype are allowed. */
function className(value: object): string {
  try {
    const prototype = Object.getPrototypeOf(value) as { constructor?: unknown } | null
    const maker = prototype?.constructor
    return typeof maker === 'function' && maker.name !== '' ? maker.name : 'Object'
  } catch {
    return 'Object'
  }
}

/**
 * Renders any value shortly, for the "received" part of a message. It never throws and never prints a large array.
 *
 * @example describe([1, 2, 3, 4, 5]) // 'array(5) [1, 2, 3, 4, …]'
 */
export function describe(value: unknown): string {
  if (typeof value === 'function') return value.name === '' ? 'function' : `function ${value.name}`
  if (typeof value === 'symbol') return String(value)
  if (typeof value !== 'object' || value === null) return describeItem(value)
  try {
    if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
      const view = value as unknown as ArrayLike<unknown>
      return `${className(value)}(${view.length})`
    }
    if (Array.isArray(value)) {
      if (value.length === 0) return 'an empty array'
      const items = value.slice(0, mostItems).map(describeItem)
      return `array(${value.length}) [${items.join(', ')}${value.length > mostItems ? ', …' : ''}]`
    }
    if (value instanceof Error) return `${className(value)} ${quote(value.message)}`
    if (className(value) !== 'Object') return `an instance of ${className(value)}`
    const kind: unknown = (value as { kind?: unknown }).kind
    if (typeof kind === 'string') return `object of kind ${quote(kind)}`
    const keys = Object.keys(value)
    if (keys.length === 0) return 'an empty object'
    return `object { ${keys.slice(0, mostItems).join(', ')}${keys.length > mostItems ? ', …' : ''} }`
  } catch {
    return 'object'
  }
}

/** Renders a shape as `[3, 4]`. */
export function describeShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`
}

/** A piece of text for "received" that is already rendered, where `describe` would quote a string. */
export type Rendered = { readonly text: string }

/** Marks text as already rendered: `shapeError('x', '3 columns', rendered('4 columns'))`. */
export function rendered(text: string): Rendered {
  return Object.freeze(new RenderedText(text))
}

class RenderedText implements Rendered {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

function build(
  code: ErrorCode,
  name: string,
  expected: string,
  received: unknown,
  details: ErrorDetails | undefined,
  options?: ErrorOptions,
): KrylovError {
  const text = received instanceof RenderedText ? received.text : describe(received)
  return new KrylovError(
    code,
    `${name}: expected ${expected}, received ${text}`,
    { name, expected, received: text, ...details },
    options,
  )
}

/** A length, rank or shape that does not fit. `received` is described unless wrapped by `rendered`. */
export function shapeError(name: string, expected: string, received: unknown, details?: ErrorDetails): KrylovError {
  return build('ERR_SHAPE', name, expected, received, details)
}

/** An element type that does not fit. */
export function dtypeError(name: string, expected: string, received: unknown, details?: ErrorDetails): KrylovError {
  return build('ERR_DTYPE', name, expected, received, details)
}

/** An option or argument of the wrong type, out of range, unknown, or in conflict with another. */
export function optionError(name: string, expected: string, received: unknown, details?: ErrorDetails): KrylovError {
  return build('ERR_OPTION', name, expected, received, details)
}

/** NaN or infinity where only finite numbers make sense. */
export function notFiniteError(name: string, expected: string, received: unknown, details?: ErrorDetails): KrylovError {
  return build('ERR_NOT_FINITE', name, expected, received, details)
}

/** The object is occupied by a running job. */
export function busyError(name: string, expected: string, received: unknown, details?: ErrorDetails): KrylovError {
  return build('ERR_BUSY', name, expected, received, details)
}

/** The object is in a state that does not allow the call (disposed, not started, already finished). */
export function stateError(name: string, expected: string, received: unknown, details?: ErrorDetails): KrylovError {
  return build('ERR_STATE', name, expected, received, details)
}

/** The native part failed or could not be loaded. */
export function nativeError(
  name: string,
  expected: string,
  received: unknown,
  details?: ErrorDetails,
  options?: ErrorOptions,
): KrylovError {
  return build('ERR_NATIVE', name, expected, received, details, options)
}

/** Where in a file something is wrong: a byte offset for binary formats, a line and column for text. */
export type FilePlace = { readonly offset?: number; readonly line?: number; readonly column?: number | string }

/**
 * A file whose content breaks its format, or that could not be read or written.
 *
 * @param file path or other name of the source, as the user gave it
 */
export function fileError(
  file: string,
  place: FilePlace,
  expected: string,
  received: unknown,
  options?: ErrorOptions,
): KrylovError {
  let where = file
  if (place.offset !== undefined) where += `, byte ${place.offset}`
  if (place.line !== undefined) where += `, line ${place.line}`
  if (place.column !== undefined) {
    where += `, column ${typeof place.column === 'string' ? quote(place.column) : place.column}`
  }
  return build('ERR_FILE', where, expected, received, { file, ...place }, options)
}
