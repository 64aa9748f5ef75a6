// Solvers against golden numbers (test/golden/README.md), by native products and by products of JavaScript, in both forms.
import { describe, expect, test } from 'vitest'
import type { LinearOperator, SolveIteration } from '../src/index.js'
import {
  conjugateGradient,
  conjugateGradientSync,
  denseOperator,
  diagonalOperator,
  functionOperator,
  lanczos,
  lanczosSync,
  minres,
  minresSync,
  steihaug,
  steihaugSync,
} from '../src/index.js'
import { expectRelative } from './support/compare.js'
import { flatten, goldenFile } from './support/golden.js'

type Operator = LinearOperator<'float64'>
type Rows = readonly (readonly number[])[]

/** The tolerance of the folder's README, relative to the largest entry of an array. */
const tolerance = 1e-7

const vector = (values: readonly number[]): Float64Array<ArrayBuffer> => Float64Array.from(values)
const native = (rows: Rows): Operator => denseOperator(rows as number[][], { dtype: 'float64' })
const foreign = (rows: Rows): Operator =>
  functionOperator({
    shape: [rows.length, rows.length],
    dtype: 'float64',
    matvec: (v, out) => {
      rows.forEach((row, i) => {
        out[i] = row.reduce((sum, x, j) => sum + x * (v[j] as number), 0)
      })
    },
  })

/** The one argument of a path: how a matrix becomes an operator, and which form of a solver runs. */
type Path = { readonly operator: (rows: Rows) => Operator; readonly sync: boolean }
const paths: [string, Path][] = [
  ['native', { operator: native, sync: true }],
  ['native, in the background', { operator: native, sync: false }],
  ['JavaScript', { operator: foreign, sync: true }],
  ['JavaScript, asynchronous', { operator: foreign, sync: false }],
]

/** The results of all paths are the same: reason, counts, and vectors to 1e-10. */
async function onEveryPath<R extends { readonly reason: string; readonly products: number }>(
  solve: (path: Path) => R | Promise<R>,
  vectorOf: (result: R) => ArrayLike<number>,
  check: (result: R) => void,
): Promise<void> {
  let first: R | undefined
  for (const [name, path] of paths) {
    const result = await solve(path)
    check(result)
    first ??= result
    expect([result.reason, result.products], name).toEqual([first.reason, first.products])
    expectRelative(vectorOf(result), vectorOf(first), 1e-10, name)
  }
}

type Iterates = {
  readonly solution: readonly Float64Array[]
  readonly residualNorm: readonly number[]
  readonly quadratic: readonly number[]
  readonly alpha: readonly number[]
  readonly beta: readonly number[]
  readonly curvature: readonly number[]
}
function iteratesOf(seen: readonly SolveIteration<'float64'>[]): Iterates {
  expect(seen.map(({ iteration }) => iteration)).toEqual(seen.map((_, index) => index))
  return {
    solution: seen.map(({ solution }) => solution),
    residualNorm: seen.map(({ residualNorm }) => residualNorm),
    quadratic: seen.map(({ quadratic }) => quadratic),
    alpha: seen.slice(1).map(({ alpha }) => alpha),
    beta: seen.map(({ beta }) => beta),
    curvature: seen.slice(1).map(({ curvature }) => curvature),
  }
}
function expectIterates(actual: readonly Float64Array[], expected: Rows): void {
  expectRelative(
    actual.flatMap((x) => [...x]),
    flatten(expected),
    tolerance,
    'x',
  )
}

type ConjugateGradientCase = {
  readonly matrix: Rows
  readonly rhs: number[]
  readonly x0: number[]
  readonly preconditioner: number[] | null
  readonly x: Rows
  readonly residualNorm: number[]
  readonly quadratic: number[]
  readonly alpha: number[]
  readonly beta: number[]
  readonly curvature: number[]
  readonly stop: string
  readonly direction?: number[]
}

