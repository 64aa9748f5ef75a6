import { describe, expect, test } from 'vitest'
import type { LossOption } from '../src/index.js'
import {
  binaryCrossEntropy,
  createModel,
  dense,
  huber,
  linearize,
  meanAbsoluteError,
  meanSquaredError,
  softmaxCrossEntropy,
} from '../src/index.js'
import { expectClose } from './support/compare.js'
import { expectError } from './support/errors.js'

test('factories fill in every default and freeze', () => {
  const batch = { scale: 1, reduction: 'mean', normalizeWeights: false }
  expect(meanSquaredError()).toEqual({ kind: 'meanSquaredError', ...batch, outputs: 'mean' })
  expect(meanAbsoluteError()).toEqual({ kind: 'meanAbsoluteError', ...batch, outputs: 'mean' })
  expect(huber()).toEqual({ kind: 'huber', ...batch, outputs: 'mean', delta: 1 })
  const cross = { labelSmoothing: 0, classWeights: null }
  expect(binaryCrossEntropy()).toEqual({ kind: 'binaryCrossEntropy', ...batch, outputs: 'mean', ...cross })
  expect(softmaxCrossEntropy()).toEqual({ kind: 'softmaxCrossEntropy', ...batch, targets: 'classes', ...cross })
  expect(Object.isFrozen(huber())).toBe(true)
})

/** A model whose outputs are its inputs. */
function identity(width: number) {
  const model = createModel({ inputs: width, layers: [dense(width)], dtype: 'float64' })
  const flat = new Float64Array(model.parameterCount)
  for (let k = 0; k < width; k++) flat[k * width + k] = 1
  model.setParameters(flat)
  return model
}

const z = [
  [0.5, -1, 2],
  [3, 0.25, -0.5],
]
const sumOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
const logSum = (row: readonly number[]): number => Math.log(sumOf(row.map(Math.exp)))
const softplus = (x: number): number => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0)

function lossesOf(loss: LossOption, targets: number[][] | number[], sampleWeights?: number[]) {
  const data = { inputs: z, targets, ...(sampleWeights === undefined ? {} : { sampleWeights }) }
  const point = linearize(identity(3), data, loss)
  return { perSample: [...point.lossPerSample], loss: point.loss }
}

describe('values', () => {
  const y = [
    [1, 0, 0.5],
    [0, 1, 0.25],
  ]
  const residuals = z.map((row, i) => row.map((value, k) => value - (y[i]?.[k] ?? 0)))
  const each = (f: (r: number) => number): number[] => residuals.map((row) => sumOf(row.map(f)))
  const binary = (smooth: number, weights = [1, 1, 1]) =>
    z.map((row, i) =>
      sumOf(
        row.map((value, k) => {
          const target = (1 - smooth) * (y[i]?.[k] ?? 0) + smooth / 2
          return (weights[k] ?? 1) * target * softplus(-value) + (1 - target) * softplus(value)
        }),
      ),
    )
  const hub = (r: number): number => (Math.abs(r) <= 0.75 ? (r * r) / 2 : 0.75 * (Math.abs(r) - 0.375))
  const table: [string, LossOption, number[]][] = [
    ['meanSquaredError', meanSquaredError(), each((r) => r * r).map((x) => x / 3)],
    ['meanSquaredError, halved sum', meanSquaredError({ outputs: 'sum', scale: 0.5 }), each((r) => (r * r) / 2)],
    ['meanAbsoluteError', meanAbsoluteError(), each(Math.abs).map((x) => x / 3)],
    ['huber', huber({ delta: 0.75, outputs: 'sum' }), each(hub)],
    ['binaryCrossEntropy', binaryCrossEntropy(), binary(0).map((x) => x / 3)],
    ['binaryCrossEntropy, smoothed', binaryCrossEntropy({ labelSmoothing: 0.2, outputs: 'sum' }), binary(0.2)],
    [
      'binaryCrossEntropy, weighted outputs',
      binaryCrossEntropy({ classWeights: [1, 2, 3], outputs: 'sum' }),
      binary(0, [1, 2, 3]),
    ],
  ]
  test.each(table)('%s', (_, loss, expected) => {
    const found = lossesOf(loss, y)
    expectClose(found.perSample, expected, 1e-13, 'per sample')
    expectClose([found.loss], [sumOf(expected) / 2], 1e-13, 'mean')
    const summed = lossesOf({ ...loss, reduction: 'sum' } as LossOption, y)
    expectClose([summed.loss], [sumOf(expected)], 1e-13, 'sum')
  })

  const classes = [2, 0]
  const crossEntropy = (smooth: number): number[] =>
    z.map(
      (row, i) =>
        logSum(row) - sumOf(row.map((value, k) => ((k === classes[i] ? 1 - smooth : 0) + smooth / 3) * value)),
    )
  test('softmaxCrossEntropy, class weights with label smoothing weigh the term of each class', () => {
    const [weights, smooth] = [[0.5, 2, 3], 0.3]
    const expected = z.map((row, i) =>
      sumOf(
        row.map((value, k) => {
          const target = (k === classes[i] ? 1 - smooth : 0) + smooth / 3
          return (weights[k] ?? 1) * target * (logSum(row) - value)
        }),
      ),
    )
    const options = { labelSmoothing: smooth, classWeights: weights }
    const found = lossesOf(softmaxCrossEntropy(options), classes)
    expectClose(found.perSample, expected, 1e-13)
    // The mean with normalized weights divides by the labels' weights: 3 + 0.5.
    const normalized = lossesOf(softmaxCrossEntropy({ ...options, normalizeWeights: true }), classes)
    expectClose([normalized.loss], [sumOf(expected) / 3.5], 1e-13)
  })
  test('softmaxCrossEntropy', () => {
    expectClose(lossesOf(softmaxCrossEntropy(), classes).perSample, crossEntropy(0), 1e-13)
    expectClose(lossesOf(softmaxCrossEntropy({ labelSmoothing: 0.3 }), classes).perSample, crossEntropy(0.3), 1e-13)
    const oneHot = [
      [0, 0, 1],
      [1, 0, 0],
    ]
    const soft = softmaxCrossEntropy({ targets: 'probabilities', labelSmoothing: 0.3 })
    expectClose(lossesOf(soft, oneHot).perSample, crossEntropy(0.3), 1e-13)
    const weighted = lossesOf(softmaxCrossEntropy({ classWeights: [3, 1, 0.5] }), classes)
    const plain = crossEntropy(0)
    const expected = [((plain[0] ?? 0) * 0.5 + (plain[1] ?? 0) * 3) / 2]
    expectClose([weighted.loss], expected, 1e-13, 'weighted')
    const probabilities = softmaxCrossEntropy({ targets: 'probabilities', classWeights: [3, 1, 0.5] })
    expectClose([lossesOf(probabilities, oneHot).loss], expected, 1e-13, 'weighted, probabilities')
  })

  test('sample weights: divided by N, or by their sum', () => {
    const plain = lossesOf(meanSquaredError(), y).perSample
    const expected = 3 * (plain[0] ?? 0) + 0.5 * (plain[1] ?? 0)
    expectClose([lossesOf(meanSquaredError(), y, [3, 0.5]).loss], [expected / 2], 1e-13)
    const normalized = lossesOf(meanSquaredError({ normalizeWeights: true }), y, [3, 0.5])
    expectClose([normalized.loss], [expected / 3.5], 1e-13)
  })

  test('l2 adds half its square', () => {
    const point = linearize(identity(3), { inputs: z, targets: y }, meanSquaredError(), { l2: 0.1 })
    const plain = linearize(identity(3), { inputs: z, targets: y }, meanSquaredError())
    expectClose([point.loss - plain.loss], [0.5 * 0.1 * 3], 1e-13)
    const moved = point.gradient().map((g, p) => g - (plain.gradient()[p] as number))
    expectClose(
      moved,
      identity(3).parameters.map((w) => 0.1 * w),
      1e-13,
    )
  })
})

