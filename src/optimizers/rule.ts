import { optionError } from '../internal/errors.js'
import type { NativeOptimizer } from '../internal/native.js'
import type { NumberRange } from '../internal/validate.js'
import {
  boolean,
  checkKnownKeys,
  integerInRange,
  isRecord,
  joinPath,
  numberInRange,
  oneOf,
} from '../internal/validate.js'
import type { Schedule, ScheduleOption } from './schedule.js'
import { numberOrSchedule, toNativeSchedule } from './schedule.js'

/*
 * An optimizer as TypeScript knows it: a table of options. Everything else (validation, the native form) follows from
 * the table, so a new one is one file with its table and one line in the registry. Options may stand in groups; the
 * core knows them by their path, `damping.initial`.
 */

/** A numeric option: a number, or a schedule evaluated before each update. */
export type NumberOption = { readonly type: 'number'; readonly fallback: number; readonly range: NumberRange }
/** A number that stays the same; `whole`: a count. */
export type FixedOption = {
  readonly type: 'fixed'
  readonly fallback: number
  readonly range: NumberRange
  readonly whole: boolean
}
export type FlagOption = { readonly type: 'flag'; readonly fallback: boolean }
export type WordOption = { readonly type: 'word'; readonly fallback: string; readonly words: readonly string[] }
/** Options of their own below a name. */
export type GroupOption = {
  readonly type: 'group'
  readonly options: OptionTable
  /**
   * What else may stand for the group, and the core's flag that tells the two apart. `off`: false, which switches it
   * off; a name: a number or schedule, which is that option and stays as it is.
   */
  readonly short?: { readonly instead: 'off' | string; readonly flag: string }
}
export type RuleOption = NumberOption | FixedOption | FlagOption | WordOption | GroupOption
export type OptionTable = Readonly<Record<string, RuleOption>>

export function numeric(fallback: number, range: NumberRange = {}): NumberOption {
  return { type: 'number', fallback, range }
}

export function fixed(fallback: number, range: NumberRange = {}): FixedOption {
  return { type: 'fixed', fallback, range, whole: false }
}

/** What the core counts to. */
const mostOfCount = 1e9

export function count(fallback: number, range: NumberRange = { min: 1, max: mostOfCount }): FixedOption {
  return { type: 'fixed', fallback, range, whole: true }
}

export function flag(fallback: boolean): FlagOption {
  return { type: 'flag', fallback }
}

export function word(fallback: string, words: readonly string[]): WordOption {
  return { type: 'word', fallback, words }
}

export function group(options: OptionTable, short?: GroupOption['short']): GroupOption {
  return short === undefined ? { type: 'group', options } : { type: 'group', options, short }
}

export type Rule = {
  readonly kind: string
  readonly options: OptionTable
  /** Fills in and checks options. */
  readonly resolve: (options: Record<string, unknown>) => ResolvedRule
}

/** What every resolved rule has; its options are by their public names. */
export type ResolvedRule = { readonly kind: string }
export type RuleValue = number | boolean | string | Schedule | { readonly [option: string]: RuleValue }

/** Options with every default filled in: a schedule is resolved, a group has all its members. */
export type Filled<O> = { readonly [K in keyof O]-?: FilledValue<Exclude<O[K], undefined>> }
type FilledValue<V> = V extends number | boolean | string
  ? V
  : V extends ScheduleOption
    ? Schedule
    : V extends object
      ? Filled<V>
      : V

/** Checks options against a rule's table and fills in defaults. */
export function resolveByTable(kind: string, table: OptionTable, options: object): Record<string, RuleValue> {
  return resolveGroup(kind, '', table, options)
}

function resolveGroup(kind: string, path: string, table: OptionTable, options: unknown): Record<string, RuleValue> {
  const where = path === '' ? `${kind} options` : `${kind} ${path}`
  checkKnownKeys(options, Object.keys(table), where, { path })
  const resolved: Record<string, RuleValue> = {}
  for (const [name, option] of Object.entries(table)) {
    resolved[name] = resolveOption(kind, joinPath(path, name), option, options[name])
  }
  return path === '' ? resolved : Object.freeze(resolved)
}

