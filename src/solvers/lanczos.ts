import type { LinearOperator } from '../curvature/linear-operator.js'
import { operatorInput, operatorPort, placeOf } from '../curvature/linear-operator.js'
import type { FloatMatrix } from '../curvature/linearize.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import type { Computation, Source } from '../internal/computation.js'
import { run, runSync } from '../internal/computation.js'
import type { DType, NativeLanczosResult, SolveReason } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { signalOption } from '../internal/task.js'
import { boolean, checkKnownKeys, integerInRange } from '../internal/validate.js'
import { vectorInput } from './options.js'

export type LanczosOptions = {
  /** Products; default 100, at most n. */
  readonly steps?: number
  /** Whether the basis is in the result; default true. */
  readonly keepBasis?: boolean
  /** False: three vectors of memory instead of `steps`, but eigenvalues appear more than once. Default true. */
  readonly reorthogonalise?: boolean
  /** Ends the method within one product, with reason `'aborted'` and what there is. */
  readonly signal?: AbortSignal
}

export type LanczosResult<D extends DType = DType> = {
  /** Diagonal of T, k numbers. */
  readonly alpha: Float64Array
  /** Off-diagonal of T, k − 1 numbers. */
  readonly beta: Float64Array
  /** The next off-diagonal number; 0 where the basis spans an invariant subspace, NaN where there was no step. */
  readonly lastBeta: number
  /** Orthonormal rows q₁ … q_k, [k, n]; absent without `keepBasis`. */
  readonly basis?: FloatMatrix<D>
  /** Eigenvalues of T, ascending: those of B are approximated from the ends of its spectrum inwards. */
  readonly ritzValues: Float64Array
  /** ‖Bx − θx‖ of each Ritz pair. */
  readonly ritzResiduals: Float64Array
  readonly reason: SolveReason
  readonly products: number
}

function begin<D extends DType>(
  operator: LinearOperator<D>,
  first: TypedArrayInput<D>,
  given: LanczosOptions,
): Computation<NativeLanczosResult> {
  const matrix = operatorInput<D>(operator, 'operator', { square: true })
  checkKnownKeys(given, ['steps', 'keepBasis', 'reorthogonalise', 'signal'], 'lanczos options')
  const options = given as LanczosOptions
  const size = matrix.shape[0]
  const vector = vectorInput(first, 'start', matrix.dtype, size)
  const numbers = {
    steps: Math.min(integerInRange(options.steps ?? 100, 'lanczos steps', { min: 1 }), size),
    keepBasis: boolean(options.keepBasis ?? true, 'lanczos keepBasis'),
    reorthogonalise: boolean(options.reorthogonalise ?? true, 'lanczos reorthogonalise'),
  }
  const signal = signalOption(options.signal, 'lanczos signal')
  const sources: Source[] = []
  const native = addon().lanczos(operatorPort(matrix, 'operator', sources), vector, numbers)
  return { native, sources, place: placeOf(matrix), signal }
}

function resultOf<D extends DType>(native: NativeLanczosResult, size: number): LanczosResult<D> {
  const { basis, ...rest } = native
  if (basis === null) return rest
  return { ...rest, basis: { data: basis as TypedArrayOf<D>, shape: [basis.length / size, size] } }
}

/**
 * The Lanczos process: an orthonormal basis Q of the Krylov space of (B, start) in which a symmetric B is tridiagonal,
 * QBQᵀ = T with diagonal α and off-diagonal β.
 *
 * @param operator [n, n], symmetric
 * @param start n finite numbers of the operator's dtype, not all zero
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { ritzValues } = await lanczos(point.hessian(), point.gradient(), { steps: 50 })
 *
 * Lanczos 1950; two passes of reorthogonalisation: Parlett 1998, section 6.9.
 */
export async function lanczos<D extends DType>(
  operator: LinearOperator<D>,
  start: TypedArrayInput<D>,
  options: LanczosOptions = {},
): Promise<LanczosResult<D>> {
  return resultOf<D>(await run(begin(operator, start, options)), start.length)
}

/** `lanczos` on the caller's thread, to its end. */
export function lanczosSync<D extends DType>(
  operator: LinearOperator<D>,
  start: TypedArrayInput<D>,
  options: LanczosOptions = {},
): LanczosResult<D> {
  return resultOf<D>(runSync(begin(operator, start, options)), start.length)
}
