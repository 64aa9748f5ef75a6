// A CSV file to a regression: how hot is a cup of coffee after a while?
//   node examples/tabular.js
import { adam, createModel, datasetFromCsv, dense, evaluate, meanSquaredError, splitData, train } from 'krylov'

const file = new URL('data/coffee.csv', import.meta.url).pathname
const data = await datasetFromCsv(file, { target: 'temperature' })

const { train: training, validation: test } = splitData(data, { fraction: 0.2 })

// Columns in degrees, millimetres and minutes: bring each to mean 0 and deviation 1, as the training rows have them.
// Both parts are views of data.inputs, so one pass changes both.
const [rows, columns] = data.inputs.shape
for (let column = 0; column < columns; column++) {
  const seen = training.inputs.data.filter((_, index) => index % columns === column)
  const mean = seen.reduce((sum, value) => sum + value, 0) / seen.length
  const deviation = Math.sqrt(seen.reduce((sum, value) => sum + (value - mean) ** 2, 0) / seen.length)
  for (let row = 0; row < rows; row++) {
    const index = row * columns + column
    data.inputs.data[index] = (data.inputs.data[index] - mean) / deviation
  }
}

const model = createModel({ inputs: columns, layers: [dense(32, 'tanh'), dense(32, 'tanh'), dense(1)], seed: 7 })
const loss = meanSquaredError()
const history = await train(model, training, {
  loss,
  optimizer: adam({ learningRate: 0.003 }),
  epochs: 1000,
  validation: { fraction: 0.2 },
  metrics: ['r2'],
  earlyStopping: { patience: 40 },
})
console.log(`${history.epochs.length} epochs, the best was ${history.bestEpoch}`)

const { r2, meanAbsoluteError } = await evaluate(model, test, { loss, metrics: ['r2', 'meanAbsoluteError'] })
console.log(`unseen cups: R² ${r2.toFixed(3)}, ${meanAbsoluteError.toFixed(2)} degrees off on average`)

const first = model.predict(test.inputs).data[0].toFixed(1)
console.log(`the first of them: ${first} degrees, measured ${test.targets.data[0].toFixed(1)}`)
