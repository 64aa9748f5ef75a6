import type { NativeDiagnosis } from './native-diagnosis-types.js'
import type { NativeEstimates } from './native-estimates-types.js'
import type { NativePerSample } from './native-per-sample-types.js'
import type { NativePoint } from './native-point-types.js'
import type { NativeSaliency } from './native-saliency-types.js'
import type { NativeSpectra } from './native-spectra-types.js'
import type { NativeSurrogate, NativeTangentKernels } from './native-tangent-kernel-types.js'
import type { NativeTaskGradients } from './native-task-types.js'
import type {
  NativeEvaluation,
  NativeEvent,
  NativeGradientChain,
  NativeGradientTransform,
  NativeLabelFigures,
  NativeStepNumbers,
  NativeStepResult,
  NativeTrainingState,
  NativeTrainOptions,
  NativeWeightFigures,
  NativeWeightRequest,
} from './native-training-types.js'

/**
 * The typed mirror of the addon: exactly what `native/binding` exports, nothing
 * more. Specs arrive here resolved (every default filled in); the addon checks
 * every length, index and handle again.
 */
export type DType = 'float32' | 'float64'
export type FloatArray = Float32Array | Float64Array
export type InputArray = FloatArray | Uint8Array

export type NativeActivation = { kind: string; parameter: number; surrogate?: NativeSurrogate }
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

/** Which of the requests of a minimization are answered: x -> value (source 0), value and gradient (1), nothing, but x is the place of the products (2), v -> hessian (3) and ggn product (4), x -> residuals (5), x -> their jacobian (6). */
export type NativeFunctionSources = {
  value: boolean
  gradient: boolean
  hessian: boolean
  ggn: boolean
  residualCount: number
}
export type NativeUpdate = NativeStepNumbers & {
  outcome: 'updated' | 'converged' | 'stopped' | 'notFinite'
  /** at the start of the update */
  loss: number
  learningRate: number
  accepted: boolean
  converged: string
}
/** What a minimization depends on besides x: its optimizer's state, f at x where it is known. */
export type NativeMinimizationState = Pick<NativeTrainingState, 'updates' | 'optimizer' | 'numbers' | 'plain'> & {
  evaluations: number
  value: number | null
  /** the gradient to come repeats one that is counted */
  gradientKnown: boolean
}
export interface NativeMinimization {
  /** a computation at a time */
  update(): NativeComputation<NativeUpdate>
  /** the value at x */
  evaluate(): NativeComputation<number>
  state(): NativeMinimizationState
  /** before the first update */
  setState(state: NativeMinimizationState): void
  x(): FloatArray
  readonly updates: number
  readonly evaluations: number
  dispose(): void
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
  linearize(batch: NativeDataset, tasks: NativeHeadTask[], l2: number, batchSize: number): NativePoint
  dispose(): void
}
/** A promise with its own abort; settles with null when aborted. */
export type NativeTask<R> = { promise: Promise<R | null>; abort(): void }
export interface NativeRun {
  abort(): void
  /** during a weights event only */
  answerWeights(weights: Float64Array): void
  /** after the end event only */
  state(): NativeTrainingState
}
export interface NativeTrainer {
  /** curvature: rows of its own for a minimizer, or null; weights: called where they are asked for */
  step(
    batch: NativeDataset,
    curvature: NativeDataset | null,
    weights: ((request: NativeWeightRequest) => Float64Array) | null,
  ): NativeStepResult
  state(): NativeTrainingState
  setState(state: NativeTrainingState): void
  dispose(): void
}
/** What a computation wants to know; it goes on when it is answered. */
export type NativeRequest = {
  /** which function, as numbered by who started the computation */
  source: number
  /** a copy, in public order */
  input: FloatArray | null
  /** elements wanted; 0: none, only a value */
  outputLength: number
  /** what is told along with the input */
  numbers: number[]
}
/** A solver or optimizer that is driven from outside. */
export interface NativeComputation<R> {
  /** goes on until it asks or has finished: null */
  advance(): NativeRequest | null
  /** the same on the compute thread */
  advanceAsync(): Promise<NativeRequest | null>
  /** output: of the dtype, outputLength elements; null where none is wanted, or after an abort */
  answer(output: FloatArray | null, value: number): void
  /** it ends at its next product, and still has to be advanced to its end */
  abort(): void
  /** after the end only */
  result(): R
  dispose(): void
}
export interface NativeOperator {
  readonly rows: number
  readonly columns: number
  readonly dtype: DType
  /** out [rows] = B v; apart from v */
  matvec(v: FloatArray, out: FloatArray): void
  matvecTransposed(u: FloatArray, out: FloatArray): void
  /** vectors [count, columns], out [count, rows] */
  matmat(vectors: FloatArray, count: number, out: FloatArray): void
  dispose(): void
}
/** An operator that JavaScript applies: the numbers of its functions, -1 for none. */
export type ForeignOperator = { rows: number; columns: number; source: number; transposedSource: number }
export type NativeIteration = { iteration: number; solution: FloatArray }
export type NativeSolveResult = {
  solution: FloatArray
  reason: SolveReason
  iterations: number
  products: number
  productSeconds: number
  residualNorm: number
  quadratic: number
  direction: FloatArray | null
  curvature: number
  stored: NativeIteration[]
  pairs: { s: FloatArray; y: FloatArray }[]
}
export type SolveReason =
  | 'converged'
  | 'progress'
  | 'maxIterations'
  | 'negativeCurvature'
  | 'boundary'
  | 'leastSquares'
  | 'singular'
  | 'preconditioner'
  | 'notFinite'
  | 'aborted'
