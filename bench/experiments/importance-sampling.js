// @ts-check
// How much less the gradient of a batch varies when it is drawn by importance, against uniform batches of equal cost, at
// several points of a training on MNIST (Katharopoulos & Fleuret 2018).

import { uniform } from '../lib/data.js'
import { loadKrylov } from '../lib/krylov.js'
import { readMnist } from '../lib/mnist.js'
import { count, kMnistRows, positive, readOptions } from '../lib/options.js'
import { writePage } from '../lib/page.js'
import { print, progress } from '../lib/results.js'
import { median } from '../lib/statistics.js'
import { figure, table } from '../lib/table.js'

const kInputs = 784
const kHidden = 128
const kBatch = 128
const kPresample = 3
const kPoints = [0, 1, 3, 10]
/** Rows that are looked at together. */
const kChunk = 1000
const kLearningRate = 1e-3

/** @typedef {'upperBound' | 'gradientNorm' | 'loss'} Score */
/** Passes over the pool in forward passes; a backward pass costs two. @type {[Score, string, number][]} */
const kScores = [
  ['upperBound', 'upper bound', 1],
  ['gradientNorm', 'gradient norm', 2],
  ['loss', 'loss', 1],
]

/** @param {ArrayLike<number>} values */
function sum(values) {
  let total = 0
  for (let i = 0; i < values.length; i++) total += values[i] ?? 0
  return total
}

/** Draws by probabilities, with replacement. @param {Float64Array} p @param {number} count @param {() => number} next */
function draw(p, count, next) {
  const sums = new Float64Array(p.length)
  let total = 0
  for (let i = 0; i < p.length; i++) sums[i] = total += p[i] ?? 0
  return Uint32Array.from({ length: count }, () => {
    const at = next() * total
    let low = 0
    let high = p.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] ?? 0) > at) high = middle
      else low = middle + 1
    }
    return low
  })
}

