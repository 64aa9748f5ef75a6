import { LinearizedPoint, linearize } from '../curvature/linearize.js'
import type { DatasetLike } from '../data/dataset.js'
import { toMatrix } from '../data/matrix.js'
import { toTargets } from '../data/targets.js'
import type { TypedArrayOf } from '../internal/arrays.js'
import type { DType, FloatArray, NativePoint } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { checkKnownKeys, integerInRange, optional, seed as seedOption } from '../internal/validate.js'
import { wantsClasses } from '../losses/losses.js'
import type { AnyModel, Model } from '../model/model.js'
import { handleOf } from '../model/model.js'
import { pairwiseCosines } from '../samples/cosines.js'
import { descending } from '../samples/scores-order.js'
import { selectSamples } from '../samples/scores-select.js'
import type { HeadLosses, HeadTask, TrainingData } from '../training/tasks.js'
import { resolveTasks } from '../training/tasks.js'
import { findingsOf } from './findings.js'
import type { ClassDiagnosis, Diagnosis, LayerDiagnosis, NormDistribution, OutputDiagnosis } from './result.js'
import { diagnosisThresholds as limits } from './result.js'

export type DiagnoseOptions<H extends string = never> = {
  /** The loss, or one for each head (with a weight: `{ loss, weight }`). */
  readonly loss: HeadLosses<H>
  /** Rows of the data to look at, at most, drawn by the seed; default 512. */
  readonly samples?: number
  /** Samples of a training step, to hold against the noise scale; default none: nothing is said of it. */
  readonly batchSize?: number
  /** Samples of largest loss to name; default 10. */
  readonly largest?: number
  /** Of the rows; default 0. */
  readonly seed?: number
}

const keys = ['loss', 'samples', 'batchSize', 'largest', 'seed']
/** More would make a Gram matrix of more than 128 MB. */
const mostSamples = 4096

type Point = LinearizedPoint<DType, string>
type Subject = { readonly model: AnyModel; readonly data: TrainingData<string>; readonly tasks: readonly HeadTask[] }

