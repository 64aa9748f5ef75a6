// What every solver promises whatever it is given: reasons, iterates, aborts, errors, and functions of the caller.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { DType, LinearOperator, SolveIteration } from '../src/index.js'
import {
  conjugateGradient,
  conjugateGradientSync,
  denseOperator,
  identityOperator,
  lanczos,
  lanczosSync,
  leastSquares,
  leastSquaresSync,
  minres,
  minresSync,
  steihaug,
  steihaugSync,
} from '../src/index.js'
import { expectRelative, largest } from './support/compare.js'
import { expectError, expectRejection } from './support/errors.js'
import type { Operator } from './support/solvers.js'
import { b, diagonal, foreign, n, native, observed, rows, solvers, times, untimed, zero } from './support/solvers.js'

describe('reasons instead of errors', () => {
  test.each(observed)('%s: an operator that makes NaN', async (_, solve) => {
    let calls = 0
    const operator = foreign((v) => (++calls > 3 ? v.fill(NaN) : Float64Array.from(times(rows, v))))
    const result = (await solve(operator)) as { reason: string; solution?: Float64Array; step?: Float64Array }
    expect(result.reason).toBe('notFinite')
    expect(largest(result.solution ?? result.step ?? [])).toBeLessThan(Infinity)
  })
  test('lanczos with NaN keeps what it had', () => {
    let calls = 0
    const operator = foreign((v) => (++calls > 3 ? v.fill(NaN) : Float64Array.from(times(rows, v))))
    const result = lanczosSync(operator, b)
    expect(result.reason).toBe('notFinite')
    expectRelative(result.alpha, lanczosSync(native(), b, { steps: 3 }).alpha, 1e-12)
  })
  test.each(['conjugateGradient', 'minres', 'steihaug'])('%s: a preconditioner that is not definite', async (name) => {
    const solve = new Map(solvers).get(name)
    const result = (await solve?.(native(), { preconditioner: diagonal(() => -1) })) as { reason: string }
    expect(result.reason).toBe('preconditioner')
  })
})

describe('iterations', () => {
  test.each(observed)('%s tells every iterate, by copies', async (_, solve) => {
    for (const make of [native, foreign]) {
      const seen: SolveIteration<'float64'>[] = []
      const onIteration = (iteration: SolveIteration<'float64'>): void => {
        seen.push({ ...iteration, solution: iteration.solution.slice() })
        iteration.solution.fill(NaN)
      }
      const result = (await solve(make(), { onIteration, maxIterations: 4, tolerance: 0 })) as {
        iterations: number
        solution?: Float64Array
        step?: Float64Array
        residualNorm: number
      }
      expect(seen.map(({ iteration }) => iteration)).toEqual([0, 1, 2, 3, 4])
      expect(result.iterations).toBe(4)
      expect(seen[0]?.solution).toEqual(zero)
      expect(seen.at(-1)?.solution).toEqual(result.solution ?? result.step)
      expect(seen.at(-1)?.residualNorm).toBe(result.residualNorm)
    }
  })

  const error = new RangeError('mine')
  const thrower = (): never => {
    throw error
  }
  test.each(observed)('%s: what onIteration throws comes through', async (_, solve) => {
    for (const make of [native, foreign]) {
      await expect((async () => solve(make(), { onIteration: thrower }))()).rejects.toBe(error)
    }
  })
  test.each(solvers)('%s: what an operator throws comes through', async (_, solve) => {
    await expect((async () => solve(foreign(thrower)))()).rejects.toBe(error)
  })
  test.each(solvers)('%s: an operator that returns something else', async (name, solve) => {
    const broken = (value: unknown): Operator => ({
      shape: [n, n],
      dtype: 'float64',
      tags: ['symmetric'],
      matvec: () => value as Float64Array<ArrayBuffer>,
    })
    const run = async (value: unknown) => solve(broken(value))
    await expectRejection(
      () => run(new Float64Array(n + 1)),
      'ERR_SHAPE',
      "operator.matvec's result",
      `length ${n + 1}`,
    )
    await expectRejection(() => run(new Float32Array(n)), 'ERR_DTYPE', "operator.matvec's result")
    await expectRejection(() => run(Promise.resolve()), 'ERR_DTYPE', "operator.matvec's result")
    expect(name).not.toBe('')
  })
})

