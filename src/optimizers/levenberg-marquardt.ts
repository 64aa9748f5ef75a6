import type { Filled } from './rule.js'
import { checkOrder, group, numeric, refuseIdle, resolveByTable, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type LevenbergMarquardtOptions = {
  /**
   * How μ moves. `trainlm` (default): an update tries larger and larger μ until the sum of squares falls. `nielsen`: an
   * update is one try, and μ follows the gain.
   */
  readonly schedule?: 'trainlm' | 'nielsen'
  /** μ, relative to JᵀJ of the residuals as they are (no mean, no ½). */
  readonly damping?: {
    /** Of the first try; for `nielsen` as a share of the largest diagonal element of JᵀJ. Default 1e-3. */
    readonly initial?: number | ScheduleOption
    /** Factor on μ after a success, for `trainlm`; default 0.1. */
    readonly drop?: number | ScheduleOption
    /** Factor after a failure, for `trainlm`; default 10. */
    readonly boost?: number | ScheduleOption
    /** The method is done where μ grows beyond it; default 1e10. */
    readonly maximum?: number | ScheduleOption
    /** μ never falls below it, for `trainlm`; default 1e-20. */
    readonly minimum?: number | ScheduleOption
  }
  /** The method is done where the norm of 2Jᵀe is at most this; default 1e-7. */
  readonly gradientTolerance?: number | ScheduleOption
  /** And where the loss is at most this; default 0. */
  readonly goal?: number | ScheduleOption
}
export type LevenbergMarquardt = Filled<LevenbergMarquardtOptions> & { readonly kind: 'levenbergMarquardt' }

const kind = 'levenbergMarquardt' as const
const options = {
  schedule: word('trainlm', ['trainlm', 'nielsen']),
  damping: group({
    initial: numeric(1e-3, { above: 0 }),
    drop: numeric(0.1, { above: 0, below: 1 }),
    boost: numeric(10, { above: 1 }),
    maximum: numeric(1e10, { above: 0 }),
    minimum: numeric(1e-20, { min: 0 }),
  }),
  gradientTolerance: numeric(1e-7, { min: 0 }),
  goal: numeric(0, { min: 0 }),
}

/**
 * Levenberg-Marquardt: (JᵀJ + μI) δ = −Jᵀe by Cholesky, for sums of squares of a few thousand parameters.
 *
 * The right tool for small regression networks: meanSquaredError, smooth activations, all the data at once, float64.
 * It takes P² numbers and N·K·P² + P³/3 operations an update.
 *
 * @throws KrylovError ERR_OPTION
 * @example levenbergMarquardt({ schedule: 'nielsen' })
 * @see Hagan and Menhaj 1994; Madsen, Nielsen and Tingleff 2004, algorithm 3.16
 */
export function levenbergMarquardt(given: LevenbergMarquardtOptions = {}): LevenbergMarquardt {
  const resolved = { kind, ...resolveByTable(kind, options, given) } as LevenbergMarquardt
  const { damping } = resolved
  if (resolved.schedule === 'nielsen') {
    refuseIdle(kind, options, resolved, ['damping.drop', 'damping.boost', 'damping.minimum'], "with schedule 'nielsen'")
  }
  checkOrder([`${kind} damping.minimum`, damping.minimum], [`${kind} damping.maximum`, damping.maximum])
  return Object.freeze(resolved)
}

export const levenbergMarquardtRule = Object.freeze({ kind, options, resolve: levenbergMarquardt })
