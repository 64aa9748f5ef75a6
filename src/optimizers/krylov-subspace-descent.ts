import type { PreconditionerOptions } from './curvature-options.js'
import { curvatureWord, preconditionerTable, refuseIdlePreconditioner } from './curvature-options.js'
import type { Filled } from './rule.js'
import { group, numeric, resolveByTable } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type KrylovSubspaceDescentOptions = {
  /** K: Krylov vectors in the basis, beside the last step; default 20. */
  readonly subspaceSize?: number | ScheduleOption
  /** Entries of the diagonal are at least `floor` (1e-4) of the largest. */
  readonly preconditioner?: PreconditionerOptions & { readonly floor?: number | ScheduleOption }
  /** Eigenvalues of the projected curvature are raised to this share of the largest; default 1e-4. */
  readonly eigenvalueFloor?: number | ScheduleOption
  /** BFGS within the subspace, on the selection's samples. */
  readonly search?: {
    /** Values with gradients; default 30. */
    readonly maxEvaluations?: number | ScheduleOption
    /** It ends where its gradient has shrunk by this factor; default 1e-4. */
    readonly tolerance?: number | ScheduleOption
  }
  /** The method is done where the largest entry of the gradient is at most this; default 1e-7. */
  readonly gradientTolerance?: number | ScheduleOption
  /** Default `ggn`. */
  readonly curvature?: 'ggn' | 'hessian' | 'fisher'
}
export type KrylovSubspaceDescent = Filled<KrylovSubspaceDescentOptions> & { readonly kind: 'krylovSubspaceDescent' }

const options = {
  subspaceSize: numeric(20, { min: 1 }),
  preconditioner: group({ ...preconditionerTable, floor: numeric(1e-4, { min: 0, max: 1 }) }),
  eigenvalueFloor: numeric(1e-4, { above: 0, below: 1 }),
  search: group({ maxEvaluations: numeric(30, { min: 2 }), tolerance: numeric(1e-4, { min: 0 }) }),
  gradientTolerance: numeric(1e-7, { min: 0 }),
  curvature: curvatureWord('ggn', ['ggn', 'hessian', 'fisher']),
}

/**
 * Krylov subspace descent: the loss itself is minimised over the span of a few Krylov vectors and the last step.
 *
 * @throws KrylovError ERR_OPTION
 * @example krylovSubspaceDescent({ subspaceSize: 10 })
 * @see Vinyals and Povey 2012 (arXiv 1111.4259)
 */
export function krylovSubspaceDescent(given: KrylovSubspaceDescentOptions = {}): KrylovSubspaceDescent {
  const resolved = {
    kind: 'krylovSubspaceDescent',
    ...resolveByTable('krylovSubspaceDescent', options, given),
  } as KrylovSubspaceDescent
  refuseIdlePreconditioner('krylovSubspaceDescent', options, resolved)
  return Object.freeze(resolved)
}

export const krylovSubspaceDescentRule = Object.freeze({
  kind: 'krylovSubspaceDescent',
  options,
  resolve: krylovSubspaceDescent,
})