/** @param {string[]} args */
export async function run(args) {
  const options = readOptions('importance-sampling', args, {
    rows: count(kMnistRows, 'training images', kMnistRows),
    draws: count(400, 'batches that a variance is taken from'),
    seed: count(1, 'of the start and the draws'),
    seconds: positive(5, 'of timing for each score'),
  })
  if (options === undefined) return
  const { rows, draws, seed, seconds: timing } = options
  const krylov = await loadKrylov()
  const { train: mnist } = readMnist()
  const loss = krylov.softmaxCrossEntropy()
  const data = {
    inputs: { data: mnist.inputs.subarray(0, rows * kInputs), shape: [rows, kInputs] },
    targets: mnist.labels.subarray(0, rows),
  }
  const spec = {
    inputs: kInputs,
    layers: [krylov.dense(kHidden, 'relu'), krylov.dense(10)],
    seed,
    dtype: 'float32',
  }
  const model = krylov.createModel(spec)
  const next = uniform(1000 + seed)
  const pool = kPresample * kBatch

  /** @param {ArrayLike<number>} index @param {Float64Array} [weights] */
  const batchOf = (index, weights) => {
    const inputs = new Float32Array(index.length * kInputs)
    const targets = new Int32Array(index.length)
    for (let i = 0; i < index.length; i++) {
      const row = index[i] ?? 0
      inputs.set(mnist.inputs.subarray(row * kInputs, (row + 1) * kInputs), i * kInputs)
      targets[i] = mnist.labels[row] ?? 0
    }
    const batch = { inputs: { data: inputs, shape: [index.length, kInputs] }, targets }
    return weights === undefined ? batch : { ...batch, sampleWeights: weights }
  }

  /** Every sample's scores and the whole set's gradient. */
  const look = () => {
    /** @type {Record<Score, Float64Array>} */
    const scores = {
      upperBound: krylov.scoreSamples(model, data, { score: 'el2n' }).scores,
      gradientNorm: new Float64Array(rows),
      loss: new Float64Array(rows),
    }
    const gradient = new Float64Array(model.parameterCount)
    for (let first = 0; first < rows; first += kChunk) {
      const size = Math.min(kChunk, rows - first)
      const point = krylov.linearize(model, batchOf(Uint32Array.from({ length: size }, (_, i) => first + i)), loss)
      scores.gradientNorm.set(point.perSampleGradientNorms(), first)
      scores.loss.set(point.lossPerSample, first)
      const own = point.gradient()
      for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i] ?? 0) + ((own[i] ?? 0) * size) / rows
      point.dispose()
    }
    return { scores, gradient }
  }

  /** A batch's rows and weights. @param {Float64Array | undefined} scores uniform without */
  const drawBatch = (scores) => {
    const from = Uint32Array.from({ length: scores === undefined ? kBatch : pool }, () => Math.floor(next() * rows))
    if (scores === undefined) return { index: from, weights: undefined }
    const p = krylov.importanceProbabilities(Float64Array.from(from, (row) => scores[row] ?? 0))
    const picked = draw(p, kBatch, next)
    return { index: picked.map((i) => from[i] ?? 0), weights: krylov.importanceWeights(p, picked) }
  }

  /** Mean squared distance of a batch's gradient from the whole one, its standard error, and the bias. */
  const measure = (/** @type {Float64Array | undefined} */ scores, /** @type {Float64Array} */ whole) => {
    const mean = new Float64Array(whole.length)
    const squares = []
    for (let k = 0; k < draws; k++) {
      const { index, weights } = drawBatch(scores)
      const point = krylov.linearize(model, batchOf(index, weights), loss)
      const own = point.gradient()
      point.dispose()
      let square = 0
      for (let i = 0; i < whole.length; i++) {
        square += ((own[i] ?? 0) - (whole[i] ?? 0)) ** 2
        mean[i] = (mean[i] ?? 0) + (own[i] ?? 0) / draws
      }
      squares.push(square)
    }
    const variance = sum(squares) / draws
    const error = Math.sqrt(sum(squares.map((square) => (square - variance) ** 2)) / (draws - 1) / draws)
    let bias = 0
    for (let i = 0; i < whole.length; i++) bias += ((mean[i] ?? 0) - (whole[i] ?? 0)) ** 2
    // Of an unbiased estimate the squared distance of the mean is the variance over the number of draws.
    return { variance, error, biasRatio: (bias * draws) / variance }
  }

  /** Seconds of an update, in turns. @param {number} limit */
  const secondsOfStep = async (limit) => {
    const few = Math.min(rows, 100 * kBatch)
    const part = krylov.selectSamples(
      data,
      Uint32Array.from({ length: few }, (_, i) => i),
    )
    /** @type {[string, unknown][]} */
    const arms = [
      ['uniform', krylov.shuffledSampling()],
      ...kScores.map(
        ([by]) =>
          /** @type {[string, unknown]} */ ([
            by,
            krylov.importanceSampling({ by, presample: kPresample, startThreshold: 0 }),
          ]),
      ),
    ]
    /** @type {Map<string, number[]>} */
    const times = new Map(arms.map(([name]) => [name, []]))
    const end = performance.now() + 1000 * limit
    while (performance.now() < end || (times.get('uniform')?.length ?? 0) < 3) {
      for (const [name, sampling] of arms) {
        const copy = krylov.createModel(spec)
        copy.setParameters(model.parameters)
        const history = await krylov.train(copy, part, {
          loss,
          optimizer: krylov.adam({ learningRate: kLearningRate }),
          sampling,
          batchSize: kBatch,
          epochs: 1,
        })
        times.get(name)?.push(history.seconds / history.updates)
        copy.dispose()
      }
    }
    return new Map([...times].map(([name, list]) => [name, median(list)]))
  }

  const results = []
  let epochs = 0
  /** @type {any} */
  let state
  for (const point of kPoints) {
    if (point > epochs) {
      const training = krylov.train(model, data, {
        loss,
        optimizer: krylov.adam({ learningRate: kLearningRate }),
        batchSize: kBatch,
        epochs: point,
        seed,
        ...(state === undefined ? {} : { resume: state }),
      })
      await training
      state = training.state()
      epochs = point
    }
    const { scores, gradient } = look()
    const seconds = await secondsOfStep(timing)
    const plain = measure(undefined, gradient)
    const squares = sum(scores.gradientNorm.map((norm) => norm * norm)) / rows
    // Exact: of a uniform batch of b.
    const exact = (squares - sum(gradient.map((value) => value * value))) / kBatch
    const tau = krylov.importanceTau(krylov.importanceProbabilities(scores.gradientNorm))
    for (const [by, name, passes] of kScores) {
      const own = measure(scores[by], gradient)
      const costInPasses = (passes * pool + 3 * kBatch) / (3 * kBatch)
      const costInSeconds = (seconds.get(by) ?? Number.NaN) / (seconds.get('uniform') ?? Number.NaN)
      // A uniform batch of equal cost is larger by that factor, and varies less by it.
      const perPasses = plain.variance / own.variance / costInPasses
      const perSeconds = plain.variance / own.variance / costInSeconds
      results.push({
        epoch: point,
        by,
        name,
        plain,
        exact,
        tau,
        own,
        costInPasses,
        costInSeconds,
        perPasses,
        perSeconds,
      })
      progress(`  epoch ${point}, ${name}: variance ${figure(own.variance / plain.variance)} of uniform`)
    }
  }
  const body = table(
    [
      'epochs',
      'score',
      'variance / uniform',
      'cost in passes',
      'gain at equal passes',
      'cost in seconds',
      'gain at equal seconds',
      'bias test',
    ],
    results.map(({ epoch, name, own, plain, costInPasses, costInSeconds, perPasses, perSeconds }) => [
      String(epoch),
      name,
      `${figure(own.variance / plain.variance)} ± ${figure(
        (own.variance / plain.variance) * Math.hypot(own.error / own.variance, plain.error / plain.variance),
      )}`,
      figure(costInPasses),
      figure(perPasses),
      figure(costInSeconds),
      figure(perSeconds),
      figure(own.biasRatio),
    ]),
  )
  const uniformBody = table(
    ['epochs', 'variance of a uniform batch, measured', 'from norms', 'τ of the gradient norms', 'bias test'],
    results
      .filter(({ by }) => by === 'upperBound')
      .map(({ epoch, plain, exact, tau }) => [
        String(epoch),
        `${plain.variance.toPrecision(3)} ± ${plain.error.toPrecision(1)}`,
        exact.toPrecision(3),
        figure(tau),
        figure(plain.biasRatio),
      ]),
  )
  print(uniformBody)
  print('')
  print(body)
  await writePage({
    name: 'importance-sampling',
    title: 'Importance sampling at equal cost',
    command: `npm run experiment -- importance-sampling --rows ${rows} --draws ${draws} --seed ${seed}`,
    text: [
      `MNIST, 784-${kHidden}-10 with relu, float32, ${rows.toLocaleString('en-US')} images, Adam with a learning rate of ${kLearningRate},`,
      `batches of b = ${kBatch}. At the start and after some epochs the gradient of ${draws} batches is compared with that of the`,
      'whole set: the variance is the mean squared distance, with its standard error. By importance, a pool of',
      `B = ${pool} images is drawn uniformly and scored, and the batch is drawn from it in proportion to the scores, with weights`,
      '1/(B p). A uniform batch is drawn with replacement; its variance also follows from the norms of all samples’ gradients',
      'exactly, (mean ‖g‖² − ‖ḡ‖²)/b.',
      '',
      uniformBody,
      '',
      'Equal cost means a larger uniform batch. In passes a step of importance costs (c B + 3 b)/(3 b) uniform ones, c = 1 for',
      'scores by a forward pass and 2 for gradient norms, a backward pass costing two forward ones. In seconds it is the time',
      'of an update of `train` over that of a shuffled one, medians of runs in turns. The gain is the variance of the uniform',
      'batch of that cost over that of importance: above 1 importance sampling pays.',
      '',
      body,
      '',
      'The bias test is the squared distance of the mean of all gradients from the whole one, over what it is in the mean for an',
      'unbiased estimate, the variance over the number of draws: 1, up to its own spread.',
      '',
      '![gain]',
    ].join('\n'),
    charts: {
      gain: {
        title: 'Variance of a uniform batch of equal cost in passes over that of importance',
        xLabel: 'epochs',
        series: kScores.map(([by, name]) => ({
          name,
          points: results.filter((result) => result.by === by).map(({ epoch, perPasses }) => [epoch, perPasses]),
        })),
      },
    },
    figures: { rows, draws, seed, batch: kBatch, pool, results },
  })
}
