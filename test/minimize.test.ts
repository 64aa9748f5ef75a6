// minimize: any function, by functions of JavaScript.
import { describe, expect, test } from 'vitest'
import type { MinimizeProblem, MinimizerOption } from '../src/index.js'
import {
  adahessian,
  adam,
  bfgs,
  constant,
  gradientNormalizedSmoothness,
  hessianFree,
  isKrylovError,
  kfac,
  lbfgs,
  levenbergMarquardt,
  minimize,
  minimizeSync,
  newtonCG,
  newtonMR,
  nonlinearConjugateGradient,
} from '../src/index.js'
import { expectClose } from './support/compare.js'
import { expectError } from './support/errors.js'
import { rosenbrock } from './support/functions.js'

/** Σ i (x_i − 1)² / 2 of any length. */
const bowl: MinimizeProblem = {
  valueAndGradient: (x, gradient) => {
    gradient.set(x.map((value, i) => (i + 1) * (value - 1)))
    return x.reduce((sum, value, i) => sum + ((i + 1) / 2) * (value - 1) ** 2, 0)
  },
  hessianProduct: (_, v, out) => out.set(v.map((value, i) => (i + 1) * value)),
}

/** Residuals of a line through points, with one that is off. */
const points = [0, 1, 2, 3, 4].map((t) => [t, 2 * t - 1 + (t === 3 ? 0.5 : 0)] as const)
const line: MinimizeProblem = {
  residuals: {
    count: points.length,
    residual: ([a = 0, b = 0], out) => out.set(points.map(([t, y]) => a * t + b - y)),
    jacobian: (_, out) => out.set(points.flatMap(([t]) => [t, 1])),
  },
}

const plain = { kind: 'none' } as const
const optimizers: [string, MinimizerOption][] = [
  ['lbfgs', lbfgs()],
  ['bfgs', bfgs()],
  ['nonlinearConjugateGradient', nonlinearConjugateGradient()],
  ['newtonCG', newtonCG()],
  ['newtonMR', newtonMR()],
  ['gradientNormalizedSmoothness', gradientNormalizedSmoothness({ curvature: 'hessian' })],
  [
    'hessianFree',
    {
      kind: 'hessianFree',
      curvature: 'hessian',
      preconditioner: plain,
      damping: { initial: 10 },
      gradientTolerance: 1e-6,
    },
  ],
]

