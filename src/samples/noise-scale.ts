import { notFiniteError } from '../internal/errors.js'
import { checkKnownKeys, integerInRange, numberInRange, record } from '../internal/validate.js'

/**
 * The gradient noise scale tr Σ / ‖G‖², G the true gradient and Σ the covariance of one sample's, estimated on one batch;
 * NaN where a single sample or a gradient of 0 leaves it undefined.
 */
export type NoiseScale = {
  /** tr Σ: (m − q) / (1 − 1/N), with m the mean of ‖gᵢ‖² and q = ‖ḡ‖². */
  readonly traceUnbiased: number
  /** ‖G‖²: (N q − m) / (N − 1), the mean of gᵢ · gⱼ over i ≠ j; may be negative. */
  readonly squaredGradientUnbiased: number
  /** Their ratio; itself not unbiased. */
  readonly simpleUnbiased: number
  /** (m − q) / q. */
  readonly simplePlain: number
}

/** Inner-product statistics of a batch's gradients. ḡ is their mean; nothing of l2 is in them. */
export type GradientStatistics = {
  /** ‖gᵢ‖² (N). */
  readonly squaredNorms: Float64Array
  /** m, their mean. */
  readonly meanSquaredNorm: number
  /** q = ‖ḡ‖². */
  readonly squaredMeanNorm: number
  /** gᵢ · ḡ (N). */
  readonly dotWithMean: Float64Array
  /** Its cosine (N); 0 where gᵢ or ḡ is 0. */
  readonly cosineWithMean: Float64Array
  readonly noiseScale: NoiseScale
  /** Σ ‖gᵢ‖² / ‖Σ gᵢ‖². */
  readonly gradientDiversity: number
  /** Its inverse, 0 to N: how many samples pull alike (m-coherence). */
  readonly coherence: number
  /** Σ ‖gᵢ − ḡ‖² / (N (N − 1) q): above θ² the norm test asks for a larger batch. */
  readonly normTest: number
  /** Σ (gᵢ · ḡ − q)² / (N (N − 1) q²): above θ² the inner-product test does. */
  readonly innerProductTest: number
}

/** The noise scale over steps, plain data: the next `averageNoiseScale` takes it. */
export type NoiseScaleAverage = {
  readonly updates: number
  /** Moving averages, corrected for their start at 0. */
  readonly trace: number
  readonly squaredGradient: number
  /** trace / squaredGradient; undefined while the averaged squaredGradient is not positive. */
  readonly noiseScale: number | undefined
}

export type NoiseScaleAverageOptions = {
  /** Weight of the past, at least 0 and below 1; default 0.99. */
  readonly beta?: number
}

/**
 * Averages the noise scale over steps. Numerator and denominator are unbiased and averaged separately, by moving averages
 * a ← β a + (1 − β) x divided by 1 − βᵗ, and then divided: the ratio of one batch is too noisy to be of use.
 *
 * @param estimate of this step, `point.gradientStatistics().noiseScale`
 * @param previous what the step before returned; none at the first
 * @throws KrylovError ERR_OPTION; ERR_NOT_FINITE for the estimate of a single sample
 * @example average = averageNoiseScale(point.gradientStatistics().noiseScale, average)
 *
 * McCandlish, Kaplan, Amodei et al. 2018 (arXiv 1812.06162), appendix A.1.
 */
export function averageNoiseScale(
  estimate: Pick<NoiseScale, 'traceUnbiased' | 'squaredGradientUnbiased'>,
  previous?: NoiseScaleAverage,
  options: NoiseScaleAverageOptions = {},
): NoiseScaleAverage {
  checkKnownKeys(options, ['beta'], 'averageNoiseScale options')
  const beta = numberInRange((options as NoiseScaleAverageOptions).beta ?? 0.99, 'averageNoiseScale beta', {
    min: 0,
    below: 1,
  })
  const given = record(estimate, 'averageNoiseScale estimate')
  const past = previous === undefined ? undefined : record(previous, 'averageNoiseScale previous')
  const updates =
    past === undefined ? 0 : integerInRange(past.updates, 'averageNoiseScale previous.updates', { min: 1 })
  // Of the corrected averages: the past weighs β (1 − βᵗ⁻¹) of 1 − βᵗ.
  const whole = 1 - beta ** (updates + 1)
  const next = (key: 'trace' | 'squaredGradient', value: unknown): number => {
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw notFiniteError(
        `averageNoiseScale estimate.${key}Unbiased`,
        'a finite number, of two samples or more',
        value,
      )
    }
    const before = past === undefined ? 0 : numberInRange(past[key], `averageNoiseScale previous.${key}`)
    return before + ((1 - beta) / whole) * (value - before)
  }
  const trace = next('trace', given.traceUnbiased)
  const squaredGradient = next('squaredGradient', given.squaredGradientUnbiased)
  const noiseScale = squaredGradient > 0 ? trace / squaredGradient : undefined
  return { updates: updates + 1, trace, squaredGradient, noiseScale }
}
