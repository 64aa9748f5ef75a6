/**
 * The typed mirror of the addon: exactly what `native/binding` exports, nothing
 * more. Specs arrive here resolved (every default filled in); the addon checks
 * every length, index and handle again.
 */
export type DType = 'float32' | 'float64'
export type FloatArray = Float32Array | Float64Array
export type InputArray = FloatArray | Uint8Array

export type NativeActivation = { kind: string; parameter: number }
export type NativeInitialiser = { kind: string; [option: string]: string | number }
export type NativeLayer =
  | {
      kind: 'dense'
      units: number
      bias: boolean
      activation: NativeActivation
      weightInitialiser: NativeInitialiser
      biasInitialiser: NativeInitialiser
    }
  | { kind: 'layerNorm'; epsilon: number }
  | { kind: 'dropout'; rate: number }
  | { kind: 'residual'; layers: NativeLayer[] }
export type NativeNetworkSpec = {
  inputs: number
  inputScale: number
  layers: NativeLayer[]
  heads: { name: string; layers: NativeLayer[] }[]
}
export type NativeLoss = {
  kind: 'meanSquaredError' | 'meanAbsoluteError' | 'huber' | 'binaryCrossEntropy' | 'softmaxCrossEntropy'
  delta: number
  outputs: 'mean' | 'sum'
  scale: number
  reduction: 'mean' | 'sum'
  normalizeWeights: boolean
  labelSmoothing: number
  classTargets: boolean
  classWeights: number[]
  weight: number
}
export type NativeSchedule =
  | { kind: 'constant'; value: number }
  | { kind: 'polynomial'; learningRate: number; endLearningRate: number; power: number; totalSteps: number }
  | { kind: 'cosine'; learningRate: number; minLearningRate: number; totalSteps: number }
  | { kind: 'warmup'; warmupSteps: number; startFactor: number; after: NativeSchedule }
  | { kind: 'sutskeverMomentum'; maxMomentum: number; period: number }
/** Every option of a rule by its public name: numbers as schedules, flags, words. */
export type NativeOptimizer = {
  kind: string
  numbers: { [name: string]: NativeSchedule }
  flags: { [name: string]: boolean }
  words: { [name: string]: string }
}
/** name: 'accuracy' | 'topK' | 'precision' | 'recall' | 'f1' | 'auc' | 'r2' | 'meanAbsoluteError' | 'meanSquaredError' | 'rootMeanSquaredError' */
export type NativeMetric = { name: string; k: number; average: 'macro' | 'micro' | 'binary'; threshold: number }
export type NativeHeadTask = { loss: NativeLoss; metrics: NativeMetric[] }

/** One entry a head, in the order of the spec. */
export type NativeTargets = { kind: 'classes'; data: Int32Array } | { kind: 'dense'; data: FloatArray; columns: number }
export type NativeDatasetSpec = {
  inputs: InputArray
  rows: number
  columns: number
  targets: NativeTargets[]
  sampleWeights: Float64Array | null
}
export type NativeTensorInfo = { name: string; shape: number[]; offset: number }

/** Optimizer state in public order, one array of parameterCount a name; what a resumed run needs besides the parameters. */
export type NativeTrainingState = {
  updates: number
  optimizer: { [name: string]: FloatArray }
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
}
export type NativeEndEvent = {
  type: 'end'
  reason: 'completed' | 'earlyStopped' | 'aborted' | 'notFinite'
  epochs: number
  updates: number
  bestEpoch: number
  /** notFinite: where it was seen first: 'loss' or a tensor's name */
  notFiniteIn: string
  trainSeconds: number
}
export type NativeEvent = NativeEpochEvent | NativeStepEvent | NativeEndEvent

export type NativeTrainOptions = {
  tasks: NativeHeadTask[]
  optimizer: NativeOptimizer
  batchSize: number
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
}
export type NativeStepResult = {
  loss: number
  headLosses: number[]
  lossPerSample: Float64Array
  learningRate: number
  updates: number
  finite: boolean
}

