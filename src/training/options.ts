import type { GradientOption } from '../gradient/registry.js'
import { resolveGradient } from '../gradient/registry.js'
import { KrylovError, optionError } from '../internal/errors.js'
import type { DType, NativeTrainingState, NativeTrainOptions } from '../internal/native.js'
import { signalOption, threadsOption } from '../internal/task.js'
import {
  boolean,
  callable,
  checkKnownKeys,
  integerInRange,
  isRecord,
  joinPath,
  numberInRange,
  oneOf,
  string,
} from '../internal/validate.js'
import type { AnyModel } from '../model/model.js'
import type { TaskMethodOption } from '../multitask/methods.js'
import { resolveMultitask } from '../multitask/training.js'
import { adam } from '../optimizers/adam.js'
import type { OptimizerOption, OptimizerSpec } from '../optimizers/registry.js'
import { isMinimizer, resolveOptimizer } from '../optimizers/registry.js'
import type { SampleClippingOption } from '../samples/clipping.js'
import { resolveClipping } from '../samples/clipping.js'
import type { Weighting, WeightsOption } from '../samples/weighting.js'
import { resolveWeighting } from '../samples/weighting.js'
import type { Sampling, SamplingOption } from '../sampling/sampling.js'
import { resolveSampling } from '../sampling/sampling.js'
import type { EpochRecord, StepRecord } from './history.js'
import { isMaximized } from './metrics.js'
import type { DifferentialPrivacy, DifferentialPrivacyOption } from './privacy.js'
import { resolvePrivacy } from './privacy.js'
import type { NativeRecord, RecordOptions } from './record.js'
import { resolveRecord } from './record.js'
import type { TrainingState } from './state.js'
import { seedOfRun, toNativeState } from './state.js'
import type { StepSizeOption } from './step-size.js'
import { resolveStepSize } from './step-size.js'
import type { HeadLosses, HeadMetrics, HeadTask, TrainingData } from './tasks.js'
import { resolveTasks } from './tasks.js'

export type EarlyStoppingOptions = {
  /** `loss`, a metric's name, or with heads `digit.accuracy`, all of the validation data; default `loss`. */
  readonly monitor?: string
  /** Epochs without improvement before the run ends; default 10. */
  readonly patience?: number
  /** Smallest change that counts as an improvement; default 0. */
  readonly minDelta?: number
  /** Default `max` for accuracy and other metrics that grow with quality, else `min`. */
  readonly mode?: 'min' | 'max'
  /** Give the model the best epoch's parameters at the end, unless the run is aborted; default true. */
  readonly restoreBest?: boolean
}

/** Options that `train` and `createTrainer` share. */
export type StepOptions<H extends string = never> = {
  /** The loss, or one for each head (with a weight: `{ loss, weight }`). */
  readonly loss: HeadLosses<H>
  /** Weights of the heads in the total loss; default 1 each. */
  readonly lossWeights?: { readonly [K in H]?: number }
  /** Default `adam()`. */
  readonly optimizer?: OptimizerOption
  /**
   * How much each sample of a step counts by how well the model does on it: a rule such as `focalWeights()`, or a function
   * of the step's losses. g = (1/N) Σ wᵢ gᵢ, nothing is differentiated through the weights; default all 1.
   */
  readonly weights?: WeightsOption
  /** What becomes of every sample's own gradient, such as `sampleClipping()`; default nothing. */
  readonly clipping?: SampleClippingOption
  /**
   * What becomes of the batch's gradient before the optimizer sees it, such as `clipByGlobalNorm()`; a list is a chain in
   * its order. Default nothing.
   */
  readonly gradient?: GradientOption
  /** What becomes of the optimizer's update before it is made, such as `softmaxRadiusControl()`; default nothing. */
  readonly stepSize?: StepSizeOption
  /**
   * What the gradients of the heads' losses are made into for the layers that the heads share, such as `pcGrad()`; each
   * head keeps its own. Default their sum, in one backward pass.
   */
  readonly multitask?: TaskMethodOption
  /** Adds ½·l2·‖θ‖² to the loss; default 0. */
  readonly l2?: number
  /** Seed of the order of the data and of dropout, 0 to 2^53 − 1; default 0. */
  readonly seed?: number
  /** Default `auto`: what suits the model and batch, at most the processors of this process. */
  readonly threads?: number | 'auto'
}

