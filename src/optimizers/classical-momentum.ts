import { numeric, resolveByTable, word } from './rule.js'
import type { Schedule, ScheduleOption } from './schedule.js'

/** Where the gradient is taken: at w, at w − βγp, or at w − βp. */
export type NesterovPlace = 'lookahead' | 'literal'

export type ClassicalMomentumOptions = {
  /** γ; default 0.01. */
  readonly learningRate?: number | ScheduleOption
  /** η; default 1. */
  readonly gradientScale?: number | ScheduleOption
  /** β, 0 <= β < 1; default 0.9. */
  readonly momentum?: number | ScheduleOption
  /** λ, coupled; default 0. */
  readonly weightDecay?: number | ScheduleOption
  /** Place of the gradient; default false: at w. */
  readonly nesterov?: false | NesterovPlace
}

export type ClassicalMomentum = {
  readonly kind: 'classicalMomentum'
  readonly learningRate: number | Schedule
  readonly gradientScale: number | Schedule
  readonly momentum: number | Schedule
  readonly weightDecay: number | Schedule
  readonly nesterov: 'none' | NesterovPlace
}

const options = {
  learningRate: numeric(0.01, { min: 0 }),
  gradientScale: numeric(1, { min: 0 }),
  momentum: numeric(0.9, { min: 0, below: 1 }),
  weightDecay: numeric(0, { min: 0 }),
  nesterov: word('none', ['none', 'lookahead', 'literal']),
}

/**
 * Classical momentum in the two-array form: g ← g + λw; p ← βp + ηg; w ← w − γp.
 *
 * `nesterov: 'lookahead'` takes the gradient at w − βγp (Sutskever et al. 2013, equations 3 and 4); `'literal'` takes it
 * at w − βp, as some course notes write, which is the same for γ = 1 only. With gradients that the caller brings
 * (`createOptimizer`) the place is `optimizer.evaluationPoint(parameters)`; `train` evaluates there by itself.
 *
 * @throws KrylovError ERR_OPTION
 * @example classicalMomentum({ learningRate: 0.1, momentum: sutskeverMomentum(), nesterov: 'lookahead' })
 * @see Polyak 1964; Sutskever et al. 2013
 */
export function classicalMomentum(given: ClassicalMomentumOptions | ClassicalMomentum = {}): ClassicalMomentum {
  const { kind: _, ...plain } = given as ClassicalMomentum
  const words = (given as ClassicalMomentumOptions).nesterov === false ? { ...plain, nesterov: 'none' } : plain
  return Object.freeze({
    kind: 'classicalMomentum',
    ...resolveByTable('classicalMomentum', options, words),
  } as ClassicalMomentum)
}

export const classicalMomentumRule = Object.freeze({ kind: 'classicalMomentum', options, resolve: classicalMomentum })
