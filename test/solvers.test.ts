// Solvers beyond the golden numbers: their options, native and in JavaScript, in both forms.
import { describe, expect, test } from 'vitest'
import type { ConjugateGradientOptions } from '../src/index.js'
import {
  conjugateGradient,
  conjugateGradientSync,
  damped,
  denseOperator,
  functionOperator,
  lanczos,
  lanczosSync,
  leastSquares,
  leastSquaresSync,
  minres,
  minresSync,
  steihaug,
  steihaugSync,
} from '../src/index.js'
import { expectClose, expectRelative } from './support/compare.js'
import { expectError, expectRejection } from './support/errors.js'
import type { Operator } from './support/solvers.js'
import {
  b,
  diagonal,
  difference,
  foreign,
  n,
  native,
  operators,
  rows,
  times,
  untimed,
  zero,
} from './support/solvers.js'

describe.each(operators)('a %s operator', (_, make) => {
  test('conjugate gradients solve it, both forms to the same bits', async () => {
    const options = { tolerance: 1e-12 }
    const result = await conjugateGradient(make(), b, options)
    expect(result.reason).toBe('converged')
    expect(result.iterations).toBeLessThanOrEqual(n + 1)
    expectRelative(times(rows, result.solution), b, 1e-11)
    expect(result.residualNorm).toBeLessThanOrEqual(1e-12 * Math.hypot(...b))
    const value = result.solution.reduce((sum, x, i) => sum - (x * (b[i] as number)) / 2, 0)
    expectClose([result.quadratic], [value], 1e-12 * Math.abs(value))
    expect(untimed(conjugateGradientSync(make(), b, options))).toEqual(untimed(result))
    expect(result).not.toHaveProperty('direction')
    expect(result).not.toHaveProperty('storedIterates')
  })

  test('minres solves it, shifted', async () => {
    const result = await minres(make(), b, { tolerance: 1e-12, shift: 3.5 })
    expect(result.reason).toBe('converged')
    const shifted = times(rows, result.solution).map((value, i) => value - 3.5 * (result.solution[i] as number))
    expectRelative(shifted, b, 1e-10)
    expect(untimed(minresSync(make(), b, { tolerance: 1e-12, shift: 3.5 }))).toEqual(untimed(result))
  })

  test('least squares', async () => {
    const result = await leastSquares(make(), b, { tolerance: 1e-13 })
    expect(result.reason).toBe('converged')
    expectRelative(times(rows, result.solution), b, 1e-9)
    // A product with A and one with its transpose an iteration, and one with the transpose to begin with.
    expect(result.products).toBe(2 * result.iterations + 1)
    expect(untimed(leastSquaresSync(make(), b, { tolerance: 1e-13 }))).toEqual(untimed(result))
  })

  test('all steps of Lanczos find all eigenvalues', async () => {
    const result = await lanczos(make(), b)
    expectRelative(
      result.ritzValues,
      Array.from({ length: n }, (_, i) => i + 1),
      1e-12,
    )
    expectClose(result.ritzResiduals, zero, 1e-12)
    expect(result.basis?.shape).toEqual([n, n])
    expect(lanczosSync(make(), b)).toEqual(result)
  })

  test('an approximate inverse as preconditioner', async () => {
    const inverse = [
      diagonal((i) => 1 / (rows[i]?.[i] as number)),
      foreign((v) => v.map((x, i) => x / (rows[i]?.[i] as number))),
    ]
    const [first, second] = await Promise.all(
      inverse.map((preconditioner) => conjugateGradient(make(), b, { preconditioner, tolerance: 1e-12 })),
    )
    expect(first?.reason).toBe('converged')
    expectRelative(times(rows, first?.solution ?? []), b, 1e-11)
    expectRelative(second?.solution ?? [], first?.solution ?? [], 1e-12)
    const minimal = await minres(make(), b, { preconditioner: inverse[0] as Operator, tolerance: 1e-12 })
    expectRelative(times(rows, minimal.solution), b, 1e-10)
  })

  test('a shift is damping', () => {
    const shifted = conjugateGradientSync(make(), b, { shift: 2, tolerance: 1e-12 })
    const other = conjugateGradientSync(damped(make(), 2), b, { tolerance: 1e-12 })
    expectRelative(shifted.solution, other.solution, 1e-12)
    expect(shifted.products).toBe(other.products)
  })
})