function resolveOption(kind: string, path: string, option: RuleOption, value: unknown): RuleValue {
  const name = `${kind} ${path}`
  if (option.type === 'group') {
    const { short } = option
    if (short !== undefined && isShort(value)) {
      if (short.instead !== 'off') return resolveOption(kind, path, member(option, short.instead), value)
      if (value === false) return false
    }
    if (value !== undefined && !isRecord(value)) {
      const instead = short === undefined ? '' : short.instead === 'off' ? ' or false' : ' or a number'
      throw optionError(name, `an object of options${instead}`, value)
    }
    return resolveGroup(kind, path, option.options, value ?? {})
  }
  if (value === undefined) return option.fallback
  switch (option.type) {
    case 'number':
      return numberOrSchedule(value, name, option.range)
    case 'fixed':
      return option.whole ? integerInRange(value, name, option.range) : numberInRange(value, name, option.range)
    case 'flag':
      return boolean(value, name)
    case 'word':
      return oneOf(value, name, option.words)
  }
}

/**
 * Refuses options that a choice elsewhere leaves without effect. They may stand at their defaults, as in a resolved spec,
 * and a group that a number or false stands for has none.
 *
 * @param because what leaves them so: `with schedule 'nielsen'`
 */
export function refuseIdle(
  kind: string,
  table: OptionTable,
  resolved: Readonly<Record<string, unknown>>,
  paths: readonly string[],
  because: string,
): void {
  for (const path of paths) {
    const [name = '', inner] = path.split('.')
    const option = table[name]
    const whole = resolved[name]
    if (option === undefined) throw new TypeError(`a table without '${name}'`)
    if (inner === undefined) refuseUnlessDefault(`${kind} ${path}`, option, whole, because)
    else if (option.type === 'group' && !(option.short !== undefined && isShort(whole))) {
      refuseUnlessDefault(`${kind} ${path}`, member(option, inner), (whole as Record<string, unknown>)[inner], because)
    }
  }
}

function refuseUnlessDefault(name: string, option: RuleOption, value: unknown, because: string): void {
  if (option.type === 'group' || value === option.fallback) return
  throw optionError(name, `none ${because}, where it has no effect`, value)
}

/** Refuses a number that is above another one's; schedules are left alone. */
export function checkOrder(
  low: readonly [name: string, value: unknown],
  high: readonly [name: string, value: unknown],
): void {
  if (typeof low[1] !== 'number' || typeof high[1] !== 'number' || low[1] <= high[1]) return
  throw optionError(low[0], `a number of at most ${high[0].split(' ').at(-1)}, ${high[1]}`, low[1])
}

/** Whether a group that a number or schedule may stand for is there itself. */
export function isAdapted(value: unknown): boolean {
  return !isShort(value)
}

/** A number, schedule or false in the place of a group. */
function isShort(value: unknown): boolean {
  return typeof value === 'number' || value === false || (isRecord(value) && typeof value.kind === 'string')
}

function member(option: GroupOption, name: string): RuleOption {
  const found = option.options[name]
  if (found === undefined) throw new TypeError(`a group without '${name}'`)
  return found
}

/**
 * The rule as the core takes it.
 *
 * @param totalSteps updates of the run, which schedules without a length of their own last; undefined outside a run
 */
export function ruleToNative(rule: Rule, resolved: ResolvedRule, totalSteps: number | undefined): NativeOptimizer {
  const native: NativeOptimizer = { kind: rule.kind, numbers: {}, flags: {}, words: {} }
  addToNative(native, '', rule.options, resolved as unknown as Readonly<Record<string, RuleValue>>, totalSteps)
  return native
}

function addToNative(
  native: NativeOptimizer,
  path: string,
  table: OptionTable,
  values: Readonly<Record<string, RuleValue>>,
  totalSteps: number | undefined,
): void {
  for (const [name, option] of Object.entries(table)) {
    const at = joinPath(path, name)
    const value = values[name] as RuleValue
    switch (option.type) {
      case 'number':
      case 'fixed':
        native.numbers[at] = toNativeSchedule(value as number | Schedule, totalSteps, `${native.kind} ${at}`)
        break
      case 'flag':
        native.flags[at] = value as boolean
        break
      case 'word':
        native.words[at] = value as string
        break
      case 'group': {
        const { short } = option
        const plain = short !== undefined && isShort(value)
        if (short !== undefined) native.flags[joinPath(at, short.flag)] = !plain
        const whole = plain ? resolveGroup(native.kind, at, option.options, {}) : (value as Record<string, RuleValue>)
        const given = plain && short.instead !== 'off' ? { ...whole, [short.instead]: value } : whole
        addToNative(native, at, option.options, given, totalSteps)
        break
      }
    }
  }
}
