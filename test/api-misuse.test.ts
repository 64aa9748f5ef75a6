// Every public function refuses what it cannot use, naming the argument, what was expected and what came.
import { describe, expect, test } from 'vitest'
import type { Model } from '../src/index.js'
import {
  createModel,
  createTrainer,
  dense,
  dropout,
  elu,
  evaluate,
  heNormal,
  layerNorm,
  leakyRelu,
  linearize,
  meanSquaredError,
  residual,
  softmaxCrossEntropy,
  softplus,
  sparse,
  systemInfo,
  train,
} from '../src/index.js'
import { loadAddon } from '../src/internal/native.js'
import { expectError } from './support/errors.js'

type Case = [string, () => unknown, ...(string | RegExp)[]]

describe('layers', () => {
  const cases: Case[] = [
    ['units', () => dense(0), 'dense units', '1', '0'],
    ['fraction', () => dense(2.5), 'dense units', '2.5'],
    ['text', () => dense('3' as never), 'dense units', "'3'"],
    ['activation', () => dense(3, 'rely' as never), "did you mean 'relu'"],
    [
      'options in second place',
      () => dense(3, { activation: 'relu' } as never),
      'second argument',
      'options come third',
    ],
    ['options alone', () => dense(3, { bias: false } as never), 'dense activation', 'options come third'],
    ['activation object', () => dense(3, { kind: 'leakyRelu', alpha: 1 } as never), "'alpha'"],
    ['option of none', () => dense(3, { kind: 'relu', slope: 1 } as never), "'slope'"],
    ['misspelt', () => dense(3, 'relu', { biass: false } as never), "did you mean 'bias'"],
    ['bias', () => dense(3, 'relu', { bias: 1 as never }), 'dense bias', 'true or false', '1'],
    ['initialiser', () => dense(3, 'relu', { weightInitialiser: 'henormal' as never }), "did you mean 'heNormal'"],
    ['bias initialiser', () => dense(3, 'relu', { biasInitialiser: 'orthogonal' }), 'biasInitialiser', "'orthogonal'"],
    ['gain', () => heNormal({ gain: -1 }), 'heNormal gain', '-1'],
    ['connections', () => sparse({ connections: 0 }), 'sparse connections'],
    ['slope', () => leakyRelu({ slope: Number.NaN }), 'leakyRelu slope', 'NaN'],
    ['alpha', () => elu({ alpha: -1 }), 'elu alpha'],
    ['beta', () => softplus({ beta: 0 }), 'softplus beta'],
    ['rate 1', () => dropout(1), 'dropout rate', '< 1'],
    ['epsilon', () => layerNorm({ epsilon: 0 }), 'layerNorm epsilon'],
    ['block', () => residual(dense(3) as never), 'residual layers', 'array'],
    ['in a block', () => residual([dense(3), { kind: 'dropout', rate: 2 }]), 'residual layers[1].rate'],
  ]
  test.each(cases)('%s', (_, action, ...parts) => {
    expectError(action, 'ERR_OPTION', ...parts)
  })
})

describe('createModel', () => {
  const layers = [dense(2)]
  const make = (options: object) => () => createModel(options as never)
  const cases: Case[] = [
    ['no options', make(undefined as never), 'createModel options'],
    ['no inputs', make({ layers }), 'inputs', 'undefined'],
    ['no layers', make({ inputs: 2 }), 'layers', 'array', 'undefined'],
    ['empty', make({ inputs: 2, layers: [] }), 'layers', 'at least one'],
    ['nothing to learn', make({ inputs: 2, layers: [dropout(0.5)] }), 'layers', 'at least one'],
    ['misspelt', make({ inputs: 2, layers, input: 3 }), "did you mean 'inputs'"],
    ['a layer', make({ inputs: 2, layers: [dense(2), 3] }), 'layers[1]', '3'],
    ['a kind', make({ inputs: 2, layers: [{ kind: 'dens', units: 2 }] }), 'layers[0].kind', "did you mean 'dense'"],
    [
      'an option inside',
      make({ inputs: 2, layers: [{ units: 2, activation: 'tan' }] }),
      'layers[0].activation',
      "'tanh'",
    ],
    ['dtype', make({ inputs: 2, layers, dtype: 'float16' }), 'dtype', "'float16'"],
    ['seed', make({ inputs: 2, layers, seed: -1 }), 'seed', '-1'],
    ['scale', make({ inputs: 2, layers, inputScale: 0 }), 'inputScale'],
    ['a head number', make({ inputs: 2, layers, heads: { 0: [dense(1)] } }), 'heads', "'0'"],
    ['a dotted head', make({ inputs: 2, layers, heads: { 'a.b': [dense(1)] } }), 'heads', "'a.b'"],
    ['no heads', make({ inputs: 2, layers, heads: {} }), 'heads', 'at least one'],
    ['a head that is no list', make({ inputs: 2, layers, heads: { a: dense(1) } }), 'heads.a', 'array'],
    ['task', make({ inputs: 2, layers, task: 'softmaks' }), 'task', "did you mean 'softmax'"],
  ]
  test.each(cases)('%s', (_, action, ...parts) => {
    expectError(action, 'ERR_OPTION', ...parts)
  })

  test('a block must end as wide as it began', () => {
    const options = { inputs: 2, layers: [dense(3), residual([dense(4)])] }
    expectError(() => createModel(options), 'ERR_SHAPE', 'layers[1]', '3', '4')
  })
})

