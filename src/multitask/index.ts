export type {
  CaGrad,
  CaGradOptions,
  GCond,
  GCondOptions,
  GradNorm,
  GradNormOptions,
  Mgda,
  MgdaOptions,
  PcGrad,
  PcGradOptions,
  SamGs,
  SamGsOptions,
  TaskMethod,
  TaskMethodKind,
  TaskMethodOption,
  WeightedSum,
  WeightedSumOptions,
} from './methods.js'
export { caGrad, gCond, gradNorm, mgda, pcGrad, samGs, taskMethodKinds, weightedSum } from './methods.js'
export type { TaskAccumulatorOptions } from './task-accumulator.js'
export { createTaskAccumulator, TaskAccumulator } from './task-accumulator.js'
export type {
  CombineOptions,
  CreateTaskCombinerOptions,
  TaskCombination,
  TaskCombinerState,
  TaskResolution,
} from './task-combiner.js'
export { createTaskCombiner, TaskCombiner } from './task-combiner.js'