describe.each(goldenFile<ConjugateGradientCase>('solvers', 'conjugate-gradient.json'))('$name', ({ value: golden }) => {
  test('every iterate', async () => {
    const steps = golden.alpha.length
    const negative = golden.stop === 'nonPositiveCurvature'
    const inverse = golden.preconditioner === null ? undefined : vector(golden.preconditioner.map((m) => 1 / m))
    await onEveryPath(
      async ({ operator, sync }) => {
        const seen: SolveIteration<'float64'>[] = []
        const options = {
          tolerance: 0,
          // One more where the next product is to find the negative curvature.
          maxIterations: negative ? steps + 1 : steps,
          initial: vector(golden.x0),
          ...(inverse === undefined ? {} : { preconditioner: diagonalOperator(inverse) }),
          onIteration: (iteration: SolveIteration<'float64'>) => {
            seen.push(iteration)
          },
        }
        const solve = sync ? conjugateGradientSync : conjugateGradient
        return { ...(await solve(operator(golden.matrix), vector(golden.rhs), options)), seen }
      },
      ({ solution }) => solution,
      (result) => {
        expect(result.reason).toBe(negative ? 'negativeCurvature' : 'maxIterations')
        expect(result.iterations).toBe(steps)
        const { solution, residualNorm, quadratic, alpha, beta, curvature } = iteratesOf(result.seen)
        expectIterates(solution, golden.x)
        expectRelative(residualNorm, golden.residualNorm, tolerance, 'residualNorm')
        expectRelative(quadratic, golden.quadratic, tolerance, 'quadratic')
        expectRelative(alpha, golden.alpha, tolerance, 'alpha')
        expectRelative(beta.slice(1), golden.beta, tolerance, 'beta')
        expectRelative(curvature, golden.curvature.slice(0, steps), tolerance, 'curvature')
        expect(result.solution).toEqual(solution.at(-1))
        expect([result.residualNorm, result.quadratic]).toEqual([residualNorm.at(-1), quadratic.at(-1)])
        if (golden.direction === undefined) {
          expect(result.direction).toBeUndefined()
        } else {
          expectRelative(result.direction ?? [], golden.direction, tolerance, 'direction')
          expectRelative([result.curvature ?? NaN], golden.curvature.slice(-1), tolerance, 'curvature')
        }
      },
    )
  })
})

type SteihaugCase = {
  readonly matrix: Rows
  readonly gradient: number[]
  readonly radius: number
  readonly tolerance: number
  readonly step: number[]
  readonly stop: string
  readonly iterations: number
  readonly model: number
}

test.each(goldenFile<SteihaugCase>('solvers', 'steihaug.json'))('$name', async ({ value: golden }) => {
  const options = { radius: golden.radius, tolerance: 0, absoluteTolerance: golden.tolerance }
  await onEveryPath(
    ({ operator, sync }) => (sync ? steihaugSync : steihaug)(operator(golden.matrix), vector(golden.gradient), options),
    ({ step }) => step,
    (result) => {
      expect(result.reason).toBe(golden.stop)
      expect(result.products).toBe(golden.iterations)
      expectRelative(result.step, golden.step, tolerance, 'step')
      expectRelative([result.model], [golden.model], tolerance, 'model')
      expect(result.direction === undefined).toBe(golden.stop !== 'negativeCurvature')
    },
  )
})

type MinresCase = {
  readonly matrix: Rows
  readonly rhs: number[]
  readonly shift: number
  readonly x: Rows
  readonly residualNorm: number[]
  readonly alpha: number[]
  readonly beta: number[]
  readonly curvature: number[]
}