describe('misuse', () => {
  const cases: [string, () => unknown, ...(string | RegExp)[]][] = [
    ['unknown option', () => huber({ detla: 1 } as never), "'detla'", "did you mean 'delta'"],
    ['delta', () => huber({ delta: 0 }), 'huber delta', '> 0', '0'],
    ['outputs', () => meanSquaredError({ outputs: 'average' as never }), 'outputs', "'mean' or 'sum'"],
    ['labelSmoothing', () => softmaxCrossEntropy({ labelSmoothing: 2 }), 'labelSmoothing', '2'],
    ['outputs of softmax', () => softmaxCrossEntropy({ outputs: 'sum' } as never), "'outputs'"],
    ['negative weight', () => softmaxCrossEntropy({ classWeights: [1, -1] }), 'classWeights[1]', '-1'],
    ['normalised sum', () => meanSquaredError({ reduction: 'sum', normalizeWeights: true }), 'normalizeWeights'],
  ]
  test.each(cases)('%s', (_, action, ...parts) => {
    expectError(action, 'ERR_OPTION', ...parts)
  })

  test('logits over a squashed output', () => {
    const model = createModel({ inputs: 1, layers: [dense(1, 'sigmoid')] })
    const data = { inputs: [[1]], targets: [[1]] }
    expectError(() => linearize(model, data, binaryCrossEntropy()), 'ERR_OPTION', 'loss', 'squashed')
    linearize(model, data, meanSquaredError()).dispose()
  })

  test('losses that do not fit the output', () => {
    const model = createModel({ inputs: 1, layers: [dense(1)] })
    expectError(
      () => linearize(model, { inputs: [[1]], targets: [0] }, softmaxCrossEntropy()),
      'ERR_OPTION',
      'two outputs',
    )
    const two = createModel({ inputs: 1, layers: [dense(2)] })
    const weighted = softmaxCrossEntropy({ classWeights: [1, 2, 3] })
    expectError(() => linearize(two, { inputs: [[1]], targets: [0] }, weighted), 'ERR_OPTION', 'loss.classWeights')
    expectError(
      () => linearize(two, { inputs: [[1]], targets: [2] }, softmaxCrossEntropy()),
      'ERR_OPTION',
      'targets[0]',
    )
    const data = { inputs: [[1]], targets: [[1, 1.5]] }
    expectError(() => linearize(two, data, binaryCrossEntropy()), 'ERR_OPTION', 'targets at row 0, column 1')
  })
})
