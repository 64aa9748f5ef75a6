// minimize in parts: its state continues to the same bits.
import { describe, expect, test } from 'vitest'
import type { MinimizeIteration, MinimizeProblem, MinimizerOption, MinimizeState } from '../src/index.js'
import {
  adahessian,
  bfgs,
  diagonalNewton,
  gradientNormalizedSmoothness,
  hessianFree,
  kfac,
  krylovSubspaceDescent,
  lbfgs,
  levenbergMarquardt,
  linear,
  minimize,
  minimizerKinds,
  minimizeSync,
  newtonCG,
  newtonMR,
  nonlinearConjugateGradient,
  saddleFreeNewton,
  sophia,
  stochasticLbfgs,
} from '../src/index.js'
import { expectError } from './support/errors.js'

type Numbers = Float32Array | Float64Array
type Dtype = 'float32' | 'float64'

/** Rosenbrock's function as the sum of the squares of 10 (x_{i+1} − x_i²) and 1 − x_i, with all that a method may want. */
function valley<D extends Dtype>(dtype: D, n: number): { all: MinimizeProblem<D>; squares: MinimizeProblem<D> } {
  const count = 2 * (n - 1)
  const residual = (x: Numbers, out: Numbers): void => {
    for (let i = 0; i + 1 < n; i++) {
      out[2 * i] = 10 * (at(x, i + 1) - at(x, i) ** 2)
      out[2 * i + 1] = 1 - at(x, i)
    }
  }
  const jacobian = (x: Numbers, out: Numbers): void => {
    out.fill(0)
    for (let i = 0; i + 1 < n; i++) {
      out[2 * i * n + i] = -20 * at(x, i)
      out[2 * i * n + i + 1] = 10
      out[(2 * i + 1) * n + i] = -1
    }
  }
  const valueAndGradient = (x: Numbers, gradient: Numbers): number => {
    const e = new Float64Array(count)
    residual(x, e)
    gradient.fill(0)
    for (let i = 0; i + 1 < n; i++) {
      gradient[i] = at(gradient, i) - 40 * at(e, 2 * i) * at(x, i) - 2 * at(e, 2 * i + 1)
      gradient[i + 1] = 20 * at(e, 2 * i)
    }
    return e.reduce((sum, value) => sum + value * value, 0)
  }
  const hessianProduct = (x: Numbers, v: Numbers, out: Numbers): void => {
    out.fill(0)
    for (let i = 0; i + 1 < n; i++) {
      const [here, next, a, b] = [at(x, i), at(x, i + 1), at(v, i), at(v, i + 1)]
      out[i] = at(out, i) + (1200 * here * here - 400 * next + 2) * a - 400 * here * b
      out[i + 1] = at(out, i + 1) - 400 * here * a + 200 * b
    }
  }
  const ggnProduct = (x: Numbers, v: Numbers, out: Numbers): void => {
    out.fill(0)
    for (let i = 0; i + 1 < n; i++) {
      const along = 10 * at(v, i + 1) - 20 * at(x, i) * at(v, i)
      out[i] = at(out, i) - 40 * at(x, i) * along + 2 * at(v, i)
      out[i + 1] = at(out, i + 1) + 20 * along
    }
  }
  const squares = { dtype, residuals: { count, residual, jacobian } }
  return {
    all: { dtype, valueAndGradient, hessianProduct, ggnProduct, residuals: squares.residuals },
    squares,
  }
}
const at = (array: Numbers, i: number): number => array[i] as number

/** The same, with a word before each call of a function. */
function watched(problem: MinimizeProblem, tell: () => void): MinimizeProblem {
  const told = <V>(value: V): V => {
    if (typeof value !== 'function') return value
    return ((...args: unknown[]) => {
      tell()
      return value(...args)
    }) as V
  }
  const each = <O extends object>(object: O): O =>
    Object.fromEntries(Object.entries(object).map(([key, value]) => [key, told(value)])) as O
  return each({ ...problem, ...(problem.residuals && { residuals: each(problem.residuals) }) })
}

