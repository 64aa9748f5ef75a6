// The spectrum of the Hessian while a network trains: its density, its largest eigenvalues and its trace at several
// epochs, printed and drawn to krylov-spectrum/density.svg.
//   node examples/spectrum-through-training.js
import { mkdir } from 'node:fs/promises'
import {
  createModel,
  createTrainer,
  dense,
  eigenpairs,
  linearize,
  meanSquaredError,
  sgd,
  spectralDensity,
  trace,
  writeChart,
} from 'krylov'

// A wave over two inputs, 400 samples, learnt by gradient descent on all of them. Numbers of our own, so that every run
// draws the same picture.
const golden = (Math.sqrt(5) - 1) / 2
const inputs = Array.from({ length: 400 }, (_, i) => [i / 200 - 1, 2 * ((i * golden) % 1) - 1])
const targets = inputs.map(([x, y]) => [Math.sin(3 * x) * Math.cos(2 * y)])
const batch = { inputs, targets }

const model = createModel({
  inputs: 2,
  layers: [dense(24, 'tanh'), dense(24, 'tanh'), dense(1)],
  seed: 1,
  dtype: 'float64',
})
const loss = meanSquaredError()
const learningRate = 0.1
const trainer = createTrainer(model, { loss, optimizer: sgd({ learningRate }) })

// One axis for all: from λ = -1 to beyond the largest, bell curves of width 0.05 around each eigenvalue.
const deviation = 0.05
const grid = Float64Array.from({ length: 600 }, (_, i) => -2 + (26 * i) / 599)
const moments = [0, 100, 1000, 5000, 20_000]
const series = []
console.log(`${model.parameterCount} parameters; gradient descent is stable below an eigenvalue of ${2 / learningRate}`)
for (let epoch = 0; epoch <= moments.at(-1); epoch++) {
  if (moments.includes(epoch)) {
    const point = linearize(model, batch, loss)
    const hessian = point.hessian()
    const top = await eigenpairs(hessian, { count: 3 })
    const bottom = await eigenpairs(hessian, { which: 'smallest' })
    const { value, standardError } = await trace(hessian, { probes: 200, tolerance: 0.02 })
    const { density } = await spectralDensity(hessian, { probes: 10, steps: 80, grid, kernelVariance: deviation ** 2 })
    const lambdas = [...top.values].map((x) => x.toFixed(3)).join(', ')
    console.log(
      `epoch ${epoch}: loss ${point.loss.toFixed(6)}, largest ${lambdas}, smallest ${bottom.values[0].toFixed(3)}, ` +
        `trace ${value.toFixed(2)} ± ${standardError.toFixed(2)}`,
    )
    series.push({
      name: `epoch ${epoch}`,
      points: [...grid].map((x, i) => [x, density[i] > 1e-5 ? density[i] : Number.NaN]),
    })
  }
  trainer.step(batch)
}
trainer.dispose()

await mkdir('krylov-spectrum', { recursive: true })
await writeChart('krylov-spectrum/density.svg', {
  title: 'Density of the eigenvalues of the Hessian',
  xLabel: 'eigenvalue',
  log: true,
  series,
  marker: { x: 2 / learningRate, label: '2 / learning rate' },
  width: 1000,
  height: 400,
})
console.log('wrote krylov-spectrum/density.svg')
