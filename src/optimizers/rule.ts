import type { NativeOptimizer, NativeSchedule } from '../internal/native.js'
import type { NumberRange } from '../internal/validate.js'
import { boolean, checkKnownKeys, oneOf } from '../internal/validate.js'
import type { Schedule } from './schedule.js'
import { numberOrSchedule, toNativeSchedule } from './schedule.js'

/*
 * An update rule as TypeScript knows it: a table of options. Everything else (validation, the native form) follows
 * from the table, so a new rule is one file with its table and one line in the registry.
 */

/** A numeric option: a number, or a schedule evaluated before each update. */
export type NumberOption = { readonly type: 'number'; readonly fallback: number; readonly range: NumberRange }
export type FlagOption = { readonly type: 'flag'; readonly fallback: boolean }
export type WordOption = { readonly type: 'word'; readonly fallback: string; readonly words: readonly string[] }
export type RuleOption = NumberOption | FlagOption | WordOption

export function numeric(fallback: number, range: NumberRange = {}): NumberOption {
  return { type: 'number', fallback, range }
}

export function flag(fallback: boolean): FlagOption {
  return { type: 'flag', fallback }
}

export function word(fallback: string, words: readonly string[]): WordOption {
  return { type: 'word', fallback, words }
}

export type Rule = {
  readonly kind: string
  readonly options: Readonly<Record<string, RuleOption>>
  /** Fills in and checks options. */
  readonly resolve: (options: Record<string, unknown>) => ResolvedRule
}

/** What every resolved rule has; its options are numbers, schedules, flags and words by their public names. */
export type ResolvedRule = { readonly kind: string; readonly learningRate: number | Schedule }
export type RuleValue = number | boolean | string | Schedule

/** Checks options against a rule's table and fills in defaults. */
export function resolveByTable(
  kind: string,
  table: Readonly<Record<string, RuleOption>>,
  options: object,
): Record<string, RuleValue> {
  checkKnownKeys(options, Object.keys(table), `${kind} options`)
  const resolved: Record<string, RuleValue> = {}
  for (const [name, option] of Object.entries(table)) {
    const value = options[name]
    resolved[name] = value === undefined ? option.fallback : check(value, `${kind} ${name}`, option)
  }
  return resolved
}

function check(value: unknown, name: string, option: RuleOption): RuleValue {
  switch (option.type) {
    case 'number':
      return numberOrSchedule(value, name, option.range)
    case 'flag':
      return boolean(value, name)
    case 'word':
      return oneOf(value, name, option.words)
  }
}

/**
 * The rule as the core takes it.
 *
 * @param totalSteps updates of the run, which schedules without a length of their own last; undefined outside a run
 */
export function ruleToNative(rule: Rule, resolved: ResolvedRule, totalSteps: number | undefined): NativeOptimizer {
  const numbers: Record<string, NativeSchedule> = {}
  const flags: Record<string, boolean> = {}
  const words: Record<string, string> = {}
  const values = resolved as unknown as Readonly<Record<string, RuleValue>>
  for (const [name, option] of Object.entries(rule.options)) {
    const value = values[name]
    switch (option.type) {
      case 'number':
        numbers[name] = toNativeSchedule(value as number | Schedule, totalSteps, `${rule.kind} ${name}`)
        break
      case 'flag':
        flags[name] = value as boolean
        break
      case 'word':
        words[name] = value as string
        break
    }
  }
  return { kind: rule.kind, numbers, flags, words }
}
