import { convertedFloats, dtypeOf, floatArray } from '../internal/arrays.js'
import { optionError } from '../internal/errors.js'
import type { DType, FloatArray, NativeTrainingState } from '../internal/native.js'
import { checkKnownKeys, integerInRange, joinPath, numberInRange, oneOf, record, seed } from '../internal/validate.js'

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
  }
}

export function fromNativeState(state: NativeTrainingState, kind: string, dtype: DType): TrainingState {
  const { updates, epoch, position, lossSum, weightSum } = state
  const values: Record<string, FloatArray> = {}
  for (const [name, array] of Object.entries(state.optimizer)) {
    // The core may hand out doubles, which hold either dtype exactly.
    values[name] = dtypeOf(array) === dtype ? array : convertedFloats(array, name, dtype, array.length)
  }
  return {
    updates,
    epoch,
    position,
    seed: state.seed,
    lossSum,
    weightSum,
    optimizer: { kind, values },
  }
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
  for (const [name, values] of Object.entries(record(optimizer.values, joinPath(at, 'values')))) {
    const place = joinPath(joinPath(at, 'values'), name)
    const source = convertedFloats(values, place, dtype, size)
    const copy = floatArray(dtype, size)
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
  }
}

/** The seed of a run: the state's when it continues one. A different explicit seed is a mistake. */
export function seedOfRun(given: unknown, state: NativeTrainingState | null): number {
  const chosen = given === undefined ? (state?.seed ?? 0) : seed(given, 'seed')
  if (state !== null && chosen !== state.seed) {
    throw optionError('seed', `${state.seed}, the seed of the resumed state, or none`, given)
  }
  return chosen
}
