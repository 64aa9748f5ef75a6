// @ts-check
// How the optimizers are run that train the deep autoencoders.

import { table } from './table.js'

/** @import { Contestant, Stage } from './autoencoder.js' */

/** Hessian-free's damping beside a diagonal preconditioner: it falls from the first to the last in so many updates. */
const kDamping = { first: 10, last: 1e-5, updates: 60 }
/** Conjugate gradients of an update that Kronecker factors precondition. */
const kKroneckerIterations = 2
/** Share of the last solution that a solve starts from. */
const kWarmStartDecay = { diagonal: 0.95, kronecker: 0.7 }
const kWeightDecay = 1e-5

/**
 * Updates with curvature from a part of the mini-batch and Martens' preconditioner.
 *
 * @typedef {object} DiagonalStage
 * @property {number} until minutes of training
 * @property {number} batchSize
 * @property {number} curvatureBatchSize
 * @property {number} iterations of conjugate gradients, at most
 */

/**
 * Updates with curvature and gradient from the same samples, preconditioned by Kronecker factors.
 *
 * @typedef {object} KroneckerStage
 * @property {number} [until] minutes of training; none: to the end
 * @property {number} batchSize
 * @property {number} damping
 * @property {number} every updates from one estimate of the factors to the next
 */

/**
 * The stages as the page shows them.
 *
 * @param {readonly DiagonalStage[]} diagonal
 * @param {readonly KroneckerStage[]} kronecker
 */
function stageTable(diagonal, kronecker) {
  /** @type {(stage: DiagonalStage | KroneckerStage, cells: readonly string[]) => string[]} */
  const row = ({ until, batchSize }, cells) => [
    until === undefined ? 'the end' : `${Math.round(until * 10) / 10}`,
    batchSize.toLocaleString('en-US'),
    ...cells,
  ]
  return table(
    ['Hessian-free up to minute', 'mini-batch', 'curvature batch', 'CG iterations', 'damping', 'preconditioner'],
    [
      ...diagonal.map((stage, i) =>
        row(stage, [
          stage.curvatureBatchSize.toLocaleString('en-US'),
          `up to ${stage.iterations}`,
          i === 0 ? `${kDamping.first} to ${kDamping.last} in ${kDamping.updates} updates` : `${kDamping.last}`,
          'Martens’ diagonal',
        ]),
      ),
      ...kronecker.map((stage) =>
        row(stage, [
          'the same samples',
          `${kKroneckerIterations}`,
          `${stage.damping}`,
          `K-FAC, new every ${stage.every} updates`,
        ]),
      ),
    ],
  )
}

/**
 * Hessian-free on samples of its own for every update, as in Kiros (2013), with few conjugate gradients each. First on
 * small curvature batches with a diagonal preconditioner, while every direction is a good one; then preconditioned by
 * Kronecker factors, where what is left lies in directions of little curvature that a diagonal does not know.
 *
 * @param {readonly DiagonalStage[]} diagonal the first of them starts with a damping that falls, the others keep its end
 * @param {readonly KroneckerStage[]} kronecker
 * @returns {Contestant}
 */
export function hessianFree(diagonal, kronecker) {
  return {
    name: 'hessian-free',
    title: 'Hessian-free',
    text: [
      'stochastic Hessian-free (Kiros 2013): a new mini-batch for every update, few CG iterations, no line search, L2 of',
      `  ${kWeightDecay}; warm starts with decay ${kWarmStartDecay.diagonal} beside the diagonal, then ${kWarmStartDecay.kronecker}. The damping is not adapted:`,
      '  mini-batches make the reduction ratio too noisy to go by.',
    ].join('\n'),
    details: stageTable(diagonal, kronecker),
    stages: (k) => {
      /** @type {(stage: DiagonalStage | KroneckerStage, curvatureBatchSize: number, optimizer: any) => Stage} */
      const stage = ({ until, batchSize }, curvatureBatchSize, optimizer) => ({
        ...(until === undefined ? {} : { until }),
        optimizer: k.hessianFree({ lineSearch: false, backtracking: false, ...optimizer }),
        batchSize,
        curvatureBatchSize,
        l2: kWeightDecay,
      })
      const falling = k.polynomial({
        ...{ learningRate: kDamping.first, endLearningRate: kDamping.last },
        ...{ power: 6, totalSteps: kDamping.updates },
      })
      return [
        ...diagonal.map((options, i) =>
          stage(options, options.curvatureBatchSize, {
            damping: i === 0 ? falling : kDamping.last,
            cg: { maxIterations: options.iterations },
            warmStartDecay: kWarmStartDecay.diagonal,
          }),
        ),
        ...kronecker.map((options) =>
          stage(options, options.batchSize, {
            damping: options.damping,
            cg: { maxIterations: kKroneckerIterations, progressTolerance: 0 },
            warmStartDecay: kWarmStartDecay.kronecker,
            preconditioner: { kind: 'kfac', every: options.every },
          }),
        ),
      ]
    },
  }
}

/** @param {number} learningRate @returns {Contestant} */
export function nesterov(learningRate) {
  return {
    name: 'nesterov',
    title: 'NAG',
    text: `Nesterov’s gradient with Sutskever’s momentum schedule up to 0.99, learning rate ${learningRate}, batches of 200.`,
    stages: (k) => [
      {
        optimizer: k.classicalMomentum({
          learningRate,
          momentum: k.sutskeverMomentum({ maxMomentum: 0.99 }),
          nesterov: 'lookahead',
        }),
        batchSize: 200,
      },
    ],
  }
}

/** @returns {Contestant} */
export function adam() {
  return {
    name: 'adam',
    title: 'Adam',
    text: 'learning rate 0.001, batches of 200.',
    stages: (k) => [{ optimizer: k.adam({ learningRate: 1e-3 }), batchSize: 200 }],
  }
}
