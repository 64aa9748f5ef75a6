// Saliency: golden maps, differences, completeness, NormGrad against per-sample gradients, the meta-learning variant.
import { describe, expect, test } from 'vitest'
import type { InputSaliencyMethod, MatrixLike, NormGradVariant, PositionMapVariant } from '../src/index.js'
import {
  classSensitivity,
  combineMaps,
  createModel,
  dense,
  dropout,
  layerNorm,
  linearize,
  meanSquaredError,
  positionMap,
  rankCorrelation,
  residual,
  saliency,
  softmaxCrossEntropy,
} from '../src/index.js'
import { addon } from '../src/internal/native.js'
import { expectClose, expectRelative } from './support/compare.js'
import { goldenFile } from './support/golden.js'

type Rows = readonly (readonly number[])[]

describe.each(
  goldenFile<{
    readonly activations: Rows
    readonly gradients: Rows
    readonly identityGradients: Rows
    readonly layerMaps: Rows
    readonly layerWeights: readonly number[]
    readonly [map: string]: unknown
  }>('per-sample', 'saliency.json'),
)('$name', ({ value }) => {
  const { activations, gradients, identityGradients, layerMaps, layerWeights } = value
  const numbers = (key: string): readonly number[] => value[key] as readonly number[]

  test.each<[string, PositionMapVariant, Rows]>([
    ['normGrad', 'norm', gradients],
    ['normGradWithBias', 'normWithBias', gradients],
    ['normGradIdentity', 'norm', identityGradients],
    ['selective', 'selective', identityGradients],
    ['scaling', 'scaling', identityGradients],
    ['biasOnly', 'bias', identityGradients],
    ['linearApproximation', 'linear', identityGradients],
    ['gradientMaxAbs', 'gradientMax', identityGradients],
  ])('%s', (key, variant, by) => {
    expectRelative(positionMap(activations, by, { variant }), numbers(key), 1e-9, key)
  })

  test('combined layers', () => {
    const weights = layerWeights
    expectRelative(combineMaps(layerMaps, { weights }).data, numbers('combinedSum'), 1e-9, 'sum')
    expectRelative(
      combineMaps(layerMaps, { rule: 'product', weights }).data,
      numbers('combinedProduct'),
      1e-9,
      'product',
    )
    const plain = combineMaps(layerMaps, { rule: 'plainProduct' })
    expectRelative(plain.data, numbers('combinedPlainProduct'), 1e-9, 'plain product')
  })

  test('classSensitivitySpearman', () => {
    const correlation = rankCorrelation(layerMaps[0] as readonly number[], layerMaps[1] as readonly number[])
    expectClose(correlation, [value.classSensitivitySpearman as number], 1e-12, 'correlation')
  })

  test('every map of the file is compared', () => {
    const compared = ['normGrad', 'normGradWithBias', 'normGradIdentity', 'selective', 'scaling', 'biasOnly']
    compared.push('linearApproximation', 'gradientMaxAbs', 'combinedSum', 'combinedProduct', 'combinedPlainProduct')
    const inputs = ['source', 'activations', 'gradients', 'identityGradients', 'layerMaps', 'layerWeights']
    expect(Object.keys(value).sort()).toEqual([...compared, ...inputs, 'classSensitivitySpearman'].sort())
  })
})

const rows = 7
const columns = 5
const inputs = Float64Array.from({ length: rows * columns }, (_, i) => Math.sin(1.3 * i + 0.2) + (i % 3) * 0.1)
const matrix = { data: inputs, shape: [rows, columns] } as const
const row = (i: number): Float64Array => inputs.slice(i * columns, (i + 1) * columns)

const networks = {
  'dense layers': [dense(6, 'tanh'), dense(4, 'silu'), dense(3)],
  'residual, norm and dropout': [
    residual([dense(5, 'softplus'), layerNorm()]),
    dropout(0.5),
    dense(4, 'gelu'),
    dense(3),
  ],
  'layer norm first': [layerNorm(), dense(4, 'sigmoid'), dense(3)],
  'residual layers without a dense layer at the input': [residual([layerNorm()]), dense(3, 'softsign'), dense(3)],
}
const make = (layers: keyof typeof networks) =>
  createModel({ inputs: columns, layers: networks[layers], seed: 5, dtype: 'float64' })

