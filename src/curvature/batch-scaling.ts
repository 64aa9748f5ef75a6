import { arrayOf, checkKnownKeys, integerInRange, numberInRange } from '../internal/validate.js'

export type BatchScalingOptions = {
  /** λ, the largest eigenvalue of the whole set's curvature; at least 0. */
  readonly largestEigenvalue: number
  /** s² of batches of `noiseBatchSize`: the value of `curvatureNoise`. */
  readonly noise: number
  /** Batch size that the noise was measured at. */
  readonly noiseBatchSize: number
  /** N. */
  readonly sampleCount: number
  /** Batch sizes to predict, 1 to N. */
  readonly batchSizes: readonly number[]
  /** Heavy-ball momentum μ; default 0. */
  readonly momentum?: number
}

export type BatchScaling = {
  readonly batchSize: number
  /** s²(B). */
  readonly noise: number
  /** λ_B: that of a batch's curvature. */
  readonly largestEigenvalue: number
  /** 2 (1 + μ) / λ_B. */
  readonly learningRate: number
}

/**
 * Predicts from measured noise how the largest eigenvalue of a batch's curvature, and with it the largest learning rate
 * of SGD, depends on the batch size. The model is the standard additive one, H_B = H + E with E a Wigner matrix whose
 * spectrum is a semicircle of radius 2s:
 *
 *     s²(B) = s²(1) (N − B) / (B (N − 1)),   λ_B = λ + s²/λ for λ > s, else 2s,   η ≤ 2 (1 + μ) / λ_B
 *
 * So η grows like B while the noise dominates and saturates at 2 (1 + μ) / λ once s is well below λ. For adaptive methods
 * experiments suggest √B; this model does not say so.
 *
 * @throws KrylovError ERR_OPTION
 * @example batchScaling({ largestEigenvalue: 9, noise: 2.5, noiseBatchSize: 16, sampleCount: 5000, batchSizes: [16, 64] })
 *
 * The phenomenon: Granziol, Zohren & Roberts 2022 (arXiv 2006.09092); that its theorem has these formulas symbol by
 * symbol has not been checked. Eigenvalues of a matrix plus noise: Baik, Ben Arous & Péché 2005.
 */
export function batchScaling(options: BatchScalingOptions): readonly BatchScaling[] {
  const keys = ['largestEigenvalue', 'noise', 'noiseBatchSize', 'sampleCount', 'batchSizes', 'momentum']
  checkKnownKeys(options, keys, 'batchScaling options')
  const given = options as BatchScalingOptions
  const lambda = numberInRange(given.largestEigenvalue, 'batchScaling largestEigenvalue', { min: 0 })
  const noise = numberInRange(given.noise, 'batchScaling noise', { min: 0 })
  const samples = integerInRange(given.sampleCount, 'batchScaling sampleCount', { min: 2 })
  // Batches as large as the set have no noise to measure.
  const measured = integerInRange(given.noiseBatchSize, 'batchScaling noiseBatchSize', { min: 1, max: samples - 1 })
  const momentum = numberInRange(given.momentum ?? 0, 'batchScaling momentum', { min: 0, below: 1 })
  const sizes = arrayOf(
    given.batchSizes,
    'batchScaling batchSizes',
    (size, path) => integerInRange(size, path, { min: 1, max: samples }),
    { minLength: 1 },
  )
  const factor = (size: number): number => (samples - size) / (size * (samples - 1))
  const single = noise / factor(measured)
  return sizes.map((batchSize) => {
    const square = single * factor(batchSize)
    const largestEigenvalue = lambda > Math.sqrt(square) ? lambda + square / lambda : 2 * Math.sqrt(square)
    return { batchSize, noise: square, largestEigenvalue, learningRate: (2 * (1 + momentum)) / largestEigenvalue }
  })
}
