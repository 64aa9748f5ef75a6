import type { NativeOptimizer } from '../internal/native.js'
import type { Filled } from '../optimizers/rule.js'
import { numeric, resolveByTable, ruleToNative, word } from '../optimizers/rule.js'
import type { ScheduleOption } from '../optimizers/schedule.js'

/*
 * Weights of samples by how well the model does on them. p is the probability of the sample's own label, ℓ its loss, N
 * the number of samples; the gradient is (1/N) Σ w_i g_i, and nothing is differentiated through the weights.
 *
 * For a loss ψ(p) of p alone the gradient is −p ψ'(p) times that of the cross-entropy −log p. So a weight w(p) trains
 * with the exact gradient of the loss whose −p ψ'(p) it is.
 */

type NormalizeOption = {
  /** `none` (default): as the formula says; `mean`: divided by their mean, so that they sum to N. */
  readonly normalize?: 'none' | 'mean'
}
export type FocalWeightsOptions = NormalizeOption & {
  /** γ; default 2. */
  readonly gamma?: number | ScheduleOption
}
export type GeneralizedCrossEntropyWeightsOptions = NormalizeOption & {
  /** From 0, cross-entropy, to 1, the absolute error; default 0.7. */
  readonly q?: number | ScheduleOption
}
export type TruncatedCrossEntropyWeightsOptions = GeneralizedCrossEntropyWeightsOptions & {
  /** Samples of p ≤ k have no weight; default 0.5. */
  readonly k?: number | ScheduleOption
}
export type HuberizedCrossEntropyWeightsOptions = NormalizeOption & {
  /** The slope that −1/p is bounded to, at least 1; default 10. */
  readonly tau?: number | ScheduleOption
}
export type InverseLossWeightsOptions = NormalizeOption & {
  /** c, the loss whose weight is a half, above 0; default 1. */
  readonly offset?: number | ScheduleOption
}
export type ConfidenceWeightsOptions = NormalizeOption & {
  /** Default 1. */
  readonly power?: number | ScheduleOption
}
export type TiltedWeightsOptions = {
  /** T; default 1. */
  readonly temperature?: number | ScheduleOption
}
export type LossThresholdWeightsOptions = NormalizeOption & {
  /** Samples of this loss or more have no weight; default 1. */
  readonly threshold?: number | ScheduleOption
}
export type HardExampleWeightsOptions = NormalizeOption & {
  /** Share of the batch that keeps its weight, rounded down to whole samples, at least one; default 0.25. */
  readonly share?: number | ScheduleOption
}
export type SmallLossWeightsOptions = {
  /** Share of the batch that is left out: the noise rate, or a schedule that rises to it; default 0.2. */
  readonly forgetRate?: number | ScheduleOption
}

export type FocalWeights = Filled<FocalWeightsOptions> & { readonly kind: 'focalWeights' }
export type FocalLossWeights = Filled<FocalWeightsOptions> & { readonly kind: 'focalLossWeights' }
export type GeneralizedCrossEntropyWeights = Filled<GeneralizedCrossEntropyWeightsOptions> & {
  readonly kind: 'generalizedCrossEntropyWeights'
}
export type TruncatedCrossEntropyWeights = Filled<TruncatedCrossEntropyWeightsOptions> & {
  readonly kind: 'truncatedCrossEntropyWeights'
}
export type HuberizedCrossEntropyWeights = Filled<HuberizedCrossEntropyWeightsOptions> & {
  readonly kind: 'huberizedCrossEntropyWeights'
}
export type InverseLossWeights = Filled<InverseLossWeightsOptions> & { readonly kind: 'inverseLossWeights' }
export type ConfidenceWeights = Filled<ConfidenceWeightsOptions> & { readonly kind: 'confidenceWeights' }
export type TiltedWeights = Filled<TiltedWeightsOptions> & { readonly kind: 'tiltedWeights' }
export type LossThresholdWeights = Filled<LossThresholdWeightsOptions> & { readonly kind: 'lossThresholdWeights' }
export type HardExampleWeights = Filled<HardExampleWeightsOptions> & { readonly kind: 'hardExampleWeights' }
export type SmallLossWeights = Filled<SmallLossWeightsOptions> & { readonly kind: 'smallLossWeights' }
export type AlignmentWeights = { readonly kind: 'alignmentWeights' }

