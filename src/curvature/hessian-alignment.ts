import type { MatrixLike } from '../data/matrix.js'
import { toMatrix } from '../data/matrix.js'
import type { ClassesLike } from '../data/targets.js'
import { toTargets } from '../data/targets.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { convertedFloats, dtypeOf, isFloatArray } from '../internal/arrays.js'
import { dtypeError, optionError, rendered, shapeError } from '../internal/errors.js'
import type { DType } from '../internal/native.js'
import { addon } from '../internal/native.js'
import {
  arrayOf,
  boolean,
  checkKnownKeys,
  integerInRange,
  joinPath,
  numberInRange,
  oneOf,
  record,
  seed,
} from '../internal/validate.js'

/** The features that the head is given in one domain, and the classes of their samples. */
export type AlignmentDomain = {
  /** [samples, inputs] */
  readonly features: MatrixLike
  /** Class indices. */
  readonly labels: ClassesLike
}

export type HessianAlignmentOptions<D extends DType = DType> = {
  /** W [classes, inputs] of the linear head o = W x + b, row by row. */
  readonly weight: TypedArrayInput<D>
  /** b, one number a class; its length tells the number of classes. */
  readonly bias: TypedArrayInput<D>
  /** At least one; with one alone all penalties are 0. */
  readonly domains: readonly AlignmentDomain[]
  /** `'hgp'` (default): α‖Hₑgₑ − H̄ḡ‖². `'hutchinson'`: α‖dₑ − d̄‖², d the diagonal of H. */
  readonly penalty?: 'hgp' | 'hutchinson'
  /** α, of the Hessian's term; default 1e-4 for hgp, 1e-3 for hutchinson. */
  readonly alpha?: number
  /** β, of the gradient's term ‖gₑ − ḡ‖²; default 5e-3. */
  readonly beta?: number
  /**
   * `'exact'` diagonals (default), or estimates: a number of random sign vectors, or your own, each of classes · inputs +
   * classes numbers in the order of weight, bias. All domains see the same vectors.
   */
  readonly diagonal?: 'exact' | number | readonly (readonly number[] | Float64Array)[]
  /** Of random vectors; default 0. */
  readonly seed?: number
  /** False: values alone; default true. */
  readonly gradients?: boolean
}

export type HessianAlignment<D extends DType = DType> = {
  /** f̄ = mean over domains of their mean losses. */
  readonly loss: number
  /** Mean over domains of ‖gₑ − ḡ‖². */
  readonly gradientTerm: number
  /** Mean over domains of ‖Hₑgₑ − H̄ḡ‖². */
  readonly hessianGradientTerm: number
  /** Mean over domains of ‖dₑ − d̄‖². */
  readonly hessianDiagonalTerm: number
  /** f̄ + α · (the penalty's term) + β · gradientTerm. */
  readonly value: number
  /** Of `value`, what has a bar held constant: by the head, and by the features of each domain [samples, inputs]. */
  readonly gradient?: {
    readonly weight: TypedArrayOf<D>
    readonly bias: TypedArrayOf<D>
    readonly features: readonly TypedArrayOf<D>[]
  }
}

const keys = ['weight', 'bias', 'domains', 'penalty', 'alpha', 'beta', 'diagonal', 'seed', 'gradients']

function diagonalInput(value: unknown, size: number): { probes: number; given: Float64Array | null } {
  const name = 'hessianAlignment diagonal'
  if (value === undefined || value === 'exact') return { probes: 0, given: null }
  if (typeof value === 'number') return { probes: integerInRange(value, name, { min: 1, max: 2 ** 20 }), given: null }
  if (!Array.isArray(value) || value.length === 0) {
    throw optionError(name, "'exact', a number of random vectors, or vectors", value)
  }
  const vectors = arrayOf(value, name, (vector, path) => convertedFloats(vector, path, 'float64', size))
  const given = new Float64Array(vectors.length * size)
  for (const [row, vector] of vectors.entries()) given.set(vector, row * size)
  return { probes: vectors.length, given }
}

function seedInput({ seed: value, diagonal }: HessianAlignmentOptions): number {
  if (value !== undefined && typeof diagonal !== 'number') {
    throw optionError('hessianAlignment seed', 'none unless diagonal is a number of random vectors', value)
  }
  return seed(value ?? 0, 'hessianAlignment seed')
}

