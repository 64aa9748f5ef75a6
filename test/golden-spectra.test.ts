// Spectra, stability and step sizes against golden numbers (test/golden/README.md).
import { describe, expect, test } from 'vitest'
import type { LayerOption, LinearOperator, LossOption, SpectralEstimate } from '../src/index.js'
import {
  createModel,
  denseOperator,
  diagonal,
  diagonalSync,
  eigenpairs,
  eigenpairsSync,
  frobeniusNormSync,
  functionOperator,
  hessianAlignment,
  linearize,
  softmaxRadiusOfSlopes,
  spectralDensity,
  spectralDensitySync,
  stabilityThresholds,
  stabilityThresholdsSync,
  trace,
  traceSync,
} from '../src/index.js'
import { expectClose, expectRelative } from './support/compare.js'
import type { Nested } from './support/golden.js'
import { flatten, goldenCases, goldenFile } from './support/golden.js'

type Operator = LinearOperator<'float64'>
type Rows = readonly (readonly number[])[]

/** The tolerance of the folder's README, relative to the largest entry of an array. */
const tolerance = 1e-7

const vectors = (rows: Rows): Float64Array[] => rows.map((row) => Float64Array.from(row))
const transposed = (rows: Rows): number[][] => (rows[0] ?? []).map((_, column) => rows.map((row) => row[column] ?? NaN))

/** A matrix as a native operator and as one of JavaScript, each in both forms. */
function* paths(rows: Rows): Generator<[string, Operator, boolean]> {
  const native: Operator = denseOperator(rows as number[][], { dtype: 'float64' })
  const foreign: Operator = functionOperator({
    size: rows.length,
    dtype: 'float64',
    matvec: (v) => Float64Array.from(rows, (row) => row.reduce((sum, x, j) => sum + x * (v[j] as number), 0)),
  })
  for (const sync of [true, false]) {
    yield [`native${sync ? ', sync' : ''}`, native, sync]
    yield [`JavaScript${sync ? ', sync' : ''}`, foreign, sync]
  }
}

describe('spectrum.json', () => {
  type Case = {
    readonly matrix: Rows
    readonly probes: Rows
    readonly steps: number
    readonly nodes: Rows
    readonly weights: Rows
    readonly grid: readonly number[]
    readonly kernelVariance: number
    readonly density: readonly number[]
    readonly traceSamples: readonly number[]
    readonly traceEstimate: number
    readonly traceQuadrature: readonly number[]
    readonly diagonalEstimate: readonly number[]
    readonly hutchPlusPlus: { readonly sketch: Rows; readonly probes: Rows; readonly estimate: number }
    readonly trace: number
    readonly diagonal: readonly number[]
    readonly eigenvalues: readonly number[]
  }
  const [golden] = goldenFile<Case>('solvers', 'spectrum.json').map(({ value }) => value) as [Case]
  const n = golden.matrix.length
  const probes = vectors(golden.probes)
  const cases = [...paths(golden.matrix)]

  test.each(cases)('quadrature and density: %s', async (_, operator, sync) => {
    const { grid, kernelVariance, steps } = golden
    const options = { probes, steps, grid, kernelVariance }
    const result = sync ? spectralDensitySync(operator, options) : await spectralDensity(operator, options)
    expect(result.reason).toBe('converged')
    expect(result.products).toBe(probes.length * steps)
    expectRelative(result.density, golden.density, tolerance, 'density')
    for (const index of probes.keys()) {
      const nodes = result.nodes[index] as Float64Array
      const weights = result.weights[index] as Float64Array
      expectRelative(nodes, golden.nodes[index] ?? [], tolerance, `nodes ${index}`)
      expectRelative(weights, golden.weights[index] ?? [], tolerance, `weights ${index}`)
      const mean = nodes.reduce((sum, node, i) => sum + node * (weights[i] ?? NaN), 0)
      expectRelative([(result.squaredNorms[index] ?? NaN) * mean], [golden.traceQuadrature[index] ?? NaN], tolerance)
    }
  })

  test.each(cases)("Hutchinson's trace and diagonal: %s", async (_, operator, sync) => {
    const total = sync ? traceSync(operator, { probes }) : await trace(operator, { probes })
    expectRelative(total.samples, golden.traceSamples, tolerance)
    expectRelative([total.value], [golden.traceEstimate], tolerance)
    const entries = sync ? diagonalSync(operator, { probes }) : await diagonal(operator, { probes })
    expectRelative(entries.diagonal, golden.diagonalEstimate, tolerance)
    expect([total.products, entries.products]).toEqual([probes.length, probes.length])
  })

  test.each(cases)('Hutch++: %s', async (_, operator, sync) => {
    const { sketch, probes: rest, estimate } = golden.hutchPlusPlus
    const options = { method: 'hutch++', probes: vectors([...transposed(sketch), ...transposed(rest)]) } as const
    const result = sync ? traceSync(operator, options) : await trace(operator, options)
    expectRelative([result.value], [estimate], tolerance)
    expect(result.reason).toBe('converged')
  })

  test.each(cases)('eigenvalues: %s', async (_, operator, sync) => {
    for (const which of ['largest', 'smallest', 'magnitude'] as const) {
      const options = { which, count: n }
      const { values, reason } = sync ? eigenpairsSync(operator, options) : await eigenpairs(operator, options)
      expect(reason).toBe('converged')
      const order = { largest: -1, smallest: 1, magnitude: 0 }[which]
      const expected = [...golden.eigenvalues].sort((a, b) =>
        order === 0 ? Math.abs(b) - Math.abs(a) : order * (a - b),
      )
      expectRelative(values, expected, tolerance, which)
    }
  })

  test('probes that are the unit vectors, scaled, make trace and diagonal exact', () => {
    const unit = Array.from({ length: n }, (_, i) => new Float64Array(n).fill(Math.sqrt(n), i, i + 1))
    for (const [name, operator] of cases) {
      expectRelative([traceSync(operator, { probes: unit }).value], [golden.trace], tolerance, name)
      expectRelative(diagonalSync(operator, { probes: unit }).diagonal, golden.diagonal, tolerance, name)
    }
  })
})

