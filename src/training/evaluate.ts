import type { DType } from '../internal/native.js'
import { runTask, signalOption, threadsOption } from '../internal/task.js'
import { checkKnownKeys, numberInRange } from '../internal/validate.js'
import type { AnyModel, Model } from '../model/model.js'
import { handleOf } from '../model/model.js'
import type { Evaluation, HeadLosses, HeadMetrics, TrainingData } from './tasks.js'
import { resolveTasks, toEvaluation, toNativeDataset, toNativeTasks } from './tasks.js'

export type EvaluateOptions<H extends string = never> = {
  /** The loss, or one for each head. */
  readonly loss: HeadLosses<H>
  /** Default accuracy for classification, none for values. */
  readonly metrics?: HeadMetrics<H>
  /** Weights of the heads in the total loss; default 1 each. */
  readonly lossWeights?: { readonly [K in H]?: number }
  /** Adds ½·l2·‖θ‖² to the loss; default 0. */
  readonly l2?: number
  /** Default `auto`. */
  readonly threads?: number | 'auto'
  readonly signal?: AbortSignal
}

/**
 * Loss and metrics over data, without dropout. The event loop is not held up.
 *
 * @returns `{ loss, accuracy, ... }`; with heads `{ loss, heads: { digit: { loss, accuracy }, ... } }`
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE; the signal's reason when aborted
 * @example const { loss, accuracy } = await evaluate(model, test, { loss: softmaxCrossEntropy() })
 */
export async function evaluate<D extends DType, H extends string>(
  model: Model<D, H>,
  data: TrainingData<H>,
  options: EvaluateOptions<H>,
): Promise<Evaluation> {
  const handle = handleOf(model)
  checkKnownKeys(options, ['loss', 'metrics', 'lossWeights', 'l2', 'threads', 'signal'], 'evaluate options')
  const { loss, metrics, lossWeights, l2 = 0 } = options as EvaluateOptions
  const network = model as unknown as AnyModel
  const tasks = resolveTasks(network, loss, metrics, lossWeights)
  const threads = threadsOption((options as EvaluateOptions).threads, 'evaluate threads')
  const signal = signalOption((options as EvaluateOptions).signal, 'evaluate signal')
  const penalty = numberInRange(l2, 'evaluate l2', { min: 0 })
  const dataset = toNativeDataset(network, tasks, data, '')
  try {
    signal?.throwIfAborted()
    const task = handle.evaluateAsync(dataset, toNativeTasks(tasks), penalty, threads)
    return toEvaluation(await runTask(task, signal), tasks)
  } finally {
    dataset.dispose()
  }
}
