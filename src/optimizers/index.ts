export type { AdaHessian, AdaHessianOptions } from './adahessian.js'
export { adahessian } from './adahessian.js'
export type { Adam, AdamOptions } from './adam.js'
export { adam } from './adam.js'
export type { AdamW, AdamWOptions } from './adamw.js'
export { adamw } from './adamw.js'
export type { Bfgs, BfgsOptions } from './bfgs.js'
export { bfgs } from './bfgs.js'
export type { ClassicalMomentum, ClassicalMomentumOptions, NesterovPlace } from './classical-momentum.js'
export { classicalMomentum } from './classical-momentum.js'
export type { CreateOptimizerOptions, OptimizerState, Shapes } from './create-optimizer.js'
export { createOptimizer, Optimizer } from './create-optimizer.js'
export type { CurvatureKind, DampingOptions, PreconditionerOptions } from './curvature-options.js'
export type { DiagonalNewton, DiagonalNewtonOptions } from './diagonal-newton.js'
export { diagonalNewton } from './diagonal-newton.js'
export type {
  GradientNormalizedSmoothness,
  GradientNormalizedSmoothnessOptions,
} from './gradient-normalized-smoothness.js'
export { gradientNormalizedSmoothness } from './gradient-normalized-smoothness.js'
export type { HessianFree, HessianFreeOptions } from './hessian-free.js'
export { hessianFree } from './hessian-free.js'
export type { Kfac, KfacOptions } from './kfac.js'
export { kfac } from './kfac.js'
export type { KrylovSubspaceDescent, KrylovSubspaceDescentOptions } from './krylov-subspace-descent.js'
export { krylovSubspaceDescent } from './krylov-subspace-descent.js'
export type { Lbfgs, LbfgsOptions } from './lbfgs.js'
export { lbfgs } from './lbfgs.js'
export type { LevenbergMarquardt, LevenbergMarquardtOptions } from './levenberg-marquardt.js'
export { levenbergMarquardt } from './levenberg-marquardt.js'
export type { NewtonCG, NewtonCGOptions } from './newton-cg.js'
export { newtonCG } from './newton-cg.js'
export type { NewtonMR, NewtonMROptions } from './newton-mr.js'
export { newtonMR } from './newton-mr.js'
export type {
  ConjugateFormula,
  NonlinearConjugateGradient,
  NonlinearConjugateGradientOptions,
} from './nonlinear-conjugate-gradient.js'
export { nonlinearConjugateGradient } from './nonlinear-conjugate-gradient.js'
export type {
  MinimizerKind,
  MinimizerOption,
  MinimizerSpec,
  OptimizerKind,
  OptimizerOption,
  OptimizerSpec,
  UpdateRuleKind,
  UpdateRuleOption,
  UpdateRuleSpec,
} from './registry.js'
export { minimizerKinds, optimizerKinds } from './registry.js'
export type { Filled } from './rule.js'
export type { SaddleFreeNewton, SaddleFreeNewtonOptions } from './saddle-free-newton.js'
export { saddleFreeNewton } from './saddle-free-newton.js'
export type {
  ConstantOptions,
  CosineOptions,
  LinearOptions,
  PolynomialOptions,
  Schedule,
  ScheduleOption,
  SutskeverMomentumOptions,
  TotalSteps,
  WarmupOptions,
} from './schedule.js'
export {
  constant,
  cosine,
  linear,
  polynomial,
  scheduleValue,
  sutskeverMomentum,
  warmup,
} from './schedule.js'
export type { Sgd, SgdOptions } from './sgd.js'
export { sgd } from './sgd.js'
export type { Sophia, SophiaOptions } from './sophia.js'
export { sophia } from './sophia.js'
export type { StochasticLbfgs, StochasticLbfgsOptions } from './stochastic-lbfgs.js'
export { stochasticLbfgs } from './stochastic-lbfgs.js'
