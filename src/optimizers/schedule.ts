import { describe, optionError, rendered } from '../internal/errors.js'
import type { NativeSchedule } from '../internal/native.js'
import { addon } from '../internal/native.js'
import {
  atPath,
  checkKnownKeys,
  integerInRange,
  isRecord,
  joinPath,
  numberInRange,
  oneOf,
} from '../internal/validate.js'

/*
 * Schedules: value(t) is used by update t + 1, t = 0, 1, ...; closed forms, so that a run resumes anywhere.
 * A schedule may stand for any numeric option of a rule; its value is called learningRate whatever it stands for.
 */

/** The number of updates of a schedule: a count, or `run` for the length of the run it is used in. */
export type TotalSteps = number | 'run'

export type Schedule =
  | { readonly kind: 'constant'; readonly learningRate: number }
  | {
      readonly kind: 'polynomial'
      readonly learningRate: number
      readonly endLearningRate: number
      readonly power: number
      readonly totalSteps: TotalSteps
    }
  | {
      readonly kind: 'cosine'
      readonly learningRate: number
      readonly minLearningRate: number
      readonly totalSteps: TotalSteps
    }
  | { readonly kind: 'warmup'; readonly warmupSteps: number; readonly startFactor: number; readonly after: Schedule }
  | { readonly kind: 'sutskeverMomentum'; readonly maxMomentum: number; readonly period: number }

export type ConstantOptions = {
  /** The value. */
  readonly learningRate: number
}
export type LinearOptions = {
  /** Value at t = 0. */
  readonly learningRate: number
  /** Value from t = totalSteps on; default 0. */
  readonly endLearningRate?: number
  /** Default `run`. */
  readonly totalSteps?: TotalSteps
}
export type PolynomialOptions = LinearOptions & {
  /** Exponent; default 1. */
  readonly power?: number
}
export type CosineOptions = {
  /** Value at t = 0. */
  readonly learningRate: number
  /** Value from t = totalSteps on; default 0. */
  readonly minLearningRate?: number
  /** Default `run`. */
  readonly totalSteps?: TotalSteps
}
export type WarmupOptions = {
  /** Updates until the following schedule's first value is reached. */
  readonly warmupSteps: number
  /** Share of that value at t = 0; default 0, which makes the first update empty. */
  readonly startFactor?: number
  /** What follows; its t counts from the end of the warm-up, its `run` is the rest of the run. */
  readonly after: ScheduleOption | number
}
export type SutskeverMomentumOptions = {
  /** Upper limit; default 0.99. */
  readonly maxMomentum?: number
  /** Updates between two steps of the staircase; default 250. */
  readonly period?: number
}
export type ScheduleOption =
  | Schedule
  | ({ readonly kind: 'constant' } & ConstantOptions)
  | ({ readonly kind: 'polynomial' } & PolynomialOptions)
  | ({ readonly kind: 'linear' } & LinearOptions)
  | ({ readonly kind: 'cosine' } & CosineOptions)
  | ({ readonly kind: 'warmup' } & WarmupOptions)
  | ({ readonly kind: 'sutskeverMomentum' } & SutskeverMomentumOptions)

/** Bounds that every value of a schedule must keep. */
type Range = { readonly min?: number; readonly max?: number; readonly above?: number; readonly below?: number }

function totalStepsOf(value: unknown, kind: string): TotalSteps {
  if (value === undefined || value === 'run') return 'run'
  if (typeof value === 'string') throw optionError(`${kind} totalSteps`, "a number of updates or 'run'", value)
  return integerInRange(value, `${kind} totalSteps`, { min: 1 })
}

/** The same value at every update. */
export function constant(options: ConstantOptions): Schedule {
  checkKnownKeys(options, ['learningRate'], 'constant options')
  return Object.freeze({ kind: 'constant', learningRate: numberInRange(options.learningRate, 'constant learningRate') })
}

