import type { NativePoint } from './native-point-types.js'
import type { FloatArray, NativeOperator } from './native-types.js'

/*
 * The part of the addon's mirror about estimates of curvature at a point, and preconditioners: `native/binding/estimates.cpp`.
 */

export type DiagonalKind = 'ggn' | 'sampledGgn' | 'empiricalFisher' | 'beckerLeCun' | 'gaussNewtonLeCun'

export type NativeKroneckerFactor = {
  /** what the names of its tensors begin with */
  layer: string
  inputs: number
  outputs: number
  /** [inputs, inputs] */
  input: Float64Array
  /** [outputs, outputs] */
  output: Float64Array
}

export interface NativeEstimates {
  /** samples: draws of 'sampledGgn', at least 1; out [P] */
  curvatureDiagonal(point: NativePoint, kind: DiagonalKind, samples: number, seed: number, out: FloatArray): FloatArray
  /** samples: labels drawn for each row; 0: the exact expectation */
  kroneckerFactors(point: NativePoint, samples: number, seed: number): NativeKroneckerFactor[]
  sampledFisher(point: NativePoint, samples: number, seed: number): NativeOperator
  /** the point's l2 is added to the damping */
  kroneckerInverse(
    point: NativePoint,
    form: 'factored' | 'exact',
    damping: number,
    samples: number,
    seed: number,
  ): NativeOperator
  /** (diagonal + damping)^-exponent */
  diagonalInverse(diagonal: FloatArray, damping: number, exponent: number): NativeOperator
  /** pairs (s[i], y[i]), oldest first */
  lbfgsInverse(s: FloatArray[], y: FloatArray[]): NativeOperator
}
