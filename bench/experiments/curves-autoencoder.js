// @ts-check
// The deep autoencoder of Hinton & Salakhutdinov on curves of our own: Hessian-free beside Nesterov's gradient and Adam.

import { runAutoencoder } from '../lib/autoencoder.js'
import { adam, hessianFree, nesterov } from '../lib/autoencoder-contestants.js'
import { drawCurves } from '../lib/curves.js'

/** @type {import('../lib/autoencoder.js').Autoencoder} */
const task = {
  name: 'curves-autoencoder',
  title: 'The CURVES autoencoder: Hessian-free beside Nesterov and Adam',
  text: [
    '20 000 images of curves, 784-400-200-100-50-25-6 and back. The original images are not at hand: these are drawn anew,',
    'each a quadratic curve with three uniformly random control points on 28 × 28 pixels, by a soft pen (bench/lib/curves.js).',
    'Errors on them are not those of the original set; the published ones stand here for their size.',
  ].join('\n'),
  encoder: [784, 400, 200, 100, 50, 25, 6],
  read: () => ({ train: drawCurves(20_000, 1), test: drawCurves(10_000, 2) }),
  contestants: [
    hessianFree(
      [{ until: 80 / 60, batchSize: 1000, curvatureBatchSize: 250, iterations: 5 }],
      [
        { until: 4, batchSize: 1500, damping: 1e-2, every: 15 },
        { until: 12, batchSize: 2000, damping: 3e-3, every: 15 },
        { batchSize: 3000, damping: 1e-3, every: 10 },
      ],
    ),
    nesterov(0.02),
    adam(),
  ],
  minutes: 30,
  notes: [
    'To the runs of 2026-11-23:',
    'What limits Hessian-free here is the number of its updates: the others make some 70 in the time of one, and a step along',
    'the curvature does not make up for that. It was set up by trials of one or two minutes: more CG iterations on larger',
    'batches (8 on 2 000, 30 on 5 000) or K-FAC from second 10 on stayed at errors of 14 to 16 for the first minute, and',
    'more of them on a quarter or a third of the mini-batch, with a damping of 1e-5 or 1e-4, blew up. NAG’s learning rate is',
    'the best of 0.01, 0.02 and 0.04 after 20 to 40 seconds, Adam’s its default. In the first two minutes of NAG’s arm other',
    'work took a core for some seconds.',
  ].join('\n'),
  published: [
    ['Hessian-free (Martens 2010), original images', 0.11],
    ['NAG, 750 000 updates, original images', 0.074],
    ['Hessian-free with momentum (Sutskever et al. 2013), 850 000 CG iterations, original images', 0.058],
  ],
}

/** @param {string[]} args */
export function run(args) {
  return runAutoencoder(task, args)
}
