// One network, two answers: from a noisy wave its shape (a class) and its frequency (a number).
//   node examples/multi-task.js
import { adam, createModel, dense, evaluate, meanSquaredError, softmaxCrossEntropy, train } from 'krylov'

const shapes = ['sine', 'square', 'saw']
const waves = {
  sine: (phase) => Math.sin(2 * Math.PI * phase),
  square: (phase) => (phase % 1 < 0.5 ? 1 : -1),
  saw: (phase) => 2 * (phase % 1) - 1,
}

/** Waves of 48 points each, of random shape, frequency and phase. */
function record(count) {
  const inputs = []
  const targets = { shape: [], frequency: [] }
  for (let sample = 0; sample < count; sample++) {
    const shape = Math.floor(shapes.length * Math.random())
    const frequency = 1 + 3 * Math.random()
    const start = Math.random()
    const wave = waves[shapes[shape]]
    inputs.push(Array.from({ length: 48 }, (_, i) => wave(start + (frequency * i) / 48) + 0.1 * (Math.random() - 0.5)))
    targets.shape.push(shape)
    targets.frequency.push(frequency)
  }
  return { inputs, targets }
}

const model = createModel({
  inputs: 48,
  layers: [dense(96, 'relu'), dense(64, 'relu')],
  heads: { shape: [dense(shapes.length)], frequency: [dense(16, 'relu'), dense(1)] },
  seed: 1,
})
// The total loss is the sum of both; the weight brings them to about the same size.
const loss = { shape: softmaxCrossEntropy(), frequency: { loss: meanSquaredError(), weight: 2 } }
const metrics = { shape: ['accuracy'], frequency: ['rootMeanSquaredError'] }

await train(model, record(6000), {
  loss,
  optimizer: adam({ learningRate: 2e-3 }),
  batchSize: 64,
  epochs: 30,
  validation: { fraction: 0.1 },
  metrics,
  onEpoch: ({ epoch, validation }) => {
    if (epoch % 5 > 0) return
    const { shape, frequency } = validation.heads
    console.log(
      `epoch ${epoch}  shape ${shape.accuracy.toFixed(3)}  frequency ±${frequency.rootMeanSquaredError.toFixed(3)}`,
    )
  },
})

const { heads } = await evaluate(model, record(1000), { loss, metrics })
console.log(`new waves: ${(100 * heads.shape.accuracy).toFixed(1)} % of shapes right`)
console.log(`frequency ±${heads.frequency.rootMeanSquaredError.toFixed(3)} of 1 to 4`)

const one = record(1)
const said = model.predict(one.inputs, { output: 'class' }).shape[0]
console.log(`a ${shapes[one.targets.shape[0]]} was taken for a ${shapes[said]}`)
