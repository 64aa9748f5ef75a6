// @ts-check
// Learning-rate spikes on MNIST: Adam unprotected, with clipped gradients, and with steps within the softmax radius.

import { loadKrylov } from '../lib/krylov.js'
import { readMnist } from '../lib/mnist.js'
import { count, kMnistRows, readOptions } from '../lib/options.js'
import { writePage } from '../lib/page.js'
import { print, progress } from '../lib/results.js'
import { mean } from '../lib/statistics.js'
import { percent, table } from '../lib/table.js'

const kInputs = 784
const kBatch = 128
const kSpikes = 5
const kFactor = 10_000
const kLearningRate = 1e-3
/** Epochs before the first spike. */
const kCalm = 2
/** Test accuracies within the epoch of a spike. */
const kLooks = 6
const kClipNorm = 1

/** @param {number} seed a small generator for orders: Lehmer's, modulus 2^31 - 1 */
function shuffled(seed, /** @type {number} */ count) {
  let state = 1 + seed * 7919
  const order = Int32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    state = (state * 48_271) % 2_147_483_647
    const j = state % (i + 1)
    const kept = order[i] ?? 0
    order[i] = order[j] ?? 0
    order[j] = kept
  }
  return order
}

/** @param {Float32Array} values */
function norm(values) {
  let sum = 0
  for (const value of values) sum += value * value
  return Math.sqrt(sum)
}

/** @param {Float32Array} values @param {number} factor */
function scale(values, factor) {
  if (factor !== 1) for (let i = 0; i < values.length; i++) values[i] = (values[i] ?? 0) * factor
}

/** @typedef {'none' | 'clipping' | 'radius'} Protection */
/** @type {[Protection, string][]} */
const arms = [
  ['none', 'no protection'],
  ['clipping', `gradient clipped to norm ${kClipNorm}`],
  ['radius', 'softmax radius'],
]

