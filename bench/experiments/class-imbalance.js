// @ts-check
// One class in a hundred: focal weights against plain training, by average precision.

import { loadKrylov } from '../lib/krylov.js'
import { uniform } from '../lib/labels.js'
import { readMnist } from '../lib/mnist.js'
import { count, kMnistRows, readOptions } from '../lib/options.js'
import { writePage } from '../lib/page.js'
import { print, progress } from '../lib/results.js'
import { mean, standardDeviation } from '../lib/statistics.js'
import { table } from '../lib/table.js'

const kInputs = 784
const kBatch = 128
const kDigit = 5
const kRatio = 100
const kLearningRate = 1e-3

/**
 * Area under precision over recall, in steps at the positives; every positive counts `weight` beside a negative's 1, so
 * that all positives may be used at another share than their own. Of equal scores the negatives come first.
 *
 * @param {ArrayLike<number>} scores
 * @param {readonly boolean[]} positive
 * @param {number} weight
 */
function averagePrecision(scores, positive, weight) {
  const order = Array.from(positive, (_, i) => i).sort(
    (a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || Number(positive[a]) - Number(positive[b]),
  )
  let [hits, misses, sum] = [0, 0, 0]
  for (const i of order) {
    if (positive[i]) {
      hits += weight
      sum += hits / (hits + misses)
    } else misses++
  }
  return (sum * weight) / hits
}

/** @param {string[]} args */
export async function run(args) {
  const options = readOptions('class-imbalance', args, {
    seeds: count(5, 'runs of each arm'),
    rows: count(kMnistRows, 'training images', kMnistRows),
    epochs: count(10, 'epochs of a run'),
  })
  if (options === undefined) return
  const { seeds, rows, epochs } = options
  const krylov = await loadKrylov()
  const { train, test } = readMnist()
  /** @type {[string, any][]} */
  const arms = [
    ['plain', undefined],
    ['focalWeights', krylov.focalWeights()],
    ["focalWeights, normalize 'mean'", krylov.focalWeights({ normalize: 'mean' })],
    ['focalLossWeights', krylov.focalLossWeights()],
    ["focalLossWeights, normalize 'mean'", krylov.focalLossWeights({ normalize: 'mean' })],
    ['tiltedWeights', krylov.tiltedWeights()],
    ['hardExampleWeights', krylov.hardExampleWeights()],
  ]
  const testInputs = { data: test.inputs, shape: [test.rows, kInputs] }
  const positive = Array.from(test.labels, (label) => label === kDigit)
  const positives = positive.filter(Boolean).length
  const weight = (test.rows - positives) / kRatio / positives

  /** All negatives among the first rows, and a hundredth as many positives, drawn by the seed. @param {number} seed */
  const select = (seed) => {
    const next = uniform(seed)
    const [yes, no] = [/** @type {number[]} */ ([]), /** @type {number[]} */ ([])]
    for (let row = 0; row < rows; row++) (train.labels[row] === kDigit ? yes : no).push(row)
    const drawn = yes
      .map((row) => ({ row, key: next() }))
      .sort((a, b) => a.key - b.key)
      .slice(0, Math.max(1, Math.round(no.length / kRatio)))
      .map(({ row }) => row)
    return [...no, ...drawn].sort((a, b) => a - b)
  }

  /** @type {{ name: string, seed: number, curve: number[], last: number, best: number }[]} */
  const results = []
  for (let seed = 1; seed <= seeds; seed++) {
    const chosen = select(seed)
    const data = new Float32Array(chosen.length * kInputs)
    for (const [i, row] of chosen.entries()) {
      data.set(train.inputs.subarray(row * kInputs, (row + 1) * kInputs), i * kInputs)
    }
    const inputs = { data, shape: [chosen.length, kInputs] }
    const targets = {
      data: Float32Array.from(chosen, (row) => Number(train.labels[row] === kDigit)),
      shape: [chosen.length, 1],
    }
    for (const [name, weights] of arms) {
      const layers = [krylov.dense(128, 'relu'), krylov.dense(1)]
      const model = krylov.createModel({ inputs: kInputs, layers, seed, dtype: 'float32' })
      const options = {
        loss: krylov.binaryCrossEntropy(),
        optimizer: krylov.adam({ learningRate: kLearningRate }),
        batchSize: kBatch,
        seed,
        ...(weights === undefined ? {} : { weights }),
      }
      /** @type {number[]} */
      const curve = []
      let resume
      // An epoch at a time, so that the test images are looked at in between; the run is the same to the bit.
      for (let epoch = 1; epoch <= epochs; epoch++) {
        const part = krylov.train(
          model,
          { inputs, targets },
          { ...options, epochs: epoch, ...(resume ? { resume } : {}) },
        )
        await part
        resume = part.state()
        curve.push(averagePrecision(model.predict(testInputs).data, positive, weight))
      }
      const last = curve.at(-1) ?? Number.NaN
      progress(`  seed ${seed}, ${name}: ${last.toFixed(4)}`)
      results.push({ name, seed, curve, last, best: Math.max(...curve) })
    }
  }

  const summary = arms.map(([name, weights]) => {
    const own = results.filter((result) => result.name === name)
    const last = own.map((result) => result.last)
    const best = own.map((result) => result.best)
    return {
      name,
      weights: weights ?? null,
      last: mean(last),
      lastSpread: standardDeviation(last),
      best: mean(best),
      bestSpread: standardDeviation(best),
      curve: Array.from({ length: epochs }, (_, epoch) => mean(own.map(({ curve }) => curve[epoch] ?? 0))),
    }
  })
  const body = table(
    ['weights', 'last epoch', 'best epoch'],
    summary.map((row) => [
      row.name,
      `${row.last.toFixed(4)} ± ${row.lastSpread.toFixed(4)}`,
      `${row.best.toFixed(4)} ± ${row.bestSpread.toFixed(4)}`,
    ]),
  )
  print(body)
  await writePage({
    name: 'class-imbalance',
    title: 'One class in a hundred, and focal weights',
    command: `npm run experiment -- class-imbalance --seeds ${seeds} --rows ${rows} --epochs ${epochs}`,
    text: [
      `Is it a ${kDigit}? Of the first ${rows.toLocaleString('en-US')} MNIST training images all others, and one ${kDigit} for ${kRatio} of them, drawn by the seed.`,
      `784-128-1 with relu, float32, binary cross-entropy, Adam with a learning rate of ${kLearningRate}, batches of ${kBatch}, ${epochs} epochs.`,
      `Average precision on the 10 000 test images, with every ${kDigit} weighted so that they too are one to ${kRatio}: mean and`,
      `standard deviation over ${seeds} ${seeds === 1 ? 'seed' : 'seeds'} (start, order and the images drawn).`,
      '',
      body,
      '',
      '![precision]',
    ].join('\n'),
    charts: {
      precision: {
        title: 'Average precision, mean over seeds',
        xLabel: 'epoch',
        series: summary.map(({ name, curve }) => ({
          name,
          points: curve.map((value, epoch) => [epoch + 1, value]),
        })),
      },
    },
    figures: { seeds, rows, epochs, digit: kDigit, ratio: kRatio, summary, results },
  })
}
