import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { dtypeOption, floatArray, floatInput, floatOutput } from '../internal/arrays.js'
import { optionError, shapeError } from '../internal/errors.js'
import type { DType, NativeOptimizerObject } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { arrayOf, checkKnownKeys, finiteArray, integerInRange, isRecord, oneOf, record } from '../internal/validate.js'
import type { UpdateRuleOption, UpdateRuleSpec } from './registry.js'
import { resolveUpdateRule, toNativeOptimizer } from './registry.js'

/** Shapes of the tensors that lie one after the other in the flat parameter vector; a number is a vector's length. */
export type Shapes = readonly (number | readonly number[] | { readonly shape: readonly number[] })[]

export type CreateOptimizerOptions<D extends DType = DType> = {
  /** Element type of parameters, gradients and state; default float32. */
  readonly dtype?: D
  /** What `run` means in schedules; without it such a schedule is an error. */
  readonly totalSteps?: number
}

/** Everything an optimizer remembers; plain JSON, exact in both dtypes. */
export type OptimizerState = {
  readonly kind: string
  readonly updates: number
  /** State arrays by the names of the rule's equations, in the order of the parameters. */
  readonly values: Readonly<Record<string, readonly number[]>>
}

/** An update rule with its state; made by `createOptimizer`. */
export class Optimizer<D extends DType = DType> {
  readonly spec: UpdateRuleSpec
  readonly dtype: D
  /** Number of parameters. */
  readonly size: number
  readonly #handle: NativeOptimizerObject

  /** @internal */
  constructor(spec: UpdateRuleSpec, dtype: D, size: number, totalSteps: number | undefined) {
    this.spec = spec
    this.dtype = dtype
    this.size = size
    const native = toNativeOptimizer(spec, totalSteps)
    this.#handle = new (addon().Optimizer)(native, size, dtype)
  }

  /** Updates done so far. */
  get updates(): number {
    return this.#handle.updates
  }

  /**
   * One update.
   *
   * @param parameters flat parameters, `size` numbers of the dtype; not modified unless `out` is the same array
   * @param gradients gradient at `evaluationPoint(parameters)`, which is `parameters` itself for most rules; not checked
   *   for NaN: the result is what the arithmetic gives
   * @param out receives the new parameters; a new array when absent
   * @returns the new parameters
   * @throws KrylovError ERR_DTYPE, ERR_SHAPE
   */
  step(parameters: TypedArrayInput<D>, gradients: TypedArrayInput<D>, out?: TypedArrayOf<D>): TypedArrayOf<D> {
    const result = floatOutput(out, 'out', this.dtype, this.size)
    this.#handle.step(
      floatInput(parameters, 'parameters', this.dtype, this.size),
      floatInput(gradients, 'gradients', this.dtype, this.size),
      result,
    )
    return result
  }

  /** Where the rule wants the next gradient: a copy of the parameters, except for Nesterov's lookahead. */
  evaluationPoint(parameters: TypedArrayInput<D>, out?: TypedArrayOf<D>): TypedArrayOf<D> {
    const result = floatOutput(out, 'out', this.dtype, this.size)
    this.#handle.evaluationPoint(floatInput(parameters, 'parameters', this.dtype, this.size), result)
    return result
  }

  /** A copy of the state. */
  state(): OptimizerState {
    const values: Record<string, number[]> = {}
    for (const name of this.#handle.stateNames) {
      const array = floatArray(this.dtype, this.size)
      this.#handle.getState(name, array)
      values[name] = Array.from(array)
    }
    return { kind: this.spec.kind, updates: this.updates, values }
  }

  /**
   * Restores a state; the next step continues as if nothing had happened in between.
   *
   * @throws KrylovError ERR_OPTION for another rule's state or a missing array, ERR_SHAPE for a wrong length
   */
  setState(state: OptimizerState): void {
    checkKnownKeys(state, ['kind', 'updates', 'values'], 'state')
    oneOf(state.kind, 'state.kind', [this.spec.kind])
    const updates = integerInRange(state.updates, 'state.updates', { min: 0 })
    const values = record(state.values, 'state.values')
    const names = this.#handle.stateNames
    checkKnownKeys(values, names, 'state.values')
    // All arrays are checked before the first is written, so that an error leaves the old state whole.
    const arrays = names.map((name) => {
      const numbers = finiteArray(values[name], `state.values.${name}`, { length: this.size })
      const array = floatArray(this.dtype, this.size)
      array.set(numbers)
      return { name, array }
    })
    for (const { name, array } of arrays) this.#handle.setState(name, array)
    this.#handle.setUpdates(updates)
  }
}

/** The sides of every tensor, checked. */
export function sidesOf(shapes: unknown): number[][] {
  if (!Array.isArray(shapes)) throw optionError('shapes', 'an array of shapes, such as [[10, 4], [10]]', shapes)
  const sides = shapes.map((entry: unknown, index) => {
    const shape = isRecord(entry) ? entry.shape : typeof entry === 'number' ? [entry] : entry
    return arrayOf(shape, `shapes[${index}]`, (side, name) => integerInRange(side, name, { min: 0 }))
  })
  const size = totalSize(sides)
  if (!Number.isSafeInteger(size) || size === 0) throw shapeError('shapes', 'at least one number in all', shapes)
  return sides
}

function totalSize(sides: readonly (readonly number[])[]): number {
  return sides.reduce((sum, shape) => sum + shape.reduce((product, side) => product * side, 1), 0)
}

/**
 * An update rule over any parameters, with gradients that the caller brings; no network is involved.
 *
 * @param spec the rule, such as `adam({ learningRate: 0.01 })`
 * @param shapes of the tensors in the flat vector: `[[4, 3], [4]]`, or `model.tensors`
 * @throws KrylovError ERR_OPTION, ERR_SHAPE
 * @example
 * const optimizer = createOptimizer(adam({ learningRate: 0.1 }), [[2]], { dtype: 'float64' })
 * let w = Float64Array.of(3, -2)
 * for (let k = 0; k < 100; k++) w = optimizer.step(w, w.map((x) => 2 * x))
 */
export function createOptimizer<D extends DType = 'float32'>(
  spec: UpdateRuleOption,
  shapes: Shapes,
  options: CreateOptimizerOptions<D> = {},
): Optimizer<D> {
  checkKnownKeys(options, ['dtype', 'totalSteps'], 'createOptimizer options')
  const { dtype, totalSteps } = options as CreateOptimizerOptions
  if (totalSteps !== undefined) integerInRange(totalSteps, 'createOptimizer totalSteps', { min: 1 })
  const resolved = resolveUpdateRule(spec, 'optimizer')
  const type = dtype === undefined ? 'float32' : dtypeOption(dtype, 'createOptimizer dtype')
  return new Optimizer(resolved, type as D, totalSize(sidesOf(shapes)), totalSteps)
}
