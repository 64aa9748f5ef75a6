import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { floatArray, floatInput, floatOutput } from '../internal/arrays.js'
import { optionError } from '../internal/errors.js'
import type { DType, NativePoint } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { checkKnownKeys, integerInRange, numberInRange } from '../internal/validate.js'
import type { AnyModel, Model, OutputInfo } from '../model/model.js'
import { handleOf } from '../model/model.js'
import type { GradientStatistics } from '../samples/noise-scale.js'
import type {
  GramOptions,
  GroupedNorms,
  LayerGram,
  NtkMatrix,
  NtkOptions,
  OutputJacobianOptions,
  PointParts,
  SquaredNormOptions,
  VarianceOptions,
} from '../samples/quantities.js'
import {
  cotangentOf,
  gramOf,
  jacobiansOf,
  layerGramsOf,
  ntkOf,
  squaredNorms,
  varianceOf,
} from '../samples/quantities.js'
import type { HeadLosses, HeadTask, TrainingData } from '../training/tasks.js'
import { resolveTasks, toNativeDataset, toNativeTasks } from '../training/tasks.js'
import type { DiagonalKind, DiagonalOptions, SampleOptions } from './diagonals.js'
import { diagonalInput, drawsInput } from './diagonals.js'
import type { KroneckerFactor } from './kronecker.js'
import { kroneckerFactorsOf } from './kronecker.js'
import { NativeLinearOperator } from './linear-operator.js'

export type LinearizeOptions = {
  /** Adds ½·l2·‖θ‖² to the loss and l2·θ to the gradient; default 0. */
  readonly l2?: number
  /**
   * Rows of the workspace; default all rows, at most 4096. More data goes through it part by part, again for every
   * product: less memory, and forward and backward passes are not kept.
   */
  readonly batchSize?: number
}

export type PerSampleOptions<D extends DType> = {
  /** Receives the rows. */
  readonly out?: TypedArrayOf<D>
  /** First sample; default 0. */
  readonly first?: number
  /** Number of samples; default all from `first` on. */
  readonly count?: number
}

/** A matrix of a point's own dtype, row-major. */
export type FloatMatrix<D extends DType> = { readonly data: TypedArrayOf<D>; readonly shape: readonly [number, number] }
/** A value of the only output, or one for each head. */
export type ByHead<H extends string, T> = [H] extends [never] ? T : { readonly [K in H]: T }

/**
 * A network at one batch and one parameter vector: one forward and one backward pass, cached. It keeps its own copy of
 * the parameters; training the model afterwards does not change it. Made by `linearize`.
 *
 * N samples, P parameters, K outputs of a head. Everything is synchronous. With `sign` or `step` units gradients, Jacobians
 * and tangent kernels are those of the surrogates; `jvp`, `jacobian` and curvature other than the empirical Fisher matrix
 * throw ERR_OPTION.
 */
export class LinearizedPoint<D extends DType = DType, H extends string = never> {
  readonly dtype: D
  /** N. */
  readonly sampleCount: number
  /** P. */
  readonly parameterCount: number
  readonly #handle: NativePoint
  readonly #outputs: readonly OutputInfo[]
  readonly #tasks: readonly HeadTask[]

  /** @internal */
  constructor(handle: NativePoint, model: AnyModel, rows: number, tasks: readonly HeadTask[]) {
    this.#handle = handle
    this.#tasks = tasks
    this.dtype = model.dtype as D
    this.sampleCount = rows
    this.parameterCount = model.parameterCount
    this.#outputs = model.outputs
  }

  /** @internal The native point within; undefined for any other value. */
  static handleOf(value: unknown): NativePoint | undefined {
    return typeof value === 'object' && value !== null && #handle in value ? value.#handle : undefined
  }

  /** @internal The outputs of the point and their losses; undefined for any other value. */
  static tasksOf(value: unknown): readonly HeadTask[] | undefined {
    return typeof value === 'object' && value !== null && #tasks in value ? value.#tasks : undefined
  }

  /** Loss of the batch, l2 included. */
  get loss(): number {
    return this.#handle.loss
  }

  /** Each sample's own loss (N), with its weight: not divided by N, without l2; heads added with theirs. */
  get lossPerSample(): Float64Array {
    return this.#handle.lossPerSample
  }

  /** Outputs of the network, [N, K] for each head. */
  get outputs(): ByHead<H, FloatMatrix<D>> {
    return this.#byHead(this.#outputs.map((_, index) => this.#handle.outputs(index) as TypedArrayOf<D>))
  }

  /** Gradient of the loss (P), in public order. */
  gradient(out?: TypedArrayOf<D>): TypedArrayOf<D> {
    const result = floatOutput(out, 'out', this.dtype, this.parameterCount)
    this.#handle.gradient(result)
    return result
  }

