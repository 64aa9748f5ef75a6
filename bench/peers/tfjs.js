// @ts-check
// TensorFlow.js on its JavaScript or WebAssembly backend. The quickest public
// way to train: variables, optimizer.minimize without reading the loss back,
// batches cut once.

import { syntheticData } from '../lib/data.js'
import { load } from '../lib/load.js'

/** Batches kept as tensors; the training goes round them. */
const kBatches = 32

/** @param {{ workload: import('../scenarios/workloads.js').Workload, backend: string }} specification */
export async function create({ workload, backend }) {
  const tf = load('@tensorflow/tfjs')
  if (backend === 'wasm') load('@tensorflow/tfjs-backend-wasm')
  if (!(await tf.setBackend(backend))) throw new Error(`tfjs: backend ${backend} did not start`)
  await tf.ready()

  const { sizes, batchSize } = workload
  const width = sizes[0] ?? 0
  const classes = sizes.at(-1) ?? 0
  const regression = workload.loss === 'meanSquaredError'
  const data = syntheticData(workload, kBatches * batchSize)
  const batches = Array.from({ length: kBatches }, (_, b) => {
    const from = b * batchSize
    const to = from + batchSize
    return {
      x: tf.tensor2d(data.inputs.slice(from * width, to * width), [batchSize, width]),
      y: regression
        ? tf.tensor2d(data.targets.slice(from, to), [batchSize, 1])
        : tf.oneHot(tf.tensor1d(data.labels.slice(from, to), 'int32'), classes).toFloat(),
    }
  })
  const layers = sizes.slice(1).map((out, i) => {
    const fanIn = sizes[i] ?? 1
    return {
      weight: tf.variable(
        tf.randomUniform([fanIn, out], -1 / Math.sqrt(fanIn), 1 / Math.sqrt(fanIn), 'float32', i + 1),
      ),
      bias: tf.variable(tf.zeros([out])),
    }
  })
  const variables = layers.flatMap(({ weight, bias }) => [weight, bias])
  const optimizer = tf.train.adam(workload.learningRate)

  /** @param {{ x: any, y: any }} batch */
  const lossOf = ({ x, y }) => {
    let a = x
    layers.forEach(({ weight, bias }, i) => {
      a = tf.add(tf.matMul(a, weight), bias)
      if (i + 1 < layers.length) a = tf.relu(a)
    })
    return regression ? tf.losses.meanSquaredError(y, a) : tf.losses.softmaxCrossEntropy(y, a)
  }

  let at = 0
  return {
    version: `${tf.version.tfjs} (${tf.getBackend()})`,
    /** @param {number} steps */
    train(steps) {
      for (let step = 0; step < steps; step++) {
        const batch = batches[at++ % kBatches]
        if (batch !== undefined) optimizer.minimize(() => lossOf(batch), false, variables)
      }
      return steps
    },
    loss() {
      return tf.tidy(() => (batches[0] === undefined ? Number.NaN : lossOf(batches[0]).dataSync()[0]))
    },
  }
}
