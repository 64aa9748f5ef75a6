// @ts-check
// Levenberg-Marquardt beside L-BFGS and Adam on three small noiseless regressions, float64, from the same start.

import { loadKrylov } from '../lib/krylov.js'
import { positive, readOptions } from '../lib/options.js'
import { writePage } from '../lib/page.js'
import { print, progress } from '../lib/results.js'
import { median } from '../lib/statistics.js'
import { figure, table } from '../lib/table.js'

const kTarget = 1e-6
const kRates = [0.001, 0.003, 0.01, 0.03]
const kStarts = [1, 2, 3, 4, 5]

/** @param {number} seed a small generator for data: Lehmer's, modulus 2^31 - 1 */
function uniform(seed) {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

/**
 * @param {number[][]} inputs
 * @param {(row: number[]) => number} f
 */
function problem(inputs, f) {
  const raw = inputs.map(f)
  const low = Math.min(...raw)
  const high = Math.max(...raw)
  const columns = inputs[0]?.length ?? 0
  return {
    inputs: { data: Float64Array.from(inputs.flat()), shape: [inputs.length, columns] },
    targets: {
      data: Float64Array.from(raw, (y) => (2 * (y - low)) / (high - low) - 1),
      shape: [inputs.length, 1],
    },
  }
}

/** Targets are scaled to [-1, 1]. */
function problems() {
  const random = uniform(7)
  /** @param {number} a @param {number} b */
  const peaks = (a, b) =>
    3 * (1 - a) ** 2 * Math.exp(-(a ** 2) - (b + 1) ** 2) -
    10 * (a / 5 - a ** 3 - b ** 5) * Math.exp(-(a ** 2) - b ** 2) -
    Math.exp(-((a + 1) ** 2) - b ** 2) / 3
  const grid = Array.from({ length: 25 }, (_, i) => -1 + i / 12)
  return [
    {
      name: 'sine',
      text: 'sin(πx) at 200 points of [−1, 1], 1-20-1',
      hidden: [20],
      data: problem(
        Array.from({ length: 200 }, (_, i) => [-1 + (2 * i) / 199]),
        ([x = 0]) => Math.sin(Math.PI * x),
      ),
    },
    {
      name: 'Friedman-1',
      text: '10 sin(πx₁x₂) + 20(x₃ − ½)² + 10x₄ + 5x₅ at 500 random points of the unit cube in ten dimensions, 10-20-1',
      hidden: [20],
      data: problem(
        Array.from({ length: 500 }, () => Array.from({ length: 10 }, random)),
        ([a = 0, b = 0, c = 0, d = 0, e = 0]) => 10 * Math.sin(Math.PI * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e,
      ),
    },
    {
      name: 'peaks',
      text: 'the sum of three bumps known as peaks on a grid of 25 × 25 over [−3, 3]², 2-16-16-1',
      hidden: [16, 16],
      data: problem(
        grid.flatMap((x) => grid.map((y) => [x, y])),
        ([x = 0, y = 0]) => peaks(3 * x, 3 * y),
      ),
    },
  ]
}

/** @param {string[]} args */
export async function run(args) {
  const options = readOptions('levenberg-marquardt', args, {
    seconds: positive(30, 'that a run has at most'),
  })
  if (options === undefined) return
  const { seconds: limit } = options
  const krylov = await loadKrylov()
  const rows = []
  /** @type {Record<string, any>} */
  const charts = {}
  for (const { name, text, hidden, data } of problems()) {
    const count = data.inputs.shape[0] ?? 0
    /** @param {string} label @param {any} optimizer @param {number} batchSize @param {number} start */
    const arm = async (label, optimizer, batchSize, start) => {
      const model = krylov.createModel({
        inputs: data.inputs.shape[1],
        layers: [...hidden.map((units) => krylov.dense(units, 'tanh')), krylov.dense(1)],
        seed: start,
        dtype: 'float64',
      })
      const controller = new AbortController()
      /** @type {[number, number][]} */
      const curve = []
      let reached = Number.NaN
      let best = Number.POSITIVE_INFINITY
      const begin = performance.now()
      const timer = setTimeout(() => controller.abort(), limit * 1000)
      const history = await krylov.train(model, data, {
        loss: krylov.meanSquaredError(),
        optimizer,
        batchSize,
        epochs: 10_000_000,
        signal: controller.signal,
        onEpoch: (/** @type {any} */ epoch) => {
          const seconds = (performance.now() - begin) / 1000
          best = Math.min(best, epoch.loss)
          const last = curve.at(-1)?.[0] ?? Number.NEGATIVE_INFINITY
          // Points that a chart can show: early ones all, later ones a percent of the time apart.
          if (seconds >= last * 1.01 || epoch.loss <= kTarget) curve.push([seconds, epoch.loss])
          if (epoch.loss <= kTarget && !controller.signal.aborted) {
            reached = seconds
            controller.abort()
          }
        },
      })
      clearTimeout(timer)
      progress(
        `  ${name}, start ${start}, ${label}: ${Number.isNaN(reached) ? `${best.toExponential(1)} at the end` : `${figure(reached)} s`}`,
      )
      return { problem: name, arm: label, seconds: reached, updates: history.updates, best, curve }
    }
    /** The other starts of an arm, and the medians; its curve is the first start's. @param {any} first @param {any} optimizer @param {number} batchSize */
    const repeated = async (first, optimizer, batchSize) => {
      const results = [first]
      for (const start of kStarts.slice(1)) results.push(await arm(first.arm, optimizer, batchSize, start))
      // A start that never gets there counts as slower than any that does.
      const seconds = results.map((result) =>
        Number.isNaN(result.seconds) ? Number.POSITIVE_INFINITY : result.seconds,
      )
      return {
        ...first,
        seconds: median(seconds),
        fastest: Math.min(...seconds),
        slowest: Math.max(...seconds),
        updates: median(results.map((result) => result.updates)),
        best: Math.min(...results.map((result) => result.best)),
      }
    }
    const [first = 1] = kStarts
    const kinds = [
      ...['nielsen', 'trainlm'].map((schedule) => ({
        label: `LM, ${schedule}`,
        optimizer: krylov.levenbergMarquardt({ schedule }),
      })),
      { label: 'L-BFGS', optimizer: krylov.lbfgs({ changeTolerance: 0, gradientTolerance: 0 }) },
    ]
    const arms = []
    // Once without counting: nobody pays for what the first call in a process compiles and loads.
    for (const { label, optimizer } of kinds) await arm(`${label}, not counted`, optimizer, count, first)
    for (const { label, optimizer } of kinds) {
      arms.push(await repeated(await arm(label, optimizer, count, first), optimizer, count))
    }
    let best
    for (const rate of kRates) {
      for (const batchSize of [count, 32]) {
        const optimizer = krylov.adam({ learningRate: rate })
        const result = await arm(`Adam ${rate}, batch ${batchSize}`, optimizer, batchSize, first)
        const better =
          best === undefined ||
          (Number.isNaN(best.result.seconds)
            ? !Number.isNaN(result.seconds) || result.best < best.result.best
            : result.seconds < best.result.seconds)
        if (better) best = { result, optimizer, batchSize }
      }
    }
    if (best !== undefined) arms.push(await repeated(best.result, best.optimizer, best.batchSize))
    rows.push(...arms.map((result) => ({ ...result, text })))
    charts[name.toLowerCase()] = {
      title: `${name}: mean squared error`,
      xLabel: 'seconds',
      log: true,
      series: arms.map(({ arm: label, curve }) => ({ name: label, points: curve })),
    }
  }
  const body = table(
    ['problem', 'method', `seconds to ${kTarget}`, 'fastest', 'slowest', 'updates', 'least error'],
    rows.map(({ problem: name, arm, seconds, fastest, slowest, updates, best }) => [
      name,
      arm,
      ...[seconds, fastest, slowest].map((value) =>
        Number.isFinite(value) ? value.toPrecision(2) : `not in ${limit}`,
      ),
      String(updates),
      best.toExponential(1),
    ]),
  )
  print(body)
  const described = problems().map(({ name, text }) => `- **${name}**: ${text}.`)
  await writePage({
    name: 'levenberg-marquardt',
    title: 'Levenberg-Marquardt, L-BFGS and Adam on small regressions',
    command: `npm run experiment -- levenberg-marquardt --seconds ${limit}`,
    text: [
      'Noiseless targets, scaled to [−1, 1]; tanh units, float64. The time runs from the call to `train` to the first epoch',
      `with a mean squared error of at most ${kTarget}: the median of ${kStarts.length} starts, the same for all methods, after one run`,
      'that is not counted; the fastest and the slowest start beside it. Curves are those of the first start. Of Adam that of',
      `learning rates ${kRates.join(', ')}, each with all rows and with batches of 32, is shown which is best on the first start.`,
      '',
      ...described,
      '',
      body,
      '',
      ...Object.keys(charts).flatMap((chart) => [`![${chart}]`, '']),
    ].join('\n'),
    charts,
    figures: { target: kTarget, limit, rows },
  })
}
