import type { DType, FloatArray, ForeignOperator, NativeComputation, NativeOperator } from './native-types.js'

/*
 * The part of the mirror that is about spectra, stability and step sizes: native/binding/spectra.cpp and
 * native/binding/step_control.cpp.
 */

/** given: vectors in public order, one after the other, that are taken before random ones */
export type NativeProbes = { kind: 'signs' | 'normal'; seed: number; given: FloatArray | null }
/** Why a computation about a spectrum ended. */
export type SpectrumReason = 'converged' | 'maxProducts' | 'notFinite' | 'aborted'

export type NativeEigenpairs = {
  values: Float64Array
  residuals: Float64Array
  /** [values.length, n]; null where there are none */
  vectors: FloatArray | null
  reason: SpectrumReason
  products: number
  restarts: number
}
/** One entry a finished probe. */
export type NativeQuadrature = {
  nodes: Float64Array[]
  weights: Float64Array[]
  squaredNorms: Float64Array
  reason: SpectrumReason
  products: number
}
/** Samples zᵀBz and ‖Bz‖² with their means and the standard errors of these. */
export type NativeHutchinson = {
  traces: Float64Array
  trace: number
  traceError: number
  squares: Float64Array
  square: number
  squareError: number
  /** watch 'diagonal' only, as is its error */
  diagonal: FloatArray | null
  diagonalError: number
  reason: SpectrumReason
  products: number
}
export type NativeHutchPlusPlus = {
  trace: number
  standardError: number
  rangeTrace: number
  samples: Float64Array
  rank: number
  reason: SpectrumReason
  products: number
}
export type NativeSpectralNorm = {
  norm: number
  left: FloatArray
  right: FloatArray
  iterations: number
  reason: SpectrumReason
}
export type NativeNoise = {
  samples: Float64Array
  mean: number
  standardError: number
  reason: SpectrumReason
  products: number
}
export type NativeStability = {
  largestEigenvalue: number
  trace: number
  frobeniusNorm: number
  meanThreshold: number
  traceThreshold: number
  reason: SpectrumReason
  /** one a batch size; fewer where it was aborted */
  cases: { batchSize: number; noiseFactor: number; meanSquareThreshold: number; necessaryBound: number }[]
}
export type NativeRadiusOptions = {
  /** used where no update is given */
  stepLength: number
  target: number
  temperature: number
  quantile: number
  exactBinary: boolean
  /** slopes are along the update itself instead of its direction */
  alongUpdate: boolean
  /** every column is a sigmoid's logit */
  sigmoids: boolean
}
export type NativeRadius = {
  spread: number
  radius: number
  normalisedStep: number
  scale: number
  stepLength: number
  spreads: Float64Array
  /** with one or two columns and logits */
  binaryRadii: Float64Array | null
}
export type NativeAlignmentOptions = {
  /** [classes, inputs] */
  weight: FloatArray
  bias: FloatArray
  /** features [rows, inputs] */
  domains: { features: FloatArray; labels: Int32Array }[]
  penalty: 'hessianGradient' | 'hessianDiagonal'
  alpha: number
  beta: number
  /** random probes of the seed; 0 and no given ones: exact diagonals */
  probes: number
  seed: number
  given: Float64Array | null
  gradients: boolean
}
export type NativeAlignment = {
  loss: number
  gradientTerm: number
  hessianGradientTerm: number
  hessianDiagonalTerm: number
  value: number
  weight: FloatArray | null
  bias: FloatArray | null
  features: FloatArray[]
}

type AnyOperator = NativeOperator | ForeignOperator

export interface NativeSpectra {
  eigenpairs(
    operator: AnyOperator,
    dtype: DType,
    probes: NativeProbes,
    options: {
      count: number
      which: 'largest' | 'smallest' | 'magnitude'
      tolerance: number
      maxProducts: number
      /** 0: max(2 count + 20, 4 count) */
      subspace: number
    },
  ): NativeComputation<NativeEigenpairs>
  quadrature(
    operator: AnyOperator,
    dtype: DType,
    probes: NativeProbes,
    options: { probes: number; steps: number; reorthogonalise: boolean },
  ): NativeComputation<NativeQuadrature>
  /** mean over the probes of the sums of Gaussians at the nodes */
  spectralDensity(nodes: Float64Array[], weights: Float64Array[], variance: number, grid: Float64Array): Float64Array
  hutchinson(
    operator: AnyOperator,
    dtype: DType,
    probes: NativeProbes,
    options: {
      watch: 'trace' | 'frobenius' | 'diagonal'
      maxProbes: number
      minProbes: number
      /** 0: all probes */
      tolerance: number
    },
  ): NativeComputation<NativeHutchinson>
  hutchPlusPlus(
    operator: AnyOperator,
    dtype: DType,
    probes: NativeProbes,
    options: { products: number },
  ): NativeComputation<NativeHutchPlusPlus>
  spectralNorm(
    operator: AnyOperator,
    dtype: DType,
    probes: NativeProbes,
    options: { tolerance: number; maxIterations: number },
  ): NativeComputation<NativeSpectralNorm>
  curvatureNoise(
    operator: AnyOperator,
    dtype: DType,
    probes: NativeProbes,
    options: { count: number },
    batches: AnyOperator[],
  ): NativeComputation<NativeNoise>
  /** rows [samples * perSample, columns] */
  stability(
    rows: Float64Array,
    samples: number,
    perSample: number,
    columns: number,
    batchSizes: number[],
  ): NativeComputation<NativeStability>
  /** slopes and logits [rows, columns] */
  softmaxRadius(
    slopes: FloatArray,
    logits: FloatArray | null,
    columns: number,
    update: FloatArray | null,
    options: NativeRadiusOptions,
  ): NativeRadius
  hessianAlignment(options: NativeAlignmentOptions): NativeAlignment
}
