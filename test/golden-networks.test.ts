// Networks, losses, derivatives and curvature against vectors computed independently in float64 (test/golden/README.md).
import { describe, expect, test } from 'vitest'
import type { DType, FloatArray, LayerOption, LossOption, NativeLinearOperator, TypedArrayOf } from '../src/index.js'
import { createModel, evaluate, linearize, matmat } from '../src/index.js'
import { expectClose, expectRelative, largest } from './support/compare.js'
import { symmetricEigenvalues } from './support/eigenvalues.js'
import { expectError } from './support/errors.js'
import type { Nested } from './support/golden.js'
import { flatten, goldenCases } from './support/golden.js'

type Case = {
  readonly model: { readonly inputs: number; readonly layers: readonly LayerOption[] }
  readonly loss: string
  readonly lossOptions: Record<string, unknown>
  readonly params: Nested
  readonly x: number[][]
  readonly y: number[] | number[][]
  readonly [key: string]: unknown
}

const curvatureKeys = [
  'beckerLeCunDiagonal',
  'gaussNewtonLeCunDiagonal',
  'ggnLargestEigenvalues',
  'hessianLargestEigenvalues',
  'hessianSmallestEigenvalues',
  'kfacInputFactors',
  'kfacOutputFactors',
  'hessianVectorProduct',
  'ggnVectorProduct',
  'hessianDiagonal',
  'ggnDiagonal',
  'hessianTrace',
  'ggnTrace',
  'hessianFrobenius',
]
const inputKeys = ['source', 'model', 'loss', 'lossOptions', 'params', 'x', 'y', 'v']

function prepare(golden: Case, dtype: DType) {
  const model = createModel({ ...golden.model, dtype })
  model.setParameters(flatten(golden.params))
  const loss = { kind: golden.loss, ...golden.lossOptions } as LossOption
  return { model, loss, data: { inputs: golden.x, targets: golden.y } }
}

const dtypes = [
  ['float64', 1e-9],
  ['float32', 1e-4],
] as const

