// @ts-check
// Three tasks on MNIST by every method for several tasks: the digit, its parity, and how much ink there is, which the
// digit has no use for.

import { loadKrylov } from '../lib/krylov.js'
import { readMnist } from '../lib/mnist.js'
import { count, kMnistRows, readOptions } from '../lib/options.js'
import { writePage } from '../lib/page.js'
import { print, progress } from '../lib/results.js'
import { mean } from '../lib/statistics.js'
import { figure, percent, table } from '../lib/table.js'

const kInputs = 784
const kBatch = 128
const kTrunk = 8
const kInkClasses = 4
const kLearningRate = 1e-3
/** Every so many steps the cosines are looked at. */
const kLook = 5
const kTasks = /** @type {const} */ (['digit', 'parity', 'ink'])
const kPairs = ['digit.parity', 'digit.ink', 'parity.ink']

/** @param {Float32Array} inputs @param {number} rows */
function inkOf(inputs, rows) {
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0
    for (let i = row * kInputs; i < (row + 1) * kInputs; i++) sum += inputs[i] ?? 0
    return sum
  })
}

/** @param {string[]} args */
export async function run(args) {
  const options = readOptions('multi-task', args, {
    seeds: count(3, 'runs of each arm'),
    epochs: count(3, 'epochs of a run'),
    rows: count(kMnistRows, 'training images', kMnistRows),
  })
  if (options === undefined) return
  const { seeds, epochs, rows } = options
  const krylov = await loadKrylov()
  const mnist = readMnist()
  const ink = inkOf(mnist.train.inputs, mnist.train.rows)
  const sorted = ink.toSorted()
  // Quartiles of the training images.
  const edges = Array.from({ length: kInkClasses - 1 }, (_, i) => sorted[((i + 1) * sorted.length) / kInkClasses] ?? 0)
  const inkClass = (/** @type {number} */ amount) => edges.filter((edge) => amount >= edge).length
  /** @param {{ rows: number, inputs: Float32Array, labels: Int32Array }} part @param {number} count */
  const dataOf = (part, count) => ({
    inputs: { data: part.inputs.subarray(0, count * kInputs), shape: [count, kInputs] },
    targets: {
      digit: part.labels.slice(0, count),
      parity: part.labels.slice(0, count).map((label) => label % 2),
      ink: Int32Array.from(inkOf(part.inputs, count), inkClass),
    },
  })
  const data = dataOf(mnist.train, rows)
  const validation = dataOf(mnist.test, mnist.test.rows)
  const loss = Object.fromEntries(kTasks.map((task) => [task, krylov.softmaxCrossEntropy()]))

  /** @type {[string, object][]} */
  const arms = [
    ['summed loss', {}],
    ...krylov.taskMethodKinds.map((/** @type {string} */ kind) => [kind, { multitask: { kind } }]),
  ]
  // GCond has a momentum of its own.
  const optimizerFor = (/** @type {string} */ name) =>
    krylov.adam({ learningRate: kLearningRate, ...(name === 'gCond' ? { beta1: 0 } : {}) })

  /** @param {string} name @param {object} options @param {number} seed */
  const one = async (name, options, seed) => {
    const heads = { digit: [krylov.dense(10)], parity: [krylov.dense(2)], ink: [krylov.dense(kInkClasses)] }
    const model = krylov.createModel({ inputs: kInputs, layers: [krylov.dense(kTrunk, 'relu')], heads, seed })
    /** @type {Record<string, number[]>} */
    const cosines = Object.fromEntries(kPairs.map((pair) => [pair, []]))
    const history = await krylov.train(model, data, {
      loss,
      ...options,
      optimizer: optimizerFor(name),
      batchSize: kBatch,
      epochs,
      seed,
      validation,
      onStep: {
        every: kLook,
        callback: (/** @type {any} */ { numbers }) => {
          for (const pair of kPairs) {
            const cosine = numbers?.[`cosine.${pair}`]
            if (cosine !== undefined) cosines[pair]?.push(cosine)
          }
        },
      },
    })
    const last = history.epochs.at(-1)
    const accuracies = kTasks.map((task) => last.validation.heads[task].accuracy)
    progress(`  seed ${seed}, ${name}: ${accuracies.map(percent).join(', ')}`)
    return {
      name,
      seed,
      reason: history.reason,
      accuracies,
      losses: kTasks.map((task) => last.validation.heads[task].loss),
      conflictShare: last.numbers?.conflictShare ?? Number.NaN,
      microseconds: (history.seconds * 1e6) / history.updates,
      pairs: kPairs.map((pair) => {
        const seen = cosines[pair] ?? []
        return { pair, mean: mean(seen), negative: seen.filter((cosine) => cosine < 0).length / seen.length }
      }),
    }
  }

  const results = []
  for (let seed = 1; seed <= seeds; seed++) {
    for (const [name, options] of arms) results.push(await one(name, options, seed))
  }
  const summary = arms.map(([name]) => {
    const own = results.filter((result) => result.name === name)
    const accuracies = kTasks.map((_, task) => mean(own.map((result) => result.accuracies[task] ?? Number.NaN)))
    return {
      name,
      accuracies,
      mean: mean(accuracies),
      conflictShare: mean(own.map(({ conflictShare }) => conflictShare)),
      microseconds: mean(own.map(({ microseconds }) => microseconds)),
      pairs: kPairs.map((pair, i) => ({
        pair,
        mean: mean(own.map(({ pairs }) => pairs[i]?.mean ?? Number.NaN)),
        negative: mean(own.map(({ pairs }) => pairs[i]?.negative ?? Number.NaN)),
      })),
    }
  })
  const shown = (/** @type {number} */ share) => (Number.isNaN(share) ? '-' : percent(share))
  const body = table(
    ['method', ...kTasks, 'mean', 'pairs in conflict', 'µs a step'],
    summary.map(({ name, accuracies, mean: whole, conflictShare, microseconds }) => [
      name,
      ...accuracies.map(percent),
      percent(whole),
      shown(conflictShare),
      figure(microseconds),
    ]),
  )
  const sums = summary.find(({ name }) => name === 'weightedSum')?.pairs ?? []
  const conflicts = table(
    ['pair', 'mean cosine', 'in conflict'],
    sums.map(({ pair, mean: cosine, negative }) => [pair.replace('.', ' and '), cosine.toFixed(3), percent(negative)]),
  )
  print(body)
  print(conflicts)
  await writePage({
    name: 'multi-task',
    title: 'Three tasks on MNIST',
    command: `npm run experiment -- multi-task --seeds ${seeds} --epochs ${epochs} --rows ${rows}`,
    text: [
      `784-${kTrunk} with relu, which the tasks share, and a dense head for each; Adam with a learning rate of ${kLearningRate}, batches`,
      `of ${kBatch}, ${epochs} epochs of ${rows} images, float32. The tasks are the digit (10 classes), its parity (2), and the quartile of`,
      'the sum of the pixels (4), which says little of the digit: a unit that serves one of them gets in the way of the other.',
      `Accuracies are of the 10 000 test images, means over ${seeds} ${seeds === 1 ? 'seed' : 'seeds'}; every method has its default options,\nand Adam its own, but for \`gCond\`, which has a momentum itself: beta1 is 0 there.`,
      '',
      body,
      '',
      '`summed loss` is training without the option `multitask`, `weightedSum` the same sum made of the tasks’ gradients. A pair is',
      'in conflict where the cosine of its gradients is negative, of all pairs in all steps. The time is that of the steps',
      'alone, on all processors; methods took turns within a seed.',
      '',
      `The pairs by themselves, in the runs of \`weightedSum\` (looked at every ${kLook} steps):`,
      '',
      conflicts,
    ].join('\n'),
    figures: { seeds, epochs, rows, trunk: kTrunk, inkEdges: edges, summary, results },
  })
}
