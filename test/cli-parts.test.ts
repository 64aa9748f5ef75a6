// The parts of the command line that need no process of their own.
import { describe, expect, test } from 'vitest'
import { hint, joinKeys, splitPath } from '../src/cli/problems.js'
import { showProgress } from '../src/cli/progress.js'
import { validateConfig } from '../src/cli/specs.js'
import { applyScaling, fitScaling, foldScaling } from '../src/cli/standardize.js'
import { columns, count, duration, hasColour, measures, number, rate } from '../src/cli/text.js'
import type { EpochRecord } from '../src/index.js'
import { createModel, dense } from '../src/index.js'

test.each([
  ['model.layers[2].units', ['model', 'layers', 2, 'units']],
  ['[0].a', [0, 'a']],
  ['heads["a b"][1]', ['heads', 'a b', 1]],
  ['', []],
])('path %s', (path, keys) => {
  expect(splitPath(path)).toEqual(keys)
  expect(joinKeys(keys)).toBe(path)
})

test.each([
  ['learning_rate', "; did you mean 'learningRate'?"],
  ['sede', "; did you mean 'seed'?"],
  ['zzz', '; known are learningRate, seed'],
])('a near name for %s', (word, text) => {
  expect(hint(word, ['learningRate', 'seed'])).toBe(text)
})

test('numbers, rates, times and tables', () => {
  expect([0.123456, 12, 1e-7, 1234567.8, Number.NaN].map(number)).toEqual([
    '0.1235',
    '12',
    '1.000e-7',
    '1.235e6',
    'NaN',
  ])
  expect([12.4, 12_345, 2.5e6].map(rate)).toEqual(['12', '12.3k', '2.5M'])
  expect([0.0123, 12.34, 75, 7384].map(duration)).toEqual(['12.3 ms', '12.3 s', '1 min 15 s', '2 h 03 min'])
  expect([count(1, 'epoch'), count(2500, 'epoch')]).toEqual(['1 epoch', '2,500 epochs'])
  expect(
    columns([
      ['a', '1'],
      ['long', '100'],
    ]),
  ).toBe('a       1\nlong  100')
  expect(measures({ loss: 1, heads: { a: { loss: 2, accuracy: 0.5 } } })).toEqual([
    ['loss', 1],
    ['a.loss', 2],
    ['a.accuracy', 0.5],
  ])
})

test('colours are for terminals, and not against NO_COLOR', () => {
  const terminal = { isTTY: true, write: () => true }
  expect(hasColour(terminal, {})).toBe(true)
  expect(hasColour(terminal, { NO_COLOR: '1' })).toBe(false)
  expect(hasColour(terminal, { NO_COLOR: '' })).toBe(true)
  expect(hasColour(terminal, { TERM: 'dumb' })).toBe(false)
  expect(hasColour({ write: () => true }, {})).toBe(false)
})

describe('stages beside an optimizer, before the data are read', () => {
  const config = (optimizer: unknown, training: object) => ({
    data: { train: { csv: 'there-is-no-such-file.csv', target: 'kind', targetKind: 'class' } },
    model: { layers: [{ units: 4 }, { units: 3 }] },
    loss: 'softmaxCrossEntropy',
    optimizer,
    training: { epochs: 1, ...training },
    output: { model: 'model.safetensors' },
  })

  test.each([
    ['weights', 'focalWeights'],
    ['clipping', { kind: 'sampleClipping', threshold: 1 }],
    ['gradient', 'clipByValue'],
    ['stepSize', 'softmaxRadius'],
    ['sampling', 'poisson'],
  ])('a second-order optimizer refuses %s', async (stage, option) => {
    expect((await validateConfig(config('adam', { [stage]: option }))).training).toHaveProperty(stage)
    const refusal = new RegExp(`training\\.${stage}: .*lbfgs`)
    await expect(validateConfig(config('lbfgs', { [stage]: option }))).rejects.toThrow(refusal)
  })

  test('an update rule refuses a batch for curvature', async () => {
    const curvature = { curvatureBatchSize: 100 }
    expect((await validateConfig(config('hessianFree', curvature))).training).toMatchObject(curvature)
    await expect(validateConfig(config('adam', curvature))).rejects.toThrow(/training\.curvatureBatchSize: .*adam/)
  })

  test('a wrong optimizer is told once', async () => {
    const wrong = validateConfig(config({ kind: 'lbfgs', history: 0 }, { clipping: 'sampleClipping' }))
    const { message } = await wrong.then(
      () => ({ message: '' }),
      (error: Error) => error,
    )
    expect(message.match(/history/g)).toHaveLength(1)
  })
})

describe('plain progress', () => {
  const record = (epoch: number): EpochRecord => ({
    epoch,
    loss: 1 / epoch,
    learningRate: 0.1,
    samplesPerSecond: 1000,
    seconds: 0.5,
    validationSeconds: 0,
    updates: epoch,
    best: true,
  })

  /** The epochs shown of a run whose epochs end at the given milliseconds. */
  function shown(times: readonly number[], epochs: number): number[] {
    let now = 0
    const lines: string[] = []
    const stream = { write: (text: string) => lines.push(text) }
    const progress = showProgress(stream, epochs, 100, () => now)
    times.forEach((time, index) => {
      now = time
      progress.epoch(record(index + 1))
    })
    progress.stop()
    return lines.map((line) => Number(/^epoch +(\d+)\//.exec(line)?.[1]))
  }

  test('one line an epoch, at most one every two seconds, and always the last', () => {
    expect(shown([0, 3000, 6000], 3)).toEqual([1, 2, 3])
    expect(shown([0, 500, 1000, 1500, 2000, 2500, 3000], 7)).toEqual([1, 5, 7])
    // Ended before its time: the last epoch there was.
    expect(shown([0, 500, 1000], 100)).toEqual([1, 3])
    expect(shown([], 5)).toEqual([])
  })
})

test('a scaling folded into the model gives what scaled inputs gave', () => {
  const model = createModel({ inputs: 3, layers: [dense(5, 'tanh'), dense(2)], dtype: 'float64', seed: 4 })
  const rows = Float64Array.from({ length: 60 }, (_, at) => (at % 3 === 2 ? 7 : 100 * (at % 3) + 10 * Math.sin(at)))
  const raw = { data: rows, shape: [20, 3] as const }
  const scaling = fitScaling(raw)
  const scaled = applyScaling(raw, scaling)
  const check = fitScaling(scaled)
  for (const column of [0, 1]) {
    expect(check.mean[column]).toBeCloseTo(0, 12)
    expect(check.deviation[column]).toBeCloseTo(1, 12)
  }
  // A constant column becomes 0 and is not divided by nothing.
  expect(Array.from(scaled.data).filter((_, at) => at % 3 === 2)).toEqual(new Array(20).fill(0))
  const before = model.predict(scaled)
  foldScaling(model, scaling)
  const after = model.predict(raw)
  before.data.forEach((value, index) => {
    expect(Math.abs((after.data[index] ?? Number.NaN) - value)).toBeLessThan(1e-12)
  })
  model.dispose()
})
