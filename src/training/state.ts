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
    /** Of a second-order optimizer: its scalars, such as the damping. */
    readonly numbers?: Readonly<Record<string, number>>
    /** And its arrays that are not by parameter. */
    readonly arrays?: Readonly<Record<string, Float64Array>>
  }
}

export function fromNativeState(state: NativeTrainingState, kind: string, dtype: DType): TrainingState {
  const { updates, epoch, position, lossSum, weightSum } = state
  const values: Record<string, FloatArray> = {}
  for (const [name, array] of Object.entries(state.optimizer)) {
    // The core may hand out doubles, which hold either dtype exactly.
    const same = dtypeOf(array) === dtype || isMinimizer(kind)
    values[name] = same ? array : convertedFloats(array, name, dtype, array.length)
  }
  return {
    updates,
    epoch,
    position,
    seed: state.seed,
    lossSum,
    weightSum,
    optimizer: isMinimizer(kind) ? { kind, values, numbers: state.numbers, arrays: state.plain } : { kind, values },
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
  const at = joinPath(path, 'optimizer')
  const optimizer = record(value.optimizer, at)
  oneOf(optimizer.kind, joinPath(at, 'kind'), [kind])
  const arrays: Record<string, FloatArray> = {}
  const stored = stateDtype(kind, dtype)
  for (const [name, values] of Object.entries(record(optimizer.values, joinPath(at, 'values')))) {
    const place = joinPath(joinPath(at, 'values'), name)
    const source = convertedFloats(values, place, stored, size)
    const copy = floatArray(stored, size)
    copy.set(source)
    arrays[name] = copy
  }
  return {
    updates: count('updates'),
    epoch: count('epoch'),
    position: count('position'),
    seed: seed(value.seed, joinPath(path, 'seed')),
    lossSum: numberInRange(value.lossSum, joinPath(path, 'lossSum')),
    weightSum: numberInRange(value.weightSum, joinPath(path, 'weightSum'), { min: 0 }),
    optimizer: arrays,
    ...minimizerState(kind, optimizer, at),
  }
}

/** Numbers and arrays that only some optimizers have. */
function minimizerState(
  kind: string,
  optimizer: Record<string, unknown>,
  path: string,
): Pick<NativeTrainingState, 'numbers' | 'plain'> {
  if (!isMinimizer(kind)) return { numbers: {}, plain: {} }
  const at = (key: string): string => joinPath(path, key)
  const numbers = Object.entries(record(optimizer.numbers, at('numbers'))).map(
    ([name, value]) => [name, numberInRange(value, joinPath(at('numbers'), name))] as const,
  )
  const plain = Object.entries(record(optimizer.arrays, at('arrays'))).map(([name, values]) => {
    const place = joinPath(at('arrays'), name)
    return [name, Float64Array.from(finiteArray(values, place))] as const
  })
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
