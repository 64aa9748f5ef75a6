import { optionError } from '../internal/errors.js'
import type { NativeOptimizer } from '../internal/native.js'
import { atPath, isRecord, joinPath, oneOf } from '../internal/validate.js'
import type { AdaHessianOptions } from './adahessian.js'
import { adahessianRule } from './adahessian.js'
import type { AdamOptions } from './adam.js'
import { adamRule } from './adam.js'
import type { AdamWOptions } from './adamw.js'
import { adamwRule } from './adamw.js'
import type { BfgsOptions } from './bfgs.js'
import { bfgsRule } from './bfgs.js'
import type { ClassicalMomentumOptions } from './classical-momentum.js'
import { classicalMomentumRule } from './classical-momentum.js'
import type { DiagonalNewtonOptions } from './diagonal-newton.js'
import { diagonalNewtonRule } from './diagonal-newton.js'
import type { GradientNormalizedSmoothnessOptions } from './gradient-normalized-smoothness.js'
import { gradientNormalizedSmoothnessRule } from './gradient-normalized-smoothness.js'
import type { HessianFreeOptions } from './hessian-free.js'
import { hessianFreeRule } from './hessian-free.js'
import type { KfacOptions } from './kfac.js'
import { kfacRule } from './kfac.js'
import type { KrylovSubspaceDescentOptions } from './krylov-subspace-descent.js'
import { krylovSubspaceDescentRule } from './krylov-subspace-descent.js'
import type { LbfgsOptions } from './lbfgs.js'
import { lbfgsRule } from './lbfgs.js'
import type { LevenbergMarquardtOptions } from './levenberg-marquardt.js'
import { levenbergMarquardtRule } from './levenberg-marquardt.js'
import type { NewtonCGOptions } from './newton-cg.js'
import { newtonCGRule } from './newton-cg.js'
import type { NewtonMROptions } from './newton-mr.js'
import { newtonMRRule } from './newton-mr.js'
import type { NonlinearConjugateGradientOptions } from './nonlinear-conjugate-gradient.js'
import { nonlinearConjugateGradientRule } from './nonlinear-conjugate-gradient.js'
import type { Rule } from './rule.js'
import { ruleToNative } from './rule.js'
import type { SaddleFreeNewtonOptions } from './saddle-free-newton.js'
import { saddleFreeNewtonRule } from './saddle-free-newton.js'
import type { SgdOptions } from './sgd.js'
import { sgdRule } from './sgd.js'
import type { SophiaOptions } from './sophia.js'
import { sophiaRule } from './sophia.js'
import type { StochasticLbfgsOptions } from './stochastic-lbfgs.js'
import { stochasticLbfgsRule } from './stochastic-lbfgs.js'

/** Every update rule by its kind. A new rule is a file beside this one, a line here and one in UpdateRuleOption. */
const updateRules = Object.freeze({
  sgd: sgdRule,
  classicalMomentum: classicalMomentumRule,
  adam: adamRule,
  adamw: adamwRule,
})

/** Every minimizer: an optimizer that looks at the function more than once an update. */
const minimizers = Object.freeze({
  hessianFree: hessianFreeRule,
  newtonCG: newtonCGRule,
  newtonMR: newtonMRRule,
  saddleFreeNewton: saddleFreeNewtonRule,
  krylovSubspaceDescent: krylovSubspaceDescentRule,
  gradientNormalizedSmoothness: gradientNormalizedSmoothnessRule,
  nonlinearConjugateGradient: nonlinearConjugateGradientRule,
  lbfgs: lbfgsRule,
  stochasticLbfgs: stochasticLbfgsRule,
  bfgs: bfgsRule,
  levenbergMarquardt: levenbergMarquardtRule,
  kfac: kfacRule,
  adahessian: adahessianRule,
  sophia: sophiaRule,
  diagonalNewton: diagonalNewtonRule,
})

const rules = Object.freeze({ ...updateRules, ...minimizers })

type Rules = typeof rules
export type OptimizerKind = keyof Rules
/** Optimizers that are fed one gradient an update. */
export type UpdateRuleKind = keyof typeof updateRules
/** Optimizers that look at the function more than once an update: curvature, line searches, trust regions. */
export type MinimizerKind = keyof typeof minimizers

