import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import {
  adam,
  asymmetricSmoothing,
  autoClip,
  createModel,
  createTrainer,
  dense,
  dropout,
  layerNorm,
  loadCheckpoint,
  loadModel,
  quantileThreshold,
  readSafetensors,
  residual,
  sampleClipping,
  save,
  softmaxCrossEntropy,
  softmaxRadiusControl,
  tensorValues,
  train,
  writeSafetensors,
} from '../src/index.js'
import { classData } from './support/data.js'
import { expectRejection } from './support/errors.js'

const folder = mkdtempSync(join(tmpdir(), 'krylov-model-'))
afterAll(() => rmSync(folder, { recursive: true }))
const at = (name: string): string => join(folder, name)

const data = classData(120)
const loss = softmaxCrossEntropy()
const make = (dtype: 'float32' | 'float64') =>
  createModel({
    inputs: 2,
    layers: [
      dense(5, { kind: 'leakyRelu', slope: 0.2 }),
      residual([layerNorm(), dense(5, 'tanh')]),
      dropout(0.2),
      dense(3),
    ],
    dtype,
    seed: 9,
    inputScale: 0.5,
  })

describe.each(['float32', 'float64'] as const)('%s', (dtype) => {
  test('a model comes back to the bit, with what its outputs mean', async () => {
    const model = make(dtype)
    await train(model, data, { loss, epochs: 2 })
    const path = at(`${dtype}.safetensors`)
    await save(model, path)
    const again = await loadModel(path)
    expect(again.spec).toEqual(model.spec)
    expect(again.spec.task).toBe('softmax')
    expect(again.parameters).toEqual(model.parameters)
    expect(again.predict(data.inputs, { output: 'probability' })).toEqual(
      model.predict(data.inputs, { output: 'probability' }),
    )
    expect((await loadCheckpoint(path)).state).toBeNull()
    // Other programs find plain tensors.
    const file = await readSafetensors(path)
    expect([...file.tensors.keys()].sort()).toEqual(model.tensors.map(({ name }) => name).sort())
    const weight = file.tensors.get('layers.0.weight')
    expect(weight?.shape).toEqual([5, 2])
    expect(weight && tensorValues(weight)).toEqual(model.views()['layers.0.weight'])
  })

  test('a checkpoint continues to the same bits', async () => {
    const optimizer = adam({ amsgrad: true })
    const whole = make(dtype)
    await train(whole, data, { loss, optimizer, epochs: 6, seed: 2 })
    const part = make(dtype)
    const run = train(part, data, { loss, optimizer, epochs: 2, seed: 2 })
    await run
    const path = at(`${dtype}-checkpoint.safetensors`)
    await save(part, path, { state: run.state() })
    const { model, state } = await loadCheckpoint(path)
    expect(state).toEqual(run.state())
    await train(model, data, { loss, optimizer, epochs: 6, resume: state! })
    expect(model.parameters).toEqual(whole.parameters)
    // It is a model like any other, too.
    expect((await loadModel(path)).parameters).toEqual(part.parameters)
  })

  test('stages continue from a checkpoint to the same bits', async () => {
    const options = {
      loss,
      seed: 2,
      clipping: sampleClipping({ adapt: quantileThreshold() }),
      gradient: [asymmetricSmoothing(), autoClip({ percentile: 50 })],
      stepSize: softmaxRadiusControl(),
      record: { gradients: true },
    } as const
    const whole = make(dtype)
    await train(whole, data, { ...options, epochs: 5 })
    const part = make(dtype)
    const run = train(part, data, { ...options, epochs: 2 })
    await run
    const path = at(`${dtype}-stages.safetensors`)
    await save(part, path, { state: run.state() })
    const { model, state } = await loadCheckpoint(path)
    expect(state).toEqual(run.state())
    expect(Object.keys(state?.optimizer.numbers ?? {}).length).toBeGreaterThan(2)
    await train(model, data, { ...options, epochs: 5, resume: state! })
    expect(model.parameters).toEqual(whole.parameters)
  })

  test('a trainer goes back to its start with the memory of its stages', () => {
    const model = make(dtype)
    const options = { loss, gradient: asymmetricSmoothing(), clipping: sampleClipping({ adapt: quantileThreshold() }) }
    const trainer = createTrainer(model, options)
    const [parameters, start] = [model.parameters, trainer.state()]
    const steps = () => {
      for (let step = 0; step < 3; step++) trainer.step(data)
      return model.parameters
    }
    const first = steps()
    model.setParameters(parameters)
    trainer.setState(start)
    expect(steps()).toEqual(first)
  })
})

