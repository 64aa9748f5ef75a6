import { optionError } from '../internal/errors.js'
import { flag, numeric, resolveByTable } from './rule.js'
import type { Schedule, ScheduleOption } from './schedule.js'

export type SgdOptions = {
  /** η; default 0.01. */
  readonly learningRate?: number | ScheduleOption
  /** μ, 0 <= μ < 1; default 0. */
  readonly momentum?: number | ScheduleOption
  /** d; default 0. */
  readonly dampening?: number | ScheduleOption
  /** The shifted form of Nesterov's momentum; default false. */
  readonly nesterov?: boolean
  /** λ, coupled: it is added to the gradient; default 0. */
  readonly weightDecay?: number | ScheduleOption
}

export type Sgd = {
  readonly kind: 'sgd'
  readonly learningRate: number | Schedule
  readonly momentum: number | Schedule
  readonly dampening: number | Schedule
  readonly nesterov: boolean
  readonly weightDecay: number | Schedule
}

const options = {
  learningRate: numeric(0.01, { min: 0 }),
  momentum: numeric(0, { min: 0, below: 1 }),
  dampening: numeric(0, { min: 0, max: 1 }),
  weightDecay: numeric(0, { min: 0 }),
  nesterov: flag(false),
}

/**
 * Gradient descent with PyTorch's momentum.
 *
 * g ← g + λw; b ← μb + (1 − d)g, but b ← g on the first update; w ← w − ηb. With `nesterov` (which needs momentum and
 * no dampening) w ← w − η(g + μb): the stored parameters are the lookahead point, as in PyTorch. For the form that
 * stores w itself see `classicalMomentum`.
 *
 * @throws KrylovError ERR_OPTION
 * @example sgd({ learningRate: 0.05, momentum: 0.9 })
 * @see PyTorch 1.13, torch.optim.SGD
 */
export function sgd(given: SgdOptions = {}): Sgd {
  const resolved = { kind: 'sgd', ...resolveByTable('sgd', options, given) } as Sgd
  if (resolved.nesterov && (resolved.momentum === 0 || resolved.dampening !== 0)) {
    throw optionError('sgd nesterov', 'false, or true with momentum > 0 and dampening 0', true)
  }
  return Object.freeze(resolved)
}

export const sgdRule = Object.freeze({ kind: 'sgd', options, resolve: sgd })
