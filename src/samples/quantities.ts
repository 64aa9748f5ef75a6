import type { LinearizedPoint, PerSampleOptions } from '../curvature/linearize.js'
import type { TypedArrayOf } from '../internal/arrays.js'
import { floatInput, floatOutput, isFloatArray } from '../internal/arrays.js'
import { dtypeError, optionError, rendered, shapeError } from '../internal/errors.js'
import type { DType, NativePoint, ParameterGrouping } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { boolean, checkKnownKeys, integerInRange, joinPath, oneOf } from '../internal/validate.js'
import type { OutputInfo } from '../model/model.js'

/*
 * What single samples contribute at a point: the checks and shapes behind the methods of `LinearizedPoint`.
 */

export type { ParameterGrouping } from '../internal/native.js'

type Doubles = Float64Array<ArrayBuffer>

export type SquaredNormOptions = {
  /** Of the whole gradient, of each layer's (weight and bias), or of each tensor's; default `'total'`. */
  readonly by?: ParameterGrouping
  /** Receives the norms, [N, groups]. */
  readonly out?: Float64Array
}

/** Squared norms [N, groups], row-major, with the names of the groups. */
export type GroupedNorms = {
  readonly data: Doubles
  readonly shape: readonly [number, number]
  /** `total`; what the names of a layer's tensors begin with; the names of the tensors. */
  readonly names: readonly string[]
}

export type GramOptions<D extends DType, H extends string = never> = {
  /** Rows of another point of a network with the same parameters, M of them; default the point itself. */
  readonly with?: LinearizedPoint<D, H>
  /** Receives the matrix, [N, M]; layer by layer [layers, N, M]. */
  readonly out?: Float64Array
}

/** A matrix [N, M] of one layer's inner products. */
export type LayerGram = {
  /** What the names of the layer's tensors begin with: `layers.0` of `layers.0.weight`. */
  readonly layer: string
  readonly data: Doubles
  readonly shape: readonly [number, number]
}

export type OutputJacobianOptions<D extends DType> = PerSampleOptions<D> & {
  /** Outputs of this head alone; default those of all heads, head after head. */
  readonly head?: string
}

/**
 * Which kernel of the outputs f₁ … f_C: `'trace'` Σ_c Θ_cc (divide by C for the mean over outputs), `'blocks'` all
 * Θ_cd, `'sum'` Σ_cd Θ_cd, the kernel of f₁ + … + f_C, or the number of one output.
 */
export type NtkOutputs = 'trace' | 'blocks' | 'sum' | number

export type NtkOptions<D extends DType, H extends string = never> = {
  /** Default `'trace'`. */
  readonly outputs?: NtkOutputs
  /** Outputs of this head alone; default those of all heads, head after head. */
  readonly head?: string
  /** Rows of another point of a network with the same parameters, M of them; default the point itself. */
  readonly with?: LinearizedPoint<D, H>
  /** Receives the kernel. */
  readonly out?: Float64Array
}

/** A kernel [N, M], or [N, M, C, C] with a block for each pair of samples; row-major. */
export type NtkMatrix = { readonly data: Doubles; readonly shape: readonly number[] }

export type VarianceOptions<D extends DType> = {
  /** Divides by N − 1 instead of N; default false. */
  readonly unbiased?: boolean
  /** Receives the variances, P of them. */
  readonly out?: TypedArrayOf<D>
}

/** A point as the functions here see it. */
export type PointParts = {
  readonly handle: NativePoint
  readonly sampleCount: number
  readonly parameterCount: number
  readonly outputs: readonly OutputInfo[]
}

/** The point that `with` names, or the point itself. */
export type WithParts = (value: unknown, name: string) => { readonly handle: NativePoint; readonly sampleCount: number }

function doubles(out: unknown, length: number): Doubles {
  return floatOutput(out, 'out', 'float64', length)
}

export function squaredNorms({ handle, sampleCount }: PointParts, options: unknown): GroupedNorms {
  checkKnownKeys(options, ['by', 'out'], 'perSampleSquaredNorms options')
  const by = oneOf(options.by ?? 'total', 'perSampleSquaredNorms by', ['total', 'layer', 'tensor'])
  const names = addon().parameterGroups(handle)[by]
  const data = doubles(options.out, sampleCount * names.length)
  addon().perSampleSquares(handle, by, data)
  return { data, shape: [sampleCount, names.length], names }
}

export function gramOf(point: PointParts, options: unknown, other: WithParts): GroupedGram {
  return gram(point, options, other, false)
}

export function layerGramsOf(point: PointParts, options: unknown, other: WithParts): readonly LayerGram[] {
  const names = addon().parameterGroups(point.handle).layer
  const { data, shape } = gram(point, options, other, true)
  const size = shape[0] * shape[1]
  return names.map((layer, index) => ({ layer, data: data.subarray(index * size, (index + 1) * size), shape }))
}

type GroupedGram = { readonly data: Doubles; readonly shape: readonly [number, number] }

