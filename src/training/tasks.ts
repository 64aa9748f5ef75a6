import type { Dataset, DatasetLike } from '../data/dataset.js'
import { toDataset } from '../data/dataset.js'
import type { Matrix, MatrixLike } from '../data/matrix.js'
import type { TargetSpec, Targets, TargetsLike, WeightsLike } from '../data/targets.js'
import { KrylovError, optionError } from '../internal/errors.js'
import type { NativeDataset, NativeEvaluation, NativeHeadTask, NativeTargets } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { checkKnownKeys, isRecord, joinPath, numberInRange } from '../internal/validate.js'
import type { Loss, LossOption } from '../losses/losses.js'
import { linkOf, resolveLoss, toNativeLoss, wantsClasses, wantsLogits } from '../losses/losses.js'
import type { AnyModel, OutputInfo } from '../model/model.js'
import type { Task } from '../model/spec.js'
import type { Metric, MetricName, MetricOption } from './metrics.js'
import { defaultMetrics, resolveMetric, toNativeMetric } from './metrics.js'

/*
 * What a model is asked to learn: for each output a loss, its weight in the total, and metrics. Losses, targets and
 * metrics of a model with heads are objects with the heads' keys.
 */

/** A head's loss with its weight in the total loss (default 1). */
export type WeightedLoss = { readonly loss: LossOption; readonly weight?: number }
export type HeadLosses<H extends string> = [H] extends [never]
  ? LossOption
  : { readonly [K in H]: LossOption | WeightedLoss }
export type HeadMetrics<H extends string> =
  | readonly MetricOption[]
  | ([H] extends [never] ? never : { readonly [K in H]?: readonly MetricOption[] })

/** Data for a model: inputs, and targets of each output. */
export type TrainingData<H extends string = never> = {
  readonly inputs: MatrixLike
  readonly targets: [H] extends [never] ? TargetsLike : { readonly [K in H]: TargetsLike }
  readonly sampleWeights?: WeightsLike | undefined
  readonly names?: DatasetLike['names']
}

/** One output with everything decided about it. */
export type HeadTask = {
  readonly output: OutputInfo
  readonly loss: Loss
  readonly weight: number
  readonly metrics: readonly Metric[]
}

/** Values of one output: its loss and the metrics asked for. */
export type HeadEvaluation = { readonly loss: number } & { readonly [M in MetricName]?: number }
/** The total loss; metrics of the only output, or the values of each head. */
export type Evaluation = HeadEvaluation & { readonly heads?: Readonly<Record<string, HeadEvaluation>> }

function isWeighted(value: unknown): value is { loss: unknown; weight?: unknown } {
  return isRecord(value) && value.kind === undefined && value.loss !== undefined
}

function headTask(output: OutputInfo, loss: unknown, weight: unknown, metrics: unknown, paths: Paths): HeadTask {
  const resolved = resolveLoss(loss, paths.loss)
  if (wantsLogits(resolved) && output.squashed) {
    throw optionError(
      paths.loss,
      `a loss on values, since the output${output.name === '' ? '' : ` '${output.name}'`} is already squashed; or end with an identity activation`,
      `${resolved.kind} (which takes logits)`,
    )
  }
  const classWeights = 'classWeights' in resolved ? resolved.classWeights : null
  if (classWeights !== null && classWeights.length !== output.width) {
    throw optionError(
      joinPath(paths.loss, 'classWeights'),
      `${output.width} numbers, one for each output`,
      classWeights,
    )
  }
  if (resolved.kind === 'softmaxCrossEntropy' && output.width < 2) {
    throw optionError(
      paths.loss,
      'at least two outputs for softmaxCrossEntropy; use binaryCrossEntropy for one',
      output.width,
    )
  }
  const list = metrics === undefined ? defaultMetrics(resolved) : metrics
  if (!Array.isArray(list)) throw optionError(paths.metrics, 'an array of metrics', metrics)
  const found = list.map((metric: unknown, index) =>
    resolveMetric(metric, joinPath(paths.metrics, index), resolved, output.width),
  )
  found.forEach(({ name }, index) => {
    if (found.findIndex((metric) => metric.name === name) !== index) {
      throw optionError(joinPath(paths.metrics, index), 'each metric once', name)
    }
  })
  return {
    output,
    loss: resolved,
    weight: weight === undefined ? 1 : numberInRange(weight, paths.weight, { min: 0 }),
    metrics: found,
  }
}

type Paths = { readonly loss: string; readonly weight: string; readonly metrics: string }

/**
 * Decides losses, weights and metrics for each output.
 *
 * @param lossWeights by head; may not name a head whose loss comes with a weight
 */
