import { describe, expect, it } from 'vitest'
import { validateConfig } from '../src/cli/specs.js'
import type { Loss, Model, TaskMethodOption } from '../src/index.js'
import {
  adam,
  caGrad,
  createModel,
  createOptimizer,
  createTaskCombiner,
  createTrainer,
  dense,
  dropout,
  gCond,
  gradNorm,
  hessianFree,
  layerNorm,
  lbfgs,
  linearize,
  meanSquaredError,
  mgda,
  pcGrad,
  residual,
  samGs,
  sampleClipping,
  sgd,
  softmaxCrossEntropy,
  softmaxRadiusControl,
  taskMethodKinds,
  train,
  weightedSum,
} from '../src/index.js'
import { errorOf } from './support/thrown.js'

const rows = 40
const inputs = {
  data: Float64Array.from({ length: rows * 6 }, (_, i) => Math.sin(1 + i * i)),
  shape: [rows, 6] as const,
}
const kind = Int32Array.from({ length: rows }, (_, i) => (i * 7) % 3)
const values = (outputs: number, sign: number) => ({
  data: Float64Array.from({ length: rows * outputs }, (_, i) => sign * Math.cos(i) + (i % 5) / 3),
  shape: [rows, outputs] as const,
})
const targets = { kind, up: values(2, 1), down: values(2, -1) }
const data = { inputs, targets }
const loss = { kind: softmaxCrossEntropy(), up: { loss: meanSquaredError(), weight: 3 }, down: meanSquaredError() }
type Heads = keyof typeof loss

function network(): Model<'float64', Heads> {
  return createModel({
    inputs: 6,
    layers: [dense(9, 'tanh'), residual([dense(9, 'elu'), layerNorm()])],
    // A head of one layer, one with a hidden layer, and one that begins with a residual block on the trunk.
    heads: { kind: [dense(3)], up: [dense(5, 'tanh'), dense(2)], down: [residual([dense(9, 'tanh')]), dense(2)] },
    seed: 3,
    dtype: 'float64',
  })
}

const firstOfHeads = (model: Model<'float64', Heads>): number =>
  model.tensors.find(({ name }) => name.startsWith('heads.'))?.offset ?? 0

/** Gradients and losses of every task by a point of its own: the other heads have no weight. */
function taskPoints(model: Model<'float64', Heads>): { gradient: Float64Array; loss: number }[] {
  const names = Object.keys(loss) as Heads[]
  return names.map((task) => {
    const one = (head: Heads): { loss: Loss; weight: number } => {
      const own = loss[head]
      const weighted = 'loss' in own ? own : { loss: own, weight: 1 }
      return { loss: weighted.loss, weight: head === task ? weighted.weight : 0 }
    }
    using point = linearize(model, data, { kind: one('kind'), up: one('up'), down: one('down') })
    return { gradient: point.gradient(), loss: point.loss }
  })
}

/** Training by the parts that scripts have. */
function byHand(model: Model<'float64', Heads>, method: TaskMethodOption, steps: number, l2: number): Float64Array {
  const size = model.parameterCount
  const shared = firstOfHeads(model)
  const tensors = model.tensors
    .filter(({ offset }) => offset < shared)
    .map(({ shape }) => shape.reduce((a, b) => a * b))
  using combiner = createTaskCombiner(method, { tasks: 3, parameterCount: shared, dtype: 'float64', tensors })
  const optimizer = createOptimizer(adam({ learningRate: 0.05 }), [[size]], { dtype: 'float64' })
  for (let step = 0; step < steps; step++) {
    const points = taskPoints(model)
    const parameters = model.parameters
    const { gradient } = combiner.combine(
      points.map((point) => point.gradient.subarray(0, shared)),
      { losses: points.map((point) => point.loss), parameters: parameters.subarray(0, shared) },
    )
    const whole = Float64Array.from({ length: size }, (_, i) => {
      const own = i < shared ? (gradient[i] ?? 0) : points.reduce((sum, point) => sum + (point.gradient[i] ?? 0), 0)
      return own + l2 * (parameters[i] ?? 0)
    })
    model.setParameters(optimizer.step(parameters, whole))
  }
  return model.parameters
}

