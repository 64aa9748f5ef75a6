import { optionError } from '../internal/errors.js'
import type { NativeOptimizer, NativeWeightRequest } from '../internal/native.js'
import { finiteArray } from '../internal/validate.js'
import type { OptimizerSpec } from '../optimizers/registry.js'
import { isMinimizer } from '../optimizers/registry.js'
import type { SampleWeights, SampleWeightsOption } from './weights.js'
import { weightsToNative } from './weights.js'
import { resolveRule } from './weights-compute.js'

/** What a function that weighs the samples of a step is told; the arrays are its own. */
export type BatchFigures = {
  /** Each sample's own loss, with its weight in the data; heads added with theirs. */
  readonly losses: Float64Array<ArrayBuffer>
  /** Probability of each sample's label, where the only loss is a cross-entropy of classes or of one yes or no. */
  readonly probabilities: Float64Array<ArrayBuffer> | null
  /** 1 for the first update. */
  readonly step: number
  /** 1 for the first; of `train` alone. */
  readonly epoch?: number
}

/** One finite number ≥ 0 for each sample of the step. */
export type SampleWeightsFunction = (figures: BatchFigures) => Float64Array | Float32Array | readonly number[]

/** What training takes as `weights`: a rule, or a function of one's own. */
export type WeightsOption = SampleWeightsOption | SampleWeightsFunction

/** The option, checked. */
export type Weighting = SampleWeights | SampleWeightsFunction

/** Checks the option `weights` of training. */
export function resolveWeighting(value: unknown, optimizer: OptimizerSpec): Weighting | null {
  if (value === undefined) return null
  const path = 'weights'
  if (isMinimizer(optimizer.kind)) {
    throw optionError(path, `none with ${optimizer.kind}, which looks at the function more than once an update`, value)
  }
  if (typeof value === 'function') return value as SampleWeightsFunction
  const rule = resolveRule(value, path)
  if (rule.kind === 'alignmentWeights') {
    throw optionError(path, 'a rule by losses or probabilities: a step has no clean samples to align with', rule.kind)
  }
  return rule
}

/** The option as the core takes it. */
export function weightingToNative(weighting: Weighting | null, totalSteps: number | undefined): NativeOptimizer | null {
  if (weighting === null) return null
  if (typeof weighting === 'function') return { kind: 'function', numbers: {}, flags: {}, words: {} }
  return weightsToNative(weighting, totalSteps)
}

/** Calls the function that is the option, and checks its answer. */
export function askWeights(ask: SampleWeightsFunction, request: NativeWeightRequest): Float64Array {
  const { losses, probabilities, updates, epoch } = request
  const length = losses.length
  const answer = ask({
    losses: losses as Float64Array<ArrayBuffer>,
    probabilities: probabilities as Float64Array<ArrayBuffer> | null,
    step: updates + 1,
    ...(epoch > 0 ? { epoch } : {}),
  })
  if (
    answer instanceof Float64Array &&
    answer.length === length &&
    answer.every((w) => w >= 0 && w < Number.POSITIVE_INFINITY)
  ) {
    return answer
  }
  return Float64Array.from(finiteArray(answer, 'result of weights', { length, min: 0 }))
}
