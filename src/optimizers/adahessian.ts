import { seedOption } from './curvature-options.js'
import type { Filled } from './rule.js'
import { numeric, resolveByTable } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type AdaHessianOptions = {
  /** η; default 0.15. */
  readonly learningRate?: number | ScheduleOption
  /** Decay of the mean of gradients; default 0.9. */
  readonly beta1?: number | ScheduleOption
  /** Decay of the mean of squared diagonals; default 0.999. */
  readonly beta2?: number | ScheduleOption
  /** ε, outside the power; default 1e-4. */
  readonly epsilon?: number | ScheduleOption
  /** κ, above 0 to 1; default 1. */
  readonly hessianPower?: number | ScheduleOption
  /** λ, decoupled, times the learning rate; default 0. */
  readonly weightDecay?: number | ScheduleOption
  /** Updates from one estimate of the diagonal to the next; default 1. */
  readonly every?: number | ScheduleOption
  /** Of the random signs; default 0. */
  readonly seed?: number
}
export type AdaHessian = Filled<AdaHessianOptions> & { readonly kind: 'adahessian' }

const options = {
  learningRate: numeric(0.15, { min: 0 }),
  beta1: numeric(0.9, { min: 0, below: 1 }),
  beta2: numeric(0.999, { min: 0, below: 1 }),
  epsilon: numeric(1e-4, { min: 0 }),
  hessianPower: numeric(1, { above: 0, max: 1 }),
  weightDecay: numeric(0, { min: 0 }),
  every: numeric(1, { min: 1 }),
  seed: seedOption(),
}

/**
 * AdaHessian: Adam with |z ⊙ Hz|, z random signs, in the place of the gradient in the second moment.
 *
 * m ← β1 m + (1 − β1)g; v ← β2 v + (1 − β2)D²; w ← w − η(m/c1 / ((√v/√c2)^κ + ε) + λw), c_i = 1 − β_i^t.
 *
 * @throws KrylovError ERR_OPTION
 * @example adahessian({ learningRate: 0.1 })
 * @see Yao et al. 2020 (arXiv 2006.00719)
 */
export function adahessian(given: AdaHessianOptions = {}): AdaHessian {
  return Object.freeze({ kind: 'adahessian', ...resolveByTable('adahessian', options, given) } as AdaHessian)
}

export const adahessianRule = Object.freeze({ kind: 'adahessian', options, resolve: adahessian })
