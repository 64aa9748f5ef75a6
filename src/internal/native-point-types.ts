import type { FloatArray, NativeOperator } from './native-types.js'

/*
 * The part of the addon's mirror about a network at a point: `native/binding/point.cpp`.
 */

export interface NativePoint {
  /** outputs of all heads: rows of one sample in curvatureRows */
  readonly curvatureRowsPerSample: number
  readonly loss: number
  readonly headLosses: number[]
  readonly lossPerSample: Float64Array
  /** outputs of one head, [rows, width] */
  outputs(head: number): FloatArray
  gradient(out: FloatArray): void
  /** rows first..first+count of [N, P], public order */
  perSampleGradients(first: number, count: number, out: FloatArray): void
  perSampleGradientNorms(out: Float64Array): void
  /** tangents of one head's outputs along v: out [rows, width] a head */
  jvp(v: FloatArray, out: FloatArray[]): void
  /** J' u over all heads and samples: u [rows, width] a head, out [P] */
  vjp(u: FloatArray[], out: FloatArray): void
  /** curvature [P, P], or the Jacobian [outputs of all samples, head after head, P] */
  operator(kind: 'hessian' | 'ggn' | 'fisher' | 'empiricalFisher' | 'jacobian'): NativeOperator
  /** samples first..first+count, [count * curvatureRowsPerSample, P]: outer products sum up to their GGN matrices */
  curvatureRows(first: number, count: number, out: FloatArray): void
  /** Frobenius norms of the samples' GGN matrices, [N] */
  curvatureNorms(out: Float64Array): void
  dispose(): void
}
