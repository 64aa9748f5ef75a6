import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { dtypeOption, floatInput, floatOutput, isFloatArray } from '../internal/arrays.js'
import { optionError, rendered, shapeError, stateError } from '../internal/errors.js'
import type { DType, NativeTaskCombination, NativeTaskCombiner } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { arrayOf, checkKnownKeys, finiteArray, integerInRange, oneOf, record } from '../internal/validate.js'
import type { TaskMethod, TaskMethodOption } from './methods.js'
import { mostTasks, resolveTaskMethod } from './methods.js'

export type CreateTaskCombinerOptions<D extends DType = DType> = {
  /** T, at most 128. */
  readonly tasks: number
  /** P, the parameters that the tasks share. */
  readonly parameterCount: number
  /** Element type of gradients and state; default float32. */
  readonly dtype?: D
  /** Lengths of the tensors in the parameters, which `gCond` with `lion` scales by themselves; default one piece. */
  readonly tensors?: readonly number[]
}

export type CombineOptions<D extends DType = DType> = {
  /** One for each task, at least 0; for `gradNorm`, and `mgda` scaled by losses. */
  readonly losses?: Float32Array | Float64Array | readonly number[]
  /** The shared parameters; for `gCond` with `lion`. */
  readonly parameters?: TypedArrayInput<D>
  /** Receives d; a new array when absent. */
  readonly out?: TypedArrayOf<D>
}

/** A pair of gradients that `gCond` resolved, in the order in which it did. */
export type TaskResolution = {
  readonly pair: readonly [number, number]
  readonly cosine: number
  /** Null: both were projected (zones, weak conflicts). */
  readonly winner: number | null
  /** Of the cosine; `smooth` in smooth mode. */
  readonly zone: 'smooth' | 'weak' | 'main' | 'critical'
  /** 0 to π; smooth mode. */
  readonly angle: number
}

/** What the tasks' gradients were made into. */
export type TaskCombination<D extends DType = DType> = {
  /** d, [P]. */
  readonly gradient: TypedArrayOf<D>
  /** ‖g_i‖. */
  readonly norms: Float64Array
  /** Of every pair of gradients, [T, T] row by row; 0 beside a zero gradient. */
  readonly cosines: Float64Array
  /** Pairs with a negative cosine. */
  readonly conflicts: number
  /** Cosines of the gradients and d: what d does for each task. */
  readonly alignments: Float64Array
  /** Tasks that d works against. */
  readonly opposed: number
  /** d = Σ coefficients_i g_i, where it is such a sum of this call's gradients. */
  readonly coefficients?: Float64Array
  /** The method's own weights: on the simplex for `mgda` and `caGrad`, those in use for `weightedSum` and `gradNorm`. */
  readonly weights?: Float64Array
  /** The gradients that `pcGrad` and `gCond` sum: their cosines, and what conflicts are left. */
  readonly resolved?: { readonly cosines: Float64Array; readonly conflicts: number }
  /** Of `gradNorm`: the targets of G, its loss with its gradient, the weights of the next call. */
  readonly balance?: {
    readonly targets: Float64Array
    readonly loss: number
    readonly weightGradient: Float64Array
    readonly nextWeights: Float64Array
  }
  /** Of `samGs`: pairs (0, 1), (0, 2), ..., (1, 2), ... */
  readonly similarity?: { readonly pairs: Float64Array; readonly branch: 'equalise' | 'modulate' }
  /** Of `gCond`. */
  readonly resolutions?: readonly TaskResolution[]
}

/** Everything a combiner remembers; plain JSON, exact in both dtypes. */
export type TaskCombinerState = {
  readonly kind: string
  /** Calls so far. */
  readonly steps: number
  readonly values: Readonly<Record<string, readonly number[]>>
}

/** Makes one direction of the gradients of several tasks; made by `createTaskCombiner`. */
export class TaskCombiner<D extends DType = DType> {
  readonly method: TaskMethod
  readonly tasks: number
  readonly parameterCount: number
  readonly dtype: D
  readonly #handle: NativeTaskCombiner
  #disposed = false

