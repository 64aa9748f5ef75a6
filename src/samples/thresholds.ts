import { optionError } from '../internal/errors.js'
import type { NativeClipping } from '../internal/native.js'
import { checkKnownKeys, joinPath, numberInRange, oneOf, record } from '../internal/validate.js'

export type QuantileThresholdOptions = {
  /** The share of norms that shall be within the threshold, above 0 and below 1; default 0.5, the median. */
  readonly quantile?: number
  /** η: default 0.2. */
  readonly rate?: number
  /** Least threshold; default 1e-8. */
  readonly min?: number
  /** Largest threshold; default 1e8. */
  readonly max?: number
}
/** Thresholds that follow a quantile of the norms; see `quantileThreshold`. */
export type QuantileThreshold = { readonly kind: 'quantile' } & Readonly<Required<QuantileThresholdOptions>>

export type LayerStatisticsOptions = {
  /** κ of the first layer with parameters; default 1. */
  readonly kappaFirst?: number
  /** κ of the last, between them it grows linearly; default 3. A single layer has this one. */
  readonly kappaLast?: number
  /** β of the moving averages, from 0 and below 1; default 0.99. */
  readonly decay?: number
}
/** Thresholds from the statistics of each layer's norms; see `layerStatistics`. */
export type LayerStatistics = { readonly kind: 'layerStatistics' } & Readonly<Required<LayerStatisticsOptions>>

export type ThresholdAdaptation = QuantileThreshold | LayerStatistics
export type ThresholdAdaptationOption =
  | ({ readonly kind: 'quantile' } & QuantileThresholdOptions)
  | ({ readonly kind: 'layerStatistics' } & LayerStatisticsOptions)

/**
 * A threshold that follows a quantile of the norms, so that none has to be chosen: with b the share of the batch's norms
 * that were within it, after each step
 *
 *     C ← C exp(−η (b − quantile)),   min ≤ C ≤ max
 *
 * `threshold` is where it starts. By layer each has its own. With `differentialPrivacy` b is told with noise, which is
 * accounted for. Differences from the released code, which keeps C at least 1: the default of `min`.
 *
 * @throws KrylovError ERR_OPTION
 * @example sampleClipping({ threshold: 1, adapt: quantileThreshold({ quantile: 0.9 }) })
 * @see Andrew, Thakkar, McMahan & Ramaswamy 2021 (arXiv 1905.03871)
 */
export function quantileThreshold(given: QuantileThresholdOptions = {}): QuantileThreshold {
  const name = 'quantileThreshold'
  checkKnownKeys(given, ['quantile', 'rate', 'min', 'max'], `${name} options`)
  const { quantile = 0.5, rate = 0.2, min = 1e-8, max = 1e8 } = given as QuantileThresholdOptions
  const least = numberInRange(min, `${name} min`, { above: 0 })
  return Object.freeze({
    kind: 'quantile',
    quantile: numberInRange(quantile, `${name} quantile`, { above: 0, below: 1 }),
    rate: numberInRange(rate, `${name} rate`, { above: 0 }),
    min: least,
    max: numberInRange(max, `${name} max`, { min: least }),
  })
}

/**
 * Limits for outliers alone, milder in deep layers than in shallow ones: with moving averages μ and ν of the mean and the
 * variance of a layer's norms in a batch, corrected for their start at 0,
 *
 *     C_l = μ_l + κ_l √ν_l,   κ from `kappaFirst` at the first layer to `kappaLast` at the last
 *
 * The limits of a step are from the steps before it; the first step clips nothing. For clipping by layer, without a
 * threshold. Not with `differentialPrivacy`: the averages are of norms as they are.
 *
 * @throws KrylovError ERR_OPTION
 * @example sampleClipping({ by: 'layer', adapt: layerStatistics({ kappaFirst: 0.5 }) })
 */
export function layerStatistics(given: LayerStatisticsOptions = {}): LayerStatistics {
  const name = 'layerStatistics'
  checkKnownKeys(given, ['kappaFirst', 'kappaLast', 'decay'], `${name} options`)
  const { kappaFirst = 1, kappaLast = 3, decay = 0.99 } = given as LayerStatisticsOptions
  return Object.freeze({
    kind: 'layerStatistics',
    kappaFirst: numberInRange(kappaFirst, `${name} kappaFirst`, { min: 0 }),
    kappaLast: numberInRange(kappaLast, `${name} kappaLast`, { min: 0 }),
    decay: numberInRange(decay, `${name} decay`, { min: 0, below: 1 }),
  })
}

/** Checks the option `adapt` of clipping. */
export function resolveAdaptation(
  value: unknown,
  path: string,
  clipping: { readonly mode: string; readonly by: string; readonly threshold: unknown },
): ThresholdAdaptation {
  const { kind, ...options } = record(value, path)
  const { mode, by, threshold } = clipping
  if (oneOf(kind, joinPath(path, 'kind'), ['quantile', 'layerStatistics']) === 'quantile') {
    if (mode === 'automatic') throw optionError(path, "none with mode 'automatic', which clips every norm", kind)
    return quantileThreshold(options)
  }
  if (by !== 'layer') throw optionError(path, "layerStatistics with by 'layer'", by)
  if (mode !== 'clip') throw optionError(path, "layerStatistics with mode 'clip'", mode)
  if (threshold !== undefined) {
    throw optionError(path.replace(/adapt$/, 'threshold'), 'none with layerStatistics, which makes its own', threshold)
  }
  return layerStatistics(options)
}

export function adaptationToNative(adapt: ThresholdAdaptation | undefined): NativeClipping['adapt'] {
  return adapt === undefined ? null : { ...adapt }
}
