import type { FloatMatrix } from '../curvature/linearize.js'
import type { MatrixLike } from '../data/matrix.js'
import { toMatrix } from '../data/matrix.js'
import type { TypedArrayOf } from '../internal/arrays.js'
import { floatArray } from '../internal/arrays.js'
import { optionError, rendered, shapeError } from '../internal/errors.js'
import type { DType, NativeDataset, NativeExplained, NativeInputMap, NativePositionMap } from '../internal/native.js'
import { addon } from '../internal/native.js'
import {
  arrayOf,
  boolean,
  checkKnownKeys,
  integerInRange,
  joinPath,
  numberInRange,
  oneOf,
} from '../internal/validate.js'
import type { AnyModel, Model } from '../model/model.js'
import { handleOf } from '../model/model.js'
import type { CombineMapsOptions } from './saliency-maps.js'
import { combineInput, combineMaps, rankCorrelation } from './saliency-maps.js'

/** Which output is explained: its index, one for each sample, or the largest or smallest output of each sample. */
export type SaliencyTarget = number | 'mostProbable' | 'leastProbable' | readonly number[] | Int32Array

export type MetaOptions = {
  /** Length of the step; default 1e-4. */
  readonly step?: number
  /** Up the cross-entropy instead of down: what speaks against the output; default false. */
  readonly ascend?: boolean
}

type CommonOptions<H extends string> = {
  /** Default `'mostProbable'`. */
  readonly target?: SaliencyTarget
  /** Whose output; default the first. */
  readonly head?: H
  /** Maps after one step of gradient descent on each sample's own cross-entropy with the target; default none. */
  readonly meta?: MetaOptions
}

export type InputSaliencyMethod = NativeInputMap

export type InputSaliencyOptions<H extends string = never> = CommonOptions<H> & {
  /** Default `'gradient'`. */
  readonly method?: InputSaliencyMethod
  /** `'integratedGradients'`: where the line begins: one row, a row for each sample, or one number; default 0. */
  readonly baseline?: number | MatrixLike
  /** `'integratedGradients'`: points of the midpoint rule; default 50. */
  readonly steps?: number
}

/** What a dense layer's numbers are made of, see `saliency`. */
export type NormGradVariant = NativePositionMap | 'identity'

export type NormGradOptions<H extends string = never> = CommonOptions<H> & {
  readonly method: 'normGrad'
  /** Default `'norm'`. */
  readonly variant?: NormGradVariant
  /** Dense layers by the names of their tensors (`'layers.0'`); default all that the output depends on. */
  readonly layers?: readonly string[]
  /** So many consecutive rows are the positions of one sample, such as the patches of an image; default 1. */
  readonly positions?: number
  /** Combines the maps of the layers; needs several positions. */
  readonly combine?: CombineMapsOptions
}

export type SaliencyOptions<H extends string = never> = InputSaliencyOptions<H> | NormGradOptions<H>

/** What was explained, of each sample. */
export type Explained = {
  /** Which output. */
  readonly targets: Int32Array<ArrayBuffer>
  /** Its value; with several positions their sum. */
  readonly values: Float64Array<ArrayBuffer>
}

export type InputSaliency<D extends DType = DType> = Explained & {
  /** [samples, inputs] */
  readonly maps: FloatMatrix<D>
  /** `'integratedGradients'`: the output at the baseline, of each sample. */
  readonly baselineValues?: Float64Array<ArrayBuffer>
}

export type LayerSaliency<D extends DType = DType> = Explained & {
  /** [samples, positions] of each layer. */
  readonly layers: readonly { readonly layer: string; readonly maps: FloatMatrix<D> }[]
  /** [samples, positions] */
  readonly combined?: FloatMatrix<'float64'>
}

/** Agreement of the maps for the most and the least probable output. */
export type ClassSensitivity = {
  /** Mean of the rank correlations that are finite: the lower, the more the maps depend on the class. */
  readonly correlation: number
  /** Of each sample; NaN where a map is constant. */
  readonly correlations: Float64Array<ArrayBuffer>
}

