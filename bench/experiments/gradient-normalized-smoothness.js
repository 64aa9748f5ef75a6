// @ts-check
// The linear rate of gradient-normalised smoothness on logistic and softmax regression, float64.

import { loadKrylov } from '../lib/krylov.js'
import { readMnist } from '../lib/mnist.js'
import { count, readOptions } from '../lib/options.js'
import { writePage } from '../lib/page.js'
import { print, progress } from '../lib/results.js'
import { mean } from '../lib/statistics.js'
import { table } from '../lib/table.js'

const kL2 = 1e-3
/** Rates are fitted where the gap is between these shares of its first value. */
const kFit = [1e-2, 1e-8]

/** @param {number} seed a small generator for data: Lehmer's, modulus 2^31 - 1 */
function uniform(seed) {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

/** @param {() => number} random one number of a normal distribution, by Box and Muller */
function normal(random) {
  return Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random())
}

/** @param {number} rows @param {number} columns @param {() => number} random */
function normalRows(rows, columns, random) {
  return Array.from({ length: rows }, () => Float64Array.from({ length: columns }, () => normal(random)))
}

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
function dot(a, b) {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0)
  return sum
}

/** @param {Float64Array} out @param {ArrayLike<number>} a @param {number} factor out += factor · a */
function add(out, a, factor) {
  for (let i = 0; i < out.length; i++) out[i] = (out[i] ?? 0) + factor * (a[i] ?? 0)
}

/** @typedef {{ name: string, text: string, start: Float64Array, least: number, curvatures: [string, any][] }} Problem */

/** Mean of log(1 + exp(−y a·x)) + ½ l2 ‖x‖² over random rows, a tenth of the labels wrong. */
function logistic() {
  const random = uniform(11)
  const [rows, columns] = [500, 40]
  const truth = Float64Array.from({ length: columns }, () => normal(random))
  const a = normalRows(rows, columns, random)
  const y = a.map((row) => Math.sign(dot(row, truth)) * (random() < 0.1 ? -1 : 1))
  /** @param {ArrayLike<number>} x */
  const margins = (x) => a.map((row, i) => (y[i] ?? 0) * dot(row, x))
  /** @param {number} z */
  const sigmoid = (z) => 1 / (1 + Math.exp(-z))
  /** @param {Float64Array} x */
  const value = (x) =>
    margins(x).reduce((sum, z) => sum + Math.max(0, -z) + Math.log1p(Math.exp(-Math.abs(z))), 0) / rows +
    (kL2 / 2) * dot(x, x)
  /** @param {Float64Array} x @param {Float64Array} gradient */
  const valueAndGradient = (x, gradient) => {
    gradient.fill(0)
    margins(x).forEach((z, i) => {
      add(gradient, a[i] ?? [], (-(y[i] ?? 0) * sigmoid(-z)) / rows)
    })
    add(gradient, x, kL2)
    return value(x)
  }
  /** @param {(z: number) => number} weight of a row in H = mean weight a aᵀ + l2 */
  const product = (weight) => (/** @type {any} */ x, /** @type {any} */ v, /** @type {Float64Array} */ out) => {
    out.fill(0)
    margins(x).forEach((z, i) => {
      add(out, a[i] ?? [], (weight(z) * dot(a[i] ?? [], v)) / rows)
    })
    add(out, v, kL2)
  }
  const shared = { value, valueAndGradient }
  return {
    name: 'logistic',
    text: `logistic regression on ${rows} generated rows of ${columns} normal numbers, a tenth of the labels wrong, l2 = ${kL2}; by \`minimize\``,
    start: new Float64Array(columns),
    least: Number.POSITIVE_INFINITY,
    curvatures: [
      ['Hessian', { ...shared, ggnProduct: product((z) => sigmoid(z) * sigmoid(-z)) }],
      ['empirical Fisher', { ...shared, ggnProduct: product((z) => sigmoid(-z) ** 2) }],
    ],
  }
}

