import type { Filled } from './rule.js'
import { count, numeric, resolveByTable, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type StochasticLbfgsOptions = {
  /** Default 0.1. */
  readonly learningRate?: number | ScheduleOption
  /** Pairs kept; default 10. */
  readonly history?: number
  /**
   * Where the pairs (s, y) come from: two gradients on the same batch (`sameBatch`, the default), or products with the
   * `hessian` or `ggn` at mean iterates.
   */
  readonly pairs?: 'sameBatch' | 'hessian' | 'ggn'
  /** Updates from one pair to the next; default 1 for `sameBatch`, otherwise 10. */
  readonly every?: number
  /** λ: y gains λs; default 1e-2, 0 leaves the pairs as they are. */
  readonly regularisation?: number | ScheduleOption
}
export type StochasticLbfgs = Filled<StochasticLbfgsOptions> & { readonly kind: 'stochasticLbfgs' }

function table(every: number) {
  return {
    learningRate: numeric(0.1, { above: 0 }),
    history: count(10),
    pairs: word('sameBatch', ['sameBatch', 'hessian', 'ggn']),
    every: count(every),
    regularisation: numeric(1e-2, { min: 0 }),
  }
}
const options = table(1)

/**
 * L-BFGS on mini-batches: θ ← θ − ηHg without a line search; the pairs behind H never mix two batches.
 *
 * @throws KrylovError ERR_OPTION
 * @example stochasticLbfgs({ learningRate: 0.05, pairs: 'hessian' })
 * @see Schraudolph, Yu and Günter 2007; Byrd, Hansen, Nocedal and Singer 2016 (arXiv 1401.7020)
 */
export function stochasticLbfgs(given: StochasticLbfgsOptions = {}): StochasticLbfgs {
  const { pairs = 'sameBatch' } = given ?? {}
  const defaults = pairs === 'sameBatch' ? options : table(10)
  return Object.freeze({
    kind: 'stochasticLbfgs',
    ...resolveByTable('stochasticLbfgs', defaults, given),
  } as StochasticLbfgs)
}

export const stochasticLbfgsRule = Object.freeze({ kind: 'stochasticLbfgs', options, resolve: stochasticLbfgs })
