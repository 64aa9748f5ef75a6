// The second-order optimizers against vectors computed independently of this project, step by step.
import { describe, expect, test } from 'vitest'
import type { DenseOptions, MinimizeIteration, MinimizeProblem, MinimizeResult, MinimizerOption } from '../src/index.js'
import {
  adahessian,
  binaryCrossEntropy,
  createModel,
  createTrainer,
  dense,
  gradientNormalizedSmoothness,
  hessianFree,
  lbfgs,
  levenbergMarquardt,
  meanSquaredError,
  minimize,
  minimizeSync,
  sophia,
} from '../src/index.js'
import { expectClose, expectRelative, largest } from './support/compare.js'
import { logistic, rosenbrock } from './support/functions.js'
import type { Nested } from './support/golden.js'
import { flatten, goldenFile } from './support/golden.js'

type Layers = readonly (DenseOptions & { readonly units: number })[]
/** Of an iteration, without the state that it offers. */
type Numbers = Omit<MinimizeIteration, 'state'>
type Rows = readonly (readonly number[])[]

/** Runs both forms, which must agree to the bit, and collects the iterations. */
async function run(
  problem: MinimizeProblem,
  x0: readonly number[],
  optimizer: MinimizerOption,
  maxIterations: number,
): Promise<{ result: MinimizeResult; iterations: Numbers[] }> {
  const collect =
    (into: Numbers[]) =>
    ({ state, ...numbers }: MinimizeIteration): unknown =>
      into.push(numbers)
  const iterations: Numbers[] = []
  const result = await minimize(problem, x0, optimizer, { maxIterations, onIteration: collect(iterations) })
  const sync: Numbers[] = []
  const again = minimizeSync(problem, x0, optimizer, { maxIterations, onIteration: collect(sync) })
  expect(again).toEqual(result)
  expect(sync).toEqual(iterations)
  return { result, iterations }
}

describe('hessian-free.json', () => {
  type Iteration = {
    chunk: number
    lambda: number
    cgIterations: number
    cgStop: string
    storedAt: number[]
    chosen: number
    modelValue: number
    rho: number | null
    rate: number
    lambdaAfter: number
    objective: number
    params: Nested
  }
  type Case = {
    model: { inputs: number; layers: Layers }
    x: Rows
    params0: Nested
    chunks: number[][]
    options: {
      l2: number
      initialLambda: number
      maxCgIterations: number
      decay: number
      drop: number
      exponent: number
      armijo: number
      shrink: number
      backtracking: boolean
    }
    iterations: Iteration[]
  }

  test.each(goldenFile<Case>('solvers', 'hessian-free.json'))('$name', ({ value: golden }) => {
    const { options, x } = golden
    const model = createModel({ ...golden.model, dtype: 'float64' })
    model.setParameters(Float64Array.from(flatten(golden.params0)))
    const trainer = createTrainer(model, {
      loss: binaryCrossEntropy(),
      l2: options.l2,
      optimizer: hessianFree({
        damping: { initial: options.initialLambda, drop: options.drop, boost: 1 / options.drop },
        cg: { maxIterations: options.maxCgIterations },
        warmStartDecay: options.decay,
        preconditioner: { exponent: options.exponent },
        lineSearch: { armijo: options.armijo, shrink: options.shrink },
        backtracking: options.backtracking,
      }),
    })
    const data = { inputs: x, targets: x }
    golden.iterations.forEach((expected, k) => {
      const rows = (golden.chunks[expected.chunk] ?? []).map((row) => x[row] ?? [])
      const step = trainer.step(data, { curvature: { inputs: rows, targets: rows } })
      const { numbers = {}, words = {} } = step
      const at = `iteration ${k}`
      expectRelative(
        [numbers.damping ?? 0, numbers.dampingAfter ?? 0],
        [expected.lambda, expected.lambdaAfter],
        1e-12,
        at,
      )
      expect([numbers.cgIterations, words.cgReason], at).toEqual([expected.cgIterations, expected.cgStop])
      expectRelative([numbers.rate ?? 0], [expected.rate], 1e-12, at)
      // The iterates kept end with the last; which of those that agree to the last bit is taken is arbitrary.
      expect(expected.storedAt.at(-1), at).toBe(numbers.cgIterations)
      if (options.backtracking) expect(expected.storedAt, at).toContain(numbers.chosenIterate)
      else expect(numbers.chosenIterate, at).toBe(expected.chosen)
      expectRelative([numbers.modelValue ?? 0], [expected.modelValue], 1e-4, at)
      expectRelative([numbers.reductionRatio ?? 0], [expected.rho ?? Number.NEGATIVE_INFINITY], 1e-4, at)
      expectRelative(model.parameters, flatten(expected.params), 1e-5, at)
    })
    const after = trainer.step(data).loss
    expectRelative([after], [golden.iterations.at(-1)?.objective ?? 0], 1e-4, 'objective')
  })
})