describe.each(goldenCases<Record<string, unknown>>('networks').filter(({ value }) => 'ggnTrace' in value))(
  'spectra of $name',
  ({ value: golden }) => {
    test.each([
      ['float64', 1e-9],
      ['float32', 1e-3],
    ] as const)('%s', async (dtype, tolerance) => {
      const spec = golden.model as { inputs: number; layers: LayerOption[] }
      const model = createModel({ ...spec, dtype })
      model.setParameters(flatten(golden.params as Nested))
      const loss = { kind: golden.loss, ...(golden.lossOptions as object) } as LossOption
      const data = { inputs: golden.x as number[][], targets: golden.y as number[] | number[][] }
      const point = linearize(model, data, loss)
      const n = point.parameterCount
      const arrays = dtype === 'float64' ? Float64Array : Float32Array
      const unit = Array.from({ length: n }, (_, i) => new arrays(n).fill(Math.sqrt(n), i, i + 1))
      const top = (key: string): number[] => golden[key] as number[]
      const scale = Math.max(...['hessianLargestEigenvalues', 'hessianSmallestEigenvalues'].flatMap(top).map(Math.abs))
      const ggnScale = Math.max(...top('ggnLargestEigenvalues'))
      const extremes = async (
        operator: LinearOperator,
        which: 'largest' | 'smallest',
        expected: number[],
        bound: number,
      ): Promise<void> => {
        // The error of an eigenvalue is the square of its residual, over its distance from the next.
        const { values, reason } = await eigenpairs(operator, { which, count: expected.length, tolerance: 1e-6 })
        expect(reason).toBe('converged')
        expectClose(values, expected, bound, which)
      }
      const ggn = point.ggn() as LinearOperator
      await extremes(ggn, 'largest', top('ggnLargestEigenvalues'), tolerance * ggnScale)
      const sum = (estimate: SpectralEstimate): number => estimate.value
      expectClose([sum(traceSync(ggn, { probes: unit }))], [golden.ggnTrace as number], tolerance * ggnScale * n ** 0.5)
      if (golden.hessianTrace === undefined) return
      const hessian = point.hessian() as LinearOperator
      await extremes(hessian, 'largest', top('hessianLargestEigenvalues'), tolerance * scale)
      await extremes(hessian, 'smallest', top('hessianSmallestEigenvalues'), tolerance * scale)
      expectClose(
        [sum(traceSync(hessian, { probes: unit }))],
        [golden.hessianTrace as number],
        tolerance * scale * n ** 0.5,
      )
      const norm = frobeniusNormSync(hessian, { probes: unit })
      expectClose([norm.value], [golden.hessianFrobenius as number], tolerance * scale * n ** 0.5)
    })
  },
)

