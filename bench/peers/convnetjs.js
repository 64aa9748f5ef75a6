// @ts-check
// ConvNetJS: its Trainer adds up gradients over batch_size samples and then
// updates. Of its rules adadelta is the one nearest to Adam (two running
// averages a parameter).

import { sampleList } from '../lib/data.js'
import { load } from '../lib/load.js'

const kBatches = 4

/** @param {{ workload: import('../scenarios/workloads.js').Workload }} specification */
export async function create({ workload }) {
  const convnetjs = load('convnetjs')
  const { version } = load('convnetjs/package.json')
  const { sizes, batchSize } = workload
  const regression = workload.loss === 'meanSquaredError'
  const net = new convnetjs.Net()
  net.makeLayers([
    { type: 'input', out_sx: 1, out_sy: 1, out_depth: sizes[0] },
    ...sizes.slice(1, -1).map((units) => ({ type: 'fc', num_neurons: units, activation: 'relu' })),
    regression ? { type: 'regression', num_neurons: sizes.at(-1) } : { type: 'softmax', num_classes: sizes.at(-1) },
  ])
  const trainer = new convnetjs.Trainer(net, { method: 'adadelta', batch_size: batchSize, l2_decay: 0 })
  const samples = sampleList(workload, kBatches * batchSize).map(({ input, output, label }) => ({
    x: new convnetjs.Vol(input),
    y: regression ? output : label,
  }))
  let at = 0
  return {
    version,
    /** @param {number} steps */
    train(steps) {
      for (let i = steps * batchSize; i > 0; i--) {
        const sample = samples[at++ % samples.length]
        if (sample !== undefined) trainer.train(sample.x, sample.y)
      }
      return steps
    },
    loss() {
      let sum = 0
      for (const { x, y } of samples.slice(0, batchSize)) {
        const found = net.forward(x).w
        sum += typeof y === 'number' ? -Math.log(found[y]) : (found[0] - (y[0] ?? 0)) ** 2
      }
      return sum / batchSize
    },
  }
}
