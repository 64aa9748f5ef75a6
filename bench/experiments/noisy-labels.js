// @ts-check
// MNIST with wrong labels: plain training against every rule of sample weights.

import { loadKrylov } from '../lib/krylov.js'
import { withWrongLabels } from '../lib/labels.js'
import { readMnist } from '../lib/mnist.js'
import { count, kMnistRows, readOptions } from '../lib/options.js'
import { writePage } from '../lib/page.js'
import { print, progress } from '../lib/results.js'
import { mean, standardDeviation } from '../lib/statistics.js'
import { percent, table } from '../lib/table.js'

const kInputs = 784
const kBatch = 128
const kNoise = 0.4
const kLearningRate = 1e-3
/** Epochs over which rules that begin without effect reach their strength. */
const kRise = 10

/**
 * The arms: each rule as it is, but for those that would keep an untrained network from learning at all.
 *
 * @param {any} krylov
 * @param {number} steps of an epoch
 * @returns {[string, any][]}
 */
function arms(krylov, steps) {
  /** @param {number} from @param {number} to */
  const rising = (from, to) =>
    krylov.linear({ learningRate: from, endLearningRate: to, totalSteps: Math.max(1, kRise * steps) })
  return [
    ['plain', undefined],
    ['focalWeights', krylov.focalWeights()],
    ['focalLossWeights', krylov.focalLossWeights()],
    ['generalizedCrossEntropyWeights', krylov.generalizedCrossEntropyWeights()],
    ['truncatedCrossEntropyWeights, k 0 to 0.5', krylov.truncatedCrossEntropyWeights({ k: rising(0, 0.5) })],
    ['huberizedCrossEntropyWeights, tau 2', krylov.huberizedCrossEntropyWeights({ tau: 2 })],
    ['inverseLossWeights, offset 0.1', krylov.inverseLossWeights({ offset: 0.1 })],
    ['confidenceWeights', krylov.confidenceWeights()],
    ['tiltedWeights', krylov.tiltedWeights()],
    ['lossThresholdWeights, 5 to 1', krylov.lossThresholdWeights({ threshold: rising(5, 1) })],
    ['hardExampleWeights', krylov.hardExampleWeights()],
    [`smallLossWeights, 0 to ${kNoise}`, krylov.smallLossWeights({ forgetRate: rising(0, kNoise) })],
  ]
}

/** @param {string[]} args */
export async function run(args) {
  const options = readOptions('noisy-labels', args, {
    seeds: count(3, 'runs of each arm'),
    rows: count(kMnistRows, 'training images', kMnistRows),
    epochs: count(20, 'epochs of a run'),
  })
  if (options === undefined) return
  const { seeds, rows, epochs } = options
  const krylov = await loadKrylov()
  const { train, test } = readMnist()
  const inputs = { data: train.inputs.subarray(0, rows * kInputs), shape: [rows, kInputs] }
  const validation = { inputs: { data: test.inputs, shape: [test.rows, kInputs] }, targets: test.labels }
  const all = arms(krylov, Math.ceil(rows / kBatch))

  /** @type {{ name: string, seed: number, accuracies: number[], last: number, best: number, seconds: number }[]} */
  const results = []
  for (let seed = 1; seed <= seeds; seed++) {
    const targets = withWrongLabels(train.labels.subarray(0, rows), 10, kNoise, seed)
    for (const [name, weights] of all) {
      const layers = [krylov.dense(256, 'relu'), krylov.dense(256, 'relu'), krylov.dense(10)]
      const model = krylov.createModel({ inputs: kInputs, layers, seed, dtype: 'float32' })
      const history = await krylov.train(
        model,
        { inputs, targets },
        {
          loss: krylov.softmaxCrossEntropy(),
          optimizer: krylov.adam({ learningRate: kLearningRate }),
          batchSize: kBatch,
          epochs,
          seed,
          validation,
          ...(weights === undefined ? {} : { weights }),
        },
      )
      model.dispose?.()
      const accuracies = history.epochs.map((/** @type {any} */ epoch) => epoch.validation.accuracy)
      const last = accuracies.at(-1) ?? Number.NaN
      const result = { name, seed, accuracies, last, best: Math.max(...accuracies), seconds: history.seconds }
      progress(`  seed ${seed}, ${name}: ${percent(last)} (best ${percent(result.best)})`)
      results.push(result)
    }
  }

  const plain = mean(results.filter(({ name }) => name === 'plain').map(({ last }) => last))
  const summary = all.map(([name, weights]) => {
    const own = results.filter((result) => result.name === name)
    const last = own.map((result) => result.last)
    const best = own.map((result) => result.best)
    return {
      name,
      weights: weights ?? null,
      last: mean(last),
      lastSpread: standardDeviation(last),
      gain: mean(last) - plain,
      best: mean(best),
      bestSpread: standardDeviation(best),
      secondsPerEpoch: mean(own.map(({ seconds }) => seconds)) / epochs,
      curve: Array.from({ length: epochs }, (_, epoch) => mean(own.map(({ accuracies }) => accuracies[epoch] ?? 0))),
    }
  })
  /** @param {number} value @param {number} deviation */
  const withSpread = (value, deviation) => `${percent(value)} ± ${(100 * deviation).toFixed(2)}`
  /** @param {number} gain */
  const points = (gain) => `${gain < 0 ? '−' : '+'}${Math.abs(100 * gain).toFixed(1)}`
  const body = table(
    ['weights', 'last epoch', 'points over plain', 'best epoch', 'seconds an epoch'],
    summary.map((row) => [
      row.name,
      withSpread(row.last, row.lastSpread),
      points(row.gain),
      withSpread(row.best, row.bestSpread),
      row.secondsPerEpoch.toFixed(2),
    ]),
  )
  print(body)
  await writePage({
    name: 'noisy-labels',
    title: 'Wrong labels and weights of samples',
    command: `npm run experiment -- noisy-labels --seeds ${seeds} --rows ${rows} --epochs ${epochs}`,
    text: [
      `MNIST, the first ${rows.toLocaleString('en-US')} training images; ${percent(kNoise)} of their labels are replaced by one of the other nine, each`,
      `as likely. 784-256-256-10 with relu, float32, Adam with a learning rate of ${kLearningRate}, batches of ${kBatch}, ${epochs} epochs for all;`,
      'the test labels are right. Accuracies are of the 10 000 test images: mean and standard deviation over',
      `${seeds} ${seeds === 1 ? 'seed' : 'seeds'} (start, order and noise). The best epoch is chosen on the test images themselves, and shows what stopping`,
      'in time could give; the last epoch is what training ends with.',
      '',
      `Rules have their defaults but where the name says otherwise. Schedules run over the first ${kRise} epochs: an untrained`,
      'network has p near 0.1 and losses near 2.3, and rules that refuse those would never begin.',
      '',
      body,
      '',
      '![accuracy]',
    ].join('\n'),
    charts: {
      accuracy: {
        title: 'Test accuracy, mean over seeds',
        xLabel: 'epoch',
        series: summary.map(({ name, curve }) => ({
          name: name.split(',')[0],
          points: curve.map((accuracy, epoch) => [epoch + 1, accuracy]),
        })),
      },
    },
    figures: { seeds, rows, epochs, noise: kNoise, summary, results },
  })
}
