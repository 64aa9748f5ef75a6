// Whole tasks for the second-order methods, on data that could be anyone's.
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import type { Matrix, MinimizerOption, TrainingData } from '../src/index.js'
import {
  adahessian,
  adam,
  bfgs,
  createModel,
  createTrainer,
  datasetFromCsv,
  dense,
  diagonalNewton,
  eigenpairs,
  evaluate,
  gradientNormalizedSmoothness,
  hessianFree,
  kfac,
  krylovSubspaceDescent,
  lbfgs,
  levenbergMarquardt,
  linearize,
  matmat,
  meanSquaredError,
  minimize,
  minimizerKinds,
  newtonCG,
  newtonMR,
  nonlinearConjugateGradient,
  saddleFreeNewton,
  softmaxCrossEntropy,
  sophia,
  spectralDensity,
  stochasticLbfgs,
  trace,
  train,
} from '../src/index.js'
import { classData, random, regressionData } from './support/data.js'
import { logistic } from './support/functions.js'
import { tridiagonalEigenvalues, tridiagonalForm } from './support/tridiagonal.js'

const squares = meanSquaredError()

describe('spectral density of a Gauss-Newton matrix of about 1 000 parameters', async () => {
  const rows = 50
  const model = createModel({ inputs: 2, layers: [dense(30, 'tanh'), dense(27, 'tanh'), dense(3)], dtype: 'float64' })
  const batch = classData(rows)
  const loss = softmaxCrossEntropy()
  await train(model, batch, { loss, optimizer: adam({ learningRate: 0.01 }), epochs: 20 })
  using point = linearize(model, batch, loss)
  const ggn = point.ggn()
  const n = model.parameterCount
  const identity = new Float64Array(n * n)
  for (let i = 0; i < n; i++) identity[i * n + i] = 1
  const { data } = matmat(ggn, identity)
  const matrix = Array.from({ length: n }, (_, i) => data.slice(i * n, (i + 1) * n))
  const squaredNorm = data.reduce((sum, x) => sum + x * x, 0)
  const diagonal = matrix.map((row, i) => row[i] as number)
  const eigenvalues = tridiagonalEigenvalues(tridiagonalForm(matrix))
  const largest = eigenvalues.at(-1) as number

  test('the dense eigenvalues are those of the matrix', () => {
    expect(n).toBeGreaterThan(900)
    expect(n).toBeLessThan(1100)
    const sum = diagonal.reduce((total, x) => total + x, 0)
    expect(Math.abs(eigenvalues.reduce((total, x) => total + x, 0) / sum - 1)).toBeLessThan(1e-10)
    expect(Math.abs(eigenvalues.reduce((total, x) => total + x * x, 0) / squaredNorm - 1)).toBeLessThan(1e-10)
    // Rank: two logits' worth a sample.
    expect(eigenvalues.filter((x) => x > 1e-12 * largest).length).toBeLessThanOrEqual(2 * rows)
  })

  test('the density', async () => {
    const probes = 16
    // More steps than distinct eigenvalues: each probe's measure is exact, and only the probes are random.
    const { grid, density, kernelVariance, weights, nodes, reason } = await spectralDensity(ggn, {
      probes,
      steps: 2 * rows + 20,
    })
    expect(reason).toBe('converged')
    const spacing = (grid[1] as number) - (grid[0] as number)
    const height = 1 / Math.sqrt(2 * Math.PI * kernelVariance)
    const kernel = (t: number, lambda: number) => height * Math.exp(-((t - lambda) ** 2) / (2 * kernelVariance))
    let [exactMass, error, bound] = [0, 0, 0]
    const exact = grid.map((t) => {
      let [sum, squared] = [0, 0]
      for (const lambda of eigenvalues) {
        const at = kernel(t, lambda)
        sum += at
        squared += at * at
      }
      // With M = kernel(t − B), zᵀMz of random signs has the variance 2 Σ_{i≠j} M_ij² ≤ 2‖M‖²: so does each point's
      // error, over n² probes, and the mean of an error is at most its deviation.
      bound += (Math.sqrt((2 * squared) / probes) / n) * spacing
      exactMass += (sum / n) * spacing
      return sum / n
    })
    exact.forEach((value, i) => {
      error += Math.abs(value / exactMass - (density[i] as number)) * spacing
    })
    expect(bound).toBeLessThan(0.1)
    expect(error).toBeLessThan(bound)
    // vᵀBv of each probe, whose variance is known as well.
    const traces = nodes.map((of, p) => n * of.reduce((sum, node, i) => sum + node * (weights[p]?.[i] as number), 0))
    const mean = traces.reduce((sum, value) => sum + value, 0) / probes
    const variance = 2 * (squaredNorm - diagonal.reduce((sum, x) => sum + x * x, 0))
    const truth = diagonal.reduce((sum, x) => sum + x, 0)
    expect(Math.abs(mean - truth)).toBeLessThan(4 * Math.sqrt(variance / probes))
    expect(Math.abs(Math.max(...nodes.map((of) => of.at(-1) as number)) / largest - 1)).toBeLessThan(1e-10)
  })

  test('largest eigenvalue and trace', async () => {
    const { values, residuals } = await eigenpairs(ggn, { count: 3 })
    values.forEach((value, i) => {
      const error = Math.abs(value - (eigenvalues.at(-1 - i) as number))
      expect(error).toBeLessThanOrEqual((residuals[i] as number) + 1e-12 * largest)
    })
    const truth = diagonal.reduce((sum, x) => sum + x, 0)
    const probes = 100
    const { value, standardError } = await trace(ggn, { probes })
    const deviation = Math.sqrt((2 * (squaredNorm - diagonal.reduce((sum, x) => sum + x * x, 0))) / probes)
    expect(Math.abs(value - truth)).toBeLessThan(4 * deviation)
    expect(standardError / deviation).toBeGreaterThan(0.5)
    expect(standardError / deviation).toBeLessThan(2)
  })
})