describe('aborts', () => {
  test.each(solvers)('%s: before the start', async (_, solve) => {
    const signal = AbortSignal.abort()
    for (const make of [native, foreign]) {
      const result = (await solve(make(), { signal })) as { reason: string; products: number }
      expect(result.reason).toBe('aborted')
      expect(result.products).toBe(0)
    }
  })

  test('a residual that nothing was computed of is NaN', () => {
    const signal = AbortSignal.abort()
    for (const make of [native, foreign]) {
      expect(leastSquaresSync(make(), b, { signal }).residualNorm).toBe(NaN)
      expect(leastSquaresSync(make(), b, { signal, initial: b }).residualNorm).toBe(NaN)
      expect(minresSync(make(), b, { signal, preconditioner: diagonal(() => 1) }).residualNorm).toBe(NaN)
      expect(lanczosSync(make(), b, { signal }).lastBeta).toBe(NaN)
    }
    expect(leastSquaresSync(native(), zero, { signal }).residualNorm).toBe(0)
  })

  test.each(observed)('%s: by a listener', async (_, solve) => {
    for (const make of [native, foreign]) {
      const controller = new AbortController()
      const onIteration = ({ iteration }: SolveIteration): void => {
        if (iteration === 2) controller.abort()
      }
      const result = (await solve(make(), { signal: controller.signal, onIteration, tolerance: 0 })) as {
        reason: string
        iterations: number
      }
      expect([result.reason, result.iterations]).toEqual(['aborted', 2])
    }
  })

  test.each(solvers)('%s: by the operator itself', async (_, solve) => {
    const controller = new AbortController()
    let calls = 0
    const operator = foreign((v) => {
      if (++calls === 3) controller.abort()
      return Float64Array.from(times(rows, v))
    })
    const result = (await solve(operator, { signal: controller.signal })) as { reason: string }
    expect(result.reason).toBe('aborted')
    expect(calls).toBe(3)
  })

  test('by a timer, while JavaScript multiplies', async () => {
    const controller = new AbortController()
    const slow = foreign((v) => {
      const end = performance.now() + 1
      while (performance.now() < end);
      return Float64Array.from(v, (x, i) => (1 + i) ** 4 * x)
    })
    const timer = setTimeout(() => controller.abort(), 20)
    const result = await minres(slow, b, { tolerance: 0, maxIterations: 1e6, signal: controller.signal })
    clearTimeout(timer)
    expect(result.reason).toBe('aborted')
    expect(result.solution.every(Number.isFinite)).toBe(true)
  })

  test('by a timer, while native code multiplies; the event loop goes on', async () => {
    const size = 1500
    const data = Float64Array.from({ length: size * size }, (_, k) => Math.sin((k % size) * Math.floor(k / size)))
    const operator = denseOperator({ data, shape: [size, size] })
    const rhs = new Float64Array(size).fill(1)
    let ticks = 0
    const interval = setInterval(() => ticks++, 2)
    const controller = new AbortController()
    const pending = lanczos(operator, rhs, { steps: size, signal: controller.signal })
    await sleep(60)
    const product = operator.matvec(rhs)
    controller.abort()
    const result = await pending
    clearInterval(interval)
    expect(result.reason).toBe('aborted')
    expect(result.products).toBeGreaterThan(0)
    expect(product).toEqual(operator.matvec(rhs))
    expect(ticks).toBeGreaterThan(2)
  })

  test('two at once, and an operator disposed while it is used', async () => {
    const operator = native()
    const expected = untimed(conjugateGradientSync(operator, b))
    const pending = Promise.all([conjugateGradient(operator, b), conjugateGradient(operator, b)])
    ;(operator as { dispose?: () => void }).dispose?.()
    expect((await pending).map(untimed)).toEqual([expected, expected])
    await expectRejection(() => conjugateGradient(operator, b), 'ERR_STATE', 'disposed')
  })
})

test('solvers inside the functions of a solver', () => {
  const inner = foreign((v) => conjugateGradientSync(native(), v, { tolerance: 1e-14 }).solution)
  const result = conjugateGradientSync(inner, b, { tolerance: 1e-10 })
  expect(result.reason).toBe('converged')
  expectRelative(result.solution, times(rows, b), 1e-8)
})

