import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { dtypeOption, floatArray, floatInput } from '../internal/arrays.js'
import { optionError, rendered, stateError } from '../internal/errors.js'
import type { DType } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { arrayOf, checkKnownKeys, finiteArray, integerInRange, oneOf } from '../internal/validate.js'
import { mostTasks } from './methods.js'
import type { CreateTaskCombinerOptions } from './task-combiner.js'

export type TaskAccumulatorOptions<D extends DType = DType> = Omit<CreateTaskCombinerOptions<D>, 'tensors'> & {
  /** K, micro-batches of one step. */
  readonly microBatches: number
  /** `stochastic`: every micro-batch is of one task. Default `sequential`: of all tasks. */
  readonly mode?: 'sequential' | 'stochastic'
  /** λ, a factor for each task's gradients; default 1. */
  readonly weights?: readonly number[]
}

/** Means of gradients over micro-batches, task by task; made by `createTaskAccumulator`. */
export class TaskAccumulator<D extends DType = DType> {
  readonly tasks: number
  readonly microBatches: number
  readonly mode: 'sequential' | 'stochastic'
  /** λ_k G_k so far, [P] for each task; complete after `microBatches` calls of `add`. */
  readonly gradients: readonly TypedArrayOf<D>[]
  readonly #dtype: D
  readonly #weights: readonly number[]
  #added = 0

  /** @internal */
  constructor(
    gradients: readonly TypedArrayOf<D>[],
    dtype: D,
    microBatches: number,
    mode: 'sequential' | 'stochastic',
    weights: readonly number[],
  ) {
    this.gradients = gradients
    this.tasks = gradients.length
    this.microBatches = microBatches
    this.mode = mode
    this.#dtype = dtype
    this.#weights = weights
  }

  /** Micro-batches added since the last reset. */
  get added(): number {
    return this.#added
  }

  /** Whether all micro-batches are there. */
  get complete(): boolean {
    return this.#added === this.microBatches
  }

  /** The task whose micro-batch is next, in stochastic mode: the first K/T are of task 0, and so on. */
  get task(): number | undefined {
    if (this.mode === 'sequential' || this.complete) return undefined
    return Math.floor((this.#added * this.tasks) / this.microBatches)
  }

  /**
   * Adds a micro-batch: λ_k g_k / K to every task's, or in stochastic mode λ_k g / (K/T) to that of `task`.
   *
   * @param gradients of every task, or in stochastic mode one array, of the task that is next
   * @throws KrylovError ERR_STATE when complete, ERR_DTYPE, ERR_SHAPE
   */
  add(gradients: readonly TypedArrayInput<D>[] | TypedArrayInput<D>): void {
    if (this.complete)
      throw stateError('accumulator', 'micro-batches left, or reset() before', rendered(`all ${this.#added}`))
    const { task } = this
    const size = this.gradients[0]?.length ?? 0
    const input = (row: unknown, name: string) => floatInput(row, name, this.#dtype, size)
    const rows =
      task === undefined
        ? arrayOf(gradients, 'gradients', input, { length: this.tasks }).map((row, k) => [k, row] as const)
        : [[task, input(gradients, 'gradients')] as const]
    const share = task === undefined ? this.microBatches : this.microBatches / this.tasks
    for (const [k, row] of rows) {
      const sum = this.gradients[k] as TypedArrayOf<D>
      addon().combine(1, sum, (this.#weights[k] ?? 1) / share, row, sum)
    }
    this.#added += 1
  }

  /** Back to zeros, for the next step. */
  reset(): void {
    for (const sum of this.gradients) sum.fill(0)
    this.#added = 0
  }
}

/**
 * Accumulates the gradients of several tasks over micro-batches, for any method. In stochastic mode each micro-batch is
 * passed for one task only: T times fewer passes.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE
 * @example
 * const sums = createTaskAccumulator({ tasks: 2, parameterCount: 3, microBatches: 4, mode: 'stochastic' })
 * while (!sums.complete) sums.add(new Float32Array(3).fill(sums.task ?? 0))
 * @see Limarenko & Studenikina 2025 (arXiv 2509.07252); the released code
 */
export function createTaskAccumulator<D extends DType = 'float32'>(
  options: TaskAccumulatorOptions<D>,
): TaskAccumulator<D> {
  const where = 'createTaskAccumulator'
  const names = ['tasks', 'parameterCount', 'dtype', 'microBatches', 'mode', 'weights']
  checkKnownKeys(options, names, `${where} options`)
  const { dtype = 'float32', mode = 'sequential' } = options
  const tasks = integerInRange(options.tasks, `${where} tasks`, { min: 1, max: mostTasks })
  const size = integerInRange(options.parameterCount, `${where} parameterCount`, { min: 1, max: 2 ** 32 })
  const microBatches = integerInRange(options.microBatches, `${where} microBatches`, { min: 1 })
  oneOf(mode, `${where} mode`, ['sequential', 'stochastic'])
  if (mode === 'stochastic' && microBatches % tasks !== 0) {
    throw optionError(`${where} microBatches`, `a multiple of the ${tasks} tasks in stochastic mode`, microBatches)
  }
  const weights =
    options.weights === undefined
      ? new Array<number>(tasks).fill(1)
      : finiteArray(options.weights, `${where} weights`, { length: tasks })
  const type = dtypeOption(dtype, `${where} dtype`) as D
  const arrays = Array.from({ length: tasks }, () => floatArray(type, size))
  return new TaskAccumulator(arrays, type, microBatches, mode, weights)
}
