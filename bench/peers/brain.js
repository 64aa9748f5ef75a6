// @ts-check
// brain.js trains sample by sample; its `train` runs whole passes over the rows
// it is given. Its activation serves the output layer too, so that layer is a
// leaky relu like the others (a plain one can die and learn nothing).

import { sampleList } from '../lib/data.js'
import { load } from '../lib/load.js'

/** Rows are converted at every call of `train`; a call makes passes over so many batches. */
const kBatches = 4

/** @param {{ workload: import('../scenarios/workloads.js').Workload }} specification */
export async function create({ workload }) {
  // The main module loads its GPU classes as well; this is the class it exports.
  const { NeuralNetwork } = load('brain.js')
  const { version } = load('brain.js/package.json')
  const network = new NeuralNetwork({
    hiddenLayers: workload.sizes.slice(1, -1),
    activation: 'leaky-relu',
    // Its defaults of 0.3 and 0.1 diverge on relu networks of these widths.
    learningRate: 0.001,
    momentum: 0.1,
    // Must be above 0; never reached, so that a call makes all its passes.
    errorThresh: 1e-30,
  })
  const samples = sampleList(workload, kBatches * workload.batchSize).map(({ input, output }) => ({ input, output }))
  const one = samples.slice(0, workload.batchSize)
  return {
    version,
    /** @param {number} steps */
    train(steps) {
      if (steps < kBatches) {
        return network.train(one, { iterations: steps }).iterations
      }
      return network.train(samples, { iterations: Math.ceil(steps / kBatches) }).iterations * kBatches
    },
    loss() {
      if (network.outputLayer === null || network.outputLayer === undefined) {
        network.train(one.slice(0, 1), { iterations: 1 })
      }
      let sum = 0
      for (const { input, output } of one) {
        const found = network.run(input)
        output.forEach((value, k) => {
          sum += (value - (found[k] ?? 0)) ** 2
        })
      }
      return sum / (one.length * (one[0]?.output.length ?? 1))
    },
  }
}
