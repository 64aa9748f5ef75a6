import { optionError } from '../internal/errors.js'
import type { NativeLoss } from '../internal/native.js'
import {
  atPath,
  boolean,
  checkKnownKeys,
  finiteArray,
  isRecord,
  joinPath,
  numberInRange,
  oneOf,
} from '../internal/validate.js'

/*
 * Losses as plain specs. y: targets, z: outputs (logits where said), K: outputs of a sample, N: samples of the batch,
 * w_i: the sample's weight. The batch loss is Σ w_i ℓ_i / N, or the sum with `reduction: 'sum'`.
 */

type BatchOptions = {
  /** Factor on each sample's loss; default 1. 0.5 with `outputs: 'sum'` gives the halved square of many papers. */
  readonly scale?: number
  /** How the batch runs over samples; default `mean`. */
  readonly reduction?: 'mean' | 'sum'
  /** With `mean`: divide by the sum of the weights instead of the number of samples; default false. */
  readonly normalizeWeights?: boolean
}
type OutputOptions = BatchOptions & {
  /** How a sample's loss runs over its outputs; default `mean`. */
  readonly outputs?: 'mean' | 'sum'
}
export type MeanSquaredErrorOptions = OutputOptions
export type MeanAbsoluteErrorOptions = OutputOptions
export type HuberOptions = OutputOptions & {
  /** Residual at which the square turns into a line; default 1. */
  readonly delta?: number
}
export type BinaryCrossEntropyOptions = OutputOptions & {
  /** ε: targets become (1 − ε) y + ε/2; default 0. */
  readonly labelSmoothing?: number
  /** p_k, one for each output: the weight of a yes, as PyTorch's pos_weight; default 1 each. */
  readonly classWeights?: readonly number[]
}
export type SoftmaxCrossEntropyOptions = BatchOptions & {
  /** `classes`: class indices (default); `probabilities`: one row of probabilities for each sample. */
  readonly targets?: 'classes' | 'probabilities'
  /** ε: targets become (1 − ε) y + ε/K; default 0. */
  readonly labelSmoothing?: number
  /** w_k, one for each class: the factor on y_k; default 1 each. */
  readonly classWeights?: readonly number[]
}

type BatchPart = Readonly<{ scale: number; reduction: 'mean' | 'sum'; normalizeWeights: boolean }>
type OutputPart = BatchPart & Readonly<{ outputs: 'mean' | 'sum' }>

/** A resolved loss: every option filled in. */
export type Loss =
  | (OutputPart & { readonly kind: 'meanSquaredError' })
  | (OutputPart & { readonly kind: 'meanAbsoluteError' })
  | (OutputPart & { readonly kind: 'huber'; readonly delta: number })
  | (OutputPart & {
      readonly kind: 'binaryCrossEntropy'
      readonly labelSmoothing: number
      readonly classWeights: readonly number[] | null
    })
  | (BatchPart & {
      readonly kind: 'softmaxCrossEntropy'
      readonly targets: 'classes' | 'probabilities'
      readonly labelSmoothing: number
      readonly classWeights: readonly number[] | null
    })

export type LossKind = Loss['kind']

/** What functions take as a loss: a factory's result, or plain JSON with the same names. */
export type LossOption =
  | Loss
  | ({ readonly kind: 'meanSquaredError' } & MeanSquaredErrorOptions)
  | ({ readonly kind: 'meanAbsoluteError' } & MeanAbsoluteErrorOptions)
  | ({ readonly kind: 'huber' } & HuberOptions)
  | ({ readonly kind: 'binaryCrossEntropy' } & BinaryCrossEntropyOptions)
  | ({ readonly kind: 'softmaxCrossEntropy' } & SoftmaxCrossEntropyOptions)

const batchKeys = ['scale', 'reduction', 'normalizeWeights'] as const
const outputKeys = [...batchKeys, 'outputs'] as const

function batchPart(options: Record<string, unknown>, kind: string): BatchPart {
  const { scale, reduction, normalizeWeights } = options
  const part = {
    scale: scale === undefined ? 1 : numberInRange(scale, `${kind} scale`, { above: 0 }),
    reduction: reduction === undefined ? 'mean' : oneOf(reduction, `${kind} reduction`, ['mean', 'sum']),
    normalizeWeights: normalizeWeights === undefined ? false : boolean(normalizeWeights, `${kind} normalizeWeights`),
  } as const
  if (part.normalizeWeights && part.reduction === 'sum') {
    throw optionError(`${kind} normalizeWeights`, "false where reduction is 'sum', which divides by nothing", true)
  }
  return part
}

function outputPart(options: Record<string, unknown>, kind: string): OutputPart {
  const outputs = options.outputs === undefined ? 'mean' : oneOf(options.outputs, `${kind} outputs`, ['mean', 'sum'])
  return { ...batchPart(options, kind), outputs }
}

function smoothing(options: Record<string, unknown>, kind: string): number {
  const value = options.labelSmoothing
  return value === undefined ? 0 : numberInRange(value, `${kind} labelSmoothing`, { min: 0, max: 1 })
}

