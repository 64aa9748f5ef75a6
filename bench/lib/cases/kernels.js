// @ts-check
// Single calls of Krylov by the package `benchmark`; one workload a process.

import { createNetwork, dataFor, krylovVersion, loadKrylov, lossOf } from '../krylov.js'
import { sampleCall } from '../sample.js'

/** @import { Workload } from '../../scenarios/workloads.js' */

/** @param {{ workload: Workload, secondsPerCall: number }} specification */
export async function open({ workload, secondsPerCall }) {
  const krylov = await loadKrylov()
  const loss = lossOf(krylov, workload)
  const model = createNetwork(krylov, workload.sizes)
  const trained = createNetwork(krylov, workload.sizes)
  const batch = dataFor(workload, workload.batchSize)
  const one = dataFor(workload, 1).inputs
  const many = dataFor(workload, 128).inputs
  const data = dataFor(workload, 1024)
  const trainer = krylov.createTrainer(trained, {
    loss,
    optimizer: krylov.adam({ learningRate: workload.learningRate }),
  })

  /** @type {Record<string, import('../sample.js').Call>} */
  const calls = {
    'predict 1 row': { call: () => model.predict(one) },
    'predict 128 rows': { call: () => model.predict(many) },
    'evaluate 1024 rows': { call: () => krylov.evaluate(model, data, { loss }), waits: true },
    'trainer.step': { call: () => trainer.step(batch) },
    'linearize + gradient': {
      call: () => {
        const point = krylov.linearize(model, batch, loss)
        point.gradient()
        point.dispose()
      },
    },
  }

  return {
    ready: { version: krylovVersion() },
    /** @param {{ call: string }} request */
    handle: ({ call }) => sampleCall(calls, call, secondsPerCall),
  }
}
