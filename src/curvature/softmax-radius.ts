import type { MatrixLike } from '../data/matrix.js'
import { findNotFinite, toMatrix } from '../data/matrix.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { dtypeOf, floatInput } from '../internal/arrays.js'
import { notFiniteError, optionError, rendered, shapeError } from '../internal/errors.js'
import type { DType, FloatArray, NativeRadius, NativeRadiusOptions } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { boolean, checkKnownKeys, numberInRange, oneOf } from '../internal/validate.js'
import { wantsLogits } from '../losses/losses.js'
import type { HeadTask } from '../training/tasks.js'
import type { FloatMatrix } from './linearize.js'
import { LinearizedPoint } from './linearize.js'

export type RadiusOptions = {
  /** Largest normalised step that is left as it is; default 1. */
  readonly target?: number
  /** T: logits are divided by it before the softmax; default 1. */
  readonly temperature?: number
  /** Quantile of the spreads over the batch that decides, 0 to 1; default 1, the largest. */
  readonly quantile?: number
  /** With two classes, or yes-or-no outputs: the smallest exact radius instead of the bound; default false. */
  readonly exactBinary?: boolean
}

export type SoftmaxRadiusOptions = RadiusOptions & {
  /** Name of the head; needed where there are several. */
  readonly head?: string
}

export type SoftmaxRadius = {
  /** Δ of each sample: largest less smallest slope of its logits along the unit direction; of yes-or-no outputs the largest |slope|. */
  readonly spread: Float64Array
  /** ρ: the step length up to which the loss's Taylor series along the direction converges; infinite where nothing moves. */
  readonly radius: number
  /** r = τ / ρ. */
  readonly normalisedStep: number
  /** min(1, target / r): multiply the update by it. NaN where a slope is. */
  readonly scale: number
  /** τ, the length of the update. */
  readonly stepLength: number
  /** √(gap² + π²) / Δ of each sample, exact under linearised logits; with two classes, or yes-or-no outputs. */
  readonly binaryRadius?: Float64Array
}

export const radiusKeys = ['target', 'temperature', 'quantile', 'exactBinary']

/** Checks the numbers of the controller and fills in their defaults. */
export function resolveRadiusOptions(options: RadiusOptions, of: (name: string) => string): Required<RadiusOptions> {
  return {
    target: numberInRange(options.target ?? 1, of('target'), { above: 0 }),
    temperature: numberInRange(options.temperature ?? 1, of('temperature'), { above: 0 }),
    quantile: numberInRange(options.quantile ?? 1, of('quantile'), { min: 0, max: 1 }),
    exactBinary: boolean(options.exactBinary ?? false, of('exactBinary')),
  }
}

function numbersOf(
  method: string,
  options: RadiusOptions,
  stepLength: number,
  alongUpdate: boolean,
  isBinary: boolean,
): NativeRadiusOptions {
  const numbers = resolveRadiusOptions(options, (name) => `${method} ${name}`)
  if (numbers.exactBinary && !isBinary) {
    throw optionError(`${method} exactBinary`, 'false with more than two classes, where only the bound is known', true)
  }
  return { ...numbers, stepLength, alongUpdate, sigmoids: false }
}

function radiusOf({ spreads, radius, normalisedStep, scale, stepLength, binaryRadii }: NativeRadius): SoftmaxRadius {
  return {
    spread: spreads,
    radius,
    normalisedStep,
    scale,
    stepLength,
    ...(binaryRadii === null ? {} : { binaryRadius: binaryRadii }),
  }
}

/** The output whose logits count, and its place among the point's outputs. */
function taskOfHead(point: unknown, head: unknown): HeadTask {
  const tasks = LinearizedPoint.tasksOf(point)
  if (tasks === undefined) throw optionError('point', 'a point made by linearize', point)
  const [first] = tasks
  const names = tasks.map(({ output }) => output.name)
  if (first?.output.name === '' && head !== undefined) {
    throw optionError('softmaxRadius head', 'none: the network has one output', head)
  }
  if (head === undefined && names.length > 1) {
    throw optionError('softmaxRadius head', `one of ${names.join(', ')}`, head)
  }
  const name = head === undefined ? first?.output.name : oneOf(head, 'softmaxRadius head', names)
  const task = tasks.find(({ output }) => output.name === name) as HeadTask
  if (!wantsLogits(task.loss)) {
    const whose = name === '' ? 'point' : `head '${name}' of the point`
    throw optionError(
      'point',
      'the loss softmaxCrossEntropy or binaryCrossEntropy',
      rendered(`${whose} with ${task.loss.kind}`),
    )
  }
  return task
}