export function resolveTasks(model: AnyModel, loss: unknown, metrics: unknown, lossWeights?: unknown): HeadTask[] {
  const { outputs } = model
  const names: readonly string[] = model.headNames
  if (loss === undefined) throw optionError('loss', 'a loss, such as softmaxCrossEntropy()', loss)
  if (names.length === 0) {
    if (lossWeights !== undefined) throw optionError('lossWeights', 'a model with heads', lossWeights)
    return outputs.map((output) =>
      headTask(output, loss, undefined, metrics, { loss: 'loss', weight: 'loss.weight', metrics: 'metrics' }),
    )
  }
  checkKnownKeys(loss, names, 'loss')
  if (lossWeights !== undefined) checkKnownKeys(lossWeights, names, 'lossWeights')
  if (metrics !== undefined && !Array.isArray(metrics)) checkKnownKeys(metrics, names, 'metrics')
  const weights = lossWeights as Record<string, unknown> | undefined
  return outputs.map((output) => {
    const { name } = output
    const given = loss[name]
    const path = joinPath('loss', name)
    if (given === undefined) throw optionError(path, 'a loss for this head', given)
    if (isWeighted(given)) {
      checkKnownKeys(given, ['loss', 'weight'], path)
      if (given.weight !== undefined && weights?.[name] !== undefined) {
        throw optionError(joinPath('lossWeights', name), `no second weight beside ${path}.weight`, weights[name])
      }
    }
    const weighted = isWeighted(given)
    return headTask(
      output,
      weighted ? given.loss : given,
      (weighted ? given.weight : undefined) ?? weights?.[name],
      Array.isArray(metrics) ? metrics : (metrics as Record<string, unknown> | undefined)?.[name],
      {
        loss: weighted ? joinPath(path, 'loss') : path,
        weight: weighted ? joinPath(path, 'weight') : joinPath('lossWeights', name),
        metrics: Array.isArray(metrics) ? 'metrics' : joinPath('metrics', name),
      },
    )
  })
}

/** What the outputs mean under these losses. */
export function taskOf(tasks: readonly HeadTask[]): Task {
  const [first] = tasks
  if (first !== undefined && first.output.name === '') return linkOf(first.loss)
  return Object.freeze(Object.fromEntries(tasks.map(({ output, loss }) => [output.name, linkOf(loss)])))
}

export function toNativeTasks(tasks: readonly HeadTask[]): NativeHeadTask[] {
  return tasks.map(({ loss, weight, metrics }) => ({
    loss: toNativeLoss(loss, weight),
    metrics: metrics.map(toNativeMetric),
  }))
}

function targetSpec({ loss, output }: HeadTask): TargetSpec {
  return wantsClasses(loss) ? { kind: 'class', classes: output.width } : { kind: 'dense', columns: output.width }
}

function toNativeTargets(targets: Targets): NativeTargets {
  if (targets instanceof Int32Array) return { kind: 'classes', data: targets }
  const { data, shape } = targets
  return { kind: 'dense', data: data instanceof Uint8Array ? Float32Array.from(data) : data, columns: shape[1] }
}

function checkRanges(targets: Targets, { loss }: HeadTask, name: string): void {
  if (targets instanceof Int32Array || !wantsLogits(loss)) return
  const { data, shape } = targets
  let wrong = 0
  while (wrong < data.length && (data[wrong] as number) >= 0 && (data[wrong] as number) <= 1) wrong++
  if (wrong === data.length) return
  const place = `${name} at row ${Math.floor(wrong / shape[1])}, column ${wrong % shape[1]}`
  throw optionError(place, `a number from 0 to 1 for ${loss.kind}`, data[wrong], { path: name })
}

/**
 * Checks data against a model and its losses and copies it into the core.
 *
 * @param name how errors call the argument; '' for the main data
 */
export function toNativeDataset(
  model: AnyModel,
  tasks: readonly HeadTask[],
  data: unknown,
  name: string,
): NativeDataset {
  const dataset = checkedDataset(model, tasks, data, name)
  const { inputs, sampleWeights } = dataset
  const [rows, columns] = inputs.shape
  const targets = targetsByHead(dataset, tasks)
  targets.forEach((part, index) => {
    const task = tasks[index]
    const at = joinPath(name, 'targets')
    if (task !== undefined) checkRanges(part, task, task.output.name === '' ? at : joinPath(at, task.output.name))
  })
  return new (addon().Dataset)({
    inputs: inputs.data,
    rows,
    columns,
    targets: targets.map(toNativeTargets),
    sampleWeights: sampleWeights === undefined ? null : new Float64Array(sampleWeights),
  })
}

function checkedDataset(model: AnyModel, tasks: readonly HeadTask[], data: unknown, name: string): Dataset {
  const heads = model.headNames.length > 0
  const specs = tasks.map((task) => [task.output.name, targetSpec(task)] as const)
  const only = specs[0]?.[1]
  if (only === undefined) throw new KrylovError('ERR_STATE', 'model: expected at least one output, received none')
  return toDataset(data, name, {
    columns: model.inputs,
    dtype: model.dtype,
    targets: heads ? { heads: Object.fromEntries(specs) } : only,
  })
}

function targetsByHead(dataset: Dataset, tasks: readonly HeadTask[]): Targets[] {
  const { targets } = dataset
  return tasks.map(({ output }) => {
    if (output.name === '') return targets as Targets
    return (targets as Readonly<Record<string, Targets>>)[output.name] as Targets | Matrix
  })
}

function headEvaluation(native: { loss: number; metrics: number[] }, task: HeadTask): HeadEvaluation {
  const named = task.metrics.map(({ name }, index) => [name, native.metrics[index] ?? Number.NaN] as const)
  return { loss: native.loss, ...Object.fromEntries(named) }
}

/** Names the numbers of an evaluation. */
export function toEvaluation(native: NativeEvaluation, tasks: readonly HeadTask[]): Evaluation {
  const parts = tasks.map((task, index) => {
    const part = native.heads[index]
    if (part === undefined) throw new KrylovError('ERR_NATIVE', `evaluation: expected head ${index}, received none`)
    return [task.output.name, headEvaluation(part, task)] as const
  })
  const first = parts[0]
  if (first !== undefined && first[0] === '') return { ...first[1], loss: native.loss }
  return { loss: native.loss, heads: Object.fromEntries(parts) }
}