function gram(point: PointParts, options: unknown, other: WithParts, byLayer: boolean): GroupedGram {
  const name = byLayer ? 'layerGramMatrices' : 'gramMatrix'
  checkKnownKeys(options, ['with', 'out'], `${name} options`)
  const second = other(options.with, `${name} with`)
  const layers = byLayer ? addon().parameterGroups(point.handle).layer.length : 1
  const shape = [point.sampleCount, second.sampleCount] as const
  const data = doubles(options.out, layers * shape[0] * shape[1])
  addon().gramMatrix(point.handle, second.handle, byLayer, data)
  return { data, shape }
}

/** Where the outputs of a head lie among all outputs. */
function outputRange(outputs: readonly OutputInfo[], head: unknown, name: string): { first: number; count: number } {
  const count = outputs.reduce((sum, { width }) => sum + width, 0)
  if (head === undefined) return { first: 0, count }
  if (outputs[0]?.name === '') throw optionError(`${name} head`, 'none: the network has one output', head)
  const names = outputs.map((output) => output.name)
  const index = names.indexOf(oneOf(head, `${name} head`, names))
  const first = outputs.slice(0, index).reduce((sum, { width }) => sum + width, 0)
  return { first, count: (outputs[index] as OutputInfo).width }
}

export function jacobiansOf<D extends DType>(
  point: PointParts,
  dtype: D,
  options: unknown,
): { readonly data: TypedArrayOf<D>; readonly shape: readonly [number, number] } {
  checkKnownKeys(options, ['out', 'first', 'count', 'head'], 'outputJacobians options')
  const samples = point.sampleCount
  const first = options.first === undefined ? 0 : integerInRange(options.first, 'first', { min: 0, max: samples })
  const most = samples - first
  const count = options.count === undefined ? most : integerInRange(options.count, 'count', { min: 0, max: most })
  const range = outputRange(point.outputs, options.head, 'outputJacobians')
  const rows = count * range.count
  const data = floatOutput(options.out, 'out', dtype, rows * point.parameterCount)
  addon().outputJacobians(point.handle, first, count, range.first, range.count, data)
  return { data, shape: [rows, point.parameterCount] }
}

export function ntkOf(point: PointParts, options: unknown, other: WithParts): NtkMatrix {
  checkKnownKeys(options, ['outputs', 'head', 'with', 'out'], 'ntk options')
  const range = outputRange(point.outputs, options.head, 'ntk')
  const given = options.outputs ?? 'trace'
  const single = typeof given === 'number'
  const kind = single ? 'sum' : oneOf(given, 'ntk outputs', ['trace', 'blocks', 'sum'])
  if (single) {
    range.first += integerInRange(given, 'ntk outputs', { min: 0, max: range.count - 1 })
    range.count = 1
  }
  const second = other(options.with, 'ntk with')
  const { count } = range
  const shape = [point.sampleCount, second.sampleCount, ...(kind === 'blocks' ? [count, count] : [])]
  const length = shape.reduce((product, size) => product * size, 1)
  const data = doubles(options.out, length)
  addon().tangentKernel(point.handle, second.handle, kind, range.first, count, data)
  return { data, shape }
}

export function varianceOf<D extends DType>(point: PointParts, dtype: D, options: unknown): TypedArrayOf<D> {
  checkKnownKeys(options, ['unbiased', 'out'], 'gradientVariance options')
  const unbiased = boolean(options.unbiased ?? false, 'gradientVariance unbiased')
  if (unbiased && point.sampleCount < 2) {
    throw optionError('gradientVariance unbiased', 'false for a point of one sample', unbiased)
  }
  const result = floatOutput(options.out, 'out', dtype, point.parameterCount)
  addon().gradientVariance(point.handle, unbiased, result)
  return result
}

/** The values [N, K] of one head from a matrix, its values, or an object of these by heads. */
export function cotangentOf<D extends DType>(
  u: unknown,
  { name, width }: OutputInfo,
  { outputs, sampleCount }: PointParts,
  dtype: D,
): TypedArrayOf<D> {
  if (name !== '')
    checkKnownKeys(
      u,
      outputs.map((output) => output.name),
      'u',
    )
  const value = name === '' ? u : (u as Record<string, unknown>)[name]
  const path = name === '' ? 'u' : joinPath('u', name)
  const length = sampleCount * width
  if (isFloatArray(value)) return floatInput(value, path, dtype, length)
  const matrix = value as { data?: unknown; shape?: unknown } | null | undefined
  if (typeof matrix !== 'object' || matrix === null || !Array.isArray(matrix.shape)) {
    throw dtypeError(path, 'a matrix { data, shape } or its values', value)
  }
  const [rows, columns] = matrix.shape as unknown[]
  if (matrix.shape.length !== 2 || rows !== sampleCount || columns !== width) {
    throw shapeError(path, `shape [${sampleCount}, ${width}]`, rendered(`shape [${matrix.shape.join(', ')}]`))
  }
  return floatInput(matrix.data, `${path}.data`, dtype, length)
}
