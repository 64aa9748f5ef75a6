// @ts-check
// One call, sampled by the package `benchmark`.

import { load } from './load.js'

const Benchmark = load('benchmark')

/** @typedef {{ call: () => unknown, waits?: boolean }} Call `waits`: the call returns a promise */

/**
 * @param {Record<string, Call>} calls
 * @param {string} name
 * @param {number} seconds that the package samples at most
 * @returns {Promise<{ microseconds: number, margin: number, samples: number }>}
 */
export function sampleCall(calls, name, seconds) {
  return new Promise((resolve, reject) => {
    const chosen = calls[name]
    if (chosen === undefined) {
      reject(new Error(`call: expected one of ${Object.keys(calls).join(', ')}, received ${name}`))
      return
    }
    const { call, waits = false } = chosen
    const bench = new Benchmark(name, {
      maxTime: seconds,
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
}
