import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { convertedFloats, dtypeOption, floatArray, floatInput, floatOutput } from '../internal/arrays.js'
import { notFiniteError, optionError } from '../internal/errors.js'
import type { DType, FloatArray, NativeGradientChain } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { checkKnownKeys, finiteArray, integerInRange, joinPath, record } from '../internal/validate.js'
import type { Shapes } from '../optimizers/create-optimizer.js'
import { sidesOf } from '../optimizers/create-optimizer.js'
import type { GradientOption, GradientTransformSpec } from './registry.js'
import { resolveTransforms, toNativeTransform } from './registry.js'

export type CreateGradientTransformOptions<D extends DType = DType> = {
  /** Shapes of the tensors in the flat vector: `[[4, 3], [4]]`, or `model.tensors`. */
  readonly shapes: Shapes
  /** Element type of gradients, parameters and memory; default float32. */
  readonly dtype?: D
}

export type ApplyGradientTransformOptions<D extends DType = DType> = {
  /** Where the gradients were taken; `adaptiveClip` needs them. */
  readonly parameters?: TypedArrayInput<D>
  /** Receives the result; may be the gradients' own array. A new array when absent. */
  readonly out?: TypedArrayOf<D>
}

/** What the newest gradient was: as in the `numbers` of training's records. */
export type GradientTransformNumbers = {
  readonly gradientNorm: number
  readonly transformedGradientNorm: number
  /** Of the clipping by norms; absent where there is none. */
  readonly smallestClippingFactor?: number
}

/** Everything a chain of transformations remembers; plain JSON, exact in both dtypes. */
export type GradientTransformState = {
  readonly kinds: readonly string[]
  readonly updates: number
  /** By place in the chain and name, such as `0.positive`: one number a parameter. */
  readonly values: Readonly<Record<string, readonly number[]>>
  /** The same for arrays of other lengths, such as `1.norms`. */
  readonly arrays: Readonly<Record<string, readonly number[]>>
}

/** A chain of gradient transformations with its memory; made by `createGradientTransform`. */
export class GradientTransform<D extends DType = DType> {
  readonly specs: readonly GradientTransformSpec[]
  readonly dtype: D
  /** Number of parameters. */
  readonly size: number
  readonly #handle: NativeGradientChain
  #numbers: GradientTransformNumbers | undefined

  /** @internal */
  constructor(specs: readonly GradientTransformSpec[], dtype: D, sides: readonly (readonly number[])[]) {
    this.specs = specs
    this.dtype = dtype
    this.size = sides.reduce((sum, shape) => sum + shape.reduce((product, side) => product * side, 1), 0)
    const shapes = sides.map((shape) => Uint32Array.from(shape))
    this.#handle = new (addon().GradientChain)(specs.map(toNativeTransform), shapes, dtype)
  }

  /** Gradients transformed so far. */
  get updates(): number {
    return this.#handle.updates
  }

  /** Of the newest gradient; undefined before the first. */
  get numbers(): GradientTransformNumbers | undefined {
    return this.#numbers
  }

  /**
   * Transforms a gradient, as an update rule is to see it.
   *
   * @param gradients `size` numbers of the dtype; not modified unless `out` is the same array
   * @returns the transformed gradient
   * @throws KrylovError ERR_DTYPE, ERR_SHAPE, ERR_OPTION where the parameters are needed and absent, ERR_NOT_FINITE where
   *   the norm of the gradients is not finite: nothing is remembered of them
   */
  apply(gradients: TypedArrayInput<D>, options: ApplyGradientTransformOptions<D> = {}): TypedArrayOf<D> {
    checkKnownKeys(options, ['parameters', 'out'], 'apply options')
    const { parameters, out } = options as ApplyGradientTransformOptions<D>
    const { dtype, size } = this
    if (parameters === undefined && this.#handle.needsParameters) {
      throw optionError('parameters', 'the parameters where the gradients were taken', undefined)
    }
    const result = floatOutput(out, 'out', dtype, size)
    const { finite, normBefore, normAfter, smallestFactor } = this.#handle.apply(
      floatInput(gradients, 'gradients', dtype, size),
      parameters === undefined ? null : floatInput(parameters, 'parameters', dtype, size),
      result,
    )
    if (!finite) throw notFiniteError('gradients', 'gradients whose norms are finite', normBefore)
    this.#numbers = {
      gradientNorm: normBefore,
      transformedGradientNorm: normAfter,
      ...(Number.isNaN(smallestFactor) ? {} : { smallestClippingFactor: smallestFactor }),
    }
    return result
  }

  /** A copy of the memory. */
  state(): GradientTransformState {
    const { updates, values, arrays } = this.#handle.state()
    const plain = (part: Readonly<Record<string, FloatArray>>): Record<string, number[]> =>
      Object.fromEntries(Object.entries(part).map(([name, array]) => [name, Array.from(array)]))
    return { kinds: this.specs.map(({ kind }) => kind), updates, values: plain(values), arrays: plain(arrays) }
  }

  /**
   * Restores a state; the next gradient is treated as if nothing had happened in between.
   *
   * @throws KrylovError ERR_OPTION for another chain's state or a missing array, ERR_SHAPE for a wrong length
   */
  setState(state: GradientTransformState): void {
    checkKnownKeys(state, ['kinds', 'updates', 'values', 'arrays'], 'state')
    const kinds = this.specs.map(({ kind }) => kind)
    if (JSON.stringify(state.kinds) !== JSON.stringify(kinds)) {
      throw optionError('state.kinds', `[${kinds.join(', ')}]`, state.kinds)
    }
    const updates = integerInRange(state.updates, 'state.updates', { min: 0 })
    const held = this.#handle.state()
    const part = <A>(key: 'values' | 'arrays', read: (value: unknown, path: string) => A): Record<string, A> => {
      const path = `state.${key}`
      const given = record(state[key], path)
      const names = Object.keys(held[key])
      checkKnownKeys(given, names, path)
      return Object.fromEntries(names.map((name) => [name, read(given[name], joinPath(path, name))]))
    }
    this.#handle.setState({
      updates,
      values: part('values', (value, path) => {
        const array = floatArray(this.dtype, this.size)
        array.set(convertedFloats(value, path, this.dtype, this.size))
        return array
      }),
      arrays: part('arrays', (value, path) => Float64Array.from(finiteArray(value, path))),
    })
  }
}

/**
 * Gradient transformations for scripts: the stages of `train`'s option `gradient` on gradients that the caller brings.
 * An update rule of `createOptimizer` takes what comes out.
 *
 * @param spec one transformation, or a chain in order
 * @throws KrylovError ERR_OPTION, ERR_SHAPE
 * @example
 * const shapes = [[4, 3], [4]]
 * const transform = createGradientTransform([clipByGlobalNorm(), asymmetricSmoothing()], { shapes })
 * const optimizer = createOptimizer(sgd(), shapes)
 * parameters = optimizer.step(parameters, transform.apply(gradients))
 */
export function createGradientTransform<D extends DType = 'float32'>(
  spec: GradientOption,
  options: CreateGradientTransformOptions<D>,
): GradientTransform<D> {
  const where = 'createGradientTransform'
  checkKnownKeys(options, ['shapes', 'dtype'], `${where} options`)
  const { shapes, dtype } = options as CreateGradientTransformOptions
  const sides = sidesOf(shapes)
  const specs = resolveTransforms(spec, 'gradient', sides.length)
  const type = dtype === undefined ? 'float32' : dtypeOption(dtype, `${where} dtype`)
  return new GradientTransform(specs, type as D, sides)
}
