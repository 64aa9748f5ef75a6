import type { CsvColumn, CsvOptions } from '../formats/csv.js'
import { readCsv } from '../formats/csv.js'
import type { Idx } from '../formats/idx.js'
import { readIdx } from '../formats/idx.js'
import { describeShape, dtypeError, fileError, optionError, rendered, shapeError } from '../internal/errors.js'
import { record } from '../internal/validate.js'
import type { Dataset } from './dataset.js'
import type { Matrix } from './matrix.js'
import { toMatrix } from './matrix.js'
import { toTargets } from './targets.js'

function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1)
}

/** Samples of any rank become rows; bytes stay bytes, other integers become floats that hold them exactly. */
function idxMatrix(idx: Idx, path: string): Matrix {
  const [rows, ...sample] = idx.shape
  const columns = product(sample)
  if (rows === undefined || columns === 0) {
    throw fileError(path, { offset: 4 }, 'samples of at least one value', rendered(`shape ${describeShape(idx.shape)}`))
  }
  const shape: readonly [number, number] = [rows, columns]
  switch (idx.dtype) {
    case 'int8':
    case 'int16':
      return { data: Float32Array.from(idx.data), shape }
    case 'int32':
      return { data: Float64Array.from(idx.data), shape }
    case 'uint8':
      return { data: idx.data, shape }
    case 'float32':
    case 'float64':
      return toMatrix({ data: idx.data, shape }, path)
  }
}

/**
 * Reads images and labels of an IDX pair (the MNIST files), plain or gzip-compressed. Each image becomes a row.
 *
 * @example const digits = await datasetFromIdx('train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz')
 * @throws KrylovError ERR_SHAPE when the files do not have one label for each image
 */
export async function datasetFromIdx(imagesPath: string, labelsPath: string): Promise<Dataset<Int32Array>> {
  const [images, labels] = await Promise.all([readIdx(imagesPath), readIdx(labelsPath)])
  const inputs = idxMatrix(images, imagesPath)
  if (labels.dtype === 'float32' || labels.dtype === 'float64') {
    throw dtypeError(labelsPath, 'integer labels', labels.dtype)
  }
  if (labels.shape.length !== 1) {
    throw shapeError(labelsPath, 'one label for each image (rank 1)', rendered(`shape ${describeShape(labels.shape)}`))
  }
  if (labels.data.length !== inputs.shape[0]) {
    throw shapeError(labelsPath, `${inputs.shape[0]} labels, one for each image`, rendered(`${labels.data.length}`))
  }
  return { inputs, targets: toTargets(labels.data, labelsPath, { kind: 'class', classes: 2 ** 31 }) }
}

/** Options of `datasetFromCsv`: those of `readCsv`, with a target. */
export type CsvDatasetOptions<D extends 'float32' | 'float64' = 'float32' | 'float64'> = CsvOptions<D> & {
  readonly target: CsvColumn | readonly CsvColumn[]
}

/**
 * Reads inputs and targets from a CSV file. With `targetKind: 'class'` the targets are class indices and
 * `names.classes` has the labels.
 *
 * @example const iris = await datasetFromCsv('iris.csv', { target: 'species', targetKind: 'class' })
 */
export function datasetFromCsv(
  path: string,
  options: CsvDatasetOptions & { readonly targetKind: 'class' },
): Promise<Dataset<Int32Array>>
export function datasetFromCsv(
  path: string,
  options: CsvDatasetOptions & { readonly targetKind?: 'number' },
): Promise<Dataset<Matrix>>
export function datasetFromCsv(path: string, options: CsvDatasetOptions): Promise<Dataset<Int32Array | Matrix>>
export async function datasetFromCsv(path: string, options: CsvDatasetOptions): Promise<Dataset<Int32Array | Matrix>> {
  const { target: wanted } = record(options, 'datasetFromCsv options')
  if (wanted === undefined) throw optionError('datasetFromCsv target', 'a column name or index', undefined)
  const table = await readCsv(path, options)
  const { target } = table
  if (target === undefined) throw optionError('datasetFromCsv target', 'at least one column', wanted)
  if (table.columns.length === 0) throw shapeError(path, 'at least one column beside the target', rendered('none'))
  const names = { inputs: table.columns, targets: target.columns }
  const inputs: Matrix = { data: table.data, shape: table.shape }
  if ('classes' in target) return { inputs, targets: target.data, names: { ...names, classes: target.classes } }
  return { inputs, targets: { data: target.data, shape: target.shape }, names }
}