test('float32 vectors, scalars in float64', () => {
  const operator = denseOperator(rows, { dtype: 'float32' })
  const result = conjugateGradientSync(operator, Float32Array.from(b), { tolerance: 1e-6 })
  expect(result.solution).toBeInstanceOf(Float32Array)
  expectRelative(times(rows, result.solution), b, 2e-6)
})

describe('conjugate gradients', () => {
  const solve = (options: ConjugateGradientOptions<'float64'>) => conjugateGradientSync(native(), b, options)

  test('a start, and iterations at most', () => {
    const exact = solve({ tolerance: 1e-14 }).solution
    const warm = solve({ initial: exact, tolerance: 1e-8 })
    expect([warm.reason, warm.iterations, warm.products]).toEqual(['converged', 0, 1])
    expect(warm.solution).toEqual(exact)
    const cut = solve({ tolerance: 0, maxIterations: 3 })
    expect([cut.reason, cut.iterations, cut.products]).toEqual(['maxIterations', 3, 3])
    const none = solve({ maxIterations: 0 })
    expect([none.reason, none.products]).toEqual(['maxIterations', 0])
    expect(none.solution).toEqual(zero)
  })

  test('nothing to solve', () => {
    const result = conjugateGradientSync(native(), zero, { initial: b })
    expect([result.reason, result.products]).toEqual(['converged', 0])
    expect(result.solution).toEqual(zero)
  })

  test('an absolute tolerance', () => {
    const seen: number[] = []
    const result = solve({
      tolerance: 0,
      absoluteTolerance: 0.05,
      onIteration: ({ residualNorm }) => {
        seen.push(residualNorm)
      },
    })
    expect(result.reason).toBe('converged')
    expect(seen.findIndex((norm) => norm <= 0.05)).toBe(result.iterations)
  })

  test('stored iterates', () => {
    const iterates: Float64Array[] = []
    const result = solve({
      tolerance: 0,
      maxIterations: 11,
      storeIterates: { first: 2, growth: 1.5 },
      onIteration: ({ solution }) => {
        iterates.push(solution)
      },
    })
    // ⌈2⌉, ⌈3⌉, ⌈4.5⌉, ⌈6.75⌉, ⌈10.1⌉, which is the last.
    expect(result.storedIterates?.map(({ iteration }) => iteration)).toEqual([2, 3, 5, 7, 11])
    for (const { iteration, solution } of result.storedIterates ?? []) expect(solution).toEqual(iterates[iteration])
    const defaults = solve({ tolerance: 0, maxIterations: 9, storeIterates: {} })
    expect(defaults.storedIterates?.map(({ iteration }) => iteration)).toEqual([5, 7, 9])
  })

  test('progress', () => {
    const q: number[] = []
    const [window, tolerance] = [2, 1e-3]
    const result = solve({
      tolerance: 0,
      progress: { tolerance, window, fraction: 0 },
      onIteration: ({ quadratic }) => {
        q.push(quadratic)
      },
    })
    expect(result.reason).toBe('progress')
    const spent = q.findIndex((now, i) => i > window && (now - (q[i - window] as number)) / now < window * tolerance)
    expect(result.iterations).toBe(spent)
  })

  test('the residual anew', () => {
    const plain = solve({ tolerance: 0, maxIterations: 6 })
    const anew = solve({ tolerance: 0, maxIterations: 6, recomputeEvery: 2 })
    expect(anew.products).toBe(plain.products + 3)
    expectRelative(anew.solution, plain.solution, 1e-10)
    const residual = difference(b, times(rows, anew.solution))
    expectClose([anew.residualNorm], [Math.hypot(...residual)], 1e-13)
  })

  test('a radius', () => {
    const free = solve({ tolerance: 1e-12 })
    const radius = 0.5 * Math.hypot(...free.solution)
    const bounded = solve({ tolerance: 1e-12, radius })
    expect(bounded.reason).toBe('boundary')
    expectClose([Math.hypot(...bounded.solution)], [radius], 1e-12)
    expect(bounded.quadratic).toBeGreaterThan(free.quadratic)
    expect(solve({ tolerance: 1e-12, radius: 2 * Math.hypot(...free.solution) }).reason).toBe('converged')
  })

  test('negative curvature', () => {
    const operator = diagonal((i) => (i === 3 ? -2 : i + 1))
    const stopped = conjugateGradientSync(operator, b)
    expect(stopped.reason).toBe('negativeCurvature')
    const p = stopped.direction as Float64Array
    const curvature = p.reduce((sum, x, i) => sum + (i === 3 ? -2 : i + 1) * x * x, 0)
    expect(curvature).toBeLessThan(0)
    expectClose([stopped.curvature as number], [curvature], 1e-12 * Math.abs(curvature))
    const first = conjugateGradientSync(
      diagonal(() => -1),
      b,
    )
    expect([first.reason, first.iterations, first.products]).toEqual(['negativeCurvature', 0, 1])
    expect(first.direction).toEqual(b)
    expect(first.solution).toEqual(zero)
    const absolute = conjugateGradientSync(operator, b, { onNegativeCurvature: 'absolute', maxIterations: 5 })
    expect(absolute.reason).toBe('maxIterations')
    expect(absolute.iterations).toBe(5)
  })
})