/** A resolved rule: every option filled in. */
export type SampleWeights =
  | FocalWeights
  | FocalLossWeights
  | GeneralizedCrossEntropyWeights
  | TruncatedCrossEntropyWeights
  | HuberizedCrossEntropyWeights
  | InverseLossWeights
  | ConfidenceWeights
  | TiltedWeights
  | LossThresholdWeights
  | HardExampleWeights
  | SmallLossWeights
  | AlignmentWeights
export type SampleWeightsKind = SampleWeights['kind']

/** What functions take as a rule: a factory's result, or plain JSON with the same names. */
export type SampleWeightsOption =
  | SampleWeights
  | ({ readonly kind: 'focalWeights' | 'focalLossWeights' } & FocalWeightsOptions)
  | ({ readonly kind: 'generalizedCrossEntropyWeights' } & GeneralizedCrossEntropyWeightsOptions)
  | ({ readonly kind: 'truncatedCrossEntropyWeights' } & TruncatedCrossEntropyWeightsOptions)
  | ({ readonly kind: 'huberizedCrossEntropyWeights' } & HuberizedCrossEntropyWeightsOptions)
  | ({ readonly kind: 'inverseLossWeights' } & InverseLossWeightsOptions)
  | ({ readonly kind: 'confidenceWeights' } & ConfidenceWeightsOptions)
  | ({ readonly kind: 'tiltedWeights' } & TiltedWeightsOptions)
  | ({ readonly kind: 'lossThresholdWeights' } & LossThresholdWeightsOptions)
  | ({ readonly kind: 'hardExampleWeights' } & HardExampleWeightsOptions)
  | ({ readonly kind: 'smallLossWeights' } & SmallLossWeightsOptions)
  | { readonly kind: 'alignmentWeights' }

const normalize = word('none', ['none', 'mean'])
const focal = { gamma: numeric(2, { min: 0 }), normalize }
const q = numeric(0.7, { min: 0, max: 1 })

const tables = {
  focalWeights: focal,
  focalLossWeights: focal,
  generalizedCrossEntropyWeights: { q, normalize },
  truncatedCrossEntropyWeights: { q, k: numeric(0.5, { min: 0, max: 1 }), normalize },
  huberizedCrossEntropyWeights: { tau: numeric(10, { min: 1 }), normalize },
  inverseLossWeights: { offset: numeric(1, { above: 0 }), normalize },
  confidenceWeights: { power: numeric(1, { min: 0 }), normalize },
  tiltedWeights: { temperature: numeric(1, { above: 0 }) },
  lossThresholdWeights: { threshold: numeric(1, { above: 0 }), normalize },
  hardExampleWeights: { share: numeric(0.25, { above: 0, max: 1 }), normalize },
  smallLossWeights: { forgetRate: numeric(0.2, { min: 0, below: 1 }) },
  alignmentWeights: {},
} as const satisfies Record<SampleWeightsKind, Parameters<typeof resolveByTable>[1]>

function make<K extends SampleWeightsKind>(kind: K, options: object): Extract<SampleWeights, { readonly kind: K }> {
  const resolved = { kind, ...resolveByTable(kind, tables[kind], options) }
  return Object.freeze(resolved) as unknown as Extract<SampleWeights, { readonly kind: K }>
}

/**
 * Focal re-weighting: w = (1 − p)^γ, less for what is learnt already. The weight is held constant, so this is not the
 * focal loss; near p = 1 the two differ by a factor 1 + γ. For that one: `focalLossWeights`.
 *
 * @throws KrylovError ERR_OPTION
 * @see Lin, Goyal, Girshick, He & Dollár 2017 (arXiv 1708.02002)
 */
export function focalWeights(options: FocalWeightsOptions = {}): FocalWeights {
  return make('focalWeights', options)
}

/**
 * The focal loss −(1 − p)^γ log p, exactly: w = (1 − p)^γ − γ p (1 − p)^(γ−1) log p. For middling p it is above 1. The
 * paper's factor by class is `classWeights` of the loss.
 *
 * @see Lin, Goyal, Girshick, He & Dollár 2017 (arXiv 1708.02002)
 */
export function focalLossWeights(options: FocalWeightsOptions = {}): FocalLossWeights {
  return make('focalLossWeights', options)
}

/**
 * Generalised cross-entropy (1 − p^q)/q: w = p^q, less for labels that the model finds unlikely.
 *
 * @see Zhang & Sabuncu 2018 (arXiv 1805.07836)
 */
export function generalizedCrossEntropyWeights(
  options: GeneralizedCrossEntropyWeightsOptions = {},
): GeneralizedCrossEntropyWeights {
  return make('generalizedCrossEntropyWeights', options)
}

