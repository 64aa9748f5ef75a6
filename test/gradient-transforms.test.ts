import { describe, expect, it } from 'vitest'
import { validateConfig } from '../src/cli/specs.js'
import type { DType, GradientOption, GradientTransformOption, Model, TrainOptions } from '../src/index.js'
import {
  adam,
  adaptiveClip,
  asymmetricSmoothing,
  autoClip,
  classicalMomentum,
  clipByGlobalNorm,
  clipByLayerNorm,
  clipByValue,
  createGradientTransform,
  createModel,
  createOptimizer,
  createTrainer,
  dense,
  directionalBias,
  dropout,
  gradientTransformKinds,
  hessianFree,
  layerNorm,
  lbfgs,
  linearize,
  lowRankFilter,
  residual,
  sgd,
  softmaxCrossEntropy,
  train,
} from '../src/index.js'
import { addon } from '../src/internal/native.js'
import { errorOf } from './support/thrown.js'

const rows = 24
const inputs = {
  data: Float64Array.from({ length: rows * 20 }, (_, i) => Math.sin(1 + i * i)),
  shape: [rows, 20] as const,
}
const targets = Int32Array.from({ length: rows }, (_, i) => (i * 7) % 5)
const data = { inputs, targets }
const loss = softmaxCrossEntropy()

/** Wider and narrower weights than a panel, normalisation, a residual block. */
function network<D extends DType>(dtype: D, seed = 3): Model<D> {
  const layers = [dense(18, 'tanh'), layerNorm(), residual([dense(7, 'tanh'), dense(18)]), dense(5)]
  return createModel({ inputs: 20, layers, seed, dtype })
}

const chains: Record<string, GradientOption> = {
  clipByValue: clipByValue({ limit: 0.01 }),
  clipByGlobalNorm: clipByGlobalNorm({ maxNorm: 0.2 }),
  'clipByLayerNorm by tensor': clipByLayerNorm({ maxNorm: 0.1 }),
  'clipByLayerNorm by lists': clipByLayerNorm({ maxNorm: 0.1, groups: [[0, 1], [4, 6], [9]] }),
  adaptiveClip: adaptiveClip({ clipping: 0.01, exclude: [8, 9] }),
  autoClip: autoClip({ percentile: 30, window: 3 }),
  asymmetricSmoothing: asymmetricSmoothing(),
  lowRankFilter: lowRankFilter({ rank: 3, refresh: 2, residual: 0.1 }),
  directionalBias: directionalBias({ scope: 'global' }),
  'all that can be': [
    clipByGlobalNorm({ maxNorm: 0.5 }),
    { kind: 'adaptiveClip', clipping: 0.05 },
    asymmetricSmoothing({ biasCorrection: false }),
    lowRankFilter({ rank: 2, decay: 0.5, warmup: 2 }),
    directionalBias(),
    autoClip({ percentile: 60 }),
    clipByLayerNorm({ maxNorm: 0.3 }),
    clipByValue({ limit: 0.1 }),
  ],
}

