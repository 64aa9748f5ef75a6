import type { Matrix, MatrixLike } from '../data/matrix.js'
import { findNotFinite, toMatrix } from '../data/matrix.js'
import type { TypedArrayOf } from '../internal/arrays.js'
import { convertedFloats, floatArray, floatInput, isShared } from '../internal/arrays.js'
import { optionError, stateError } from '../internal/errors.js'
import type { DType, FloatArray, NativeModel } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { runTask, signalOption, threadsOption } from '../internal/task.js'
import { checkKnownKeys, oneOf } from '../internal/validate.js'
import type { Link } from '../losses/losses.js'
import type { LayerOption } from './layers.js'
import { endsSquashed } from './layers.js'
import type { ModelOptions, ModelSpec, Task } from './spec.js'
import { outputLayers, resolveModel, summaryText, toNativeSpec } from './spec.js'

/** A parameter tensor and its place in the flat parameter vector. */
export type TensorInfo = {
  readonly name: string
  readonly shape: readonly number[]
  readonly offset: number
  readonly size: number
}

/** One output of a model: its head ('' without heads), its width, and whether its last activation confines it. */
export type OutputInfo = { readonly name: string; readonly width: number; readonly squashed: boolean }

export type OutputKind = 'raw' | 'probability' | 'class'
/** Values of one output, row-major, one row for each sample; class indices for `class`. */
export type Prediction<D extends DType, O extends OutputKind> = O extends 'class'
  ? Int32Array
  : { readonly data: TypedArrayOf<D>; readonly shape: readonly [rows: number, width: number] }
/** The prediction, or one for each head. */
export type Predictions<D extends DType, H extends string, O extends OutputKind> = [H] extends [never]
  ? Prediction<D, O>
  : { readonly [K in H]: Prediction<D, O> }

export type PredictOptions<O extends OutputKind = OutputKind> = {
  /** Default `raw`. */
  readonly output?: O
}
export type PredictAsyncOptions<O extends OutputKind = OutputKind> = PredictOptions<O> & {
  /** Default `auto`. */
  readonly threads?: number | 'auto'
  readonly signal?: AbortSignal
}

const outputKinds = ['raw', 'probability', 'class'] as const

// Other modules of the package reach the native model through these; users cannot.
let handleIn: (model: object) => NativeModel | undefined
let writeTask: (model: AnyModel, task: Task) => void

/** Any model, whatever its dtype and heads. */
export type AnyModel = Model<DType, never> | Model<DType, string>

/**
 * A network with its parameters; made by `createModel` or `loadModel`.
 *
 * While a run trains it, `predict`, `evaluate`, `save` and `parameters` read the last published parameters (whole
 * steps); `train`, `setParameters`, `linearize` and `dispose` throw ERR_BUSY.
 */
export class Model<D extends DType = DType, H extends string = never> {
  readonly dtype: D
  /** Number of input features. */
  readonly inputs: number
  readonly parameterCount: number
  /** Parameter tensors in public order. */
  readonly tensors: readonly TensorInfo[]
  /** The outputs in the order of the spec. */
  readonly outputs: readonly OutputInfo[]
  readonly #handle: NativeModel
  #spec: ModelSpec
  #links: string[]
  /** Width of the only output, 0 with heads; and the array that carries it to the core: predict makes nothing else. */
  readonly #width: number
  readonly #out: FloatArray[]

