import type { TaskMethod } from '../multitask/methods.js'
import type { SpectrumReason } from './native-spectra-types.js'
import type { FloatArray, NativeDataset, NativeHeadTask, NativeOptimizer } from './native-types.js'

/** Training as the addon takes and tells it: states, records, stages, options. */

/** Optimizer state in public order, one array of parameterCount a name; what a resumed run needs besides the parameters. */
export type NativeTrainingState = {
  updates: number
  optimizer: { [name: string]: FloatArray }
  /** of a minimizer: its scalars, and arrays that are not by parameter */
  numbers: { [name: string]: number }
  plain: { [name: string]: Float64Array }
  epoch: number
  position: number
  seed: number
  lossSum: number
  weightSum: number
}
export type NativeEvaluation = { loss: number; heads: { loss: number; metrics: number[] }[] }
export type NativeEpochEvent = {
  type: 'epoch'
  epoch: number
  updates: number
  loss: number
  learningRate: number
  /** compute seconds of this epoch's steps alone, and of its validation */
  trainSeconds: number
  validationSeconds: number
  samples: number
  validation: NativeEvaluation | null
  /** true where this epoch is the best so far by the monitored value */
  best: boolean
  step: NativeStepNumbers | null
  stability: NativeStabilityRecord | null
}
/** Curvature at the end of an epoch; seed: of its random vectors. */
export type NativeStabilityRecord = {
  largestEigenvalue: number
  residual: number
  trace: number
  traceError: number
  reason: SpectrumReason
  samples: number
  iterations: number
  probes: number
  seed: number
  seconds: number
}
/** What a minimizer tells of an update. */
export type NativeStepNumbers = {
  numbers: { [name: string]: number }
  words: { [name: string]: string }
  /** of the newest update that was measured */
  gradients: NativeGradientSummary | null
}
/** NaN: undefined there. */
export type NativeGradientSummary = {
  update: number
  samples: number
  norm: number
  meanSampleNorm: number
  largestSampleNorm: number
  variance: number
  squaredGradient: number
  noiseScale: number
  averagedNoiseScale: number
  meanCosine: number
  stepCosine: number
  layers: { name: string; norm: number; meanSampleNorm: number; largestSampleNorm: number }[]
}
export type NativeStepEvent = {
  type: 'step'
  epoch: number
  updates: number
  position: number
  samples: number
  loss: number
  learningRate: number
  seconds: number
  step: NativeStepNumbers | null
}
export type NativeEndEvent = {
  type: 'end'
  /** failed: memory ran out */
  reason: 'completed' | 'earlyStopped' | 'aborted' | 'notFinite' | 'failed'
  epochs: number
  updates: number
  bestEpoch: number
  /** notFinite: where it was seen first: 'loss' or a tensor's name */
  notFiniteIn: string
  /** why a minimizer was done before the epochs were, or nothing */
  converged: string
  trainSeconds: number
}
export type NativeEvent = NativeEpochEvent | NativeStepEvent | NativeEndEvent | NativeWeightsEvent

/** Factors on the gradients of single samples, by their norms. */
export type NativeClipping = {
  mode: 'clip' | 'automatic' | 'global'
  byLayer: boolean
  /** one, or by layer one for each with parameters */
  thresholds: Float64Array
  epsilon: number
  /** samples whose loss or gradient is not finite are left out */
  dropNotFinite: boolean
  /** null: the thresholds stay as they are */
  adapt:
    | { kind: 'quantile'; quantile: number; rate: number; min: number; max: number }
    | { kind: 'layerStatistics'; decay: number; kappaFirst: number; kappaLast: number }
    | null
}
/** Noise of differentially private steps over Poisson samples; with clipping. */
export type NativePrivacy = {
  /** what a step is accounted with */
  noiseMultiplier: number
  /** of the gradients: more, where counts are told as well */
  gradientNoise: number
  countNoise: number
  sampleRate: number
  /** what sums are divided by */
  expectedRows: number
  seed: number
}
/** How batches are drawn. */
export type NativeSampling =
  | { kind: 'shuffled' | 'replacement' }
  /** rate: 0 for batch size over rows */
  | { kind: 'poisson'; rate: number }
  /** one a row of the data */
  | { kind: 'weighted'; probabilities: Float64Array; unbiased: boolean }
  | { kind: 'history'; unbiased: boolean }
  /** startThreshold: null by the cost of the pool */
  | {
      kind: 'importance'
      by: 'upperBound' | 'gradientNorm' | 'loss'
      presample: number
      smoothing: number
      smoothingFraction: number
      startThreshold: number | null
      biasPower: number
    }