function weightsOf(options: Record<string, unknown>, kind: string): readonly number[] | null {
  const value = options.classWeights
  if (value === undefined || value === null) return null
  return Object.freeze(finiteArray(value, `${kind} classWeights`, { min: 0, minLength: 1 }))
}

/**
 * The squared error: ℓ = scale·mean_k (z_k − y_k)², or the sum over k with `outputs: 'sum'`. No half (as PyTorch's
 * MSELoss).
 *
 * @throws KrylovError ERR_OPTION
 */
export function meanSquaredError(options: MeanSquaredErrorOptions = {}): Loss {
  const kind = 'meanSquaredError'
  checkKnownKeys(options, outputKeys, `${kind} options`)
  return Object.freeze({ kind, ...outputPart(options, kind) })
}

/** The absolute error: ℓ = scale·mean_k |z_k − y_k|, or the sum over k; the derivative at 0 is 0. */
export function meanAbsoluteError(options: MeanAbsoluteErrorOptions = {}): Loss {
  const kind = 'meanAbsoluteError'
  checkKnownKeys(options, outputKeys, `${kind} options`)
  return Object.freeze({ kind, ...outputPart(options, kind) })
}

/** Huber's loss (1964): r²/2 where |r| <= delta, delta·(|r| − delta/2) beyond; the mean or sum over outputs. */
export function huber(options: HuberOptions = {}): Loss {
  const kind = 'huber'
  checkKnownKeys(options, [...outputKeys, 'delta'], `${kind} options`)
  const delta = options.delta === undefined ? 1 : numberInRange(options.delta, `${kind} delta`, { above: 0 })
  return Object.freeze({ kind, ...outputPart(options, kind), delta })
}

/**
 * Cross-entropy of independent yes-or-no outputs, from logits, targets in [0, 1]:
 * ℓ = scale·mean_k [p_k y_k log(1 + e^{−z_k}) + (1 − y_k) log(1 + e^{z_k})].
 */
export function binaryCrossEntropy(options: BinaryCrossEntropyOptions = {}): Loss {
  const kind = 'binaryCrossEntropy'
  checkKnownKeys(options, [...outputKeys, 'labelSmoothing', 'classWeights'], `${kind} options`)
  return Object.freeze({
    kind,
    ...outputPart(options, kind),
    labelSmoothing: smoothing(options, kind),
    classWeights: weightsOf(options, kind),
  })
}

/**
 * Cross-entropy over classes, from logits: ℓ = scale·Σ_k w_k y_k (log Σ_j e^{z_j} − z_k). Targets are class indices or
 * rows of probabilities.
 */
export function softmaxCrossEntropy(options: SoftmaxCrossEntropyOptions = {}): Loss {
  const kind = 'softmaxCrossEntropy'
  checkKnownKeys(options, [...batchKeys, 'targets', 'labelSmoothing', 'classWeights'], `${kind} options`)
  const targets =
    options.targets === undefined ? 'classes' : oneOf(options.targets, `${kind} targets`, ['classes', 'probabilities'])
  return Object.freeze({
    kind,
    ...batchPart(options, kind),
    targets,
    labelSmoothing: smoothing(options, kind),
    classWeights: weightsOf(options, kind),
  })
}

const factories: Readonly<Record<LossKind, (options: Record<string, unknown>) => Loss>> = Object.freeze({
  meanSquaredError,
  meanAbsoluteError,
  huber,
  binaryCrossEntropy,
  softmaxCrossEntropy,
})
const lossKinds = Object.freeze(Object.keys(factories) as LossKind[])

/** Fills in a loss given as a spec. */
export function resolveLoss(value: unknown, path: string): Loss {
  if (!isRecord(value)) throw optionError(path, 'a loss, such as softmaxCrossEntropy()', value)
  const { kind, ...options } = value
  const factory = factories[oneOf(kind, joinPath(path, 'kind'), lossKinds)]
  return atPath(path, () => factory(options))
}

/** How outputs become probabilities (or values): what the loss implies. */
export type Link = 'softmax' | 'sigmoid' | 'identity'

/** The link of a loss. */
export function linkOf(loss: Loss): Link {
  switch (loss.kind) {
    case 'softmaxCrossEntropy':
      return 'softmax'
    case 'binaryCrossEntropy':
      return 'sigmoid'
    default:
      return 'identity'
  }
}

/** True for losses that take logits, which a squashed output is not. */
export function wantsLogits(loss: Loss): boolean {
  return linkOf(loss) !== 'identity'
}

export function wantsClasses(loss: Loss): boolean {
  return loss.kind === 'softmaxCrossEntropy' && loss.targets === 'classes'
}

export function toNativeLoss(loss: Loss, weight: number): NativeLoss {
  return {
    kind: loss.kind,
    delta: loss.kind === 'huber' ? loss.delta : 1,
    outputs: loss.kind === 'softmaxCrossEntropy' ? 'sum' : loss.outputs,
    scale: loss.scale,
    reduction: loss.reduction,
    normalizeWeights: loss.normalizeWeights,
    labelSmoothing: 'labelSmoothing' in loss ? loss.labelSmoothing : 0,
    classTargets: wantsClasses(loss),
    classWeights: 'classWeights' in loss && loss.classWeights !== null ? [...loss.classWeights] : [],
    weight,
  }
}