const size = 4
const start = Array.from({ length: size }, (_, i) => (i % 2 === 0 ? -1.2 : 1))
const iterations = 12

/** Such that most have something to remember, and none is done in few iterations. */
const cases: [string, MinimizerOption][] = [
  ['lbfgs', lbfgs({ history: 3, changeTolerance: 0 })],
  ['lbfgs without a search', lbfgs({ lineSearch: 'none', learningRate: 0.2, changeTolerance: 0 })],
  ['bfgs', bfgs({ changeTolerance: 0 })],
  ['nonlinearConjugateGradient', nonlinearConjugateGradient({ changeTolerance: 0, restartThreshold: 0 })],
  ['nonlinearConjugateGradient that restarts', nonlinearConjugateGradient({ changeTolerance: 0, restartEvery: 4 })],
  ['stochasticLbfgs', stochasticLbfgs({ learningRate: 0.3, history: 3 })],
  ['stochasticLbfgs by products', stochasticLbfgs({ learningRate: 0.3, pairs: 'ggn', every: 3 })],
  ['newtonCG', newtonCG({ radius: { initial: 8 } })],
  ['newtonMR', newtonMR()],
  ['newtonMR by the gradient', newtonMR({ merit: 'gradientNorm', curvature: 'ggn' })],
  ['gradientNormalizedSmoothness', gradientNormalizedSmoothness({ curvature: 'hessian' })],
  ['gradientNormalizedSmoothness, cg', gradientNormalizedSmoothness({ solver: 'cg' })],
  [
    'hessianFree',
    hessianFree({
      curvature: 'hessian',
      preconditioner: { kind: 'none' },
      damping: { initial: 10 },
      cg: { maxIterations: 3 },
    }),
  ],
  [
    'hessianFree with pairs of its last solve',
    hessianFree({ curvature: 'hessian', preconditioner: { kind: 'lbfgs', history: 2 }, damping: { initial: 10 } }),
  ],
  [
    'hessianFree with a diagonal that lasts',
    hessianFree({ preconditioner: { kind: 'hutchinson', every: 3 }, damping: { initial: 10 } }),
  ],
  ['saddleFreeNewton', saddleFreeNewton({ subspaceSize: 2 })],
  ['krylovSubspaceDescent', krylovSubspaceDescent({ subspaceSize: 2, preconditioner: { kind: 'none' } })],
  ['levenbergMarquardt', levenbergMarquardt({ damping: { initial: 1e3 } })],
  ['levenbergMarquardt, nielsen', levenbergMarquardt({ schedule: 'nielsen', damping: { initial: 1e-6 } })],
  ['adahessian', adahessian({ every: 3 })],
  [
    'sophia',
    sophia({
      estimator: 'hutchinson',
      learningRate: linear({ learningRate: 0.1, endLearningRate: 0.01, totalSteps: iterations }),
      every: 5,
    }),
  ],
]
/** These need the layers of a network, so that minimize refuses them. */
const forNetworks: MinimizerOption[] = [kfac(), diagonalNewton()]

/** What JSON makes of it, with lists for typed arrays. */
const throughJson = <T>(value: T): T =>
  JSON.parse(JSON.stringify(value, (_, part) => (ArrayBuffer.isView(part) ? Array.from(part as Float64Array) : part)))

const told = <D extends Dtype>({ state, ...rest }: MinimizeIteration<D>) => ({ ...rest, state: state() })

test('every minimizer is among the cases', () => {
  const kinds = [...cases.map(([, { kind }]) => kind), ...forNetworks.map(({ kind }) => kind)]
  expect(new Set(kinds)).toEqual(new Set(minimizerKinds))
  for (const optimizer of forNetworks) {
    expectError(() => minimizeSync(valley('float64', size).all, start, optimizer), 'ERR_OPTION', 'network')
  }
})