describe('gradient transformations in training', () => {
  it.each(Object.entries(chains))('%s: the steps that scripts make of the same gradients', (_, gradient) => {
    const model = network('float64')
    const scripted = network('float64')
    const transform = createGradientTransform(gradient, { shapes: model.tensors, dtype: 'float64' })
    const optimizer = createOptimizer(sgd({ learningRate: 0.3 }), model.tensors, { dtype: 'float64' })
    using trainer = createTrainer(model, { loss, optimizer: sgd({ learningRate: 0.3 }), gradient, l2: 1e-3 })
    let parameters = scripted.parameters
    for (let step = 0; step < 6; step++) {
      using point = linearize(scripted, data, loss, { l2: 1e-3 })
      parameters = optimizer.step(parameters, transform.apply(point.gradient(), { parameters }))
      scripted.setParameters(parameters)
      const { numbers } = trainer.step(data)
      for (const [name, value] of Object.entries(transform.numbers ?? {})) expect(numbers?.[name]).toBeCloseTo(value, 9)
      expect(Object.keys(numbers ?? {})).toEqual(Object.keys(transform.numbers ?? {}))
      for (const [i, value] of model.parameters.entries()) expect(value).toBeCloseTo(parameters[i] ?? 0, 9)
    }
    expect(transform.updates).toBe(6)
    const plain = network('float64')
    using other = createTrainer(plain, { loss, optimizer: sgd({ learningRate: 0.3 }), l2: 1e-3 })
    for (let step = 0; step < 6; step++) other.step(data)
    expect(model.parameters).not.toEqual(plain.parameters)
  })

  it('groups by layer are the weight with its bias', () => {
    const model = network('float64')
    const pairs = network('float64')
    expect(model.tensors.length).toBe(10)
    const groups = [0, 2, 4, 6, 8].map((first) => [first, first + 1])
    for (const [network, by] of [
      [model, 'layer'],
      [pairs, groups],
    ] as const) {
      using trainer = createTrainer(network, { loss, gradient: clipByLayerNorm({ maxNorm: 0.05, groups: by }) })
      trainer.step(data)
    }
    expect(model.parameters).toEqual(pairs.parameters)
  })

  it('settings that are the identity leave training the same to the bit', async () => {
    const options: TrainOptions = { loss, optimizer: adam(), batchSize: 8, epochs: 4, l2: 1e-3 }
    const run = async (extra: object) => {
      const model = network('float32')
      await train(model, data, { ...options, ...extra })
      return model.parameters
    }
    const plain = await run({})
    const identities: GradientTransformOption[] = [
      clipByValue({ limit: 1e6 }),
      clipByGlobalNorm({ maxNorm: 1e6 }),
      clipByLayerNorm({ maxNorm: 1e6, groups: 'layer' }),
      adaptiveClip({ clipping: 1e9 }),
      asymmetricSmoothing({ decayPositive: 0, decayNegative: 0 }),
      lowRankFilter({ rank: 2, warmup: 1000 }),
      directionalBias({ parallel: 1, perpendicular: 1 }),
    ]
    for (const gradient of identities) expect(await run({ gradient })).toEqual(plain)
    expect(await run({ gradient: identities })).toEqual(plain)
    expect(await run({ gradient: autoClip({ percentile: 100 }) })).not.toEqual(plain)
  })

  it.each(['float32', 'float64'] as const)(
    '%s: the same bits for any number of threads, and after a resume',
    async (dtype) => {
      const layers = [dense(64, 'relu'), dropout(0.2), dense(90, 'tanh'), dense(3)]
      const wide = {
        data: Float32Array.from({ length: 512 * 96 }, (_, i) => Math.sin(i * i)),
        shape: [512, 96] as const,
      }
      const many = { inputs: wide, targets: Int32Array.from({ length: 512 }, (_, i) => i % 3) }
      const options: TrainOptions = {
        loss,
        optimizer: classicalMomentum({ learningRate: 0.1, nesterov: 'lookahead' }),
        gradient: chains['all that can be'] as GradientOption,
        batchSize: 128,
        l2: 1e-3,
      }
      const model = () => createModel({ inputs: 96, layers, seed: 1, dtype })
      const results = []
      for (const threads of [1, 2, 3]) {
        const network = model()
        await train(network, many, { ...options, epochs: 4, threads })
        results.push(network.parameters)
      }
      expect(results[1]).toEqual(results[0])
      expect(results[2]).toEqual(results[0])
      const resumed = model()
      const first = train(resumed, many, { ...options, epochs: 2 })
      await first
      const resume = first.state()
      expect(Object.keys(resume.optimizer.values)).toContain('gradient.2.positive')
      expect(Object.keys(resume.optimizer.arrays ?? {})).toContain('gradient.5.norms')
      await train(resumed, many, { ...options, epochs: 4, resume })
      expect(resumed.parameters).toEqual(results[0])
      const { gradient: _, ...without } = options
      expect(errorOf(() => train(resumed, many, { ...without, epochs: 4, resume })).message).toMatch(/state/)
      const shorter = { ...options, gradient: asymmetricSmoothing(), epochs: 4, resume }
      expect(errorOf(() => train(resumed, many, shorter)).message).toMatch(/state/)
    },
  )

  it('goes on where a larger batch takes a new workspace', () => {
    const few = { inputs: { data: inputs.data.slice(0, 160), shape: [8, 20] as const }, targets: targets.slice(0, 8) }
    const roomy = network('float64')
    const growing = network('float64')
    const gradient = chains['all that can be'] as GradientOption
    using one = createTrainer(roomy, { loss, gradient })
    one.step(data)
    using two = createTrainer(growing, { loss, gradient })
    growing.setParameters(roomy.parameters)
    two.setState(one.state())
    for (const batch of [few, data, few]) {
      one.step(batch)
      two.step(batch)
    }
    expect(growing.parameters).toEqual(roomy.parameters)
  })

  it('ends a run whose gradient is not finite', async () => {
    const model = createModel({ inputs: 20, layers: [dense(4), dense(5)], seed: 1, dtype: 'float64' })
    const start = model.parameters
    const huge = { inputs: { data: inputs.data.map((x) => x * 1e160), shape: inputs.shape }, targets }
    const history = await train(model, huge, { loss, gradient: clipByValue(), optimizer: sgd(), epochs: 1 })
    expect(history.reason).toBe('notFinite')
    expect(history.notFinite).toEqual({ step: 1, where: 'gradient' })
    expect(model.parameters).toEqual(start)
  })

  it('tells of the newest update in records', async () => {
    const { epochs } = await train(network('float32'), data, {
      loss,
      gradient: clipByGlobalNorm({ maxNorm: 0.1 }),
      epochs: 1,
    })
    const { gradientNorm = 0, transformedGradientNorm = 0, smallestClippingFactor = 0 } = epochs[0]?.numbers ?? {}
    expect(gradientNorm).toBeGreaterThan(0.1)
    expect(transformedGradientNorm).toBeCloseTo(0.1, 6)
    expect(smallestClippingFactor).toBeCloseTo(0.1 / gradientNorm, 12)
  })

  it('refuses what it cannot do', () => {
    const of = (gradient: unknown, optimizer = sgd() as object) =>
      errorOf(() => createTrainer(network('float32'), { loss, optimizer, gradient } as never)).message
    for (const optimizer of [hessianFree(), lbfgs()])
      expect(of(clipByValue(), optimizer)).toMatch(/gradient: expected none with/)
    expect(of(3)).toMatch(/^gradient: expected/)
    expect(of([])).toMatch(/gradient: expected length >= 1/)
    expect(of({ kind: 'clipByNorm' })).toMatch(/gradient\.kind.*clipByGlobalNorm/)
    expect(of([clipByValue(), { kind: 'autoClip', percentile: 101 }])).toMatch(/gradient\[1\]\.percentile: expected/)
    expect(of({ kind: 'autoClip', quantile: 3 })).toMatch(/gradient\.quantile/)
    expect(of(adaptiveClip({ exclude: [10] }))).toMatch(
      /gradient\.exclude: expected indices of tensors, 0 to 9, received 10/,
    )
    expect(of(clipByLayerNorm({ groups: [[0], [0, 1]] }))).toMatch(/gradient\.groups: expected every tensor in one/)
    expect(of(lowRankFilter({ rank: 18 }))).toMatch(/gradient\.rank: expected less than the smaller side/)
    expect(of({ kind: 'lowRankFilter' })).toMatch(/gradient\.rank: expected an integer/)
  })
})