/** df/dx of one row by four-point differences. */
function differences(f: (x: Float64Array) => number, x: Float64Array): number[] {
  const h = 1e-3
  return Array.from(x, (_, k) => {
    const at = (step: number): number => f(x.map((value, j) => (j === k ? value + step : value)))
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
  })
}

describe.each(Object.keys(networks) as (keyof typeof networks)[])('%s', (name) => {
  const model = make(name)
  const output = (x: Float64Array, c: number): number => model.predict(x).data[c] as number

  test('the gradient against differences, at every output', () => {
    for (const target of [0, 1, 2]) {
      const { maps, values, targets } = saliency(model, matrix, { target })
      expect(maps.shape).toEqual([rows, columns])
      expect([...targets]).toEqual(Array(rows).fill(target))
      for (let i = 0; i < rows; i++) {
        const expected = differences((x) => output(x, target), row(i))
        expectRelative(maps.data.subarray(i * columns, (i + 1) * columns), expected, 1e-8, `row ${i}`)
        expect(values[i]).toBe(output(row(i), target))
      }
    }
  })

  test('gradient times input, with and without sign', () => {
    const gradient = saliency(model, matrix).maps.data
    const product = gradient.map((g, i) => g * (inputs[i] as number))
    expectRelative(saliency(model, matrix, { method: 'gradientInput' }).maps.data, product, 1e-15)
    const absolute = saliency(model, matrix, { method: 'absoluteGradientInput' }).maps.data
    expectRelative(absolute, product.map(Math.abs), 1e-15)
  })

  test('integrated gradients sum to the difference of the outputs', () => {
    const one = Float64Array.from({ length: columns }, (_, k) => 1 - 0.4 * k)
    const each = inputs.map((value, i) => value + Math.cos(2 * i))
    const baselines: [number | MatrixLike | undefined, Float64Array][] = [
      [[...one], one],
      [{ data: each, shape: [rows, columns] }, each.subarray(0, columns)],
    ]
    // A layer norm is all but discontinuous where its input is constant: no line of a rule of points begins there.
    if (name === 'dense layers') {
      baselines.push([undefined, new Float64Array(columns)], [0.3, new Float64Array(columns).fill(0.3)])
    }
    for (const [baseline, first] of baselines) {
      const given = baseline === undefined ? {} : { baseline }
      const result = saliency(model, matrix, { method: 'integratedGradients', steps: 3000, target: 1, ...given })
      const start = result.baselineValues as Float64Array
      for (let i = 0; i < rows; i++) {
        const sum = result.maps.data.subarray(i * columns, (i + 1) * columns).reduce((a, b) => a + b, 0)
        expectClose([sum], [(result.values[i] as number) - (start[i] as number)], 2e-5, `row ${i}`)
      }
      expect(start[0]).toBe(output(first, 1))
    }
  })

  test('the midpoint rule has second order', () => {
    if (name !== 'dense layers') return
    const error = (steps: number): number => {
      const { maps, values, baselineValues } = saliency(model, row(0), {
        method: 'integratedGradients',
        steps,
        target: 0,
      })
      const difference = (values[0] as number) - ((baselineValues as Float64Array)[0] as number)
      return Math.abs(maps.data.reduce((a, b) => a + b, 0) - difference)
    }
    expect(error(40) / error(80)).toBeGreaterThan(3.9)
    expect(error(40) / error(80)).toBeLessThan(4.1)
  })

  test('targets: one a sample, the largest and the smallest', () => {
    const outputs = model.predict(matrix).data
    for (const [target, pick] of [['mostProbable', Math.max] as const, ['leastProbable', Math.min] as const]) {
      const result = saliency(model, matrix, { target })
      const expected = Array.from({ length: rows }, (_, i) => {
        const own = outputs.subarray(3 * i, 3 * i + 3)
        return own.indexOf(pick(...own))
      })
      expect([...result.targets]).toEqual(expected)
      expect(saliency(model, matrix, { target: expected }).maps.data).toEqual(result.maps.data)
    }
  })

  test.each([0.01, 0.2])('the meta-learning step %d against moved parameters', (step) => {
    const moved = make(name)
    for (const ascend of [false, true]) {
      const meta = { step, ascend }
      const result = saliency(model, matrix, { method: 'gradientInput', target: 2, meta })
      const norms = saliency(model, matrix, { method: 'normGrad', target: 2, meta })
      for (let i = 0; i < rows; i++) {
        using point = linearize(model, { inputs: [row(i)], targets: [2] }, softmaxCrossEntropy())
        const gradient = point.gradient()
        const length = ascend ? step : -step
        moved.setParameters(model.parameters.map((p, k) => p + length * (gradient[k] as number)))
        const expected = saliency(moved, row(i), { method: 'gradientInput', target: 2 })
        expectRelative(result.maps.data.subarray(i * columns, (i + 1) * columns), expected.maps.data, 1e-12)
        const there = saliency(moved, row(i), { method: 'normGrad', target: 2 })
        const own = norms.layers.map(({ maps }) => maps.data[i] as number)
        expectRelative(
          own,
          there.layers.map(({ maps }) => maps.data[0] as number),
          1e-12,
        )
        expect(result.values[i]).toBe(model.predict(row(i)).data[2])
      }
    }
  })
})

