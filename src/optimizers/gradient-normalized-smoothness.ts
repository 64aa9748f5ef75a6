import type { CurvatureKind } from './curvature-options.js'
import { curvatureWord } from './curvature-options.js'
import type { Filled } from './rule.js'
import { group, isAdapted, numeric, refuseIdle, resolveByTable, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type GradientNormalizedSmoothnessOptions = {
  /** γ: adapted, or a number or schedule that fixes it (one try an update, no test). */
  readonly gamma?:
    | {
        /** Default 1. */
        readonly initial?: number | ScheduleOption
        /** Least γ after a success; default 1e-9. */
        readonly minimum?: number | ScheduleOption
      }
    | number
    | ScheduleOption
  /** Added to γ where the gradient's norm is divided by it; default 1e-8. */
  readonly tolerance?: number | ScheduleOption
  /** Values of γ tried in one update; default 40. */
  readonly maxTries?: number | ScheduleOption
  /** Of the linear systems; `auto`: Cholesky up to 256 parameters, else conjugate gradients. */
  readonly solver?: 'auto' | 'cholesky' | 'cg'
  readonly cg?: {
    /** CG stops at ‖r‖ ≤ this · min(1, ‖g‖) · ‖g‖; default 0.1. */
    readonly tolerance?: number | ScheduleOption
    /** Default 250. */
    readonly maxIterations?: number | ScheduleOption
  }
  /** The method is done where ‖g‖ is below this; default 1e-7. */
  readonly gradientTolerance?: number | ScheduleOption
  /** Default `ggn`. */
  readonly curvature?: CurvatureKind
}
export type GradientNormalizedSmoothness = Filled<GradientNormalizedSmoothnessOptions> & {
  readonly kind: 'gradientNormalizedSmoothness'
}

const kind = 'gradientNormalizedSmoothness' as const
const options = {
  gamma: group(
    { initial: numeric(1, { above: 0 }), minimum: numeric(1e-9, { min: 0 }) },
    { instead: 'initial', flag: 'adapt' },
  ),
  tolerance: numeric(1e-8, { min: 0 }),
  maxTries: numeric(40, { min: 1 }),
  solver: word('auto', ['auto', 'cholesky', 'cg']),
  cg: group({ tolerance: numeric(0.1, { above: 0 }), maxIterations: numeric(250, { min: 1 }) }),
  gradientTolerance: numeric(1e-7, { min: 0 }),
  curvature: curvatureWord('ggn', ['ggn', 'hessian', 'fisher', 'empiricalFisher']),
}

/**
 * Newton's method regularised by the gradient: θ ← θ − (H + (‖g‖/γ) I)⁻¹ g, γ by a search of its own.
 *
 * Any approximation of the Hessian that is positive semidefinite will do.
 *
 * @throws KrylovError ERR_OPTION
 * @example gradientNormalizedSmoothness({ curvature: 'ggn' })
 * @see Semenov, Jaggi and Doikov 2025 (arXiv 2506.13710), algorithm 1
 */
export function gradientNormalizedSmoothness(
  given: GradientNormalizedSmoothnessOptions = {},
): GradientNormalizedSmoothness {
  const resolved = { kind, ...resolveByTable(kind, options, given) } as GradientNormalizedSmoothness
  if (!isAdapted(resolved.gamma)) refuseIdle(kind, options, resolved, ['maxTries'], 'with a fixed gamma')
  if (resolved.solver === 'cholesky') {
    refuseIdle(kind, options, resolved, ['cg.tolerance', 'cg.maxIterations'], "with solver 'cholesky'")
  }
  return Object.freeze(resolved)
}

export const gradientNormalizedSmoothnessRule = Object.freeze({ kind, options, resolve: gradientNormalizedSmoothness })
