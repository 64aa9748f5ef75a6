import { dtypeError, optionError, rendered, shapeError } from '../internal/errors.js'
import { checkKnownKeys, integerInRange, isRecord, numberInRange } from '../internal/validate.js'
import type { Matrix, MatrixData, MatrixLike } from './matrix.js'
import { toMatrix } from './matrix.js'
import type { TargetSpec, Targets, TargetsLike, WeightsLike } from './targets.js'
import { toSampleWeights, toTargets } from './targets.js'

/** What the columns and classes of a dataset are called, where the source says so. */
export type DatasetNames = {
  readonly inputs?: readonly string[]
  readonly targets?: readonly string[]
  readonly classes?: readonly string[]
}

/** What users may pass as data. Targets of a network with heads are an object with the heads' names. */
export type DatasetLike = {
  readonly inputs: MatrixLike
  readonly targets: TargetsLike | Readonly<Record<string, TargetsLike>>
  readonly sampleWeights?: WeightsLike | undefined
  readonly names?: DatasetNames | undefined
}

/** Checked data: every part has the same number of rows. */
export type Dataset<
  T extends Targets | Readonly<Record<string, Targets>> = Targets | Readonly<Record<string, Targets>>,
> = {
  readonly inputs: Matrix
  readonly targets: T
  readonly sampleWeights?: Float32Array | Float64Array
  readonly names?: DatasetNames
}

/** What a model and its loss want of a dataset; several heads are given by name. */
export type DatasetSpec = {
  /** Width of the model's input. */
  readonly columns: number
  readonly targets: TargetSpec | { readonly heads: Readonly<Record<string, TargetSpec>> }
  /** Element type for values that come in ordinary arrays; default `'float64'`. */
  readonly dtype?: 'float32' | 'float64'
}

const datasetKeys = ['inputs', 'targets', 'sampleWeights', 'names']

function headTargets(
  value: unknown,
  name: string,
  heads: Readonly<Record<string, TargetSpec>>,
  common: { readonly rows: number; readonly dtype?: 'float32' | 'float64' },
): Record<string, Targets> {
  const names = Object.keys(heads)
  checkKnownKeys(value, names, name, { noun: 'head', path: name })
  const targets: Record<string, Targets> = Object.create(null) as Record<string, Targets>
  for (const [head, spec] of Object.entries(heads)) {
    if (value[head] === undefined) throw optionError(`${name}.${head}`, 'targets for this head', undefined)
    targets[head] = toTargets(value[head], `${name}.${head}`, { ...common, ...spec, rows: common.rows })
  }
  return targets
}

/**
 * Brings what a user passed as data into checked form: `{ inputs, targets, sampleWeights? }` with one row a sample in
 * each part. Typed arrays in ordinary memory are not copied (class indices are).
 *
 * @param name how errors call the argument; '' leaves it out
 */
export function toDataset(value: unknown, name: string, spec: DatasetSpec): Dataset {
  checkKnownKeys(value, datasetKeys, name === '' ? 'data' : name, { noun: 'part', path: name })
  const at = (key: string): string => (name === '' ? key : `${name}.${key}`)
  const dtype = spec.dtype === undefined ? {} : { dtype: spec.dtype }
  const inputs = toMatrix(value.inputs, at('inputs'), { columns: spec.columns, ...dtype })
  const rows = inputs.shape[0]
  const targets =
    'heads' in spec.targets
      ? headTargets(value.targets, at('targets'), spec.targets.heads, { ...dtype, rows })
      : toTargets(value.targets, at('targets'), { ...dtype, ...spec.targets, rows })
  return {
    inputs,
    targets,
    ...(value.sampleWeights === undefined
      ? {}
      : { sampleWeights: toSampleWeights(value.sampleWeights, at('sampleWeights'), rows) }),
    ...(value.names === undefined ? {} : { names: value.names as DatasetNames }),
  }
}

// --- splitting -------------------------------------------------------------------------------------------------------

/** How much goes to the second part, and in which order rows are taken. */
export type SplitOptions = (
  | { readonly fraction: number; readonly count?: never }
  | { readonly count: number; readonly fraction?: never }
) & {
  /** A permutation of all row numbers; default the order of the data. */
  readonly order?: Uint32Array
}

export type Split<D> = { readonly train: D; readonly validation: D }

function checkPermutation(order: unknown, rows: number): asserts order is Uint32Array {
  const name = 'splitData order'
  if (!(order instanceof Uint32Array)) throw dtypeError(name, 'a Uint32Array', order)
  if (order.length !== rows) throw shapeError(name, `${rows} row numbers`, rendered(`${order.length}`))
  const seen = new Uint8Array(rows)
  for (const [index, row] of order.entries()) {
    if (row >= rows) throw optionError(`${name}[${index}]`, `a row number below ${rows}`, row)
    if (seen[row] === 1) throw optionError(`${name}[${index}]`, 'every row once', row)
    seen[row] = 1
  }
}

