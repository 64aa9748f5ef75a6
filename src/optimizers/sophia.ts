import { seedOption } from './curvature-options.js'
import type { Filled } from './rule.js'
import { numeric, refuseIdle, resolveByTable, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type SophiaOptions = {
  /** η; default 1e-3. */
  readonly learningRate?: number | ScheduleOption
  /** Decay of the mean of gradients; default 0.96. */
  readonly beta1?: number | ScheduleOption
  /** Decay of the mean of diagonals; default 0.99. */
  readonly beta2?: number | ScheduleOption
  /** γ; default 0.05, for `hutchinson` 0.01. */
  readonly gamma?: number | ScheduleOption
  /** Least divisor; default 1e-12. */
  readonly epsilon?: number | ScheduleOption
  /** λ, decoupled, times the learning rate; default 0. */
  readonly weightDecay?: number | ScheduleOption
  /** Updates from one estimate of the diagonal to the next; default 10. */
  readonly every?: number | ScheduleOption
  /** From a gradient for labels drawn from the model (default), or from a Hessian product with random signs. */
  readonly estimator?: 'gaussNewtonBartlett' | 'hutchinson'
  /** Of the random signs of `hutchinson`; default 0. Labels are drawn by the run's seed. */
  readonly seed?: number
}
export type Sophia = Filled<SophiaOptions> & { readonly kind: 'sophia' }

function table(gamma: number) {
  return {
    learningRate: numeric(1e-3, { min: 0 }),
    beta1: numeric(0.96, { min: 0, below: 1 }),
    beta2: numeric(0.99, { min: 0, below: 1 }),
    gamma: numeric(gamma, { above: 0 }),
    epsilon: numeric(1e-12, { above: 0 }),
    weightDecay: numeric(0, { min: 0 }),
    every: numeric(10, { min: 1 }),
    estimator: word('gaussNewtonBartlett', ['gaussNewtonBartlett', 'hutchinson']),
    seed: seedOption(),
  }
}
const options = table(0.05)

/**
 * Sophia: momentum divided by an average of the curvature's diagonal, every element clipped to 1.
 *
 * m ← β1 m + (1 − β1)g; w ← (1 − ηλ)w; w ← w − η clip(m / max(γh, ε), 1); every few updates h ← β2 h + (1 − β2)ĥ.
 * The paper's constants could not be confirmed from a primary source; these are as commonly given.
 *
 * @throws KrylovError ERR_OPTION
 * @example sophia({ learningRate: 3e-3 })
 * @see Liu et al. 2023 (arXiv 2305.14342), algorithm 3
 */
export function sophia(given: SophiaOptions = {}): Sophia {
  const { estimator } = given ?? {}
  const defaults = estimator === 'hutchinson' ? table(0.01) : options
  const resolved = { kind: 'sophia', ...resolveByTable('sophia', defaults, given) } as Sophia
  if (resolved.estimator !== 'hutchinson') {
    refuseIdle('sophia', defaults, resolved, ['seed'], `with estimator '${resolved.estimator}'`)
  }
  return Object.freeze(resolved)
}

export const sophiaRule = Object.freeze({ kind: 'sophia', options, resolve: sophia })