describe('least squares', () => {
  const height = 20
  const matrix = Array.from({ length: height }, (_, i) =>
    Array.from({ length: 4 }, (_, j) => Math.sin(i * (j + 1) + j)),
  )
  const rhs = Float64Array.from({ length: height }, (_, i) => Math.cos(i * i))
  const columns = matrix[0]?.map((_, j) => matrix.map((row) => row[j] as number)) ?? []
  const operatorsOf: [string, Operator][] = [
    ['native', denseOperator(matrix, { dtype: 'float64' })],
    [
      'JavaScript',
      functionOperator({
        shape: [height, 4],
        dtype: 'float64',
        matvec: (v) => Float64Array.from(times(matrix, v)),
        matvecTransposed: (u) => Float64Array.from(times(columns, u)),
      }),
    ],
  ]
  test.each(operatorsOf)('%s: the gradient vanishes, damped or not, from any start', async (_, operator) => {
    for (const damping of [0, 0.5]) {
      for (const initial of [undefined, Float64Array.of(1, 2, 3, 4)]) {
        const options = { tolerance: 1e-13, damping, ...(initial === undefined ? {} : { initial }) }
        const { solution, reason, residualNorm } = await leastSquares(operator, rhs, options)
        expect(reason).toBe('converged')
        const residual = difference(rhs, times(matrix, solution))
        const gradient = times(columns, residual).map((value, j) => value - damping * (solution[j] as number))
        expectClose(gradient, [0, 0, 0, 0], 1e-12)
        expect(residualNorm).toBeLessThan(1e-11)
      }
    }
  })

  test('an operator without a transpose', async () => {
    const operator = functionOperator({ shape: [3, 2], dtype: 'float64', matvec: () => new Float64Array(3) })
    await expectRejection(() => leastSquares(operator, new Float64Array(3)), 'ERR_OPTION', 'transpose', 'none')
  })
})