const methods: readonly (InputSaliencyMethod | 'normGrad')[] = [
  'gradient',
  'gradientInput',
  'integratedGradients',
  'absoluteGradientInput',
  'columnNorm',
  'normGrad',
]
const variants: readonly NormGradVariant[] = [
  'norm',
  'normWithBias',
  'identity',
  'scaling',
  'selective',
  'bias',
  'linear',
  'gradientMax',
]
const commonKeys = ['method', 'target', 'head', 'meta']
const mostSteps = 2 ** 20

function nativeDataset(data: MatrixLike | undefined, name: string, model: AnyModel): NativeDataset {
  const matrix = toMatrix(data, name, { columns: model.inputs, dtype: model.dtype })
  const [rows, columns] = matrix.shape
  if (rows === 0) throw shapeError(name, 'at least one row', rendered('none'))
  return new (addon().Dataset)({ inputs: matrix.data, rows, columns, targets: [], sampleWeights: null })
}

function targetsInput(value: unknown, samples: number, width: number): Int32Array<ArrayBuffer> {
  const targets = new Int32Array(samples)
  const range = { min: 0, max: width - 1 }
  if (value === undefined || value === 'mostProbable') return targets.fill(-1)
  if (value === 'leastProbable') return targets.fill(-2)
  if (typeof value === 'number') return targets.fill(integerInRange(value, 'saliency target', range))
  if (typeof value === 'string') oneOf(value, 'saliency target', ['mostProbable', 'leastProbable'])
  const list = value instanceof Int32Array ? Array.from(value) : value
  targets.set(arrayOf(list, 'saliency target', (item, path) => integerInRange(item, path, range), { length: samples }))
  return targets
}

/** The signed step of the meta-learning variant; 0 for none. */
function metaInput(value: unknown): number {
  if (value === undefined) return 0
  checkKnownKeys(value, ['step', 'ascend'], 'saliency meta', { path: 'meta' })
  const step = value.step === undefined ? 1e-4 : numberInRange(value.step, 'saliency meta.step', { above: 0 })
  const ascend = value.ascend === undefined ? false : boolean(value.ascend, 'saliency meta.ascend')
  return ascend ? -step : step
}

function explainedInput(
  options: Record<string, unknown>,
  model: AnyModel,
  samples: number,
  positions: number,
): NativeExplained & { readonly targets: Int32Array<ArrayBuffer>; readonly values: Float64Array<ArrayBuffer> } {
  const names = model.outputs.map(({ name }) => name)
  if (options.head !== undefined && names[0] === '') {
    throw optionError('saliency head', 'none for a model without heads', options.head)
  }
  const head = options.head === undefined ? 0 : names.indexOf(oneOf(options.head, 'saliency head', names))
  const { width = 1, squashed = false } = model.outputs[head] ?? {}
  const metaStep = metaInput(options.meta)
  if (metaStep !== 0 && (width < 2 || squashed)) {
    throw optionError('saliency meta', 'two or more outputs that are logits, for a cross-entropy', options.meta)
  }
  if (metaStep !== 0 && positions > 1) throw optionError('saliency meta', 'one position a sample', options.meta)
  const targets = targetsInput(options.target, samples, width)
  return { head, positions, metaStep, targets, values: new Float64Array(samples) }
}

function baselineInput(value: unknown, model: AnyModel, rows: number): NativeDataset | null {
  if (value === undefined) return null
  if (typeof value === 'number') {
    const level = numberInRange(value, 'saliency baseline')
    return nativeDataset(new Float64Array(model.inputs).fill(level), 'saliency baseline', model)
  }
  const baseline = nativeDataset(value as MatrixLike, 'saliency baseline', model)
  if (baseline.rows === 1 || baseline.rows === rows) return baseline
  const received = rendered(`${baseline.rows} rows`)
  baseline.dispose()
  throw shapeError('saliency baseline', `1 or ${rows} rows`, received)
}

