import type { LbfgsOptions } from './lbfgs.js'
import { quasiNewtonTable, resolveQuasiNewton } from './lbfgs.js'
import type { Filled } from './rule.js'
import { flag } from './rule.js'

/** As L-BFGS, without `history`. */
export type BfgsOptions = Omit<LbfgsOptions, 'history'> & {
  /** Mend steps along which the function bends too little (Powell 1978); false: learn nothing from them. Default true. */
  readonly powellDamping?: boolean
}
export type Bfgs = Filled<BfgsOptions> & { readonly kind: 'bfgs' }

const options = { ...quasiNewtonTable, powellDamping: flag(true) }

/**
 * BFGS with the whole inverse Hessian, in float64: for at most 4000 parameters. Steps and stops as in `lbfgs`.
 *
 * @throws KrylovError ERR_OPTION
 * @example bfgs()
 * @see Nocedal and Wright 2006, algorithm 6.1
 */
export function bfgs(given: BfgsOptions = {}): Bfgs {
  return Object.freeze({ kind: 'bfgs', ...resolveQuasiNewton('bfgs', options, given) } as Bfgs)
}

export const bfgsRule = Object.freeze({ kind: 'bfgs', options, resolve: bfgs })