  /** @internal */
  constructor(method: TaskMethod, tasks: number, parameterCount: number, tensors: readonly number[], dtype: D) {
    this.method = method
    this.tasks = tasks
    this.parameterCount = parameterCount
    this.dtype = dtype
    this.#handle = new (addon().TaskCombiner)(method, tasks, parameterCount, [...tensors], dtype)
  }

  /** Calls of `combine` so far. */
  get steps(): number {
    return this.#native().steps
  }

  /**
   * One direction of the tasks' gradients, and a step of what the method remembers.
   *
   * @param gradients one array of P numbers for each task, or one of T · P; they are read where they are
   * @throws KrylovError ERR_DTYPE, ERR_SHAPE, ERR_OPTION; ERR_NOT_FINITE for gradients with NaN or infinity; then the
   *   state is what it was
   */
  combine(
    gradients: readonly TypedArrayInput<D>[] | TypedArrayInput<D>,
    options: CombineOptions<D> = {},
  ): TaskCombination<D> {
    const handle = this.#native()
    checkKnownKeys(options, ['losses', 'parameters', 'out'], 'combine options')
    const { losses, parameters, out } = options as CombineOptions<D>
    const rows = this.#rows(gradients)
    const gradient = floatOutput(out, 'combine out', this.dtype, this.parameterCount)
    const given = parameters === undefined ? null : this.#input(parameters, 'combine parameters')
    const overlaps = (array: Float32Array | Float64Array) =>
      array.buffer === gradient.buffer &&
      array.byteOffset < gradient.byteOffset + gradient.byteLength &&
      gradient.byteOffset < array.byteOffset + array.byteLength
    if (rows.some(overlaps) || (given !== null && overlaps(given))) {
      throw optionError('combine out', 'an array that shares no memory with the inputs', gradient)
    }
    const { method } = this
    const wanted = method.kind === 'gradNorm' || (method.kind === 'mgda' && method.scaling.startsWith('loss'))
    if (wanted && losses === undefined) {
      throw optionError('combine losses', `a loss for each task, for ${method.kind}`, losses)
    }
    if (method.kind === 'gCond' && method.lion !== false && given === null) {
      throw optionError('combine parameters', 'the shared parameters, for gCond with lion', parameters)
    }
    const values = losses === undefined ? null : this.#losses(losses)
    return combinationOf(method, gradient, handle.combine(rows, values, given, gradient))
  }

  /** A copy of the state. */
  state(): TaskCombinerState {
    const handle = this.#native()
    const values = Object.fromEntries(handle.stateNames.map((name) => [name, Array.from(handle.getState(name))]))
    return { kind: this.method.kind, steps: handle.steps, values }
  }

  /**
   * Restores a state; the next call continues as if nothing had happened in between.
   *
   * @throws KrylovError ERR_OPTION for another method's state or a missing array, ERR_SHAPE for a wrong length
   */
  setState(state: TaskCombinerState): void {
    const handle = this.#native()
    checkKnownKeys(state, ['kind', 'steps', 'values'], 'state')
    oneOf(state.kind, 'state.kind', [this.method.kind])
    const steps = integerInRange(state.steps, 'state.steps', { min: 0 })
    const values = record(state.values, 'state.values')
    const names = handle.stateNames
    checkKnownKeys(values, names, 'state.values')
    // All arrays are checked before the first is written, so that an error leaves the old state whole.
    const arrays = names.map((name) => {
      const array = handle.getState(name)
      array.set(finiteArray(values[name], `state.values.${name}`, { length: array.length }))
      return { name, array }
    })
    for (const { name, array } of arrays) handle.setState(name, array)
    handle.setSteps(steps)
  }

  /** Frees what it remembers; afterwards every call is an error. */
  dispose(): void {
    this.#disposed = true
    this.#handle.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #native(): NativeTaskCombiner {
    if (this.#disposed) throw stateError('task combiner', 'one in use', rendered('one that was disposed'))
    return this.#handle
  }

  #input(value: unknown, name: string): TypedArrayOf<D> {
    return floatInput(value, name, this.dtype, this.parameterCount)
  }

