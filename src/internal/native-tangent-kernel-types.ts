/*
 * The part of the addon's mirror about tangent kernels: `native/binding/tangent_kernels.cpp`. All matrices are
 * row-major.
 */

export type NativeSurrogate =
  | 'erf'
  | 'straightThrough'
  | 'clippedStraightThrough'
  | 'tanh'
  | 'sigmoid'
  | 'superSpike'
  | 'arctan'
  | 'triangle'

export type NativeSurrogateNetwork = {
  weightStd: number
  biasStd: number
  /** of erf; 0: the sign */
  sharpness: number
  surrogate: NativeSurrogate
  beta: number
}

/** rows of the left and the right, columns of both */
export type NativeKernelSizes = { left: number; right: number; columns: number }

export interface NativeTangentKernels {
  /** kernel [left, right]; covariances [layers, left, right] or null */
  surrogateKernel(
    network: NativeSurrogateNetwork,
    layers: number,
    sizes: NativeKernelSizes,
    left: Float64Array,
    right: Float64Array,
    kernel: Float64Array,
    covariances: Float64Array | null,
  ): Float64Array
  /** parameters in public order; outputs at the left rows */
  finiteSurrogateKernel(
    network: NativeSurrogateNetwork,
    widths: readonly number[],
    sizes: NativeKernelSizes,
    parameters: Float64Array,
    leftTrue: boolean,
    left: Float64Array,
    right: Float64Array,
    kernel: Float64Array,
    outputs: Float64Array,
  ): Float64Array
  /** x [n, columns]: the residual, replaced by the coefficients; false where the kernel is singular */
  kernelRegression(
    options: {
      until: 'limit' | 'steps' | 'time'
      rate: number
      steps: number
      time: number
      damping: number
      transposed: boolean
    },
    n: number,
    columns: number,
    kernel: Float64Array,
    x: Float64Array,
  ): boolean
}
