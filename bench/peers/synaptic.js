// @ts-check
// Synaptic: activate and propagate sample by sample, relu hidden units, linear
// outputs for the squared error and logistic ones for classes.

import { sampleList } from '../lib/data.js'
import { load } from '../lib/load.js'

const kBatches = 4

/** Above so many connections its generated source is too long to compile; it then runs neuron by neuron. */
const kMostGenerated = 20_000

/** @param {{ workload: import('../scenarios/workloads.js').Workload }} specification */
export async function create({ workload }) {
  const { Architect, Neuron } = load('synaptic')
  const { version } = load('synaptic/package.json')
  const { sizes, batchSize } = workload
  const network = new Architect.Perceptron(...sizes)
  for (const layer of network.layers.hidden) layer.set({ squash: Neuron.squash.RELU })
  network.layers.output.set({
    squash: workload.loss === 'meanSquaredError' ? Neuron.squash.IDENTITY : Neuron.squash.LOGISTIC,
  })
  const connections = sizes.slice(1).reduce((sum, units, i) => sum + units * (sizes[i] ?? 0), 0)
  if (connections > kMostGenerated) network.setOptimize(false)
  const samples = sampleList(workload, kBatches * batchSize)
  let at = 0
  return {
    version,
    /** @param {number} steps */
    train(steps) {
      for (let i = steps * batchSize; i > 0; i--) {
        const sample = samples[at++ % samples.length]
        if (sample === undefined) continue
        network.activate(sample.input)
        network.propagate(0.001, sample.output)
      }
      return steps
    },
    loss() {
      let sum = 0
      const rows = samples.slice(0, 8)
      for (const { input, output } of rows) {
        const found = network.activate(input)
        output.forEach((value, k) => {
          sum += (value - found[k]) ** 2
        })
      }
      return sum / (rows.length * (rows[0]?.output.length ?? 1))
    },
  }
}