describe('lbfgs.json', () => {
  type Case = {
    problem: string
    features: Rows
    labels: number[]
    l2: number
    x0: number[]
    options: { history: number; learningRate: number; toleranceGradient: number; toleranceChange: number }
    x: number[][]
    f: number[]
    step: number[]
    evaluations: number[]
    stop: string
    minimiser?: number[]
  }
  const cases = goldenFile<Case>('solvers', 'lbfgs.json').filter(({ value }) => value.problem !== 'pairs')

  test.each(cases)('$name', async ({ value: golden }) => {
    expect(cases.length).toBe(5)
    const problem = golden.problem === 'logistic' ? logistic(golden.features, golden.labels, golden.l2) : rosenbrock
    const { toleranceGradient: gradientTolerance, toleranceChange: changeTolerance, ...rest } = golden.options
    const optimizer = lbfgs({ ...rest, gradientTolerance, changeTolerance })
    const { result, iterations } = await run(problem, golden.x0, optimizer, golden.step.length)
    expect(iterations.length).toBe(golden.step.length)
    iterations.forEach(({ x, value, numbers }, k) => {
      expectRelative(x, golden.x[k + 1] ?? [], 1e-7, `x ${k + 1}`)
      expectClose([value], [golden.f[k + 1] ?? 0], 1e-7 * largest(golden.f), `f ${k + 1}`)
      expectRelative([numbers.stepLength ?? 0], [golden.step[k] ?? 0], 1e-7, `step ${k + 1}`)
      expect(numbers.evaluations).toBe(golden.evaluations[k + 1])
    })
    if (golden.stop === 'iterations') {
      expect(result.reason).toBe('maxIterations')
      return
    }
    // torch stops before it moves where the slope is small; here the history is dropped once first.
    const end = await minimize(problem, golden.x0, optimizer)
    expect(end.reason).toBe('converged')
    expectRelative(end.x, golden.minimiser ?? [], 1e-4, 'minimiser')
  })
})