test('heads', async () => {
  const model = createModel({ inputs: 2, layers: [dense(3, 'relu')], heads: { a: [dense(2)], b: [dense(1)] } })
  await save(model, at('heads.safetensors'))
  const again = await loadModel<'float32', 'a' | 'b'>(at('heads.safetensors'))
  expect(again.headNames).toEqual(['a', 'b'])
  expect(again.predict([1, 2]).b.data).toEqual(model.predict([1, 2]).b.data)
})

test('saving replaces the file as a whole', async () => {
  const path = at('twice.safetensors')
  const model = make('float32')
  await save(model, path)
  const first = readFileSync(path)
  model.setParameters(model.parameters.map((w) => w + 1))
  await save(model, path)
  expect(readFileSync(path).equals(first)).toBe(false)
  expect(readdirSync(folder).filter((name) => name.includes('twice'))).toEqual(['twice.safetensors'])
  const reason = new Error('stop')
  const kept = readFileSync(path)
  await expect(save(make('float32'), path, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  expect(readFileSync(path).equals(kept)).toBe(true)
})

test('a model that trains is saved as it was last published', async () => {
  const model = make('float32')
  const run = train(model, data, { loss, epochs: 100_000 })
  await save(model, at('busy.safetensors'))
  run.abort()
  await run
  expect((await loadModel(at('busy.safetensors'))).parameters.every(Number.isFinite)).toBe(true)
})

describe('files that are not such a model', () => {
  const path = at('good.safetensors')
  const change = async (
    edit: (file: Awaited<ReturnType<typeof readSafetensors>>, metadata: Map<string, string>) => void,
  ) => {
    await save(make('float32'), path)
    const file = await readSafetensors(path)
    const metadata = new Map(file.metadata)
    edit(file, metadata)
    await writeSafetensors(at('bad.safetensors'), file.tensors, metadata)
    return at('bad.safetensors')
  }
  const model = (metadata: Map<string, string>) => JSON.parse(metadata.get('krylov.model') ?? '')
  const cases: [string, Parameters<typeof change>[0], ...string[]][] = [
    ['no metadata', (_, metadata) => metadata.clear(), "metadata 'krylov.format'"],
    ['a later format', (_, metadata) => metadata.set('krylov.format', '2'), "'1'", "'2'"],
    ['no model', (_, metadata) => metadata.delete('krylov.model'), "metadata 'krylov.model'"],
    ['broken JSON', (_, metadata) => metadata.set('krylov.model', '{'), 'JSON'],
    [
      'unknown option',
      (_, metadata) => metadata.set('krylov.model', JSON.stringify({ ...model(metadata), input: 3 })),
      "did you mean 'inputs'",
    ],
    [
      'a network of another size',
      (_, metadata) => metadata.set('krylov.model', JSON.stringify({ ...model(metadata), inputs: 2 ** 24 })),
      'parameters',
    ],
    ['a missing tensor', (file) => file.tensors.delete('layers.0.bias'), 'parameters'],
    [
      'a renamed tensor',
      (file) => {
        file.tensors.set('layers.0.bais', file.tensors.get('layers.0.bias')!)
        file.tensors.delete('layers.0.bias')
      },
      "'layers.0.bias'",
    ],
    [
      'a transposed tensor',
      (file) => {
        const weight = file.tensors.get('layers.0.weight')!
        file.tensors.set('layers.0.weight', { ...weight, shape: [2, 5] })
      },
      '[5, 2]',
      '[2, 5]',
    ],
    [
      'NaN',
      (file) => {
        const bias = file.tensors.get('layers.0.bias')!
        file.tensors.set('layers.0.bias', { ...bias, data: new Uint8Array(bias.data.length).fill(0xff) })
      },
      'NaN',
    ],
    ['a broken state', (_, metadata) => metadata.set('krylov.state', '{}'), 'krylov.state'],
  ]
  test.each(cases)('%s', async (name, edit, ...parts) => {
    const file = await change(edit)
    const load = name === 'a broken state' ? loadCheckpoint : loadModel
    await expectRejection(() => load(file), 'ERR_FILE', 'bad.safetensors', ...parts)
  })

  test('no file, no safetensors file', async () => {
    await expectRejection(() => loadModel(at('nothing.safetensors')), 'ERR_FILE', 'nothing.safetensors')
    writeFileSync(at('text.safetensors'), 'not a model at all')
    await expectRejection(() => loadModel(at('text.safetensors')), 'ERR_FILE', 'text.safetensors')
  })

  test('misuse', async () => {
    await expectRejection(() => save({} as never, 'x'), 'ERR_OPTION', 'model')
    await expectRejection(() => save(make('float32'), 3 as never), 'ERR_OPTION', 'path')
    await expectRejection(
      () => save(make('float32'), at('x'), { stat: 1 } as never),
      'ERR_OPTION',
      "did you mean 'state'",
    )
    await expectRejection(() => loadModel(at('good.safetensors'), { signal: 1 } as never), 'ERR_OPTION', 'signal')
  })
})