  static {
    handleIn = (model) => (#handle in model ? model.#handle : undefined)
    writeTask = (model, task) => {
      model.#spec = Object.freeze({ ...model.#spec, task })
      model.#links = model.#linksOf()
    }
  }

  /** @internal */
  constructor(spec: ModelSpec) {
    const handle = new (addon().Model)(toNativeSpec(spec), spec.dtype, spec.seed)
    this.#handle = handle
    this.#spec = spec
    this.dtype = spec.dtype as D
    this.inputs = spec.inputs
    this.parameterCount = handle.parameterCount
    this.tensors = Object.freeze(
      handle.tensors.map(({ name, shape, offset }) =>
        Object.freeze({ name, shape: Object.freeze([...shape]), offset, size: shape.reduce((a, b) => a * b, 1) }),
      ),
    )
    const squashed = outputLayers(spec).map(({ layers }) => endsSquashed(layers))
    this.outputs = Object.freeze(
      handle.heads.map(({ name, width }, index) => Object.freeze({ name, width, squashed: squashed[index] ?? false })),
    )
    this.#width = spec.heads === null ? (this.outputs[0]?.width ?? 0) : 0
    this.#out = [floatArray(spec.dtype, 0)]
    this.#links = this.#linksOf()
  }

  /** The resolved spec; plain JSON, from which `createModel` makes the same model with its initial parameters. */
  get spec(): ModelSpec {
    return this.#spec
  }

  /** Names of the heads; empty for a model with one output. */
  get headNames(): readonly H[] {
    return Object.keys(this.#spec.heads ?? {}) as H[]
  }

  /** True while a run trains the model. */
  get busy(): boolean {
    return this.#handle.busy
  }

  /** A copy of all parameters in public order. */
  get parameters(): TypedArrayOf<D> {
    const flat = floatArray(this.dtype, this.parameterCount)
    this.#handle.getParameters(flat)
    return flat
  }

  /**
   * Writes all parameters, in public order. The array is copied; another float type or plain numbers are converted.
   *
   * @throws KrylovError ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE, ERR_BUSY
   */
  setParameters(flat: FloatArray | readonly number[]): void {
    this.#handle.setParameters(convertedFloats(flat, 'parameters', this.dtype, this.parameterCount))
  }

  /**
   * Views of a flat vector by tensor name: `layers.0.weight` and so on.
   *
   * @param flat any vector in the order of the parameters (a gradient, a direction); default a copy of the parameters
   */
  views(flat?: TypedArrayOf<D>): Record<string, TypedArrayOf<D>> {
    const values = flat === undefined ? this.parameters : floatInput(flat, 'flat', this.dtype, this.parameterCount)
    return Object.fromEntries(
      this.tensors.map(({ name, offset, size }) => [name, values.subarray(offset, offset + size) as TypedArrayOf<D>]),
    )
  }

  /**
   * Outputs of the network for one or more rows.
   *
   * `raw` gives the last layer's outputs; `probability` applies the link of the loss the model was trained with, or of
   * the option `task` of `createModel` (softmax, sigmoid or identity); `class` is the index of the largest output, or for
   * a single output 1 where the probability is above 0.5.
   *
   * @param inputs a matrix, nested rows, or one row (an array of `inputs` numbers); bytes are multiplied by inputScale
   * @returns `{ data, shape: [rows, width] }`, an Int32Array for `class`; with heads an object of these
   * @throws KrylovError ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE; ERR_STATE where probabilities (for a single output classes
   *   too) are asked of a model that knows no link; after a squashing activation there is none to know
   */
  predict<O extends OutputKind = 'raw'>(inputs: MatrixLike, options?: PredictOptions<O>): Predictions<D, H, O> {
    // One row of the model's own type, the call that services make all day: no objects but the result.
    if (
      options === undefined &&
      this.#width > 0 &&
      (inputs instanceof Float32Array || inputs instanceof Float64Array) &&
      inputs.length === this.inputs &&
      !isShared(inputs) &&
      findNotFinite(inputs) < 0
    ) {
      const width = this.#width
      const data = this.dtype === 'float32' ? new Float32Array(width) : new Float64Array(width)
      this.#out[0] = data
      this.#handle.predict(inputs, 1, this.inputs, 'raw', this.#links, this.#out)
      return { data, shape: [1, width] } as unknown as Predictions<D, H, O>
    }
    return this.#predictMatrix(inputs, options)
  }

  #predictMatrix<O extends OutputKind>(inputs: MatrixLike, options: PredictOptions<O> = {}): Predictions<D, H, O> {
    checkKnownKeys(options, ['output'], 'predict options')
    const output = this.#outputOption((options as PredictOptions).output, 'predict')
    const matrix = this.#matrix(inputs)
    const rows = matrix.shape[0]
    const out = this.outputs.map(({ width }) =>
      output === 'class' ? new Int32Array(rows) : floatArray(this.dtype, rows * width),
    )
    this.#handle.predict(matrix.data, rows, this.inputs, output, this.#links, out)
    return this.#shaped(out, rows)
  }

  /**
   * As `predict`, on the compute thread and with several threads: the event loop is not held up.
   *
   * @throws the signal's reason when aborted
   */
  async predictAsync<O extends OutputKind = 'raw'>(
    inputs: MatrixLike,
    options: PredictAsyncOptions<O> = {},
  ): Promise<Predictions<D, H, O>> {
    checkKnownKeys(options, ['output', 'threads', 'signal'], 'predictAsync options')
    const given = options as PredictAsyncOptions
    const output = this.#outputOption(given.output, 'predictAsync')
    const threads = threadsOption(given.threads, 'predictAsync threads')
    const signal = signalOption(given.signal, 'predictAsync signal')
    const { data, shape } = this.#matrix(inputs)
    signal?.throwIfAborted()
    const [rows, columns] = shape
    const dataset = new (addon().Dataset)({ inputs: data, rows, columns, targets: [], sampleWeights: null })
    try {
      const task = this.#handle.predictAsync(dataset, output, this.#links, threads)
      return this.#shaped(await runTask(task, signal), rows)
    } finally {
      dataset.dispose()
    }
  }

  #matrix(inputs: MatrixLike): Matrix {
    return toMatrix(inputs, 'inputs', { columns: this.inputs, dtype: this.dtype })
  }