/** μ log Σ exp((a·x − b)/μ) with rows moved so that its gradient at 0 is 0: the least value is that of 0. */
function logSumExp() {
  const random = uniform(5)
  const [rows, columns, mu] = [400, 50, 0.5]
  const a = normalRows(rows, columns, random)
  const b = Float64Array.from({ length: rows }, () => normal(random))
  /** @param {ArrayLike<number>} x */
  const parts = (x) => {
    const z = a.map((row, i) => (dot(row, x) - (b[i] ?? 0)) / mu)
    const top = Math.max(...z)
    const exp = z.map((value) => Math.exp(value - top))
    const sum = exp.reduce((total, value) => total + value, 0)
    return { p: exp.map((value) => value / sum), value: mu * (top + Math.log(sum)) }
  }
  const start = new Float64Array(columns)
  const moved = new Float64Array(columns)
  const { p: weights, value: least } = parts(start)
  a.forEach((row, i) => {
    add(moved, row, weights[i] ?? 0)
  })
  for (const row of a) add(row, moved, -1)
  /** @param {Float64Array} x @param {Float64Array} gradient */
  const valueAndGradient = (x, gradient) => {
    const { p, value } = parts(x)
    gradient.fill(0)
    a.forEach((row, i) => {
      add(gradient, row, p[i] ?? 0)
    })
    return value
  }
  /** @param {boolean} exact less the gradient's own part, or weighted Gauss-Newton */
  const product = (exact) => (/** @type {any} */ x, /** @type {any} */ v, /** @type {Float64Array} */ out) => {
    const { p } = parts(x)
    out.fill(0)
    const slopes = a.map((row) => dot(row, v))
    const middle = exact ? dot(p, slopes) : 0
    a.forEach((row, i) => {
      add(out, row, ((p[i] ?? 0) * ((slopes[i] ?? 0) - middle)) / mu)
    })
  }
  const shared = { valueAndGradient, value: (/** @type {any} */ x) => parts(x).value }
  return {
    name: 'log-sum-exp',
    text: `μ log Σ exp((aᵢ·x − bᵢ)/μ), μ = ${mu}, of ${rows} generated rows and ${columns} variables, moved so that the least value is that of x = 0; by \`minimize\` from x = (1, …, 1)`,
    start: new Float64Array(columns).fill(1),
    least,
    curvatures: [
      ['Hessian', { ...shared, ggnProduct: product(true) }],
      ['weighted Gauss-Newton', { ...shared, ggnProduct: product(false) }],
    ],
  }
}

/**
 * Slope of log10 of the gap over the iterations within kFit, by least squares, as a factor an iteration.
 *
 * @param {readonly number[]} gaps
 */
function rateOf(gaps) {
  const first = gaps[0] ?? Number.NaN
  const points = gaps
    .map((gap, iteration) => /** @type {const} */ ([iteration, Math.log(gap / first)]))
    .filter(([, y]) => y <= Math.log(kFit[0] ?? 0) && y >= Math.log(kFit[1] ?? 0))
  const [x, y] = [mean(points.map(([at]) => at)), mean(points.map(([, at]) => at))]
  const across = points.reduce((sum, [at]) => sum + (at - x) ** 2, 0)
  const slope = points.reduce((sum, [at, height]) => sum + (at - x) * (height - y), 0) / across
  const rest = points.reduce((sum, [at, height]) => sum + (height - y - slope * (at - x)) ** 2, 0)
  const total = points.reduce((sum, [, height]) => sum + (height - y) ** 2, 0)
  // The last step between gaps that are no rounding errors.
  const sound = gaps.filter((gap) => gap > 1e-12 * first)
  const lastFactor = (sound.at(-1) ?? Number.NaN) / (sound.at(-2) ?? Number.NaN)
  return { rate: Math.exp(slope), determination: 1 - rest / total, count: points.length, lastFactor }
}

/** @param {readonly number[]} gaps without what is rounding only, after the first gap of its size */
function shownPoints(gaps) {
  const end = gaps.findIndex((gap) => gap <= 1e-14 * (gaps[0] ?? 0))
  return gaps.slice(0, end < 0 ? gaps.length : end + 1).map((gap, iteration) => [iteration, gap])
}

