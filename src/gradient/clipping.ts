import { arrayOf, checkKnownKeys, integerInRange, oneOf } from '../internal/validate.js'
import type { OptionTable } from '../optimizers/rule.js'
import { count, fixed, resolveByTable } from '../optimizers/rule.js'

/* Clipping of the batch's gradient. Clipping of single samples' gradients is another thing: `sampleClipping`. */

export type ClipByValueOptions = {
  /** Every element is kept within ± this; above 0, default 1. */
  readonly limit?: number
}
export type ClipByValue = { readonly kind: 'clipByValue' } & Required<ClipByValueOptions>

export type ClipByGlobalNormOptions = {
  /** c, above 0; default 1. */
  readonly maxNorm?: number
  /** Added to the norm; default 0. */
  readonly epsilon?: number
}
export type ClipByGlobalNorm = { readonly kind: 'clipByGlobalNorm' } & Required<ClipByGlobalNormOptions>

export type ClipByLayerNormOptions = ClipByGlobalNormOptions & {
  /**
   * What has a norm of its own: every `tensor` (default), every `layer` (its weight and bias together; in training only),
   * or lists of indices of tensors, each in one list at most. Tensors in no list are left alone.
   */
  readonly groups?: 'tensor' | 'layer' | readonly (readonly number[])[]
}
export type ClipByLayerNorm = { readonly kind: 'clipByLayerNorm' } & Required<ClipByLayerNormOptions>

export type AdaptiveClipOptions = {
  /** λ: the largest norm of a unit's gradient over that of its weights, above 0; default 0.01. */
  readonly clipping?: number
  /** Norms of weights count as at least this, above 0; default 1e-3. */
  readonly epsilon?: number
  /** Indices of tensors that are left alone, such as those of the last layer; default none. */
  readonly exclude?: readonly number[]
}
export type AdaptiveClip = { readonly kind: 'adaptiveClip' } & Required<AdaptiveClipOptions>

export type AutoClipOptions = {
  /** p, 0 to 100; default 10. */
  readonly percentile?: number
  /** Norms that are remembered, the newest included; default 0: all of the run. */
  readonly window?: number
}
export type AutoClip = { readonly kind: 'autoClip' } & Required<AutoClipOptions>

const valueTable: OptionTable = { limit: fixed(1, { above: 0 }) }
const normTable: OptionTable = { maxNorm: fixed(1, { above: 0 }), epsilon: fixed(0, { min: 0 }) }
const adaptiveTable: OptionTable = { clipping: fixed(0.01, { above: 0 }), epsilon: fixed(1e-3, { above: 0 }) }
const autoTable: OptionTable = { percentile: fixed(10, { min: 0, max: 100 }), window: count(0, { min: 0, max: 1e9 }) }

/**
 * Every element within [−limit, limit]. Changes the gradient's direction.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss, gradient: clipByValue({ limit: 0.5 }) })
 */
export function clipByValue(options: ClipByValueOptions = {}): ClipByValue {
  const kind = 'clipByValue'
  return Object.freeze({ kind, ...resolveByTable(kind, valueTable, options) }) as ClipByValue
}

/**
 * g ← g · maxNorm / (‖g‖ + epsilon) where ‖g‖ + epsilon > maxNorm, with the norm over all tensors. With epsilon 1e-6 it is
 * torch's `clip_grad_norm_`.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss, gradient: clipByGlobalNorm({ maxNorm: 1 }) })
 * @see Pascanu, Mikolov & Bengio 2013 (arXiv 1211.5063)
 */
export function clipByGlobalNorm(options: ClipByGlobalNormOptions = {}): ClipByGlobalNorm {
  const kind = 'clipByGlobalNorm'
  return Object.freeze({ kind, ...resolveByTable(kind, normTable, options) }) as ClipByGlobalNorm
}

function indices(value: unknown, name: string): readonly number[] {
  return Object.freeze(
    arrayOf(value, name, (item, place) => integerInRange(item, place, { min: 0, max: 2 ** 32 - 1 }), { minLength: 1 }),
  )
}

/**
 * `clipByGlobalNorm` with a norm for each tensor, layer or group of tensors.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss, gradient: clipByLayerNorm({ maxNorm: 0.5, groups: 'layer' }) })
 */
export function clipByLayerNorm(options: ClipByLayerNormOptions = {}): ClipByLayerNorm {
  const kind = 'clipByLayerNorm'
  checkKnownKeys(options, [...Object.keys(normTable), 'groups'], `${kind} options`)
  const { groups = 'tensor', ...norms } = options as ClipByLayerNormOptions
  const resolved = Array.isArray(groups)
    ? Object.freeze(arrayOf(groups, `${kind} groups`, indices, { minLength: 1 }))
    : oneOf(groups as unknown, `${kind} groups`, ['tensor', 'layer'])
  return Object.freeze({ kind, ...resolveByTable(kind, normTable, norms), groups: resolved }) as ClipByLayerNorm
}

/**
 * Adaptive gradient clipping: the gradient gᵢ of a unit with weights wᵢ is scaled to the norm λ · max(‖wᵢ‖, epsilon) where
 * it is longer. Units are the rows of a weight [outputs, inputs]; a vector is one unit, and so is a matrix with one row or
 * one column. Reads the parameters. The paper leaves the last layer alone: name its tensors in `exclude`.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss, gradient: adaptiveClip({ clipping: 0.02 }) })
 * @see Brock, De, Smith & Simonyan 2021 (arXiv 2102.06171)
 */
export function adaptiveClip(options: AdaptiveClipOptions = {}): AdaptiveClip {
  const kind = 'adaptiveClip'
  checkKnownKeys(options, [...Object.keys(adaptiveTable), 'exclude'], `${kind} options`)
  const { exclude = [], ...rest } = options as AdaptiveClipOptions
  const excluded = Array.isArray(exclude) && exclude.length === 0 ? [] : indices(exclude, `${kind} exclude`)
  return Object.freeze({ kind, ...resolveByTable(kind, adaptiveTable, rest), exclude: excluded }) as AdaptiveClip
}

/**
 * AutoClip: the norm is clipped to the p-th percentile of all norms so far, the newest included, interpolated as numpy
 * does: g ← g · min(1, c / (‖g‖ + 1e-6)). Remembers a number an update.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss, gradient: autoClip({ percentile: 50 }) })
 * @see Seetharaman, Wichern, Pardo & Le Roux 2020 (arXiv 2007.14469)
 */
export function autoClip(options: AutoClipOptions = {}): AutoClip {
  const kind = 'autoClip'
  return Object.freeze({ kind, ...resolveByTable(kind, autoTable, options) }) as AutoClip
}
