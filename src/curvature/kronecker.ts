import type { NativePoint } from '../internal/native.js'
import { addon } from '../internal/native.js'
import type { Draws } from './diagonals.js'
import type { FloatMatrix } from './linearize.js'

/**
 * Of one dense layer: its block of the Gauss-Newton matrix is about output ⊗ input, with rows and columns in the order of
 * the weight [out, in] with the bias as its last column.
 */
export type KroneckerFactor = {
  /** What the names of its tensors begin with: `layers.0` of `layers.0.weight`. */
  readonly layer: string
  /** Mean of ā āᵀ over the samples, ā the layer's input, followed by 1 where the layer has a bias. */
  readonly input: FloatMatrix<'float64'>
  /** Of δ δᵀ, δ the derivative of the loss by the layer's sums, with the loss's reduction; the expectation over the model. */
  readonly output: FloatMatrix<'float64'>
}

type Matrix = Float64Array<ArrayBuffer>

/** @internal */
export function kroneckerFactorsOf(handle: NativePoint, draws: Draws): readonly KroneckerFactor[] {
  const layers = addon().kroneckerFactors(handle, draws.samples, draws.seed)
  return layers.map(({ layer, inputs, outputs, input, output }) => ({
    layer,
    input: { data: input as Matrix, shape: [inputs, inputs] },
    output: { data: output as Matrix, shape: [outputs, outputs] },
  }))
}