export type TrainOptions<H extends string = never> = StepOptions<H> & {
  /**
   * Samples of a step; the last batch of an epoch may be smaller. Default 32; all samples for an optimizer that looks
   * at the function more than once an update (`minimizerKinds`).
   */
  readonly batchSize?: number
  /**
   * Samples that such an optimizer takes curvature from: the data is cut once, after one shuffle, into equal chunks of
   * at most this many, used in rotation. Default: the samples of the batch where they are at most 5000, else 5000.
   */
  readonly curvatureBatchSize?: number
  /** How batches are drawn, such as `importanceSampling()`; default `shuffledSampling()`. */
  readonly sampling?: SamplingOption
  /** Passes over the data, resumed ones included; default 10. */
  readonly epochs?: number
  /** Training that reveals little of any single sample: `differentialPrivacy()`, in the place of `clipping`; default none. */
  readonly privacy?: DifferentialPrivacyOption
  /** Data to measure after each epoch, or the share of the training data to hold out for it (chosen by the seed). */
  readonly validation?: TrainingData<H> | { readonly fraction: number }
  /** Metrics of the validation data; default accuracy for classification, none for values. */
  readonly metrics?: HeadMetrics<H>
  readonly earlyStopping?: EarlyStoppingOptions
  /** What to record besides, such as the curvature against the learning rate; default nothing. */
  readonly record?: RecordOptions
  /** Called after each epoch; training goes on meanwhile. */
  readonly onEpoch?: (epoch: EpochRecord) => unknown
  /** Called after every n-th update; who is slow is told the newest only. */
  readonly onStep?: { readonly every: number; readonly callback: (step: StepRecord) => unknown }
  /** Aborts the run: it resolves with the reason `aborted`. */
  readonly signal?: AbortSignal
  /** A new order of the data in each epoch; default true. */
  readonly shuffle?: boolean
  /** State of an ended run of the same model, data and options, to continue it. */
  readonly resume?: TrainingState
}

const stepKeys = [
  'loss',
  'lossWeights',
  'optimizer',
  'weights',
  'clipping',
  'gradient',
  'stepSize',
  'multitask',
  'l2',
  'seed',
  'threads',
] as const
const trainKeys = [
  ...stepKeys,
  'batchSize',
  'curvatureBatchSize',
  'sampling',
  'epochs',
  'privacy',
  'validation',
  'metrics',
  'earlyStopping',
  'record',
  'onEpoch',
  'onStep',
  'signal',
  'shuffle',
  'resume',
] as const

const largestCount = 2 ** 31 - 1

/** The part that `train` and `createTrainer` share, checked. */
export type ResolvedStepOptions = {
  readonly tasks: readonly HeadTask[]
  readonly optimizer: OptimizerSpec
  readonly weights: Weighting | null
  readonly clipping: NativeTrainOptions['clipping']
  readonly gradient: NonNullable<NativeTrainOptions['gradient']> | null
  readonly stepSize: NativeTrainOptions['stepSize']
  readonly multitask: NativeTrainOptions['multitask']
  readonly l2: number
  readonly threads: number
  readonly state: NativeTrainingState | null
  readonly seed: number
}

export type ResolvedTrainOptions = ResolvedStepOptions & {
  /** Undefined: all samples. */
  readonly batchSize: number | undefined
  /** 0: what suits the batch. */
  readonly curvatureBatchSize: number
  readonly sampling: Sampling | null
  readonly epochs: number
  readonly privacy: DifferentialPrivacy | null
  readonly validation: unknown
  readonly earlyStopping: NativeTrainOptions['earlyStopping']
  readonly record: NativeRecord
  readonly onEpoch: ((epoch: EpochRecord) => unknown) | undefined
  readonly onStep: { readonly every: number; readonly callback: (step: StepRecord) => unknown } | undefined
  readonly signal: AbortSignal | undefined
  readonly shuffle: boolean
}

function count(value: unknown, name: string, fallback: number): number {
  return value === undefined ? fallback : integerInRange(value, name, { min: 1, max: largestCount })
}

export function resolveStepOptions(model: AnyModel, options: Record<string, unknown>): ResolvedStepOptions {
  const optimizer = options.optimizer === undefined ? adam() : resolveOptimizer(options.optimizer, 'optimizer')
  const dtype: DType = model.dtype
  const state =
    options.resume === undefined
      ? null
      : toNativeState(options.resume, 'resume', optimizer.kind, dtype, model.parameterCount)
  return {
    tasks: resolveTasks(model, options.loss, options.metrics, options.lossWeights),
    optimizer,
    weights: resolveWeighting(options.weights, optimizer),
    clipping: resolveClipping(options.clipping, optimizer),
    gradient: resolveGradient(options.gradient, optimizer, model.tensors.length),
    stepSize: resolveStepSize(options.stepSize, optimizer, model.headNames),
    multitask: resolveMultitask(options.multitask, optimizer, model.headNames),
    l2: options.l2 === undefined ? 0 : numberInRange(options.l2, 'l2', { min: 0 }),
    threads: threadsOption(options.threads, 'threads'),
    state,
    seed: seedOfRun(options.seed, state),
  }
}

/** Checks the options of `createTrainer`; its own `totalSteps` is left to it. */
export function resolveTrainerOptions(
  model: AnyModel,
  options: unknown,
): ResolvedStepOptions & { totalSteps?: number } {
  if (isRecord(options) && options.sampling !== undefined) {
    throw optionError('sampling', 'none with createTrainer, whose caller brings the batches', options.sampling)
  }
  checkKnownKeys(options, [...stepKeys, 'totalSteps'], 'createTrainer options')
  const { totalSteps } = options
  return {
    ...resolveStepOptions(model, options),
    ...(totalSteps === undefined ? {} : { totalSteps: integerInRange(totalSteps, 'totalSteps', { min: 1 }) }),
  }
}