test.each(goldenFile<MinresCase>('solvers', 'minres.json'))('$name', async ({ value: golden }) => {
  const steps = golden.alpha.length
  await onEveryPath(
    async ({ operator, sync }) => {
      const seen: SolveIteration<'float64'>[] = []
      const options = {
        tolerance: 0,
        maxIterations: steps,
        shift: golden.shift,
        onIteration: (iteration: SolveIteration<'float64'>) => {
          seen.push(iteration)
        },
      }
      const solve = sync ? minresSync : minres
      const result = await solve(operator(golden.matrix), vector(golden.rhs), options)
      // The last step of some solves the system to rounding: whether the last β is zero decides the reason by a bit.
      const solved = result.residualNorm <= 1e-12 * (golden.residualNorm[0] as number)
      return { ...result, seen, reason: solved ? 'solved' : result.reason }
    },
    ({ solution }) => solution,
    (result) => {
      expect(['maxIterations', 'solved']).toContain(result.reason)
      expect(result.iterations).toBe(steps)
      const { solution, residualNorm, alpha, beta, curvature } = iteratesOf(result.seen)
      expectIterates(solution, golden.x)
      expectRelative(residualNorm, golden.residualNorm, tolerance, 'residualNorm')
      expectRelative(alpha, golden.alpha, tolerance, 'alpha')
      expectRelative(beta, golden.beta, tolerance, 'beta')
      expectRelative(curvature, golden.curvature, tolerance, 'curvature')
      expect(result.solution).toEqual(solution.at(-1))
    },
  )

  // The first residual of non-positive curvature ends it, where there is one before the system is solved.
  const first = golden.curvature.findIndex((curvature) => curvature <= 0)
  if (first < 0) return
  const result = await minres(native(golden.matrix), vector(golden.rhs), {
    tolerance: 1e-12,
    shift: golden.shift,
    stopAtNegativeCurvature: true,
  })
  expect(result.reason).toBe('negativeCurvature')
  expect(result.iterations).toBe(first)
  expectRelative([result.curvature ?? NaN], [golden.curvature[first] as number], tolerance)
  const x = golden.x[first] as readonly number[]
  const residual = golden.rhs.map(
    (value, i) =>
      value -
      (golden.matrix[i] as readonly number[]).reduce(
        (sum, a, j) => sum + (a - (i === j ? golden.shift : 0)) * (x[j] as number),
        0,
      ),
  )
  expectRelative(result.direction ?? [], residual, tolerance, 'direction')
})

type LanczosCase = {
  readonly matrix: Rows
  readonly start: number[]
  readonly steps: number
  readonly alpha: number[]
  readonly beta: number[]
  readonly lastBeta: number
  readonly basis?: Rows
  readonly ritzValues: number[]
  readonly ritzResiduals?: number[]
  readonly eigenvalues: number[]
}

test.each(goldenFile<LanczosCase>('solvers', 'lanczos.json'))('$name', async ({ value: golden }) => {
  const options = { steps: golden.steps }
  await onEveryPath(
    ({ operator, sync }) => (sync ? lanczosSync : lanczos)(operator(golden.matrix), vector(golden.start), options),
    ({ ritzValues }) => ritzValues,
    (result) => {
      expectRelative(result.alpha, golden.alpha, tolerance, 'alpha')
      expectRelative(result.beta, golden.beta, tolerance, 'beta')
      expectRelative(result.ritzValues, golden.ritzValues, tolerance, 'ritzValues')
      expect(result.reason).toBe(golden.lastBeta === 0 ? 'singular' : 'maxIterations')
      expect(result.products).toBe(golden.alpha.length)
      expect(result.basis?.shape).toEqual([golden.alpha.length, golden.start.length])
      if (golden.lastBeta === 0) {
        expect(result.lastBeta).toBe(0)
        for (const value of result.ritzValues) {
          expect(Math.min(...golden.eigenvalues.map((eigenvalue) => Math.abs(eigenvalue - value)))).toBeLessThan(1e-9)
        }
      } else {
        expectRelative([result.lastBeta], [golden.lastBeta], tolerance, 'lastBeta')
        expectRelative(result.basis?.data ?? [], flatten(golden.basis ?? []), tolerance, 'basis')
        expectRelative(result.ritzResiduals, golden.ritzResiduals ?? [], tolerance, 'ritzResiduals')
      }
    },
  )
})
