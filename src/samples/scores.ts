import { linearize } from '../curvature/linearize.js'
import type { Matrix } from '../data/matrix.js'
import { toMatrix } from '../data/matrix.js'
import type { Targets } from '../data/targets.js'
import { toTargets } from '../data/targets.js'
import { optionError, rendered } from '../internal/errors.js'
import type { DType, FloatArray } from '../internal/native.js'
import { checkKnownKeys, finiteArray, integerInRange, numberInRange, oneOf } from '../internal/validate.js'
import type { Loss, LossOption } from '../losses/losses.js'
import { resolveLoss, softmaxCrossEntropy, wantsClasses } from '../losses/losses.js'
import type { AnyModel, Model } from '../model/model.js'
import { handleOf } from '../model/model.js'
import type { TrainingData } from '../training/tasks.js'
import { ascending, descending } from './scores-order.js'

const sampleScores = ['grand', 'el2n', 'errorL1', 'margin', 'marginSum'] as const

/** A figure of how hard a sample is; larger is harder. p: softmax of the outputs, y: the label. */
export type SampleScore = (typeof sampleScores)[number]

export type ScoreOptions = {
  /**
   * - `grand`: ‖∇ℓ‖, the norm of the sample's own gradient by all parameters
   * - `el2n` (default): ‖p − onehot(y)‖
   * - `errorL1`: Σ_c |p − onehot(y)|_c
   * - `margin`: the largest p_c − p_y over wrong classes c
   * - `marginSum`: their sum
   */
  readonly score?: SampleScore
  /** ℓ of `grand`; default softmaxCrossEntropy(). */
  readonly loss?: LossOption
  /** Samples at a time; default 1024. */
  readonly batchSize?: number
}

export type SampleScores = {
  /** The mean over the models, one number a sample. */
  readonly scores: Float64Array<ArrayBuffer>
  /** Those of each model. */
  readonly perModel: readonly Float64Array<ArrayBuffer>[]
}

/**
 * Scores every sample of a data set by models that differ in initialisation, and in the order of the data if they have
 * been trained, and averages over them. Weights of samples play no part.
 *
 * @param models one, or any iterable: a generator can make, train and dispose of them one at a time
 * @param data inputs and targets; class indices for all scores but `grand`
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE, ERR_BUSY
 * @example scoreSamples([first, second], { inputs, targets }, { score: 'grand' }).scores
 * @see Paul, Ganguli & Dziugaite 2021 (arXiv 2107.07075)
 */
export function scoreSamples<D extends DType>(
  models: Model<D> | Iterable<Model<D>>,
  data: TrainingData,
  options: ScoreOptions = {},
): SampleScores {
  const name = 'scoreSamples'
  checkKnownKeys(options, ['score', 'loss', 'batchSize'], `${name} options`)
  const given = options as ScoreOptions
  const score = oneOf(given.score ?? 'el2n', `${name} score`, sampleScores)
  if (score !== 'grand' && given.loss !== undefined) {
    throw optionError(`${name} loss`, `none with score '${score}', which knows no loss`, given.loss)
  }
  const loss = given.loss === undefined ? softmaxCrossEntropy() : resolveLoss(given.loss, 'loss')
  const batchSize = integerInRange(given.batchSize ?? 1024, `${name} batchSize`, { min: 1 })
  checkKnownKeys(data, ['inputs', 'targets', 'sampleWeights', 'names'], 'data', { noun: 'part' })
  const perModel: Float64Array<ArrayBuffer>[] = []
  for (const model of modelsOf(models)) {
    handleOf(model)
    if (model.headNames.length > 0) {
      throw optionError('model', 'one output', rendered(`the heads ${model.headNames.join(', ')}`))
    }
    const single = model as unknown as Single
    perModel.push(
      score === 'grand' ? gradientNorms(single, data, loss, batchSize) : errorScores(single, data, score, batchSize),
    )
  }
  if (perModel.length === 0) throw optionError('models', 'at least one model', rendered('none'))
  return { scores: meanOf(perModel), perModel }
}

type Single = Model<DType, never>

function modelsOf(value: unknown): Iterable<AnyModel> {
  if (typeof value === 'object' && value !== null && Symbol.iterator in value) return value as Iterable<AnyModel>
  return [value as AnyModel]
}

function meanOf(lists: readonly Float64Array[]): Float64Array<ArrayBuffer> {
  const mean = new Float64Array(lists[0]?.length ?? 0)
  for (const list of lists) {
    for (let index = 0; index < mean.length; index++) {
      mean[index] = (mean[index] as number) + (list[index] as number) / lists.length
    }
  }
  return mean
}

/** Rows `first` to `first + count` of a matrix: a view. */
function rowsOf({ data, shape }: Matrix, first: number, count: number): Matrix {
  const columns = shape[1]
  return { data: data.subarray(first * columns, (first + count) * columns), shape: [count, columns] }
}

function inputsOf(model: Single, data: TrainingData): Matrix {
  return toMatrix(data.inputs, 'inputs', { columns: model.inputs, dtype: model.dtype })
}