describe('levenberg-marquardt.json', () => {
  type Fit = {
    schedule: 'trainlm' | 'nielsen'
    t: number[]
    y: number[]
    p0: number[]
    p: number[][]
    sse: number[]
    mu: number[]
    tries?: number[]
    accepted?: boolean[]
    gain?: number[]
    stop: string
    minimiser: number[]
  }
  type Network = {
    schedule: 'trainlm'
    model: { inputs: number; layers: Layers }
    x: Rows
    y: Rows
    params0: Nested
    sse: number[]
    mu: number[]
    tries: number[]
    params: Record<string, Nested>
  }
  const all = goldenFile<Fit | Network>('solvers', 'levenberg-marquardt.json')
  const fits = all.flatMap(({ name, value }) => ('t' in value ? [{ name, value }] : []))
  const networks = all.flatMap(({ name, value }) => ('model' in value ? [{ name, value }] : []))

  test('every case is one of the two kinds', () => {
    expect(fits.length + networks.length).toBe(all.length)
    expect(networks.length).toBeGreaterThan(0)
  })

  test.each(fits)('$name: a curve', async ({ value: golden }) => {
    const { t, y } = golden
    const problem: MinimizeProblem = {
      residuals: {
        count: t.length,
        residual: ([a = 0, b = 0, c = 0], out) => out.set(t.map((at, i) => a * Math.exp(-b * at) + c - (y[i] ?? 0))),
        jacobian: ([a = 0, b = 0], out) => {
          t.forEach((at, i) => {
            const e = Math.exp(-b * at)
            out.set([e, -a * at * e, 1], 3 * i)
          })
        },
      },
    }
    const { schedule } = golden
    // A record that is cut goes on to where nothing is left to gain.
    const optimizer = levenbergMarquardt({ schedule, gradientTolerance: golden.stop === 'cut' ? 0 : 1e-7 })
    const updates = golden.sse.length - 1
    const { iterations } = await run(problem, golden.p0, optimizer, updates)
    expect(iterations.length).toBe(updates)
    iterations.forEach(({ x, value, numbers, accepted }, k) => {
      const [before = 0, after = 0] = [golden.sse[k], golden.sse[k + 1]]
      expectRelative(x, golden.p[k + 1] ?? [], 1e-7, `p ${k + 1}`)
      expectRelative([value], [after], 1e-7, `sse ${k + 1}`)
      if (golden.tries !== undefined) expect(numbers.tries).toBe(golden.tries[k])
      if (golden.accepted !== undefined) expect(accepted).toBe(golden.accepted[k])
      expectRelative([numbers.dampingAfter ?? 0], [golden.mu[k + 1] ?? 0], 1e-7, `mu ${k + 1}`)
      if (golden.gain !== undefined && accepted) {
        const bound = Math.max(1e-7, (1e-14 * before) / (before - after))
        expectRelative([numbers.reductionRatio ?? 0], [golden.gain[k] ?? 0], bound, `gain ${k}`)
      }
    })
    const end = await minimize(problem, golden.p0, levenbergMarquardt({ schedule }))
    expect(end.reason).toBe('converged')
    expectRelative(end.x, golden.minimiser, 1e-6, 'minimiser')
  })

  test.each(networks)('$name: a network', ({ value: golden }) => {
    const model = createModel({ ...golden.model, dtype: 'float64' })
    model.setParameters(Float64Array.from(flatten(golden.params0)))
    const optimizer = levenbergMarquardt({ schedule: golden.schedule })
    const trainer = createTrainer(model, { loss: meanSquaredError(), optimizer })
    const data = { inputs: golden.x, targets: golden.y }
    golden.tries.forEach((tries, k) => {
      const { loss, numbers = {} } = trainer.step(data)
      // The loss is the mean over samples of one output.
      expectRelative([loss * golden.x.length], [golden.sse[k] ?? 0], 1e-7, `sse ${k}`)
      expectRelative([numbers.sumOfSquares ?? 0], [golden.sse[k] ?? 0], 1e-7, `sum of squares ${k}`)
      expectRelative([numbers.dampingAfter ?? 0], [golden.mu[k + 1] ?? 0], 1e-7, `mu ${k + 1}`)
      expect(numbers.tries).toBe(tries)
      const expected = golden.params[String(k + 1)]
      if (expected !== undefined) expectRelative(model.parameters, flatten(expected), 1e-7, `parameters ${k + 1}`)
    })
  })
})