/** The softmax radius; head: its name, or empty for all with a loss on logits. */
export type NativeStepSize = {
  target: number
  temperature: number
  quantile: number
  exactBinary: boolean
  head: string
}
/** What a rule of sample weights looks at, one number a sample. */
export type NativeWeightFigures = {
  losses: Float64Array | null
  probabilities: Float64Array | null
  complements: Float64Array | null
  confidences: Float64Array | null
  alignments: Float64Array | null
}
/** What a step wants weights for; epoch: 0 for a trainer's step. */
export type NativeWeightRequest = {
  losses: Float64Array
  probabilities: Float64Array | null
  updates: number
  epoch: number
}
/** The run waits until it is answered, during the event. */
export type NativeWeightsEvent = { type: 'weights'; request: NativeWeightRequest }
export type NativeLabelFigures = {
  probabilities: Float64Array
  complements: Float64Array
  losses: Float64Array
  confidences: Float64Array
}
/** A transformation of the batch's gradient; its options by their public names, except: */
export type NativeGradientTransform =
  | { kind: 'clipByValue'; limit: number }
  | { kind: 'clipByGlobalNorm'; maxNorm: number; epsilon: number }
  /** listed: indices of tensors, one array a group */
  | {
      kind: 'clipByLayerNorm'
      maxNorm: number
      epsilon: number
      groups: 'tensor' | 'layer' | 'listed'
      listed: Uint32Array[]
    }
  | { kind: 'adaptiveClip'; clipping: number; epsilon: number; exclude: Uint32Array }
  /** window: 0 for all */
  | { kind: 'autoClip'; percentile: number; window: number }
  | { kind: 'asymmetricSmoothing'; decayPositive: number; decayNegative: number; biasCorrection: boolean }
  | { kind: 'lowRankFilter'; rank: number; decay: number; refresh: number; warmup: number; residual: number }
  | { kind: 'directionalBias'; decay: number; parallel: number; perpendicular: number; scope: 'tensor' | 'global' }
/** What a chain of them remembers, by place and name: arrays by parameter, and others. */
export type NativeGradientChainState = {
  updates: number
  values: { [name: string]: FloatArray }
  arrays: { [name: string]: Float64Array }
}
export interface NativeGradientChain {
  readonly updates: number
  readonly needsParameters: boolean
  /** parameters: null where none are needed; out may be the gradients' own array. smallestFactor: NaN for none */
  apply(
    gradients: FloatArray,
    parameters: FloatArray | null,
    out: FloatArray,
  ): { finite: boolean; normBefore: number; normAfter: number; smallestFactor: number }
  state(): NativeGradientChainState
  setState(state: NativeGradientChainState): void
}
export type NativeTrainOptions = {
  tasks: NativeHeadTask[]
  optimizer: NativeOptimizer
  batchSize: number
  /** minimizers: rows of a curvature chunk; 0: the batch's own rows, or the core's default for large batches */
  curvatureBatchSize: number
  clipping: NativeClipping | null
  privacy: NativePrivacy | null
  stepSize: NativeStepSize | null
  /** of train; null: shuffled epochs */
  sampling: NativeSampling | null
  /** a chain in order; absent or null: none */
  gradient?: NativeGradientTransform[] | null
  /** the heads' gradients made into one */
  multitask: TaskMethod | null
  /** a rule as an optimizer's, or of kind 'function': weights are asked for */
  weights: NativeOptimizer | null
  epochs: number
  shuffle: boolean
  seed: number
  threads: number
  l2: number
  /** step events after every n-th update; 0: none. Coalesced: a listener that is behind gets the newest only. */
  stepEvery: number
  validation: NativeDataset | null
  /** rows of the training set, in order; null: all. For validation splits. */
  rows: Uint32Array | null
  validationRows: Uint32Array | null
  earlyStopping: {
    head: number
    metric: number
    maximize: boolean
    patience: number
    minDelta: number
    restoreBest: boolean
  } | null
  state: NativeTrainingState | null
  /** of train: what is recorded of the curvature after every n-th epoch; absent: nothing */
  stability?: NativeStabilityOptions
  /** of train with update rules: measures every n-th update; beta: of the averaged noise scale; absent: nothing */
  gradients?: { every: number; beta: number }
}
export type NativeStabilityOptions = {
  every: number
  samples: number
  curvature: 'ggn' | 'hessian'
  tolerance: number
  iterations: number
  probes: number
}
export type NativeStepResult = {
  loss: number
  headLosses: number[]
  lossPerSample: Float64Array
  learningRate: number
  updates: number
  finite: boolean
  /** of a minimizer */
  accepted: boolean
  converged: string
  /** null: nothing to tell */
  step: NativeStepNumbers | null
}
