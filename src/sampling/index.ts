export type {
  ImportanceProbabilityOptions,
  ImportanceSampling,
  ImportanceSamplingOptions,
  ImportanceScore,
  ImportanceWeightOptions,
} from './importance.js'
export {
  importanceProbabilities,
  importanceSampling,
  importanceTau,
  importanceWeights,
} from './importance.js'
export type { Sampling, SamplingOption } from './sampling.js'
export { samplingKinds } from './sampling.js'
export type {
  PoissonSampling,
  PoissonSamplingOptions,
  ReplacementSampling,
  ShuffledSampling,
} from './uniform.js'
export { poissonSampling, replacementSampling, shuffledSampling } from './uniform.js'
export type {
  HistorySampling,
  HistorySamplingOptions,
  WeightedSampling,
  WeightedSamplingOptions,
} from './weighted.js'
export { historySampling, weightedSampling } from './weighted.js'