describe('minimize', () => {
  test.each(optimizers)('%s finds the bottom of a valley', async (_, optimizer) => {
    const { x, value, reason, converged, iterations, evaluations } = await minimize(rosenbrock, [-1.2, 1], optimizer)
    expectClose(x, [1, 1], 1e-4)
    expect(value).toBeLessThan(1e-8)
    expect(reason).toBe('converged')
    expect(converged).not.toBe('')
    expect(iterations).toBeGreaterThan(5)
    expect(evaluations).toBeGreaterThan(iterations)
  })

  test.each([10, 1000])('both forms give the same bits, %d variables', async (n) => {
    const start = Array.from({ length: n }, (_, i) => Math.sin(i))
    const options = { maxIterations: 15 }
    for (const optimizer of [lbfgs({ history: 5 }), newtonCG()]) {
      const result = await minimize(bowl, start, optimizer, options)
      expect(minimizeSync(bowl, start, optimizer, options)).toEqual(result)
    }
  })

  test('a sum of squares alone: Levenberg-Marquardt, and whoever wants values, gradients or Gauss-Newton products', async () => {
    for (const optimizer of [
      levenbergMarquardt(),
      lbfgs({ gradientTolerance: 1e-9 }),
      newtonCG({ curvature: 'ggn' }),
    ]) {
      const { x, value } = await minimize(line, [0, 0], optimizer)
      // The normal equations of the five points.
      expectClose(x, [2.05, -1], 1e-6)
      expectClose([value], [0.175], 1e-6)
    }
  })

  test('float32: x and all arrays', async () => {
    const seen = new Set<string>()
    const problem: MinimizeProblem<'float32'> = {
      dtype: 'float32',
      valueAndGradient: (x, gradient) => {
        seen.add(x.constructor.name).add(gradient.constructor.name)
        gradient.set(x.map((value) => 2 * (value - 3)))
        return x.reduce((sum, value) => sum + (value - 3) ** 2, 0)
      },
    }
    const { x } = await minimize(problem, new Float64Array(3), lbfgs())
    expect(x).toBeInstanceOf(Float32Array)
    expectClose(x, [3, 3, 3], 1e-5)
    expect([...seen]).toEqual(['Float32Array'])
  })

  test('iterations are told, and their number is kept', async () => {
    const told: number[] = []
    const result = await minimize(rosenbrock, [-1.2, 1], lbfgs(), {
      maxIterations: 4,
      onIteration: ({ iteration, value, x, numbers, words, accepted, evaluations }) => {
        told.push(iteration)
        expectClose([value], [rosenbrock.value(x)], 0)
        expect(numbers.evaluations).toBe(evaluations)
        expect(words.lineSearch).toBeTypeOf('string')
        expect(accepted).toBe(true)
      },
    })
    expect(told).toEqual([1, 2, 3, 4])
    expect([result.reason, result.iterations]).toEqual(['maxIterations', 4])
    const none = minimizeSync(rosenbrock, [0, 0], lbfgs(), { maxIterations: 0 })
    expect([none.reason, none.iterations, none.value, none.evaluations]).toEqual(['maxIterations', 0, 1, 1])
    expect(none.numbers).toEqual({})
  })

  test('a schedule over the iterations takes their number for its length', async () => {
    const optimizer = newtonCG({ gradientTolerance: constant({ learningRate: 1e-3 }) })
    const { numbers } = await minimize(rosenbrock, [-1.2, 1], optimizer)
    expect(numbers.gradientNorm).toBeLessThan(2e-3)
  })

  test('tolerance ends a run whose optimizer would go on', async () => {
    const { reason, converged, numbers } = await minimize(bowl, [5, 5, 5], newtonCG({ gradientTolerance: 0 }), {
      tolerance: 1e-3,
    })
    expect([reason, converged]).toEqual(['converged', 'tolerance'])
    expect(numbers.gradientNorm).toBeLessThanOrEqual(1e-3)
  })

  test('an abort from a timer is seen between two evaluations', async () => {
    const controller = new AbortController()
    const slow: MinimizeProblem = {
      valueAndGradient: (x, gradient) => {
        const until = performance.now() + 2
        while (performance.now() < until);
        return rosenbrock.valueAndGradient(x, gradient)
      },
    }
    setTimeout(() => controller.abort(), 20)
    const endless = lbfgs({ gradientTolerance: 0, changeTolerance: 0, history: 1 })
    const result = await minimize(slow, new Float64Array(300), endless, {
      signal: controller.signal,
      maxIterations: 1e6,
    })
    expect(result.reason).toBe('aborted')
    expect(result.evaluations).toBeLessThan(200)
    expectClose([result.value], [rosenbrock.value(result.x)], 0)
    const before = await minimize(slow, [0, 0], lbfgs(), { signal: AbortSignal.abort() })
    expect([before.reason, before.iterations]).toEqual(['aborted', 0])
  })

  test('an abort by the function itself leaves the iterate before', () => {
    const controller = new AbortController()
    let calls = 0
    const problem: MinimizeProblem = {
      valueAndGradient: (x, gradient) => {
        if (++calls === 10) controller.abort()
        return rosenbrock.valueAndGradient(x, gradient)
      },
    }
    const seen: Float64Array[] = [Float64Array.of(-1.2, 1)]
    const { signal } = controller
    const { reason, x } = minimizeSync(problem, [-1.2, 1], lbfgs(), { signal, onIteration: (it) => seen.push(it.x) })
    expect(reason).toBe('aborted')
    expect(x).toEqual(seen.at(-1))
  })

  test('what is not finite ends the run at the iterate before', async () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      let calls = 0
      const problem: MinimizeProblem = {
        valueAndGradient: (x, gradient) => {
          const f = rosenbrock.valueAndGradient(x, gradient)
          return ++calls > 1 ? f : bad
        },
      }
      const { reason, x, iterations } = await minimize(problem, [-1.2, 1], lbfgs())
      expect([reason, iterations]).toEqual(['notFinite', 0])
      expectClose(x, [-1.2, 1], 0)
    }
  })

  test.each<[string, MinimizerOption]>([
    ['newtonCG', newtonCG()],
    ['newtonMR', newtonMR()],
    ['hessianFree', hessianFree({ curvature: 'hessian', preconditioner: plain })],
    ['gradientNormalizedSmoothness, cg', gradientNormalizedSmoothness({ curvature: 'hessian', solver: 'cg' })],
    ['gradientNormalizedSmoothness', gradientNormalizedSmoothness({ curvature: 'hessian' })],
  ])('a curvature that is not finite ends %s', async (_, optimizer) => {
    const problem: MinimizeProblem = { ...bowl, hessianProduct: (_x, _v, out) => out.fill(Number.NaN) }
    const { reason, x, iterations } = await minimize(problem, [3, -2], optimizer)
    expect([reason, iterations]).toEqual(['notFinite', 0])
    expectClose(x, [3, -2], 0)
  })

  test.each(['trainlm', 'nielsen'] as const)('a Jacobian that is not finite ends %s', async (schedule) => {
    const residuals = {
      ...line.residuals,
      jacobian: (_x: unknown, out: { fill(value: number): unknown }) => out.fill(Number.NaN),
    }
    const problem = { residuals } as MinimizeProblem
    const { reason, iterations } = await minimize(problem, [0, 0], levenbergMarquardt({ schedule }))
    expect([reason, iterations]).toEqual(['notFinite', 0])
  })

  test('adahessian without epsilon stays where nothing slopes', async () => {
    const flat: MinimizeProblem = {
      valueAndGradient: (_, gradient) => {
        gradient.fill(0)
        return 1
      },
      hessianProduct: (_x, _v, out) => out.fill(0),
    }
    const { x, numbers } = await minimize(flat, [1, 2], adahessian({ epsilon: 0 }), { maxIterations: 2 })
    expectClose(x, [1, 2], 0)
    expect(numbers.stepNorm).toBe(0)
  })

  test('what a function or a listener throws comes out', async () => {
    const failing: MinimizeProblem = {
      valueAndGradient: () => {
        throw new RangeError('mine')
      },
    }
    await expect(minimize(failing, [1], lbfgs())).rejects.toThrow('mine')
    expect(() => minimizeSync(failing, [1], lbfgs())).toThrow('mine')
    const onIteration = (): void => {
      throw new RangeError('yours')
    }
    await expect(minimize(rosenbrock, [0, 0], lbfgs(), { onIteration })).rejects.toThrow('yours')
  })

  test('a function may minimise another one meanwhile', () => {
    const outer: MinimizeProblem = {
      valueAndGradient: (x, gradient) => {
        const [a = 0] = x
        const apart: MinimizeProblem = {
          valueAndGradient: ([b = 0], g) => {
            g[0] = 2 * (b - a)
            return (b - a) ** 2
          },
        }
        const inner = minimizeSync(apart, [0], lbfgs())
        const [b = 0] = inner.x
        gradient[0] = 2 * (b - 5)
        return (b - 5) ** 2
      },
    }
    expectClose(minimizeSync(outer, [0], lbfgs()).x, [5], 1e-5)
  })

  test('what does not fit is refused', async () => {
    const refused = (problem: unknown, x0: unknown, optimizer: unknown, options: unknown = {}) =>
      minimizeSync(problem as MinimizeProblem, x0 as number[], optimizer as MinimizerOption, options as object)
    expectError(() => refused({}, [1], lbfgs()), 'ERR_OPTION', 'problem.valueAndGradient')
    expectError(() => refused({ gradient: 1 }, [1], lbfgs()), 'ERR_OPTION', "unknown member 'gradient'")
    expectError(() => refused({ valueAndGradient: 3 }, [1], lbfgs()), 'ERR_OPTION', 'a function')
    expectError(() => refused({ residuals: { count: 0 } }, [1], lbfgs()), 'ERR_OPTION', 'problem.residuals.count')
    expectError(() => refused({ ...bowl, dtype: 'int8' }, [1], lbfgs()), 'ERR_OPTION', 'problem.dtype')
    expectError(() => refused(bowl, [], lbfgs()), 'ERR_SHAPE', 'x0')
    expectError(() => refused(bowl, 3, lbfgs()), 'ERR_SHAPE', 'x0')
    expectError(() => refused(bowl, [Number.NaN], lbfgs()), 'ERR_NOT_FINITE', 'x0[0]')
    expectError(() => refused(bowl, [1], adam()), 'ERR_OPTION', 'createOptimizer')
    expectError(() => refused(bowl, [1], kfac()), 'ERR_OPTION', 'network')
    expectError(() => refused(bowl, [1], hessianFree({ preconditioner: plain })), 'ERR_OPTION', 'Gauss-Newton')
    expectError(() => refused(bowl, [1], hessianFree({ curvature: 'hessian' })), 'ERR_OPTION', 'preconditioner.kind')
    expectError(() => refused(bowl, [1], levenbergMarquardt()), 'ERR_OPTION', 'residuals')
    expectError(
      () => refused(rosenbrock, [1, 1], lbfgs(), { maxIteration: 1 }),
      'ERR_OPTION',
      "did you mean 'maxIterations'",
    )
    expectError(() => refused({ valueAndGradient: () => undefined }, [1], lbfgs()), 'ERR_OPTION', 'valueAndGradient')
    const rejected = await minimize(bowl, [], lbfgs()).catch((error: unknown) => error)
    expect(isKrylovError(rejected)).toBe(true)
  })
})