describe('train', () => {
  const model = createModel({ inputs: 2, layers: [dense(2)] })
  const data = {
    inputs: [
      [1, 2],
      [3, 4],
    ],
    targets: [0, 1],
  }
  const loss = softmaxCrossEntropy()
  const start = (options: object) => () => train(model, data, options as never)
  const cases: Case[] = [
    ['no model', () => train({} as typeof model, data, { loss }), 'model', 'createModel'],
    ['no options', () => train(model, data, undefined as never), 'train options'],
    ['no loss', start({}), 'loss', 'undefined'],
    ['a name as loss', start({ loss: 'softmaxCrossEntropy' }), 'loss'],
    ['misspelt', start({ loss, epoch: 3 }), "did you mean 'epochs'"],
    ['batchSize', start({ loss, batchSize: 0 }), 'batchSize', '0'],
    ['epochs', start({ loss, epochs: Infinity }), 'epochs', 'Infinity'],
    ['optimizer', start({ loss, optimizer: { kind: 'adam', beta3: 1 } }), 'optimizer.beta3', "'beta3'"],
    ['l2', start({ loss, l2: -1 }), 'l2', '-1'],
    ['shuffle', start({ loss, shuffle: 'yes' }), 'shuffle', "'yes'"],
    ['onEpoch', start({ loss, onEpoch: 1 }), 'onEpoch', 'a function'],
    ['onStep', start({ loss, onStep: () => 0 }), 'onStep'],
    ['onStep.every', start({ loss, onStep: { every: 0, callback: () => 0 } }), 'onStep.every'],
    ['signal', start({ loss, signal: 'no' }), 'signal', 'AbortSignal'],
    ['fraction', start({ loss, validation: { fraction: 1 } }), 'validation.fraction', '1'],
    ['early stopping alone', start({ loss, earlyStopping: {} }), 'validation'],
    [
      'monitor',
      start({ loss, validation: data, earlyStopping: { monitor: 'acuracy' } }),
      'earlyStopping.monitor',
      "did you mean 'accuracy'",
    ],
    ['patience', start({ loss, validation: data, earlyStopping: { patience: 0 } }), 'earlyStopping.patience'],
    ['resume', start({ loss, resume: {} }), 'resume'],
    ['a class too large', () => train(model, { ...data, targets: [0, 2] }, { loss }), 'targets[1]', '2'],
    ['trainer epochs', () => createTrainer(model, { loss, epochs: 3 } as never), "'epochs'"],
  ]
  test.each(cases)('%s', (_, action, ...parts) => {
    expectError(action, 'ERR_OPTION', ...parts)
    expect(model.busy).toBe(false)
  })

  const shapes: Case[] = [
    ['columns', () => train(model, { inputs: [[1, 2, 3]], targets: [0] }, { loss }), 'inputs', '2', '3'],
    ['rows', () => train(model, { ...data, targets: [0] }, { loss }), 'targets', '2 rows', '1 row'],
    ['no rows', () => train(model, { inputs: [], targets: [] }, { loss }), 'inputs'],
    ['weights', () => train(model, { ...data, sampleWeights: [1] }, { loss }), 'sampleWeights', '2 rows'],
    [
      'validation',
      () => train(model, data, { loss, validation: { inputs: [[1]], targets: [0] } }),
      'validation.inputs',
    ],
    ['too small to split', start({ loss, validation: { fraction: 0.1 } }), 'validation.fraction', 'at least one row'],
    [
      'target columns',
      () => train(model, { ...data, targets: [[1], [2]] }, { loss: meanSquaredError() }),
      'targets',
      '2',
    ],
  ]
  test.each(shapes)('shapes: %s', (_, action, ...parts) => {
    expectError(action, 'ERR_SHAPE', ...parts)
    expect(model.busy).toBe(false)
  })

  test('NaN in the data', () => {
    const inputs = [
      [1, Number.NaN],
      [3, 4],
    ]
    expectError(() => train(model, { ...data, inputs }, { loss }), 'ERR_NOT_FINITE', 'inputs', 'row 0', 'column 1')
    const targets = [
      [1, 2],
      [Infinity, 0],
    ]
    const values = { ...data, targets }
    expectError(() => train(model, values, { loss: meanSquaredError() }), 'ERR_NOT_FINITE', 'targets', 'row 1')
  })

  test('heads', () => {
    const heads = createModel({ inputs: 2, layers: [], heads: { a: [dense(2)], b: [dense(1)] } })
    const targets = { a: [0, 1], b: [[1], [2]] }
    const good = { a: loss, b: meanSquaredError() }
    const go =
      (change: object, options: object = {}) =>
      () =>
        train(heads, { inputs: data.inputs, targets, ...change } as never, { loss: good, ...options } as never)
    expectError(go({}, { loss }), 'ERR_OPTION', 'loss')
    expectError(go({}, { loss: { a: loss } }), 'ERR_OPTION', 'loss.b')
    expectError(go({}, { loss: { ...good, c: loss } }), 'ERR_OPTION', "'c'")
    expectError(go({ targets: { a: [0, 1] } }), 'ERR_OPTION', 'targets.b')
    expectError(go({ targets: { ...targets, a: [0] } }), 'ERR_SHAPE', 'targets.a')
    expectError(go({}, { lossWeights: { a: -1 } }), 'ERR_OPTION', 'lossWeights.a')
    expectError(
      go({}, { loss: { ...good, a: { loss, weight: 1 } }, lossWeights: { a: 1 } }),
      'ERR_OPTION',
      'lossWeights.a',
    )
    expectError(go({}, { metrics: { a: ['r3'] } }), 'ERR_OPTION', 'metrics.a[0]')
    expectError(
      go({}, { loss: { ...good, b: { loss: meanSquaredError(), wight: 1 } } }),
      'ERR_OPTION',
      "did you mean 'weight'",
    )
  })
})

