/**
 * Krylov: training and curvature of small neural networks, in native code.
 *
 * This file is the public interface, with the index files of the folders that it takes in whole: what is exported in
 * neither is internal.
 */

export * from './curvature/index.js'
export type { Dataset, DatasetLike, DatasetNames, Split, SplitOptions } from './data/dataset.js'
export { splitData } from './data/dataset.js'
export type { CsvDatasetOptions } from './data/load.js'
export { datasetFromCsv, datasetFromIdx } from './data/load.js'
export type { Matrix, MatrixData, MatrixLike, MatrixOptions, RowLike } from './data/matrix.js'
export { toMatrix } from './data/matrix.js'
export type { ClassesLike, Targets, TargetsLike, WeightsLike } from './data/targets.js'
export * from './diagnosis/index.js'
export type { CsvClasses, CsvColumn, CsvNumbers, CsvOptions, CsvTable } from './formats/csv.js'
export { parseCsv, readCsv } from './formats/csv.js'
export type { Idx, IdxDtype } from './formats/idx.js'
export { parseIdx, readIdx } from './formats/idx.js'
export type { Checkpoint, LoadOptions, SaveOptions } from './formats/model-file.js'
export { loadCheckpoint, loadModel, save } from './formats/model-file.js'
export type { Safetensors, SafetensorsDtype, SafetensorsMetadata, SafetensorsTensor } from './formats/safetensors.js'
export {
  parseSafetensors,
  readSafetensors,
  safetensorsDtypes,
  serializeSafetensors,
  tensorFrom,
  tensorValues,
  writeSafetensors,
} from './formats/safetensors.js'
export * from './gradient/index.js'
export type { TypedArrayInput, TypedArrayOf } from './internal/arrays.js'
export type { ErrorCode, ErrorDetails } from './internal/errors.js'
export { errorCodes, isKrylovError, KrylovError } from './internal/errors.js'
export type { DType, FloatArray, SolveReason } from './internal/native.js'
export type {
  BinaryCrossEntropyOptions,
  HuberOptions,
  Link,
  Loss,
  LossKind,
  LossOption,
  MeanAbsoluteErrorOptions,
  MeanSquaredErrorOptions,
  SoftmaxCrossEntropyOptions,
} from './losses/losses.js'
export {
  binaryCrossEntropy,
  huber,
  meanAbsoluteError,
  meanSquaredError,
  softmaxCrossEntropy,
} from './losses/losses.js'
export type {
  Activation,
  ActivationName,
  ActivationOption,
  EluOptions,
  LeakyReluOptions,
  PlainActivationName,
  SoftplusOptions,
} from './model/activations.js'
export { activationNames, elu, leakyRelu, sign, softplus, step } from './model/activations.js'
export type {
  FanMode,
  GainOptions,
  HeOptions,
  Initialiser,
  InitialiserKind,
  InitialiserOption,
} from './model/initialisers.js'
export {
  filled,
  heNormal,
  heUniform,
  lecunNormal,
  lecunUniform,
  normal,
  orthogonal,
  sparse,
  torchLinear,
  truncatedNormal,
  uniform,
  xavierNormal,
  xavierUniform,
  zeros,
} from './model/initialisers.js'
export type {
  DenseLayer,
  DenseOptions,
  DropoutLayer,
  Layer,
  LayerNormLayer,
  LayerNormOptions,
  LayerOption,
  ResidualLayer,
} from './model/layers.js'
export { dense, dropout, layerNorm, residual } from './model/layers.js'
export type {
  AnyModel,
  OutputInfo,
  OutputKind,
  PredictAsyncOptions,
  Prediction,
  Predictions,
  PredictOptions,
  TensorInfo,
} from './model/model.js'
export { createModel, Model } from './model/model.js'
export type { ModelOptions, ModelSpec, Task } from './model/spec.js'
export type { Surrogate, SurrogateOptions } from './model/surrogates.js'
export { surrogates } from './model/surrogates.js'
export * from './multitask/index.js'
export * from './optimizers/index.js'
export type { ChartOptions, LegendKind, Series } from './report/figure.js'
export { renderChart, writeChart } from './report/figure.js'
export type { ImagesOptions } from './report/images.js'
export { renderImages, writeImages } from './report/images.js'
export type { DescribedModel, ReportEpoch, ReportHistory, ReportOptions } from './report/report.js'
export { renderReport, writeReport } from './report/report.js'
export * from './samples/index.js'
export * from './sampling/index.js'
export * from './solvers/index.js'
export type { SystemInfo } from './system.js'
export { systemInfo } from './system.js'
export type { EvaluateOptions } from './training/evaluate.js'
export { evaluate } from './training/evaluate.js'
export type { EpochRecord, History, StepNumbers, StepRecord, StepWords, TrainReason } from './training/history.js'
export type { Average, Metric, MetricName, MetricOption } from './training/metrics.js'
export type {
  MinimizeIteration,
  MinimizeOptions,
  MinimizeProblem,
  MinimizeReason,
  MinimizeResult,
} from './training/minimize.js'
export { minimize, minimizeSync } from './training/minimize.js'
export type { MinimizeState } from './training/minimize-state.js'
export type { EarlyStoppingOptions, StepOptions, TrainOptions } from './training/options.js'
export type {
  DifferentialPrivacy,
  DifferentialPrivacyOption,
  DifferentialPrivacyOptions,
  PrivacyRecord,
} from './training/privacy.js'
export { differentialPrivacy } from './training/privacy.js'
export type {
  GradientRecord,
  GradientRecordOptions,
  LayerGradientRecord,
  RecordOptions,
  StabilityRecord,
  StabilityRecordOptions,
} from './training/record.js'
export type { TrainingState } from './training/state.js'
export type { SoftmaxRadiusControlOptions, StepSize, StepSizeOption } from './training/step-size.js'
export { softmaxRadiusControl } from './training/step-size.js'
export type {
  Evaluation,
  HeadEvaluation,
  HeadLosses,
  HeadMetrics,
  TrainingData,
  WeightedLoss,
} from './training/tasks.js'
export { train } from './training/train.js'
export { TrainRun } from './training/train-run.js'
export type { StepResult, TrainerOptions, TrainerStepOptions } from './training/trainer.js'
export { createTrainer, Trainer } from './training/trainer.js'
