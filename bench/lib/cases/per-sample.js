// @ts-check
// Steps and quantities of single samples in turns, through the public interface: one process for all arms of a workload.

import { warmedArms } from '../arms.js'
import { createNetwork, dataFor, krylovVersion, loadKrylov, lossOf } from '../krylov.js'

/** @import { Workload } from '../../scenarios/workloads.js' */
/** @import { Arm } from '../arms.js' */

/**
 * @param {any} krylov
 * @param {Workload} workload
 * @param {number} threads
 * @param {{ clipped: number, norms: number }} thresholds
 */
function stepArms(krylov, workload, threads, thresholds) {
  const data = dataFor(workload)
  const perEpoch = Math.ceil(workload.rows / workload.batchSize)
  const options = {
    loss: lossOf(krylov, workload),
    optimizer: krylov.adam({ learningRate: workload.learningRate }),
    threads,
  }
  /** @type {Record<string, object>} */
  const stages = {
    plain: {},
    clipped: { clipping: krylov.sampleClipping({ threshold: thresholds.clipped }) },
    clippedByLayer: { clipping: krylov.sampleClipping({ threshold: thresholds.clipped, by: 'layer' }) },
    norms: { clipping: krylov.sampleClipping({ threshold: thresholds.norms }) },
  }
  /** @type {Record<string, Arm>} */
  const arms = {}
  /** @type {Record<string, () => number>} */
  const shares = {}
  for (const [name, stage] of Object.entries(stages)) {
    const model = createNetwork(krylov, workload.sizes)
    arms[name] = {
      estimate: 0,
      async train(steps) {
        const epochs = Math.max(1, Math.round(steps / perEpoch))
        await krylov.train(model, data, { ...options, ...stage, batchSize: workload.batchSize, epochs })
        return epochs * perEpoch
      },
    }
    shares[name] = () => {
      const trainer = krylov.createTrainer(model, { ...options, ...stage })
      const { numbers } = trainer.step(dataFor(workload, workload.batchSize))
      trainer.dispose()
      return numbers?.clippedShare ?? 0
    }
  }
  return { arms, shares }
}

/**
 * Quantities at a point that keeps its forward and backward pass, into buffers that are made once.
 *
 * @param {any} krylov
 * @param {Workload} workload
 */
function quantityArms(krylov, workload) {
  const model = createNetwork(krylov, workload.sizes)
  const rows = workload.batchSize
  const outputs = workload.sizes.at(-1) ?? 0
  const point = krylov.linearize(model, dataFor(workload, rows), lossOf(krylov, workload))
  const gradients = new Float32Array(rows * model.parameterCount)
  const norms = new Float64Array(rows)
  const square = new Float64Array(rows * rows)
  // As many bytes of Jacobians as of gradients.
  const some = Math.max(1, Math.floor(rows / outputs))
  const jacobians = new Float32Array(some * outputs * model.parameterCount)
  /** @type {Record<string, { call: () => unknown, bytes?: number }>} */
  const calls = {
    gradients: { call: () => point.perSampleGradients({ out: gradients }), bytes: gradients.byteLength },
    pointNorms: { call: () => point.perSampleGradientNorms(norms) },
    gram: { call: () => point.gramMatrix({ out: square }) },
    ntk: { call: () => point.ntk({ out: square }) },
    jacobians: {
      call: () => point.outputJacobians({ first: 0, count: some, out: jacobians }),
      bytes: jacobians.byteLength,
    },
  }
  /** @type {Record<string, Arm>} */
  const arms = {}
  /** @type {Record<string, number>} */
  const bytes = {}
  for (const [name, { call, bytes: written }] of Object.entries(calls)) {
    if (written !== undefined) bytes[name] = written
    arms[name] = {
      estimate: 0,
      train(steps) {
        for (let i = 0; i < steps; i++) call()
        return steps
      },
    }
  }
  return { arms, bytes }
}

/**
 * @param {{ workload: Workload, threads: number, warmUpSeconds: number, thresholds: { clipped: number, norms: number } }} specification
 */
export async function open({ workload, threads, warmUpSeconds, thresholds }) {
  const krylov = await loadKrylov()
  const steps = stepArms(krylov, workload, threads, thresholds)
  const quantities = quantityArms(krylov, workload)
  /** @type {Record<string, Arm>} */
  const arms = { ...steps.arms, ...quantities.arms }

  const answer = await warmedArms(arms, warmUpSeconds)

  return {
    ready: {
      version: `${krylovVersion()} (${krylov.systemInfo().instructionSet})`,
      arms: { step: Object.keys(steps.arms), quantity: Object.keys(quantities.arms) },
      bytes: quantities.bytes,
    },
    /** @param {{ arm: string, seconds: number } | { shares: true }} request */
    async handle(request) {
      if ('shares' in request) {
        return { shares: Object.fromEntries(Object.entries(steps.shares).map(([name, share]) => [name, share()])) }
      }
      return answer(request)
    },
  }
}
