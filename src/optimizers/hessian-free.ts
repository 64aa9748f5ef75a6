import type { DampingOptions, PreconditionerOptions } from './curvature-options.js'
import {
  checkDamping,
  curvatureWord,
  dampingGroup,
  preconditionerTable,
  refuseIdlePreconditioner,
} from './curvature-options.js'
import type { Filled } from './rule.js'
import { flag, group, numeric, refuseIdle, resolveByTable, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type HessianFreeOptions = {
  /** λ: adapted by the reduction ratio, or a number or schedule that fixes it. */
  readonly damping?: DampingOptions | number | ScheduleOption
  /** The conjugate gradients that solve for the step. */
  readonly cg?: {
    /** Default 250. */
    readonly maxIterations?: number | ScheduleOption
    /** The progress test looks back over max(this, a tenth of the iterations so far); default 10. */
    readonly minIterations?: number | ScheduleOption
    /** Stops where the quadratic's relative progress over k iterations is below k times this; 0: no such test. Default 5e-4. */
    readonly progressTolerance?: number | ScheduleOption
    /** Also stops at ‖r‖ ≤ this · ‖g‖; default 0. */
    readonly tolerance?: number | ScheduleOption
  }
  /** Share of the last solution that the next solve starts from, 0 to 1; default 0.95. */
  readonly warmStartDecay?: number | ScheduleOption
  /** Of B + λI; a diagonal is (d + λ + l2)^exponent. */
  readonly preconditioner?: PreconditionerOptions
  /** Take the best of the iterates kept, from the last one backwards; false: the last. Default true. */
  readonly backtracking?: boolean
  /** Which samples it compares them on; default `gradient`. */
  readonly backtrackingSamples?: 'gradient' | 'curvature' | 'selection'
  /** Iterates are kept at iterations ⌈5 · storeGrowth^j⌉; default 1.3. */
  readonly storeGrowth?: number | ScheduleOption
  /** Armijo's condition on the step, or false for the fixed rate `learningRate`. */
  readonly lineSearch?:
    | false
    | {
        /** Share of the predicted decrease that is asked for; default 0.01. */
        readonly armijo?: number | ScheduleOption
        /** Factor on a rate that fails; default 0.8. */
        readonly shrink?: number | ScheduleOption
        /** Rates tried before the step is given up; default 60. */
        readonly maxTries?: number | ScheduleOption
      }
  /** First rate that the line search tries, or the rate; default 1. */
  readonly learningRate?: number | ScheduleOption
  /** Default `ggn`. */
  readonly curvature?: 'ggn' | 'hessian' | 'fisher'
  /** The method is done where the largest entry of the gradient is at most this; default 0. */
  readonly gradientTolerance?: number | ScheduleOption
}
export type HessianFree = Filled<HessianFreeOptions> & { readonly kind: 'hessianFree' }

const options = {
  damping: dampingGroup(1),
  cg: group({
    maxIterations: numeric(250, { min: 1 }),
    minIterations: numeric(10, { min: 1 }),
    progressTolerance: numeric(5e-4, { min: 0 }),
    tolerance: numeric(0, { min: 0 }),
  }),
  warmStartDecay: numeric(0.95, { min: 0, max: 1 }),
  preconditioner: group(preconditionerTable),
  backtracking: flag(true),
  backtrackingSamples: word('gradient', ['gradient', 'curvature', 'selection']),
  storeGrowth: numeric(1.3, { above: 1 }),
  lineSearch: group(
    {
      armijo: numeric(1e-2, { above: 0, below: 1 }),
      shrink: numeric(0.8, { above: 0, below: 1 }),
      maxTries: numeric(60, { min: 1 }),
    },
    { instead: 'off', flag: 'enabled' },
  ),
  learningRate: numeric(1, { above: 0 }),
  curvature: curvatureWord('ggn', ['ggn', 'hessian', 'fisher']),
  gradientTolerance: numeric(0, { min: 0 }),
}

/**
 * Hessian-free optimization: Newton steps whose system is solved by conjugate gradients on products with the curvature.
 *
 * (B + λI) d = −g by preconditioned CG from `warmStartDecay` times the last solution, stopped when the quadratic model
 * makes no more progress; the best iterate by the loss; a line search; λ by the reduction ratio ρ. λ belongs to a loss
 * that is a mean over outputs: a λ published for one that sums over K of them is K times this one.
 *
 * @throws KrylovError ERR_OPTION
 * @example hessianFree({ damping: { initial: 0.1 }, cg: { maxIterations: 100 } })
 * @see Martens 2010; Martens and Sutskever 2012
 */
export function hessianFree(given: HessianFreeOptions = {}): HessianFree {
  const resolved = { kind: 'hessianFree', ...resolveByTable('hessianFree', options, given) } as HessianFree
  const refuse = (paths: readonly string[], because: string): void =>
    refuseIdle('hessianFree', options, resolved, paths, because)
  checkDamping('hessianFree', resolved.damping)
  refuseIdlePreconditioner('hessianFree', options, resolved)
  if (!resolved.backtracking) refuse(['backtrackingSamples', 'storeGrowth'], 'with backtracking false')
  if (resolved.cg.progressTolerance === 0) refuse(['cg.minIterations'], 'with cg.progressTolerance 0')
  return Object.freeze(resolved)
}

export const hessianFreeRule = Object.freeze({ kind: 'hessianFree', options, resolve: hessianFree })
