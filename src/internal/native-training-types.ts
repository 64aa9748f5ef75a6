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
export type NativeStepNumbers = { numbers: { [name: string]: number }; words: { [name: string]: string } }
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
export type NativeEvent = NativeEpochEvent | NativeStepEvent | NativeEndEvent

/** Factors on the gradients of single samples, by their norms. */
export type NativeClipping = {
  mode: 'clip' | 'automatic' | 'global'
  byLayer: boolean
  /** one, or by layer one for each with parameters */
  thresholds: Float64Array
  epsilon: number
}
/** The softmax radius; head: its name, or empty for all with a loss on logits. */
export type NativeStepSize = {
  target: number
  temperature: number
  quantile: number
  exactBinary: boolean
  head: string
}
export type NativeTrainOptions = {
  tasks: NativeHeadTask[]
  optimizer: NativeOptimizer
  batchSize: number
  /** minimizers: rows of a curvature chunk; 0: the batch's own rows, or the core's default for large batches */
  curvatureBatchSize: number
  clipping: NativeClipping | null
  stepSize: NativeStepSize | null
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