describe('normGrad', () => {
  const model = make('dense layers')
  // The gradient of the output alone: the loss is linear in it.
  const gradientsOf = (target: number): Float64Array[] => {
    return Array.from({ length: rows }, (_, i) => {
      using point = linearize(model, { inputs: [row(i)], targets: [[0, 0, 0]] }, meanSquaredError())
      const u = new Float64Array(3)
      u[target] = 1
      return point.vjp(u)
    })
  }
  const norm = (values: Float64Array): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0))

  test.each<[NormGradVariant, boolean]>([
    ['norm', false],
    ['normWithBias', true],
  ])('%s', (variant, bias) => {
    const { layers } = saliency(model, matrix, { method: 'normGrad', variant, target: 1 })
    expect(layers.map(({ layer }) => layer)).toEqual(['layers.0', 'layers.1', 'layers.2'])
    for (const [i, gradient] of gradientsOf(1).entries()) {
      const views = model.views(gradient as Float64Array<ArrayBuffer>)
      for (const { layer, maps } of layers) {
        const weight = norm(views[`${layer}.weight`] as Float64Array)
        const own = bias ? Math.hypot(weight, norm(views[`${layer}.bias`] as Float64Array)) : weight
        expectRelative([maps.data[i] as number], [own], 1e-12, layer)
      }
    }
  })

  test('columns of the first weight', () => {
    const { maps } = saliency(model, matrix, { method: 'columnNorm', target: 1 })
    for (const [i, gradient] of gradientsOf(1).entries()) {
      const weight = model.views(gradient as Float64Array<ArrayBuffer>)['layers.0.weight'] as Float64Array
      const expected = Array.from({ length: columns }, (_, k) => norm(weight.filter((_, at) => at % columns === k)))
      expectRelative(maps.data.subarray(i * columns, (i + 1) * columns), expected, 1e-12)
    }
  })

  test.each<[NormGradVariant, PositionMapVariant]>([
    ['identity', 'norm'],
    ['scaling', 'scaling'],
    ['selective', 'selective'],
    ['linear', 'linear'],
    ['bias', 'bias'],
    ['gradientMax', 'gradientMax'],
  ])('%s at the input is made of the gradient by the input', (variant, map) => {
    const { layers } = saliency(model, matrix, { method: 'normGrad', variant, layers: ['layers.0'], target: 0 })
    const { maps } = saliency(model, matrix, { target: 0 })
    expectRelative(layers[0]?.maps.data ?? [], positionMap(matrix, maps, { variant: map }), 1e-12)
  })

  test.each<NormGradVariant>(['linear', 'scaling', 'gradientMax'])('%s behind the first layer', (variant) => {
    const rest = createModel({ inputs: 6, layers: networks['dense layers'].slice(1), dtype: 'float64' })
    rest.setParameters(model.parameters.subarray(6 * columns + 6))
    const first = createModel({ inputs: columns, layers: [dense(6, 'tanh')], dtype: 'float64' })
    first.setParameters(model.parameters.subarray(0, 6 * columns + 6))
    const hidden = first.predict(matrix)
    const expected = saliency(rest, hidden, { method: 'normGrad', variant, layers: ['layers.0'], target: 2 })
    const own = saliency(model, matrix, { method: 'normGrad', variant, layers: ['layers.1'], target: 2 })
    expectRelative(own.layers[0]?.maps.data ?? [], expected.layers[0]?.maps.data ?? [1], 1e-12)
  })

  test('positions: targets by the sum of the outputs, maps of samples, combined', () => {
    const six = { data: inputs.subarray(0, 6 * columns), shape: [6, columns] }
    const outputs = model.predict(six).data
    const result = saliency(model, six, { method: 'normGrad', positions: 3, combine: { weights: 'linear' } })
    const alone = saliency(model, six, { method: 'normGrad', target: [...result.targets].flatMap((t) => [t, t, t]) })
    for (const [index, { maps }] of result.layers.entries()) {
      expect(maps.shape).toEqual([2, 3])
      expect(maps.data).toEqual(alone.layers[index]?.maps.data)
    }
    for (const sample of [0, 1]) {
      const sums = [0, 1, 2].map((c) =>
        [0, 1, 2].reduce((sum, p) => sum + (outputs[(3 * sample + p) * 3 + c] as number), 0),
      )
      expect(result.targets[sample]).toBe(sums.indexOf(Math.max(...sums)))
      expectClose([result.values[sample] as number], [Math.max(...sums)], 1e-12)
    }
    const combined = combineMaps(
      result.layers.map(({ maps }) => maps),
      { weights: [1, 2, 3] },
    )
    expect(result.combined).toEqual(combined)
  })

  test('a layer norm first has columns of nothing', () => {
    expect(() => saliency(make('layer norm first'), matrix, { method: 'columnNorm' })).toThrow(/read by a dense layer/)
  })
})

