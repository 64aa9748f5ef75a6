import { optionError } from '../internal/errors.js'
import type { NativeInitialiser } from '../internal/native.js'
import { checkKnownKeys, integerInRange, isRecord, joinPath, numberInRange, oneOf } from '../internal/validate.js'
import type { Activation } from './activations.js'

/*
 * Initialisers: plain specs; the numbers are drawn in the core. W is [out, in], fi = in, fo = out, g = gain.
 */

/** Which side of the matrix scales the weights of He's initialiser. */
export type FanMode = 'fanIn' | 'fanOut'

/** A resolved initialiser. */
export type Initialiser =
  | { readonly kind: 'zeros' }
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly standardDeviation: number }
  | { readonly kind: 'uniform'; readonly bound: number }
  | { readonly kind: 'truncatedNormal'; readonly standardDeviation: number; readonly cut: number }
  | { readonly kind: 'lecunNormal' | 'lecunUniform' | 'torchLinear' }
  | { readonly kind: 'xavierNormal' | 'xavierUniform' | 'orthogonal'; readonly gain: number }
  | { readonly kind: 'heNormal' | 'heUniform'; readonly gain: number; readonly mode: FanMode }
  | { readonly kind: 'sparse'; readonly connections: number; readonly standardDeviation: number }

export type InitialiserKind = Initialiser['kind']
/** What a layer takes: a kind (options at their defaults) or an object with options. */
export type InitialiserOption =
  | InitialiserKind
  | (Readonly<Record<string, unknown>> & { readonly kind: InitialiserKind })

export type GainOptions = {
  /** Factor on the standard deviation. */
  readonly gain?: number
}
export type HeOptions = GainOptions & {
  /** `fanIn` keeps the variance of the forward pass (default), `fanOut` that of the backward pass. */
  readonly mode?: FanMode
}

type Rule = (options: Record<string, unknown>) => Initialiser

function number(options: Record<string, unknown>, owner: string, key: string, fallback: number, min?: number): number {
  const value = options[key]
  return value === undefined ? fallback : numberInRange(value, `${owner} ${key}`, min === undefined ? {} : { min })
}

function withGain(kind: 'xavierNormal' | 'xavierUniform' | 'orthogonal', options: object): Initialiser {
  checkKnownKeys(options, ['gain'], `${kind} options`)
  return Object.freeze({ kind, gain: number(options, kind, 'gain', 1, 0) })
}

function he(kind: 'heNormal' | 'heUniform', options: object): Initialiser {
  checkKnownKeys(options, ['gain', 'mode'], `${kind} options`)
  const mode = options.mode === undefined ? 'fanIn' : oneOf(options.mode, `${kind} mode`, ['fanIn', 'fanOut'])
  return Object.freeze({ kind, gain: number(options, kind, 'gain', Math.SQRT2, 0), mode })
}

/** Every entry 0. */
export function zeros(): Initialiser {
  return Object.freeze({ kind: 'zeros' })
}

/** Every entry `value` (default 0). */
export function filled(options: { readonly value?: number } = {}): Initialiser {
  checkKnownKeys(options, ['value'], 'filled options')
  return Object.freeze({ kind: 'constant', value: number(options, 'filled', 'value', 0) })
}

/** Normal numbers of mean 0 and `standardDeviation` (default 0.01). */
export function normal(options: { readonly standardDeviation?: number } = {}): Initialiser {
  checkKnownKeys(options, ['standardDeviation'], 'normal options')
  return Object.freeze({ kind: 'normal', standardDeviation: number(options, 'normal', 'standardDeviation', 0.01, 0) })
}

/** Numbers spread evenly over ±`bound` (default 0.05). */
export function uniform(options: { readonly bound?: number } = {}): Initialiser {
  checkKnownKeys(options, ['bound'], 'uniform options')
  return Object.freeze({ kind: 'uniform', bound: number(options, 'uniform', 'bound', 0.05, 0) })
}

/** Normal numbers of deviation `standardDeviation` (default 0.01) drawn again beyond ±`cut` (default 2) deviations. */
export function truncatedNormal(
  options: { readonly standardDeviation?: number; readonly cut?: number } = {},
): Initialiser {
  checkKnownKeys(options, ['standardDeviation', 'cut'], 'truncatedNormal options')
  const standardDeviation = number(options, 'truncatedNormal', 'standardDeviation', 0.01, 0)
  const cut = options.cut === undefined ? 2 : numberInRange(options.cut, 'truncatedNormal cut', { above: 0 })
  return Object.freeze({ kind: 'truncatedNormal', standardDeviation, cut })
}

/** Normal, standard deviation 1/√fi (LeCun et al. 1998). */
export function lecunNormal(): Initialiser {
  return Object.freeze({ kind: 'lecunNormal' })
}

