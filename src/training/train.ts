import { KrylovError, rendered, shapeError } from '../internal/errors.js'
import type {
  DType,
  NativeDataset,
  NativeEvent,
  NativeModel,
  NativeTrainingState,
  NativeTrainOptions,
  NativeWeightRequest,
} from '../internal/native.js'
import { addon } from '../internal/native.js'
import type { AnyModel, Model } from '../model/model.js'
import { handleOf, setTask } from '../model/model.js'
import { toNativeOptimizer } from '../optimizers/registry.js'
import { askWeights, weightingToNative } from '../samples/weighting.js'
import { samplingToNative, stepsOfEpoch } from '../sampling/sampling.js'
import { toEpochRecord, toHistory, toStepRecord } from './history.js'
import type { ResolvedTrainOptions, TrainOptions } from './options.js'
import { resolveTrainOptions, validationFraction } from './options.js'
import type { PrivacyRecord, PrivatePlan } from './privacy.js'
import { planPrivacy } from './privacy.js'
import { fromNativeState } from './state.js'
import type { TrainingData } from './tasks.js'
import { taskOf, toNativeDataset, toNativeTasks } from './tasks.js'
import type { RunFeed } from './train-run.js'
import { TrainRun } from './train-run.js'

/** Which rows train and which validate; null rows: all. */
type Parts = {
  readonly dataset: NativeDataset
  readonly rows: Uint32Array | null
  readonly validation: NativeDataset | null
  readonly validationRows: Uint32Array | null
}

function splitRows(dataset: NativeDataset, fraction: number, seed: number): Parts {
  const total = dataset.rows
  const held = Math.round(total * fraction)
  if (held < 1 || held >= total) {
    throw shapeError(
      'validation.fraction',
      'at least one row in each part',
      rendered(`${held} of ${total} rows held out`),
    )
  }
  const order = addon().permutation(seed, 0, total)
  // In the order of the data: rows are shuffled anew in each epoch, and neighbours in memory are read together.
  const rows = order.slice(0, total - held).sort()
  return { dataset, rows, validation: dataset, validationRows: order.slice(total - held).sort() }
}

function prepareData(model: AnyModel, data: unknown, options: ResolvedTrainOptions): Parts {
  const fraction = validationFraction(options.validation)
  const dataset = toNativeDataset(model, options.tasks, data, '')
  try {
    if (dataset.rows === 0) throw shapeError('inputs', 'at least one row', rendered('0 rows'))
    if (fraction !== undefined) return splitRows(dataset, fraction, options.seed)
    const validation =
      options.validation === undefined ? null : toNativeDataset(model, options.tasks, options.validation, 'validation')
    if (validation !== null && validation.rows === 0) {
      validation.dispose()
      throw shapeError('validation.inputs', 'at least one row', rendered('0 rows'))
    }
    return { dataset, rows: null, validation, validationRows: null }
  } catch (error) {
    dataset.dispose()
    throw error
  }
}

/** The plan of a run with privacy. */
function privatePlan(model: AnyModel, options: ResolvedTrainOptions, parts: Parts): PrivatePlan | null {
  const { privacy, batchSize, epochs, state } = options
  if (privacy === null) return null
  const rows = parts.rows?.length ?? parts.dataset.rows
  const layers = new Set(model.tensors.map(({ name }) => name.slice(0, name.lastIndexOf('.')))).size
  return planPrivacy(privacy, { batchSize: Math.min(batchSize ?? rows, rows), rows, epochs, layers, state })
}

function toNativeOptions(options: ResolvedTrainOptions, parts: Parts, plan: PrivatePlan | null): NativeTrainOptions {
  const rows = parts.rows?.length ?? parts.dataset.rows
  const batchSize = Math.min(options.batchSize ?? rows, rows)
  const totalSteps = plan?.steps ?? options.epochs * stepsOfEpoch(options.sampling, rows, batchSize)
  return {
    tasks: toNativeTasks(options.tasks),
    optimizer: toNativeOptimizer(options.optimizer, totalSteps),
    batchSize,
    curvatureBatchSize: options.curvatureBatchSize,
    epochs: options.epochs,
    shuffle: options.shuffle,
    seed: options.seed,
    threads: options.threads,
    weights: weightingToNative(options.weights, totalSteps),
    clipping: plan?.clipping ?? options.clipping,
    privacy: plan?.native ?? null,
    gradient: options.gradient,
    stepSize: options.stepSize,
    sampling: samplingToNative(options.sampling, parts.dataset.rows),
    multitask: options.multitask,
    l2: options.l2,
    stepEvery: options.onStep?.every ?? 0,
    validation: parts.validation,
    rows: parts.rows,
    validationRows: parts.validationRows,
    earlyStopping: options.earlyStopping,
    state: options.state,
    ...options.record,
  }
}

function planned(
  model: AnyModel,
  options: ResolvedTrainOptions,
  parts: Parts,
  release: () => void,
): { plan: PrivatePlan | null; native: NativeTrainOptions } {
  try {
    const plan = privatePlan(model, options, parts)
    return { plan, native: toNativeOptions(options, parts, plan) }
  } catch (error) {
    release()
    throw error
  }
}