describe('classes', () => {
  test('sensitivity is the mean correlation of two calls', () => {
    const model = make('dense layers')
    const most = saliency(model, matrix, { method: 'gradientInput' }).maps
    const least = saliency(model, matrix, { method: 'gradientInput', target: 'leastProbable' }).maps
    const expected = rankCorrelation(most, least)
    const { correlation, correlations } = classSensitivity(model, matrix, { method: 'gradientInput' })
    expect(correlations).toEqual(expected)
    expectClose([correlation], [expected.reduce((a, b) => a + b, 0) / rows], 1e-15)
    const positions = classSensitivity(model, inputs.subarray(0, 6 * columns), {
      method: 'normGrad',
      positions: 3,
      combine: {},
    })
    expect(positions.correlations.length).toBe(2)
  })

  test('ranks: ties, constants, a known value', () => {
    expectClose(rankCorrelation([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]), [8 / Math.sqrt(95)], 1e-12)
    expect(rankCorrelation([1, 1, 1], [1, 2, 3])[0]).toBeNaN()
    const nan = new Float64Array([1, Number.NaN, 3])
    expect(addon().rankCorrelation(nan, nan, 1, 3, new Float64Array(1))[0]).toBeNaN()
  })

  test('a constant map counts for nothing', () => {
    expect(
      combineMaps([
        [2, 2, 2],
        [0, 1, 4],
      ]).data,
    ).toEqual(Float64Array.of(0, 0.125, 0.5))
  })
})

