/**
 * Krylov: training and curvature of small neural networks, in native code.
 *
 * This file is the public interface: what is not exported here is internal.
 */

export type { ByHead, FloatMatrix, LinearizeOptions, PerSampleOptions } from './curvature/linearize.js'
export { LinearizedPoint, linearize } from './curvature/linearize.js'
export type { Dataset, DatasetLike, DatasetNames, Split, SplitOptions } from './data/dataset.js'
export { splitData } from './data/dataset.js'
export type { CsvDatasetOptions } from './data/load.js'
export { datasetFromCsv, datasetFromIdx } from './data/load.js'
export type { Matrix, MatrixData, MatrixLike, MatrixOptions, RowLike } from './data/matrix.js'
export { toMatrix } from './data/matrix.js'
export type { ClassesLike, Targets, TargetsLike, WeightsLike } from './data/targets.js'
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
export type { TypedArrayInput, TypedArrayOf } from './internal/arrays.js'
export type { ErrorCode, ErrorDetails } from './internal/errors.js'
export { errorCodes, isKrylovError, KrylovError } from './internal/errors.js'
export type { DType, FloatArray } from './internal/native.js'
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
export { activationNames, elu, leakyRelu, softplus } from './model/activations.js'
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
export type { Adam, AdamOptions } from './optimizers/adam.js'
export { adam } from './optimizers/adam.js'
export type { AdamW, AdamWOptions } from './optimizers/adamw.js'
export { adamw } from './optimizers/adamw.js'
export type { ClassicalMomentum, ClassicalMomentumOptions, NesterovPlace } from './optimizers/classical-momentum.js'
export { classicalMomentum } from './optimizers/classical-momentum.js'
export type { CreateOptimizerOptions, OptimizerState, Shapes } from './optimizers/create-optimizer.js'
export { createOptimizer, Optimizer } from './optimizers/create-optimizer.js'
export type { OptimizerKind, OptimizerOption, OptimizerSpec } from './optimizers/registry.js'
export { optimizerKinds } from './optimizers/registry.js'
export type {
  ConstantOptions,
  CosineOptions,
  LinearOptions,
  PolynomialOptions,
  Schedule,
  ScheduleOption,
  SutskeverMomentumOptions,
  TotalSteps,
  WarmupOptions,
} from './optimizers/schedule.js'
export {
  constant,
  cosine,
  linear,
  polynomial,
  scheduleValue,
  sutskeverMomentum,
  warmup,
} from './optimizers/schedule.js'
export type { Sgd, SgdOptions } from './optimizers/sgd.js'
export { sgd } from './optimizers/sgd.js'
export type { DescribedModel, ReportEpoch, ReportHistory, ReportOptions } from './report/report.js'
export { renderReport, writeReport } from './report/report.js'
export type { SystemInfo } from './system.js'
export { systemInfo } from './system.js'
export type { EvaluateOptions } from './training/evaluate.js'
export { evaluate } from './training/evaluate.js'
export type { EpochRecord, History, StepRecord, TrainReason } from './training/history.js'
export type { Average, Metric, MetricName, MetricOption } from './training/metrics.js'
export type { EarlyStoppingOptions, StepOptions, TrainOptions } from './training/options.js'
export type { TrainingState } from './training/state.js'
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
export type { StepResult, TrainerOptions } from './training/trainer.js'
export { createTrainer, Trainer } from './training/trainer.js'