function inputSaliency<D extends DType>(
  model: Model<D>,
  inputs: NativeDataset,
  options: Record<string, unknown>,
): InputSaliency<D> {
  const map = oneOf(options.method ?? 'gradient', 'saliency method', methods) as NativeInputMap
  const integrates = map === 'integratedGradients'
  checkKnownKeys(options, integrates ? [...commonKeys, 'baseline', 'steps'] : commonKeys, `saliency '${map}' options`)
  const { rows } = inputs
  const explained = explainedInput(options, model, rows, 1)
  const steps =
    options.steps === undefined ? 50 : integerInRange(options.steps, 'saliency steps', { min: 1, max: mostSteps })
  const baselineValues = integrates ? new Float64Array(rows) : null
  const baseline = baselineInput(options.baseline, model, rows)
  try {
    const data = floatArray(model.dtype, rows * model.inputs)
    addon().inputSaliency(handleOf(model), inputs, explained, { map, steps, baseline, baselineValues }, data)
    const { targets, values } = explained
    const result = { maps: { data, shape: [rows, model.inputs] as const }, targets, values }
    return baselineValues === null ? result : { ...result, baselineValues }
  } finally {
    baseline?.dispose()
  }
}

/** Names of the dense layers with their numbers in the order of the parameters; not those of other heads. */
function denseLayers(model: AnyModel, head: number): Map<string, number> {
  const name = model.outputs[head]?.name ?? ''
  const weights = model.tensors.filter(({ shape }) => shape.length === 2)
  const all = weights.map((tensor, number) => [tensor.name.replace(/\.weight$/, ''), number] as const)
  return new Map(all.filter(([layer]) => !layer.startsWith('heads.') || layer.startsWith(`heads.${name}.`)))
}

function layerSaliency<D extends DType>(
  model: Model<D>,
  inputs: NativeDataset,
  options: Record<string, unknown>,
): LayerSaliency<D> {
  checkKnownKeys(options, [...commonKeys, 'variant', 'layers', 'positions', 'combine'], "saliency 'normGrad' options")
  const variant = oneOf(options.variant ?? 'norm', 'saliency variant', variants)
  const { rows } = inputs
  const positions =
    options.positions === undefined ? 1 : integerInRange(options.positions, 'saliency positions', { min: 1, max: rows })
  const samples = rows / positions
  if (!Number.isInteger(samples)) throw optionError('saliency positions', `a divisor of the ${rows} rows`, positions)
  const explained = explainedInput(options, model, samples, positions)
  const known = denseLayers(model, explained.head)
  const names =
    options.layers === undefined
      ? [...known.keys()]
      : arrayOf(options.layers, 'saliency layers', (item, path) => oneOf(item, path, [...known.keys()]), {
          minLength: 1,
        })
  const combine = options.combine === undefined ? undefined : (options.combine as CombineMapsOptions)
  if (combine !== undefined) {
    combineInput(combine, names.length, 'saliency combine')
    if (positions < 2) throw optionError('saliency combine', 'several positions, over which maps are scaled', combine)
  }
  const data = floatArray(model.dtype, rows * names.length)
  addon().layerSaliency(
    handleOf(model),
    inputs,
    explained,
    {
      map: variant === 'identity' ? 'norm' : variant,
      identity: variant !== 'norm' && variant !== 'normWithBias',
      layers: names.map((name) => known.get(name) as number),
    },
    data,
  )
  const layers = names.map((layer, index) => {
    const values = data.slice(index * rows, (index + 1) * rows) as TypedArrayOf<D>
    return { layer, maps: { data: values, shape: [samples, positions] as const } }
  })
  const { targets, values } = explained
  const result = { layers, targets, values }
  if (combine === undefined) return result
  return {
    ...result,
    combined: combineMaps(
      layers.map(({ maps }) => maps),
      combine,
    ),
  }
}

function run(model: unknown, inputs: MatrixLike, options: unknown): InputSaliency | LayerSaliency {
  handleOf(model)
  checkKnownKeys(
    options,
    [...commonKeys, 'baseline', 'steps', 'variant', 'layers', 'positions', 'combine'],
    'saliency options',
  )
  const network = model as Model
  const dataset = nativeDataset(inputs, 'inputs', network)
  try {
    return options.method === 'normGrad'
      ? layerSaliency(network, dataset, options)
      : inputSaliency(network, dataset, options)
  } finally {
    dataset.dispose()
  }
}