  #rows(gradients: unknown): TypedArrayOf<D>[] {
    const { tasks, parameterCount } = this
    if (isFloatArray(gradients)) {
      const whole = floatInput(gradients, 'gradients', this.dtype, tasks * parameterCount)
      return Array.from(
        { length: tasks },
        (_, i) => whole.subarray(i * parameterCount, (i + 1) * parameterCount) as TypedArrayOf<D>,
      )
    }
    return arrayOf(gradients, 'gradients', (row, name) => this.#input(row, name), { length: tasks })
  }

  #losses(losses: Float32Array | Float64Array | readonly number[]): Float64Array {
    return Float64Array.from(finiteArray(losses, 'combine losses', { length: this.tasks, min: 0 }))
  }
}

function combinationOf<D extends DType>(
  { kind }: TaskMethod,
  gradient: TypedArrayOf<D>,
  native: NativeTaskCombination,
): TaskCombination<D> {
  const { norms, cosines, conflicts, alignments, opposed, coefficients, weights } = native
  const { resolvedCosines, targets, weightGradient, nextWeights } = native
  return {
    gradient,
    norms,
    cosines,
    conflicts,
    alignments,
    opposed,
    ...(coefficients === null ? {} : { coefficients }),
    ...(weights === null ? {} : { weights }),
    ...(resolvedCosines === null
      ? {}
      : { resolved: { cosines: resolvedCosines, conflicts: native.resolvedConflicts } }),
    ...(targets === null || weightGradient === null || nextWeights === null
      ? {}
      : { balance: { targets, loss: native.balanceLoss, weightGradient, nextWeights } }),
    ...(kind === 'samGs'
      ? { similarity: { pairs: native.similarities, branch: native.equalised ? 'equalise' : 'modulate' } }
      : {}),
    ...(kind === 'gCond'
      ? {
          resolutions: native.resolutions.map(({ first, second, winner, ...rest }) => ({
            pair: [first, second] as const,
            winner: winner < 0 ? null : winner,
            ...rest,
          })),
        }
      : {}),
  }
}

/**
 * A method for the gradients of several tasks, with its state. The gradients are the caller's, of the parameters that the
 * tasks share; d goes to an optimizer. Each task's head keeps its own gradient.
 *
 * @param method such as `pcGrad()` or `caGrad({ c: 0.5 })`
 * @throws KrylovError ERR_OPTION, ERR_SHAPE
 * @example
 * const combiner = createTaskCombiner(pcGrad(), { tasks: 2, parameterCount: 2, dtype: 'float64' })
 * combiner.combine([Float64Array.of(1, 0), Float64Array.of(-1, 1)]).gradient // [0.5, 1.5]
 */
export function createTaskCombiner<D extends DType = 'float32'>(
  method: TaskMethodOption,
  options: CreateTaskCombinerOptions<D>,
): TaskCombiner<D> {
  const where = 'createTaskCombiner'
  checkKnownKeys(options, ['tasks', 'parameterCount', 'dtype', 'tensors'], `${where} options`)
  const { tensors = [], dtype = 'float32' } = options
  const tasks = integerInRange(options.tasks, `${where} tasks`, { min: 1, max: mostTasks })
  const parameterCount = integerInRange(options.parameterCount, `${where} parameterCount`, { min: 1, max: 2 ** 40 })
  const type = dtypeOption(dtype, `${where} dtype`) as D
  const lengths = arrayOf(tensors, `${where} tensors`, (length, name) => integerInRange(length, name, { min: 0 }))
  const sum = lengths.reduce((total, length) => total + length, 0)
  if (lengths.length > 0 && sum !== parameterCount) {
    throw shapeError(`${where} tensors`, `lengths that add up to ${parameterCount}`, rendered(`the sum ${sum}`))
  }
  return new TaskCombiner(resolveTaskMethod(method, 'method', tasks), tasks, parameterCount, lengths, type)
}