describe('gradient transformations in scripts', () => {
  const shapes = [[2, 3], [2]]
  const gradients = Float64Array.of(3, -4, 0, 0, 0, 0, 0, 12)

  it('fills in defaults', () => {
    expect(lowRankFilter({ rank: 2 })).toEqual({
      kind: 'lowRankFilter',
      rank: 2,
      decay: 0.9,
      refresh: 1,
      warmup: 1,
      residual: 0,
    })
    expect(adaptiveClip()).toEqual({ kind: 'adaptiveClip', clipping: 0.01, epsilon: 1e-3, exclude: [] })
    expect(Object.isFrozen(clipByLayerNorm())).toBe(true)
    expect(gradientTransformKinds.length).toBe(8)
  })

  it('tells the norms', () => {
    const transform = createGradientTransform(clipByGlobalNorm({ maxNorm: 6.5 }), { shapes, dtype: 'float64' })
    expect(transform.numbers).toBeUndefined()
    expect(Array.from(transform.apply(gradients))).toEqual([1.5, -2, 0, 0, 0, 0, 0, 6])
    expect(transform.numbers).toEqual({ gradientNorm: 13, transformedGradientNorm: 6.5, smallestClippingFactor: 0.5 })
    const smooth = createGradientTransform(asymmetricSmoothing(), { shapes, dtype: 'float64' })
    smooth.apply(gradients)
    expect(Object.keys(smooth.numbers ?? {})).toEqual(['gradientNorm', 'transformedGradientNorm'])
  })

  it('leaves the memory and the gradient alone where the norm is not finite', () => {
    const transform = createGradientTransform(asymmetricSmoothing(), { shapes, dtype: 'float64' })
    transform.apply(gradients)
    const before = transform.state()
    for (const wrong of [Number.NaN, Infinity, 1e200]) {
      const bad = gradients.slice()
      bad[3] = wrong
      const kept = bad.slice()
      expect(errorOf(() => transform.apply(bad, { out: bad })).code).toBe('ERR_NOT_FINITE')
      expect(bad).toEqual(kept)
      expect(transform.state()).toEqual(before)
    }
  })

  it('forgets norms beyond the window', () => {
    const transform = createGradientTransform(autoClip({ percentile: 0, window: 2 }), { shapes: [1], dtype: 'float64' })
    const factor = (norm: number) => (transform.apply(Float64Array.of(norm))[0] ?? 0) / norm
    factor(1)
    expect(factor(4)).toBeCloseTo(1 / 4, 5)
    expect(factor(8)).toBeCloseTo(4 / 8, 5)
    expect(transform.state().arrays['0.norms']).toEqual([4, 8])
  })

  it('refuses misuse', () => {
    const transform = createGradientTransform(adaptiveClip(), { shapes, dtype: 'float64' })
    const message = (act: () => unknown) => errorOf(act).message
    expect(message(() => transform.apply(gradients))).toMatch(/parameters: expected/)
    expect(message(() => transform.apply(gradients, { parameters: gradients, out: gradients }))).toMatch(
      /out: expected/,
    )
    const parameters = gradients
    expect(message(() => transform.apply(gradients.slice(1), { parameters }))).toMatch(/gradients: expected length 8/)
    expect(message(() => transform.apply(Float32Array.from(gradients) as never, { parameters }))).toMatch(
      /gradients: expected a Float64Array/,
    )
    expect(message(() => transform.apply(gradients, { place: 1 } as never))).toMatch(/place/)
    const layers = () => createGradientTransform(clipByLayerNorm({ groups: 'layer' }), { shapes })
    expect(message(layers)).toMatch(/gradient\.groups: expected lists of tensors/)
    expect(message(() => createGradientTransform(clipByValue(), { shapes: [] }))).toMatch(/shapes/)
    expect(message(() => createGradientTransform(clipByValue(), {} as never))).toMatch(/shapes/)
    const smooth = createGradientTransform(asymmetricSmoothing(), { shapes, dtype: 'float64' })
    const state = smooth.state()
    expect(message(() => transform.setState(state))).toMatch(/state\.kinds: expected \[adaptiveClip\]/)
    expect(message(() => smooth.setState({ ...state, values: {} }))).toMatch(/state\.values/)
    const short = { ...state.values, '0.positive': [1] }
    expect(message(() => smooth.setState({ ...state, values: short }))).toMatch(/0\.positive.*length 8/)
    const auto = createGradientTransform(autoClip({ window: 1 }), { shapes })
    expect(message(() => auto.setState({ ...auto.state(), arrays: { '0.norms': [1, 2] } }))).toMatch(/0\.norms/)
    expect(message(() => auto.setState({ ...auto.state(), arrays: { '0.norms': [-1] } }))).toMatch(/0\.norms/)
  })
})