/** Uniform, standard deviation 1/√fi, bound √(3/fi). */
export function lecunUniform(): Initialiser {
  return Object.freeze({ kind: 'lecunUniform' })
}

/** Normal, standard deviation g·√(2/(fi + fo)) (Glorot and Bengio 2010); gain default 1. */
export function xavierNormal(options: GainOptions = {}): Initialiser {
  return withGain('xavierNormal', options)
}

/** Uniform, standard deviation g·√(2/(fi + fo)), bound g·√(6/(fi + fo)) (Glorot and Bengio 2010); gain default 1. */
export function xavierUniform(options: GainOptions = {}): Initialiser {
  return withGain('xavierUniform', options)
}

/** Normal, standard deviation g/√fan (He et al. 2015); gain default √2. */
export function heNormal(options: HeOptions = {}): Initialiser {
  return he('heNormal', options)
}

/** Uniform, standard deviation g/√fan, bound g·√(3/fan) (He et al. 2015); gain default √2. */
export function heUniform(options: HeOptions = {}): Initialiser {
  return he('heUniform', options)
}

/** PyTorch's default of a Linear layer: uniform within ±1/√fi, weights and biases alike. */
export function torchLinear(): Initialiser {
  return Object.freeze({ kind: 'torchLinear' })
}

/** The Q factor of a normal matrix, signs fixed, times g (Saxe et al. 2014); gain default 1. */
export function orthogonal(options: GainOptions = {}): Initialiser {
  return withGain('orthogonal', options)
}

/**
 * Each unit gets `connections` (default 15) incoming weights, normal with `standardDeviation` (default 1), at random
 * places; the rest are 0 (Martens 2010, section 5). Units with fewer inputs are connected to all of them.
 */
export function sparse(
  options: { readonly connections?: number; readonly standardDeviation?: number } = {},
): Initialiser {
  checkKnownKeys(options, ['connections', 'standardDeviation'], 'sparse options')
  const connections =
    options.connections === undefined ? 15 : integerInRange(options.connections, 'sparse connections', { min: 1 })
  return Object.freeze({
    kind: 'sparse',
    connections,
    standardDeviation: number(options, 'sparse', 'standardDeviation', 1, 0),
  })
}

function withoutOptions(make: () => Initialiser): Rule {
  return (options) => {
    const initialiser = make()
    checkKnownKeys(options, [], `${initialiser.kind} options`)
    return initialiser
  }
}

const rules: Readonly<Record<InitialiserKind, Rule>> = Object.freeze({
  zeros: withoutOptions(zeros),
  constant: filled,
  normal,
  uniform,
  truncatedNormal,
  lecunNormal: withoutOptions(lecunNormal),
  lecunUniform: withoutOptions(lecunUniform),
  xavierNormal,
  xavierUniform,
  heNormal,
  heUniform,
  torchLinear: withoutOptions(torchLinear),
  orthogonal,
  sparse,
})

/** Those that a bias can start from: the others need a matrix. */
export const biasInitialiserKinds: readonly InitialiserKind[] = Object.freeze([
  'zeros',
  'constant',
  'normal',
  'uniform',
  'torchLinear',
])

const initialiserKinds = Object.freeze(Object.keys(rules) as InitialiserKind[])

/** Fills in an initialiser's options. */
export function resolveInitialiser(value: unknown, path: string): Initialiser {
  if (typeof value === 'string') return rules[oneOf(value, path, initialiserKinds)]({})
  if (!isRecord(value)) throw optionError(path, 'the kind of an initialiser or an object with a kind', value)
  const { kind, ...options } = value
  return rules[oneOf(kind, joinPath(path, 'kind'), initialiserKinds)](options)
}

/**
 * The weights' initialiser where none is named: He's for the rectifier family (gain √2; √(2/(1 + slope²)) for
 * leakyRelu), LeCun's for selu (Klambauer et al. 2017), Glorot's uniform one with gain 1 for tanh, sigmoid, softsign
 * and identity. LeCun's for sign and He's for step too, by which sums over units of this kind have variance 1: the scale
 * on which a surrogate of beta 1 is made.
 */
export function defaultInitialiser(activation: Activation): Initialiser {
  switch (activation.kind) {
    case 'relu':
    case 'elu':
    case 'gelu':
    case 'geluTanh':
    case 'silu':
    case 'softplus':
    case 'step':
      return heNormal()
    case 'leakyRelu':
      return heNormal({ gain: Math.sqrt(2 / (1 + activation.slope ** 2)) })
    case 'selu':
    case 'sign':
      return lecunNormal()
    case 'identity':
    case 'tanh':
    case 'sigmoid':
    case 'softsign':
      return xavierUniform()
  }
}

export function toNativeInitialiser(initialiser: Initialiser): NativeInitialiser {
  return { ...initialiser }
}
