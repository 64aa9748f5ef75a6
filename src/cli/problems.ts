import type { KrylovError } from '../index.js'
import { isKrylovError } from '../index.js'

/*
 * Problems of a configuration: each has the path of the wrong field and what is wrong with it. All are told at once,
 * so that a user corrects a file in one go.
 */

/** One thing that is wrong: `path` is empty for the configuration as a whole. */
export type Problem = { readonly path: string; readonly message: string }

/** A configuration or command line that cannot be used; the process exits with code 2. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[]

  /** @param source what the problems are in: `config`, `options` */
  constructor(source: string, problems: readonly Problem[]) {
    super(
      problems.map(({ path, message }) => [source, path, message].filter((part) => part !== '').join(': ')).join('\n'),
    )
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** A failure while running that needs no stack trace; the process exits with code 1. */
export class RunError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'RunError'
  }
}

/** `model.layers[2].units` for a list of keys and indices. */
export function joinKeys(keys: readonly PropertyKey[], prefix = ''): string {
  let path = prefix
  for (const key of keys) {
    if (typeof key === 'number') path += `[${key}]`
    else if (/^[A-Za-z_$][\w$]*$/.test(String(key))) path += path === '' ? String(key) : `.${String(key)}`
    else path += `[${JSON.stringify(String(key))}]`
  }
  return path
}

function appendPath(path: string, tail: string): string {
  return path === '' || tail === '' || tail.startsWith('[') ? path + tail : `${path}.${tail}`
}

/** The keys and indices of a path, the inverse of `joinKeys`. */
export function splitPath(path: string): (string | number)[] {
  const pieces = path.matchAll(/\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|([^.[\]]+)/g)
  return Array.from(pieces, ([, index, quoted, plain]) =>
    index !== undefined ? Number(index) : quoted !== undefined ? (JSON.parse(`"${quoted}"`) as string) : (plain ?? ''),
  )
}

// --- near matches ----------------------------------------------------------------------------------------------------

/**
 * Number of single-character edits and swaps of neighbours between two words (Damerau 1964, in the variant that edits
 * no substring twice), one row of the table at a time.
 */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const least = Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1)
      next.push(swapped ? Math.min(least, (before[j - 2] ?? 0) + 1) : least)
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}

/** `; did you mean 'learningRate'?`, the list of what is possible where nothing is near, or nothing without a list. */
export function hint(word: string, candidates: readonly string[]): string {
  const plain = (text: string): string => text.toLowerCase().replace(/[\s_-]/g, '')
  const wanted = plain(word).slice(0, 64)
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(wanted, plain(candidate)) }))
    .sort((a, b) => a.distance - b.distance)
  const best = ranked[0]
  if (best === undefined) return ''
  // About a third of the letters may differ.
  const near = best.distance <= Math.floor(Math.max(wanted.length, best.candidate.length) / 3)
  return near ? `; did you mean '${best.candidate}'?` : `; known are ${candidates.join(', ')}`
}

// --- errors of the library -------------------------------------------------------------------------------------------

/** A path without the words that stand before it or, in a spec within a spec, before a part of it. */
function plainPath(path: string): string {
  return path.replace(/(^|\.)(?:\w+ )+/g, '$1')
}

/** The option that an error is about: `details.path` where there is one, else the last word of its name. */
function pathOf(error: KrylovError): string {
  const { path, name, expected } = error.details ?? {}
  // The words before a path say whose option it is: 'adam learningRate', 'residual layers[0] options'.
  const owner = typeof name === 'string' ? name.replace(/^\w+ options$/, '').replace(/ options$/, '') : ''
  const base = plainPath(owner)
  if (typeof path !== 'string') return base
  // An unknown name is told alone where the object that has it is the name of the error.
  return Array.isArray(expected) && name !== path ? appendPath(base, path) : plainPath(path)
}

function messageOf(error: KrylovError, beside: readonly string[]): string {
  const { expected, received } = error.details ?? {}
  if (Array.isArray(expected)) return `unknown option${hint(String(received), [...beside, ...expected.map(String)])}`
  if (typeof expected === 'string') return `expected ${expected}, received ${String(received)}`
  return error.message
}

/**
 * An error of the library as a problem below `path`.
 *
 * @param own the library's word for what stands at that path
 * @param beside names that an object may have besides those that the error lists, for near matches
 */
export function problemOf(error: KrylovError, path: string, own = '', beside: readonly string[] = []): Problem {
  const full = pathOf(error)
  const rest = own !== '' && full.startsWith(own) ? full.slice(own.length) : undefined
  const tail = rest === '' || (rest !== undefined && /^[.[]/.test(rest)) ? rest.replace(/^\./, '') : full
  return { path: appendPath(path, tail), message: messageOf(error, beside) }
}

/** Removes a field; for an item of a list the whole list, since the numbers of the other items must stay. */
function removeAt(root: unknown, keys: readonly (string | number)[]): boolean {
  const last = keys.findLastIndex((key) => typeof key === 'string')
  const parent = keys.slice(0, Math.max(last, 0)).reduce<unknown>((value, key) => {
    return (value as Record<string | number, unknown> | null | undefined)?.[key]
  }, root)
  const key = keys[last]
  if (typeof parent !== 'object' || parent === null || key === undefined) return false
  return delete (parent as Record<string | number, unknown>)[key]
}

const faults: ReadonlySet<string> = new Set(['ERR_OPTION', 'ERR_SHAPE', 'ERR_DTYPE', 'ERR_NOT_FINITE'])

/**
 * Every problem that a check of the library finds in a value. The check stops at its first problem, so it is run
 * again without the field that was wrong, until it passes or comes back to a field that it needs.
 *
 * @param own the library's word for the value, with which the paths of its errors begin
 */
export async function problemsIn<T>(
  value: T,
  path: string,
  own: string,
  check: (value: T) => unknown,
  beside: readonly string[] = [],
): Promise<Problem[]> {
  const rest = structuredClone(value)
  const problems: Problem[] = []
  for (;;) {
    try {
      await check(rest)
      return problems
    } catch (error) {
      // Anything else, such as an addon that cannot be loaded, is no fault of the value.
      if (!isKrylovError(error) || !faults.has(error.code)) throw error
      const problem = problemOf(error, path, own, beside)
      if (problems.some((known) => known.path === problem.path)) return problems
      problems.push(problem)
      if (!removeAt(rest, splitPath(problem.path).slice(splitPath(path).length))) return problems
    }
  }
}
