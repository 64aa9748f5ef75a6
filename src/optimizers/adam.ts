import { flag, numeric, resolveByTable } from './rule.js'
import type { Schedule, ScheduleOption } from './schedule.js'

export type AdamOptions = {
  /** η; default 1e-3. */
  readonly learningRate?: number | ScheduleOption
  /** Decay of the mean of gradients; default 0.9. */
  readonly beta1?: number | ScheduleOption
  /** Decay of the mean of squares; default 0.999. */
  readonly beta2?: number | ScheduleOption
  /** ε, added to the corrected root; default 1e-8. */
  readonly epsilon?: number | ScheduleOption
  /** λ, coupled: it is added to the gradient; default 0. */
  readonly weightDecay?: number | ScheduleOption
  /** Divide by the largest mean of squares so far; default false. */
  readonly amsgrad?: boolean
  /** Divide the means by 1 − β^t; default true. */
  readonly biasCorrection?: boolean
}

type AdamPart = {
  readonly learningRate: number | Schedule
  readonly beta1: number | Schedule
  readonly beta2: number | Schedule
  readonly epsilon: number | Schedule
  readonly weightDecay: number | Schedule
  readonly amsgrad: boolean
  readonly biasCorrection: boolean
}
export type Adam = AdamPart & { readonly kind: 'adam' }

/** The table that Adam and AdamW share; they differ in what weightDecay means and its default. */
export function adamTable(weightDecay: number) {
  return {
    learningRate: numeric(1e-3, { min: 0 }),
    beta1: numeric(0.9, { min: 0, below: 1 }),
    beta2: numeric(0.999, { min: 0, below: 1 }),
    epsilon: numeric(1e-8, { min: 0 }),
    weightDecay: numeric(weightDecay, { min: 0 }),
    amsgrad: flag(false),
    biasCorrection: flag(true),
  }
}

const options = adamTable(0)

/**
 * Adam: g ← g + λw; m ← β1 m + (1 − β1)g; v ← β2 v + (1 − β2)g²; w ← w − (η/c1) m/(√v/√c2 + ε), c_i = 1 − β_i^t.
 *
 * `amsgrad` puts x ← max(x, v) in the place of v (PyTorch's form, on the uncorrected v); with `biasCorrection: false`
 * it is Algorithm 2 of Reddi et al. 2018.
 *
 * @throws KrylovError ERR_OPTION
 * @example adam({ learningRate: cosine({ learningRate: 1e-3 }) })
 * @see Kingma and Ba 2014, Algorithm 1; PyTorch 1.13, torch.optim.Adam
 */
export function adam(given: AdamOptions = {}): Adam {
  return Object.freeze({ kind: 'adam', ...resolveByTable('adam', options, given) } as Adam)
}

export const adamRule = Object.freeze({ kind: 'adam', options, resolve: adam })
