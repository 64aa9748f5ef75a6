import { describe, expect, test } from 'vitest'
import {
  binaryCrossEntropy,
  createModel,
  dense,
  dropout,
  evaluate,
  linearize,
  meanSquaredError,
  softmaxCrossEntropy,
} from '../src/index.js'
import { expectClose } from './support/compare.js'
import { classData, random, randomRows } from './support/data.js'
import { expectRejection } from './support/errors.js'

const model = createModel({ inputs: 2, layers: [dense(8, 'tanh'), dropout(0.5), dense(3)], dtype: 'float64', seed: 3 })
const data = classData(257)
const next = random(4)
const sampleWeights = data.targets.map(() => next())
const loss = softmaxCrossEntropy()

test('the loss is that of a point, l2 and weights included', async () => {
  const weighted = { ...data, sampleWeights }
  const found = await evaluate(model, weighted, { loss, l2: 0.1 })
  expectClose([found.loss], [linearize(model, weighted, loss, { l2: 0.1 }).loss], 1e-12)
})

test('the same numbers with any number of threads', async () => {
  const expected = await evaluate(model, data, { loss })
  for (const threads of [1, 2, 3]) expect(await evaluate(model, data, { loss, threads })).toEqual(expected)
})

test('classification metrics', async () => {
  const metrics = ['accuracy', { name: 'topK', k: 2 }, 'precision', 'recall', 'f1'] as const
  const found = await evaluate(model, { ...data, sampleWeights }, { loss, metrics })
  const outputs = model.predict(data.inputs).data
  const counts = Array.from({ length: 3 }, () => ({ tp: 0, fp: 0, fn: 0 }))
  let [right, top, total] = [0, 0, 0]
  data.targets.forEach((label, row) => {
    const z = [...outputs.subarray(3 * row, 3 * row + 3)]
    const w = sampleWeights[row] as number
    const order = [0, 1, 2].sort((a, b) => (z[b] as number) - (z[a] as number))
    const guess = order[0] as number
    total += w
    if (guess === label) right += w
    if (order.slice(0, 2).includes(label)) top += w
    const [hit, wrong] = [counts[label], counts[guess]]
    if (guess === label && hit !== undefined) hit.tp += w
    else if (hit !== undefined && wrong !== undefined) {
      hit.fn += w
      wrong.fp += w
    }
  })
  const macro = (f: (c: { tp: number; fp: number; fn: number }) => number): number =>
    counts.reduce((sum, c) => sum + (f(c) || 0) / 3, 0)
  expectClose(
    [found.accuracy, found.topK, found.precision, found.recall, found.f1].map((x) => x ?? Number.NaN),
    [
      right / total,
      top / total,
      macro(({ tp, fp }) => tp / (tp + fp)),
      macro(({ tp, fn }) => tp / (tp + fn)),
      macro(({ tp, fp, fn }) => (2 * tp) / (2 * tp + fp + fn)),
    ],
    1e-12,
  )
})

test('one yes-or-no output', async () => {
  const binary = createModel({ inputs: 2, layers: [dense(1)], dtype: 'float64' })
  binary.setParameters([1.5, -0.4, 0.1])
  const inputs = randomRows(101, 2, 8)
  const targets = inputs.map(([a = 0, b = 0]) => [a + 0.3 * b > 0.1 ? 1 : 0])
  const metrics = ['accuracy', 'auc', { name: 'precision', threshold: 0.6 }, 'f1'] as const
  const found = await evaluate(binary, { inputs, targets }, { loss: binaryCrossEntropy(), metrics })
  const z = [...binary.predict(inputs).data]
  const y = targets.map(([label = 0]) => label)
  let [pairs, ordered] = [0, 0]
  z.forEach((a, i) => {
    z.forEach((b, j) => {
      if (y[i] !== 1 || y[j] !== 0) return
      pairs++
      ordered += a > b ? 1 : a === b ? 0.5 : 0
    })
  })
  const cut = Math.log(0.6 / 0.4)
  const yes = z.map((a) => (a > cut ? 1 : 0))
  const precision =
    yes.reduce<number>((sum, a, i) => sum + a * (y[i] as number), 0) / yes.reduce<number>((a, b) => a + b, 0)
  expectClose([found.auc ?? 0, found.precision ?? 0], [ordered / pairs, precision], 1e-12)
  const right = z.filter((a, i) => (a > 0 ? 1 : 0) === y[i]).length
  expectClose([found.accuracy ?? 0], [right / 101], 1e-12)
})