function heldOutRows(options: Record<string, unknown>, rows: number): number {
  if ((options.fraction === undefined) === (options.count === undefined)) {
    throw optionError('splitData options', 'either fraction or count', options, { path: '' })
  }
  const count =
    options.count === undefined
      ? Math.round(rows * numberInRange(options.fraction, 'splitData fraction', { above: 0, below: 1 }))
      : integerInRange(options.count, 'splitData count', { min: 1 })
  if (count < 1 || count >= rows) {
    const received = rendered(`${count} of ${rows} rows for validation`)
    throw shapeError('splitData', 'at least one row in each part', received)
  }
  return count
}

type AnyData = MatrixData | Int32Array

/** Rows `from` to `to` of the order: a view without an order, else a copy. */
function takeRows<A extends AnyData>(
  values: A,
  width: number,
  order: Uint32Array | undefined,
  from: number,
  to: number,
): A {
  if (order === undefined) return values.subarray(from * width, to * width) as A
  const out = values.slice(0, (to - from) * width) as A
  for (let index = from; index < to; index++) {
    const row = order[index] ?? 0
    out.set(values.subarray(row * width, (row + 1) * width), (index - from) * width)
  }
  return out
}

function takeMatrix(matrix: Matrix, order: Uint32Array | undefined, from: number, to: number): Matrix {
  const columns = matrix.shape[1]
  return { data: takeRows(matrix.data, columns, order, from, to), shape: [to - from, columns] }
}

function takeTargets(targets: Targets, order: Uint32Array | undefined, from: number, to: number): Targets {
  return targets instanceof Int32Array ? takeRows(targets, 1, order, from, to) : takeMatrix(targets, order, from, to)
}

function isTargets(targets: Dataset['targets']): targets is Targets {
  return targets instanceof Int32Array || ('data' in targets && isDataArray(targets.data))
}

function isDataArray(value: unknown): boolean {
  return ArrayBuffer.isView(value)
}

function takePart(data: Dataset, order: Uint32Array | undefined, from: number, to: number): Dataset {
  const { inputs, targets, sampleWeights } = data
  return {
    ...data,
    inputs: takeMatrix(inputs, order, from, to),
    targets: isTargets(targets)
      ? takeTargets(targets, order, from, to)
      : Object.fromEntries(Object.entries(targets).map(([head, part]) => [head, takeTargets(part, order, from, to)])),
    ...(sampleWeights === undefined ? {} : { sampleWeights: takeRows(sampleWeights, 1, order, from, to) }),
  }
}

function rowsOf(targets: Targets): number {
  return targets instanceof Int32Array ? targets.length : targets.shape[0]
}

function checkRowCounts(data: Dataset): void {
  const rows = data.inputs.shape[0]
  const named: (readonly [string, number])[] = isTargets(data.targets)
    ? [['targets', rowsOf(data.targets)]]
    : Object.entries(data.targets).map(([head, part]) => [`targets.${head}`, rowsOf(part)] as const)
  if (data.sampleWeights !== undefined) named.push(['sampleWeights', data.sampleWeights.length])
  for (const [name, found] of named) {
    if (found !== rows) throw shapeError(`splitData ${name}`, `${rows} rows, as inputs have`, rendered(`${found}`))
  }
}

/**
 * Cuts a dataset in two: the last rows, or the last of a given order, are held out for validation.
 *
 * Without `order` both parts are views of the same memory; with it they are copies.
 *
 * @param options `fraction` (above 0 and below 1, rounded to whole rows) or `count` of rows to hold out
 * @example const { train, validation } = splitData(data, { fraction: 0.2, order })
 */
export function splitData<D extends Dataset>(data: D, options: SplitOptions): Split<D> {
  checkKnownKeys(options, ['fraction', 'count', 'order'], 'splitData options')
  const given: Record<string, unknown> = options
  if (!isRecord(data)) throw optionError('splitData data', 'a dataset { inputs, targets }', data)
  checkRowCounts(data)
  const rows = data.inputs.shape[0]
  const count = heldOutRows(given, rows)
  const order = given.order
  if (order !== undefined) checkPermutation(order, rows)
  const cut = rows - count
  // takePart keeps every member and the kind of each: only the number of rows changes.
  return {
    train: takePart(data, order, 0, cut) as D,
    validation: takePart(data, order, cut, rows) as D,
  }
}
