import { convertedFloats } from '../internal/arrays.js'
import { optionError, rendered } from '../internal/errors.js'
import type { DType, FloatArray, NativeMinimizationState } from '../internal/native.js'
import { checkKnownKeys, integerInRange, joinPath, numberInRange } from '../internal/validate.js'
import type { TrainingState } from './state.js'
import { fromNativeOptimizerState, toNativeOptimizerState } from './state.js'

/** What `minimize` needs, besides the problem and the options, to continue to the same bits. */
export type MinimizeState = {
  /** Where the iterations are: x0 of the run that continues. */
  readonly x: FloatArray
  /** Iterations done. */
  readonly iterations: number
  /** Evaluations of the function that they took. */
  readonly evaluations: number
  /** f(x), null where no iteration has needed it. */
  readonly value: number | null
  /** The optimizer has f and its gradient at x. A run that continues asks for them again and does not count them twice. */
  readonly gradientKnown: boolean
  readonly optimizer: TrainingState['optimizer']
}

const keys = ['x', 'iterations', 'evaluations', 'value', 'gradientKnown', 'optimizer'] as const

export function fromNativeMinimization(state: NativeMinimizationState, x: FloatArray, kind: string): MinimizeState {
  const { updates, evaluations, value, gradientKnown } = state
  return {
    x,
    iterations: updates,
    evaluations,
    value: Number.isFinite(value) ? value : null,
    gradientKnown,
    optimizer: fromNativeOptimizerState(state, kind, 'float64'),
  }
}

/** Checks a state against where a run is to start, and brings it into the core's form. */
export function toNativeMinimization(
  value: unknown,
  path: string,
  kind: string,
  dtype: DType,
  start: FloatArray,
): NativeMinimizationState {
  checkKnownKeys(value, keys, path, { noun: 'member', path })
  const at = (key: (typeof keys)[number]): string => joinPath(path, key)
  const { gradientKnown } = value
  if (typeof gradientKnown !== 'boolean') throw optionError(at('gradientKnown'), 'true or false', gradientKnown)
  const x = convertedFloats(value.x, at('x'), dtype, start.length)
  const other = start.findIndex((element, i) => element !== x[i])
  if (other >= 0) {
    throw optionError('x0', `the x of the state to resume (${x[other]} at ${other})`, rendered(`${start[other]}`))
  }
  return {
    updates: integerInRange(value.iterations, at('iterations'), { min: 0 }),
    evaluations: integerInRange(value.evaluations, at('evaluations'), { min: 0 }),
    value: value.value === null ? null : numberInRange(value.value, at('value')),
    gradientKnown,
    ...toNativeOptimizerState(value.optimizer, at('optimizer'), kind, dtype, start.length),
  }
}
