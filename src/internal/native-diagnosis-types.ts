import type { NativePoint } from './native-point-types.js'
import type { FloatArray } from './native-types.js'

/*
 * The part of the addon's mirror about gradients side by side and units that pass on nothing: `native/binding/diagnosis.cpp`.
 */

/** Over pairs; NaN where there are none. */
export type NativeCosines = { mean: number; negativeShare: number; within: number; between: number }

/** A layer with an activation; flat: by unit, the rows with a slope at most the threshold in size. */
export type NativeLayerActivity = { name: string; rectifies: boolean; flat: Float64Array }

export interface NativeDiagnosis {
  /** gram and out [count, count], which may be one array */
  cosines(gram: Float64Array, count: number, classes: Int32Array | null, out: Float64Array): NativeCosines
  /** inner products of vectors of one dtype and length; out [vectors, vectors] */
  vectorProducts(vectors: FloatArray[], out: Float64Array): Float64Array
  unitActivity(point: NativePoint, slopeThreshold: number): NativeLayerActivity[]
}
