import type { NativePoint } from './native-point-types.js'
import type { FloatArray } from './native-types.js'

/*
 * The part of the addon's mirror about quantities of single samples at a point: `native/binding/per_sample.cpp`.
 */

export type ParameterGrouping = 'total' | 'layer' | 'tensor'

export type NativeGradientStatistics = {
  squaredNorms: Float64Array
  meanSquaredNorm: number
  squaredMeanNorm: number
  dotWithMean: Float64Array
  cosineWithMean: Float64Array
  noiseScale: {
    traceUnbiased: number
    squaredGradientUnbiased: number
    simpleUnbiased: number
    simplePlain: number
  }
  gradientDiversity: number
  coherence: number
  normTest: number
  innerProductTest: number
}

export interface NativePerSample {
  /** names of the groups of each kind */
  parameterGroups(point: NativePoint): Record<ParameterGrouping, string[]>
  /** out [rows, groups] */
  perSampleSquares(point: NativePoint, by: ParameterGrouping, out: Float64Array): Float64Array
  /** v [P], out [rows] */
  perSampleProducts(point: NativePoint, v: FloatArray, out: Float64Array): Float64Array
  /** out [layers or 1, rows, rows of with]; with may be the point itself */
  gramMatrix(point: NativePoint, other: NativePoint, byLayer: boolean, out: Float64Array): Float64Array
  /** outputs are counted over all heads; out [rows, rows of with], for blocks also [outputCount, outputCount] */
  tangentKernel(
    point: NativePoint,
    other: NativePoint,
    kind: 'blocks' | 'trace' | 'sum',
    firstOutput: number,
    outputCount: number,
    out: Float64Array,
  ): Float64Array
  /** out [count * outputCount, P] of the point's dtype */
  outputJacobians(
    point: NativePoint,
    first: number,
    count: number,
    firstOutput: number,
    outputCount: number,
    out: FloatArray,
  ): FloatArray
  /** out [P] of the point's dtype */
  gradientSquareSums(point: NativePoint, out: FloatArray): FloatArray
  gradientVariance(point: NativePoint, unbiased: boolean, out: FloatArray): FloatArray
  gradientStatistics(point: NativePoint): NativeGradientStatistics
}
