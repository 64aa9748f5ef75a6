export type { BatchScaling, BatchScalingOptions } from './batch-scaling.js'
export { batchScaling } from './batch-scaling.js'
export type { DiagonalKind, DiagonalOptions, SampleOptions } from './diagonals.js'
export type { AlignmentDomain, HessianAlignment, HessianAlignmentOptions } from './hessian-alignment.js'
export { hessianAlignment } from './hessian-alignment.js'
export type { KroneckerFactor } from './kronecker.js'
export type { LinearOperator, OperatorTag } from './linear-operator.js'
export { matmat, NativeLinearOperator } from './linear-operator.js'
export type { ByHead, FloatMatrix, LinearizeOptions, PerSampleOptions } from './linearize.js'
export { LinearizedPoint, linearize } from './linearize.js'
export type {
  DenseOperatorOptions,
  DiagonalOperatorOptions,
  FunctionOperatorOptions,
  IdentityOperatorOptions,
  LowRankOperatorOptions,
  OperatorFunction,
} from './operators.js'
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
} from './operators.js'
export type {
  DiagonalPreconditionerOptions,
  KfacPreconditionerOptions,
  SecantPair,
} from './preconditioners.js'
export { diagonalPreconditioner, kfacPreconditioner, lbfgsPreconditioner } from './preconditioners.js'
export type { ProbeDistribution, ProbeOptions, ProbesOption } from './probes.js'
export type {
  RadiusOptions,
  SlopesRadiusOptions,
  SoftmaxRadius,
  SoftmaxRadiusOptions,
} from './softmax-radius.js'
export { softmaxRadius, softmaxRadiusOfSlopes } from './softmax-radius.js'
export type {
  Eigenpairs,
  EigenpairsOptions,
  SpectralDensity,
  SpectralDensityOptions,
  SpectrumReason,
} from './spectrum.js'
export { eigenpairs, eigenpairsSync, spectralDensity, spectralDensitySync } from './spectrum.js'
export type {
  CurvatureNoiseOptions,
  Stability,
  StabilityOptions,
  StabilityThreshold,
  StabilityThresholdOptions,
  StabilityThresholds,
} from './stability.js'
export {
  curvatureNoise,
  curvatureNoiseSync,
  stability,
  stabilitySync,
  stabilityThresholds,
  stabilityThresholdsSync,
} from './stability.js'
export type {
  DiagonalEstimate,
  HutchinsonOptions,
  HutchPlusPlusOptions,
  SpectralEstimate,
  SpectralNorm,
  SpectralNormOptions,
  TraceOptions,
} from './trace.js'
export {
  diagonal,
  diagonalSync,
  frobeniusNorm,
  frobeniusNormSync,
  spectralNorm,
  spectralNormSync,
  trace,
  traceSync,
} from './trace.js'