/** A resolved optimizer: every option filled in. */
export type OptimizerSpec = ReturnType<Rules[OptimizerKind]['resolve']>
export type UpdateRuleSpec = ReturnType<Rules[UpdateRuleKind]['resolve']>
export type MinimizerSpec = ReturnType<Rules[MinimizerKind]['resolve']>

/** An update rule: a factory's result, or plain JSON with the same names. */
export type UpdateRuleOption =
  | UpdateRuleSpec
  | ({ readonly kind: 'sgd' } & SgdOptions)
  | ({ readonly kind: 'classicalMomentum' } & ClassicalMomentumOptions)
  | ({ readonly kind: 'adam' } & AdamOptions)
  | ({ readonly kind: 'adamw' } & AdamWOptions)

/** A minimizer: a factory's result, or plain JSON with the same names. */
export type MinimizerOption =
  | MinimizerSpec
  | ({ readonly kind: 'hessianFree' } & HessianFreeOptions)
  | ({ readonly kind: 'newtonCG' } & NewtonCGOptions)
  | ({ readonly kind: 'newtonMR' } & NewtonMROptions)
  | ({ readonly kind: 'saddleFreeNewton' } & SaddleFreeNewtonOptions)
  | ({ readonly kind: 'krylovSubspaceDescent' } & KrylovSubspaceDescentOptions)
  | ({ readonly kind: 'gradientNormalizedSmoothness' } & GradientNormalizedSmoothnessOptions)
  | ({ readonly kind: 'nonlinearConjugateGradient' } & NonlinearConjugateGradientOptions)
  | ({ readonly kind: 'lbfgs' } & LbfgsOptions)
  | ({ readonly kind: 'stochasticLbfgs' } & StochasticLbfgsOptions)
  | ({ readonly kind: 'bfgs' } & BfgsOptions)
  | ({ readonly kind: 'levenbergMarquardt' } & LevenbergMarquardtOptions)
  | ({ readonly kind: 'kfac' } & KfacOptions)
  | ({ readonly kind: 'adahessian' } & AdaHessianOptions)
  | ({ readonly kind: 'sophia' } & SophiaOptions)
  | ({ readonly kind: 'diagonalNewton' } & DiagonalNewtonOptions)

/** What training takes as an optimizer. */
export type OptimizerOption = UpdateRuleOption | MinimizerOption

export const optimizerKinds = Object.freeze(Object.keys(rules) as OptimizerKind[])
export const minimizerKinds = Object.freeze(Object.keys(minimizers) as MinimizerKind[])

export function isMinimizer(kind: string): kind is MinimizerKind {
  return Object.hasOwn(minimizers, kind)
}

/** Fills in an optimizer given as a spec. */
export function resolveOptimizer(value: unknown, path: string): OptimizerSpec {
  if (!isRecord(value)) throw optionError(path, 'an optimizer, such as adam()', value)
  const { kind, ...options } = value
  const rule = rules[oneOf(kind, joinPath(path, 'kind'), optimizerKinds)]
  return atPath(path, () => (rule.resolve as (options: Record<string, unknown>) => OptimizerSpec)(options))
}

/** Fills in an update rule; a minimizer is refused. */
export function resolveUpdateRule(value: unknown, path: string): UpdateRuleSpec {
  const spec = resolveOptimizer(value, path)
  if (isMinimizer(spec.kind)) {
    throw optionError(
      path,
      `an update rule, such as adam(): ${spec.kind} looks at the function itself, so give it to train, createTrainer or minimize`,
      spec,
    )
  }
  return spec as UpdateRuleSpec
}

/** Fills in a minimizer; an update rule is refused. */
export function resolveMinimizer(value: unknown, path: string): MinimizerSpec {
  const spec = resolveOptimizer(value, path)
  if (!isMinimizer(spec.kind)) {
    throw optionError(
      path,
      `an optimizer that looks at the function itself, such as lbfgs(): for ${spec.kind} with gradients of your own see createOptimizer`,
      spec,
    )
  }
  return spec as MinimizerSpec
}

/** The optimizer as the core takes it; see `ruleToNative`. */
export function toNativeOptimizer(spec: OptimizerSpec, totalSteps: number | undefined): NativeOptimizer {
  return ruleToNative(rules[spec.kind] as unknown as Rule, spec, totalSteps)
}
