import type { Filled, OptionTable, RuleValue } from './rule.js'
import { count, numeric, refuseIdle, resolveByTable, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type LbfgsOptions = {
  /** First step that the line search tries, or the step; default 1. */
  readonly learningRate?: number | ScheduleOption
  /** Pairs kept; default 100. */
  readonly history?: number
  /** The method is done where the largest entry of the gradient is at most this; default 1e-7. */
  readonly gradientTolerance?: number | ScheduleOption
  /** And where a step changes no parameter, or the value, by more than this, or −gᵀd is below it; default 1e-9. */
  readonly changeTolerance?: number | ScheduleOption
  /** Default `strongWolfe`. */
  readonly lineSearch?: 'strongWolfe' | 'none'
  /** Default 25. */
  readonly maxLineSearchIterations?: number
}
export type Lbfgs = Filled<LbfgsOptions> & { readonly kind: 'lbfgs' }

/** What L-BFGS and BFGS share. */
export const quasiNewtonTable = {
  learningRate: numeric(1, { above: 0 }),
  gradientTolerance: numeric(1e-7, { min: 0 }),
  changeTolerance: numeric(1e-9, { min: 0 }),
  lineSearch: word('strongWolfe', ['strongWolfe', 'none']),
  maxLineSearchIterations: count(25),
}

const options = { history: count(100), ...quasiNewtonTable }

/** Options of L-BFGS or BFGS filled in: without a line search there is nothing to set about it. */
export function resolveQuasiNewton(kind: string, table: OptionTable, given: object): Record<string, RuleValue> {
  const resolved = resolveByTable(kind, table, given)
  if (resolved.lineSearch === 'none') {
    refuseIdle(kind, table, resolved, ['maxLineSearchIterations'], "with lineSearch 'none'")
  }
  return resolved
}

/**
 * L-BFGS: a direction −Hg with H from the last steps and changes of the gradient, and a strong Wolfe line search.
 *
 * The rules are those of PyTorch 1.13's `torch.optim.LBFGS` with its strong Wolfe search; one update is one of its
 * iterations. For all the data, or batches that stay: see `stochasticLbfgs` for mini-batches.
 *
 * @throws KrylovError ERR_OPTION
 * @example lbfgs({ history: 20 })
 * @see Liu and Nocedal 1989
 */
export function lbfgs(given: LbfgsOptions = {}): Lbfgs {
  return Object.freeze({ kind: 'lbfgs', ...resolveQuasiNewton('lbfgs', options, given) } as Lbfgs)
}

export const lbfgsRule = Object.freeze({ kind: 'lbfgs', options, resolve: lbfgs })
