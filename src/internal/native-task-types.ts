import type { DType, FloatArray } from './native-types.js'

/*
 * The part of the mirror that is about the gradients of several tasks: native/binding/task_gradients.cpp.
 */

export type NativeTaskResolution = {
  first: number
  second: number
  cosine: number
  /** -1: none */
  winner: number
  zone: 'smooth' | 'weak' | 'main' | 'critical'
  angle: number
}
export type NativeTaskCombination = {
  norms: Float64Array
  cosines: Float64Array
  conflicts: number
  alignments: Float64Array
  opposed: number
  coefficients: Float64Array | null
  weights: Float64Array | null
  resolvedCosines: Float64Array | null
  resolvedConflicts: number
  targets: Float64Array | null
  weightGradient: Float64Array | null
  nextWeights: Float64Array | null
  balanceLoss: number
  similarities: Float64Array
  equalised: boolean
  resolutions: NativeTaskResolution[]
}
export type NativeTaskCombiner = {
  readonly steps: number
  readonly stateNames: string[]
  /** losses: of every task, or null; parameters: for lion, or null */
  combine(
    gradients: FloatArray[],
    losses: Float64Array | null,
    parameters: FloatArray | null,
    out: FloatArray,
  ): NativeTaskCombination
  /** A copy: long vectors in the dtype, numbers in float64. */
  getState(name: string): FloatArray
  setState(name: string, values: FloatArray): void
  setSteps(steps: number): void
  dispose(): void
}
export type NativeTaskGradients = {
  /** method: a resolved spec of src/multitask/methods.ts; tensors: lengths, may be empty */
  TaskCombiner: new (
    method: object,
    tasks: number,
    parameterCount: number,
    tensors: number[],
    dtype: DType,
  ) => NativeTaskCombiner
}