test('metrics of values', async () => {
  const regression = createModel({ inputs: 2, layers: [dense(2)], dtype: 'float64', seed: 1 })
  const inputs = randomRows(50, 2, 3)
  const targets = randomRows(50, 2, 4)
  const metrics = ['r2', 'meanAbsoluteError', 'meanSquaredError', 'rootMeanSquaredError'] as const
  const found = await evaluate(regression, { inputs, targets }, { loss: meanSquaredError(), metrics })
  const z = regression.predict(inputs).data
  const y = targets.flat()
  const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length
  const squared = mean(y.map((t, k) => (t - (z[k] as number)) ** 2))
  const r2 = mean(
    [0, 1].map((column) => {
      const own = y.filter((_, k) => k % 2 === column)
      const center = mean(own)
      const rest = own.reduce((sum, t, row) => sum + (t - (z[2 * row + column] as number)) ** 2, 0)
      return 1 - rest / own.reduce((sum, t) => sum + (t - center) ** 2, 0)
    }),
  )
  expectClose(
    [found.loss, found.r2, found.meanAbsoluteError, found.meanSquaredError, found.rootMeanSquaredError].map(
      (x) => x ?? 0,
    ),
    [squared, r2, mean(y.map((t, k) => Math.abs(t - (z[k] as number)))), squared, Math.sqrt(squared)],
    1e-12,
  )
})

test('heads', async () => {
  const heads = createModel({ inputs: 2, layers: [dense(4, 'tanh')], heads: { a: [dense(3)], b: [dense(2)] } })
  const targets = { a: data.targets, b: randomRows(257, 2, 6) }
  const found = await evaluate(
    heads,
    { inputs: data.inputs, targets },
    { loss: { a: loss, b: meanSquaredError() }, lossWeights: { b: 2 }, metrics: { b: ['r2'] } },
  )
  expect(Object.keys(found.heads ?? {})).toEqual(['a', 'b'])
  expect(Object.keys(found.heads?.a ?? {})).toEqual(['loss', 'accuracy'])
  expect(Object.keys(found.heads?.b ?? {})).toEqual(['loss', 'r2'])
  expectClose([found.loss], [(found.heads?.a?.loss ?? 0) + 2 * (found.heads?.b?.loss ?? 0)], 1e-6)
})

describe('misuse', () => {
  const evaluateWith = (options: object) => () => evaluate(model, data, options as never)
  const cases: [string, () => unknown, ...string[]][] = [
    ['no loss', evaluateWith({}), 'loss'],
    ['misspelt', evaluateWith({ loss, metric: [] }), "did you mean 'metrics'"],
    ['unknown metric', evaluateWith({ loss, metrics: ['acuracy'] }), 'metrics[0]', "did you mean 'accuracy'"],
    ['twice', evaluateWith({ loss, metrics: ['accuracy', 'accuracy'] }), 'metrics[1]', 'once'],
    ['option of another', evaluateWith({ loss, metrics: [{ name: 'accuracy', k: 2 }] }), "'k'"],
    ['k', evaluateWith({ loss, metrics: [{ name: 'topK', k: 4 }] }), 'metrics[0].k', '3'],
    ['threshold', evaluateWith({ loss, metrics: [{ name: 'f1', threshold: 0.5 }] }), 'metrics[0].threshold'],
    ['average', evaluateWith({ loss, metrics: [{ name: 'f1', average: 'binary' }] }), 'metrics[0].average'],
    ['auc of values', evaluateWith({ loss: meanSquaredError(), metrics: ['auc'] }), 'metrics[0]', 'auc'],
    ['threads', evaluateWith({ loss, threads: 1.5 }), 'threads', '1.5'],
    ['signal', evaluateWith({ loss, signal: {} }), 'signal', 'AbortSignal'],
    ['weights without heads', evaluateWith({ loss, lossWeights: {} }), 'lossWeights'],
  ]
  test.each(cases)('%s', async (_, action, ...parts) => {
    await expectRejection(action, 'ERR_OPTION', ...parts)
  })

  test('an aborted signal rejects with its reason', async () => {
    const reason = new Error('no more')
    await expect(evaluate(model, data, { loss, signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const big = classData(20_000)
    const pending = evaluate(model, big, { loss, signal: controller.signal })
    controller.abort(reason)
    await expect(pending).rejects.toBe(reason)
  })
})

test('class weights belong to the loss: metrics count samples', async () => {
  const model = createModel({ inputs: 1, layers: [dense(2)], dtype: 'float64' })
  // Always class 0.
  model.setParameters([0, 0, 1, 0])
  const data = { inputs: Array.from({ length: 10 }, (_, i) => [i]), targets: [0, 0, 0, 0, 0, 0, 0, 0, 0, 1] }
  const plain = await evaluate(model, data, { loss: softmaxCrossEntropy() })
  const weighted = await evaluate(model, data, { loss: softmaxCrossEntropy({ classWeights: [1, 9] }) })
  expect([plain.accuracy, weighted.accuracy]).toEqual([0.9, 0.9])
  expect(weighted.loss).toBeGreaterThan(plain.loss)
})
