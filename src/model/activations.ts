import { optionError } from '../internal/errors.js'
import type { NativeActivation } from '../internal/native.js'
import { checkKnownKeys, isRecord, joinPath, numberInRange, oneOf } from '../internal/validate.js'
import type { Surrogate, SurrogateOptions } from './surrogates.js'
import { resolveSurrogate, surrogates } from './surrogates.js'

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
export type ActivationName = PlainActivationName | 'leakyRelu' | 'elu' | 'softplus' | 'sign' | 'step'

/** A resolved activation: every option filled in. */
export type Activation =
  | { readonly kind: PlainActivationName }
  | { readonly kind: 'leakyRelu'; readonly slope: number }
  | { readonly kind: 'elu'; readonly alpha: number }
  | { readonly kind: 'softplus'; readonly beta: number }
  | { readonly kind: 'sign' | 'step'; readonly surrogate: Surrogate; readonly beta?: number }

/** What a layer takes: a name (options at their defaults) or an object with options. */
export type ActivationOption =
  | ActivationName
  | { readonly kind: PlainActivationName }
  | ({ readonly kind: 'leakyRelu' } & LeakyReluOptions)
  | ({ readonly kind: 'elu' } & EluOptions)
  | ({ readonly kind: 'softplus' } & SoftplusOptions)
  | ({ readonly kind: 'sign' | 'step' } & SurrogateOptions)

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
  'sign',
  'step',
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

/**
 * -1, 0 or 1: the sign of x. Its derivative is 0 almost everywhere; the backward pass has σ'(x) in its place, the
 * derivative of a function of like shape (`surrogates`), so that gradients are those of surrogate-gradient learning.
 * Such a network has no tangents and no second derivatives: `jvp` and curvature throw.
 *
 * @throws KrylovError ERR_OPTION for an unknown surrogate or a beta that is not above 0
 * @example dense(100, sign({ surrogate: 'superSpike', beta: 2 }))
 *
 * Neftci, Mostafa & Zenke 2019 (arXiv 1901.09948); Eilers, Memmesheimer & Goedeke 2024 (arXiv 2405.15539).
 */
export function sign(options: SurrogateOptions = {}): Activation {
  return threshold('sign', options)
}

/** 1 for x > 0, else 0; as `sign`, with half of its surrogate's derivative, since the step is half as high. */
export function step(options: SurrogateOptions = {}): Activation {
  return threshold('step', options)
}

function threshold(kind: 'sign' | 'step', options: SurrogateOptions): Activation {
  checkKnownKeys(options, ['surrogate', 'beta'], `${kind} options`)
  return Object.freeze({ kind, ...resolveSurrogate(options, surrogates, kind) })
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
    case 'sign':
      return sign(options)
    case 'step':
      return step(options)
    default:
      checkKnownKeys(options, [], `${kind} options`)
      return Object.freeze({ kind })
  }
}

/** True where outputs are confined to an interval, so that a loss on logits makes no sense on them. */
export function isSquashing(activation: Activation): boolean {
  return ['sigmoid', 'tanh', 'softsign', 'sign', 'step'].includes(activation.kind)
}

export function toNativeActivation(activation: Activation): NativeActivation {
  switch (activation.kind) {
    case 'leakyRelu':
      return { kind: activation.kind, parameter: activation.slope }
    case 'elu':
      return { kind: activation.kind, parameter: activation.alpha }
    case 'softplus':
      return { kind: activation.kind, parameter: activation.beta }
    case 'sign':
    case 'step':
      return { kind: activation.kind, parameter: activation.beta ?? 1, surrogate: activation.surrogate }
    default:
      return { kind: activation.kind, parameter: 0 }
  }
}