describe('gradient transformations in a configuration', () => {
  const config = (gradient: unknown) => ({
    data: { train: { csv: 'samples.csv', target: 'kind', targetKind: 'class' } },
    model: { layers: [{ units: 4 }, { units: 3 }] },
    loss: 'softmaxCrossEntropy',
    training: { epochs: 1, gradient },
    output: { model: 'model.safetensors' },
  })

  it.each([
    'clipByValue',
    { kind: 'clipByGlobalNorm', maxNorm: 2 },
    ['asymmetricSmoothing', { kind: 'directionalBias', scope: 'global' }],
  ])('takes %j', async (gradient) => {
    expect((await validateConfig(config(gradient))).training.gradient).toEqual(gradient)
  })

  it('names the wrong field', async () => {
    const wrong = ['clipByValue', { kind: 'autoClip', percentile: 101 }]
    await expect(validateConfig(config(wrong))).rejects.toThrow(/training\.gradient\[1\]\.percentile/)
    await expect(validateConfig(config(3))).rejects.toThrow(/training\.gradient: expected the name/)
  })
})

describe('the native chain', () => {
  const clip = { kind: 'clipByValue', limit: 1 } as const
  const shape = Uint32Array.of(4)
  const create = (specs: unknown, shapes: unknown, dtype: unknown = 'float64') =>
    new (addon().GradientChain)(specs as never, shapes as never, dtype as never)
  const message = (act: () => unknown) => errorOf(act).message

  it('checks what it is made of', () => {
    expect(message(() => create([], [shape]))).toMatch(/gradient: expected at least one/)
    expect(message(() => create([{ kind: 'other' }], [shape]))).toMatch(/gradient\[0\]\.kind/)
    expect(message(() => create([{ kind: 'clipByValue' }], [shape]))).toMatch(/gradient\[0\]\.limit/)
    expect(message(() => create([{ ...clip, limit: -1 }], [shape]))).toMatch(/gradient\.limit/)
    expect(message(() => create([clip], [[4]]))).toMatch(/shapes\[0\]: expected Uint32Array/)
    const wide = Uint32Array.of(2 ** 31, 2 ** 31, 2 ** 31)
    expect(message(() => create([clip], [wide]))).toMatch(/shapes\[0\]: expected a shape that fits/)
    expect(message(() => create([clip], [shape], 'int32'))).toMatch(/dtype/)
  })

  it('checks what it is given', () => {
    const units = { kind: 'adaptiveClip', clipping: 1, epsilon: 1, exclude: new Uint32Array(0) } as const
    const chain = create(
      [units, { kind: 'asymmetricSmoothing', decayPositive: 0, decayNegative: 0, biasCorrection: true }],
      [shape],
    )
    const array = () => new Float64Array(4)
    expect(chain.needsParameters).toBe(true)
    expect(message(() => chain.apply(array(), null, array()))).toMatch(/parameters/)
    expect(message(() => chain.apply(new Float64Array(3), array(), array()))).toMatch(/gradients/)
    expect(message(() => chain.apply(array(), array(), new Float32Array(4)))).toMatch(/out/)
    const memory = new ArrayBuffer(64)
    const low = new Float64Array(memory, 0, 4)
    expect(message(() => chain.apply(array(), low, new Float64Array(memory, 16, 4)))).toMatch(
      /out: expected an array that/,
    )
    expect(message(() => chain.setState({ updates: 0, values: {}, arrays: {} }))).toMatch(/1\.positive/)
    expect(message(() => chain.setState({ updates: -1, values: {}, arrays: {} }))).toMatch(/updates/)
    expect(chain.apply(array(), low, array()).finite).toBe(true)
    expect(chain.updates).toBe(1)
  })
})