describe('minres', () => {
  test('a singular system out of range', () => {
    const operator = diagonal((i) => (i < 2 ? 0 : i))
    const result = minresSync(operator, b, { tolerance: 1e-12, leastSquaresTolerance: 1e-10 })
    expect(result.reason).toBe('leastSquares')
    expectClose([result.residualNorm], [Math.hypot(b[0] as number, b[1] as number)], 1e-9)
  })
  test('inexactness stops early', () => {
    const whole = minresSync(native(), b, { tolerance: 1e-12 })
    const early = minresSync(native(), b, { tolerance: 1e-12, inexactness: 0.5 })
    expect(early.reason).toBe('converged')
    expect(early.iterations).toBeLessThan(whole.iterations)
    const residual = difference(b, times(rows, early.solution))
    const solved = Math.sqrt(Math.hypot(...b) ** 2 - Math.hypot(...residual) ** 2)
    expect(Math.hypot(...times(rows, residual))).toBeLessThan(0.5 * solved)
  })
})

describe('steihaug', () => {
  test('with a preconditioner the region is in its norm', async () => {
    const m = (i: number): number => 1 + i / 4
    const preconditioner = diagonal((i) => 1 / m(i))
    const { step, reason } = await steihaug(native(), b, { radius: 0.3, preconditioner })
    expect(reason).toBe('boundary')
    expectClose([Math.sqrt(step.reduce((sum, x, i) => sum + m(i) * x * x, 0))], [0.3], 1e-12)
  })
  test('errors speak of its own options', async () => {
    const wrong: [object, string][] = [
      [{ tolerance: -1 }, 'steihaug tolerance'],
      [{ absoluteTolerance: -1 }, 'steihaug absoluteTolerance'],
      [{ maxIterations: 1.5 }, 'steihaug maxIterations'],
      [{ signal: 1 }, 'steihaug signal'],
      [{ onIteration: 1 }, 'steihaug onIteration'],
      [{ shift: 1 }, 'steihaug options'],
    ]
    for (const [options, name] of wrong) {
      expectError(() => steihaugSync(native(), b, { radius: 1, ...options }), 'ERR_OPTION', name)
      await expectRejection(() => steihaug(native(), b, { radius: 1, ...options }), 'ERR_OPTION', name)
    }
  })
  test('negative curvature goes to the boundary', () => {
    const { step, reason, model, direction } = steihaugSync(
      diagonal((i) => i - 5),
      b,
      { radius: 10 },
    )
    expect(reason).toBe('negativeCurvature')
    expect(direction).toHaveLength(n)
    expectClose([Math.hypot(...step)], [10], 1e-10)
    const value = step.reduce((sum, x, i) => sum + (b[i] as number) * x + ((i - 5) * x * x) / 2, 0)
    expectClose([model], [value], 1e-9 * Math.abs(value))
  })
})

describe('lanczos', () => {
  test('without a basis, or without reorthogonalisation', () => {
    const full = lanczosSync(native(), b, { steps: 6 })
    expect(full.reason).toBe('maxIterations')
    const { basis: _, ...rest } = full
    expect(lanczosSync(native(), b, { steps: 6, keepBasis: false })).toEqual(rest)
    const plain = lanczosSync(native(), b, { steps: 6, reorthogonalise: false, keepBasis: false })
    expectRelative(plain.ritzValues, full.ritzValues, 1e-9)
  })
  test('an eigenvector ends it at once', () => {
    const start = Float64Array.from({ length: n }, (_, i) => Number(i === 4))
    const result = lanczosSync(
      diagonal((i) => i + 1),
      start,
    )
    expect([result.reason, result.products, result.lastBeta]).toEqual(['singular', 1, 0])
    expect([...result.ritzValues]).toEqual([5])
  })
  test('from nothing comes nothing', () => {
    const result = lanczosSync(native(), zero)
    expect([result.reason, result.products, result.alpha.length]).toEqual(['singular', 0, 0])
    expect(result).not.toHaveProperty('basis')
  })
})
