// Preconditioners that a solve leaves for the next one, and those of the optimizers.
import { describe, expect, test } from 'vitest'
import type {
  ConjugateGradientOptions,
  LinearOperator,
  MinimizeProblem,
  PreconditionerOptions,
  TrainingState,
} from '../src/index.js'
import {
  conjugateGradient,
  conjugateGradientSync,
  createModel,
  createTrainer,
  damped,
  dense,
  denseOperator,
  functionOperator,
  hessianFree,
  krylovSubspaceDescent,
  lbfgsPreconditioner,
  linearize,
  meanSquaredError,
  minimizeSync,
} from '../src/index.js'
import { expectRelative } from './support/compare.js'
import { expectError, expectRejection } from './support/errors.js'

const size = 60
/** From 1 to 1e4 along directions that are nobody's axes: a reflected diagonal. */
const spectrum = Array.from({ length: size }, (_, i) => 10 ** ((4 * i) / (size - 1)))
const mirror = Array.from({ length: size }, (_, i) => Math.sin(3 * i + 1))
const mirrorSquare = mirror.reduce((sum, x) => sum + x * x, 0)
const reflected = (i: number, j: number): number => {
  const [a = 0, b = 0] = [mirror[i], mirror[j]]
  const middle = mirror.reduce((sum, x, k) => sum + x * x * (spectrum[k] as number), 0)
  const own = i === j ? (spectrum[i] as number) : 0
  const crossed = (2 / mirrorSquare) * a * b * ((spectrum[i] as number) + (spectrum[j] as number))
  return own - crossed + (4 * a * b * middle) / mirrorSquare ** 2
}
const matrix = Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => reflected(i, j)))
const rhs = Float64Array.from({ length: size }, (_, i) => Math.cos(7 * i))
const native = denseOperator(matrix, { dtype: 'float64', tags: ['symmetric', 'positiveDefinite'] })
const foreign = functionOperator({ size, dtype: 'float64', tags: native.tags, matvec: (v) => native.matvec(v) })
const operators: [string, LinearOperator<'float64'>][] = [
  ['native', native],
  ['JavaScript', foreign],
]

describe.each(operators)('pairs of conjugate gradients on a %s operator', (_, operator) => {
  const options: ConjugateGradientOptions<'float64'> = { tolerance: 1e-8, shift: 0.5 }

  test.each(['spread', 'last'] as const)('%s: products with directions, which help the next solve', async (choice) => {
    const plain = conjugateGradientSync(operator, rhs, options)
    const collecting = { ...options, collectPairs: { history: 20, choice } }
    const first = conjugateGradientSync(operator, rhs, collecting)
    const { productSeconds: _, ...later } = await conjugateGradient(operator, rhs, collecting)
    expect(plain.pairs).toBeUndefined()
    expect(first).toMatchObject(later)
    expect(first.solution).toEqual(plain.solution)
    const { pairs = [] } = first
    expect(pairs.length).toBeGreaterThan(10)
    expect(pairs.length).toBeLessThanOrEqual(20)
    for (const { s, y } of pairs) expectRelative(damped(native, 0.5).matvec(s), y, 1e-12)
    const preconditioner = lbfgsPreconditioner(pairs)
    const second = conjugateGradientSync(operator, rhs, { ...options, preconditioner })
    expect(second.reason).toBe('converged')
    expect(second.iterations).toBeLessThan(plain.iterations)
    expectRelative(second.solution, plain.solution, 1e-6)
  })

  test('no more than asked for, none where nothing is to do', () => {
    expect(conjugateGradientSync(operator, rhs, { collectPairs: {} }).pairs?.length).toBeLessThanOrEqual(10)
    expect(conjugateGradientSync(operator, rhs, { collectPairs: { history: 1 } }).pairs).toHaveLength(1)
    expect(conjugateGradientSync(operator, new Float64Array(size), { collectPairs: {} }).pairs).toEqual([])
  })
})

const data = {
  inputs: Array.from({ length: 80 }, (_, n) =>
    Array.from({ length: 30 }, (_, i) => Math.sin((n + 1) * (i + 2)) / 1.2 ** i),
  ),
  targets: Array.from({ length: 80 }, (_, n) => [Math.cos(n)]),
}
const linear = () => createModel({ inputs: 30, layers: [dense(1)], seed: 1, dtype: 'float64' })

test('pairs of a point are in public order', () => {
  const point = linearize(linear(), data, meanSquaredError())
  const curvature = damped(point.ggn(), 1e-4)
  const options = { tolerance: 1e-9 }
  const { pairs = [], iterations } = conjugateGradientSync(curvature, point.gradient(), {
    ...options,
    collectPairs: { history: 20 },
  })
  for (const { s, y } of pairs) expectRelative(curvature.matvec(s), y, 1e-12)
  const preconditioner = lbfgsPreconditioner(pairs)
  const again = conjugateGradientSync(curvature, point.gradient(), { ...options, preconditioner })
  expect(again.iterations).toBeLessThan(iterations)
})

test.each<[string, unknown, string]>([
  ['history 0', { history: 0 }, 'collectPairs.history'],
  ['a fraction', { history: 1.5 }, 'collectPairs.history'],
  ['another choice', { choice: 'first' }, 'collectPairs.choice'],
  ['another option', { count: 3 }, 'collectPairs'],
])('misuse of collectPairs: %s', async (_, collectPairs, name) => {
  const options = { collectPairs } as ConjugateGradientOptions<'float64'>
  expectError(() => conjugateGradientSync(native, rhs, options), 'ERR_OPTION', name)
  await expectRejection(() => conjugateGradient(native, rhs, options), 'ERR_OPTION', name)
})

