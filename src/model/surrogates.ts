import { optionError } from '../internal/errors.js'
import type { NativeSurrogate } from '../internal/native.js'
import { numberInRange, oneOf } from '../internal/validate.js'

/** What takes the place of the derivative of a sign or a step in the backward pass. */
export type Surrogate = NativeSurrogate

/** Every surrogate, in the order of the documentation. */
export const surrogates: readonly Surrogate[] = Object.freeze([
  'erf',
  'straightThrough',
  'clippedStraightThrough',
  'tanh',
  'sigmoid',
  'superSpike',
  'arctan',
  'triangle',
])

export type SurrogateOptions = {
  /** Default `'erf'`. */
  readonly surrogate?: Surrogate
  /** Factor β of the surrogate's argument, above 0; default 1. `'straightThrough'` has none. */
  readonly beta?: number
}

/** Surrogate and β with defaults filled in; no β for `'straightThrough'`. */
export function resolveSurrogate(
  options: Record<string, unknown>,
  known: readonly Surrogate[],
  where: string,
): { readonly surrogate: Surrogate; readonly beta?: number } {
  const surrogate = oneOf(options.surrogate ?? 'erf', `${where} surrogate`, known)
  if (surrogate === 'straightThrough') {
    if (options.beta !== undefined) throw optionError(`${where} beta`, "none for 'straightThrough'", options.beta)
    return { surrogate }
  }
  return {
    surrogate,
    beta: options.beta === undefined ? 1 : numberInRange(options.beta, `${where} beta`, { above: 0 }),
  }
}