describe('gradient-normalised-smoothness.json', () => {
  type Case = {
    problem: 'rosenbrock' | 'logistic'
    hessian: 'exact' | 'empiricalFisher'
    features: Rows
    labels: number[]
    x0: number[]
    options: { gamma0: number; eps: number; gammaMin: number; gradientTolerance: number }
    x: number[][]
    f: number[]
    gamma: number[]
    gradientNorm: number[]
    tries: number[]
  }
  const optimizerOf = ({ hessian, options }: Case) =>
    gradientNormalizedSmoothness({
      gamma: { initial: options.gamma0, minimum: options.gammaMin },
      tolerance: options.eps,
      gradientTolerance: options.gradientTolerance,
      curvature: hessian === 'exact' ? 'hessian' : 'empiricalFisher',
    })
  const cases = goldenFile<Case>('solvers', 'gradient-normalised-smoothness.json')

  test.each(cases.filter(({ value }) => value.hessian === 'exact'))('$name: a function', async ({ value: golden }) => {
    const problem = golden.problem === 'logistic' ? logistic(golden.features, golden.labels) : rosenbrock
    const { iterations } = await run(problem, golden.x0, optimizerOf(golden), golden.tries.length)
    expect(iterations.length).toBe(golden.tries.length)
    iterations.forEach(({ x, value, numbers }, k) => {
      expectRelative(x, golden.x[k + 1] ?? [], 1e-7, `x ${k + 1}`)
      expectClose([value], [golden.f[k + 1] ?? 0], 1e-7 * largest(golden.f), `f ${k + 1}`)
      expectClose([numbers.gradientNorm ?? 0], [golden.gradientNorm[k] ?? 0], 1e-7 * largest(golden.gradientNorm))
      expect([numbers.gammaAfter, numbers.tries]).toEqual([golden.gamma[k + 1], golden.tries[k]])
    })
  })

  test.each(cases.filter(({ value }) => value.problem === 'logistic'))('$name: a network', ({ value: golden }) => {
    const model = createModel({
      inputs: golden.x0.length,
      layers: [dense(1, 'identity', { bias: false })],
      dtype: 'float64',
    })
    model.setParameters(Float64Array.from(golden.x0))
    const trainer = createTrainer(model, { loss: binaryCrossEntropy(), optimizer: optimizerOf(golden) })
    const data = { inputs: golden.features, targets: golden.labels.map((label) => [label]) }
    golden.tries.forEach((tries, k) => {
      const { loss, numbers = {} } = trainer.step(data)
      expectRelative([loss], [golden.f[k] ?? 0], 1e-7, `f ${k}`)
      expectRelative(model.parameters, golden.x[k + 1] ?? [], 1e-7, `x ${k + 1}`)
      expect([numbers.gammaAfter, numbers.tries]).toEqual([golden.gamma[k + 1], tries])
    })
    const small = (golden.gradientNorm.at(-1) ?? 0) < golden.options.gradientTolerance
    expect(trainer.step(data).converged).toBe(small ? 'gradientTolerance' : undefined)
  })
})

describe('diagonal-optimizers.json', () => {
  type Case = {
    optimizer: 'adahessian' | 'sophia'
    options: Record<string, number>
    params0: number[]
    grads: number[][]
    diagonals: (number[] | null)[]
    params: number[][]
  }

  test.each(goldenFile<Case>('solvers', 'diagonal-optimizers.json'))('$name', async ({ value: golden }) => {
    const { diagonals, grads, options } = golden
    // Refreshed in a rhythm: what stands between two diagonals is its period.
    const every = Math.max(
      1,
      diagonals.findIndex((diagonal, t) => t > 0 && diagonal !== null),
    )
    expect(diagonals.map((diagonal) => diagonal !== null)).toEqual(diagonals.map((_, t) => t % every === 0))
    let step = -1
    const problem: MinimizeProblem = {
      value: () => 0,
      valueAndGradient: (_, gradient) => {
        gradient.set(grads[++step] ?? [])
        return 0
      },
      // For signs z, z times the product is the diagonal.
      hessianProduct: (_, z, out) => out.set(z.map((sign, i) => sign * (diagonals[step]?.[i] ?? Number.NaN))),
    }
    const optimizer =
      golden.optimizer === 'adahessian'
        ? adahessian({ ...options, every })
        : sophia({ ...options, every, estimator: 'hutchinson' })
    const seen: Float64Array[] = []
    await minimize(problem, golden.params0, optimizer, {
      maxIterations: grads.length,
      onIteration: ({ x }) => seen.push(x),
    })
    expect(seen.length).toBe(golden.params.length)
    seen.forEach((x, k) => {
      expectRelative(x, golden.params[k] ?? [], 1e-9, `parameters ${k + 1}`)
    })
  })
})
