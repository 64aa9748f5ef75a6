// @ts-check
// The only file of the benchmark that knows Krylov: as a contestant, by its
// public interface, and its native probe of the machine.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { syntheticData } from './data.js'

/** @import { Workload } from '../scenarios/workloads.js' */

const entry = new URL('../../dist/index.js', import.meta.url)
const internal = new URL('../../dist/internal/native.js', import.meta.url)

/** @returns {string | undefined} why it cannot take part */
export function krylovMissing() {
  return existsSync(entry) ? undefined : 'Krylov is not built: run `npm ci` or `npm run build` in the project first'
}

/** @returns {Promise<any>} the public interface */
export function loadKrylov() {
  return import(entry.href)
}

/**
 * @typedef {object} Probe
 * @property {(options: { threads: number, dtype: string, milliseconds: number }) => { gflops: number }} measurePeak
 * @property {(options: { threads: number, megabytes: number }) => { readGBs: number, writeGBs: number }} measureBandwidth
 */

/** @returns {Promise<Probe>} loops in registers and over memory, in the addon */
export async function loadProbe() {
  return (await import(internal.href)).addon()
}

/** @returns {string} */
export function krylovVersion() {
  return createRequire(import.meta.url)('../../package.json').version
}

/**
 * @param {any} krylov
 * @param {readonly number[]} sizes
 * @param {number} [seed]
 */
export function createNetwork(krylov, sizes, seed = 1) {
  const layers = sizes
    .slice(1)
    .map((units, i) => (i + 2 < sizes.length ? krylov.dense(units, 'relu') : krylov.dense(units)))
  return krylov.createModel({ inputs: sizes[0], layers, seed, dtype: 'float32' })
}

/**
 * @param {any} krylov
 * @param {Workload} workload
 */
export function lossOf(krylov, workload) {
  return workload.loss === 'meanSquaredError' ? krylov.meanSquaredError() : krylov.softmaxCrossEntropy()
}

/**
 * @param {Workload} workload
 * @param {number} [rows]
 */
export function dataFor(workload, rows = workload.rows) {
  const data = syntheticData(workload, rows)
  return {
    inputs: { data: data.bytes ?? data.inputs, shape: [rows, workload.sizes[0] ?? 0] },
    targets: workload.loss === 'meanSquaredError' ? { data: data.targets, shape: [rows, 1] } : data.labels,
  }
}

/**
 * Krylov as a contestant: the time is that of `train` from the call to its
 * promise, over its steps; a call makes whole epochs.
 *
 * @param {{ workload: Workload, threads: number }} specification
 */
export async function create({ workload, threads }) {
  const krylov = await loadKrylov()
  const model = createNetwork(krylov, workload.sizes)
  const loss = lossOf(krylov, workload)
  const data = dataFor(workload)
  const few = dataFor(workload, workload.batchSize)
  const perEpoch = Math.ceil(workload.rows / workload.batchSize)
  return {
    version: `${krylovVersion()} (${krylov.systemInfo().instructionSet})`,
    /** @param {number} steps */
    async train(steps) {
      const epochs = Math.max(1, Math.round(steps / perEpoch))
      await krylov.train(model, data, {
        loss,
        optimizer: krylov.adam({ learningRate: workload.learningRate }),
        batchSize: workload.batchSize,
        epochs,
        threads,
      })
      return epochs * perEpoch
    },
    /** @returns {Promise<number>} */
    async loss() {
      return (await krylov.evaluate(model, few, { loss })).loss
    },
  }
}