/** @param {string[]} args */
export async function run(args) {
  const options = readOptions('softmax-radius', args, {
    seeds: count(3, 'runs of each arm'),
    rows: count(kMnistRows, 'training images', kMnistRows),
  })
  if (options === undefined) return
  const { seeds, rows } = options
  const krylov = await loadKrylov()
  const { train, test } = readMnist()
  const testData = { inputs: { data: test.inputs, shape: [test.rows, kInputs] }, targets: test.labels }
  const loss = krylov.softmaxCrossEntropy()
  const steps = Math.floor(rows / kBatch)

  /** @param {Protection} protection @param {number} seed */
  const one = async (protection, seed) => {
    const layers = [krylov.dense(128, 'tanh'), krylov.dense(10)]
    const model = krylov.createModel({ inputs: kInputs, layers, seed, dtype: 'float32' })
    const size = model.parameterCount
    const optimizer = krylov.createOptimizer(krylov.adam({ learningRate: kLearningRate }), [[size]])
    const zeros = new Float32Array(size)
    const gradient = new Float32Array(size)
    const update = new Float32Array(size)
    const inputs = new Float32Array(kBatch * kInputs)
    const labels = new Int32Array(kBatch)
    const parameters = model.parameters
    /** @type {{ before: number, directly: number, after: number, scale: number, norm: number }[]} */
    const spikes = []
    /** @type {[number, number][]} */
    const curve = []
    let scaled = 0
    let calm = 0
    const accuracy = async () => (await krylov.evaluate(model, testData, { loss })).accuracy
    let before = await accuracy()
    for (let epoch = 0; epoch < kCalm + kSpikes; epoch++) {
      const order = shuffled(1000 * seed + epoch, train.rows)
      for (let step = 0; step < steps; step++) {
        for (let i = 0; i < kBatch; i++) {
          const row = order[step * kBatch + i] ?? 0
          inputs.set(train.inputs.subarray(row * kInputs, (row + 1) * kInputs), i * kInputs)
          labels[i] = train.labels[row] ?? 0
        }
        const batch = { inputs: { data: inputs, shape: [kBatch, kInputs] }, targets: labels }
        const point = krylov.linearize(model, batch, loss)
        point.gradient(gradient)
        if (protection === 'clipping') scale(gradient, Math.min(1, kClipNorm / norm(gradient)))
        // Adam's update does not depend on the parameters: from zero it comes out unrounded.
        optimizer.step(zeros, gradient, update)
        const spike = step === 0 && epoch >= kCalm
        if (spike) scale(update, kFactor)
        let factor = 1
        if (protection === 'radius') {
          factor = krylov.softmaxRadius(point, update).scale
          scale(update, factor)
          if (!spike) {
            calm++
            scaled += factor < 1 ? 1 : 0
          }
        }
        point.dispose()
        for (let i = 0; i < size; i++) parameters[i] = (parameters[i] ?? 0) + (update[i] ?? 0)
        model.setParameters(parameters)
        if (spike) {
          const directly = await accuracy()
          spikes.push({ before, directly, after: Number.NaN, scale: factor, norm: norm(update) })
          curve.push([epoch + 1e-6, directly])
        } else if ((step + 1) % Math.ceil(steps / kLooks) === 0) {
          curve.push([epoch + (step + 1) / steps, await accuracy()])
        }
      }
      before = await accuracy()
      curve.push([epoch + 1, before])
      const last = spikes.at(-1)
      if (last !== undefined) last.after = before
    }
    const text = spikes.map(({ after }) => percent(after)).join(', ')
    progress(`  seed ${seed}, ${protection}: ${text}`)
    return { protection, seed, spikes, curve, scaledShare: calm === 0 ? undefined : scaled / calm }
  }

  const results = []
  for (let seed = 1; seed <= seeds; seed++) {
    for (const [protection] of arms) results.push(await one(protection, seed))
  }
  const summary = arms.map(([protection, name]) => {
    const own = results.filter((result) => result.protection === protection)
    const at = Array.from({ length: kSpikes }, (_, index) =>
      own.flatMap(({ spikes }) => spikes.slice(index, index + 1)),
    )
    const all = at.flat()
    return {
      protection,
      name,
      after: at.map((spikes) => mean(spikes.map(({ after }) => after))),
      directly: mean(all.map(({ directly }) => directly)),
      least: Math.min(...all.map(({ after }) => after)),
      kept: Math.min(...all.map(({ before, after }) => after / before)),
      stepNorm: mean(all.map(({ norm: length }) => length)),
    }
  })
  const body = table(
    [
      'protection',
      'before the first',
      'directly after',
      ...Array.from({ length: kSpikes }, (_, index) => `epoch after ${index + 1}`),
      'least of all',
      'least share kept',
      'norm of the step',
    ],
    summary.map(({ protection, name, after, directly, least, kept, stepNorm }) => [
      name,
      percent(mean(results.filter((r) => r.protection === protection).map(({ spikes }) => spikes[0]?.before ?? 0))),
      percent(directly),
      ...after.map(percent),
      percent(least),
      percent(kept),
      stepNorm.toPrecision(3),
    ]),
  )
  print(body)
  const share = mean(results.flatMap(({ scaledShare }) => (scaledShare === undefined ? [] : [scaledShare])))
  print(`Steps without a spike that the radius shortened: ${percent(share)}`)
  await writePage({
    name: 'softmax-radius',
    title: 'Learning-rate spikes and the softmax radius',
    command: `npm run experiment -- softmax-radius --seeds ${seeds} --rows ${rows}`,
    text: [
      `MNIST, 784-128-10 with tanh, float32, Adam with a learning rate of ${kLearningRate}, batches of ${kBatch}; ${steps} steps an`,
      `epoch. After ${kCalm} epochs, the update of the first step of each of ${kSpikes} epochs is multiplied by ${kFactor.toLocaleString('en-US')}. All`,
      'accuracies are of the 10 000 test images; those of one row are means over',
      `${seeds} ${seeds === 1 ? 'seed' : 'seeds'} (start and order of the data), and the least are over all spikes and seeds. The share kept is the accuracy`,
      'an epoch after a spike over that before it.',
      '',
      `- **gradient clipped**: the gradient is scaled to a norm of at most ${kClipNorm} before Adam sees it. Adam divides by the gradient’s own`,
      '  size, so that this bounds no step.',
      '- **softmax radius**: every update is scaled by `softmaxRadius(point, update).scale`, with the point of the step’s own',
      `  batch; Adam’s state is not touched. It shortened ${percent(share)} of the steps without a spike.`,
      '',
      body,
      '',
      '![accuracy]',
    ].join('\n'),
    charts: {
      accuracy: {
        title: 'Test accuracy, seed 1',
        xLabel: 'epoch',
        series: arms.map(([protection, name]) => ({
          name,
          points: results.find((result) => result.protection === protection)?.curve ?? [],
        })),
      },
    },
    figures: { seeds, rows, spikeFactor: kFactor, scaledShare: share, summary, results },
  })
}
