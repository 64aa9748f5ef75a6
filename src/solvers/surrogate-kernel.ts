import type { FloatMatrix } from '../curvature/linearize.js'
import type { MatrixLike } from '../data/matrix.js'
import { toMatrix } from '../data/matrix.js'
import { convertedFloats } from '../internal/arrays.js'
import { optionError } from '../internal/errors.js'
import type { NativeSurrogateNetwork } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { arrayOf, checkKnownKeys, integerInRange, numberInRange, oneOf } from '../internal/validate.js'
import type { Surrogate } from '../model/surrogates.js'
import { resolveSurrogate, surrogates } from '../model/surrogates.js'

/** `'sign'` (0 at 0), or erf(sharpness · z). */
export type SurrogateActivation = 'sign' | { readonly kind: 'erf'; readonly sharpness: number }

type NetworkOptions = {
  /** Default `'sign'`. */
  readonly activation?: SurrogateActivation
  /** Factor β of the surrogate's argument; default 1. */
  readonly beta?: number
  /** Standard deviation s_w of the weights; default 1. */
  readonly weightStd?: number
  /** Standard deviation s_b of the biases; default 0. */
  readonly biasStd?: number
  /** Inputs where the network is read, [left, inputs]. */
  readonly left: MatrixLike
  /** Inputs that train it, [right, inputs]; default the same. */
  readonly right?: MatrixLike
}

export type SurrogateKernelOptions = NetworkOptions & {
  /** Dense layers, the last one included; at least 1. */
  readonly layers: number
  /** Closed forms exist for these two; default `'erf'`. */
  readonly surrogate?: 'erf' | 'straightThrough'
}

export type SurrogateKernel = {
  /** [left, right] */
  readonly kernel: FloatMatrix<'float64'>
  /** Covariance of the sums of each layer, [left, right]; the last is that of the outputs. */
  readonly covariances: readonly FloatMatrix<'float64'>[]
}

export type FiniteSurrogateKernelOptions = NetworkOptions & {
  /** Units of each layer; the last is 1. */
  readonly widths: readonly number[]
  /** Default `'erf'`. */
  readonly surrogate?: Surrogate
  /** Weights and biases of standard deviation 1, layer by layer: W1 [out, in], b1, W2, ... */
  readonly parameters: ArrayLike<number>
  /** The derivative where the network is read; default `'true'`. */
  readonly derivative?: 'true' | 'surrogate'
}

export type FiniteSurrogateKernel = {
  /** [left, right] */
  readonly kernel: FloatMatrix<'float64'>
  /** Of the network at the left inputs. */
  readonly outputs: Float64Array<ArrayBuffer>
}

const networkKeys = ['activation', 'surrogate', 'beta', 'weightStd', 'biasStd', 'left', 'right']
const mostLayers = 1024

function networkInput(
  options: Record<string, unknown>,
  known: readonly Surrogate[],
  where: string,
): NativeSurrogateNetwork {
  const { activation = 'sign' } = options
  let sharpness = 0
  if (typeof activation === 'string') {
    oneOf(activation, `${where} activation`, ['sign'])
  } else {
    checkKnownKeys(activation, ['kind', 'sharpness'], `${where} activation`, { path: 'activation' })
    oneOf(activation.kind, `${where} activation.kind`, ['erf'])
    sharpness = numberInRange(activation.sharpness, `${where} activation.sharpness`, { above: 0 })
  }
  const { surrogate, beta = 1 } = resolveSurrogate(options, known, where)
  return {
    weightStd:
      options.weightStd === undefined ? 1 : numberInRange(options.weightStd, `${where} weightStd`, { above: 0 }),
    biasStd: options.biasStd === undefined ? 0 : numberInRange(options.biasStd, `${where} biasStd`, { min: 0 }),
    sharpness,
    surrogate,
    beta,
  }
}

function rowsInput(options: NetworkOptions) {
  const left = toMatrix(options.left, 'left')
  const right = options.right === undefined ? left : toMatrix(options.right, 'right', { columns: left.shape[1] })
  const sizes = { left: left.shape[0], right: right.shape[0], columns: left.shape[1] }
  return { sizes, left: Float64Array.from(left.data), right: Float64Array.from(right.data) }
}

