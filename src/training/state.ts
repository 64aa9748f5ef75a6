import { convertedFloats, dtypeOf, floatArray } from '../internal/arrays.js'
import { optionError } from '../internal/errors.js'
import type { DType, FloatArray, NativeTrainingState } from '../internal/native.js'
import {
  checkKnownKeys,
  finiteArray,
  integerInRange,
  joinPath,
  numberInRange,
  oneOf,
  record,
  seed,
} from '../internal/validate.js'
import { isMinimizer } from '../optimizers/registry.js'

/**
 * What a run needs, besides the parameters, to continue to the same bits: the optimizer's arrays and the position in
 * the data. A run that early stopping watched starts its patience anew.
 */
export type TrainingState = {
  /** Updates done. */
  readonly updates: number
  /** Epochs done. */
  readonly epoch: number
  /** Samples of the current epoch done. */
  readonly position: number
  /** The run's seed: it fixes the order of the data and the masks of dropout. */
  readonly seed: number
  /** Sums behind the current epoch's mean loss. */
  readonly lossSum: number
  readonly weightSum: number
  readonly optimizer: {
    readonly kind: string
    /** State arrays by the names of the rule's equations, in the order of the parameters. */
    readonly values: Readonly<Record<string, FloatArray>>
    /** Scalars of a second-order optimizer, such as the damping, and of stages: `stepSize.shortenedSteps`. */
    readonly numbers?: Readonly<Record<string, number>>
    /** And arrays that are not by parameter. */
    readonly arrays?: Readonly<Record<string, Float64Array>>
  }
}

type NativeOptimizerState = Pick<NativeTrainingState, 'optimizer' | 'numbers' | 'plain'>

export function fromNativeState(state: NativeTrainingState, kind: string, dtype: DType): TrainingState {
  const { updates, epoch, position, seed, lossSum, weightSum } = state
  const optimizer = fromNativeOptimizerState(state, kind, dtype)
  return { updates, epoch, position, seed, lossSum, weightSum, optimizer }
}

export function fromNativeOptimizerState(
  state: NativeOptimizerState,
  kind: string,
  dtype: DType,
): TrainingState['optimizer'] {
  const values: Record<string, FloatArray> = {}
  for (const [name, array] of Object.entries(state.optimizer)) {
    // The core may hand out doubles, which hold either dtype exactly.
    const same = dtypeOf(array) === dtype || isMinimizer(kind)
    values[name] = same ? array : convertedFloats(array, name, dtype, array.length)
  }
  const given = (part: Readonly<Record<string, unknown>>): boolean => isMinimizer(kind) || Object.keys(part).length > 0
  return {
    kind,
    values,
    ...(given(state.numbers) ? { numbers: state.numbers } : {}),
    ...(given(state.plain) ? { arrays: state.plain } : {}),
  }
}

/** Second-order optimizers keep float64, whatever the model's dtype is. */
export function stateDtype(kind: string, dtype: DType): DType {
  return isMinimizer(kind) ? 'float64' : dtype
}

/** Checks a state and brings it into the core's form. Arrays may be ordinary ones, as JSON has them. */
export function toNativeState(
  value: unknown,
  path: string,
  kind: string,
  dtype: DType,
  size: number,
): NativeTrainingState {
  checkKnownKeys(value, ['updates', 'epoch', 'position', 'seed', 'lossSum', 'weightSum', 'optimizer'], path)
  const count = (key: string): number => integerInRange(value[key], joinPath(path, key), { min: 0 })
  return {
    updates: count('updates'),
    epoch: count('epoch'),
    position: count('position'),
    seed: seed(value.seed, joinPath(path, 'seed')),
    lossSum: numberInRange(value.lossSum, joinPath(path, 'lossSum')),
    weightSum: numberInRange(value.weightSum, joinPath(path, 'weightSum'), { min: 0 }),
    ...toNativeOptimizerState(value.optimizer, joinPath(path, 'optimizer'), kind, dtype, size),
  }
}

/** The part of a state that is the optimizer's. */
export function toNativeOptimizerState(
  value: unknown,
  path: string,
  kind: string,
  dtype: DType,
  size: number,
): NativeOptimizerState {
  const optimizer = record(value, path)
  oneOf(optimizer.kind, joinPath(path, 'kind'), [kind])
  const arrays: Record<string, FloatArray> = {}
  const stored = stateDtype(kind, dtype)
  for (const [name, values] of Object.entries(record(optimizer.values, joinPath(path, 'values')))) {
    const place = joinPath(joinPath(path, 'values'), name)
    const source = convertedFloats(values, place, stored, size)
    const copy = floatArray(stored, size)
    copy.set(source)
    arrays[name] = copy
  }
  return { optimizer: arrays, ...numbersAndArrays(kind, optimizer, path) }
}

/**
 * Compares the names of a state with those that the optimizer has after taking it over: what it did not know, and the
 * numbers that it had to make up. Arrays may be absent, where nothing has been learnt.
 */
export function checkNames(given: NativeOptimizerState, held: NativeOptimizerState, path: string): void {
  for (const [key, part] of [
    ['values', 'optimizer'],
    ['numbers', 'numbers'],
    ['arrays', 'plain'],
  ] as const) {
    const at = joinPath(path, key)
    checkKnownKeys(given[part], Object.keys(held[part]), at, { noun: 'name', path: at })
  }
  for (const name of Object.keys(held.numbers)) {
    if (!Object.hasOwn(given.numbers, name)) {
      throw optionError(joinPath(joinPath(path, 'numbers'), name), 'a number', undefined)
    }
  }
}

/** What only second-order optimizers and stages have; update rules may do without. */
function numbersAndArrays(
  kind: string,
  optimizer: Record<string, unknown>,
  path: string,
): Pick<NativeTrainingState, 'numbers' | 'plain'> {
  const entries = (key: 'numbers' | 'arrays'): [string, unknown][] => {
    const part = optimizer[key] === undefined && !isMinimizer(kind) ? {} : optimizer[key]
    return Object.entries(record(part, joinPath(path, key)))
  }
  const at = (key: string, name: string): string => joinPath(joinPath(path, key), name)
  const numbers = entries('numbers').map(([name, value]) => [name, numberInRange(value, at('numbers', name))] as const)
  const plain = entries('arrays').map(
    ([name, values]) => [name, Float64Array.from(finiteArray(values, at('arrays', name)))] as const,
  )
  return { numbers: Object.fromEntries(numbers), plain: Object.fromEntries(plain) }
}

/** The seed of a run: the state's when it continues one. A different explicit seed is a mistake. */
export function seedOfRun(given: unknown, state: NativeTrainingState | null): number {
  const chosen = given === undefined ? (state?.seed ?? 0) : seed(given, 'seed')
  if (state !== null && chosen !== state.seed) {
    throw optionError('seed', `${state.seed}, the seed of the resumed state, or none`, given)
  }
  return chosen
}
