import { optionError } from '../internal/errors.js'
import type { NativeActivation } from '../internal/native.js'
import { checkKnownKeys, isRecord, joinPath, numberInRange, oneOf } from '../internal/validate.js'

/** Activations without options. */
export type PlainActivationName =
  | 'identity'
  | 'relu'
  | 'selu'
  | 'gelu'
  | 'geluTanh'
  | 'silu'
  | 'tanh'
  | 'sigmoid'
  | 'softsign'
export type ActivationName = PlainActivationName | 'leakyRelu' | 'elu' | 'softplus'

/** A resolved activation: every option filled in. */
export type Activation =
  | { readonly kind: PlainActivationName }
  | { readonly kind: 'leakyRelu'; readonly slope: number }
  | { readonly kind: 'elu'; readonly alpha: number }
  | { readonly kind: 'softplus'; readonly beta: number }

/** What a layer takes: a name (options at their defaults) or an object with options. */
export type ActivationOption =
  | ActivationName
  | { readonly kind: PlainActivationName }
  | ({ readonly kind: 'leakyRelu' } & LeakyReluOptions)
  | ({ readonly kind: 'elu' } & EluOptions)
  | ({ readonly kind: 'softplus' } & SoftplusOptions)

export type LeakyReluOptions = {
  /** Factor on negative values; default 0.01. */
  readonly slope?: number
}
export type EluOptions = {
  /** Limit for negative values is -alpha; default 1. */
  readonly alpha?: number
}
export type SoftplusOptions = {
  /** Sharpness; default 1. */
  readonly beta?: number
}

/** Every name, in the order of the documentation. */
export const activationNames: readonly ActivationName[] = Object.freeze([
  'identity',
  'relu',
  'leakyRelu',
  'elu',
  'selu',
  'gelu',
  'geluTanh',
  'silu',
  'tanh',
  'sigmoid',
  'softplus',
  'softsign',
])

/** x for x >= 0, slope·x below. */
export function leakyRelu(options: LeakyReluOptions = {}): Activation {
  checkKnownKeys(options, ['slope'], 'leakyRelu options')
  const slope = options.slope === undefined ? 0.01 : numberInRange(options.slope, 'leakyRelu slope', { min: 0 })
  return Object.freeze({ kind: 'leakyRelu', slope })
}

/** x for x >= 0, alpha·(exp(x) - 1) below (Clevert et al. 2015). */
export function elu(options: EluOptions = {}): Activation {
  checkKnownKeys(options, ['alpha'], 'elu options')
  const alpha = options.alpha === undefined ? 1 : numberInRange(options.alpha, 'elu alpha', { above: 0 })
  return Object.freeze({ kind: 'elu', alpha })
}

/** log(1 + exp(beta·x))/beta. */
export function softplus(options: SoftplusOptions = {}): Activation {
  checkKnownKeys(options, ['beta'], 'softplus options')
  const beta = options.beta === undefined ? 1 : numberInRange(options.beta, 'softplus beta', { above: 0 })
  return Object.freeze({ kind: 'softplus', beta })
}

/** Fills in an activation's options. */
export function resolveActivation(value: unknown, path: string): Activation {
  if (typeof value === 'string') return fromKind(oneOf(value, path, activationNames), {})
  if (!isRecord(value)) throw optionError(path, 'the name of an activation or an object with a kind', value)
  const { kind, ...options } = value
  return fromKind(oneOf(kind, joinPath(path, 'kind'), activationNames), options)
}

function fromKind(kind: ActivationName, options: Record<string, unknown>): Activation {
  switch (kind) {
    case 'leakyRelu':
      return leakyRelu(options)
    case 'elu':
      return elu(options)
    case 'softplus':
      return softplus(options)
    default:
      checkKnownKeys(options, [], `${kind} options`)
      return Object.freeze({ kind })
  }
}

/** True where outputs are confined to an interval, so that a loss on logits makes no sense on them. */
export function isSquashing(activation: Activation): boolean {
  return activation.kind === 'sigmoid' || activation.kind === 'tanh' || activation.kind === 'softsign'
}

export function toNativeActivation(activation: Activation): NativeActivation {
  switch (activation.kind) {
    case 'leakyRelu':
      return { kind: activation.kind, parameter: activation.slope }
    case 'elu':
      return { kind: activation.kind, parameter: activation.alpha }
    case 'softplus':
      return { kind: activation.kind, parameter: activation.beta }
    default:
      return { kind: activation.kind, parameter: 0 }
  }
}