describe('heads, types and threads', () => {
  test('another head', () => {
    const heads = { digit: [dense(4)], parity: [dense(2)] }
    const model = createModel({ inputs: columns, layers: [dense(6, 'tanh')], heads, dtype: 'float64' })
    const { maps } = saliency(model, matrix, { head: 'parity', target: 1 })
    const expected = differences((x) => model.predict(x).parity.data[1] as number, row(2))
    expectRelative(maps.data.subarray(2 * columns, 3 * columns), expected, 1e-8)
    const { layers } = saliency(model, matrix, { method: 'normGrad', head: 'parity' })
    expect(layers.map(({ layer }) => layer)).toEqual(['layers.0', 'heads.parity.0'])
    expect(Math.min(...(layers[1]?.maps.data ?? []))).toBeGreaterThan(0)
  })

  test('bytes are scaled, baselines too', () => {
    const model = createModel({
      inputs: 3,
      layers: [dense(4, 'tanh'), dense(2)],
      inputScale: 1 / 255,
      dtype: 'float64',
    })
    const bytes = Uint8Array.of(10, 200, 30, 255, 0, 128)
    const scaled = Float64Array.from(bytes, (v) => v / 255)
    for (const method of ['gradient', 'gradientInput', 'integratedGradients'] as const) {
      expectRelative(saliency(model, bytes, { method }).maps.data, saliency(model, scaled, { method }).maps.data, 1e-12)
    }
    const dark = saliency(model, scaled, { method: 'integratedGradients', baseline: Uint8Array.of(255, 0, 51) })
    const floats = saliency(model, scaled, { method: 'integratedGradients', baseline: [1, 0, 0.2] })
    expectRelative(dark.maps.data, floats.maps.data, 1e-12)
  })

  test.each<InputSaliencyMethod>(['gradient', 'integratedGradients', 'columnNorm'])(
    '%s: float32 agrees, and a sample does not depend on its place, to the bit',
    (method) => {
      const wide = 60
      const many = 400
      const data = Float32Array.from({ length: many * wide }, (_, i) => Math.sin(0.7 * i))
      const options = { inputs: wide, layers: [dense(70, 'relu'), dense(33, 'tanh'), dense(10)], seed: 3 }
      const model = createModel(options)
      const all = saliency(model, data, { method }).maps.data
      const some = saliency(model, data.subarray(123 * wide, 131 * wide), { method }).maps.data
      expect(some).toEqual(all.slice(123 * wide, 131 * wide))
      const twin = createModel({ ...options, dtype: 'float64' })
      twin.setParameters(model.parameters)
      expectRelative(some, saliency(twin, data.subarray(123 * wide, 131 * wide), { method }).maps.data, 1e-4)
    },
  )
})

describe('what is refused', () => {
  const model = make('dense layers')
  const narrow = createModel({ inputs: columns, layers: [dense(1)] })
  test.each<[string, () => unknown, RegExp]>([
    [
      'a misspelt method',
      () => saliency(model, matrix, { method: 'gradients' as 'gradient' }),
      /did you mean 'gradient'/,
    ],
    ['another option', () => saliency(model, matrix, { steps: 3 }), /unknown option 'steps'/],
    [
      'a target beyond the outputs',
      () => saliency(model, matrix, { target: 3 }),
      /target: expected an integer from 0 to 2/,
    ],
    ['too few targets', () => saliency(model, matrix, { target: [1] }), /length 7, received length 1/],
    [
      'a baseline of the wrong rows',
      () => saliency(model, matrix, { method: 'integratedGradients', baseline: inputs.subarray(0, 10) }),
      /1 or 7 rows/,
    ],
    ['no rows', () => saliency(model, new Float64Array(0)), /at least one row/],
    ['an unknown layer', () => saliency(model, matrix, { method: 'normGrad', layers: ['layers.9'] }), /layers\[0\]/],
    [
      'positions that do not divide',
      () => saliency(model, matrix, { method: 'normGrad', positions: 3 }),
      /a divisor of the 7 rows/,
    ],
    [
      'a combination of single numbers',
      () => saliency(model, matrix, { method: 'normGrad', combine: {} }),
      /several positions/,
    ],
    ['a step without classes', () => saliency(narrow, matrix, { meta: {} }), /two or more outputs/],
    [
      'weights of the plain product',
      () => combineMaps([[1, 2]], { rule: 'plainProduct', weights: 'linear' }),
      /none for/,
    ],
    [
      'maps of two shapes',
      () =>
        combineMaps([
          [1, 2],
          [1, 2, 3],
        ]),
      /maps\[1\]: expected shape \[1, 2\]/,
    ],
    [
      'several layers for one correlation',
      () => classSensitivity(model, matrix, { method: 'normGrad' }),
      /one layer, or a combination/,
    ],
    [
      'widths that differ',
      () => positionMap([[1, 2]], [[1, 2, 3]], { variant: 'linear' }),
      /gradients\[0\]: expected 2 columns/,
    ],
  ])('%s', (_, action, message) => {
    expect(action).toThrow(message)
  })
})