/** Friedman's first function on the unit cube, scaled to deviation 1 about 14.4, with noise of deviation 1 before. */
function friedman(rows: number) {
  const next = random(5)
  const inputs = Array.from({ length: rows }, () => Array.from({ length: 10 }, next))
  const targets = inputs.map(([a = 0, b = 0, c = 0, d = 0, e = 0]) => {
    const noise = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
    return [(10 * Math.sin(Math.PI * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e + noise - 14.4) / 5]
  })
  return { inputs, targets }
}

describe('regression', () => {
  test('Hessian-free in float32 gets as far as in float64', async () => {
    const data = friedman(1000)
    const end = async (dtype: 'float32' | 'float64') => {
      const model = createModel({ inputs: 10, layers: [dense(64, 'tanh'), dense(64, 'tanh'), dense(1)], dtype })
      // With l2 both have settled by then; on the way down the same number of updates compares little.
      const l2 = 3e-3
      await train(model, data, { loss: squares, optimizer: hessianFree(), l2, epochs: 40 })
      return (await evaluate(model, data, { loss: squares, l2 })).loss
    }
    const double = await end('float64')
    const single = await end('float32')
    // Variance 1 before; l2 and noise are most of what is left.
    expect(double).toBeLessThan(0.12)
    expect(single).toBeLessThanOrEqual(1.01 * double)
  })

  // Biases of their own, as one would choose them for a curve: zeros reach it too, in about twice the updates.
  test.each(['trainlm', 'nielsen'] as const)('Levenberg-Marquardt, %s, fits a sine to 1e-10', async (schedule) => {
    const inputs = Array.from({ length: 200 }, (_, i) => [-1 + (2 * i) / 199])
    const data = { inputs, targets: inputs.map(([x = 0]) => [Math.sin(Math.PI * x)]) }
    const own = { weightInitialiser: 'torchLinear', biasInitialiser: 'torchLinear' } as const
    const layers = [dense(20, 'tanh', own), dense(1, 'identity', own)]
    const model = createModel({ inputs: 1, layers, dtype: 'float64', seed: 2 })
    const optimizer = levenbergMarquardt({ schedule, goal: 1e-10 })
    const since = performance.now()
    const history = await train(model, data, { loss: squares, optimizer, epochs: 2000 })
    const { loss } = await evaluate(model, data, { loss: squares })
    console.log(`sine, ${schedule}: ${history.updates} updates, ${Math.round(performance.now() - since)} ms`)
    expect(loss).toBeLessThanOrEqual(1e-10)
    expect(history.converged).toBe('goal')
    expect(history.updates).toBeLessThan(2000)
  })
})

/** One of each, with a number that it reports. */
const optimizers: [string, MinimizerOption, string][] = [
  ['hessianFree', hessianFree(), 'reductionRatio'],
  ['newtonCG', newtonCG(), 'cgIterations'],
  ['newtonMR', newtonMR(), 'minresIterations'],
  ['saddleFreeNewton', saddleFreeNewton(), 'dampingAfter'],
  ['krylovSubspaceDescent', krylovSubspaceDescent(), 'subspaceSize'],
  ['gradientNormalizedSmoothness', gradientNormalizedSmoothness(), 'gammaAfter'],
  ['nonlinearConjugateGradient', nonlinearConjugateGradient(), 'evaluations'],
  ['lbfgs', lbfgs(), 'stepLength'],
  ['stochasticLbfgs', stochasticLbfgs({ learningRate: 0.3 }), 'curvature'],
  ['bfgs', bfgs(), 'curvature'],
  ['levenbergMarquardt', levenbergMarquardt(), 'damping'],
  ['kfac', kfac(), 'gamma'],
  ['adahessian', adahessian({ learningRate: 0.05 }), 'curvature'],
  ['sophia', sophia({ learningRate: 0.02 }), 'clippedShare'],
  ['diagonalNewton', diagonalNewton(), 'curvature'],
]
/** Optimizers that need more than a function and its products, or a sum of squares. */
const ofNetworks = ['kfac', 'adahessian', 'sophia', 'diagonalNewton', 'stochasticLbfgs', 'levenbergMarquardt']

/** Columns of mean 0 and deviation 1. */
function standardized({ data, shape }: Matrix): number[][] {
  const [rows, columns] = shape
  const matrix = Array.from({ length: rows }, (_, r) => Array.from(data.subarray(r * columns, (r + 1) * columns)))
  for (let column = 0; column < columns; column++) {
    const values = matrix.map((row) => row[column] as number)
    const mean = values.reduce((sum, value) => sum + value, 0) / rows
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / rows)
    for (const row of matrix) row[column] = ((row[column] as number) - mean) / deviation
  }
  return matrix
}

