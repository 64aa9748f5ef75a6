// @ts-check
// EL2N scores on MNIST (Paul, Ganguli & Dziugaite 2021): do they find wrong labels, and what is lost when the easiest half
// of the images is left out?

import { uniform } from '../lib/data.js'
import { loadKrylov } from '../lib/krylov.js'
import { readMnist } from '../lib/mnist.js'
import { count, kMnistRows, readOptions } from '../lib/options.js'
import { writePage } from '../lib/page.js'
import { print, progress } from '../lib/results.js'
import { mean, standardDeviation } from '../lib/statistics.js'
import { percent, table } from '../lib/table.js'

const kInputs = 784
const kHidden = 256
const kClasses = 10
const kBatch = 128
const kLearningRate = 1e-3
/** Epoch at the end of which samples are scored, chosen before anything was looked at. */
const kScoreEpoch = 3
const kFlipped = 2000
const kShare = 0.05
const kKeep = 0.5
/** Epochs over the whole set; smaller sets take the same number of steps. */
const kEpochs = 15

/** @param {readonly number[]} values */
const spread = (values) => `${percent(mean(values))} ± ${(100 * standardDeviation(values)).toFixed(2)}`

/** `count` of 0..total-1, in random order. @param {number} total @param {number} count @param {() => number} next */
function choose(total, count, next) {
  const order = Uint32Array.from({ length: total }, (_, i) => i)
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(next() * (total - i))
    const kept = order[i] ?? 0
    order[i] = order[j] ?? 0
    order[j] = kept
  }
  return order.slice(0, count)
}

