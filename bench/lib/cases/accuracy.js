// @ts-check
// Krylov on MNIST until a test accuracy is reached.

import { createNetwork, krylovVersion, loadKrylov } from '../krylov.js'
import { readMnist } from '../mnist.js'

/**
 * @param {{ threads: number, scenario: typeof import('../../scenarios/time-to-accuracy.js').scenario }} specification
 */
export async function open({ threads, scenario }) {
  const krylov = await loadKrylov()
  const { train, test } = readMnist()
  /** @param {{ rows: number, bytes: Uint8Array, labels: Int32Array }} part */
  const dataOf = (part) => ({ inputs: { data: part.bytes, shape: [part.rows, 784] }, targets: part.labels })
  const data = dataOf(train)
  const validation = dataOf(test)
  return {
    ready: { version: krylovVersion() },
    /** @param {{ seed: number }} request */
    async handle({ seed }) {
      const model = createNetwork(krylov, scenario.sizes, seed)
      const controller = new AbortController()
      /** @type {number[]} */
      const accuracies = []
      let seconds = Number.NaN
      let reached = false
      const begin = performance.now()
      const run = krylov.train(model, data, {
        loss: krylov.softmaxCrossEntropy(),
        optimizer: krylov.adam({ learningRate: krylov.cosine({ learningRate: scenario.learningRate }) }),
        batchSize: scenario.batchSize,
        epochs: scenario.epochs,
        validation,
        seed,
        threads,
        signal: controller.signal,
      })
      for await (const epoch of run) {
        if (reached) continue
        accuracies.push(epoch.validation.accuracy)
        seconds = (performance.now() - begin) / 1000
        reached = epoch.validation.accuracy >= scenario.targetAccuracy
        if (reached) controller.abort()
      }
      await run
      model.dispose()
      return { seconds, accuracies, reached }
    },
  }
}
