import type { FixedOption, GroupOption, WordOption } from './rule.js'
import { count, group, numeric, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

/*
 * Options that the second-order optimizers share.
 */

/**
 * Which matrix stands for the curvature: the `hessian`, the generalised Gauss-Newton matrix `ggn`, the `fisher` matrix
 * (equal to `ggn` for the losses that have one), or the `empiricalFisher` matrix, the mean of g gᵀ over the samples.
 */
export type CurvatureKind = 'hessian' | 'ggn' | 'fisher' | 'empiricalFisher'

/** Levenberg-Marquardt damping: λ on the diagonal of the curvature, adapted by how well the quadratic model predicts. */
export type DampingOptions = {
  /** λ of the first update; default 1. */
  readonly initial?: number | ScheduleOption
  /** Factor on λ where the reduction ratio is above `upper`; default 2/3. */
  readonly drop?: number | ScheduleOption
  /** Factor on λ where the ratio is below `lower`; default 3/2. */
  readonly boost?: number | ScheduleOption
  /** Default 1/4. */
  readonly lower?: number | ScheduleOption
  /** Default 3/4. */
  readonly upper?: number | ScheduleOption
  /** λ never falls below it; default 0. */
  readonly minimum?: number | ScheduleOption
}

export function dampingGroup(initial: number): GroupOption {
  return group(
    {
      initial: numeric(initial, { min: 0 }),
      drop: numeric(2 / 3, { above: 0, max: 1 }),
      boost: numeric(3 / 2, { min: 1 }),
      lower: numeric(1 / 4),
      upper: numeric(3 / 4),
      minimum: numeric(0, { min: 0 }),
    },
    { instead: 'initial', flag: 'adapt' },
  )
}

/** A diagonal M of the curvature to a power, which conjugate gradients are preconditioned with. */
export type PreconditionerOptions = {
  /**
   * `martens` (default): the mean of squared per-sample gradients; `ggnDiagonal`: the diagonal of the Gauss-Newton matrix;
   * `none`. A function that is no network has `none` only.
   */
  readonly kind?: 'martens' | 'ggnDiagonal' | 'none'
  /** Default 0.75. */
  readonly exponent?: number | ScheduleOption
  /** `ggnDiagonal`: random signs a sample that estimate it; 0: exact, by a pass for each output. Default 1. */
  readonly draws?: number | ScheduleOption
  /** Of the signs; default 0. */
  readonly seed?: number
}

export const preconditionerTable = {
  kind: word('martens', ['martens', 'ggnDiagonal', 'none']),
  exponent: numeric(0.75, { min: 0, max: 1 }),
  draws: numeric(1, { min: 0 }),
  seed: seedOption(),
}

/** Seeds are exact as JavaScript numbers. */
export function seedOption(): FixedOption {
  return count(0, { min: 0, max: Number.MAX_SAFE_INTEGER })
}

export function curvatureWord<const W extends CurvatureKind>(fallback: W, words: readonly CurvatureKind[]): WordOption {
  return word(fallback, words)
}
