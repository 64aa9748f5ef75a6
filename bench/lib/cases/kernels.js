// @ts-check
// Single calls of Krylov by the package `benchmark`; one workload a process.

import { createNetwork, dataFor, krylovVersion, loadKrylov, lossOf } from '../krylov.js'
import { load } from '../load.js'

/** @import { Workload } from '../../scenarios/workloads.js' */

const Benchmark = load('benchmark')

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

  /** @type {Record<string, { call: () => unknown, waits?: boolean }>} */
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

  /**
   * @param {string} name
   * @returns {Promise<{ microseconds: number, margin: number, samples: number }>}
   */
  const sample = (name) =>
    new Promise((resolve, reject) => {
      const chosen = calls[name]
      if (chosen === undefined) {
        reject(new Error(`call: expected one of ${Object.keys(calls).join(', ')}, received ${name}`))
        return
      }
      const { call, waits = false } = chosen
      const bench = new Benchmark(name, {
        maxTime: secondsPerCall,
        async: waits,
        defer: waits,
        fn: waits
          ? (/** @type {{ resolve: () => void }} */ deferred) => {
              Promise.resolve(call()).then(() => deferred.resolve(), reject)
            }
          : call,
      })
      bench.on('complete', () => {
        if (bench.error !== undefined) reject(bench.error)
        else {
          resolve({
            microseconds: bench.stats.mean * 1e6,
            // The package's margin is that of the 95 % confidence interval of the mean.
            margin: bench.stats.rme / 100,
            samples: bench.stats.sample.length,
          })
        }
      })
      bench.run({ async: waits })
    })

  return {
    ready: { version: krylovVersion() },
    /** @param {{ call: string }} request */
    handle: ({ call }) => sample(call),
  }
}