describe('stability.json', () => {
  type Golden = {
    readonly batch: number
    readonly largestEigenvalue: number
    readonly trace: number
    readonly frobenius: number
    readonly meanThreshold: number
    readonly traceThreshold: number
    readonly meanSquareThreshold: number
    readonly necessaryBound: number
  }
  type Case = { readonly jacobianRows: number[][]; readonly cases: readonly Golden[] }
  test.each(goldenFile<Case>('solvers', 'stability.json'))('$name', async ({ value: { jacobianRows, cases } }) => {
    const options = { batchSizes: cases.map(({ batch }) => batch) }
    for (const result of [
      stabilityThresholdsSync(jacobianRows, options),
      await stabilityThresholds(jacobianRows, options),
    ]) {
      expect(result.reason).toBe('converged')
      expect(result.cases.length).toBe(cases.length)
      for (const [index, golden] of cases.entries()) {
        const found = result.cases[index]
        const same = [
          [result.largestEigenvalue, golden.largestEigenvalue],
          [result.trace, golden.trace],
          [result.frobeniusNorm, golden.frobenius],
          [result.meanThreshold, golden.meanThreshold],
          [result.traceThreshold, golden.traceThreshold],
          [found?.meanSquareThreshold ?? NaN, golden.meanSquareThreshold],
          [found?.necessaryBound ?? NaN, golden.necessaryBound],
        ] as const
        for (const [actual, expected] of same) expectRelative([actual], [expected], tolerance, `B ${golden.batch}`)
      }
    }
  })
})

describe('softmax-radius.json', () => {
  type Case = {
    readonly logits: number[][]
    readonly slopes: number[][]
    readonly stepLength: number
    readonly spread: number[]
    readonly radius: number
    readonly normalisedStep: number
    readonly scale: number
    readonly binaryRadius?: number[]
  }
  test.each(goldenFile<Case>('solvers', 'softmax-radius.json'))('$name', ({ value: golden }) => {
    const { logits, slopes, stepLength } = golden
    const found = softmaxRadiusOfSlopes(slopes, { logits, stepLength })
    expectRelative(found.spread, golden.spread, tolerance)
    expectRelative([found.radius], [golden.radius], tolerance)
    expectRelative([found.normalisedStep], [golden.normalisedStep], tolerance)
    expectRelative([found.scale], [golden.scale], tolerance)
    if (golden.binaryRadius === undefined) expect(found.binaryRadius).toBeUndefined()
    else expectRelative(found.binaryRadius ?? [], golden.binaryRadius, tolerance)
  })
})

describe('hessian-alignment.json', () => {
  type Terms = {
    readonly loss: number
    readonly gradientTerm: number
    readonly hessianGradientTerm: number
    readonly hessianDiagonalTerm: number
    readonly hgp: number
    readonly hutchinson: number
  }
  type Case = {
    readonly weight: Rows
    readonly bias: number[]
    readonly domains: { features: number[][]; labels: number[] }[]
    readonly alpha: number
    readonly beta: number
    readonly exactDiagonal: Terms
    readonly probes: number[][]
    readonly sampledDiagonal: Terms
  }
  test.each(goldenFile<Case>('solvers', 'hessian-alignment.json'))('$name', ({ value: golden }) => {
    const { domains, alpha, beta } = golden
    const weight = Float64Array.from(golden.weight.flat())
    const bias = Float64Array.from(golden.bias)
    const sources = [
      ['exact', golden.exactDiagonal],
      [golden.probes, golden.sampledDiagonal],
    ] as const
    for (const [diagonal, terms] of sources) {
      for (const penalty of ['hgp', 'hutchinson'] as const) {
        const found = hessianAlignment({ weight, bias, domains, alpha, beta, penalty, diagonal })
        expectRelative([found.loss], [terms.loss], tolerance, 'loss')
        expectRelative([found.gradientTerm], [terms.gradientTerm], tolerance, 'gradientTerm')
        expectRelative([found.hessianGradientTerm], [terms.hessianGradientTerm], tolerance, 'hessianGradientTerm')
        expectRelative([found.hessianDiagonalTerm], [terms.hessianDiagonalTerm], tolerance, 'hessianDiagonalTerm')
        expectRelative([found.value], [terms[penalty]], tolerance, penalty)
      }
    }
  })
})
