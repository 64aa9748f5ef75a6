// @ts-check
// One kernel at a time, through calls in which nearly all the time is that kernel's:
//   product      predict of one dense layer, 784 to 512, 128 rows
//   activations  predict of a dense layer of one input: two operations an element beside the activation
//   softmax      the same layer without activation, as probabilities
//   updates      a rule over 2^20 parameters, in place

import { krylovVersion, loadKrylov } from '../krylov.js'
import { sampleCall } from '../sample.js'

const rows = 128
const width = 4096
const parameters = 2 ** 20

/** @param {number} size */
const ramp = (size) => Float32Array.from({ length: size }, (_, i) => ((i * 37) % 401) / 100 - 2)

/** @param {{ secondsPerCall: number }} specification */
export async function open({ secondsPerCall }) {
  const krylov = await loadKrylov()
  /** @type {Record<string, import('../sample.js').Call>} */
  const calls = {}
  /** @type {Record<string, number>} elements of a call, or floating-point operations of the product */
  const sizes = {}

  /**
   * @param {string} name
   * @param {number} inputs
   * @param {number} units
   * @param {string} activation
   * @param {string} output
   */
  const layer = (name, inputs, units, activation, output) => {
    const model = krylov.createModel({ inputs, layers: [krylov.dense(units, activation)], seed: 1 })
    const x = { data: ramp(rows * inputs), shape: [rows, inputs] }
    calls[name] = { call: () => model.predict(x, { output }) }
    sizes[name] = rows * units
  }
  layer('product 128x784x512', 784, 512, 'identity', 'raw')
  sizes['product 128x784x512'] = 2 * rows * 784 * 512
  const activations = ['identity', 'relu', 'leakyRelu', 'elu', 'selu', 'gelu', 'geluTanh', 'silu', 'tanh', 'sigmoid']
  for (const activation of [...activations, 'softplus', 'softsign', 'sign', 'step'])
    layer(activation, 1, width, activation, 'raw')
  layer('softmax', 1, width, 'identity', 'probability')
  for (const [name, rule] of [
    ['update sgd, momentum', krylov.sgd({ momentum: 0.9 })],
    ['update adam', krylov.adam()],
  ]) {
    const optimizer = krylov.createOptimizer(rule, [[parameters]], { dtype: 'float32' })
    const w = ramp(parameters)
    const g = ramp(parameters)
    calls[name] = { call: () => optimizer.step(w, g, w) }
    sizes[name] = parameters
  }

  return {
    ready: { version: krylovVersion(), sizes },
    /** @param {{ call: string }} request */
    handle: ({ call }) => sampleCall(calls, call, secondsPerCall),
  }
}