describe('every optimizer on the cooling of coffee', async () => {
  const file = fileURLToPath(new URL('../examples/data/coffee.csv', import.meta.url))
  const { inputs, targets } = await datasetFromCsv(file, { target: 'temperature' })
  const data = { inputs: standardized(inputs), targets: standardized(targets) }
  const regressor = () =>
    createModel({ inputs: data.inputs[0]?.length ?? 0, layers: [dense(12, 'tanh'), dense(1)], dtype: 'float64' })
  // Two questions about the same cup: its temperature, and whether it is above the mean, as ±1.
  const both: TrainingData<'value' | 'side'> = {
    inputs: data.inputs,
    targets: { value: data.targets, side: data.targets.map(([y = 0]) => [Math.sign(y)]) },
  }
  const answerer = () =>
    createModel({
      inputs: data.inputs[0]?.length ?? 0,
      layers: [dense(12, 'tanh')],
      heads: { value: [dense(1)], side: [dense(1)] },
      dtype: 'float32',
      seed: 2,
    })
  const losses = { value: squares, side: { loss: squares, weight: 0.5 } }

  test('the table has every kind', () => {
    expect(optimizers.map(([kind]) => kind).sort()).toEqual([...minimizerKinds].sort())
  })

  test.each(optimizers)('%s through train and createTrainer, without heads and with', async (kind, optimizer, name) => {
    const single = regressor()
    const before = await evaluate(single, data, { loss: squares })
    const history = await train(single, data, { loss: squares, optimizer, epochs: 25 })
    const after = await evaluate(single, data, { loss: squares })
    expect(history.reason).toBe('completed')
    expect(after.loss).toBeLessThan(before.loss / 4)
    expect(history.epochs[0]?.numbers?.[name]).toBeTypeOf('number')
    expect(history.epochs[0]?.numbers?.gradientNorm).toBeGreaterThan(0)

    const double = answerer()
    const start = await evaluate(double, both, { loss: losses })
    using trainer = createTrainer(double, { loss: losses, optimizer })
    let numbers: Readonly<Record<string, number>> = {}
    for (let step = 0; step < 25; step++) {
      const result = trainer.step(both)
      expect(result.finite, `${kind}, step ${step}`).toBe(true)
      expect(Object.keys(result.heads ?? {})).toEqual(['value', 'side'])
      if (step === 0) numbers = result.numbers ?? {}
    }
    expect((await evaluate(double, both, { loss: losses })).loss).toBeLessThan(start.loss / 2)
    expect(numbers[name]).toBeTypeOf('number')
    // A run goes on where the trainer was.
    const middle = await evaluate(double, both, { loss: losses })
    const more = await train(double, both, { loss: losses, optimizer, epochs: 30, resume: trainer.state() })
    expect(more.reason).toBe('completed')
    expect((await evaluate(double, both, { loss: losses })).loss).toBeLessThanOrEqual(1.05 * middle.loss)
  })

  test.each(optimizers.filter(([kind]) => !ofNetworks.includes(kind)))(
    '%s through minimize',
    async (kind, optimizer) => {
      const features = data.inputs.map((row) => [1, ...row])
      const problem = logistic(
        features,
        data.targets.map(([y = 0]) => (y > 0 ? 1 : 0)),
        1e-2,
      )
      const size = features[0]?.length ?? 0
      const own =
        kind === 'hessianFree' || kind === 'krylovSubspaceDescent' ? { preconditioner: { kind: 'none' } as const } : {}
      const { reason, value, x, numbers } = await minimize(
        { ...problem, ggnProduct: problem.hessianProduct },
        new Float64Array(size),
        { ...optimizer, ...own } as MinimizerOption,
        { maxIterations: 60, tolerance: 1e-7 },
      )
      const gradient = new Float64Array(size)
      expect(problem.valueAndGradient(x, gradient)).toBeCloseTo(value, 12)
      expect(value).toBeLessThan(Math.LN2 / 2)
      expect(reason).toBe('converged')
      // ½ l2 ‖x‖² makes the function strongly convex: its gradient bounds the gap.
      expect(Math.hypot(...gradient)).toBeLessThan(1e-4)
      expect(Object.values(numbers).every(Number.isFinite)).toBe(true)
    },
  )

  test.each([
    ['hessianFree', hessianFree()],
    ['lbfgs', lbfgs()],
  ] as const)('%s continues to the same bits, with heads', async (_, optimizer) => {
    const options = { loss: losses, optimizer, batchSize: 100 }
    const whole = answerer()
    await train(whole, both, { ...options, epochs: 6 })
    const parts = answerer()
    const first = train(parts, both, { ...options, epochs: 3 })
    await first
    expect(parts.parameters).not.toEqual(whole.parameters)
    await train(parts, both, { ...options, epochs: 6, resume: first.state() })
    expect(parts.parameters).toEqual(whole.parameters)
  })
})