const kinds: readonly [string, PreconditionerOptions][] = [
  ['martens', { kind: 'martens', every: 2 }],
  ['ggnDiagonal', { kind: 'ggnDiagonal', draws: 0 }],
  ['hutchinson', { kind: 'hutchinson', draws: 10, every: 2 }],
  ['kfac', { kind: 'kfac', every: 2 }],
  ['exact kfac', { kind: 'kfac', draws: 0, form: 'exact' }],
  ['lbfgs', { kind: 'lbfgs', history: 20 }],
]

describe.each(kinds)('hessianFree with %s', (name, preconditioner) => {
  const loss = meanSquaredError()

  test('needs fewer iterations for the same step', () => {
    /** The second update's: the first one leaves the point where it is, but for rounding. */
    const second = (options: PreconditionerOptions): readonly [number, number] => {
      const optimizer = hessianFree({
        damping: 1e-4,
        cg: { tolerance: 1e-9, progressTolerance: 0 },
        warmStartDecay: 0,
        backtracking: false,
        lineSearch: false,
        learningRate: 1e-9,
        preconditioner: options,
      })
      const trainer = createTrainer(linear(), { loss, optimizer })
      trainer.step(data)
      const { numbers = {} } = trainer.step(data)
      return [numbers.cgIterations ?? NaN, numbers.stepNorm ?? NaN]
    }
    const [plain, length] = second({ kind: 'none' })
    const [helped, same] = second(preconditioner)
    expect(helped).toBeLessThan(name === 'exact kfac' ? 4 : plain)
    expect(Math.abs(same - length)).toBeLessThan(1e-6 * length)
  })

  test('goes on from a state to the same bits, through JSON', () => {
    const deep = () => createModel({ inputs: 30, layers: [dense(5, 'tanh'), dense(1)], seed: 2, dtype: 'float64' })
    const optimizer = hessianFree({ preconditioner })
    const model = deep()
    const trainer = createTrainer(model, { loss, optimizer })
    for (let i = 0; i < 3; i++) trainer.step(data)
    const other = deep()
    other.setParameters(model.parameters)
    const json = JSON.stringify(trainer.state(), (_, value) =>
      ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value,
    )
    const state = JSON.parse(json) as TrainingState
    const resumed = createTrainer(other, { loss, optimizer })
    resumed.setState(state)
    for (let i = 0; i < 3; i++) expect(resumed.step(data)).toEqual(trainer.step(data))
    expect(other.parameters).toEqual(model.parameters)
  })
})

describe('functions of JavaScript', () => {
  const bowl: MinimizeProblem = {
    valueAndGradient: (x, gradient) => {
      gradient.set(x.map((value, i) => (spectrum[i] as number) * (value - 1)))
      return x.reduce((sum, value, i) => sum + ((spectrum[i] as number) / 2) * (value - 1) ** 2, 0)
    },
    hessianProduct: (_, v, out) => out.set(v.map((value, i) => (spectrum[i] as number) * value)),
  }
  const optimizer = (preconditioner: PreconditionerOptions) =>
    hessianFree({
      curvature: 'hessian',
      damping: 1e-3,
      cg: { tolerance: 1e-6, progressTolerance: 0, maxIterations: 500 },
      warmStartDecay: 0,
      gradientTolerance: 1e-6,
      preconditioner,
    })

  test.each<PreconditionerOptions>([
    { kind: 'hutchinson', exponent: 1 },
    { kind: 'lbfgs', history: 30 },
  ])('$kind serves', (preconditioner) => {
    const x0 = Array.from({ length: size }, (_, i) => Math.sin(i))
    const solve = (options: PreconditionerOptions): number[] => {
      const iterations: number[] = []
      const { converged } = minimizeSync(bowl, x0, optimizer(options), {
        onIteration: ({ numbers = {} }) => void iterations.push(numbers.cgIterations ?? 0),
      })
      expect(converged).toBe('gradientTolerance')
      return iterations
    }
    const last = (iterations: readonly number[]): number => iterations[1] ?? NaN
    expect(last(solve(preconditioner))).toBeLessThan(last(solve({ kind: 'none' })))
  })

  test.each(['martens', 'ggnDiagonal', 'kfac'] as const)('%s wants a network', (kind) => {
    const solve = () => minimizeSync(bowl, [0, 0], optimizer({ kind }))
    expectError(solve, 'ERR_OPTION', 'preconditioner.kind', "'hutchinson', 'lbfgs' or 'none'")
  })
})

test.each<[string, () => unknown, string, string]>([
  ['no product', () => hessianFree({ preconditioner: { kind: 'hutchinson', draws: 0 } }), '.draws', '>= 1'],
  ['form', () => hessianFree({ preconditioner: { form: 'exact' } }), 'preconditioner.form', "'martens'"],
  ['exponent', () => hessianFree({ preconditioner: { kind: 'kfac', exponent: 1 } }), '.exponent', "'kfac'"],
  ['history', () => krylovSubspaceDescent({ preconditioner: { kind: 'kfac', history: 3 } }), '.history', "'kfac'"],
  ['every', () => krylovSubspaceDescent({ preconditioner: { kind: 'lbfgs', every: 2 } }), '.every', "'lbfgs'"],
  ['floor', () => krylovSubspaceDescent({ preconditioner: { kind: 'lbfgs', floor: 0 } }), '.floor', "'lbfgs'"],
])('options that a kind has no use for: %s', (_, make, ...parts) => {
  expectError(make, 'ERR_OPTION', ...parts)
})