  #shaped<O extends OutputKind>(out: readonly (FloatArray | Int32Array)[], rows: number): Predictions<D, H, O> {
    const results = this.outputs.map(({ width }, index) => {
      const data = out[index]
      return data instanceof Int32Array ? data : { data, shape: [rows, width] }
    })
    const result =
      this.#spec.heads === null
        ? results[0]
        : Object.fromEntries(this.outputs.map(({ name }, index) => [name, results[index]]))
    return result as Predictions<D, H, O>
  }

  /** The links that the core is to apply; of no effect where none is known. */
  #linksOf(): Link[] {
    const task = this.#spec.task
    return this.outputs.map(({ name }) => {
      if (typeof task === 'string') return task
      return task?.[name] ?? 'identity'
    })
  }

  /** What is asked for, if the model knows what it means: without a link only some of it does. */
  #outputOption(value: unknown, method: string): OutputKind {
    if (value === undefined) return 'raw'
    const output = oneOf(value, `${method} output`, outputKinds)
    if (output === 'raw' || this.#spec.task !== null) return output
    const unknown = this.outputs.find(({ width, squashed }) => !squashed && (output === 'probability' || width === 1))
    if (unknown === undefined) return output
    const whose = unknown.name === '' ? 'the output' : `the output '${unknown.name}'`
    throw stateError(
      `${method} output`,
      `'raw', since the link of ${whose} is not known: train the model, or give createModel its task, such as ` +
        (unknown.width === 1 ? "'sigmoid'" : "'softmax'"),
      output,
    )
  }

  /** A table of layers, widths and parameter counts. */
  summary(): string {
    return summaryText(this.#spec)
  }

  /**
   * Frees the native memory; every later call throws ERR_STATE.
   *
   * @throws KrylovError ERR_BUSY while a run trains the model
   */
  dispose(): void {
    this.#handle.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/** The native side of a model. */
export function handleOf(model: unknown): NativeModel {
  const handle = typeof model === 'object' && model !== null ? handleIn(model) : undefined
  if (handle === undefined) throw optionError('model', 'a model made by createModel or loadModel', model)
  return handle
}

/** Remembers what a model's outputs mean. */
export function setTask(model: AnyModel, task: Task): void {
  writeTask(model, task)
}

/**
 * Makes a network with initial parameters.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE
 * @example
 * const model = createModel({ inputs: 784, layers: [dense(128, 'relu'), dense(10)], seed: 1 })
 * @example
 * createModel({ inputs: 784, layers: [dense(64, 'relu')], heads: { digit: [dense(10)], parity: [dense(1)] } })
 */
export function createModel<D extends DType = 'float32', H extends string = never>(
  options: ModelOptions<D, H> & { readonly heads: Readonly<Record<H, readonly LayerOption[]>> },
): Model<D, H>
export function createModel<D extends DType = 'float32'>(
  options: Omit<ModelOptions<D>, 'heads'> & { readonly heads?: null },
): Model<D>
// A spec that comes as data: its heads, if any, are known at run time only and do not appear in the type.
export function createModel(options: ModelOptions | ModelSpec): Model
export function createModel(options: unknown): unknown {
  return new Model(resolveModel(options))
}