/** e + (η0 − e)(1 − min(t, T)/T)^power with e = endLearningRate, T = totalSteps. */
export function polynomial(options: PolynomialOptions): Schedule {
  checkKnownKeys(options, ['learningRate', 'endLearningRate', 'power', 'totalSteps'], 'polynomial options')
  const { learningRate, endLearningRate = 0, power = 1 } = options
  return Object.freeze({
    kind: 'polynomial',
    learningRate: numberInRange(learningRate, 'polynomial learningRate'),
    endLearningRate: numberInRange(endLearningRate, 'polynomial endLearningRate'),
    power: numberInRange(power, 'polynomial power', { above: 0 }),
    totalSteps: totalStepsOf(options.totalSteps, 'polynomial'),
  })
}

/** A straight line from learningRate to endLearningRate: polynomial with power 1. */
export function linear(options: LinearOptions): Schedule {
  checkKnownKeys(options, ['learningRate', 'endLearningRate', 'totalSteps'], 'linear options')
  return polynomial(options)
}

/**
 * l + (η0 − l)(1 + cos(π min(t, T)/T))/2 with l = minLearningRate (Loshchilov and Hutter 2017). Difference from
 * PyTorch: it stays at l after T instead of rising again.
 */
export function cosine(options: CosineOptions): Schedule {
  checkKnownKeys(options, ['learningRate', 'minLearningRate', 'totalSteps'], 'cosine options')
  const { learningRate, minLearningRate = 0 } = options
  return Object.freeze({
    kind: 'cosine',
    learningRate: numberInRange(learningRate, 'cosine learningRate'),
    minLearningRate: numberInRange(minLearningRate, 'cosine minLearningRate'),
    totalSteps: totalStepsOf(options.totalSteps, 'cosine'),
  })
}

/** η_after(0)·(s + (1 − s)t/n) while t < n = warmupSteps, s = startFactor; then after(t − n). */
export function warmup(options: WarmupOptions): Schedule {
  checkKnownKeys(options, ['warmupSteps', 'startFactor', 'after'], 'warmup options')
  const { warmupSteps, startFactor = 0, after } = options
  return Object.freeze({
    kind: 'warmup',
    warmupSteps: integerInRange(warmupSteps, 'warmup warmupSteps', { min: 0 }),
    startFactor: numberInRange(startFactor, 'warmup startFactor', { min: 0 }),
    after:
      typeof after === 'number'
        ? constant({ learningRate: numberInRange(after, 'warmup after') })
        : resolveSchedule(after, 'warmup after'),
  })
}

/** min(1 − 1/(2(⌊t/period⌋ + 1)), maxMomentum) (Sutskever et al. 2013, section 3): a schedule for momentum. */
export function sutskeverMomentum(options: SutskeverMomentumOptions = {}): Schedule {
  checkKnownKeys(options, ['maxMomentum', 'period'], 'sutskeverMomentum options')
  const { maxMomentum = 0.99, period = 250 } = options
  return Object.freeze({
    kind: 'sutskeverMomentum',
    maxMomentum: numberInRange(maxMomentum, 'sutskeverMomentum maxMomentum', { min: 0, below: 1 }),
    period: integerInRange(period, 'sutskeverMomentum period', { min: 1 }),
  })
}

const factories = Object.freeze({ constant, polynomial, linear, cosine, warmup, sutskeverMomentum })
type ScheduleKind = keyof typeof factories
const scheduleKinds = Object.freeze(Object.keys(factories) as ScheduleKind[])

/** Fills in a schedule given as a spec. */
export function resolveSchedule(value: unknown, path: string): Schedule {
  if (!isRecord(value)) throw optionError(path, 'a schedule, such as cosine({ learningRate: 0.001 })', value)
  const { kind, ...options } = value
  const factory = factories[oneOf(kind, joinPath(path, 'kind'), scheduleKinds)] as (
    options: Record<string, unknown>,
  ) => Schedule
  return atPath(path, () => factory(options))
}

/** The values between which all of a schedule's values lie. */
function extremes(schedule: Schedule): readonly number[] {
  switch (schedule.kind) {
    case 'constant':
      return [schedule.learningRate]
    case 'polynomial':
      return [schedule.learningRate, schedule.endLearningRate]
    case 'cosine':
      return [schedule.learningRate, schedule.minLearningRate]
    case 'warmup': {
      const after = extremes(schedule.after)
      return schedule.warmupSteps === 0 ? after : [...after, firstValue(schedule)]
    }
    case 'sutskeverMomentum':
      return [Math.min(0.5, schedule.maxMomentum), schedule.maxMomentum]
  }
}