/** @param {string[]} args */
export async function run(args) {
  const options = readOptions('gradient-normalized-smoothness', args, {
    rows: count(1000, 'samples'),
    iterations: count(1000, 'iterations at most'),
  })
  if (options === undefined) return
  const { rows, iterations: maxIterations } = options
  const krylov = await loadKrylov()
  /** Values of an arm, iteration by iteration, the start first. */
  /** @type {{ problem: string, arm: string, values: number[], least: number }[]} */
  const results = []

  for (const { name, start, least, curvatures } of [logistic(), logSumExp()]) {
    for (const [arm, problem] of curvatures) {
      const optimizer = krylov.gradientNormalizedSmoothness({ curvature: 'ggn', gradientTolerance: 1e-8 })
      const losses = [problem.value(start)]
      const end = await krylov.minimize(problem, start, optimizer, {
        maxIterations,
        onIteration: (/** @type {any} */ iteration) => losses.push(iteration.value),
      })
      progress(`  ${name}, ${arm}: ${end.value} after ${end.iterations} (${end.reason} ${end.converged ?? ''})`)
      results.push({ problem: name, arm, values: losses, least })
    }
    // The tight run that f* is taken from, where it is not known.
    const [, problem] = curvatures[0] ?? []
    const tight = await krylov.minimize(problem, start, krylov.newtonCG({ curvature: 'ggn', gradientTolerance: 1e-13 }))
    for (const result of results) {
      if (result.problem === name) result.least = Math.min(result.least, tight.value)
    }
  }

  const { train } = readMnist()
  const every = Math.floor(train.rows / rows)
  const chosen = Array.from({ length: rows }, (_, i) => i * every)
  const data = {
    inputs: {
      data: Float64Array.from(chosen.flatMap((row) => Array.from(train.inputs.subarray(row * 784, (row + 1) * 784)))),
      shape: [rows, 784],
    },
    targets: Int32Array.from(chosen, (row) => train.labels[row] ?? 0),
  }
  /** @param {any} optimizer @param {number} updates */
  const softmax = (optimizer, updates) => {
    const layers = [krylov.dense(10, 'identity', { weightInitialiser: 'zeros' })]
    const model = krylov.createModel({ inputs: 784, layers, dtype: 'float64' })
    const trainer = krylov.createTrainer(model, { loss: krylov.softmaxCrossEntropy(), l2: kL2, optimizer })
    const losses = []
    for (let update = 0; update <= updates; update++) {
      // The loss of a step is that before its update.
      const { loss, converged } = trainer.step(data)
      losses.push(loss)
      if (converged !== undefined) break
    }
    trainer.dispose()
    return losses
  }
  const tight = softmax(krylov.newtonCG({ curvature: 'ggn', gradientTolerance: 1e-11 }), 100)
  for (const [arm, curvature] of [
    ['Gauss-Newton', 'ggn'],
    ['empirical Fisher', 'empiricalFisher'],
  ]) {
    const optimizer = krylov.gradientNormalizedSmoothness({ curvature, gradientTolerance: 1e-8 })
    const losses = softmax(optimizer, maxIterations)
    progress(`  softmax, ${arm}: ${losses.at(-1)} after ${losses.length - 1}`)
    results.push({ problem: 'softmax', arm: arm ?? '', values: losses, least: Math.min(...tight) })
  }

  for (const name of new Set(results.map(({ problem }) => problem))) {
    const own = results.filter(({ problem }) => problem === name)
    const least = Math.min(...own.flatMap((result) => [result.least, ...result.values]))
    for (const result of own) result.least = least
  }
  const shown = results.map(({ problem, arm, values: losses, least }) => {
    const gaps = losses.map((loss) => loss - least)
    const reached = gaps.findIndex((gap) => gap <= 1e-8 * (gaps[0] ?? 0))
    return { problem, arm, gaps, least, reached, ...rateOf(gaps) }
  })
  const body = table(
    ['problem', 'curvature', 'factor', 'R² of the line', 'its points', 'last factor', 'iterations to 10⁻⁸'],
    shown.map(({ problem, arm, rate, determination, count, lastFactor, reached }) => [
      problem,
      arm,
      rate.toFixed(3),
      determination.toFixed(3),
      String(count),
      lastFactor.toPrecision(2),
      reached < 0 ? `not in ${maxIterations}` : String(reached),
    ]),
  )
  print(body)
  const charts = Object.fromEntries(
    [...new Set(shown.map(({ problem }) => problem))].map((problem) => [
      problem,
      {
        title: `${problem}: f − f*`,
        xLabel: 'iteration',
        log: true,
        series: shown
          .filter((result) => result.problem === problem)
          .map(({ arm, gaps }) => ({ name: arm, points: shownPoints(gaps) })),
      },
    ]),
  )
  await writePage({
    name: 'gradient-normalized-smoothness',
    title: 'The linear rate of gradient-normalised smoothness',
    command: `npm run experiment -- gradient-normalized-smoothness --rows ${rows} --iterations ${maxIterations}`,
    text: [
      'Convex problems in float64, the defaults of `gradientNormalizedSmoothness`. f* is the least value that any run found,',
      'a tight run of `newtonCG` included; of log-sum-exp it is known. The factor is that of the line through log(f − f*) by',
      `least squares, over the iterations whose gap is between ${kFit[0]} and ${kFit[1]} of the first; the last factor is that of one`,
      'iteration, above rounding. Where the curvature equals the Hessian at the minimum (Hessian, Gauss-Newton and weighted',
      'Gauss-Newton here), the factors fall towards the end and the line only bounds them; with the empirical Fisher matrix,',
      'which does not, the rate stays linear.',
      '',
      ...[logistic(), logSumExp()].map(({ name, text }) => `- **${name}**: ${text}.`),
      `- **softmax**: softmax regression, 784-10, on ${rows} rows of MNIST, l2 = ${kL2}; by \`createTrainer\`, all rows an update.`,
      '',
      body,
      '',
      ...Object.keys(charts).flatMap((chart) => [`![${chart}]`, '']),
    ].join('\n'),
    charts,
    figures: { fit: kFit, shown },
  })
}