  /**
   * Gradients of each sample's own loss, with its weight, [count, P]; nothing is divided by N, and l2 is not part of
   * them. With `reduction: 'mean'` their mean is `gradient()` without its l2 term.
   */
  perSampleGradients(options: PerSampleOptions<D> = {}): FloatMatrix<D> {
    checkKnownKeys(options, ['out', 'first', 'count'], 'perSampleGradients options')
    const given = options as PerSampleOptions<D>
    const rows = this.sampleCount
    const first = given.first === undefined ? 0 : integerInRange(given.first, 'first', { min: 0, max: rows })
    const count =
      given.count === undefined ? rows - first : integerInRange(given.count, 'count', { min: 0, max: rows - first })
    const data = floatOutput(given.out, 'out', this.dtype, count * this.parameterCount)
    this.#handle.perSampleGradients(first, count, data)
    return { data, shape: [count, this.parameterCount] }
  }

  /** 2-norms of the per-sample gradients (N), without making the gradients. */
  perSampleGradientNorms(out?: Float64Array): Float64Array {
    const result = floatOutput(out, 'out', 'float64', this.sampleCount)
    this.#handle.perSampleGradientNorms(result)
    return result
  }

  /** ‖gᵢ‖² [N, groups] of the whole gradient, by layer or by tensor, without making gradients; float64. */
  perSampleSquaredNorms(options: SquaredNormOptions = {}): GroupedNorms {
    return squaredNorms(this.#parts, options)
  }

  /** gᵢ · v (N) for v (P): one product with each layer's inputs, no gradient is made. */
  perSampleProducts(v: TypedArrayInput<D>, out?: Float64Array): Float64Array {
    const result = floatOutput(out, 'out', 'float64', this.sampleCount)
    addon().perSampleProducts(this.#handle, floatInput(v, 'v', this.dtype, this.parameterCount), result)
    return result
  }

  /**
   * gᵢ · gⱼ [N, N], or [N, M] with the samples of another point. The diagonal of a point with itself is its squared norms.
   *
   * @throws KrylovError ERR_SHAPE where the other network has other parameters, ERR_DTYPE another dtype
   */
  gramMatrix(options: GramOptions<D, H> = {}): FloatMatrix<'float64'> {
    return gramOf(this.#parts, options, this.#other)
  }

  /** The same layer by layer; they add up to `gramMatrix()`. */
  layerGramMatrices(options: GramOptions<D, H> = {}): readonly LayerGram[] {
    return layerGramsOf(this.#parts, options, this.#other)
  }

  /**
   * Jacobians of the outputs by the parameters, [count · C, P]: row c of a sample is ∂f_c(xᵢ)/∂θ. A backward pass an
   * output; no loss enters.
   */
  outputJacobians(options: OutputJacobianOptions<D> = {}): FloatMatrix<D> {
    return jacobiansOf(this.#parts, this.dtype, options)
  }

  /**
   * The empirical neural tangent kernel Θ(xᵢ, xⱼ) = J(xᵢ) J(xⱼ)ᵀ of the outputs, or of one, their sum or trace; with the
   * samples of this point or of another. No Jacobian is made: a backward pass an output (one for `'sum'`).
   *
   * @throws KrylovError ERR_SHAPE where the other network has other parameters, ERR_DTYPE another dtype
   *
   * Jacot, Gabriel & Hongler 2018 (arXiv 1806.07572).
   */
  ntk(options: NtkOptions<D, H> = {}): NtkMatrix {
    return ntkOf(this.#parts, options, this.#other)
  }

  /** Σᵢ gᵢ² by elements (P), summed in float64. */
  gradientSquareSums(out?: TypedArrayOf<D>): TypedArrayOf<D> {
    const result = floatOutput(out, 'out', this.dtype, this.parameterCount)
    addon().gradientSquareSums(this.#handle, result)
    return result
  }

  /**
   * The variance of gᵢ over the samples by elements (P): (1/N) Σ gᵢ² − ḡ², times N / (N − 1) where unbiased. In float64.
   *
   * @throws KrylovError ERR_OPTION where unbiased and the point has a single sample
   */
  gradientVariance(options: VarianceOptions<D> = {}): TypedArrayOf<D> {
    return varianceOf(this.#parts, this.dtype, options)
  }

  /** Norms, products with the mean gradient, noise scale and the tests for a larger batch, from one pass. */
  gradientStatistics(): GradientStatistics {
    return addon().gradientStatistics(this.#handle)
  }

  /**
   * The Gauss-Newton matrix sample by sample, as rows: that of sample i is Hᵢ = Σ r rᵀ over its C rows r, where C counts
   * the outputs of all heads; row c is Jᵢᵀ times column c of a root of the second derivative of the sample's own
   * weighted loss by the outputs. Nothing is divided by N, and l2 is not part of them.
   *
   * @returns [count · C, P]
   * @throws KrylovError ERR_OPTION for a loss without second derivatives
   */
  curvatureRows(options: PerSampleOptions<D> = {}): FloatMatrix<D> {
    checkKnownKeys(options, ['out', 'first', 'count'], 'curvatureRows options')
    const given = options as PerSampleOptions<D>
    const samples = this.sampleCount
    const first = given.first === undefined ? 0 : integerInRange(given.first, 'first', { min: 0, max: samples })
    const count =
      given.count === undefined
        ? samples - first
        : integerInRange(given.count, 'count', { min: 0, max: samples - first })
    const rows = count * this.#handle.curvatureRowsPerSample
    const data = floatOutput(given.out, 'out', this.dtype, rows * this.parameterCount)
    this.#handle.curvatureRows(first, count, data)
    return { data, shape: [rows, this.parameterCount] }
  }

  /**
   * ‖Hᵢ‖_F of each sample's own Gauss-Newton matrix (N), without making its rows: C (C + 1) / 2 backward passes.
   *
   * @throws KrylovError ERR_OPTION for a loss without second derivatives
   */
  curvatureNorms(out?: Float64Array): Float64Array {
    const result = floatOutput(out, 'out', 'float64', this.sampleCount)
    this.#handle.curvatureNorms(result)
    return result
  }

  /** J v: how the outputs move along v (P), [N, K] for each head. */
  jvp(v: TypedArrayInput<D>): ByHead<H, FloatMatrix<D>> {
    const out = this.#outputs.map(({ width }) => floatArray(this.dtype, this.sampleCount * width))
    this.#handle.jvp(floatInput(v, 'v', this.dtype, this.parameterCount), out)
    return this.#byHead(out)
  }

  /**
   * Jᵀu (P) for u [N, K] of each head, summed over samples.
   *
   * @param u a matrix, or its values row by row; with heads an object of these
   */
  vjp(u: ByHead<H, FloatMatrix<D> | TypedArrayInput<D>>, out?: TypedArrayOf<D>): TypedArrayOf<D> {
    const result = floatOutput(out, 'out', this.dtype, this.parameterCount)
    const heads = this.#outputs.map((output) => cotangentOf(u, output, this.#parts, this.dtype))
    this.#handle.vjp(heads, result)
    return result
  }

  /**
   * The Hessian of the loss, l2 included; symmetric, not always positive semidefinite. Activations have their second
   * derivatives; those of relu and the like are 0.
   *
   * @throws KrylovError ERR_OPTION for a loss without second derivatives
   */
  hessian(): NativeLinearOperator<D> {
    return new NativeLinearOperator<D>(this.#handle.operator('hessian'), ['symmetric'])
  }

  /**
   * The generalised Gauss-Newton matrix, JᵀHJ of the batch with H the loss's Hessian by the outputs, with the loss's
   * reduction and weights, l2 included; positive semidefinite.
   *
   * @throws KrylovError ERR_OPTION for a loss without second derivatives
   */
  ggn(): NativeLinearOperator<D> {
    return new NativeLinearOperator<D>(this.#handle.operator('ggn'), ['symmetric', 'positiveSemidefinite'])
  }

  /**
   * The Fisher matrix of the model's own distribution, scaled to equal `ggn()`; l2 included. Its expectation is exact, or
   * a mean over labels drawn from the model: by the first product, once and for all.
   *
   * @param options `{ samples, seed }`: labels drawn for each sample of the batch; default exact
   * @throws KrylovError ERR_OPTION for a loss that is no negative log-likelihood
   */
  fisher(options?: SampleOptions): NativeLinearOperator<D> {
    const { samples, seed } = drawsInput(options, 'fisher')
    const handle = samples === 0 ? this.#handle.operator('fisher') : addon().sampledFisher(this.#handle, samples, seed)
    return new NativeLinearOperator<D>(handle, ['symmetric', 'positiveSemidefinite'])
  }

  /** The mean of gᵢgᵢᵀ over the samples, with the given labels: no Fisher matrix of the model; without l2. */
  empiricalFisher(): NativeLinearOperator<D> {
    return new NativeLinearOperator<D>(this.#handle.operator('empiricalFisher'), ['symmetric', 'positiveSemidefinite'])
  }

  /** J of the outputs by the parameters, [N·K of all heads, P]: the outputs [N, K] of each head, head after head. */
  jacobian(): NativeLinearOperator<D> {
    return new NativeLinearOperator<D>(this.#handle.operator('jacobian'), [])
  }

  /**
   * A diagonal (P) of curvature, in public order; l2 is not part of it.
   *
   * - `'ggn'`: of the Gauss-Newton matrix, exact, by a backward pass for each output
   * - `'sampledGgn'`: an unbiased estimate of it by a backward pass for each draw of random signs
   * - `'empiricalFisher'`: mean of the squared per-sample gradients
   * - `'beckerLeCun'`: layer by layer without off-diagonal terms; near the Hessian's, and not always positive
   * - `'gaussNewtonLeCun'`: the same without second derivatives of activations: never negative
   *
   * @param options `{ samples, seed }` of `'sampledGgn'`: default 1 draw, seed 0
   * @throws KrylovError ERR_OPTION for a loss without second derivatives, except `'empiricalFisher'`; for the last two also
   *   for a network with layerNorm
   *
   * Dangel, Kunstner & Hennig 2020 (arXiv 1912.10985); Becker & LeCun 1988; LeCun, Bottou, Orr & Müller 1998.
   */
  diagonal(kind: DiagonalKind, options: DiagonalOptions = {}, out?: TypedArrayOf<D>): TypedArrayOf<D> {
    const { kind: known, samples, seed } = diagonalInput(kind, options)
    const result = floatOutput(out, 'out', this.dtype, this.parameterCount)
    addon().curvatureDiagonal(this.#handle, known, samples, seed, result)
    return result
  }

  /**
   * The Kronecker factors of each dense layer's Gauss-Newton block, in the order of the parameters.
   *
   * @param options `{ samples, seed }`: labels drawn for each sample of the batch; default the exact expectation, by a
   *   backward pass for each output
   * @throws KrylovError ERR_OPTION for a loss without second derivatives
   *
   * Martens & Grosse 2015 (arXiv 1503.05671).
   */
  kroneckerFactors(options?: SampleOptions): readonly KroneckerFactor[] {
    return kroneckerFactorsOf(this.#handle, drawsInput(options, 'kroneckerFactors'))
  }

  get #parts(): PointParts {
    const { sampleCount, parameterCount } = this
    return { handle: this.#handle, sampleCount, parameterCount, outputs: this.#outputs }
  }

  readonly #other = (value: unknown, name: string): Pick<PointParts, 'handle' | 'sampleCount'> => {
    if (value === undefined) return this.#parts
    if (LinearizedPoint.handleOf(value) === undefined) throw optionError(name, 'a point made by linearize', value)
    return (value as LinearizedPoint<D, H>).#parts
  }

  #byHead(parts: readonly TypedArrayOf<D>[]): ByHead<H, FloatMatrix<D>> {
    const matrices = this.#outputs.map(({ name, width }, index) => {
      return [name, { data: parts[index], shape: [this.sampleCount, width] as const }] as const
    })
    const only = matrices[0]
    const result = only !== undefined && only[0] === '' ? only[1] : Object.fromEntries(matrices)
    return result as ByHead<H, FloatMatrix<D>>
  }

  /** Frees the native memory; later calls throw ERR_STATE. */
  dispose(): void {
    this.#handle.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * One forward and one backward pass of a batch, kept for everything that is computed from them.
 *
 * @param batch `{ inputs, targets, sampleWeights? }`, copied
 * @param loss the loss, or one for each head
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE; ERR_BUSY while a run trains the model
 * @example
 * using point = linearize(model, batch, softmaxCrossEntropy())
 * const g = point.gradient()
 */
export function linearize<D extends DType, H extends string>(
  model: Model<D, H>,
  batch: TrainingData<H>,
  loss: HeadLosses<H>,
  options: LinearizeOptions = {},
): LinearizedPoint<D, H> {
  const handle = handleOf(model)
  checkKnownKeys(options, ['l2', 'batchSize'], 'linearize options')
  const { l2 = 0, batchSize } = options as LinearizeOptions
  const network = model as unknown as AnyModel
  const penalty = numberInRange(l2, 'linearize l2', { min: 0 })
  // 0: what the core finds best.
  const workspaceRows = batchSize === undefined ? 0 : integerInRange(batchSize, 'linearize batchSize', { min: 1 })
  const tasks = resolveTasks(network, loss, [])
  const dataset = toNativeDataset(network, tasks, batch, 'batch')
  try {
    const point = handle.linearize(dataset, toNativeTasks(tasks), penalty, workspaceRows)
    return new LinearizedPoint<D, H>(point, network, dataset.rows, tasks)
  } finally {
    dataset.dispose()
  }
}
