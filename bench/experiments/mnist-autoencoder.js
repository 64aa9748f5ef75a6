// @ts-check
// The deep autoencoder of Hinton & Salakhutdinov on MNIST: Hessian-free beside Nesterov's gradient and Adam.

import { runAutoencoder } from '../lib/autoencoder.js'
import { readMnist } from '../lib/mnist.js'

/** @type {import('../lib/autoencoder.js').Autoencoder} */
const task = {
  name: 'mnist-autoencoder',
  title: 'The MNIST autoencoder: Hessian-free beside Nesterov and Adam',
  text: 'MNIST, all 60 000 training images, 784-1000-500-250-30 and back.',
  encoder: [784, 1000, 500, 250, 30],
  read: () => {
    const { train, test } = readMnist()
    return { train: train.inputs, test: test.inputs }
  },
  contestants: [
    {
      name: 'hessian-free',
      title: 'Hessian-free',
      text: '',
      optimizer: (k) => k.hessianFree({}),
      batchSize: 6000,
      curvatureBatchSize: 2000,
      l2: 1e-5,
    },
    {
      name: 'nesterov',
      title: 'NAG',
      text: '',
      optimizer: (k) =>
        k.classicalMomentum({
          learningRate: 0.001,
          momentum: k.sutskeverMomentum({ maxMomentum: 0.99 }),
          nesterov: 'lookahead',
        }),
      batchSize: 200,
    },
    {
      name: 'adam',
      title: 'Adam',
      text: '',
      optimizer: (k) => k.adam({ learningRate: 1e-3 }),
      batchSize: 200,
    },
  ],
  published: [],
  notes: '',
}

/** @param {string[]} args */
export function run(args) {
  return runAutoencoder(task, args)
}
