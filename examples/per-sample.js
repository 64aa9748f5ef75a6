// Gradients of single samples: find mislabelled rows by the length of their gradients, and clip them while training.
//   node examples/per-sample.js
import { adam, createModel, createOptimizer, dense, linearize, softmaxCrossEntropy } from 'krylov'

// Two half moons, one label in fifty wrong.
const rows = 600
const inputs = []
const labels = []
const wrong = new Set()
for (let row = 0; row < rows; row++) {
  const moon = row % 2
  const angle = Math.PI * Math.random()
  const x = moon === 0 ? Math.cos(angle) : 1 - Math.cos(angle)
  const y = moon === 0 ? Math.sin(angle) : 0.4 - Math.sin(angle)
  inputs.push([x + 0.1 * (Math.random() - 0.5), y + 0.1 * (Math.random() - 0.5)])
  if (row % 50 === 0) wrong.add(row)
  labels.push(wrong.has(row) ? 1 - moon : moon)
}

const model = createModel({ inputs: 2, layers: [dense(24, 'tanh'), dense(24, 'tanh'), dense(2)], seed: 4 })
const loss = softmaxCrossEntropy()
const optimizer = createOptimizer(adam({ learningRate: 0.01 }), model.tensors)

// The step: scale each sample's gradient to at most `most`, then average. Weights c_i on the samples do both at once,
// since the gradient of Σ c_i l_i / N is Σ c_i g_i / N; so nothing of size N × P is made.
const most = 1
let parameters = model.parameters
for (let step = 0; step < 400; step++) {
  const point = linearize(model, { inputs, targets: labels }, loss)
  const norms = point.perSampleGradientNorms()
  point.dispose()
  const sampleWeights = norms.map((norm) => Math.min(1, most / Math.max(norm, 1e-12)))
  const clipped = linearize(model, { inputs, targets: labels, sampleWeights }, loss)
  parameters = optimizer.step(parameters, clipped.gradient())
  if (step % 100 === 0) console.log(`step ${step}  clipped loss ${clipped.loss.toFixed(4)}`)
  clipped.dispose()
  model.setParameters(parameters)
}

const point = linearize(model, { inputs, targets: labels }, loss)
const norms = point.perSampleGradientNorms()
const suspects = [...norms.keys()].sort((a, b) => norms[b] - norms[a]).slice(0, wrong.size)
const found = suspects.filter((row) => wrong.has(row)).length
console.log(`of the ${wrong.size} longest gradients, ${found} belong to the ${wrong.size} wrong labels`)

// The gradients themselves, of the longest one: a row of P numbers, with names.
const { data } = point.perSampleGradients({ first: suspects[0], count: 1 })
for (const [name, part] of Object.entries(model.views(data))) {
  console.log(`${name.padEnd(18)} ${Math.hypot(...part).toFixed(3)}`)
}
