// L-BFGS against golden numbers (test/golden/README.md), iterate by iterate, and what its relatives reach on the same
// functions.
import { describe, expect, test } from 'vitest'
import type { MinimizeIteration, MinimizeProblem, MinimizerOption } from '../src/index.js'
import { bfgs, lbfgs, minimize, minimizeSync, nonlinearConjugateGradient } from '../src/index.js'
import { expectRelative } from './support/compare.js'
import { goldenFile } from './support/golden.js'

type Rosenbrock = { readonly problem: 'rosenbrock' }
type Logistic = {
  readonly problem: 'logistic'
  readonly features: readonly (readonly number[])[]
  readonly labels: readonly number[]
  readonly l2: number
  readonly minimiser: readonly number[]
}
type Run = (Rosenbrock | Logistic) & {
  readonly x0: readonly number[]
  readonly options: {
    readonly history: number
    readonly learningRate: number
    readonly toleranceGradient: number
    readonly toleranceChange: number
  }
  readonly x: readonly (readonly number[])[]
  readonly f: readonly number[]
  readonly step: readonly number[]
  readonly evaluations: readonly number[]
  readonly stop: 'iterations' | 'slope'
}

/** The folder's tolerance, relative to the largest entry of an array. */
const tolerance = 1e-7

const runs = goldenFile<Run | { readonly problem: 'pairs' }>('solvers', 'lbfgs.json').filter(
  (entry): entry is { name: string; value: Run } => entry.value.problem !== 'pairs',
)

/** Σ 100 (x_{i+1} − x_i²)² + (1 − x_i)² */
function rosenbrock(x: Float64Array, gradient: Float64Array): number {
  let f = 0
  for (let i = 0; i + 1 < x.length; i++) {
    const [at, next] = [x[i] as number, x[i + 1] as number]
    const a = next - at * at
    f += 100 * a * a + (1 - at) ** 2
    gradient[i] = (gradient[i] as number) - 400 * a * at - 2 * (1 - at)
    gradient[i + 1] = (gradient[i + 1] as number) + 200 * a
  }
  return f
}

/** Mean log-loss + ½ l2 ‖w‖² */
function logistic({ features, labels, l2 }: Logistic, w: Float64Array, gradient: Float64Array): number {
  let f = 0
  features.forEach((row, n) => {
    const z = row.reduce((sum, value, i) => sum + value * (w[i] as number), 0)
    const y = labels[n] as number
    f += (Math.max(z, 0) - z * y + Math.log1p(Math.exp(-Math.abs(z)))) / features.length
    const slope = (1 / (1 + Math.exp(-z)) - y) / features.length
    for (let i = 0; i < row.length; i++) gradient[i] = (gradient[i] as number) + slope * (row[i] as number)
  })
  for (let i = 0; i < w.length; i++) {
    const value = w[i] as number
    f += 0.5 * l2 * value * value
    gradient[i] = (gradient[i] as number) + l2 * value
  }
  return f
}

function problemOf(run: Run): MinimizeProblem {
  return {
    valueAndGradient: (x, gradient) =>
      run.problem === 'rosenbrock' ? rosenbrock(x, gradient) : logistic(run, x, gradient),
  }
}

describe.each(runs)('lbfgs.json, $name', ({ value: run }) => {
  const { history, learningRate, toleranceGradient, toleranceChange } = run.options
  const optimizer = lbfgs({
    history,
    learningRate,
    gradientTolerance: toleranceGradient,
    changeTolerance: toleranceChange,
  })
  const count = run.x.length - 1
  const maxIterations = run.stop === 'iterations' ? count : 1000

  test.each(['sync', 'async'])('%s', async (form) => {
    const seen: MinimizeIteration[] = []
    const options = { maxIterations, onIteration: (iteration: MinimizeIteration) => seen.push(iteration) }
    const problem = problemOf(run)
    const result =
      form === 'sync'
        ? minimizeSync(problem, run.x0, optimizer, options)
        : await minimize(problem, run.x0, optimizer, options)
    expect(seen.length).toBe(count)
    seen.forEach(({ x, numbers, value }, k) => {
      expectRelative(x, run.x[k + 1] as readonly number[], tolerance, `x[${k + 1}]`)
      expectRelative([value], [run.f[k + 1] as number], tolerance, `f[${k + 1}]`)
      expectRelative([numbers.stepLength as number], [run.step[k] as number], tolerance, `step[${k}]`)
      expect(numbers.evaluations, `evaluations[${k + 1}]`).toBe(run.evaluations[k + 1])
    })
    expectRelative(result.x, run.x[count] as readonly number[], tolerance)
    expect([result.reason, result.converged]).toEqual(
      run.stop === 'iterations' ? ['maxIterations', undefined] : ['converged', 'changeTolerance'],
    )
  })
})

describe('from the same starts', () => {
  const methods: [string, MinimizerOption][] = [
    ['lbfgs', lbfgs({ changeTolerance: 0 })],
    ['bfgs', bfgs({ changeTolerance: 0 })],
    ['PR+', nonlinearConjugateGradient({ changeTolerance: 0 })],
    ['Hager-Zhang', nonlinearConjugateGradient({ formula: 'hagerZhang', changeTolerance: 0 })],
  ]
  test.each(methods)('%s reaches the minimum', (_, optimizer) => {
    for (const { value: run } of runs) {
      const result = minimizeSync(problemOf(run), run.x0, optimizer)
      expect([result.reason, result.converged]).toEqual(['converged', 'gradientTolerance'])
      if (run.problem === 'logistic') expectRelative(result.x, run.minimiser, 1e-5)
      else if (run.x0.length === 2) expectRelative(result.x, [1, 1], 1e-5)
    }
  })
})