describe.each(goldenCases<Case>('networks'))('$name', ({ value: golden }) => {
  test.each(dtypes)('%s', async (dtype, tolerance) => {
    const { model, loss, data } = prepare(golden, dtype)
    const point = linearize(model, data, loss)
    const samples = golden.x.length
    const size = model.parameterCount
    const v = tensor(golden.v as Nested, dtype)
    const perSample = point.perSampleGradients().data
    const rows = Array.from({ length: samples }, (_, row) => perSample.subarray(row * size, (row + 1) * size))
    const jvp = point.jvp(v).data

    const found: Record<string, ArrayLike<number>> = {
      outputs: point.outputs.data,
      lossPerSample: point.lossPerSample,
      meanLoss: [point.loss],
      gradient: point.gradient(),
      perSampleGradients: perSample,
      jvp,
      empiricalFisherVectorProduct: Array.from({ length: size }, (_, p) =>
        rows.reduce((sum, g) => sum + ((g[p] as number) * dot(g, v)) / samples, 0),
      ),
      empiricalFisherDiagonal: Array.from({ length: size }, (_, p) =>
        rows.reduce((sum, g) => sum + (g[p] as number) ** 2 / samples, 0),
      ),
    }
    const keys = Object.keys(golden).filter((key) => ![...inputKeys, ...curvatureKeys].includes(key))
    for (const key of keys) {
      const values = found[key]
      if (values === undefined) throw new Error(`golden key ${key} is not checked`)
      expectRelative(values, flatten(golden[key] as Nested), tolerance, key)
    }
    expect(keys).toEqual(expect.arrayContaining(Object.keys(found)))

    // The same numbers by other ways: predict, evaluate, norms, and uᵀ(Jv) = (Jᵀu)ᵀv.
    expectRelative(model.predict(golden.x).data, flatten(golden.outputs as Nested), tolerance, 'predict')
    const evaluation = await evaluate(model, data, { loss, metrics: [] })
    expectRelative([evaluation.loss], [golden.meanLoss as number], tolerance, 'evaluate')
    const norms = rows.map((g) => Math.sqrt(dot(g, g)))
    expectRelative(point.perSampleGradientNorms(), norms, dtype === 'float64' ? 1e-12 : 1e-5, 'norms')
    const u = jvp.map((_, index) => Math.cos(index + 1)) as typeof jvp
    const left = dot(u, jvp)
    const right = dot(point.vjp(u), v)
    const scale = Math.sqrt(dot(u, u) * dot(jvp, jvp))
    expectClose([right], [left], (dtype === 'float64' ? 1e-12 : 1e-5) * scale, 'uJv')
  })

  test.each(dtypes)('%s: curvature', (dtype, tolerance) => {
    const { model, loss, data } = prepare(golden, dtype)
    const point = linearize(model, data, loss)
    const v = tensor(golden.v as Nested, dtype)
    const exact = dtype === 'float64'
    expectRelative(
      point.empiricalFisher().matvec(v),
      flatten(golden.empiricalFisherVectorProduct as Nested),
      tolerance,
      'empiricalFisherVectorProduct',
    )
    expectRelative(
      point.diagonal('empiricalFisher'),
      flatten(golden.empiricalFisherDiagonal as Nested),
      tolerance,
      'empiricalFisherDiagonal',
    )
    const likelihood = ['meanSquaredError', 'binaryCrossEntropy', 'softmaxCrossEntropy'].includes(golden.loss)
    if (golden.loss === 'meanAbsoluteError') {
      expectError(() => point.hessian(), 'ERR_OPTION', 'loss')
      expectError(() => point.ggn(), 'ERR_OPTION', 'loss')
      expectError(() => point.diagonal('ggn'), 'ERR_OPTION', 'loss')
      expectError(() => point.kroneckerFactors(), 'ERR_OPTION', 'loss')
    }
    if (!likelihood) {
      expectError(() => point.fisher(), 'ERR_OPTION', 'loss')
      if (golden.loss === 'meanAbsoluteError') return
    }
    const hessian = point.hessian()
    const ggn = point.ggn()
    if (likelihood) expectRelative(point.fisher().matvec(v), ggn.matvec(v), exact ? 1e-12 : 1e-5, 'fisher')
    const h = entriesOf(hessian)
    const g = entriesOf(ggn)
    const hessianValues = symmetricEigenvalues(h)
    const ggnValues = symmetricEigenvalues(g)
    const trace = (matrix: readonly FloatArray[]): number => matrix.reduce((sum, row, i) => sum + (row[i] as number), 0)
    const found: Record<string, ArrayLike<number>> = {
      hessianVectorProduct: hessian.matvec(v),
      ggnVectorProduct: ggn.matvec(v),
      hessianDiagonal: h.map((row, i) => row[i] as number),
      ggnDiagonal: point.diagonal('ggn'),
      beckerLeCunDiagonal: point.diagonal('beckerLeCun'),
      gaussNewtonLeCunDiagonal: point.diagonal('gaussNewtonLeCun'),
      hessianTrace: [trace(h)],
      ggnTrace: [trace(g)],
      hessianFrobenius: [Math.sqrt(h.reduce((sum, row) => sum + dot(row, row), 0))],
      hessianLargestEigenvalues: hessianValues.slice(-3).reverse(),
      hessianSmallestEigenvalues: hessianValues.slice(0, 3),
      ggnLargestEigenvalues: ggnValues.slice(-3).reverse(),
    }
    expectRelative(
      g.map((row, i) => row[i] as number),
      flatten(golden.ggnDiagonal as Nested),
      exact ? tolerance : 1e-3,
      'diagonal of the matrix',
    )
    // Traces and eigenvalues are relative to the largest eigenvalue in magnitude of their matrix.
    const scales: Record<string, number> = {}
    for (const key of curvatureKeys.filter((name) => /Trace|Eigenvalues/.test(name))) {
      scales[key] = largest(key.startsWith('ggn') ? ggnValues : hessianValues)
    }
    const layers = point.kroneckerFactors()
    for (const [key, side] of [
      ['kfacInputFactors', 'input'],
      ['kfacOutputFactors', 'output'],
    ] as const) {
      const expected = golden[key] as number[][][]
      expect(layers.map((layer) => layer[side].shape)).toEqual(expected.map((rows) => [rows.length, rows.length]))
      for (const [index, rows] of expected.entries()) {
        expectRelative(layers[index]?.[side].data ?? [], rows.flat(), exact ? tolerance : 1e-3, `${key}[${index}]`)
      }
    }
    expect(Object.keys(golden)).toEqual(expect.arrayContaining(curvatureKeys))
    for (const key of curvatureKeys.filter((name) => !name.startsWith('kfac'))) {
      const expected = flatten(golden[key] as Nested)
      const scale = scales[key] ?? largest(expected)
      expectClose(found[key] ?? [], expected, (exact ? tolerance : 1e-3) * scale, key)
    }
  })

  test('all keys are known', () => {
    const known = [...inputKeys, ...curvatureKeys]
    const checked = ['outputs', 'lossPerSample', 'meanLoss', 'gradient', 'perSampleGradients', 'jvp']
    const fisher = ['empiricalFisherVectorProduct', 'empiricalFisherDiagonal']
    expect(Object.keys(golden).filter((key) => ![...known, ...checked, ...fisher].includes(key))).toEqual([])
  })
})

function tensor(values: Nested, dtype: DType): FloatArray & TypedArrayOf<DType> {
  return dtype === 'float64' ? Float64Array.from(flatten(values)) : Float32Array.from(flatten(values))
}

/** The rows of an operator's matrix, by unit vectors. */
function entriesOf(operator: NativeLinearOperator): FloatArray[] {
  const size = operator.shape[0]
  const units = tensor(new Array<number>(size * size).fill(0), operator.dtype)
  for (let i = 0; i < size; i++) units[i * size + i] = 1
  const { data } = matmat(operator, units)
  return Array.from({ length: size }, (_, i) => data.subarray(i * size, (i + 1) * size))
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0
  for (let index = 0; index < a.length; index++) sum += (a[index] as number) * (b[index] as number)
  return sum
}
