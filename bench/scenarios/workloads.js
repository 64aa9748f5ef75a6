// @ts-check
// The four training workloads, as data. `rows` is the size of the data set a
// contestant trains on: whole batches, and for the mnist shapes more bytes than
// the caches of a core, so that gathering a batch costs what it
// costs in use. `reach` is the time in microseconds a step that the project
// sets itself on the 2-core reference machine.

/**
 * @typedef {object} Workload
 * @property {string} name
 * @property {number[]} sizes units of every layer, the inputs first
 * @property {number} batchSize
 * @property {'meanSquaredError' | 'softmaxCrossEntropy'} loss
 * @property {number} rows
 * @property {boolean} bytes inputs are bytes over 255, as images are: Krylov trains on the bytes, as it does on MNIST
 *   files; the peers get the same numbers as float32, the form they take images in
 * @property {number} learningRate
 * @property {number} reach microseconds a step
 */

/** @type {readonly Workload[]} */
export const workloads = [
  {
    name: 'tiny',
    sizes: [2, 16, 1],
    batchSize: 32,
    loss: 'meanSquaredError',
    rows: 32_768,
    bytes: false,
    learningRate: 0.001,
    reach: 1.5,
  },
  {
    name: 'tabular',
    sizes: [32, 64, 64, 1],
    batchSize: 64,
    loss: 'meanSquaredError',
    rows: 32_768,
    bytes: false,
    learningRate: 0.001,
    reach: 25,
  },
  {
    name: 'mnist-s',
    sizes: [784, 128, 10],
    batchSize: 128,
    loss: 'softmaxCrossEntropy',
    rows: 12_800,
    bytes: true,
    learningRate: 0.001,
    reach: 370,
  },
  {
    name: 'mnist-m',
    sizes: [784, 512, 512, 10],
    batchSize: 128,
    loss: 'softmaxCrossEntropy',
    rows: 12_800,
    bytes: true,
    learningRate: 0.001,
    reach: 2700,
  },
]

/**
 * @param {string} name
 * @returns {Workload}
 */
export function workloadNamed(name) {
  const found = workloads.find((workload) => workload.name === name)
  if (found === undefined) {
    throw new Error(`workload: expected one of ${workloads.map((w) => w.name).join(', ')}, received ${name}`)
  }
  return found
}
