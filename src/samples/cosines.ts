import type { FloatMatrix, LinearizedPoint } from '../curvature/linearize.js'
import type { ClassesLike } from '../data/targets.js'
import { toTargets } from '../data/targets.js'
import { dtypeOf, isFloatArray } from '../internal/arrays.js'
import { dtypeError, optionError, rendered, shapeError } from '../internal/errors.js'
import type { DType, FloatArray } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { arrayOf, checkKnownKeys, finiteArray, isRecord } from '../internal/validate.js'

/** Cosines between gradients; means are over pairs of different ones. */
export type PairwiseCosines = {
  /** [n, n], row by row. The cosine of a zero vector is 0, with itself too. */
  readonly data: Float64Array<ArrayBuffer>
  readonly shape: readonly [number, number]
  /** NaN for one vector. */
  readonly mean: number
  /** Share of the pairs with a cosine below 0. */
  readonly negativeShare: number
  /** With `classes`: the mean over pairs of one class, and over pairs of two; NaN where there are none. */
  readonly within?: number
  readonly between?: number
}

export type PairwiseCosinesOptions = {
  /** The class of each vector. */
  readonly classes?: ClassesLike
}

/** Vectors of one length, or their inner products. */
export type CosinesSubject = readonly FloatArray[] | { readonly data: Float64Array; readonly shape: readonly number[] }

/**
 * Cosines of all pairs of gradients: of samples, from the Gram matrix of a point; of tasks or of steps, from the gradients
 * themselves. Sums run in float64.
 *
 * @param subject `point.gramMatrix()`, or vectors of one length and type
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example
 * const samples = pairwiseCosines(point.gramMatrix(), { classes: labels })
 * const steps = pairwiseCosines([earlier.gradient(), later.gradient()])
 */
export function pairwiseCosines(subject: CosinesSubject, options: PairwiseCosinesOptions = {}): PairwiseCosines {
  const name = 'pairwiseCosines'
  checkKnownKeys(options, ['classes'], `${name} options`)
  const { gram, count } = Array.isArray(subject)
    ? vectorProducts(subject as readonly FloatArray[], 'vectors')
    : gramInput(subject)
  const given = (options as PairwiseCosinesOptions).classes
  const classes =
    given === undefined
      ? null
      : toTargets(given, `${name} classes`, { kind: 'class', classes: 2 ** 31 - 1, rows: count })
  const data = new Float64Array(count * count)
  const { mean, negativeShare, within, between } = addon().cosines(gram, count, classes as Int32Array | null, data)
  return {
    data,
    shape: [count, count],
    mean,
    negativeShare,
    ...(classes === null ? {} : { within, between }),
  }
}

/** @internal Inner products [n, n] of vectors of one length and type. */
export function vectorProducts(
  vectors: readonly FloatArray[],
  name: string,
): { readonly gram: Float64Array<ArrayBuffer>; readonly count: number } {
  const list = arrayOf(
    vectors,
    name,
    (value, path) => {
      if (!isFloatArray(value)) throw dtypeError(path, 'a Float32Array or Float64Array', value)
      return value
    },
    { minLength: 1 },
  )
  const first = list[0] as FloatArray
  for (const [index, vector] of list.entries()) {
    if (dtypeOf(vector) !== dtypeOf(first)) throw dtypeError(`${name}[${index}]`, dtypeOf(first), vector)
    if (vector.length !== first.length) {
      throw shapeError(`${name}[${index}]`, `${first.length} numbers, as ${name}[0] has`, rendered(`${vector.length}`))
    }
  }
  const gram = new Float64Array(list.length ** 2)
  addon().vectorProducts(list, gram)
  return { gram, count: list.length }
}

function gramInput(value: unknown): { gram: Float64Array; count: number } {
  if (!isRecord(value) || !Array.isArray(value.shape)) {
    throw optionError('gram', 'a Gram matrix { data, shape }, or a list of vectors', value)
  }
  const [rows, columns] = value.shape as unknown[]
  if (typeof rows !== 'number' || rows < 1 || columns !== rows || value.shape.length !== 2) {
    throw shapeError('gram', 'a square matrix, as that of one point is', rendered(`shape [${value.shape.join(', ')}]`))
  }
  const { data } = value
  if (!(data instanceof Float64Array)) throw dtypeError('gram.data', 'a Float64Array', data)
  return { gram: Float64Array.from(finiteArray(data, 'gram.data', { length: rows * rows })), count: rows }
}

/** The curvature-weighted noise scale of a batch; see `curvatureNoiseScale`. */
export type CurvatureNoiseScale = {
  /** ḡᵀHḡ */
  readonly gradientCurvature: number
  /** tr(HΣ), with Σ the biased covariance (1/N) Σ gᵢ gᵢᵀ − ḡ ḡᵀ */
  readonly noiseCurvature: number
  /** Their ratio; NaN where the gradient has no curvature above 0. */
  readonly noiseScale: number
}

/**
 * The noise scale tr(HΣ) / (GᵀHG) of a batch with the curvature H of its loss, without the approximation that H is a
 * multiple of the identity: the batch size at which the noise of a step costs as much as the step gains. Takes N + 1
 * products with H and the N gradients one by one, so points of some hundred samples are enough. l2 is part of H alone.
 *
 * @param curvature `ggn` (default) or `hessian`
 * @throws KrylovError ERR_OPTION for a loss without second derivatives
 * @example curvatureNoiseScale(linearize(model, batch, loss)).noiseScale
 * @see McCandlish, Kaplan, Amodei et al. 2018 (arXiv 1812.06162), equation 2.8
 */
export function curvatureNoiseScale<D extends DType, H extends string = never>(
  point: LinearizedPoint<D, H>,
  options: { readonly curvature?: 'ggn' | 'hessian' } = {},
): CurvatureNoiseScale {
  checkKnownKeys(options, ['curvature'], 'curvatureNoiseScale options')
  const { curvature = 'ggn' } = options as { curvature?: unknown }
  if (curvature !== 'ggn' && curvature !== 'hessian') {
    throw optionError('curvatureNoiseScale curvature', "'ggn' or 'hessian'", curvature)
  }
  const operator = curvature === 'ggn' ? point.ggn() : point.hessian()
  try {
    const samples = point.sampleCount
    const form = (v: FloatMatrix<D>['data']): number =>
      addon().vectorProducts([v, operator.matvec(v)], new Float64Array(4))[1] ?? Number.NaN
    let total = 0
    let own: FloatMatrix<D>['data'] | undefined
    let mean: FloatMatrix<D>['data'] | undefined
    for (let first = 0; first < samples; first++) {
      own = point.perSampleGradients({ first, count: 1, ...(own === undefined ? {} : { out: own }) }).data
      total += form(own)
      mean ??= own.slice().fill(0) as FloatMatrix<D>['data']
      addon().combine(1, mean, 1 / samples, own, mean)
    }
    const gradientCurvature = form(mean as FloatMatrix<D>['data'])
    const noiseCurvature = total / samples - gradientCurvature
    const noiseScale = gradientCurvature > 0 ? noiseCurvature / gradientCurvature : Number.NaN
    return { gradientCurvature, noiseCurvature, noiseScale }
  } finally {
    operator.dispose()
  }
}
