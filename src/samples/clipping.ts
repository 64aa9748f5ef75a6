import { optionError } from '../internal/errors.js'
import type { NativeClipping } from '../internal/native.js'
import { arrayOf, checkKnownKeys, joinPath, numberInRange, oneOf, record } from '../internal/validate.js'
import type { OptimizerSpec } from '../optimizers/registry.js'
import { isMinimizer } from '../optimizers/registry.js'
import type { ThresholdAdaptation, ThresholdAdaptationOption } from './thresholds.js'
import { adaptationToNative, resolveAdaptation } from './thresholds.js'

const modes = ['clip', 'automatic', 'global'] as const
const parts = ['sample', 'layer'] as const

export type SampleClippingOptions = {
  /** C: the largest norm that is left alone; by layer one for all layers with parameters, or one for each. Default 1. */
  readonly threshold?: number | readonly number[]
  /**
   * The factor of a gradient of norm n: `clip` (default) min(1, C / (n + epsilon)); `automatic` C / (n + epsilon);
   * `global` 1 where n ≤ C, else 0.
   */
  readonly mode?: 'clip' | 'automatic' | 'global'
  /** Default 0; for `automatic` 0.01, and above 0. None with `global`. */
  readonly epsilon?: number
  /** One factor for a sample's whole gradient (`sample`, the default), or one for each layer, weight and bias together. */
  readonly by?: 'sample' | 'layer'
  /** How thresholds follow the norms: `quantileThreshold()` or `layerStatistics()`; default not at all. */
  readonly adapt?: ThresholdAdaptationOption
  /**
   * A sample whose loss or gradient is NaN or infinite ends the run as `notFinite` (`throw`, the default), or is left out
   * of the sum and counted (`drop`); its loss then counts as 0.
   */
  readonly notFinite?: 'throw' | 'drop'
}

/** A stage of training; see `sampleClipping`. */
export type SampleClipping = {
  readonly kind: 'sampleClipping'
  /** None with `layerStatistics`. */
  readonly threshold?: number | readonly number[]
  readonly mode: 'clip' | 'automatic' | 'global'
  readonly epsilon: number
  readonly by: 'sample' | 'layer'
  readonly adapt?: ThresholdAdaptation
  readonly notFinite: 'throw' | 'drop'
}
export type SampleClippingOption = { readonly kind: 'sampleClipping' } & SampleClippingOptions

/**
 * Clips every sample's own gradient before the batch's is added up: g = (1/N) Σ cᵢ gᵢ with a factor cᵢ by the norm of gᵢ.
 * No second backward pass and nothing of size [N, P]: the norms follow from what the pass holds, and the factors scale
 * the rows of the deltas. gᵢ is of the sample's own loss with its weight, l2 not included.
 *
 * Records of steps and epochs tell of it in `numbers`: `meanGradientNorm` and `largestGradientNorm` of the last update's
 * samples, `clippedShare` of their factors; where thresholds follow the norms `clippingThreshold` of that update, or by
 * layer `smallestClippingThreshold` and `largestClippingThreshold`; with `notFinite: 'drop'` `droppedSamples` of the run.
 * For losses that are means over the samples (or all sums), and optimizers that make an update from one gradient.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss: softmaxCrossEntropy(), clipping: sampleClipping({ threshold: 1 }) })
 * @see Goodfellow 2015 (arXiv 1510.01799); Bu, Wang, Zha & Karypis 2023 (arXiv 2210.00038); automatic: Bu et al. 2022
 */
export function sampleClipping(given: SampleClippingOptions = {}): SampleClipping {
  return namedClipping(given, 'sampleClipping')
}

/** The same, with errors about options of `name`. */
export function namedClipping(given: unknown, name: string): SampleClipping {
  checkKnownKeys(given, ['threshold', 'mode', 'epsilon', 'by', 'adapt', 'notFinite'], `${name} options`)
  const options = given as SampleClippingOptions
  const mode = oneOf(options.mode ?? 'clip', `${name} mode`, modes)
  const by = oneOf(options.by ?? 'sample', `${name} by`, parts)
  const positive = (value: unknown, path: string): number => numberInRange(value, path, { above: 0 })
  const adapt =
    options.adapt === undefined
      ? undefined
      : resolveAdaptation(options.adapt, `${name} adapt`, { mode, by, threshold: options.threshold })
  const { threshold = 1 } = options
  if (typeof threshold !== 'number' && by === 'sample') throw optionError(`${name} threshold`, 'a number', threshold)
  const { epsilon = mode === 'automatic' ? 0.01 : 0 } = options
  if (mode === 'global' && epsilon !== 0) throw optionError(`${name} epsilon`, "0 with mode 'global'", epsilon)
  const checked =
    typeof threshold === 'number'
      ? positive(threshold, `${name} threshold`)
      : Object.freeze(arrayOf(threshold, `${name} threshold`, positive, { minLength: 1 }))
  return Object.freeze({
    kind: 'sampleClipping',
    ...(adapt?.kind === 'layerStatistics' ? {} : { threshold: checked }),
    mode,
    epsilon: numberInRange(epsilon, `${name} epsilon`, mode === 'automatic' ? { above: 0 } : { min: 0 }),
    by,
    ...(adapt === undefined ? {} : { adapt }),
    notFinite: oneOf(options.notFinite ?? 'throw', `${name} notFinite`, ['throw', 'drop']),
  })
}

/** Checks the option `clipping` of training. */
export function resolveClipping(value: unknown, optimizer: OptimizerSpec): NativeClipping | null {
  if (value === undefined) return null
  const path = 'clipping'
  const { kind, ...options } = record(value, path)
  oneOf(kind, joinPath(path, 'kind'), ['sampleClipping'])
  if (isMinimizer(optimizer.kind)) {
    throw optionError(path, `none with ${optimizer.kind}, which looks at the function more than once an update`, kind)
  }
  return clippingToNative(sampleClipping(options))
}

/** The core's form of a clipping. */
export function clippingToNative({
  threshold = 1,
  mode,
  epsilon,
  by,
  adapt,
  notFinite,
}: SampleClipping): NativeClipping {
  return {
    mode,
    byLayer: by === 'layer',
    thresholds: Float64Array.from(typeof threshold === 'number' ? [threshold] : threshold),
    epsilon,
    dropNotFinite: notFinite === 'drop',
    adapt: adaptationToNative(adapt),
  }
}