describe.each(['float64', 'float32'] as const)('a run in parts ends in the same bits: %s', (dtype) => {
  const { all, squares } = valley(dtype, size)
  const problems = (optimizer: MinimizerOption): MinimizeProblem<Dtype>[] => {
    // The residuals alone make gradients and Gauss-Newton products too.
    const fewer = 'curvature' in optimizer && optimizer.curvature === 'ggn' ? [squares] : []
    if (optimizer.kind === 'levenbergMarquardt' || optimizer.kind === 'lbfgs') fewer.push(squares)
    const value = (x: Numbers): number => all.valueAndGradient?.(x as never, new Float64Array(size) as never) ?? 0
    return [all, { ...all, value } as typeof all, ...fewer] as MinimizeProblem<Dtype>[]
  }

  test.each(cases)('%s', (_, optimizer) => {
    for (const problem of problems(optimizer)) {
      const whole = minimizeSync(problem, start, optimizer, { maxIterations: iterations })
      expect(whole.iterations).toBeGreaterThanOrEqual(6)
      for (let cut = 0; cut < whole.iterations; cut++) {
        const first = minimizeSync(problem, start, optimizer, { maxIterations: cut })
        expect(first.state).toMatchObject({ x: first.x, iterations: cut })
        const resume = throughJson(first.state)
        const second = minimizeSync(problem, resume.x, optimizer, { maxIterations: iterations, resume })
        expect(second, `after ${cut}`).toEqual(whole)
      }
    }
  })

  test.each(cases)('%s, one iteration after the other, each told', (_, optimizer) => {
    for (const problem of problems(optimizer)) {
      const unbroken: unknown[] = []
      const whole = minimizeSync(problem, start, optimizer, {
        maxIterations: iterations,
        onIteration: (iteration) => unbroken.push(told(iteration)),
      })
      const again: unknown[] = []
      let resume = minimizeSync(problem, start, optimizer, { maxIterations: 0 }).state
      for (let i = 0; i < whole.iterations; i++) {
        const abort = new AbortController()
        minimizeSync(problem, resume.x, optimizer, {
          maxIterations: iterations,
          resume,
          signal: abort.signal,
          onIteration: (iteration) => {
            again.push(told(iteration))
            resume = structuredClone(iteration.state())
            abort.abort()
          },
        })
      }
      expect(again).toEqual(unbroken)
    }
  })
})