describe('misuse', () => {
  const single = denseOperator(rows)
  const wide: Operator = denseOperator([[1, 2]], { dtype: 'float64' })
  const bad = (value: unknown): never => value as never
  const cg = (options: object) => conjugateGradient(native(), b, options)
  const table: [string, () => unknown, Parameters<typeof expectRejection>[1], ...string[]][] = [
    ['no operator', () => conjugateGradient(bad(null), b), 'ERR_OPTION', 'operator', 'null'],
    ['a wide operator', () => conjugateGradient(wide, Float64Array.of(1)), 'ERR_SHAPE', 'square', '[1, 2]'],
    ['minres of a wide one', () => minres(wide, Float64Array.of(1)), 'ERR_SHAPE', 'square'],
    ['lanczos of a wide one', () => lanczos(wide, Float64Array.of(1)), 'ERR_SHAPE', 'square'],
    ['steihaug of a wide one', () => steihaug(wide, Float64Array.of(1), { radius: 1 }), 'ERR_SHAPE', 'square'],
    [
      'a short right-hand side',
      () => conjugateGradient(native(), new Float64Array(3)),
      'ERR_SHAPE',
      'rhs',
      'length 12',
      'length 3',
    ],
    [
      'one of the other dtype',
      () => conjugateGradient(native(), bad(new Float32Array(n))),
      'ERR_DTYPE',
      'rhs',
      'Float64Array',
    ],
    [
      'one with NaN',
      () =>
        conjugateGradient(
          native(),
          b.map((x, i) => (i === 2 ? NaN : x)),
        ),
      'ERR_NOT_FINITE',
      'rhs[2]',
      'NaN',
    ],
    [
      'a gradient with infinity',
      () => steihaug(native(), new Float64Array(n).fill(Infinity), { radius: 1 }),
      'ERR_NOT_FINITE',
      'gradient[0]',
    ],
    ['a short start', () => cg({ initial: new Float64Array(1) }), 'ERR_SHAPE', 'conjugateGradient initial'],
    [
      'a start of Lanczos with NaN',
      () => lanczos(native(), new Float64Array(n).fill(NaN)),
      'ERR_NOT_FINITE',
      'start[0]',
    ],
    [
      'a preconditioner of another size',
      () => cg({ preconditioner: identityOperator(3, { dtype: 'float64' }) }),
      'ERR_SHAPE',
      'preconditioner',
      '[12, 12]',
      '[3, 3]',
    ],
    [
      'a preconditioner of the other dtype',
      () => cg({ preconditioner: single }),
      'ERR_DTYPE',
      'preconditioner',
      'float64',
    ],
    [
      'a preconditioner that is a function',
      () => cg({ preconditioner: (v: unknown) => v }),
      'ERR_OPTION',
      'preconditioner',
    ],
    ['a misspelt option', () => cg({ tolerence: 1 }), 'ERR_OPTION', "did you mean 'tolerance'"],
    ['options that are a number', () => conjugateGradient(native(), b, bad(3)), 'ERR_OPTION', 'options'],
    ['a negative tolerance', () => cg({ tolerance: -1 }), 'ERR_OPTION', 'conjugateGradient tolerance', '-1'],
    ['half an iteration', () => cg({ maxIterations: 0.5 }), 'ERR_OPTION', 'maxIterations'],
    ['no radius', () => cg({ radius: 0 }), 'ERR_OPTION', 'radius', '> 0'],
    ['a radius and a start', () => cg({ radius: 1, initial: b }), 'ERR_OPTION', 'initial', 'radius'],
    ['steihaug without a radius', () => steihaug(native(), b, bad({})), 'ERR_OPTION', 'steihaug radius'],
    ['an unknown way', () => cg({ onNegativeCurvature: 'abs' }), 'ERR_OPTION', 'onNegativeCurvature', "'absolute'"],
    ['progress without a tolerance', () => cg({ progress: {} }), 'ERR_OPTION', 'progress.tolerance'],
    ['iterates that do not grow', () => cg({ storeIterates: { growth: 1 } }), 'ERR_OPTION', 'storeIterates.growth'],
    ['a listener that is none', () => cg({ onIteration: 3 }), 'ERR_OPTION', 'onIteration'],
    ['a signal that is none', () => cg({ signal: {} }), 'ERR_OPTION', 'signal', 'AbortSignal'],
    ['negative damping', () => leastSquares(native(), b, { damping: -1 }), 'ERR_OPTION', 'leastSquares damping'],
    ['no steps', () => lanczos(native(), b, { steps: 0 }), 'ERR_OPTION', 'lanczos steps'],
    [
      'a flag that is a word',
      () => minres(native(), b, { stopAtNegativeCurvature: bad('yes') }),
      'ERR_OPTION',
      'stopAtNegativeCurvature',
    ],
  ]
  test.each(table)('%s', async (_, action, code, ...parts) => {
    await expectRejection(action, code, ...parts)
  })

  test('the synchronous forms throw', () => {
    expectError(() => conjugateGradientSync(native(), new Float64Array(3)), 'ERR_SHAPE', 'rhs')
    expectError(() => minresSync(native(), new Float64Array(3)), 'ERR_SHAPE', 'rhs')
    expectError(() => leastSquaresSync(native(), new Float64Array(3)), 'ERR_SHAPE', 'rhs')
    expectError(() => lanczosSync(native(), new Float64Array(3)), 'ERR_SHAPE', 'start')
    expectError(() => steihaugSync(native(), new Float64Array(3), { radius: 1 }), 'ERR_SHAPE', 'gradient')
  })

  test('vectors over shared memory are taken as copies', async () => {
    const shared = new Float64Array(new SharedArrayBuffer(8 * n))
    shared.set(b)
    const operator: LinearOperator<DType> = native() as LinearOperator<DType>
    const { solution } = await conjugateGradient(operator, shared)
    expect(solution).toEqual(conjugateGradientSync(native(), b).solution)
  })
})