/** Chunk by chunk: what a point keeps of a chunk serves its norms too. */
function gradientNorms(model: Single, data: TrainingData, loss: Loss, batchSize: number): Float64Array<ArrayBuffer> {
  const inputs = inputsOf(model, data)
  const rows = inputs.shape[0]
  const width = model.outputs[0]?.width ?? 0
  const targets: Targets = wantsClasses(loss)
    ? toTargets(data.targets, 'targets', { kind: 'class', classes: width, rows })
    : toTargets(data.targets, 'targets', { kind: 'dense', columns: width, rows })
  const norms = new Float64Array(rows)
  for (let first = 0; first < rows; first += batchSize) {
    const count = Math.min(batchSize, rows - first)
    const part = targets instanceof Int32Array ? targets.slice(first, first + count) : rowsOf(targets, first, count)
    const point = linearize(model, { inputs: rowsOf(inputs, first, count), targets: part }, loss)
    try {
      norms.set(point.perSampleGradientNorms(), first)
    } finally {
      point.dispose()
    }
  }
  return norms
}

function errorScores(
  model: Single,
  data: TrainingData,
  score: Exclude<SampleScore, 'grand'>,
  batchSize: number,
): Float64Array<ArrayBuffer> {
  const output = model.outputs[0]
  const width = output?.width ?? 0
  if (width < 2) throw optionError('model', `at least two outputs for score '${score}'`, rendered(`${width}`))
  if (output?.squashed === true) {
    throw optionError('model', 'logits as outputs: a last layer without activation', rendered('a squashed output'))
  }
  const inputs = inputsOf(model, data)
  const rows = inputs.shape[0]
  const labels = toTargets(data.targets, 'targets', { kind: 'class', classes: width, rows })
  const scores = new Float64Array(rows)
  const probabilities = new Float64Array(width)
  for (let first = 0; first < rows; first += batchSize) {
    const count = Math.min(batchSize, rows - first)
    const outputs = model.predict(rowsOf(inputs, first, count)).data
    for (let row = 0; row < count; row++) {
      softmax(outputs.subarray(row * width, (row + 1) * width), probabilities)
      scores[first + row] = errorScore(probabilities, labels[first + row] as number, score)
    }
  }
  return scores
}

function softmax(logits: ArrayLike<number>, out: Float64Array): void {
  let top = Number.NEGATIVE_INFINITY
  for (let c = 0; c < out.length; c++) top = Math.max(top, logits[c] as number)
  let sum = 0
  for (let c = 0; c < out.length; c++) {
    out[c] = Math.exp((logits[c] as number) - top)
    sum += out[c] as number
  }
  for (let c = 0; c < out.length; c++) out[c] = (out[c] as number) / sum
}

function errorScore(p: Float64Array, label: number, score: Exclude<SampleScore, 'grand'>): number {
  const own = p[label] as number
  // 1 − p of the label by the others, which keeps its digits where p is nearly 1.
  let rest = 0
  let squares = 0
  let largest = 0
  for (let c = 0; c < p.length; c++) {
    if (c === label) continue
    const value = p[c] as number
    rest += value
    squares += value * value
    largest = Math.max(largest, value)
  }
  switch (score) {
    case 'el2n':
      return Math.sqrt(squares + rest * rest)
    case 'errorL1':
      return 2 * rest
    case 'margin':
      return largest - own
    case 'marginSum':
      return rest - (p.length - 1) * own
  }
}

// --- choosing by scores ------------------------------------------------------------------------------------------------

/**
 * Which samples to keep: those of largest score; with `offset`, the `keep` that follow the `offset` smallest, which leaves
 * out the largest as well. Equal scores are ordered by their index.
 *
 * @returns indices, ascending
 * @throws KrylovError ERR_OPTION, ERR_NOT_FINITE
 * @example selectSamples(data, pruneByScore(scores, { keep: 30000 }))
 */
export function pruneByScore(
  scores: FloatArray | readonly number[],
  options: { readonly keep: number; readonly offset?: number },
): Uint32Array<ArrayBuffer> {
  const name = 'pruneByScore'
  const values = finiteArray(scores, 'scores')
  checkKnownKeys(options, ['keep', 'offset'], `${name} options`)
  const keep = integerInRange(options.keep, `${name} keep`, { min: 1, max: values.length })
  const most = values.length - keep
  const offset = integerInRange(options.offset ?? most, `${name} offset`, { min: 0, max: most })
  return ascending(values)
    .slice(offset, offset + keep)
    .sort()
}

/**
 * Candidates for wrong labels: the share of samples with the largest scores.
 *
 * @param options `share` of the samples, rounded to whole ones, above 0
 * @returns indices, the most suspicious first
 * @throws KrylovError ERR_OPTION, ERR_NOT_FINITE
 */
export function noisyLabelCandidates(
  scores: FloatArray | readonly number[],
  options: { readonly share: number },
): Uint32Array<ArrayBuffer> {
  const name = 'noisyLabelCandidates'
  const values = finiteArray(scores, 'scores')
  checkKnownKeys(options, ['share'], `${name} options`)
  const share = numberInRange(options.share, `${name} share`, { above: 0, max: 1 })
  const count = Math.round(share * values.length)
  if (count === 0) throw optionError(`${name} share`, `at least half a sample of ${values.length}`, share)
  return descending(values).slice(0, count)
}
