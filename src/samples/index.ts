export type { PrivacyAccountantOptions, PrivacyAccountantState } from './accountant.js'
export { createPrivacyAccountant, PrivacyAccountant } from './accountant.js'
export type { SampleClipping, SampleClippingOption, SampleClippingOptions } from './clipping.js'
export { sampleClipping } from './clipping.js'
export type {
  CosinesSubject,
  CurvatureNoiseScale,
  PairwiseCosines,
  PairwiseCosinesOptions,
} from './cosines.js'
export { curvatureNoiseScale, pairwiseCosines } from './cosines.js'
export type {
  GradientStatistics,
  NoiseScale,
  NoiseScaleAverage,
  NoiseScaleAverageOptions,
} from './noise-scale.js'
export { averageNoiseScale } from './noise-scale.js'
export type {
  EpsilonConversion,
  EpsilonOptions,
  NoiseForEpsilon,
  NoiseForEpsilonOptions,
  PrivacySpent,
  SubsampledGaussianOptions,
} from './privacy.js'
export {
  defaultRdpOrders,
  gradientNoiseMultiplier,
  noiseForEpsilon,
  rdpToEpsilon,
  subsampledGaussianRdp,
} from './privacy.js'
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
} from './quantities.js'
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
} from './saliency.js'
export { classSensitivity, saliency } from './saliency.js'
export type {
  CombineMapsOptions,
  CombineMapsRule,
  MapLike,
  PositionMapOptions,
  PositionMapVariant,
} from './saliency-maps.js'
export { combineMaps, positionMap, rankCorrelation } from './saliency-maps.js'
export type { SampleScore, SampleScores, ScoreOptions } from './scores.js'
export { noisyLabelCandidates, pruneByScore, scoreSamples } from './scores.js'
export { selectSamples } from './scores-select.js'
export type {
  LayerStatistics,
  LayerStatisticsOptions,
  QuantileThreshold,
  QuantileThresholdOptions,
  ThresholdAdaptation,
  ThresholdAdaptationOption,
} from './thresholds.js'
export { layerStatistics, quantileThreshold } from './thresholds.js'
export type { BatchFigures, SampleWeightsFunction, WeightsOption } from './weighting.js'
export type {
  AlignmentWeights,
  ConfidenceWeights,
  ConfidenceWeightsOptions,
  FocalLossWeights,
  FocalWeights,
  FocalWeightsOptions,
  GeneralizedCrossEntropyWeights,
  GeneralizedCrossEntropyWeightsOptions,
  HardExampleWeights,
  HardExampleWeightsOptions,
  HuberizedCrossEntropyWeights,
  HuberizedCrossEntropyWeightsOptions,
  InverseLossWeights,
  InverseLossWeightsOptions,
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
} from './weights.js'
export {
  alignmentWeights,
  confidenceWeights,
  focalLossWeights,
  focalWeights,
  generalizedCrossEntropyWeights,
  hardExampleWeights,
  huberizedCrossEntropyWeights,
  inverseLossWeights,
  lossThresholdWeights,
  sampleWeightsKinds,
  smallLossWeights,
  tiltedWeights,
  truncatedCrossEntropyWeights,
} from './weights.js'
export type { LabelFigures, SampleFigures, ScheduleTime } from './weights-compute.js'
export { computeSampleWeights, forgetRate, labelFigures } from './weights-compute.js'
