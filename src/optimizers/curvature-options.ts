import { isRecord, joinPath, numberInRange } from '../internal/validate.js'
import type { FixedOption, GroupOption, OptionTable, WordOption } from './rule.js'
import { checkOrder, count, group, numeric, refuseIdle, word } from './rule.js'
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

/** Checks what the damping's options have to do with each other. */
export function checkDamping(kind: string, damping: unknown): void {
  if (!isRecord(damping)) return
  checkOrder([`${kind} damping.lower`, damping.lower], [`${kind} damping.upper`, damping.upper])
}

/** M for conjugate gradients or Krylov vectors: symmetric, positive definite, and like the curvature. */
export type PreconditionerOptions = {
  /**
   * (d + damping)^exponent with a diagonal d: `martens` (default), the mean of squared per-sample gradients; `ggnDiagonal`,
   * that of the Gauss-Newton matrix; `hutchinson`, from products of the curvature with random signs. `kfac`: the damped
   * Kronecker factors of the layers. `lbfgs`: what L-BFGS makes of the products of the last solve. `none`. A function that
   * is no network has `hutchinson`, `lbfgs` and `none`.
   */
  readonly kind?: 'martens' | 'ggnDiagonal' | 'hutchinson' | 'kfac' | 'lbfgs' | 'none'
  /** Of a diagonal; default 0.75. */
  readonly exponent?: number | ScheduleOption
  /**
   * `ggnDiagonal`: random signs a sample that estimate it; `kfac`: labels a sample, drawn from the model; 0: exact, by a
   * pass for each output. `hutchinson`: products, at least 1. Default 1.
   */
  readonly draws?: number | ScheduleOption
  /** Of the draws; default 0. */
  readonly seed?: number
  /** Updates from one estimate of the diagonal, or of the factors, to the next; its damping is always today's. Default 1. */
  readonly every?: number | ScheduleOption
  /** `kfac`: damping split over the two factors (`factored`, the default), or added to their product (`exact`). */
  readonly form?: 'factored' | 'exact'
  /** `lbfgs`: pairs kept; default 10. */
  readonly history?: number
  /** `lbfgs`: pairs spread over all of the last solve (default), or its last ones. */
  readonly choice?: 'spread' | 'last'
}

export const preconditionerTable = {
  kind: word('martens', ['martens', 'ggnDiagonal', 'hutchinson', 'kfac', 'lbfgs', 'none']),
  exponent: numeric(0.75, { min: 0, max: 1 }),
  draws: numeric(1, { min: 0 }),
  seed: seedOption(),
  every: numeric(1, { min: 1 }),
  form: word('factored', ['factored', 'exact']),
  history: count(10),
  choice: word('spread', ['spread', 'last']),
}

type PreconditionerKind = NonNullable<PreconditionerOptions['kind']>

/** What each kind of preconditioner makes use of. */
const preconditionerUses: Readonly<Record<PreconditionerKind, readonly string[]>> = {
  none: [],
  martens: ['exponent', 'floor', 'every'],
  ggnDiagonal: ['exponent', 'floor', 'draws', 'seed', 'every'],
  hutchinson: ['exponent', 'floor', 'draws', 'seed', 'every'],
  kfac: ['floor', 'draws', 'seed', 'every', 'form'],
  lbfgs: ['history', 'choice'],
}

/** Refuses options of a preconditioner that its kind cannot have, or leaves without effect. */
export function refuseIdlePreconditioner(
  kind: string,
  table: OptionTable,
  resolved: { readonly preconditioner: { readonly kind: PreconditionerKind; readonly draws: unknown } },
): void {
  const { preconditioner } = resolved
  if (preconditioner.kind === 'hutchinson' && typeof preconditioner.draws === 'number') {
    numberInRange(preconditioner.draws, `${kind} preconditioner.draws`, { min: 1 })
  }
  const uses = preconditionerUses[preconditioner.kind]
  const idle = Object.keys(preconditioner).filter((name) => name !== 'kind' && !uses.includes(name))
  const paths = idle.map((name) => joinPath('preconditioner', name))
  refuseIdle(kind, table, resolved, paths, `with preconditioner '${preconditioner.kind}'`)
}

/** Seeds are exact as JavaScript numbers. */
export function seedOption(): FixedOption {
  return count(0, { min: 0, max: Number.MAX_SAFE_INTEGER })
}

export function curvatureWord<const W extends CurvatureKind>(fallback: W, words: readonly CurvatureKind[]): WordOption {
  return word(fallback, words)
}