/** So that timers and requests get their turn between the parts. */
function rest(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/**
 * Looks at a model on a sample of data: gradients by layer, their norms and angles sample by sample, their noise; units that
 * pass on nothing; loss by class; with heads the angles between tasks. What stands out is a finding with its number, its
 * threshold and what to try. The model is not changed; each part is synchronous, with pauses between them.
 *
 * @param data `{ inputs, targets, sampleWeights? }`, training data above all
 * @returns plain data; `diagnosisText` and `writeDiagnosis` show it
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE; ERR_BUSY while a run trains the model
 * @example
 * const diagnosis = await diagnose(model, data, { loss: softmaxCrossEntropy(), batchSize: 32 })
 * console.log(diagnosisText(diagnosis))
 */
export async function diagnose<D extends DType, H extends string>(
  model: Model<D, H>,
  data: TrainingData<H>,
  options: DiagnoseOptions<H>,
): Promise<Diagnosis> {
  handleOf(model)
  checkKnownKeys(options, keys, 'diagnose options')
  const network = model as unknown as AnyModel
  const { batchSize } = options
  const count = optional(options.samples, 512, (value) =>
    integerInRange(value, 'diagnose samples', { min: 2, max: mostSamples }),
  )
  const largest = optional(options.largest, 10, (value) => integerInRange(value, 'diagnose largest', { min: 0 }))
  const seed = optional(options.seed, 0, (value) => seedOption(value, 'diagnose seed'))
  if (batchSize !== undefined) integerInRange(batchSize, 'diagnose batchSize', { min: 1 })
  const tasks = resolveTasks(network, options.loss, [])
  checkKnownKeys(data, ['inputs', 'targets', 'sampleWeights', 'names'], 'data', { noun: 'part' })
  const inputs = toMatrix(data.inputs, 'inputs', { columns: network.inputs, dtype: network.dtype })
  const rows = addon().permutation(seed, 0, inputs.shape[0]).subarray(0, count).slice().sort()
  const sample = selectSamples({ ...data, inputs } as unknown as DatasetLike, rows) as unknown as TrainingData<string>
  const subject: Subject = { model: network, data: sample, tasks }
  const whole = pointOf(subject)
  try {
    const labels = labelsOf(subject, rows.length)
    const gradients = gradientsOf(subject, whole)
    await rest()
    const only = labels.length === 1 ? labels[0] : undefined
    const gram = whole.gramMatrix()
    const pairs = pairwiseCosines(
      finite(gram.data) ? gram : empty(rows.length),
      only === undefined ? {} : { classes: only },
    )
    await rest()
    const { outputs, shared, suspects } = await outputsOf(subject, whole, labels, rows, largest)
    const { mean, negativeShare, within, between } = pairs
    const measured = {
      samples: rows.length,
      rows: Array.from(rows),
      parameterCount: network.parameterCount,
      ...(batchSize === undefined ? {} : { batchSize }),
      loss: whole.loss,
      ...gradients,
      cosines: {
        mean,
        negativeShare,
        ...(within === undefined || between === undefined ? {} : { within, between }),
      },
      outputs,
      ...(shared.length < 2
        ? {}
        : { taskCosines: { heads: outputs.map(({ head }) => head), data: Array.from(pairwiseCosines(shared).data) } }),
    }
    return { ...measured, findings: findingsOf(measured, suspects) }
  } finally {
    whole.dispose()
  }
}

function empty(size: number): { data: Float64Array; shape: readonly [number, number] } {
  return { data: new Float64Array(size * size), shape: [size, size] }
}

function finite(values: Float64Array): boolean {
  return values.every(Number.isFinite)
}

/** The point of all heads, or of one: the others' losses have no weight then. Losses that are sums are looked at as means. */
function pointOf({ model, data, tasks }: Subject, head?: string): Point {
  const named = tasks.map(({ output, loss: own, weight }) => {
    const loss = { ...own, reduction: 'mean' }
    return [output.name, { loss, weight: head === undefined ? weight : Number(output.name === head) }] as const
  })
  const single = model.headNames.length === 0
  const loss = single ? named[0]?.[1].loss : Object.fromEntries(named)
  return linearize(model as unknown as Model<DType, string>, data, loss as unknown as HeadLosses<string>)
}

/** Labels of the outputs that have some: class indices, or numbers 0 and 1 of a single output under binaryCrossEntropy. */
function labelsOf({ data, tasks }: Subject, rows: number): (Int32Array | undefined)[] {
  return tasks.map(({ output, loss }) => {
    const own = output.name === '' ? data.targets : (data.targets as Record<string, unknown>)[output.name]
    if (wantsClasses(loss)) {
      return toTargets(own, 'targets', { kind: 'class', classes: output.width, rows }) as Int32Array
    }
    if (loss.kind !== 'binaryCrossEntropy' || output.width !== 1) return undefined
    const values = toTargets(own, 'targets', { kind: 'dense', columns: 1, rows })
    if (values instanceof Int32Array) return undefined
    return Array.from(values.data).every((value) => value === 0 || value === 1)
      ? Int32Array.from(values.data)
      : undefined
  })
}

function quantile(ascending: Float64Array, share: number): number {
  return ascending[Math.round(share * (ascending.length - 1))] ?? Number.NaN
}

function distributionOf(norms: Float64Array): NormDistribution {
  const sorted = norms.slice().sort()
  const sum = sorted.reduce((total, norm) => total + norm, 0)
  const top = Math.max(1, Math.round(sorted.length / 100))
  const largest = sorted.subarray(sorted.length - top).reduce((total, norm) => total + norm, 0)
  return {
    mean: sum / sorted.length,
    quantiles: {
      p10: quantile(sorted, 0.1),
      p50: quantile(sorted, 0.5),
      p90: quantile(sorted, 0.9),
      p99: quantile(sorted, 0.99),
    },
    largest: sorted.at(-1) ?? Number.NaN,
    topShare: sum > 0 ? largest / sum : 0,
  }
}

const squareOf = (part: FloatArray): number => addon().vectorProducts([part], new Float64Array(1))[0] ?? Number.NaN

type Gradients = Pick<Diagnosis, 'gradientNorm' | 'variance' | 'noiseScale' | 'norms' | 'deltaRatio' | 'layers'>

function gradientsOf({ model }: Subject, point: Point): Gradients {
  const statistics = point.gradientStatistics()
  const { traceUnbiased, squaredGradientUnbiased, simpleUnbiased } = statistics.noiseScale
  const layers = layersOf(model, point)
  const outputs = layers.filter(({ name }) => isOutput(model, name)).map(({ deltaNorm }) => deltaNorm)
  const first = layers[0]?.deltaNorm ?? 0
  return {
    gradientNorm: Math.sqrt(statistics.squaredMeanNorm),
    variance: traceUnbiased,
    noiseScale: squaredGradientUnbiased > 0 ? simpleUnbiased : Number.NaN,
    norms: distributionOf(Float64Array.from(statistics.squaredNorms, Math.sqrt)),
    deltaRatio: outputs.length === 0 ? 1 : first / Math.max(...outputs),
    layers,
  }
}

/** Whether the layer of that name is the last with parameters on the way to an output. */
function isOutput(model: AnyModel, name: string): boolean {
  const names = layerNames(model)
  const ends = model.headNames.length === 0 ? ['layers.'] : model.headNames.map((head) => `heads.${head}.`)
  const last = ends.map((start) => names.filter((one) => one.startsWith(start)).at(-1))
  return last.includes(name) || (model.headNames.length > 0 && last.includes(undefined) && name === names.at(-1))
}

function layerNames(model: AnyModel): string[] {
  return [...new Set(model.tensors.map(({ name }) => name.slice(0, name.lastIndexOf('.'))))]
}

function layersOf(model: AnyModel, point: Point): LayerDiagnosis[] {
  const gradient = point.gradient() as TypedArrayOf<DType>
  const squares = point.perSampleSquaredNorms({ by: 'tensor' })
  const columns = squares.names.length
  const meanNorm = (wanted: (tensor: string) => boolean): number => {
    const own = squares.names.flatMap((tensor, column) => (wanted(tensor) ? [column] : []))
    let sum = 0
    for (let row = 0; row < point.sampleCount; row++) {
      sum += Math.sqrt(own.reduce((total, column) => total + (squares.data[row * columns + column] as number), 0))
    }
    return sum / point.sampleCount
  }
  const activity = new Map(
    addon()
      .unitActivity(LinearizedPoint.handleOf(point) as NativePoint, limits.slope)
      .map((layer) => [layer.name, layer] as const),
  )
  return layerNames(model).map((name) => {
    const tensors = model.tensors.filter((tensor) => tensor.name.slice(0, tensor.name.lastIndexOf('.')) === name)
    const square = tensors.reduce(
      (sum, { offset, size }) => sum + squareOf(gradient.subarray(offset, offset + size) as FloatArray),
      0,
    )
    const inside = (tensor: string): boolean => tensor.slice(0, tensor.lastIndexOf('.')) === name
    const bias = `${name}.bias`
    const own = activity.get(name)
    // An output that is squashed is to be: saturated there means sure of itself.
    const units = own === undefined || isOutput(model, name) ? undefined : own
    return {
      name,
      parameters: tensors.reduce((sum, { size }) => sum + size, 0),
      gradientNorm: Math.sqrt(square),
      meanSampleNorm: meanNorm(inside),
      deltaNorm: meanNorm(tensors.some((tensor) => tensor.name === bias) ? (tensor) => tensor === bias : inside),
      ...(units === undefined
        ? {}
        : {
            units: {
              count: units.flat.length,
              activation: units.rectifies ? ('relu' as const) : ('other' as const),
              quiet: units.flat.filter((rows) => rows >= limits.quietSamples * point.sampleCount).length,
            },
          }),
    }
  })
}

function classesOf(labels: Int32Array, width: number, losses: Float64Array): ClassDiagnosis[] {
  const counts = new Float64Array(width)
  const sums = new Float64Array(width)
  labels.forEach((label, row) => {
    counts[label] = (counts[label] as number) + 1
    sums[label] = (sums[label] as number) + (losses[row] as number)
  })
  return Array.from(counts, (samples, label) => ({
    label,
    samples,
    share: samples / labels.length,
    meanLoss: samples === 0 ? Number.NaN : (sums[label] as number) / samples,
  }))
}

type Suspects = { readonly head: string; readonly share: number; readonly count: number }

/** Samples that the model is sure are of another class, where it fits most of them. */
function suspectsOf(head: string, losses: Float64Array, classes: number): Suspects {
  const chance = Math.log(classes)
  const fits = quantile(losses.slice().sort(), 0.5) < chance / 2
  const count = fits ? losses.filter((loss) => loss >= chance + limits.contradiction).length : 0
  return { head, share: count / losses.length, count }
}

async function outputsOf(
  subject: Subject,
  whole: Point,
  labels: readonly (Int32Array | undefined)[],
  rows: Uint32Array,
  largest: number,
): Promise<{ outputs: OutputDiagnosis[]; shared: FloatArray[]; suspects: Suspects[] }> {
  const outputs: OutputDiagnosis[] = []
  const shared: FloatArray[] = []
  const suspects: Suspects[] = []
  const { model, tasks } = subject
  const common = model.tensors.find(({ name }) => name.startsWith('heads.'))?.offset ?? model.parameterCount
  for (const [index, { output, weight }] of tasks.entries()) {
    const point = output.name === '' ? whole : pointOf(subject, output.name)
    try {
      const own = labels[index]
      const losses = point.lossPerSample
      const width = Math.max(2, output.width)
      const gradient = point.gradient().slice(0, common) as FloatArray
      if (output.name !== '' && common > 0) shared.push(gradient)
      if (own !== undefined) suspects.push(suspectsOf(output.name, losses, width))
      outputs.push({
        head: output.name,
        loss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
        gradientNorm: weight * Math.sqrt(squareOf(gradient)),
        ...(own === undefined ? {} : { classes: classesOf(own, width, losses) }),
        largestLosses: Array.from(descending(losses).slice(0, largest), (at) => ({
          row: rows[at] as number,
          loss: losses[at] as number,
          ...(own === undefined ? {} : { label: own[at] as number }),
        })),
      })
    } finally {
      if (point !== whole) point.dispose()
    }
    await rest()
  }
  return { outputs, shared, suspects }
}
