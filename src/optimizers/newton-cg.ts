import { curvatureWord } from './curvature-options.js'
import type { Filled } from './rule.js'
import { checkOrder, group, numeric, resolveByTable } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type NewtonCGOptions = {
  /** Of the trust region. */
  readonly radius?: {
    /** 0 stands for min(1, ‖g‖) of the first update; default 0. */
    readonly initial?: number | ScheduleOption
    /** Default 1e10. */
    readonly maximum?: number | ScheduleOption
  }
  /** Steps with a reduction ratio above this are taken, 0 to below 1/4; default 1e-4. */
  readonly acceptance?: number | ScheduleOption
  readonly cg?: {
    /** CG stops at ‖r‖ ≤ min(this, √‖g‖) · ‖g‖; default 0.5. */
    readonly tolerance?: number | ScheduleOption
    /** Default 250. */
    readonly maxIterations?: number | ScheduleOption
  }
  /** The method is done where the largest entry of the gradient is at most this; default 1e-7. */
  readonly gradientTolerance?: number | ScheduleOption
  /** Default `hessian`, whose negative curvature is put to use. */
  readonly curvature?: 'hessian' | 'ggn' | 'fisher'
}
export type NewtonCG = Filled<NewtonCGOptions> & { readonly kind: 'newtonCG' }

const options = {
  radius: group({ initial: numeric(0, { min: 0 }), maximum: numeric(1e10, { above: 0 }) }),
  acceptance: numeric(1e-4, { min: 0, below: 0.25 }),
  cg: group({ tolerance: numeric(0.5, { above: 0 }), maxIterations: numeric(250, { min: 1 }) }),
  gradientTolerance: numeric(1e-7, { min: 0 }),
  curvature: curvatureWord('hessian', ['hessian', 'ggn', 'fisher']),
}

/**
 * Newton's method in a trust region, its steps by Steihaug's truncated conjugate gradients.
 *
 * p minimises gᵀp + ½pᵀBp over ‖p‖ ≤ Δ; negative curvature is followed to the boundary. Δ shrinks to a quarter where
 * the reduction ratio ρ is below 1/4 and doubles where it is above 3/4 on the boundary; a step with a small ρ is not taken.
 *
 * @throws KrylovError ERR_OPTION
 * @example newtonCG({ curvature: 'hessian' })
 * @see Steihaug 1983; Nocedal and Wright 2006, algorithms 4.1 and 7.2
 */
export function newtonCG(given: NewtonCGOptions = {}): NewtonCG {
  const resolved = { kind: 'newtonCG', ...resolveByTable('newtonCG', options, given) } as NewtonCG
  const { initial, maximum } = resolved.radius
  checkOrder(['newtonCG radius.initial', initial], ['newtonCG radius.maximum', maximum])
  return Object.freeze(resolved)
}

export const newtonCGRule = Object.freeze({ kind: 'newtonCG', options, resolve: newtonCG })
