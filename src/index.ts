/**
 * Krylov: training and curvature of small neural networks, in native code.
 *
 * This file is the public interface: what is not exported here is internal.
 */

export type { BatchScaling, BatchScalingOptions } from './curvature/batch-scaling.js'
export { batchScaling } from './curvature/batch-scaling.js'
export type { DiagonalKind, DiagonalOptions, SampleOptions } from './curvature/diagonals.js'
export type { AlignmentDomain, HessianAlignment, HessianAlignmentOptions } from './curvature/hessian-alignment.js'
export { hessianAlignment } from './curvature/hessian-alignment.js'
export type { KroneckerFactor } from './curvature/kronecker.js'
export type { LinearOperator, OperatorTag } from './curvature/linear-operator.js'
export { matmat, NativeLinearOperator } from './curvature/linear-operator.js'
export type { ByHead, FloatMatrix, LinearizeOptions, PerSampleOptions } from './curvature/linearize.js'
export { LinearizedPoint, linearize } from './curvature/linearize.js'
export type {
  DenseOperatorOptions,
  DiagonalOperatorOptions,
  FunctionOperatorOptions,
  IdentityOperatorOptions,
  LowRankOperatorOptions,
  OperatorFunction,
} from './curvature/operators.js'
export {
  blockDiagonalOperator,
  damped,
  denseOperator,
  diagonalOperator,
  functionOperator,
  identityOperator,
  lowRankOperator,
  scaledOperator,
  shiftedOperator,
  sumOperator,
} from './curvature/operators.js'
export type {
  DiagonalPreconditionerOptions,
  KfacPreconditionerOptions,
  SecantPair,
} from './curvature/preconditioners.js'
export { diagonalPreconditioner, kfacPreconditioner, lbfgsPreconditioner } from './curvature/preconditioners.js'
export type { ProbeDistribution, ProbeOptions, ProbesOption } from './curvature/probes.js'
export type {
  RadiusOptions,
  SlopesRadiusOptions,
  SoftmaxRadius,
  SoftmaxRadiusOptions,
} from './curvature/softmax-radius.js'
export { softmaxRadius, softmaxRadiusOfSlopes } from './curvature/softmax-radius.js'
export type {
  Eigenpairs,
  EigenpairsOptions,
  SpectralDensity,
  SpectralDensityOptions,
  SpectrumReason,
} from './curvature/spectrum.js'
export { eigenpairs, eigenpairsSync, spectralDensity, spectralDensitySync } from './curvature/spectrum.js'
export type {
  CurvatureNoiseOptions,
  Stability,
  StabilityOptions,
  StabilityThreshold,
  StabilityThresholdOptions,
  StabilityThresholds,
} from './curvature/stability.js'
export {
  curvatureNoise,
  curvatureNoiseSync,
  stability,
  stabilitySync,
  stabilityThresholds,
  stabilityThresholdsSync,
} from './curvature/stability.js'
export type {
  DiagonalEstimate,
  HutchinsonOptions,
  HutchPlusPlusOptions,
  SpectralEstimate,
  SpectralNorm,
  SpectralNormOptions,
  TraceOptions,
} from './curvature/trace.js'
export {
  diagonal,
  diagonalSync,
  frobeniusNorm,
  frobeniusNormSync,
  spectralNorm,
  spectralNormSync,
  trace,
  traceSync,
} from './curvature/trace.js'
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
export type {
  CaGrad,
  CaGradOptions,
  GCond,
  GCondOptions,
  GradNorm,
  GradNormOptions,
  Mgda,
  MgdaOptions,
  PcGrad,
  PcGradOptions,
  SamGs,
  SamGsOptions,
  TaskMethod,
  TaskMethodKind,
  TaskMethodOption,
  WeightedSum,
  WeightedSumOptions,
} from './multitask/methods.js'
export { caGrad, gCond, gradNorm, mgda, pcGrad, samGs, taskMethodKinds, weightedSum } from './multitask/methods.js'
export type { TaskAccumulatorOptions } from './multitask/task-accumulator.js'
export { createTaskAccumulator, TaskAccumulator } from './multitask/task-accumulator.js'
export type {
  CombineOptions,
  CreateTaskCombinerOptions,
  TaskCombination,
  TaskCombinerState,
  TaskResolution,
} from './multitask/task-combiner.js'
export { createTaskCombiner, TaskCombiner } from './multitask/task-combiner.js'
export type { AdaHessian, AdaHessianOptions } from './optimizers/adahessian.js'
export { adahessian } from './optimizers/adahessian.js'
export type { Adam, AdamOptions } from './optimizers/adam.js'
export { adam } from './optimizers/adam.js'
export type { AdamW, AdamWOptions } from './optimizers/adamw.js'
export { adamw } from './optimizers/adamw.js'
export type { Bfgs, BfgsOptions } from './optimizers/bfgs.js'
export { bfgs } from './optimizers/bfgs.js'
export type { ClassicalMomentum, ClassicalMomentumOptions, NesterovPlace } from './optimizers/classical-momentum.js'
export { classicalMomentum } from './optimizers/classical-momentum.js'
export type { CreateOptimizerOptions, OptimizerState, Shapes } from './optimizers/create-optimizer.js'
export { createOptimizer, Optimizer } from './optimizers/create-optimizer.js'
export type { CurvatureKind, DampingOptions, PreconditionerOptions } from './optimizers/curvature-options.js'
export type { DiagonalNewton, DiagonalNewtonOptions } from './optimizers/diagonal-newton.js'
export { diagonalNewton } from './optimizers/diagonal-newton.js'
export type {
  GradientNormalizedSmoothness,
  GradientNormalizedSmoothnessOptions,
} from './optimizers/gradient-normalized-smoothness.js'
export { gradientNormalizedSmoothness } from './optimizers/gradient-normalized-smoothness.js'
export type { HessianFree, HessianFreeOptions } from './optimizers/hessian-free.js'
export { hessianFree } from './optimizers/hessian-free.js'
export type { Kfac, KfacOptions } from './optimizers/kfac.js'
export { kfac } from './optimizers/kfac.js'
export type { KrylovSubspaceDescent, KrylovSubspaceDescentOptions } from './optimizers/krylov-subspace-descent.js'
export { krylovSubspaceDescent } from './optimizers/krylov-subspace-descent.js'
export type { Lbfgs, LbfgsOptions } from './optimizers/lbfgs.js'
export { lbfgs } from './optimizers/lbfgs.js'
export type { LevenbergMarquardt, LevenbergMarquardtOptions } from './optimizers/levenberg-marquardt.js'
export { levenbergMarquardt } from './optimizers/levenberg-marquardt.js'
export type { NewtonCG, NewtonCGOptions } from './optimizers/newton-cg.js'
export { newtonCG } from './optimizers/newton-cg.js'
export type { NewtonMR, NewtonMROptions } from './optimizers/newton-mr.js'
export { newtonMR } from './optimizers/newton-mr.js'
export type {
  ConjugateFormula,
  NonlinearConjugateGradient,
  NonlinearConjugateGradientOptions,
} from './optimizers/nonlinear-conjugate-gradient.js'
export { nonlinearConjugateGradient } from './optimizers/nonlinear-conjugate-gradient.js'
export type {
  MinimizerKind,
  MinimizerOption,
  MinimizerSpec,
  OptimizerKind,
  OptimizerOption,
  OptimizerSpec,
  UpdateRuleKind,
  UpdateRuleOption,
  UpdateRuleSpec,
} from './optimizers/registry.js'
export { minimizerKinds, optimizerKinds } from './optimizers/registry.js'
export type { Filled } from './optimizers/rule.js'
export type { SaddleFreeNewton, SaddleFreeNewtonOptions } from './optimizers/saddle-free-newton.js'
export { saddleFreeNewton } from './optimizers/saddle-free-newton.js'
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
export type { Sophia, SophiaOptions } from './optimizers/sophia.js'
export { sophia } from './optimizers/sophia.js'
export type { StochasticLbfgs, StochasticLbfgsOptions } from './optimizers/stochastic-lbfgs.js'
export { stochasticLbfgs } from './optimizers/stochastic-lbfgs.js'
export type { ChartOptions, LegendKind, Series } from './report/figure.js'
export { renderChart, writeChart } from './report/figure.js'
export type { ImagesOptions } from './report/images.js'
export { renderImages, writeImages } from './report/images.js'
export type { DescribedModel, ReportEpoch, ReportHistory, ReportOptions } from './report/report.js'
export { renderReport, writeReport } from './report/report.js'
export type { PrivacyAccountantOptions, PrivacyAccountantState } from './samples/accountant.js'
export { createPrivacyAccountant, PrivacyAccountant } from './samples/accountant.js'
export type { SampleClipping, SampleClippingOption, SampleClippingOptions } from './samples/clipping.js'
export { sampleClipping } from './samples/clipping.js'
export type {
  GradientStatistics,
  NoiseScale,
  NoiseScaleAverage,
  NoiseScaleAverageOptions,
} from './samples/noise-scale.js'
export { averageNoiseScale } from './samples/noise-scale.js'
export type {
  EpsilonConversion,
  EpsilonOptions,
  NoiseForEpsilon,
  NoiseForEpsilonOptions,
  PrivacySpent,
  SubsampledGaussianOptions,
} from './samples/privacy.js'
export {
  defaultRdpOrders,
  gradientNoiseMultiplier,
  noiseForEpsilon,
  rdpToEpsilon,
  subsampledGaussianRdp,
} from './samples/privacy.js'
export type {
  GramOptions,
  GroupedNorms,
  LayerGram,
  NtkMatrix,
  NtkOptions,
  NtkOutputs,
  OutputJacobianOptions,
  ParameterGrouping,
  SquaredNormOptions,
  VarianceOptions,
} from './samples/quantities.js'
export type {
  ClassSensitivity,
  Explained,
  InputSaliency,
  InputSaliencyMethod,
  InputSaliencyOptions,
  LayerSaliency,
  MetaOptions,
  NormGradOptions,
  NormGradVariant,
  SaliencyOptions,
  SaliencyTarget,
} from './samples/saliency.js'
export { classSensitivity, saliency } from './samples/saliency.js'
export type {
  CombineMapsOptions,
  CombineMapsRule,
  MapLike,
  PositionMapOptions,
  PositionMapVariant,
} from './samples/saliency-maps.js'
export { combineMaps, positionMap, rankCorrelation } from './samples/saliency-maps.js'
export type { SampleScore, SampleScores, ScoreOptions } from './samples/scores.js'
export { noisyLabelCandidates, pruneByScore, scoreSamples } from './samples/scores.js'
export { selectSamples } from './samples/scores-select.js'
export type {
  AlignmentWeights,
  FocalLossWeights,
  FocalWeights,
  FocalWeightsOptions,
  GeneralizedCrossEntropyWeights,
  GeneralizedCrossEntropyWeightsOptions,
  HardExampleWeights,
  HardExampleWeightsOptions,
  HuberizedCrossEntropyWeights,
  HuberizedCrossEntropyWeightsOptions,
  LossThresholdWeights,
  LossThresholdWeightsOptions,
  SampleWeights,
  SampleWeightsKind,
  SampleWeightsOption,
  SmallLossWeights,
  SmallLossWeightsOptions,
  TiltedWeights,
  TiltedWeightsOptions,
  TruncatedCrossEntropyWeights,
  TruncatedCrossEntropyWeightsOptions,
} from './samples/weights.js'
export {
  alignmentWeights,
  focalLossWeights,
  focalWeights,
  generalizedCrossEntropyWeights,
  hardExampleWeights,
  huberizedCrossEntropyWeights,
  lossThresholdWeights,
  sampleWeightsKinds,
  smallLossWeights,
  tiltedWeights,
  truncatedCrossEntropyWeights,
} from './samples/weights.js'
export type { LabelFigures, SampleFigures, ScheduleTime } from './samples/weights-compute.js'
export { computeSampleWeights, forgetRate, labelFigures } from './samples/weights-compute.js'
export type {
  CollectOptions,
  ConjugateGradientOptions,
  ConjugateGradientResult,
  ProgressOptions,
  StoredIterate,
  StoreOptions,
} from './solvers/conjugate-gradient.js'
export { conjugateGradient, conjugateGradientSync } from './solvers/conjugate-gradient.js'
export type { KernelRegression, KernelRegressionOptions } from './solvers/kernel-regression.js'
export { kernelRegression } from './solvers/kernel-regression.js'
export type { LanczosOptions, LanczosResult } from './solvers/lanczos.js'
export { lanczos, lanczosSync } from './solvers/lanczos.js'
export type { LeastSquaresOptions } from './solvers/least-squares.js'
export { leastSquares, leastSquaresSync } from './solvers/least-squares.js'
export type { MinresOptions, MinresResult } from './solvers/minres.js'
export { minres, minresSync } from './solvers/minres.js'
export type { SolveIteration, SolveOptions, SolveResult } from './solvers/options.js'
export type { SteihaugOptions, SteihaugReason, SteihaugResult } from './solvers/steihaug.js'
export { steihaug, steihaugSync } from './solvers/steihaug.js'
export type {
  FiniteSurrogateKernel,
  FiniteSurrogateKernelOptions,
  Surrogate,
  SurrogateActivation,
  SurrogateKernel,
  SurrogateKernelOptions,
} from './solvers/surrogate-kernel.js'
export { finiteSurrogateKernel, surrogateKernel, surrogates } from './solvers/surrogate-kernel.js'
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
export type { RecordOptions, StabilityRecord, StabilityRecordOptions } from './training/record.js'
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
