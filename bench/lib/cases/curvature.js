// @ts-check
// Products at a cached point, one after the other, through the public interface: vectors in and out in public order.

import { krylovVersion, loadKrylov } from '../krylov.js'
import { median } from '../statistics.js'

/** @param {number} size @param {number} scale */
const ramp = (size, scale) => Float32Array.from({ length: size }, (_, i) => (((i * 7919) % 1000) / 1000) * scale)

/**
 * @param {{ sizes: number[], linear: number[], batchSize: number, threads: number }} specification
 */
export async function open({ sizes, linear, batchSize, threads }) {
  const krylov = await loadKrylov()
  const layers = sizes.slice(1).map((units, i) => krylov.dense(units, linear.includes(i) ? 'identity' : 'sigmoid'))
  const model = krylov.createModel({ inputs: sizes[0], layers, seed: 1 })
  const loss = krylov.binaryCrossEntropy()
  /** @param {number} rows */
  const data = (rows) => {
    const x = { data: ramp(rows * (sizes[0] ?? 0), 1), shape: [rows, sizes[0]] }
    return { inputs: x, targets: x }
  }
  const batch = data(batchSize)
  const point = krylov.linearize(model, batch, loss)
  const v = ramp(model.parameterCount, 0.01)
  const out = new Float32Array(model.parameterCount)
  const ggn = point.ggn()
  const hessian = point.hessian()
  const fisher = point.empiricalFisher()
  const trainer = krylov.createTrainer(model, { loss, optimizer: krylov.sgd({ learningRate: 0 }), threads })
  /** @type {Record<string, () => unknown>} */
  const calls = {
    // A step of the trainer that moves nothing: gather, forward, loss, backward, weight gradients, update.
    gradient: () => trainer.step(batch),
    ggn: () => ggn.matvec(v, out),
    hessian: () => hessian.matvec(v, out),
    empiricalFisher: () => fisher.matvec(v, out),
  }

  /** @param {{ product: string, seconds: number }} request */
  function measure({ product, seconds }) {
    const call = calls[product]
    if (call === undefined) throw new Error(`unknown product ${product}`)
    call()
    const samples = []
    const end = performance.now() + 1000 * seconds
    while (performance.now() < end) {
      const begin = performance.now()
      call()
      samples.push(performance.now() - begin)
    }
    return { milliseconds: median(samples), count: samples.length }
  }

  /** @param {{ rows: number, iterations: number }} request */
  async function solve({ rows, iterations }) {
    const large = krylov.linearize(model, data(rows), loss)
    const damped = krylov.damped(large.ggn(), 0.01)
    const gradient = large.gradient()
    const options = { maxIterations: iterations, tolerance: 0 }
    await krylov.conjugateGradient(damped, gradient, { ...options, maxIterations: 2 })
    const begin = performance.now()
    const result = await krylov.conjugateGradient(damped, gradient, options)
    const seconds = (performance.now() - begin) / 1000
    return { seconds, productSeconds: result.productSeconds, products: result.products, reason: result.reason }
  }

  return {
    ready: { version: krylovVersion() },
    /** @param {any} request */
    handle: (request) => (request.solve === undefined ? measure(request) : solve(request.solve)),
  }
}