/** @param {string[]} args */
export async function run(args) {
  const options = readOptions('data-diet', args, {
    rows: count(kMnistRows, 'training images', kMnistRows),
    models: count(10, 'models that score'),
    seeds: count(5, 'runs of each arm'),
    epochs: count(kEpochs, 'epochs of a run'),
  })
  if (options === undefined) return
  const { rows, models, seeds, epochs } = options
  const krylov = await loadKrylov()
  const { train: mnist, test } = readMnist()
  const loss = krylov.softmaxCrossEntropy()
  const testData = { inputs: { data: test.inputs, shape: [test.rows, kInputs] }, targets: test.labels }
  const inputs = { data: mnist.inputs.subarray(0, rows * kInputs), shape: [rows, kInputs] }
  const clean = mnist.labels.slice(0, rows)
  const flippedCount = Math.round((kFlipped * rows) / 60_000)

  // Wrong labels: another class, each alike.
  const next = uniform(7)
  const flipped = choose(rows, flippedCount, next)
  const noisy = clean.slice()
  for (const row of flipped) noisy[row] = ((clean[row] ?? 0) + 1 + Math.floor(next() * (kClasses - 1))) % kClasses

  /** @param {number} seed */
  const network = (seed) =>
    krylov.createModel({
      inputs: kInputs,
      layers: [krylov.dense(kHidden, 'relu'), krylov.dense(kClasses)],
      seed,
      dtype: 'float32',
    })
  const optimizer = () => krylov.adam({ learningRate: kLearningRate })

  /** EL2N over models that differ in start and order. @param {Int32Array} targets @param {string} what */
  const score = async (targets, what) => {
    const data = { inputs, targets }
    /** @type {Float64Array[]} */
    const perModel = []
    for (let k = 0; k < models; k++) {
      const model = network(42 + k)
      await krylov.train(model, data, {
        loss,
        optimizer: optimizer(),
        batchSize: kBatch,
        epochs: kScoreEpoch,
        seed: 4242 + k,
      })
      perModel.push(krylov.scoreSamples(model, data, { score: 'el2n' }).scores)
      model.dispose()
      progress(`  ${what}: model ${k + 1} of ${models} scored`)
    }
    const average = new Float64Array(rows)
    for (const list of perModel) for (let i = 0; i < rows; i++) average[i] = (average[i] ?? 0) + (list[i] ?? 0) / models
    return { average, first: perModel[0] ?? average }
  }

  const wrong = new Set(flipped)
  /** Share of the flipped labels among the candidates. @param {Float64Array} scores @param {number} share */
  const found = (scores, share) => {
    /** @type {Uint32Array} */
    const candidates = krylov.noisyLabelCandidates(scores, { share })
    return candidates.filter((row) => wrong.has(row)).length / wrong.size
  }
  const noisyScores = await score(noisy, 'wrong labels')
  const kCurve = [0.01, 0.02, 0.03, 0.035, 0.04, 0.05, 0.075, 0.1]
  const detection = {
    all: found(noisyScores.average, kShare),
    one: found(noisyScores.first, kShare),
    curve: kCurve.map((share) => [share, found(noisyScores.average, share)]),
  }

  const { average } = await score(clean, 'pruning')
  const keep = Math.round(kKeep * rows)
  /** @type {[string, string, (seed: number) => Uint32Array | undefined][]} */
  const arms = [
    ['all', 'all images', () => undefined],
    ['hardest', 'without the easiest half', () => krylov.pruneByScore(average, { keep })],
    ['random', 'a random half', (seed) => choose(rows, keep, uniform(100 + seed)).sort()],
  ]
  /** @type {Record<string, number[]>} */
  const accuracies = {}
  for (const [id, , indices] of arms) {
    accuracies[id] = []
    for (let seed = 1; seed <= seeds; seed++) {
      const index = indices(seed)
      const whole = { inputs, targets: clean }
      const data = index === undefined ? whole : krylov.selectSamples(whole, index)
      const size = index === undefined ? rows : index.length
      const model = network(1000 + seed)
      await krylov.train(model, data, {
        loss,
        optimizer: optimizer(),
        batchSize: kBatch,
        epochs: Math.round((epochs * rows) / size),
        seed: 2000 + seed,
      })
      const { accuracy } = await krylov.evaluate(model, testData, { loss })
      accuracies[id].push(accuracy)
      model.dispose()
      progress(`  ${id}, seed ${seed}: ${percent(accuracy)}`)
    }
  }

  const detectionBody = table(
    ['samples looked at', 'flipped labels among them'],
    detection.curve.map(([share, part]) => [percent(share), percent(part)]),
  )
  const pruningBody = table(
    ['trained on', 'images', 'test accuracy', ...Array.from({ length: seeds }, (_, i) => `seed ${i + 1}`)],
    arms.map(([id, name]) => [
      name,
      (id === 'all' ? rows : keep).toLocaleString('en-US'),
      spread(accuracies[id] ?? []),
      ...(accuracies[id] ?? []).map((value) => `${(100 * value).toFixed(2)} %`),
    ]),
  )
  print(detectionBody)
  print(
    `top ${percent(kShare)}: ${percent(detection.all)} of the flipped labels; with one model ${percent(detection.one)}`,
  )
  print('')
  print(pruningBody)
  await writePage({
    name: 'data-diet',
    title: 'Scores of samples: wrong labels and pruning',
    command: `npm run experiment -- data-diet --rows ${rows} --models ${models} --seeds ${seeds} --epochs ${epochs}`,
    text: [
      `MNIST, 784-${kHidden}-10 with relu, float32, Adam with a learning rate of ${kLearningRate}, batches of ${kBatch}. Scores are EL2N,`,
      `‖softmax − onehot‖, after epoch ${kScoreEpoch}, the mean over ${models} models that differ in start and order of the data.`,
      '',
      '## Wrong labels',
      `${flippedCount.toLocaleString('en-US')} of the ${rows.toLocaleString('en-US')} labels are changed to another class, and the models are trained on that. Among the`,
      `${percent(kShare)} of the images with the largest scores are ${percent(detection.all)} of the changed labels; by the scores of one model, ${percent(detection.one)}.`,
      '',
      detectionBody,
      '',
      '![found]',
      '',
      '## Half of the images',
      `Networks trained anew for ${epochs} epochs of the whole set, or as many steps on half of it, with the labels as they are. Test accuracy on`,
      `10 000 images: mean and standard deviation of ${seeds} seeds.`,
      '',
      pruningBody,
    ].join('\n'),
    charts: {
      found: {
        title: 'Changed labels found among the largest scores',
        xLabel: 'share of the images',
        series: [{ name: 'EL2N', points: detection.curve }],
      },
    },
    figures: { rows, models, seeds, epochs, scoreEpoch: kScoreEpoch, flipped: flippedCount, detection, accuracies },
  })
}