export type NativeConjugateGradientOptions = {
  tolerance: number
  absoluteTolerance: number
  maxIterations: number
  progressTolerance: number
  progressWindow: number
  progressFraction: number
  shift: number
  radius: number
  onNegativeCurvature: 'stop' | 'absolute'
  recomputeEvery: number
  storeGrowth: number
  storeFirst: number
  /** pairs kept; 0: none */
  collectHistory: number
  collectChoice: 'spread' | 'last'
}
export type NativeMinresOptions = {
  tolerance: number
  absoluteTolerance: number
  leastSquaresTolerance: number
  maxIterations: number
  shift: number
  stopAtNegativeCurvature: boolean
  inexactness: number
}
export type NativeLeastSquaresOptions = {
  tolerance: number
  absoluteTolerance: number
  maxIterations: number
  damping: number
}
export type NativeLanczosOptions = { steps: number; keepBasis: boolean; reorthogonalise: boolean }
export type NativeLanczosResult = {
  alpha: Float64Array
  beta: Float64Array
  lastBeta: number
  /** [alpha.length, size] */
  basis: FloatArray | null
  ritzValues: Float64Array
  ritzResiduals: Float64Array
  reason: SolveReason
  products: number
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
export interface NativeAddon
  extends NativeSpectra,
    NativeDiagnosis,
    NativeEstimates,
    NativeSaliency,
    NativePerSample,
    NativeTangentKernels,
    NativeTaskGradients {
  systemInfo(): NativeSystemInfo
  /** Errors of the addon become instances of this class, made as new errorClass(code, message, details). */
  setErrorClass(errorClass: new (code: string, message: string, details: Record<string, unknown>) => Error): void
  Model: new (spec: NativeNetworkSpec, dtype: DType, seed: number) => NativeModel
  Dataset: new (spec: NativeDatasetSpec) => NativeDataset
  /** shapes: the sides of every tensor */
  GradientChain: new (
    specs: NativeGradientTransform[],
    shapes: Uint32Array[],
    dtype: DType,
  ) => NativeGradientChain
  Optimizer: new (spec: NativeOptimizer, size: number, dtype: DType) => NativeOptimizerObject
  Minimization: new (optimizer: NativeOptimizer, x0: FloatArray, sources: NativeFunctionSources) => NativeMinimization
  scheduleValue(schedule: NativeSchedule, t: number): number
  /** logits [rows, width], labels [rows] */
  labelFigures(logits: Float64Array, width: number, labels: Int32Array): NativeLabelFigures
  /** null: all are 0 and were to be divided by their mean */
  sampleWeights(rule: NativeOptimizer, t: number, figures: NativeWeightFigures): Float64Array | null
  /** shuffled 0..count-1 of the split stream */
  permutation(seed: number, epoch: number, count: number): Uint32Array
  /** mix (s + smoothing) / sum + (1 - mix) / B */
  samplingProbabilities(scores: Float64Array, mix: number, smoothing: number): Float64Array<ArrayBuffer>
  /** scores: null where power is 1 */
  importanceWeights(
    probabilities: Float64Array,
    picked: Uint32Array,
    scores: Float64Array | null,
    power: number,
  ): Float64Array<ArrayBuffer>
  varianceReduction(probabilities: Float64Array): number
  /** figures of an epoch, -1 for unseen; changed and returned */
  recordHistory<F extends Float64Array>(figures: F, index: Uint32Array, records: Float64Array): F
  /** [rows, columns], row-major */
  denseOperator(matrix: FloatArray, rows: number, columns: number): NativeOperator
  diagonalOperator(diagonal: FloatArray): NativeOperator
  /** sum of coefficients[i] operators[i], and shift I */
  sumOperator(operators: NativeOperator[], coefficients: Float64Array, shift: number): NativeOperator
  /** U diag(weights) U', U = factor [rows, weights.length] */
  lowRankOperator(factor: FloatArray, weights: Float64Array, rows: number): NativeOperator
  blockDiagonalOperator(operators: NativeOperator[]): NativeOperator
  /** out = a x + b y; out may be x or y */
  combine(a: number, x: FloatArray, b: number, y: FloatArray, out: FloatArray): FloatArray
  /** observer: the source that is told of each iterate { iteration, residualNorm, quadratic, alpha, beta, curvature }, or -1 */
  conjugateGradient(
    operator: NativeOperator | ForeignOperator,
    rhs: FloatArray,
    initial: FloatArray | null,
    preconditioner: NativeOperator | ForeignOperator | null,
    options: NativeConjugateGradientOptions,
    observer: number,
  ): NativeComputation<NativeSolveResult>
  minres(
    operator: NativeOperator | ForeignOperator,
    rhs: FloatArray,
    initial: null,
    preconditioner: NativeOperator | ForeignOperator | null,
    options: NativeMinresOptions,
    observer: number,
  ): NativeComputation<NativeSolveResult>
  leastSquares(
    operator: NativeOperator | ForeignOperator,
    rhs: FloatArray,
    initial: FloatArray | null,
    options: NativeLeastSquaresOptions,
    observer: number,
  ): NativeComputation<NativeSolveResult>
  lanczos(
    operator: NativeOperator | ForeignOperator,
    start: FloatArray,
    options: NativeLanczosOptions,
  ): NativeComputation<NativeLanczosResult>
  /** for benchmarks */
  measurePeak(options: { threads: number; dtype: DType; milliseconds: number }): { gflops: number }
  measureBandwidth(options: { threads: number; megabytes: number }): { readGBs: number; writeGBs: number }
}