test('a model of another class is no model', async () => {
  const fake = { inputs: 2, parameters: new Float32Array(6) } as unknown as Model
  const data = { inputs: [[1, 2]], targets: [0] }
  expectError(() => linearize(fake, data, softmaxCrossEntropy()), 'ERR_OPTION', 'model')
  await expect(evaluate(fake, data, { loss: softmaxCrossEntropy() })).rejects.toThrow('model')
})

test('arrays whose memory is gone', () => {
  const model = createModel({ inputs: 2, layers: [dense(2)] })
  const inputs = new Float32Array(2)
  structuredClone(inputs, { transfer: [inputs.buffer] })
  expectError(() => model.predict(inputs), 'ERR_SHAPE', 'inputs')
  const flat = new Float32Array(6)
  structuredClone(flat, { transfer: [flat.buffer] })
  expectError(() => model.setParameters(flat), 'ERR_SHAPE', 'parameters')
})

test('a binary that cannot be loaded: every attempt, and the fix', () => {
  const list = [
    { path: '/nowhere/krylov.node', from: 'KRYLOV_BINARY' },
    { path: import.meta.filename, from: 'build' },
  ]
  const load = (): never => {
    throw new Error('not an addon')
  }
  const error = expectError(() => loadAddon(list, load), 'ERR_NATIVE', 'npm run build', 'KRYLOV_BINARY', 'not an addon')
  expect(error.message).toContain('/nowhere/krylov.node (KRYLOV_BINARY): no such file')
  expect(error.details?.attempts).toHaveLength(2)
  expectError(() => loadAddon(list.slice(1), () => ({})), 'ERR_NATIVE', 'not an addon of this package')
})

test('systemInfo', () => {
  const info = systemInfo()
  expect(info.node).toBe(process.versions.node)
  expect(info.library).toMatch(/^\d+\.\d+\.\d+/)
  expect(info.availableInstructionSets).toContain(info.instructionSet)
  expect(info.defaultThreads).toBeGreaterThanOrEqual(1)
  expect(info.defaultThreads).toBeLessThanOrEqual(info.onlineProcessors)
})
