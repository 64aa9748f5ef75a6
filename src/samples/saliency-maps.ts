import type { FloatMatrix } from '../curvature/linearize.js'
import type { Matrix, MatrixLike } from '../data/matrix.js'
import { toMatrix } from '../data/matrix.js'
import { isFloatArray } from '../internal/arrays.js'
import { optionError, rendered, shapeError } from '../internal/errors.js'
import type { NativePositionMap } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { arrayOf, checkKnownKeys, finiteArray, joinPath, oneOf } from '../internal/validate.js'

/** A map over positions: numbers of one sample, or rows of several. */
export type MapLike = MatrixLike

export type PositionMapVariant = NativePositionMap

export type PositionMapOptions = {
  /** Default `'norm'`. */
  readonly variant?: PositionMapVariant
}

export type CombineMapsRule = 'sum' | 'product' | 'plainProduct'

export type CombineMapsOptions = {
  /** `'sum'` (default) and `'product'` (of powers) use the weights over their sum, `'plainProduct'` none. */
  readonly rule?: CombineMapsRule
  /** One a layer, or `'uniform'` (default), or `'linear'`: 1, 2, 3, ... */
  readonly weights?: 'uniform' | 'linear' | readonly number[]
}

export const positionMapVariants: readonly PositionMapVariant[] = Object.freeze([
  'norm',
  'normWithBias',
  'scaling',
  'selective',
  'bias',
  'linear',
  'gradientMax',
])

const elementwise: readonly PositionMapVariant[] = ['scaling', 'selective', 'linear']

function toFloat64(matrix: Matrix): Float64Array<ArrayBuffer> {
  return Float64Array.from(matrix.data)
}

/** A matrix, where a plain list of numbers is one row. */
function mapInput(value: unknown, name: string): Matrix {
  if (isFloatArray(value)) return toMatrix({ data: value, shape: [1, value.length] }, name)
  if (Array.isArray(value) && typeof value[0] === 'number') return toMatrix([value], name)
  return toMatrix(value, name)
}

function checkShape(matrix: Matrix, first: Matrix, name: string): void {
  const [rows, columns] = first.shape
  if (matrix.shape[0] === rows && matrix.shape[1] === columns) return
  throw shapeError(name, `shape [${rows}, ${columns}]`, rendered(`shape [${matrix.shape.join(', ')}]`))
}

/**
 * One number for each position from what a layer read there (x) and a gradient (g): by what the layer wrote there, or, for
 * an identity layer put in after an activation, by the activation itself.
 *
 * - `'norm'`: ‖x‖ ‖g‖, the Frobenius norm of the position's term of the weight's gradient (NormGrad)
 * - `'normWithBias'`: √(‖x‖² + 1) ‖g‖
 * - `'scaling'`: ‖x ∘ g‖; `'selective'`: ‖max(x ∘ g, 0)‖; `'linear'`: Σ x g; these need as many columns on both sides
 * - `'bias'`: ‖g‖; `'gradientMax'`: max |g|
 *
 * @param activations x, [positions, inputs]
 * @param gradients g, [positions, width]
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 *
 * Rebuffi, Fong, Ji & Vedaldi 2020 (arXiv 2004.02866).
 */
export function positionMap(
  activations: MatrixLike,
  gradients: MatrixLike,
  options: PositionMapOptions = {},
): Float64Array<ArrayBuffer> {
  checkKnownKeys(options, ['variant'], 'positionMap options')
  const variant = oneOf(options.variant ?? 'norm', 'positionMap variant', positionMapVariants)
  const x = toMatrix(activations, 'activations')
  const [rows, width] = x.shape
  const columns = elementwise.includes(variant) ? { columns: width } : {}
  const g = toMatrix(gradients, 'gradients', { rows, ...columns })
  const out = new Float64Array(rows)
  addon().positionMap(variant, toFloat64(x), rows, width, toFloat64(g), g.shape[1], out)
  return out
}

/** @internal Checked options of a combination of so many maps. */
export function combineInput(
  value: unknown,
  count: number,
  name: string,
): { readonly rule: CombineMapsRule; readonly weights: Float64Array } {
  checkKnownKeys(value, ['rule', 'weights'], `${name} options`)
  const rule = oneOf(value.rule ?? 'sum', `${name} rule`, ['sum', 'product', 'plainProduct'])
  const { weights = 'uniform' } = value
  if (rule === 'plainProduct' && value.weights !== undefined) {
    throw optionError(`${name} weights`, "none for 'plainProduct'", value.weights)
  }
  if (weights === 'uniform') return { rule, weights: new Float64Array(count).fill(1) }
  if (weights === 'linear') return { rule, weights: Float64Array.from({ length: count }, (_, layer) => layer + 1) }
  if (typeof weights === 'string') oneOf(weights, `${name} weights`, ['uniform', 'linear'])
  const list = finiteArray(weights, `${name} weights`, { length: count, min: 0 })
  if (!list.some((weight) => weight > 0)) throw optionError(`${name} weights`, 'one above 0', weights)
  return { rule, weights: Float64Array.from(list) }
}

/**
 * Combines the maps of several layers: each is scaled to [0, 1] sample by sample by its smallest and largest value (a
 * constant one becomes 0); then their sum with weights wₗ/Σw, the product of their powers wₗ/Σw, or their plain product.
 *
 * @param maps one a layer, of the same shape: rows of samples, or the numbers of a single one
 * @returns [samples, positions]
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 *
 * Rebuffi, Fong, Ji & Vedaldi 2020 (arXiv 2004.02866).
 */
export function combineMaps(maps: readonly MapLike[], options: CombineMapsOptions = {}): FloatMatrix<'float64'> {
  const layers = arrayOf(maps, 'maps', mapInput, { minLength: 1 })
  const { rule, weights } = combineInput(options, layers.length, 'combineMaps')
  const first = layers[0] as Matrix
  for (const [index, layer] of layers.entries()) checkShape(layer, first, joinPath('maps', index))
  const [rows, positions] = first.shape
  const out = new Float64Array(rows * positions)
  addon().combineMaps(layers.map(toFloat64), weights, rule, rows, positions, out)
  return { data: out, shape: [rows, positions] }
}

/**
 * Spearman's rank correlation, row by row; equal values share their mean rank. NaN where a row is constant.
 *
 * @returns one number for each row
 * @throws KrylovError ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 */
export function rankCorrelation(a: MapLike, b: MapLike): Float64Array<ArrayBuffer> {
  const left = mapInput(a, 'a')
  const right = mapInput(b, 'b')
  checkShape(right, left, 'b')
  const [rows, columns] = left.shape
  const out = new Float64Array(rows)
  addon().rankCorrelation(toFloat64(left), toFloat64(right), rows, columns, out)
  return out
}