describe('an abort during conjugate gradients', () => {
  const make = () =>
    createModel({ inputs: 2, layers: [dense(128, 'tanh'), dense(128, 'tanh'), dense(1)], dtype: 'float64', seed: 3 })
  const data = regressionData(1000)

  test('that would not end leaves the parameters of the last whole update', async () => {
    // No test but the number of iterations: minutes of products.
    const endless = hessianFree({
      cg: { maxIterations: 1e6, progressTolerance: 0, tolerance: 0 },
      damping: { initial: 1e-9 },
      warmStartDecay: 0,
    })
    const model = make()
    const before = model.parameters
    const controller = new AbortController()
    const run = train(model, data, { loss: squares, optimizer: endless, epochs: 5, signal: controller.signal })
    setTimeout(() => controller.abort(), 300)
    const since = performance.now()
    const history = await run
    expect([history.reason, history.updates]).toEqual(['aborted', 0])
    expect(performance.now() - since).toBeLessThan(5000)
    expect(model.parameters).toEqual(before)
  })

  test('is answered between updates of a long run as well', async () => {
    const optimizer = hessianFree()
    const model = make()
    let run: ReturnType<typeof train> | undefined
    run = train(model, data, {
      loss: squares,
      optimizer,
      epochs: 1e6,
      // By the time this is heard the next update is on its way.
      onStep: { every: 1, callback: ({ updates }) => updates >= 3 && run?.abort() },
    })
    const history = await run
    expect(history.reason).toBe('aborted')
    expect(history.updates).toBeGreaterThanOrEqual(3)
    expect(model.parameters.every(Number.isFinite)).toBe(true)
    const again = make()
    await train(again, data, { loss: squares, optimizer, epochs: history.updates })
    expect(model.parameters).toEqual(again.parameters)
  })
})