export interface NativeDataset {
  readonly rows: number
  readonly columns: number
  dispose(): void
}
export interface NativeModel {
  readonly parameterCount: number
  readonly tensors: NativeTensorInfo[]
  readonly heads: { name: string; width: number; squashed: boolean }[]
  readonly busy: boolean
  /** the published parameters while a run trains */
  getParameters(out: FloatArray): void
  setParameters(flat: FloatArray): void
  /** out: one array a head: [rows, width] of the model's dtype, or Int32Array [rows] for 'class'. probability: the losses' links by head ('softmax' | 'sigmoid' | 'identity'). */
  predict(
    inputs: InputArray,
    rows: number,
    columns: number,
    output: 'raw' | 'probability' | 'class',
    links: string[],
    out: (FloatArray | Int32Array)[],
  ): void
  predictAsync(
    dataset: NativeDataset,
    output: 'raw' | 'probability' | 'class',
    links: string[],
    threads: number,
  ): NativeTask<(FloatArray | Int32Array)[]>
  evaluateAsync(
    dataset: NativeDataset,
    tasks: NativeHeadTask[],
    l2: number,
    threads: number,
  ): NativeTask<NativeEvaluation>
  train(dataset: NativeDataset, options: NativeTrainOptions, onEvent: (event: NativeEvent) => void): NativeRun
  trainer(options: NativeTrainOptions): NativeTrainer
  linearize(batch: NativeDataset, tasks: NativeHeadTask[], l2: number): NativePoint
  dispose(): void
}
/** A promise with its own abort; settles with null when aborted. */
export type NativeTask<R> = { promise: Promise<R | null>; abort(): void }
export interface NativeRun {
  abort(): void
  /** after the end event only */
  state(): NativeTrainingState
}
export interface NativeTrainer {
  step(batch: NativeDataset): NativeStepResult
  state(): NativeTrainingState
  setState(state: NativeTrainingState): void
  dispose(): void
}
export interface NativePoint {
  readonly loss: number
  readonly headLosses: number[]
  readonly lossPerSample: Float64Array
  /** outputs of one head, [rows, width] */
  outputs(head: number): FloatArray
  gradient(out: FloatArray): void
  /** rows first..first+count of [N, P], public order */
  perSampleGradients(first: number, count: number, out: FloatArray): void
  perSampleGradientNorms(out: Float64Array): void
  /** tangents of one head's outputs along v: out [rows, width] a head */
  jvp(v: FloatArray, out: FloatArray[]): void
  /** J' u over all heads and samples: u [rows, width] a head, out [P] */
  vjp(u: FloatArray[], out: FloatArray): void
  dispose(): void
}
export interface NativeOptimizerObject {
  readonly updates: number
  readonly stateNames: string[]
  /** out receives the new parameters; may be the parameters' own array */
  step(parameters: FloatArray, gradients: FloatArray, out: FloatArray): void
  /** where the rule wants the next gradient (equals parameters for most) */
  evaluationPoint(parameters: FloatArray, out: FloatArray): void
  getState(name: string, out: FloatArray): void
  setState(name: string, values: FloatArray): void
  setUpdates(updates: number): void
}
export type NativeSystemInfo = {
  instructionSet: string
  availableInstructionSets: string[]
  /** what KRYLOV_ISA asked for when it could not be had; empty otherwise */
  isaNotice: string
  processor: string
  onlineProcessors: number
  availableProcessors: number
  defaultThreads: number
  openmp: string
  compiler: string
}
export interface NativeAddon {
  systemInfo(): NativeSystemInfo
  /** Errors of the addon become instances of this class, made as new errorClass(code, message, details). */
  setErrorClass(errorClass: new (code: string, message: string, details: Record<string, unknown>) => Error): void
  Model: new (spec: NativeNetworkSpec, dtype: DType, seed: number) => NativeModel
  Dataset: new (spec: NativeDatasetSpec) => NativeDataset
  Optimizer: new (spec: NativeOptimizer, size: number, dtype: DType) => NativeOptimizerObject
  scheduleValue(schedule: NativeSchedule, t: number): number
  /** shuffled 0..count-1 of the split stream */
  permutation(seed: number, epoch: number, count: number): Uint32Array
  /** for benchmarks */
  measurePeak(options: { threads: number; dtype: DType; milliseconds: number }): { gflops: number }
  measureBandwidth(options: { threads: number; megabytes: number }): { readGBs: number; writeGBs: number }
}