/** Checks the options of `train` and fills in the defaults. */
export function resolveTrainOptions(model: AnyModel, options: unknown): ResolvedTrainOptions {
  checkKnownKeys(options, trainKeys, 'train options')
  const shared = resolveStepOptions(model, options)
  const { onEpoch, onStep, shuffle, earlyStopping, validation } = options
  return {
    ...shared,
    ...batchSizes(options, shared.optimizer),
    sampling: resolveSampling(options.sampling, shared.optimizer, shuffle),
    epochs: count(options.epochs, 'epochs', 10),
    privacy: resolvePrivacy(options.privacy, shared.optimizer, options),
    validation,
    earlyStopping:
      earlyStopping === undefined ? null : resolveEarlyStopping(earlyStopping, shared.tasks, validation !== undefined),
    record: resolveRecord(options.record, shared.optimizer),
    onEpoch: onEpoch === undefined ? undefined : callable(onEpoch, 'onEpoch'),
    onStep: onStep === undefined ? undefined : resolveOnStep(onStep),
    signal: signalOption(options.signal, 'signal'),
    shuffle: shuffle === undefined ? true : boolean(shuffle, 'shuffle'),
  }
}

function batchSizes(
  options: Record<string, unknown>,
  { kind }: OptimizerSpec,
): Pick<ResolvedTrainOptions, 'batchSize' | 'curvatureBatchSize'> {
  const { batchSize, curvatureBatchSize } = options
  const minimizer = isMinimizer(kind)
  if (curvatureBatchSize !== undefined && !minimizer) {
    throw optionError('curvatureBatchSize', `none with ${kind}, which does not look at curvature`, curvatureBatchSize)
  }
  return {
    batchSize: batchSize === undefined && minimizer ? undefined : count(batchSize, 'batchSize', 32),
    curvatureBatchSize: count(curvatureBatchSize, 'curvatureBatchSize', 0),
  }
}

function resolveOnStep(value: unknown): NonNullable<ResolvedTrainOptions['onStep']> {
  checkKnownKeys(value, ['every', 'callback'], 'onStep')
  return {
    every: integerInRange(value.every, 'onStep.every', { min: 1, max: largestCount }),
    callback: callable(value.callback, 'onStep.callback'),
  }
}

/** What `monitor` names: -1 stands for the total loss, as a head, and for a head's loss, as a metric. */
type Monitored = { readonly head: number; readonly metric: number; readonly maximize: boolean }

function monitorChoices(tasks: readonly HeadTask[]): Map<string, Monitored> {
  const choices = new Map<string, Monitored>([['loss', { head: -1, metric: -1, maximize: false }]])
  tasks.forEach(({ output, metrics }, head) => {
    const path = (name: string): string => joinPath(output.name, name)
    if (output.name !== '') choices.set(path('loss'), { head, metric: -1, maximize: false })
    metrics.forEach(({ name }, metric) => {
      choices.set(path(name), { head, metric, maximize: isMaximized(name) })
    })
  })
  return choices
}

function resolveEarlyStopping(
  value: unknown,
  tasks: readonly HeadTask[],
  validated: boolean,
): NonNullable<NativeTrainOptions['earlyStopping']> {
  const path = 'earlyStopping'
  checkKnownKeys(value, ['monitor', 'patience', 'minDelta', 'mode', 'restoreBest'], path)
  if (!validated) throw optionError('validation', 'validation data, which earlyStopping watches', undefined)
  const choices = monitorChoices(tasks)
  const monitor =
    value.monitor === undefined
      ? 'loss'
      : oneOf(string(value.monitor, `${path}.monitor`), `${path}.monitor`, [...choices.keys()])
  const found = choices.get(monitor)
  if (found === undefined) throw new KrylovError('ERR_OPTION', `${path}.monitor: unknown '${monitor}'`)
  const { patience, minDelta, mode, restoreBest } = value
  return {
    ...found,
    maximize: mode === undefined ? found.maximize : oneOf(mode, `${path}.mode`, ['min', 'max']) === 'max',
    patience: count(patience, `${path}.patience`, 10),
    minDelta: minDelta === undefined ? 0 : numberInRange(minDelta, `${path}.minDelta`, { min: 0 }),
    restoreBest: restoreBest === undefined ? true : boolean(restoreBest, `${path}.restoreBest`),
  }
}

/** The share of `validation: { fraction }`, or undefined where it is data. */
export function validationFraction(validation: unknown): number | undefined {
  if (!isRecord(validation) || validation.fraction === undefined) return undefined
  checkKnownKeys(validation, ['fraction'], 'validation')
  return numberInRange(validation.fraction, 'validation.fraction', { above: 0, below: 1 })
}
