import { seedOption } from './curvature-options.js'
import type { Filled } from './rule.js'
import { numeric, refuseIdle, resolveByTable, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type DiagonalNewtonOptions = {
  /** η; default 0.1. */
  readonly learningRate?: number | ScheduleOption
  /** μ, added to |h|; default 0.1. */
  readonly damping?: number | ScheduleOption
  /** Weight of the old average in h, 0 to below 1; default 0. */
  readonly smoothing?: number | ScheduleOption
  /** Updates from one diagonal to the next; default 1. */
  readonly every?: number | ScheduleOption
  /**
   * The Gauss-Newton matrix's, exact (`ggn`) or from random signs (`sampledGgn`); the empirical Fisher matrix's; or
   * layer by layer, after Becker and LeCun 1988 or without second derivatives of activations (`gaussNewtonLeCun`, the
   * default). The last two are for networks without layerNorm.
   */
  readonly diagonal?: 'ggn' | 'sampledGgn' | 'empiricalFisher' | 'beckerLeCun' | 'gaussNewtonLeCun'
  /** Of the signs of `sampledGgn`; default 0. */
  readonly seed?: number
}
export type DiagonalNewton = Filled<DiagonalNewtonOptions> & { readonly kind: 'diagonalNewton' }

const options = {
  learningRate: numeric(0.1, { min: 0 }),
  damping: numeric(0.1, { above: 0 }),
  smoothing: numeric(0, { min: 0, below: 1 }),
  every: numeric(1, { min: 1 }),
  diagonal: word('gaussNewtonLeCun', ['ggn', 'sampledGgn', 'empiricalFisher', 'beckerLeCun', 'gaussNewtonLeCun']),
  seed: seedOption(),
}

/**
 * Newton's method with the diagonal of the curvature: w ← w − η g / (|h| + μ).
 *
 * @throws KrylovError ERR_OPTION
 * @example diagonalNewton({ learningRate: 0.05, smoothing: 0.9 })
 * @see Becker and LeCun 1988; LeCun, Bottou, Orr and Müller 1998
 */
export function diagonalNewton(given: DiagonalNewtonOptions = {}): DiagonalNewton {
  const resolved = { kind: 'diagonalNewton', ...resolveByTable('diagonalNewton', options, given) } as DiagonalNewton
  if (resolved.diagonal !== 'sampledGgn') {
    refuseIdle('diagonalNewton', options, resolved, ['seed'], `with diagonal '${resolved.diagonal}'`)
  }
  return Object.freeze(resolved)
}

export const diagonalNewtonRule = Object.freeze({ kind: 'diagonalNewton', options, resolve: diagonalNewton })