function outOfMemory(): KrylovError {
  return new KrylovError(
    'ERR_NATIVE',
    'memory: expected enough for an update or what is recorded, received an allocation that failed',
  )
}

/** A run that its signal ended before the first step: the model is untouched, the state is that of the start. */
function endAtOnce(
  model: AnyModel,
  native: NativeTrainOptions,
  kind: string,
  feed: RunFeed,
  spent: (updates: number) => { privacy?: PrivacyRecord },
): void {
  const state = fromNativeState(native.state ?? startingState(handleOf(model), native), kind, model.dtype)
  feed.attach({ abort: () => undefined, state: () => state })
  const { updates } = state
  feed.end({ epochs: [], reason: 'aborted', bestEpoch: 0, updates, seconds: 0, ...spent(updates) })
}

function startingState(handle: NativeModel, native: NativeTrainOptions): NativeTrainingState {
  // A trainer draws no samples; nothing has been spent.
  const trainer = handle.trainer({ ...native, privacy: null, sampling: null })
  try {
    return trainer.state()
  } finally {
    trainer.dispose()
  }
}

/**
 * Trains a model. Training starts at the call, on the compute thread; the event loop is free.
 *
 * @param data `{ inputs, targets, sampleWeights? }`, copied before the call returns
 * @returns a run: `await` it for the history, or iterate over it for the epochs
 * @throws KrylovError at the call: ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE, ERR_BUSY. Afterwards the run
 *   rejects only with what a callback threw; an abort or a NaN is a reason in the history.
 * @example
 * const run = train(model, { inputs, targets }, { loss: softmaxCrossEntropy(), epochs: 5, validation: { fraction: 0.1 } })
 * for await (const epoch of run) console.log(epoch.epoch, epoch.loss, epoch.validation?.accuracy)
 */
export function train<D extends DType, H extends string>(
  model: Model<D, H>,
  data: TrainingData<H>,
  options: TrainOptions<H>,
): TrainRun {
  const handle = handleOf(model)
  const network = model as unknown as AnyModel
  const resolved = resolveTrainOptions(network, options)
  const parts = prepareData(network, data, resolved)
  const release = (): void => {
    parts.dataset.dispose()
    if (parts.validation !== null && parts.validation !== parts.dataset) parts.validation.dispose()
  }
  const { plan, native } = planned(network, resolved, parts, release)
  const spent = (updates: number): { privacy?: PrivacyRecord } =>
    plan === null ? {} : { privacy: plan.spent(updates) }
  const kind = resolved.optimizer.kind
  const { run, feed } = TrainRun.started()
  const { signal } = resolved
  try {
    if (signal?.aborted === true) {
      endAtOnce(network, native, kind, feed, spent)
      release()
      return run
    }
    let failure: { error: unknown } | undefined
    const abort = (): void => nativeRun.abort()
    const fail = (error: unknown): void => {
      failure ??= { error }
      abort()
    }
    const pending = new Set<Promise<void>>()
    const tell = <R>(listener: ((record: R) => unknown) | undefined, record: R): void => {
      if (listener === undefined || failure !== undefined) return
      try {
        const answer = listener(record)
        // Training does not wait for an asynchronous listener, but its failure counts.
        if (answer instanceof Promise) {
          const settled: Promise<void> = answer.then(undefined, fail).then(() => void pending.delete(settled))
          pending.add(settled)
        }
      } catch (error) {
        fail(error)
      }
    }
    // The run waits meanwhile: without an answer it goes on to its end.
    const answer = (request: NativeWeightRequest): void => {
      if (failure !== undefined || typeof resolved.weights !== 'function') {
        abort()
        return
      }
      try {
        nativeRun.answerWeights(askWeights(resolved.weights, request))
      } catch (error) {
        fail(error)
      }
    }
    const onEvent = (event: NativeEvent): void => {
      switch (event.type) {
        case 'weights':
          answer(event.request)
          break
        case 'step':
          tell(resolved.onStep?.callback, toStepRecord(event))
          break
        case 'epoch': {
          const record = { ...toEpochRecord(event, resolved.tasks, kind), ...spent(event.updates) }
          feed.epoch(record)
          tell(resolved.onEpoch, record)
          break
        }
        case 'end': {
          signal?.removeEventListener('abort', abort)
          release()
          const { reason } = event
          if (reason === 'failed') failure ??= { error: outOfMemory() }
          const settle = (): void => {
            if (failure !== undefined) feed.fail(failure.error)
            else if (reason !== 'failed')
              feed.end({ ...toHistory({ ...event, reason }, run.epochs), ...spent(event.updates) })
          }
          if (pending.size === 0) settle()
          else void Promise.all(pending).then(settle)
          break
        }
      }
    }
    const nativeRun = handle.train(parts.dataset, native, onEvent)
    feed.attach({
      abort: () => nativeRun.abort(),
      state: () => fromNativeState(nativeRun.state(), kind, network.dtype),
    })
    signal?.addEventListener('abort', abort, { once: true })
    setTask(network, taskOf(resolved.tasks))
    return run
  } catch (error) {
    release()
    throw error
  }
}