describe('a state', () => {
  const { all } = valley('float64', size)
  const optimizer = lbfgs({ history: 3 })
  const { state } = minimizeSync(all, start, optimizer, { maxIterations: 5 })

  test('says what the iterations took, whatever was asked for besides', () => {
    expect(state).toMatchObject({ iterations: 5, gradientKnown: true })
    const step = adahessian()
    const { evaluations, state: after } = minimizeSync(all, start, step, { maxIterations: 3 })
    expect([after.evaluations, after.value, after.gradientKnown]).toEqual([3, null, false])
    expect(evaluations).toBe(4)
    let seen: MinimizeState | undefined
    minimizeSync(all, start, step, { maxIterations: 3, onIteration: (iteration) => (seen = iteration.state()) })
    expect([seen?.evaluations, seen?.value]).toEqual([6, expect.any(Number)])
  })

  test('does not count again what a continued run asks for again', () => {
    let calls = 0
    const counting = watched({ valueAndGradient: all.valueAndGradient as never }, () => ++calls)
    const { evaluations } = minimizeSync(counting, state.x, optimizer, { maxIterations: 8, resume: state })
    expect(calls).toBe(evaluations - state.evaluations + 1)
  })

  test('continues in either form, also on the compute thread', async () => {
    const many = valley('float64', 400).all
    const from = Array.from({ length: 400 }, (_, i) => Math.sin(i))
    const whole = await minimize(many, from, optimizer, { maxIterations: 10 })
    const first = await minimize(many, from, optimizer, { maxIterations: 4 })
    const options = { maxIterations: 10, resume: first.state }
    expect(await minimize(many, first.x, optimizer, options)).toEqual(whole)
    expect(minimizeSync(many, first.x, optimizer, options)).toEqual(whole)
  })

  test('that is at its end already is the result', () => {
    const {
      x,
      evaluations,
      reason,
      state: same,
    } = minimizeSync(all, state.x, optimizer, { maxIterations: 5, resume: state })
    expect([x, reason, same]).toEqual([state.x, 'maxIterations', state])
    expect(evaluations).toBe(state.evaluations)
  })

  test.each(cases)('of a run that was aborted in an iteration leads to the same place: %s', (_, method) => {
    const whole = minimizeSync(all, start, method, { maxIterations: iterations })
    for (const calls of [1, 2, 7, 12, 23]) {
      const controller = new AbortController()
      let count = 0
      const problem = watched(all, () => {
        if (++count === calls) controller.abort()
      })
      const first = minimizeSync(problem, start, method, { maxIterations: iterations, signal: controller.signal })
      const second = minimizeSync(all, first.x, method, { maxIterations: iterations, resume: first.state })
      expect([second.x, second.iterations]).toEqual([whole.x, whole.iterations])
    }
  })

  test('that does not fit is refused', () => {
    type Changes = { [key: string]: unknown }
    const refused =
      (changes: Changes, method: MinimizerOption = optimizer, x0: ArrayLike<number> = start5) =>
      () =>
        minimizeSync(all, x0, method, { resume: { ...state, ...changes } as MinimizeState })
    const start5 = state.x
    const changed = (changes: Changes) => ({ optimizer: { ...state.optimizer, ...changes } })
    const { values, numbers = {}, arrays = {} } = state.optimizer

    expectError(refused({}, bfgs()), 'ERR_OPTION', 'resume.optimizer.kind', "'bfgs'", "'lbfgs'")
    expectError(refused({}, lbfgs({ history: 2 })), 'ERR_STATE', 'history')
    expectError(refused({}, optimizer, [...start5.slice(1), 0]), 'ERR_OPTION', 'x0', 'the x of the state to resume')
    expectError(refused({}, optimizer, [1, 2]), 'ERR_SHAPE', 'resume.x', 'length 2')
    expectError(refused({ x: [1, 2, 3, Number.NaN] }), 'ERR_NOT_FINITE', 'resume.x[3]')
    expectError(refused({ iterations: -1 }), 'ERR_OPTION', 'resume.iterations')
    expectError(refused({ evaluations: 0.5 }), 'ERR_OPTION', 'resume.evaluations')
    expectError(refused({ value: 'none' }), 'ERR_OPTION', 'resume.value')
    expectError(refused({ gradientKnown: 1 }), 'ERR_OPTION', 'resume.gradientKnown')
    expectError(refused({ updates: 5 }), 'ERR_OPTION', "unknown member 'updates'")
    expectError(refused({ optimizer: null }), 'ERR_OPTION', 'resume.optimizer')
    expectError(refused(changed({ values: { ...values, s0: [1, 2] } })), 'ERR_SHAPE', 'resume.optimizer.values.s0')
    expectError(
      refused(changed({ values: { ...values, s0: [1, 2, 3, Number.NaN] } })),
      'ERR_NOT_FINITE',
      'resume.optimizer.values.s0[3]',
    )
    expectError(refused(changed({ values: { s0: values.s0 } })), 'ERR_STATE', 'one a pair')
    expectError(refused(changed({ values: { ...values, s7: values.s0 } })), 'ERR_OPTION', "unknown name 's7'")
    expectError(
      refused(changed({ numbers: { ...numbers, evaluation: 1 } })),
      'ERR_OPTION',
      "unknown name 'evaluation'; did you mean 'evaluations'?",
    )
    expectError(refused(changed({ numbers: {} })), 'ERR_OPTION', 'resume.optimizer.numbers.evaluations', 'a number')
    expectError(refused(changed({ numbers: { ...numbers, known: Number.NaN } })), 'ERR_OPTION', 'numbers.known')
    expectError(refused(changed({ arrays: { ...arrays, pairScales: [1] } })), 'ERR_STATE', 'pairScales')
    expectError(() => minimizeSync(all, start5, optimizer, { resume: 3 as never }), 'ERR_OPTION', 'resume', 'an object')
  })
})