/** The values of one output. */
function ofHead<D extends DType>(value: unknown, name: string): TypedArrayOf<D> {
  const matrix = name === '' ? value : (value as Record<string, unknown>)[name]
  return (matrix as FloatMatrix<D>).data
}

/**
 * How far the softmax cross-entropy of a batch can be trusted along an update p: its Taylor series in the length of the
 * step converges up to a radius that the complex zeros of the partition function set. With slopes a(x) = J(x) u along
 * u = p/τ, τ = ‖p‖, and Δ(x) = max a(x) − min a(x),
 *
 *     ρ = π / max Δ(x),   r = τ / ρ,   s = min(1, target / r)
 *
 * and s · p is the controlled step: p is the optimizer's whole update, learning rate included; its state is not touched.
 * One J v product. The bound is that of linearised logits, and with relu, which is not analytic, a heuristic.
 *
 * @param point at the parameters before the step, on the batch or any set that is to be safe; its loss is
 *   softmaxCrossEntropy or binaryCrossEntropy
 * @param update p, P finite numbers in public order
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { scale } = softmaxRadius(point, update)
 *
 * Sao 2026 (arXiv 2603.13552), theorems 4.3 and 4.6, definitions 4.7 and 5.1, proposition 5.2. Where nothing moves the
 * radius is infinite; the paper's program adds 1e-12 to Δ.
 */
export function softmaxRadius<D extends DType, H extends string>(
  point: LinearizedPoint<D, H>,
  update: TypedArrayInput<D>,
  options: SoftmaxRadiusOptions = {},
): SoftmaxRadius {
  checkKnownKeys(options, ['head', ...radiusKeys], 'softmaxRadius options')
  const given = options as SoftmaxRadiusOptions
  const { output, loss } = taskOfHead(point, given.head)
  const { name, width } = output
  const sigmoids = loss.kind === 'binaryCrossEntropy'
  const isBinary = sigmoids || width === 2
  const step = floatInput(update, 'update', point.dtype, point.parameterCount)
  const index = findNotFinite(step)
  if (index >= 0) throw notFiniteError(`update[${index}]`, 'a finite number', step[index])
  const numbers = numbersOf('softmaxRadius', given, 0, true, isBinary)
  const slopes = ofHead<D>(point.jvp(step), name)
  const logits = isBinary ? ofHead<D>(point.outputs, name) : null
  return radiusOf(addon().softmaxRadius(slopes, logits, width, step, { ...numbers, sigmoids }))
}

export type SlopesRadiusOptions = RadiusOptions & {
  /** τ, the length of the step along the direction of the slopes. */
  readonly stepLength: number
  /** Logits, of the shape of the slopes: for the exact radius with one logit or two. */
  readonly logits?: MatrixLike
}

/** Values of a matrix in a float type of the addon. */
function floats(value: MatrixLike, name: string, columns: number | undefined): { data: FloatArray; columns: number } {
  const { data, shape } = toMatrix(value, name, { dtype: 'float64', ...(columns === undefined ? {} : { columns }) })
  return { data: data instanceof Uint8Array ? Float64Array.from(data) : data, columns: shape[1] }
}

/**
 * `softmaxRadius` from slopes that are known already.
 *
 * @param slopes [samples, classes]: derivatives of the logits along the unit direction of the step
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example const { scale } = softmaxRadiusOfSlopes([[0.5, -2, 1]], { stepLength: 3 })
 */
export function softmaxRadiusOfSlopes(slopes: MatrixLike, options: SlopesRadiusOptions): SoftmaxRadius {
  checkKnownKeys(options, ['stepLength', 'logits', ...radiusKeys], 'softmaxRadiusOfSlopes options')
  const given = options as SlopesRadiusOptions
  const stepLength = numberInRange(given.stepLength, 'softmaxRadiusOfSlopes stepLength', { min: 0 })
  const { data, columns } = floats(slopes, 'slopes', undefined)
  const numbers = numbersOf('softmaxRadiusOfSlopes', given, stepLength, false, columns <= 2)
  const logits = given.logits === undefined ? null : floats(given.logits, 'logits', columns).data
  if (logits === null && numbers.exactBinary && columns <= 2) {
    throw optionError('softmaxRadiusOfSlopes logits', 'a matrix for the exact radius', rendered('none'))
  }
  if (logits !== null && logits.length !== data.length) {
    throw shapeError(
      'softmaxRadiusOfSlopes logits',
      `${data.length / columns} rows`,
      rendered(`${logits.length / columns}`),
    )
  }
  const same = logits === null || dtypeOf(logits) === dtypeOf(data)
  const wide = (values: FloatArray): FloatArray => (same ? values : Float64Array.from(values))
  return radiusOf(addon().softmaxRadius(wide(data), logits === null ? null : wide(logits), columns, null, numbers))
}
