// @ts-check
// Trains a workload in turns: each request says for how long, each answer what a step took.

/** @import { Workload } from '../../scenarios/workloads.js' */

/**
 * @typedef {object} Trainable
 * @property {string} version
 * @property {(steps: number) => Promise<number> | number} train
 *   at least so many steps; returns how many they were
 * @property {(() => number | Promise<number>)} loss of some fixed rows: shows that the contestant learns
 */

/**
 * @param {{ module: string, backend?: string, threads: number, workload: Workload, warmUpSeconds: number }} specification
 */
export async function open(specification) {
  const { create } = await import(specification.module)
  /** @type {Trainable} */
  const contestant = await create(specification)
  const lossBefore = await contestant.loss()

  /** @param {number} steps */
  const timed = async (steps) => {
    const begin = performance.now()
    const done = await contestant.train(steps)
    const seconds = (performance.now() - begin) / 1000
    return { steps: done, seconds, microseconds: (seconds * 1e6) / done }
  }

  // Doubling lets the compiler of a JavaScript contestant settle, and finds how
  // many steps a turn holds.
  let estimate = await timed(1)
  for (let spent = estimate.seconds, steps = 2; spent < specification.warmUpSeconds; steps *= 2) {
    estimate = await timed(steps)
    spent += estimate.seconds
  }

  return {
    ready: { version: contestant.version, microseconds: estimate.microseconds },
    /** @param {{ seconds: number }} request */
    async handle(request) {
      const result = await timed(Math.max(1, Math.round((request.seconds * 1e6) / estimate.microseconds)))
      estimate = result
      return { ...result, lossBefore, loss: await contestant.loss() }
    },
  }
}
