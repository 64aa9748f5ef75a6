import { curvatureWord } from './curvature-options.js'
import type { Filled } from './rule.js'
import { group, numeric, resolveByTable, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type NewtonMROptions = {
  readonly minres?: {
    /** η: MINRES stops at ‖Hr‖ < η‖Hp‖; default 0.01. */
    readonly inexactness?: number | ScheduleOption
    /** Default 250. */
    readonly maxIterations?: number | ScheduleOption
  }
  /** What the line search brings down: the function, or the norm of its gradient (which may lead to saddle points). Default `value`. */
  readonly merit?: 'value' | 'gradientNorm'
  readonly lineSearch?: {
    /** Share of the predicted decrease that is asked for, below 1/2; default 0.25, with `gradientNorm` 1e-4. */
    readonly armijo?: number | ScheduleOption
  }
  /** The method is done where the largest entry of the gradient is at most this; default 1e-7. */
  readonly gradientTolerance?: number | ScheduleOption
  /** Default `hessian`. */
  readonly curvature?: 'hessian' | 'ggn' | 'fisher'
}
export type NewtonMR = Filled<NewtonMROptions> & { readonly kind: 'newtonMR' }

function table(armijo: number) {
  return {
    minres: group({ inexactness: numeric(1e-2, { above: 0 }), maxIterations: numeric(250, { min: 1 }) }),
    merit: word('value', ['value', 'gradientNorm']),
    lineSearch: group({ armijo: numeric(armijo, { above: 0, below: 0.5 }) }),
    gradientTolerance: numeric(1e-7, { min: 0 }),
    curvature: curvatureWord('hessian', ['hessian', 'ggn', 'fisher']),
  }
}
const options = table(0.25)

/**
 * Newton's method by minimum residuals, which indefinite and singular Hessians do not trouble.
 *
 * MINRES on H p = −g; where it meets non-positive curvature, the residual there is the step's direction, with a line
 * search that goes forwards as well as backwards.
 *
 * @throws KrylovError ERR_OPTION
 * @example newtonMR()
 * @see Roosta, Liu, Xu and Mahoney 2018 (arXiv 1810.00303); Liu and Roosta 2022 (arXiv 2208.07095)
 */
export function newtonMR(given: NewtonMROptions = {}): NewtonMR {
  const defaults = (given as Partial<NewtonMR>)?.merit === 'gradientNorm' ? table(1e-4) : options
  return Object.freeze({ kind: 'newtonMR', ...resolveByTable('newtonMR', defaults, given) } as NewtonMR)
}

export const newtonMRRule = Object.freeze({ kind: 'newtonMR', options, resolve: newtonMR })
