import { optionError, rendered, shapeError } from '../internal/errors.js'
import type { NativeLayer } from '../internal/native.js'
import {
  atPath,
  boolean,
  checkKnownKeys,
  integerInRange,
  isRecord,
  joinPath,
  numberInRange,
  oneOf,
} from '../internal/validate.js'
import type { Activation, ActivationOption } from './activations.js'
import { isSquashing, resolveActivation, toNativeActivation } from './activations.js'
import type { Initialiser, InitialiserOption } from './initialisers.js'
import {
  biasInitialiserKinds,
  defaultInitialiser,
  resolveInitialiser,
  toNativeInitialiser,
  zeros,
} from './initialisers.js'

/** A fully connected layer, resolved: y = activation(W x + b), W [units, inputs]. */
export type DenseLayer = {
  readonly kind: 'dense'
  readonly units: number
  readonly activation: Activation
  readonly bias: boolean
  readonly weightInitialiser: Initialiser
  readonly biasInitialiser: Initialiser
}
export type LayerNormLayer = { readonly kind: 'layerNorm'; readonly epsilon: number }
export type DropoutLayer = { readonly kind: 'dropout'; readonly rate: number }
export type ResidualLayer = { readonly kind: 'residual'; readonly layers: readonly Layer[] }
/** A resolved layer: every option filled in. */
export type Layer = DenseLayer | LayerNormLayer | DropoutLayer | ResidualLayer

export type DenseOptions = {
  /** Adds a bias to each unit; default true. */
  readonly bias?: boolean
  /** Default by activation, see `defaultInitialiser` in the documentation of models. */
  readonly weightInitialiser?: InitialiserOption
  /** Default zeros; also constant, normal, uniform or torchLinear. */
  readonly biasInitialiser?: InitialiserOption
}
export type LayerNormOptions = {
  /** Added to the variance; default 1e-5. */
  readonly epsilon?: number
}

/** What a model takes as a layer; without a kind it is dense. */
export type LayerOption =
  | ({ readonly kind?: 'dense'; readonly units: number; readonly activation?: ActivationOption } & DenseOptions)
  | ({ readonly kind: 'layerNorm' } & LayerNormOptions)
  | { readonly kind: 'dropout'; readonly rate: number }
  | { readonly kind: 'residual'; readonly layers: readonly LayerOption[] }

const largestWidth = 2 ** 24

/**
 * A fully connected layer: y = φ(W x + b), W [units, inputs] row-major, b [units].
 *
 * @param units number of outputs, 1 to 2^24
 * @param activation φ, default `identity`
 * @throws KrylovError ERR_OPTION for a wrong or unknown option
 * @example dense(128, 'relu')
 */
export function dense(
  units: number,
  activation: ActivationOption = 'identity',
  options: DenseOptions = {},
): DenseLayer {
  if (isRecord(activation) && (activation as { kind?: unknown }).kind === undefined) {
    throw optionError(
      'dense activation',
      "a name such as 'relu', or an object with a kind, as the second argument; options come third, dense(10, 'relu', { bias: false })",
      activation,
    )
  }
  checkKnownKeys(options, ['bias', 'weightInitialiser', 'biasInitialiser'], 'dense options')
  const phi = resolveActivation(activation, 'dense activation')
  return Object.freeze({
    kind: 'dense',
    units: integerInRange(units, 'dense units', { min: 1, max: largestWidth }),
    activation: phi,
    bias: options.bias === undefined ? true : boolean(options.bias, 'dense bias'),
    weightInitialiser:
      options.weightInitialiser === undefined
        ? defaultInitialiser(phi)
        : resolveInitialiser(options.weightInitialiser, 'dense weightInitialiser'),
    biasInitialiser: options.biasInitialiser === undefined ? zeros() : resolveBiasInitialiser(options.biasInitialiser),
  })
}

function resolveBiasInitialiser(value: unknown): Initialiser {
  const initialiser = resolveInitialiser(value, 'dense biasInitialiser')
  oneOf(initialiser.kind, 'dense biasInitialiser', biasInitialiserKinds)
  return initialiser
}

/**
 * Normalises each sample over its features: y = gain·(x − mean)/√(variance + epsilon) + bias, with the biased variance
 * (Ba et al. 2016). Gain starts at 1, bias at 0; both are parameters.
 */
export function layerNorm(options: LayerNormOptions = {}): LayerNormLayer {
  checkKnownKeys(options, ['epsilon'], 'layerNorm options')
  const epsilon = options.epsilon
  return Object.freeze({
    kind: 'layerNorm',
    epsilon: epsilon === undefined ? 1e-5 : numberInRange(epsilon, 'layerNorm epsilon', { above: 0 }),
  })
}

