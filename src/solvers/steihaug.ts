import type { LinearOperator } from '../curvature/linear-operator.js'
import { operatorInput } from '../curvature/linear-operator.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { floatArray } from '../internal/arrays.js'
import type { Computation } from '../internal/computation.js'
import { run, runSync } from '../internal/computation.js'
import type { DType, NativeSolveResult, SolveReason } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { checkKnownKeys, numberInRange } from '../internal/validate.js'
import { beginConjugateGradient } from './conjugate-gradient.js'
import type { SolveOptions } from './options.js'
import { solveKeys, solveResultOf, vectorInput } from './options.js'

export type SteihaugOptions<D extends DType = DType> = SolveOptions<D> & {
  /** Δ > 0. */
  readonly radius: number
  /** Stops inside when ‖Bp + g‖ <= max(absoluteTolerance, tolerance · ‖g‖); default 1e-5. */
  readonly tolerance?: number
  /** Default 0. */
  readonly absoluteTolerance?: number
  /** Default ten times the number of unknowns. */
  readonly maxIterations?: number
  /** Applies M⁻¹, symmetric and positive definite; the region is then ‖p‖ <= Δ in the M-norm. Default none. */
  readonly preconditioner?: LinearOperator<D>
}

/**
 * `interior`: the minimiser to the tolerance; `boundary`: the path left the region; `negativeCurvature`: followed to the
 * boundary. `maxIterations` and `aborted` leave the last iterate; `preconditioner`: not positive definite.
 */
export type SteihaugReason =
  | 'interior'
  | 'boundary'
  | 'negativeCurvature'
  | 'maxIterations'
  | 'preconditioner'
  | 'notFinite'
  | 'aborted'

export type SteihaugResult<D extends DType = DType> = {
  /** p. */
  readonly step: TypedArrayOf<D>
  /** gᵀp + ½pᵀBp. */
  readonly model: number
  readonly reason: SteihaugReason
  readonly iterations: number
  /** Products with B. */
  readonly products: number
  /** ‖Bp + g‖ of the recurrence at the last iterate inside. */
  readonly residualNorm: number
  /** Where negative curvature was met: the direction d, and dᵀBd. */
  readonly direction?: TypedArrayOf<D>
  readonly curvature?: number
}

const keys = ['radius', 'tolerance', 'absoluteTolerance', 'maxIterations', 'preconditioner', ...solveKeys]

/** Conjugate gradients on −g, in the region. */
function begin<D extends DType>(
  operator: LinearOperator<D>,
  gradient: TypedArrayInput<D>,
  options: SteihaugOptions<D>,
): Computation<NativeSolveResult> {
  const { shape, dtype } = operatorInput<D>(operator, 'operator', { square: true })
  checkKnownKeys(options, keys, 'steihaug options')
  numberInRange(options.radius, 'steihaug radius', { above: 0 })
  const g = vectorInput(gradient, 'gradient', dtype, shape[0])
  const negative = floatArray(dtype, shape[0])
  addon().combine(-1, g, 0, g, negative)
  return beginConjugateGradient<D>(operator, negative, options as SteihaugOptions<D>, 'steihaug')
}

function reasonOf(reason: SolveReason): SteihaugReason {
  switch (reason) {
    case 'converged':
      return 'interior'
    case 'boundary':
    case 'negativeCurvature':
    case 'maxIterations':
    case 'preconditioner':
    case 'notFinite':
    case 'aborted':
      return reason
    case 'progress':
    case 'leastSquares':
    case 'singular':
      throw new TypeError(`conjugate gradients do not end with '${reason}' here`)
  }
}

function resultOf<D extends DType>(native: NativeSolveResult): SteihaugResult<D> {
  const { solution: step, reason, iterations, products, residualNorm, direction, curvature } = solveResultOf<D>(native)
  return {
    step,
    model: native.quadratic,
    reason: reasonOf(reason),
    iterations,
    products,
    residualNorm,
    ...(direction === undefined || curvature === undefined ? {} : { direction, curvature }),
  }
}

/**
 * Minimises gᵀp + ½pᵀBp in ‖p‖ <= Δ approximately: conjugate gradients on Bp = −g from p = 0, which end on the boundary
 * where an iterate would leave the region, or where the curvature along a direction is not positive. B may be
 * indefinite. The first iterate is the minimiser along −g, so the model falls at least as far as there.
 *
 * @param operator B, [n, n], symmetric
 * @param gradient g, n finite numbers of the operator's dtype
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { step, model, reason } = await steihaug(point.hessian(), point.gradient(), { radius: 1 })
 *
 * Steihaug 1983; Nocedal & Wright 2006, algorithm 7.2.
 */
export async function steihaug<D extends DType>(
  operator: LinearOperator<D>,
  gradient: TypedArrayInput<D>,
  options: SteihaugOptions<NoInfer<D>>,
): Promise<SteihaugResult<D>> {
  return resultOf<D>(await run(begin(operator, gradient, options)))
}

/** `steihaug` on the caller's thread, to its end. */
export function steihaugSync<D extends DType>(
  operator: LinearOperator<D>,
  gradient: TypedArrayInput<D>,
  options: SteihaugOptions<NoInfer<D>>,
): SteihaugResult<D> {
  return resultOf<D>(runSync(begin(operator, gradient, options)))
}
