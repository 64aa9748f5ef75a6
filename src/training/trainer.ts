import type { DType, NativeDataset, NativeTrainer, NativeWeightRequest } from '../internal/native.js'
import { checkKnownKeys } from '../internal/validate.js'
import type { AnyModel, Model } from '../model/model.js'
import { handleOf, setTask } from '../model/model.js'
import { isMinimizer, toNativeOptimizer } from '../optimizers/registry.js'
import type { SampleWeightsFunction } from '../samples/weighting.js'
import { askWeights, weightingToNative } from '../samples/weighting.js'
import type { StepNumbers, StepWords } from './history.js'
import { toStepNumbers } from './history.js'
import type { StepOptions } from './options.js'
import { resolveTrainerOptions } from './options.js'
import type { TrainingState } from './state.js'
import { fromNativeState, toNativeState } from './state.js'
import type { HeadTask, TrainingData } from './tasks.js'
import { taskOf, toNativeDataset, toNativeTasks } from './tasks.js'

export type TrainerOptions<H extends string = never> = StepOptions<H> & {
  /** Updates that schedules of the run's length last; without it such a schedule is an error. */
  readonly totalSteps?: number
}

/** All numbers of one step. */
export type StepResult = {
  /** Loss of the batch before the update, l2 included. */
  readonly loss: number
  /** Loss of each head, for a model with heads. */
  readonly heads?: Readonly<Record<string, number>>
  /** Each sample's own loss, with its weight; heads added with theirs. */
  readonly lossPerSample: Float64Array
  readonly learningRate: number
  /** Updates done, this one included. */
  readonly updates: number
  /** False where the loss was NaN or infinite (no update was made) or an update was (the parts of it that were are undone). */
  readonly finite: boolean
  /** Of an optimizer that may reject a step: whether it was taken. */
  readonly accepted?: boolean
  /** Why the optimizer is done, where it is, such as `gradientTolerance`. */
  readonly converged?: string
  /** What such an optimizer tells of the step, such as `damping` and `cgIterations`, or a stage of training. */
  readonly numbers?: StepNumbers
  readonly words?: StepWords
}

export type TrainerStepOptions<H extends string = never> = {
  /** Samples of their own for the curvature, with an optimizer that looks at it; default those of the batch. */
  readonly curvature?: TrainingData<H>
}

/** Training one step at a time, synchronously; made by `createTrainer`. */
export class Trainer<H extends string = never> {
  readonly #model: AnyModel
  readonly #tasks: readonly HeadTask[]
  readonly #kind: string
  readonly #handle: NativeTrainer
  readonly #weights: ((request: NativeWeightRequest) => Float64Array) | null

  /** @internal */
  constructor(
    model: AnyModel,
    tasks: readonly HeadTask[],
    kind: string,
    handle: NativeTrainer,
    weights: SampleWeightsFunction | undefined,
  ) {
    this.#model = model
    this.#tasks = tasks
    this.#kind = kind
    this.#handle = handle
    this.#weights = weights === undefined ? null : (request) => askWeights(weights, request)
  }

  /**
   * One update with one batch.
   *
   * @throws KrylovError ERR_SHAPE, ERR_DTYPE, ERR_OPTION, ERR_NOT_FINITE, ERR_BUSY
   */
  step(batch: TrainingData<H>, options: TrainerStepOptions<H> = {}): StepResult {
    checkKnownKeys(options, ['curvature'], 'step options')
    const dataset = toNativeDataset(this.#model, this.#tasks, batch, 'batch')
    let curvature: NativeDataset | null = null
    try {
      if (options.curvature !== undefined) {
        curvature = toNativeDataset(this.#model, this.#tasks, options.curvature, 'curvature')
      }
      const native = this.#handle.step(dataset, curvature, this.#weights)
      const { loss, headLosses, lossPerSample, learningRate, updates, finite } = native
      const named = this.#model.headNames.map((name, index) => [name, headLosses[index] ?? Number.NaN] as const)
      return {
        loss,
        ...(named.length === 0 ? {} : { heads: Object.fromEntries(named) }),
        lossPerSample,
        learningRate,
        updates,
        finite,
        ...(isMinimizer(this.#kind) ? { accepted: native.accepted } : {}),
        ...toStepNumbers(native.step),
        ...(native.converged === '' ? {} : { converged: native.converged }),
      }
    } finally {
      curvature?.dispose()
      dataset.dispose()
    }
  }

  /** A copy of everything a later trainer or run needs besides the parameters. */
  state(): TrainingState {
    return fromNativeState(this.#handle.state(), this.#kind, this.#model.dtype)
  }

  /** Continues from a state; the parameters are set apart, by `model.setParameters`. */
  setState(state: TrainingState): void {
    const { dtype, parameterCount } = this.#model
    this.#handle.setState(toNativeState(state, 'state', this.#kind, dtype, parameterCount))
  }

  /** Frees the native memory; later calls throw ERR_STATE. */
  dispose(): void {
    this.#handle.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * Trains one step at a time: for loops of one's own, with all numbers of each step.
 *
 * @throws KrylovError ERR_OPTION, ERR_BUSY
 * @example
 * using trainer = createTrainer(model, { loss: meanSquaredError(), optimizer: sgd({ learningRate: 0.1 }) })
 * for (const batch of batches) console.log(trainer.step(batch).loss)
 */
export function createTrainer<D extends DType, H extends string>(
  model: Model<D, H>,
  options: TrainerOptions<H>,
): Trainer<H> {
  const handle = handleOf(model)
  const network = model as unknown as AnyModel
  const { tasks, optimizer, weights, clipping, gradient, stepSize, multitask, l2, threads, seed, state, totalSteps } =
    resolveTrainerOptions(network, options)
  const trainer = handle.trainer({
    tasks: toNativeTasks(tasks),
    optimizer: toNativeOptimizer(optimizer, totalSteps),
    batchSize: 1,
    curvatureBatchSize: 0,
    epochs: 1,
    shuffle: false,
    seed,
    threads,
    weights: weightingToNative(weights, totalSteps),
    clipping,
    privacy: null,
    gradient,
    stepSize,
    sampling: null,
    multitask,
    l2,
    stepEvery: 0,
    validation: null,
    rows: null,
    validationRows: null,
    earlyStopping: null,
    state,
  })
  setTask(network, taskOf(tasks))
  const ask = typeof weights === 'function' ? weights : undefined
  return new Trainer<H>(network, tasks, optimizer.kind, trainer, ask)
}
