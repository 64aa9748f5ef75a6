import type { FloatArray, NativeDataset, NativeModel } from './native-types.js'

/*
 * The part of the addon's mirror about saliency: `native/binding/saliency.cpp`.
 */

export type NativeInputMap =
  | 'gradient'
  | 'gradientInput'
  | 'integratedGradients'
  | 'absoluteGradientInput'
  | 'columnNorm'
export type NativePositionMap = 'norm' | 'normWithBias' | 'scaling' | 'selective' | 'bias' | 'linear' | 'gradientMax'

export type NativeExplained = {
  head: number
  /** consecutive rows of one sample */
  positions: number
  /** 0: parameters as they are */
  metaStep: number
  /** one a sample; -1 most and -2 least probable are replaced */
  targets: Int32Array
  /** receives the explained outputs */
  values: Float64Array
}

export interface NativeSaliency {
  /** maps [rows, inputs] of the model's dtype */
  inputSaliency(
    model: NativeModel,
    inputs: NativeDataset,
    explained: NativeExplained,
    options: {
      map: NativeInputMap
      steps: number
      baseline: NativeDataset | null
      baselineValues: Float64Array | null
    },
    maps: FloatArray,
  ): FloatArray
  /** maps [layers, rows] of the model's dtype; layers: numbers among the dense layers */
  layerSaliency(
    model: NativeModel,
    inputs: NativeDataset,
    explained: NativeExplained,
    options: { map: NativePositionMap; identity: boolean; layers: readonly number[] },
    maps: FloatArray,
  ): FloatArray
  /** out [rows] */
  positionMap(
    variant: NativePositionMap,
    activations: Float64Array,
    rows: number,
    width: number,
    gradients: Float64Array,
    gradientWidth: number,
    out: Float64Array,
  ): Float64Array
  /** one map [rows, positions] and one weight a layer */
  combineMaps(
    maps: readonly Float64Array[],
    weights: Float64Array,
    rule: 'sum' | 'product' | 'plainProduct',
    rows: number,
    positions: number,
    out: Float64Array,
  ): Float64Array
  /** Spearman's, row by row */
  rankCorrelation(a: Float64Array, b: Float64Array, rows: number, columns: number, out: Float64Array): Float64Array
}
