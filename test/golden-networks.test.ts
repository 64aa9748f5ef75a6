// Networks, losses and first derivatives against vectors computed independently in float64 (test/golden/README.md).
import { describe, expect, test } from 'vitest'
import type { DType, LayerOption, LossOption } from '../src/index.js'
import { createModel, evaluate, linearize } from '../src/index.js'
import { expectClose, expectRelative } from './support/compare.js'
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

/** What belongs to second-order work, which this version does not offer. */
const secondOrderKeys = [
  'hessianVectorProduct',
  'ggnVectorProduct',
  'ggnDiagonal',
  'hessianDiagonal',
  'beckerLeCunDiagonal',
  'gaussNewtonLeCunDiagonal',
  'kfacInputFactors',
  'kfacOutputFactors',
  'hessianTrace',
  'ggnTrace',
  'hessianFrobenius',
  'hessianLargestEigenvalues',
  'hessianSmallestEigenvalues',
  'ggnLargestEigenvalues',
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
    const v =
      dtype === 'float64'
        ? Float64Array.from(flatten(golden.v as Nested))
        : Float32Array.from(flatten(golden.v as Nested))
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
    const keys = Object.keys(golden).filter((key) => !inputKeys.includes(key) && !secondOrderKeys.includes(key))
    for (const key of keys) {
      const values = found[key]
      if (values === undefined) throw new Error(`golden key ${key} is neither checked nor on the list of later work`)
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

  test('all keys are known', () => {
    const known = [...inputKeys, ...secondOrderKeys]
    const checked = ['outputs', 'lossPerSample', 'meanLoss', 'gradient', 'perSampleGradients', 'jvp']
    const fisher = ['empiricalFisherVectorProduct', 'empiricalFisherDiagonal']
    expect(Object.keys(golden).filter((key) => ![...known, ...checked, ...fisher].includes(key))).toEqual([])
  })
})

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0
  for (let index = 0; index < a.length; index++) sum += (a[index] as number) * (b[index] as number)
  return sum
}
