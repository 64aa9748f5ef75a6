import type { NativeEndEvent, NativeEpochEvent, NativeStepEvent, NativeStepNumbers } from '../internal/native.js'
import type { OptimizerSpec } from '../optimizers/registry.js'
import { isMinimizer } from '../optimizers/registry.js'
import type { PrivacyRecord } from './privacy.js'
import type { GradientRecord, StabilityRecord } from './record.js'
import { toGradientRecord, toStabilityRecord } from './record.js'
import type { Evaluation, HeadTask } from './tasks.js'
import { toEvaluation } from './tasks.js'

/**
 * What a second-order optimizer tells of an update, by name: `damping`, `reductionRatio`, `cgIterations`, `curvature`,
 * `gradientNorm`, `stepNorm` and what else it has; each optimizer's section says which.
 */
export type StepNumbers = Readonly<Record<string, number>>
/** What it tells in words, such as `cgReason`. */
export type StepWords = Readonly<Record<string, string>>

/** What is known of a finished epoch. */
export type EpochRecord = {
  /** 1 for the first. */
  readonly epoch: number
  /** Mean loss of the epoch's samples, each under the parameters of its own step. */
  readonly loss: number
  /** Loss and metrics of the validation data, where there are some. */
  readonly validation?: Evaluation
  /** Rate of the epoch's last update. */
  readonly learningRate: number
  readonly samplesPerSecond: number
  /** Seconds of the epoch's training steps. */
  readonly seconds: number
  /** Seconds of its validation. */
  readonly validationSeconds: number
  /** Updates since the start of training, resumed ones included. */
  readonly updates: number
  /** True where no epoch before was better by the monitored value (the validation loss, or the loss without it). */
  readonly best: boolean
  /** Of the epoch's last update, where the optimizer or a stage tells more than a rate. */
  readonly numbers?: StepNumbers
  readonly words?: StepWords
  /** Of the newest update that `record.gradients` measured. */
  readonly gradients?: GradientRecord
  /** Curvature against the learning rate, in the epochs that `record.stability` asks for. */
  readonly stability?: StabilityRecord
  /** What has been spent by the end of the epoch, of a run with `privacy`. */
  readonly privacy?: PrivacyRecord
}

/** What is known during an epoch, told after every n-th update. */
export type StepRecord = {
  readonly epoch: number
  readonly updates: number
  /** Samples of the epoch done, and in all. */
  readonly position: number
  readonly samples: number
  /** Running mean loss of the epoch. */
  readonly loss: number
  readonly learningRate: number
  /** Seconds of training steps so far. */
  readonly seconds: number
  readonly numbers?: StepNumbers
  readonly words?: StepWords
  /** Of the newest update that `record.gradients` measured. */
  readonly gradients?: GradientRecord
}

export type TrainReason = 'completed' | 'earlyStopped' | 'aborted' | 'notFinite'

/** The outcome of a run. */
export type History = {
  readonly epochs: readonly EpochRecord[]
  readonly reason: TrainReason
  /** Epoch with the best monitored value; 0 before the first. */
  readonly bestEpoch: number
  readonly updates: number
  /** Seconds of all training steps. */
  readonly seconds: number
  /** For `notFinite`: the update that met NaN or infinity, and where: `loss`, `gradient`, `step` or a tensor's name. */
  readonly notFinite?: { readonly step: number; readonly where: string }
  /** Why the optimizer was done before the epochs were, such as `gradientTolerance`; the reason then is `completed`. */
  readonly converged?: string
  /** What all updates have spent, of a run with `privacy`. */
  readonly privacy?: PrivacyRecord
}

/** Numbers and words, where there are any, and the gradients that were measured. */
export function toStepNumbers(step: NativeStepNumbers | null): {
  numbers?: StepNumbers
  words?: StepWords
  gradients?: GradientRecord
} {
  if (step === null) return {}
  const { numbers, words, gradients } = step
  const told = Object.keys(numbers).length > 0 || Object.keys(words).length > 0
  return { ...(told ? { numbers, words } : {}), ...toGradientRecord(gradients) }
}

export function toEpochRecord(
  event: NativeEpochEvent,
  tasks: readonly HeadTask[],
  optimizer: OptimizerSpec['kind'],
): EpochRecord {
  const { epoch, loss, learningRate, updates, best, trainSeconds, validationSeconds, stability } = event
  return {
    epoch,
    loss,
    ...(event.validation === null ? {} : { validation: toEvaluation(event.validation, tasks) }),
    learningRate,
    samplesPerSecond: trainSeconds > 0 ? event.samples / trainSeconds : 0,
    seconds: trainSeconds,
    validationSeconds,
    updates,
    best,
    ...toStepNumbers(event.step),
    ...(stability === null
      ? {}
      : { stability: toStabilityRecord(stability, isMinimizer(optimizer) ? undefined : learningRate) }),
  }
}

export function toStepRecord(event: NativeStepEvent): StepRecord {
  const { epoch, updates, position, samples, loss, learningRate, seconds } = event
  return { epoch, updates, position, samples, loss, learningRate, seconds, ...toStepNumbers(event.step) }
}

export function toHistory(event: NativeEndEvent & { reason: TrainReason }, epochs: readonly EpochRecord[]): History {
  const { reason, bestEpoch, updates, trainSeconds, notFiniteIn, converged } = event
  // A loss that is not finite stops an update before it counts; a tensor that became so is seen after its update.
  const step = notFiniteIn === 'loss' || notFiniteIn === 'gradient' ? updates + 1 : updates
  return {
    epochs,
    reason,
    bestEpoch,
    updates,
    seconds: trainSeconds,
    ...(reason === 'notFinite' ? { notFinite: { step, where: notFiniteIn } } : {}),
    ...(converged === '' ? {} : { converged }),
  }
}
