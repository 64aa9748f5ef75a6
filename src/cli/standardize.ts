import type { AnyModel, Matrix } from '../index.js'

/*
 * Inputs of mean 0 and standard deviation 1 a column, from the training data. Training sees the scaled inputs;
 * afterwards the scaling is folded into the first dense layer, so that the saved model takes raw rows:
 *   W ((x − m)/s) + b = (W/s) x + (b − (W/s) m).
 */

/** Mean and standard deviation of each column; a constant column has the deviation 1 here, so that it becomes 0. */
export type Scaling = { readonly mean: Float64Array; readonly deviation: Float64Array }

/** The scaling of a matrix's columns, by two passes in float64 (population variance). */
export function fitScaling({ data, shape: [rows, columns] }: Matrix): Scaling {
  const mean = new Float64Array(columns)
  const deviation = new Float64Array(columns)
  const add = (sums: Float64Array, index: number, value: number): void => {
    sums[index] = (sums[index] ?? 0) + value
  }
  for (let at = 0; at < data.length; at++) add(mean, at % columns, data[at] ?? 0)
  for (let column = 0; column < columns; column++) mean[column] = (mean[column] ?? 0) / rows
  for (let at = 0; at < data.length; at++) {
    const difference = (data[at] ?? 0) - (mean[at % columns] ?? 0)
    add(deviation, at % columns, difference * difference)
  }
  for (let column = 0; column < columns; column++) {
    const root = Math.sqrt((deviation[column] ?? 0) / rows)
    // What rounding leaves of a constant column is no spread.
    const spread = root > 1e-7 * Math.abs(mean[column] ?? 0)
    deviation[column] = spread ? root : 1
  }
  return { mean, deviation }
}

/** The scaled copy of a matrix. */
export function applyScaling({ data, shape }: Matrix, { mean, deviation }: Scaling): Matrix {
  const columns = shape[1]
  const scaled = data instanceof Float64Array ? new Float64Array(data.length) : new Float32Array(data.length)
  for (let at = 0; at < data.length; at++) {
    const column = at % columns
    scaled[at] = ((data[at] ?? 0) - (mean[column] ?? 0)) / (deviation[column] ?? 1)
  }
  return { data: scaled, shape }
}

/** Makes a model that was trained on scaled inputs take raw ones. Its first layer is dense, with a bias. */
export function foldScaling(model: AnyModel, { mean, deviation }: Scaling): void {
  const flat = model.parameters
  const weight = model.tensors.find(({ name }) => name === 'layers.0.weight')
  const bias = model.tensors.find(({ name }) => name === 'layers.0.bias')
  if (weight === undefined || bias === undefined) return
  const columns = model.inputs
  for (let unit = 0; unit < bias.size; unit++) {
    let shift = 0
    for (let column = 0; column < columns; column++) {
      const at = weight.offset + unit * columns + column
      const scaled = (flat[at] ?? 0) / (deviation[column] ?? 1)
      flat[at] = scaled
      shift += scaled * (mean[column] ?? 0)
    }
    flat[bias.offset + unit] = (flat[bias.offset + unit] ?? 0) - shift
  }
  model.setParameters(flat)
}
