// @ts-check
// The deep autoencoder of Hinton & Salakhutdinov on MNIST: Hessian-free beside Nesterov's gradient and Adam.

import { runAutoencoder } from '../lib/autoencoder.js'
import { adam, hessianFree, nesterov } from '../lib/autoencoder-contestants.js'
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
    hessianFree(
      [
        { until: 80 / 60, batchSize: 1000, curvatureBatchSize: 250, iterations: 5 },
        { until: 3, batchSize: 2000, curvatureBatchSize: 500, iterations: 8 },
      ],
      [
        { until: 6, batchSize: 1500, damping: 1e-2, every: 15 },
        { until: 25, batchSize: 3000, damping: 2e-3, every: 10 },
        { batchSize: 5000, damping: 1e-3, every: 10 },
      ],
    ),
    nesterov(0.02),
    adam(),
  ],
  minutes: 30,
  notes: [
    'To the runs of 2026-11-23:',
    'NAG is ahead of Hessian-free all the way by the average of its iterates; by the last iterate the two end alike, and',
    'on the test images Hessian-free ends lowest. Hessian-free was set up by trials of one to three minutes from points of',
    'such runs, NAG’s learning rate is the best of 0.01, 0.02 and 0.05 after one minute (0.05 diverged), Adam’s its default.',
    'An earlier arm of Hessian-free with the diagonal preconditioner to its end and up to 30 CG iterations on ever larger',
    'batches had come down to 2.21 after 38 minutes, and was given up for this one: along the directions that are left by',
    'then a diagonal tells little.',
  ].join('\n'),
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
