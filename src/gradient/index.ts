export type {
  AsymmetricSmoothing,
  AsymmetricSmoothingOptions,
  DirectionalBias,
  DirectionalBiasOptions,
} from './averages.js'
export { asymmetricSmoothing, directionalBias } from './averages.js'
export type {
  AdaptiveClip,
  AdaptiveClipOptions,
  AutoClip,
  AutoClipOptions,
  ClipByGlobalNorm,
  ClipByGlobalNormOptions,
  ClipByLayerNorm,
  ClipByLayerNormOptions,
  ClipByValue,
  ClipByValueOptions,
} from './clipping.js'
export { adaptiveClip, autoClip, clipByGlobalNorm, clipByLayerNorm, clipByValue } from './clipping.js'
export type {
  ApplyGradientTransformOptions,
  CreateGradientTransformOptions,
  GradientTransformNumbers,
  GradientTransformState,
} from './gradient-transform.js'
export { createGradientTransform, GradientTransform } from './gradient-transform.js'
export type { LowRankFilter, LowRankFilterOptions } from './low-rank-filter.js'
export { lowRankFilter } from './low-rank-filter.js'
export type {
  GradientOption,
  GradientTransformKind,
  GradientTransformOption,
  GradientTransformSpec,
} from './registry.js'
export { gradientTransformKinds } from './registry.js'