/**
 * While training, zeroes each value with probability `rate` and divides the rest by 1 − rate; the identity in predict,
 * evaluate and linearize (Srivastava et al. 2014, the inverted form).
 *
 * @param rate probability of zero, 0 <= rate < 1
 */
export function dropout(rate: number): DropoutLayer {
  return Object.freeze({ kind: 'dropout', rate: numberInRange(rate, 'dropout rate', { min: 0, below: 1 }) })
}

/** x + f(x), where f runs the given layers and ends as wide as it began (He et al. 2016). */
export function residual(layers: readonly LayerOption[]): ResidualLayer {
  return Object.freeze({ kind: 'residual', layers: resolveLayers(layers, 'residual layers') })
}

const layerKinds = ['dense', 'layerNorm', 'dropout', 'residual'] as const

// As many as the core allows: a spec from a file must not exhaust the stack.
const deepest = 64

/** Fills in a list of layers. */
export function resolveLayers(value: unknown, path: string, depth = 0): readonly Layer[] {
  if (depth > deepest) throw optionError(path, `blocks nested at most ${deepest} deep`, value)
  if (!Array.isArray(value)) throw optionError(path, 'an array of layers', value)
  return Object.freeze(
    Array.from(value as unknown[], (layer, index) => resolveLayer(layer, joinPath(path, index), depth)),
  )
}

function resolveLayer(value: unknown, path: string, depth: number): Layer {
  if (!isRecord(value)) throw optionError(path, 'a layer, such as dense(10)', value)
  const { kind: given, ...rest } = value
  const kind = given === undefined ? 'dense' : oneOf(given, joinPath(path, 'kind'), layerKinds)
  switch (kind) {
    case 'dense': {
      const { units, activation, ...options } = rest
      return atPath(path, () => dense(units as number, activation as ActivationOption | undefined, options))
    }
    case 'layerNorm':
      return atPath(path, () => layerNorm(rest))
    case 'dropout':
      return atPath(path, () => {
        checkKnownKeys(rest, ['rate'], 'dropout options')
        return dropout(rest.rate as number)
      })
    case 'residual':
      checkKnownKeys(rest, ['layers'], `${path} options`)
      return Object.freeze({ kind, layers: resolveLayers(rest.layers, joinPath(path, 'layers'), depth + 1) })
  }
}

/** Width after the layers; checks that each residual block ends as wide as it began. */
export function outputWidth(layers: readonly Layer[], inputs: number, path: string): number {
  let width = inputs
  layers.forEach((layer, index) => {
    if (layer.kind === 'dense') width = layer.units
    if (layer.kind !== 'residual') return
    const place = joinPath(path, index)
    const inner = outputWidth(layer.layers, width, joinPath(place, 'layers'))
    if (inner !== width) {
      throw shapeError(place, `a block that ends ${width} wide, as it begins`, rendered(`${inner} wide`))
    }
  })
  return width
}

/** Number of parameters, for summaries. */
export function parameterCountOf(layer: Layer, inputs: number): number {
  switch (layer.kind) {
    case 'dense':
      return layer.units * (inputs + (layer.bias ? 1 : 0))
    case 'layerNorm':
      return 2 * inputs
    case 'dropout':
      return 0
    case 'residual': {
      let width = inputs
      let count = 0
      for (const inner of layer.layers) {
        count += parameterCountOf(inner, width)
        if (inner.kind === 'dense') width = inner.units
      }
      return count
    }
  }
}

/** The activation that the outputs went through last; a normalisation or a block stands in its way. */
export function endsSquashed(layers: readonly Layer[]): boolean {
  for (let index = layers.length - 1; index >= 0; index--) {
    const layer = layers[index]
    if (layer?.kind === 'dropout') continue
    return layer?.kind === 'dense' && isSquashing(layer.activation)
  }
  return false
}

export function toNativeLayer(layer: Layer): NativeLayer {
  switch (layer.kind) {
    case 'dense':
      return {
        kind: 'dense',
        units: layer.units,
        bias: layer.bias,
        activation: toNativeActivation(layer.activation),
        weightInitialiser: toNativeInitialiser(layer.weightInitialiser),
        biasInitialiser: toNativeInitialiser(layer.biasInitialiser),
      }
    case 'layerNorm':
      return { kind: 'layerNorm', epsilon: layer.epsilon }
    case 'dropout':
      return { kind: 'dropout', rate: layer.rate }
    case 'residual':
      return { kind: 'residual', layers: layer.layers.map(toNativeLayer) }
  }
}