function firstValue(schedule: Schedule): number {
  switch (schedule.kind) {
    case 'warmup':
      return firstValue(schedule.after) * (schedule.warmupSteps === 0 ? 1 : schedule.startFactor)
    case 'sutskeverMomentum':
      return Math.min(0.5, schedule.maxMomentum)
    default:
      return schedule.learningRate
  }
}

/** A numeric option that may be a schedule: every value it can take must lie in the range. */
export function numberOrSchedule(value: unknown, name: string, range: Range): number | Schedule {
  if (typeof value === 'number') return numberInRange(value, name, range)
  if (!isRecord(value)) throw optionError(name, 'a number or a schedule', value)
  const schedule = resolveSchedule(value, name)
  for (const extreme of extremes(schedule)) {
    atPath(name, () => numberInRange(extreme, `value of the ${schedule.kind} schedule`, range))
  }
  return schedule
}

/**
 * The schedule as the core takes it.
 *
 * @param totalSteps the updates of the run, or undefined outside one
 * @throws KrylovError ERR_OPTION where the schedule's length is the run's and there is no run
 */
export function toNativeSchedule(
  schedule: number | Schedule,
  totalSteps: number | undefined,
  name: string,
): NativeSchedule {
  if (typeof schedule === 'number') return { kind: 'constant', value: schedule }
  switch (schedule.kind) {
    case 'constant':
      return { kind: 'constant', value: schedule.learningRate }
    case 'polynomial': {
      const { kind, learningRate, endLearningRate, power } = schedule
      return { kind, learningRate, endLearningRate, power, totalSteps: stepsOf(schedule, totalSteps, name) }
    }
    case 'cosine': {
      const { kind, learningRate, minLearningRate } = schedule
      return { kind, learningRate, minLearningRate, totalSteps: stepsOf(schedule, totalSteps, name) }
    }
    case 'warmup': {
      const { kind, warmupSteps, startFactor } = schedule
      const rest = totalSteps === undefined ? undefined : Math.max(1, totalSteps - warmupSteps)
      return { kind, warmupSteps, startFactor, after: toNativeSchedule(schedule.after, rest, joinPath(name, 'after')) }
    }
    case 'sutskeverMomentum':
      return { ...schedule }
  }
}

function stepsOf(schedule: Schedule & { totalSteps: TotalSteps }, run: number | undefined, name: string): number {
  if (schedule.totalSteps !== 'run') return schedule.totalSteps
  if (run !== undefined) return run
  throw optionError(
    joinPath(name, 'totalSteps'),
    `a number of updates for the ${schedule.kind} schedule, since there is no run whose length it could take`,
    rendered('none'),
  )
}

/**
 * The value that update t + 1 uses.
 *
 * @param t updates done, from 0
 * @param options.totalSteps the length that `run` stands for
 * @example scheduleValue(cosine({ learningRate: 0.1, totalSteps: 100 }), 50) // 0.05
 */
export function scheduleValue(
  schedule: ScheduleOption | number,
  t: number,
  options: { readonly totalSteps?: number } = {},
): number {
  checkKnownKeys(options, ['totalSteps'], 'scheduleValue options')
  const totalSteps = options.totalSteps
  if (totalSteps !== undefined) integerInRange(totalSteps, 'scheduleValue totalSteps', { min: 1 })
  const resolved = numberOrSchedule(schedule, 'schedule', {})
  const native = toNativeSchedule(resolved, totalSteps, 'schedule')
  const updates = integerInRange(t, 't', { min: 0 })
  return addon().scheduleValue(native, updates)
}

/** Renders a schedule or number for people: `cosine from 0.001`. */
export function describeSchedule(value: number | Schedule): string {
  if (typeof value === 'number') return describe(value)
  return value.kind === 'sutskeverMomentum' ? value.kind : `${value.kind} from ${firstValue(value)}`
}
