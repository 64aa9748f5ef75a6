// @ts-check
// The deep autoencoder of Hinton & Salakhutdinov on MNIST: Hessian-free beside Nesterov's gradient and Adam.

import { adam, hessianFree, nesterov, runAutoencoder } from '../lib/autoencoder.js'
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
  contestants: [hessianFree(), nesterov(0.02), adam()],
  published: [
    ['Hessian-free (Martens 2010)', 1.4],
    ['NAG, 750 000 updates (Sutskever et al. 2013)', 0.73],
    ['Hessian-free with momentum, 375 000 CG iterations (Sutskever et al. 2013)', 0.69],
  ],
}

/** @param {string[]} args */
export function run(args) {
  return runAutoencoder(task, args)
}
