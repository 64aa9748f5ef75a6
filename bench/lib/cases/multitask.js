// @ts-check
// Steps on two heads, by each method for several tasks, in turns of one process.

import { warmedArms } from '../arms.js'
import { dataFor, krylovVersion, loadKrylov, lossOf } from '../krylov.js'

/** @import { Workload } from '../../scenarios/workloads.js' */
/** @import { Arm } from '../arms.js' */

/**
 * @param {any} krylov
 * @param {Workload} workload
 * @param {number} secondHead
 * @param {number} threads
 */
function armsOf(krylov, workload, secondHead, threads) {
  const { inputs, targets } = dataFor(workload)
  const [columns = 1, ...widths] = workload.sizes
  const outputs = widths.pop() ?? 1
  const parity = Int32Array.from(targets, (label) => label % secondHead)
  const data = { inputs, targets: { digit: targets, parity } }
  const loss = { digit: lossOf(krylov, workload), parity: krylov.softmaxCrossEntropy() }
  const perEpoch = Math.ceil(workload.rows / workload.batchSize)
  const { batchSize, learningRate } = workload
  /** @type {Record<string, Arm>} */
  const arms = {}
  for (const kind of ['summedLoss', ...krylov.taskMethodKinds]) {
    const model = krylov.createModel({
      inputs: columns,
      layers: widths.map((width) => krylov.dense(width, 'relu')),
      heads: { digit: [krylov.dense(outputs)], parity: [krylov.dense(secondHead)] },
      seed: 1,
    })
    const multitask = kind === 'summedLoss' ? {} : { multitask: { kind } }
    const optimizer = krylov.adam({ learningRate })
    arms[kind] = {
      estimate: 0,
      async train(steps) {
        const epochs = Math.max(1, Math.round(steps / perEpoch))
        await krylov.train(model, data, { loss, optimizer, batchSize, epochs, threads, ...multitask })
        return epochs * perEpoch
      },
    }
  }
  return arms
}

/**
 * @param {{ workload: Workload, secondHead: number, threads: number, warmUpSeconds: number }} specification
 */
export async function open({ workload, secondHead, threads, warmUpSeconds }) {
  const krylov = await loadKrylov()
  const arms = armsOf(krylov, workload, secondHead, threads)

  const answer = await warmedArms(arms, warmUpSeconds)
  return {
    ready: { version: `${krylovVersion()} (${krylov.systemInfo().instructionSet})`, arms: Object.keys(arms) },
    handle: answer,
  }
}
