import type { DampingOptions } from './curvature-options.js'
import { checkDamping, curvatureWord, dampingGroup } from './curvature-options.js'
import type { Filled } from './rule.js'
import { isAdapted, numeric, refuseIdle, resolveByTable } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type SaddleFreeNewtonOptions = {
  /** Lanczos vectors of an update at most, a product with the curvature each; default 20. */
  readonly subspaceSize?: number | ScheduleOption
  /** λ: adapted by the reduction ratio, or a number or schedule that fixes it (one try an update). */
  readonly damping?: DampingOptions | number | ScheduleOption
  /** Steps with a reduction ratio above this are taken, 0 to below 1/4; default 1e-4. */
  readonly acceptance?: number | ScheduleOption
  /** Values of λ tried in one update, a value of the function each; default 40. */
  readonly maxTries?: number | ScheduleOption
  /** The method is done where the largest entry of the gradient is at most this; default 1e-7. */
  readonly gradientTolerance?: number | ScheduleOption
  /** Default `hessian`; the others have no negative curvature. */
  readonly curvature?: 'hessian' | 'ggn' | 'fisher'
}
export type SaddleFreeNewton = Filled<SaddleFreeNewtonOptions> & { readonly kind: 'saddleFreeNewton' }

const kind = 'saddleFreeNewton' as const
const options = {
  subspaceSize: numeric(20, { min: 1 }),
  damping: dampingGroup(1),
  acceptance: numeric(1e-4, { min: 0, below: 0.25 }),
  maxTries: numeric(40, { min: 1 }),
  gradientTolerance: numeric(1e-7, { min: 0 }),
  curvature: curvatureWord('hessian', ['hessian', 'ggn', 'fisher']),
}

/**
 * Newton's method with the magnitudes of the curvature: θ ← θ − (|H| + λI)⁻¹ g in a Krylov subspace.
 *
 * The Lanczos process from g gives H in a few directions, where |H| is known by its eigenvalues. Along negative curvature
 * the step is as long as along positive, and downhill, so that saddle points repel.
 *
 * @throws KrylovError ERR_OPTION
 * @example saddleFreeNewton({ subspaceSize: 50 })
 * @see Dauphin, Pascanu, Gulcehre, Cho, Ganguli and Bengio 2014 (arXiv 1406.2572)
 */
export function saddleFreeNewton(given: SaddleFreeNewtonOptions = {}): SaddleFreeNewton {
  const resolved = { kind, ...resolveByTable(kind, options, given) } as SaddleFreeNewton
  checkDamping(kind, resolved.damping)
  if (!isAdapted(resolved.damping)) refuseIdle(kind, options, resolved, ['maxTries'], 'with a fixed damping')
  return Object.freeze(resolved)
}

export const saddleFreeNewtonRule = Object.freeze({ kind, options, resolve: saddleFreeNewton })
