import { optionError } from '../internal/errors.js'
import type { NativeOptimizer } from '../internal/native.js'
import { atPath, isRecord, joinPath, oneOf } from '../internal/validate.js'
import type { AdamOptions } from './adam.js'
import { adamRule } from './adam.js'
import type { AdamWOptions } from './adamw.js'
import { adamwRule } from './adamw.js'
import type { ClassicalMomentumOptions } from './classical-momentum.js'
import { classicalMomentumRule } from './classical-momentum.js'
import type { Rule } from './rule.js'
import { ruleToNative } from './rule.js'
import type { SgdOptions } from './sgd.js'
import { sgdRule } from './sgd.js'

/** Every update rule by its kind. A new rule is a file beside this one, a line here and one in OptimizerOption. */
const rules = Object.freeze({
  sgd: sgdRule,
  classicalMomentum: classicalMomentumRule,
  adam: adamRule,
  adamw: adamwRule,
})

type Rules = typeof rules
export type OptimizerKind = keyof Rules

/** A resolved rule: every option filled in. */
export type OptimizerSpec = ReturnType<Rules[OptimizerKind]['resolve']>

/** What functions take as an optimizer: a factory's result, or plain JSON with the same names. */
export type OptimizerOption =
  | OptimizerSpec
  | ({ readonly kind: 'sgd' } & SgdOptions)
  | ({ readonly kind: 'classicalMomentum' } & ClassicalMomentumOptions)
  | ({ readonly kind: 'adam' } & AdamOptions)
  | ({ readonly kind: 'adamw' } & AdamWOptions)

export const optimizerKinds = Object.freeze(Object.keys(rules) as OptimizerKind[])

/** Fills in an optimizer given as a spec. */
export function resolveOptimizer(value: unknown, path: string): OptimizerSpec {
  if (!isRecord(value)) throw optionError(path, 'an optimizer, such as adam()', value)
  const { kind, ...options } = value
  const rule = rules[oneOf(kind, joinPath(path, 'kind'), optimizerKinds)]
  return atPath(path, () => (rule.resolve as (options: Record<string, unknown>) => OptimizerSpec)(options))
}

/** The rule as the core takes it; see `ruleToNative`. */
export function toNativeOptimizer(spec: OptimizerSpec, totalSteps: number | undefined): NativeOptimizer {
  return ruleToNative(rules[spec.kind] as unknown as Rule, spec, totalSteps)
}