/**
 * What in the inputs, or in the layers, an output f depends on. f is an output of the network (before any link), dropout is
 * off, x a row of the inputs (bytes times inputScale), g = df/dx.
 *
 * Maps over inputs, [N, inputs]:
 * - `'gradient'`: g
 * - `'gradientInput'`: x ∘ g; `'absoluteGradientInput'`: |x| ∘ |g|
 * - `'integratedGradients'`: (x − b) ∘ the mean of g on the line from the baseline b to x; a row sums to f(x) − f(b)
 * - `'columnNorm'`: |xₖ| ‖δ‖, the norm of column k of the gradient of the weights that read the input, δ the gradient by
 *   that layer's sums
 *
 * `'normGrad'` gives one number for each row and dense layer from x, what the layer reads, and δ:
 * - `'norm'`: ‖x‖ ‖δ‖, the norm of the weight's gradient; `'normWithBias'`: √(‖x‖² + 1) ‖δ‖
 * - the others put an identity layer before the layer, so that its gradient g is that by x itself: `'identity'` ‖x‖ ‖g‖,
 *   `'scaling'` ‖x ∘ g‖, `'selective'` ‖max(x ∘ g, 0)‖, `'linear'` Σ x g, `'bias'` ‖g‖, `'gradientMax'` max |g|
 *
 * With `positions` the network is shared by several rows of a sample, f is the sum over them, and these numbers are maps.
 *
 * @param inputs a matrix, nested rows, or one row
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example
 * const { maps, targets } = saliency(model, images, { method: 'integratedGradients', steps: 64 })
 *
 * Sundararajan, Taly & Yan 2017 (arXiv 1703.01365); Rebuffi, Fong, Ji & Vedaldi 2020 (arXiv 2004.02866).
 */
export function saliency<D extends DType, H extends string = never>(
  model: Model<D, H>,
  inputs: MatrixLike,
  options: NormGradOptions<H>,
): LayerSaliency<D>
export function saliency<D extends DType, H extends string = never>(
  model: Model<D, H>,
  inputs: MatrixLike,
  options?: InputSaliencyOptions<H>,
): InputSaliency<D>
export function saliency(model: unknown, inputs: MatrixLike, options: unknown = {}): unknown {
  return run(model, inputs, options)
}

/** The one map [samples, positions] of a result. */
function onlyMap(result: InputSaliency | LayerSaliency): FloatMatrix<DType> {
  if ('maps' in result) return result.maps
  if (result.combined !== undefined) return result.combined
  const [first, second] = result.layers
  if (first === undefined || second !== undefined) {
    throw optionError(joinPath('saliency', 'layers'), 'one layer, or a combination of several', result.layers.length)
  }
  return first.maps
}

/**
 * How far maps depend on what they explain: Spearman's rank correlation of the maps for the largest and for the smallest
 * output of each input, averaged over inputs. Two calls of `saliency`.
 *
 * @param options those of `saliency`, without `target`; with `'normGrad'` one layer or a combination, and several positions
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 *
 * Rebuffi, Fong, Ji & Vedaldi 2020 (arXiv 2004.02866).
 */
export function classSensitivity<D extends DType, H extends string = never>(
  model: Model<D, H>,
  inputs: MatrixLike,
  options: Omit<InputSaliencyOptions<H>, 'target'> | Omit<NormGradOptions<H>, 'target'> = {},
): ClassSensitivity {
  const given: Record<string, unknown> = { ...options }
  if (given.target !== undefined)
    throw optionError('classSensitivity target', 'none: two outputs are explained', given.target)
  const most = onlyMap(run(model, inputs, { ...given, target: 'mostProbable' }))
  if (most.shape[1] < 2) {
    throw optionError('classSensitivity positions', 'at least two, to be ranked', given.positions ?? 1)
  }
  const least = onlyMap(run(model, inputs, { ...given, target: 'leastProbable' }))
  const correlations = rankCorrelation(most, least)
  const finite = correlations.filter(Number.isFinite)
  return { correlation: finite.reduce((sum, value) => sum + value, 0) / finite.length, correlations }
}
