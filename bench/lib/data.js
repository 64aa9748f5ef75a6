// @ts-check

/** @import { Workload } from '../scenarios/workloads.js' */

/**
 * @typedef {object} SyntheticData
 * @property {number} rows
 * @property {Float32Array} inputs row-major
 * @property {Uint8Array | null} bytes inputs times 255, of workloads on bytes
 * @property {Float32Array} targets one column, for the squared error; empty for labels
 * @property {Int32Array} labels for the cross-entropy; empty for targets
 */

/**
 * Uniform numbers of [0, 1): a Weyl sequence through a 32-bit mixing function.
 *
 * @param {number} seed
 * @returns {() => number}
 */
export function uniform(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 4294967296
  }
}

/**
 * Data with something to learn: inputs uniform in [0, 1], the target a smooth
 * function of the first inputs, the label the largest of ten inputs. No input
 * is zero more often than chance has it, so no contestant gains from sparsity.
 *
 * @param {Workload} workload
 * @param {number} [rows]
 * @returns {SyntheticData}
 */
export function syntheticData(workload, rows = workload.rows) {
  const next = uniform(20_240)
  const width = workload.sizes[0] ?? 0
  const classes = workload.sizes.at(-1) ?? 0
  const regression = workload.loss === 'meanSquaredError'
  const inputs = new Float32Array(rows * width)
  const bytes = workload.bytes ? new Uint8Array(inputs.length) : null
  for (let i = 0; i < inputs.length; i++) {
    if (bytes === null) {
      inputs[i] = next()
    } else {
      const byte = Math.floor(256 * next())
      bytes[i] = byte
      inputs[i] = byte / 255
    }
  }
  const targets = new Float32Array(regression ? rows : 0)
  const labels = new Int32Array(regression ? 0 : rows)
  for (let row = 0; row < rows; row++) {
    const at = row * width
    if (regression) {
      targets[row] = 0.5 + 0.4 * Math.sin(3 * (inputs[at] ?? 0)) * ((inputs[at + 1] ?? 0) - 0.5)
    } else {
      let best = 0
      for (let k = 1; k < classes; k++) {
        if ((inputs[at + k] ?? 0) > (inputs[at + best] ?? 0)) best = k
      }
      labels[row] = best
    }
  }
  return { rows, inputs, bytes, targets, labels }
}

/**
 * Rows as plain arrays, for the libraries that take one sample at a time.
 *
 * @param {Workload} workload
 * @param {number} rows
 * @returns {{ input: number[], output: number[], label: number }[]}
 */
export function sampleList(workload, rows) {
  const data = syntheticData(workload, rows)
  const width = workload.sizes[0] ?? 0
  const outputs = workload.sizes.at(-1) ?? 0
  return Array.from({ length: rows }, (_, row) => {
    const label = data.labels[row] ?? 0
    return {
      input: Array.from(data.inputs.subarray(row * width, (row + 1) * width)),
      output:
        workload.loss === 'meanSquaredError'
          ? [data.targets[row] ?? 0]
          : Array.from({ length: outputs }, (_unused, k) => (k === label ? 1 : 0)),
      label,
    }
  })
}
