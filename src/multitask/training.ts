import { optionError } from '../internal/errors.js'
import { record } from '../internal/validate.js'
import type { OptimizerSpec } from '../optimizers/registry.js'
import { isMinimizer } from '../optimizers/registry.js'
import type { TaskMethod } from './methods.js'
import { mostTasks, resolveTaskMethod } from './methods.js'

/** Checks the option `multitask` of training. */
export function resolveMultitask(
  value: unknown,
  optimizer: OptimizerSpec,
  headNames: readonly string[],
): TaskMethod | null {
  if (value === undefined) return null
  const path = 'multitask'
  const { kind } = record(value, path)
  if (headNames.length < 2 || headNames.length > mostTasks) {
    const model = headNames.length === 0 ? 'a model without named heads' : `a model of ${headNames.length} heads`
    throw optionError(path, `none with ${model}: the tasks are 2 to ${mostTasks} heads`, kind)
  }
  const method = resolveTaskMethod(value, path, headNames.length)
  if (isMinimizer(optimizer.kind)) {
    throw optionError(path, `none with ${optimizer.kind}, which looks at the function more than once an update`, kind)
  }
  return method
}
