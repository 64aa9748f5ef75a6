// Loops of one's own, in two ways: a trainer that steps on batches of our choice, and an update rule without a network.
//   node examples/own-loop.js
import { adam, classicalMomentum, cosine, createModel, createOptimizer, createTrainer, dense, huber } from 'krylov'

// 1. A curriculum: narrow inputs first, wider ones later. No epochs and no data set, each batch is made for its step.
const steps = 2000
const batch = (width) => {
  const inputs = Array.from({ length: 64 }, () => [width * (2 * Math.random() - 1)])
  return { inputs, targets: inputs.map(([x]) => [Math.sin(3 * x) * Math.exp(-x * x)]) }
}
const model = createModel({ inputs: 1, layers: [dense(32, 'silu'), dense(32, 'silu'), dense(1)], seed: 2 })
const trainer = createTrainer(model, {
  loss: huber({ delta: 0.1 }),
  optimizer: adam({ learningRate: cosine({ learningRate: 0.01 }) }),
  totalSteps: steps,
})
for (let step = 1; step <= steps; step++) {
  const width = 0.5 + (1.5 * step) / steps
  const { loss, learningRate, finite } = trainer.step(batch(width))
  if (!finite) throw new Error(`step ${step} left the finite numbers`)
  if (step % 400 === 0) console.log(`step ${step}  width ${width.toFixed(2)}  rate ${learningRate.toFixed(5)}  ${loss}`)
}
trainer.dispose()
for (const x of [-1, 0.4, 1.2]) {
  const said = model.predict([x]).data[0]
  console.log(`f(${x}) = ${(Math.sin(3 * x) * Math.exp(-x * x)).toFixed(3)}, the network says ${said.toFixed(3)}`)
}

// 2. A chain of springs comes to rest: any function with a gradient will do.
const links = 40
const gradient = (height) => {
  const slope = new Float64Array(links)
  for (let i = 0; i < links; i++) {
    const left = i === 0 ? 0 : height[i - 1]
    const right = i === links - 1 ? 0 : height[i + 1]
    slope[i] = 2 * height[i] - left - right + 0.01 // springs, and weight
  }
  return slope
}
const rule = classicalMomentum({ learningRate: 0.2, momentum: 0.97, nesterov: 'lookahead' })
const optimizer = createOptimizer(rule, [[links]], { dtype: 'float64' })
let height = new Float64Array(links)
for (let k = 0; k < 1500; k++) {
  // Nesterov's rule wants the gradient where the momentum leads.
  height = optimizer.step(height, gradient(optimizer.evaluationPoint(height)))
}
const middle = links / 2
console.log(`the chain hangs ${(-Math.min(...height)).toFixed(4)} deep, by theory ${0.005 * middle * (middle + 1)}`)
