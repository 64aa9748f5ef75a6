// @ts-check
// Krylov in the background of a program that has other things to do.

import { setTimeout as sleep } from 'node:timers/promises'
import { workloadNamed } from '../../scenarios/workloads.js'
import { createNetwork, dataFor, krylovVersion, loadKrylov, lossOf } from '../krylov.js'

/** More epochs than any measurement lasts. */
const kEndless = 1_000_000

/**
 * @param {{ scenario: typeof import('../../scenarios/responsiveness.js').scenario }} specification
 */
export async function open({ scenario }) {
  const krylov = await loadKrylov()
  const workload = workloadNamed(scenario.training)
  const model = createNetwork(krylov, workload.sizes)
  const data = dataFor(workload)

  /** @param {AbortSignal} signal */
  const startTraining = (signal) =>
    krylov.train(model, data, {
      loss: lossOf(krylov, workload),
      optimizer: krylov.adam({ learningRate: workload.learningRate }),
      batchSize: workload.batchSize,
      epochs: kEndless,
      signal,
    })

  /** @returns {Promise<number>} milliseconds from abort() to the settled promise */
  const abortOnce = async () => {
    const controller = new AbortController()
    const run = startTraining(controller.signal)
    await sleep(scenario.abort.afterMilliseconds)
    const begin = performance.now()
    controller.abort()
    await run
    return performance.now() - begin
  }

  /**
   * Lateness of an interval timer, with or without training behind it.
   *
   * @param {boolean} training
   */
  const lag = async (training) => {
    const controller = new AbortController()
    const run = training ? startTraining(controller.signal) : undefined
    await sleep(100)
    /** @type {number[]} */
    const gaps = []
    let last = performance.now()
    const timer = setInterval(() => {
      const now = performance.now()
      gaps.push(now - last - scenario.lag.intervalMilliseconds)
      last = now
    }, scenario.lag.intervalMilliseconds)
    await sleep(scenario.lag.seconds * 1000)
    clearInterval(timer)
    controller.abort()
    await run
    gaps.sort((a, b) => a - b)
    return { ticks: gaps.length, worst: gaps.at(-1), percentile99: gaps[Math.floor(0.99 * gaps.length)] }
  }

  /** @returns {number[]} microseconds a call, by round */
  const predict = () => {
    const small = workloadNamed(scenario.predict.workload)
    const other = createNetwork(krylov, small.sizes)
    const row = new Float32Array(small.sizes[0] ?? 0).fill(0.5)
    const input = { data: row, shape: [1, row.length] }
    const { calls, rounds } = scenario.predict
    const samples = []
    // The first round warms up.
    for (let round = 0; round <= rounds; round++) {
      const begin = performance.now()
      for (let i = 0; i < calls; i++) other.predict(input)
      if (round > 0) samples.push(((performance.now() - begin) * 1000) / calls)
    }
    other.dispose()
    return samples
  }

  return {
    ready: { version: krylovVersion() },
    async handle() {
      await abortOnce()
      const abort = []
      for (let i = 0; i < scenario.abort.tries; i++) abort.push(await abortOnce())
      return { abort, idleLag: await lag(false), lag: await lag(true), predict: predict() }
    },
  }
}