/**
 * The tangent kernel of learning with surrogate derivatives, for infinitely wide networks with random weights: I(x, x') says
 * how the output at x moves when x' is learnt, with the true derivative of the activation at x and the surrogate at x'. It
 * is not symmetric, unless all inputs are of one length. Layers are z = s_w/√(inputs) W a + s_b b.
 *
 *     Σ¹ = s_w²/d x·x' + s_b²,  Σˡ⁺¹ = (2 s_w²/π) arcsin(Σˡ(x,x') / √((c + Σˡ(x,x)) (c + Σˡ(x',x')))) + s_b²
 *     I¹ = Σ¹,  Iˡ⁺¹ = Iˡ dΣˡ⁺¹ + Σˡ⁺¹,  c = 1/(2 sharpness²), 0 for the sign, k = 1/(2 β²)
 *     dΣˡ⁺¹ = (2 s_w²/π) / √((c + Σˡ(x,x)) (k + Σˡ(x',x')) − Σˡ(x,x')²) for 'erf', s_w² √(2/π) / √(c + Σˡ(x,x)) for
 *     'straightThrough'
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 *
 * Eilers, Memmesheimer & Goedeke 2024 (arXiv 2405.15539).
 */
export function surrogateKernel(options: SurrogateKernelOptions): SurrogateKernel {
  checkKnownKeys(options, [...networkKeys, 'layers'], 'surrogateKernel options')
  const given = options as SurrogateKernelOptions
  const network = networkInput(options, ['erf', 'straightThrough'], 'surrogateKernel')
  const layers = integerInRange(given.layers, 'surrogateKernel layers', { min: 1, max: mostLayers })
  const { sizes, left, right } = rowsInput(given)
  const size = sizes.left * sizes.right
  const shape = [sizes.left, sizes.right] as const
  const kernel = new Float64Array(size)
  const covariances = new Float64Array(layers * size)
  addon().surrogateKernel(network, layers, sizes, left, right, kernel, covariances)
  return {
    kernel: { data: kernel, shape },
    covariances: Array.from({ length: layers }, (_, layer) => {
      return { data: covariances.slice(layer * size, (layer + 1) * size), shape }
    }),
  }
}

/**
 * The same kernel of one network of given weights. For erf it tends to that of `surrogateKernel` as the layers grow. For the
 * sign the true derivative is 0 almost everywhere, so that only the last layer has a part in it: take erf with a sharpness of
 * about 20 instead, and widths that grow with it.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 */
export function finiteSurrogateKernel(options: FiniteSurrogateKernelOptions): FiniteSurrogateKernel {
  checkKnownKeys(options, [...networkKeys, 'widths', 'parameters', 'derivative'], 'finiteSurrogateKernel options')
  const given = options as FiniteSurrogateKernelOptions
  const network = networkInput(options, surrogates, 'finiteSurrogateKernel')
  const widths = arrayOf(
    given.widths,
    'finiteSurrogateKernel widths',
    (item, path) => integerInRange(item, path, { min: 1, max: 2 ** 24 }),
    { minLength: 1 },
  )
  if (widths.at(-1) !== 1) throw optionError('finiteSurrogateKernel widths', 'a last layer of 1 unit', widths.at(-1))
  const derivative = oneOf(given.derivative ?? 'true', 'finiteSurrogateKernel derivative', ['true', 'surrogate'])
  const { sizes, left, right } = rowsInput(given)
  const count = widths.reduce((sum, width, layer) => sum + width * ((widths[layer - 1] ?? sizes.columns) + 1), 0)
  const parameters = convertedFloats(given.parameters, 'finiteSurrogateKernel parameters', 'float64', count)
  const kernel = new Float64Array(sizes.left * sizes.right)
  const outputs = new Float64Array(sizes.left)
  const isTrue = derivative === 'true'
  addon().finiteSurrogateKernel(network, widths, sizes, parameters, isTrue, left, right, kernel, outputs)
  return { kernel: { data: kernel, shape: [sizes.left, sizes.right] }, outputs }
}