/**
 * The loss of a linear softmax head over several domains with a penalty that makes gradients and Hessians by the head
 * agree across domains, and its derivatives: a regulariser for training a network whose features the head is given, and
 * a diagnostic by itself. With f, g, H of the head in domain e, and a bar for those of the mean f̄ of all domains,
 *
 *     value = f̄ + mean over e of [ α ‖Hₑgₑ − H̄ḡ‖² + β ‖gₑ − ḡ‖² ]      (hgp)
 *     value = f̄ + mean over e of [ α ‖dₑ − d̄‖²   + β ‖gₑ − ḡ‖² ]      (hutchinson)
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example
 * const { value, gradient } = hessianAlignment({ weight, bias, domains: [{ features, labels }, { features: f2, labels: l2 }] })
 *
 * Hemati, Zhang, Estiri & Chen 2023 (ICCV), as its program computes it. Differences: products and, by default, diagonals
 * are exact; sampled diagonals use the same vectors for all domains, where the program draws 300 anew for each.
 */
export function hessianAlignment<D extends DType>(options: HessianAlignmentOptions<D>): HessianAlignment<D> {
  checkKnownKeys(options, keys, 'hessianAlignment options')
  const given = options as HessianAlignmentOptions<D>
  if (!isFloatArray(given.weight)) throw optionError('hessianAlignment weight', 'a float array', given.weight)
  const dtype = dtypeOf(given.weight) as D
  if (!isFloatArray(given.bias)) throw optionError('hessianAlignment bias', 'a float array', given.bias)
  if (dtypeOf(given.bias) !== dtype) throw dtypeError('hessianAlignment bias', `a ${dtype} array`, given.bias)
  const classes = given.bias.length
  const inputs = given.weight.length / classes
  if (classes < 2) throw shapeError('hessianAlignment bias', 'at least two classes', rendered(`length ${classes}`))
  if (!Number.isInteger(inputs) || inputs === 0) {
    throw shapeError('hessianAlignment weight', `${classes} rows`, rendered(`length ${given.weight.length}`))
  }
  const name = 'hessianAlignment domains'
  const domains = arrayOf(
    given.domains,
    name,
    (value, path) => {
      const domain = record(value, path)
      checkKnownKeys(domain, ['features', 'labels'], 'hessianAlignment domain', { noun: 'member', path })
      const labels = toTargets(domain.labels, joinPath(path, 'labels'), { kind: 'class', classes })
      if (labels.length === 0) throw shapeError(joinPath(path, 'labels'), 'at least one', rendered('none'))
      const matrix = toMatrix(domain.features as MatrixLike, joinPath(path, 'features'), {
        columns: inputs,
        rows: labels.length,
        dtype,
      })
      const wanted = dtype === 'float32' ? Float32Array : Float64Array
      return { features: matrix.data instanceof wanted ? matrix.data : wanted.from(matrix.data), labels }
    },
    { minLength: 1, maxLength: 65536 },
  )
  const penalty = oneOf(given.penalty ?? 'hgp', 'hessianAlignment penalty', ['hgp', 'hutchinson'])
  const gradients = boolean(given.gradients ?? true, 'hessianAlignment gradients')
  const native = addon().hessianAlignment({
    weight: convertedFloats(given.weight, 'hessianAlignment weight', dtype, classes * inputs),
    bias: convertedFloats(given.bias, 'hessianAlignment bias', dtype, classes),
    domains,
    penalty: penalty === 'hgp' ? 'hessianGradient' : 'hessianDiagonal',
    alpha: numberInRange(given.alpha ?? (penalty === 'hgp' ? 1e-4 : 1e-3), 'hessianAlignment alpha', { min: 0 }),
    beta: numberInRange(given.beta ?? 5e-3, 'hessianAlignment beta', { min: 0 }),
    ...diagonalInput(given.diagonal, classes * inputs + classes),
    seed: seedInput(given),
    gradients,
  })
  const { loss, gradientTerm, hessianGradientTerm, hessianDiagonalTerm, value, weight, bias, features } = native
  const values = { loss, gradientTerm, hessianGradientTerm, hessianDiagonalTerm, value }
  if (weight === null || bias === null) return values
  return {
    ...values,
    gradient: {
      weight: weight as TypedArrayOf<D>,
      bias: bias as TypedArrayOf<D>,
      features: features as TypedArrayOf<D>[],
    },
  }
}