const methods: [string, TaskMethodOption][] = [
  ['weightedSum', weightedSum({ weights: [1, 0, 2], reduction: 'mean' })],
  ['pcGrad', pcGrad({ seed: 5 })],
  ['pcGrad by index', pcGrad({ order: 'index', includeSelf: true, reduction: 'mean' })],
  ['mgda', mgda()],
  ['mgda by losses', mgda({ scaling: 'loss+', direction: 'unscaled' })],
  ['caGrad', caGrad({ c: 0.6, rescale: 'squared' })],
  ['gradNorm', gradNorm()],
  ['gradNorm of a tensor', gradNorm({ elements: { first: 63, count: 90 }, alpha: 0.5 })],
  ['gradNorm of a part', gradNorm({ elements: { first: 5, count: 71 }, initialLosses: [1, 2, 1] })],
  ['samGs, modulated', samGs({ gamma: 0 })],
  ['samGs, equalised', samGs({ gamma: 1 })],
  ['gCond', gCond()],
  ['gCond in zones, with signs', gCond({ mode: 'zones', lion: { scale: 0.01 }, previousGradient: 'raw' })],
]

describe('multitask', () => {
  it('has a case for every method', () => {
    expect(new Set(methods.map(([, { kind }]) => kind))).toEqual(new Set(taskMethodKinds))
  })

  it.each(methods)('%s: takes the steps that its parts take', (_, method) => {
    const [steps, l2] = [6, 0.01]
    const expected = byHand(network(), method, steps, l2)
    const model = network()
    using trainer = createTrainer(model, { loss, multitask: method, l2, optimizer: adam({ learningRate: 0.05 }) })
    for (let step = 0; step < steps; step++) trainer.step(data)
    const start = network().parameters
    let largest = 0
    let moved = 0
    for (const [i, value] of model.parameters.entries()) {
      largest = Math.max(largest, Math.abs(value - (expected[i] ?? 0)))
      moved = Math.max(moved, Math.abs(value - (start[i] ?? 0)))
    }
    expect(moved).toBeGreaterThan(0.01)
    expect(largest).toBeLessThan(1e-9)
  })

  it('the plain sum of the tasks is the step without the option', () => {
    const [plain, summed] = [network(), network()]
    const options = { loss, optimizer: sgd({ learningRate: 0.1, momentum: 0.9 }), l2: 0.01 }
    using one = createTrainer(plain, options)
    using other = createTrainer(summed, { ...options, multitask: weightedSum() })
    for (let step = 0; step < 5; step++) expect(other.step(data).loss).toBeCloseTo(one.step(data).loss, 11)
    for (const [i, value] of summed.parameters.entries()) expect(value).toBeCloseTo(plain.parameters[i] ?? 0, 11)
  })

  it('tells norms, cosines, weights and conflicts', () => {
    const model = network()
    const shared = firstOfHeads(model)
    const rowsOf = taskPoints(model).map(({ gradient }) => gradient.subarray(0, shared))
    using combiner = createTaskCombiner(pcGrad(), { tasks: 3, parameterCount: shared, dtype: 'float64' })
    const expected = combiner.combine(rowsOf)
    expect(expected.conflicts).toBeGreaterThan(0)
    using trainer = createTrainer(model, { loss, multitask: pcGrad() })
    const { numbers = {} } = trainer.step(data)
    expect(numbers.conflicts).toBe(expected.conflicts)
    expect(numbers.conflictShare).toBeCloseTo(expected.conflicts / 3, 12)
    expect(numbers['cosine.kind.up']).toBeCloseTo(expected.cosines[1] ?? 0, 10)
    expect(numbers['cosine.kind.down']).toBeCloseTo(expected.cosines[2] ?? 0, 10)
    expect(numbers['cosine.up.down']).toBeCloseTo(expected.cosines[5] ?? 0, 10)
    expect(numbers.leastCosine).toBeCloseTo(Math.min(...expected.cosines), 10)
    for (const [i, head] of ['kind', 'up', 'down'].entries()) {
      expect(numbers[`taskNorm.${head}`]).toBeCloseTo(expected.norms[i] ?? 0, 10)
      expect(numbers[`taskWeight.${head}`]).toBeCloseTo(expected.coefficients?.[i] ?? 0, 10)
    }
    expect(numbers.resolvedConflicts).toBe(expected.resolved?.conflicts)
  })

  it.each(methods)('%s: the same bits for any number of threads, and from a state on', async (_, method) => {
    const layers = [dense(64, 'relu'), dropout(0.2), dense(48, 'tanh')]
    const heads = { kind: [dense(3)], up: [dense(2)], down: [dense(8, 'relu'), dense(2)] }
    const build = () => createModel({ inputs: 96, layers, heads, seed: 1 })
    const many = 512
    const wide = {
      data: Float32Array.from({ length: many * 96 }, (_, i) => Math.sin(i * i)),
      shape: [many, 96] as const,
    }
    const pairs = (sign: number) => ({
      data: Float32Array.from({ length: many * 2 }, (_, i) => sign * Math.cos(i)),
      shape: [many, 2] as const,
    })
    const set = {
      inputs: wide,
      targets: { kind: Int32Array.from({ length: many }, (_, i) => i % 3), up: pairs(1), down: pairs(-1) },
    }
    const elements = 'elements' in method && method.elements !== null ? { elements: { first: 70, count: 6000 } } : {}
    const options = { loss, multitask: { ...method, ...elements }, batchSize: 128, l2: 1e-3 } as const
    const results = []
    for (const threads of [1, 2, 3]) {
      const model = build()
      const history = await train(model, set, { ...options, epochs: 4, threads })
      expect(history.reason).toBe('completed')
      expect(history.epochs.at(-1)?.numbers?.conflictShare).toBeGreaterThan(0)
      results.push({ parameters: model.parameters, numbers: history.epochs.at(-1)?.numbers })
    }
    expect(results[1]).toEqual(results[0])
    expect(results[2]).toEqual(results[0])
    const model = build()
    const first = train(model, set, { ...options, epochs: 2 })
    await first
    const state = JSON.parse(
      JSON.stringify(first.state(), (_, v) => (ArrayBuffer.isView(v) ? Array.from(v as never) : v)),
    )
    const rest = await train(model, set, { ...options, epochs: 4, resume: state })
    expect(model.parameters).toEqual(results[0]?.parameters)
    expect(rest.epochs.at(-1)?.numbers).toEqual(results[0]?.numbers)
  })

  it('goes on where a larger batch takes a new workspace', () => {
    const part = (count: number) => ({
      inputs: { data: inputs.data.slice(0, count * 6), shape: [count, 6] as const },
      targets: {
        kind: kind.slice(0, count),
        up: { data: targets.up.data.slice(0, count * 2), shape: [count, 2] as const },
        down: { data: targets.down.data.slice(0, count * 2), shape: [count, 2] as const },
      },
    })
    const options = { loss, multitask: gCond(), optimizer: sgd({ learningRate: 0.05 }) }
    const model = network()
    using growing = createTrainer(model, options)
    growing.step(part(10))
    const between = { state: growing.state(), parameters: model.parameters }
    growing.step(data)
    const other = network()
    using large = createTrainer(other, options)
    large.step(data)
    other.setParameters(between.parameters)
    large.setState(between.state)
    large.step(data)
    expect(large.state()).toEqual(growing.state())
    expect(other.parameters).toEqual(model.parameters)
    expect(growing.state().optimizer.numbers?.['multitask.steps']).toBe(2)
  })

  it('works with a step-size stage and where the gradient is taken elsewhere', async () => {
    const history = await train(network(), data, {
      loss,
      multitask: caGrad(),
      optimizer: { kind: 'classicalMomentum', learningRate: 0.05, nesterov: 'lookahead' },
      stepSize: softmaxRadiusControl({ target: 0.2 }),
      batchSize: 8,
      epochs: 20,
    })
    expect(history.reason).toBe('completed')
    const [first, last] = [history.epochs[0]?.loss ?? 0, history.epochs.at(-1)?.loss ?? 0]
    expect(last).toBeLessThan(0.9 * first)
    expect(history.epochs.at(-1)?.numbers).toHaveProperty('stepScale')
    expect(history.epochs.at(-1)?.numbers).toHaveProperty('conflictShare')
  })

  it('stops where a gradient is not finite, before the update', () => {
    const model = network()
    const large = model.parameters.map((x) => x * 1e160)
    model.setParameters(large)
    using trainer = createTrainer(model, { loss, multitask: pcGrad() })
    const { finite, updates } = trainer.step(data)
    expect({ finite, updates }).toEqual({ finite: false, updates: 0 })
    expect(model.parameters).toEqual(large)
  })

  it('refuses what it cannot do', () => {
    const of = (options: object) => errorOf(() => createTrainer(network(), { loss, ...options } as never)).message
    const multitask = pcGrad()
    for (const optimizer of [hessianFree(), lbfgs()]) {
      expect(of({ multitask, optimizer })).toMatch(/multitask: expected none with/)
    }
    expect(of({ multitask: 3 })).toMatch(/multitask/)
    expect(of({ multitask: { kind: 'pcgrad' } })).toMatch(/multitask\.kind.*pcGrad/)
    expect(of({ multitask: weightedSum({ weights: [1, 2] }) })).toMatch(/weightedSum weights.*3 tasks/)
    expect(of({ multitask: gradNorm({ elements: { first: 0, count: 1e6 } }) })).toMatch(/elements/)
    expect(of({ multitask, clipping: sampleClipping() })).toMatch(/clipping: expected none with multitask/)

    const single = createModel({ inputs: 6, layers: [dense(3)] })
    expect(errorOf(() => createTrainer(single, { loss: softmaxCrossEntropy(), multitask })).message).toMatch(
      /multitask.*2 to 128 heads/,
    )
    const apart = createModel({ inputs: 6, layers: [], heads: { kind: [dense(3)], up: [dense(2)] } })
    const own = { kind: softmaxCrossEntropy(), up: meanSquaredError() }
    expect(errorOf(() => createTrainer(apart, { loss: own, multitask })).message).toMatch(/multitask.*before the heads/)
  })

  it('stands in a configuration', async () => {
    const config = (multitask: unknown) => ({
      data: { train: { csv: 'data.csv', target: { a: 'a', b: 'b' } } },
      model: { layers: [{ units: 4 }], heads: { a: [{ units: 2 }], b: [{ units: 1 }] } },
      loss: { a: 'softmaxCrossEntropy', b: 'meanSquaredError' },
      training: { epochs: 1, multitask },
      output: { model: 'model.safetensors' },
    })
    const { training } = await validateConfig(config({ kind: 'caGrad', c: 0.5 }))
    expect(training.multitask).toEqual({ kind: 'caGrad', c: 0.5 })
    await expect(validateConfig(config('pcgrad'))).rejects.toThrow(/training\.multitask\.kind.*pcGrad/)
  })

  it('takes no state of another method', () => {
    using trainer = createTrainer(network(), { loss, multitask: gradNorm() })
    trainer.step(data)
    const state = trainer.state()
    using other = createTrainer(network(), { loss, multitask: samGs() })
    expect(errorOf(() => other.setState(state)).code).toBe('ERR_STATE')
    using without = createTrainer(network(), { loss })
    expect(errorOf(() => without.setState(state)).message).toMatch(/names/)
    const { numbers, arrays, ...rest } = state.optimizer
    expect(errorOf(() => trainer.setState({ ...state, optimizer: rest })).code).toBe('ERR_STATE')
    expect(Object.keys({ ...numbers, ...arrays }).sort()).toEqual([
      'multitask.conflicts',
      'multitask.initialLosses',
      'multitask.steps',
      'multitask.weights',
    ])
  })
})