/**
 * Truncated generalised cross-entropy: w = p^q where p > k, else 0. Difference from the authors' program: that one keeps
 * a 0 or 1 for each sample and renews it every tenth epoch; here p is always the current one.
 *
 * @see Zhang & Sabuncu 2018 (arXiv 1805.07836)
 */
export function truncatedCrossEntropyWeights(
  options: TruncatedCrossEntropyWeightsOptions = {},
): TruncatedCrossEntropyWeights {
  return make('truncatedCrossEntropyWeights', options)
}

/**
 * Partially Huberised cross-entropy, linear in p below 1/τ: w = min(1, τ p).
 *
 * @see Menon, Rawat, Reddi & Kumar 2020, "Can gradient clipping mitigate label noise?"
 */
export function huberizedCrossEntropyWeights(
  options: HuberizedCrossEntropyWeightsOptions = {},
): HuberizedCrossEntropyWeights {
  return make('huberizedCrossEntropyWeights', options)
}

/**
 * Inverse loss: w = c / (c + ℓ), 1 for a loss of 0 and a half for ℓ = c. With them a loss trains as c log(1 + ℓ/c), which
 * grows more and more slowly.
 */
export function inverseLossWeights(options: InverseLossWeightsOptions = {}): InverseLossWeights {
  return make('inverseLossWeights', options)
}

/**
 * Confidence: w = q^power with q the largest probability that the model gives to any class, whatever the label: less for
 * samples that it cannot tell apart yet. The soft form of a threshold on q, as self-training has it. A label that the
 * model firmly contradicts keeps its weight; for wrong labels look at p (`generalizedCrossEntropyWeights`).
 *
 * @see after Sohn et al. 2020 (arXiv 2001.07685), where q ≥ 0.95 decides
 */
export function confidenceWeights(options: ConfidenceWeightsOptions = {}): ConfidenceWeights {
  return make('confidenceWeights', options)
}

/**
 * Exponential tilting, towards the samples of large loss: w = N e^{ℓ/T} / Σ e^{ℓ/T}, the gradient of T log mean e^{ℓ/T}.
 */
export function tiltedWeights(options: TiltedWeightsOptions = {}): TiltedWeights {
  return make('tiltedWeights', options)
}

/** w = 1 where ℓ < threshold, else 0: self-paced learning with a threshold that rises, or a clipped loss. */
export function lossThresholdWeights(options: LossThresholdWeightsOptions = {}): LossThresholdWeights {
  return make('lossThresholdWeights', options)
}

/** Hard-example mining: w = 1 for the share of largest losses, else 0; of equal losses the first count as larger. */
export function hardExampleWeights(options: HardExampleWeightsOptions = {}): HardExampleWeights {
  return make('hardExampleWeights', options)
}

/**
 * Small-loss selection, also called trimmed loss: the mean over the samples of smallest loss. w = N / kept for them, else
 * 0; kept = ⌊(1 − forgetRate) N⌋, at least one; of equal losses the first are kept. With two networks, each trained with
 * the other's weights, it is Co-teaching; `forgetRate(epoch, ...)` is its schedule.
 *
 * @see Han et al. 2018 (arXiv 1804.06872)
 */
export function smallLossWeights(options: SmallLossWeightsOptions = {}): SmallLossWeights {
  return make('smallLossWeights', options)
}

/**
 * Weights from clean samples: w = N max(0, a) / Σ max(0, a) with a the inner product of the sample's gradient and the mean
 * gradient of clean samples; all 0 where none is positive.
 *
 * @see after Ren, Zeng, Yang & Urtasun 2018 (arXiv 1803.09050)
 */
export function alignmentWeights(): AlignmentWeights {
  return make('alignmentWeights', {})
}

/** Every rule's kind. */
export const sampleWeightsKinds: readonly SampleWeightsKind[] = Object.freeze(
  Object.keys(tables) as SampleWeightsKind[],
)

/** The rule as the core takes it. */
export function weightsToNative(spec: SampleWeights, totalSteps: number | undefined): NativeOptimizer {
  const { kind } = spec
  const resolve = (options: Record<string, unknown>): SampleWeights => resolveWeights(kind, options)
  return ruleToNative({ kind, options: tables[kind], resolve }, spec, totalSteps)
}

/** Fills in a rule of a known kind. */
export function resolveWeights(kind: SampleWeightsKind, options: object): SampleWeights {
  return make(kind, options)
}
