import { optionError } from '../internal/errors.js'
import type { DiagonalKind } from '../internal/native.js'
import { checkKnownKeys, integerInRange, oneOf, seed } from '../internal/validate.js'

export type { DiagonalKind } from '../internal/native.js'

/** Labels or signs drawn for an estimate. */
export type SampleOptions = {
  /** Draws for each sample of the batch, at least 1. */
  readonly samples: number
  /** Of the generator; default 0. */
  readonly seed?: number
}

/** The same, where one draw is the default. */
export type DiagonalOptions = {
  /** Draws of random signs for each sample of the batch, `'sampledGgn'` only; default 1. */
  readonly samples?: number
  /** Of the signs, `'sampledGgn'` only; default 0. */
  readonly seed?: number
}

export type Draws = { readonly samples: number; readonly seed: number }

const kinds: readonly DiagonalKind[] = ['ggn', 'sampledGgn', 'empiricalFisher', 'beckerLeCun', 'gaussNewtonLeCun']
const mostSamples = 2 ** 20

/** Options of something exact unless samples are asked for: 0 samples then. */
export function drawsInput(options: unknown, where: string): Draws {
  if (options === undefined) return { samples: 0, seed: 0 }
  checkKnownKeys(options, ['samples', 'seed'], `${where} options`)
  return {
    samples: integerInRange(options.samples, `${where} samples`, { min: 1, max: mostSamples }),
    seed: seed(options.seed ?? 0, `${where} seed`),
  }
}

export function diagonalInput(kind: unknown, options: unknown): { readonly kind: DiagonalKind } & Draws {
  const known = oneOf(kind, 'diagonal kind', kinds)
  checkKnownKeys(options, ['samples', 'seed'], 'diagonal options')
  for (const key of ['samples', 'seed']) {
    if (known === 'sampledGgn' || options[key] === undefined) continue
    throw optionError(`diagonal ${key}`, `none for '${known}', which draws nothing`, options[key])
  }
  return { kind: known, ...drawsInput({ samples: options.samples ?? 1, seed: options.seed }, 'diagonal') }
}
