// Optimizers that look at the function more than once an update, in train and createTrainer.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { OptimizerOption, StepRecord } from '../src/index.js'
import {
  adahessian,
  adam,
  bfgs,
  cosine,
  createModel,
  createTrainer,
  dense,
  diagonalNewton,
  gradientNormalizedSmoothness,
  hessianFree,
  huber,
  kfac,
  krylovSubspaceDescent,
  lbfgs,
  levenbergMarquardt,
  loadCheckpoint,
  meanAbsoluteError,
  meanSquaredError,
  minimizerKinds,
  newtonCG,
  newtonMR,
  nonlinearConjugateGradient,
  optimizerKinds,
  saddleFreeNewton,
  save,
  sophia,
  stochasticLbfgs,
  train,
} from '../src/index.js'
import { data as classes, classifier, loss as classLoss } from './support/classifier.js'
import { classData, regressionData } from './support/data.js'
import { expectError } from './support/errors.js'

const loss = meanSquaredError()
const data = regressionData(120)
const regressor = () => createModel({ inputs: 2, layers: [dense(8, 'tanh'), dense(1)], dtype: 'float64', seed: 4 })

/** One of each, with a number that it reports. */
const optimizers: [string, OptimizerOption, string][] = [
  ['hessianFree', hessianFree(), 'reductionRatio'],
  ['newtonCG', newtonCG(), 'cgIterations'],
  ['newtonMR', newtonMR(), 'minresIterations'],
  ['saddleFreeNewton', saddleFreeNewton(), 'dampingAfter'],
  ['krylovSubspaceDescent', krylovSubspaceDescent({ subspaceSize: 5 }), 'subspaceSize'],
  ['gradientNormalizedSmoothness', gradientNormalizedSmoothness(), 'gammaAfter'],
  ['nonlinearConjugateGradient', nonlinearConjugateGradient(), 'evaluations'],
  ['lbfgs', lbfgs(), 'stepLength'],
  ['stochasticLbfgs', stochasticLbfgs({ learningRate: 0.3 }), 'curvature'],
  ['bfgs', bfgs(), 'curvature'],
  ['levenbergMarquardt', levenbergMarquardt(), 'damping'],
  ['kfac', kfac({ damping: { initial: 0.1 } }), 'gamma'],
  ['adahessian', adahessian(), 'curvature'],
  ['sophia', sophia({ learningRate: 0.02 }), 'clippedShare'],
  ['diagonalNewton', diagonalNewton(), 'curvature'],
]

describe('specs', () => {
  test('the table above has every kind', () => {
    expect(optimizers.map(([kind]) => kind).sort()).toEqual([...minimizerKinds].sort())
    for (const [kind, optimizer] of optimizers) expect(optimizer.kind).toBe(kind)
    expect(optimizerKinds).toEqual(expect.arrayContaining([...minimizerKinds, 'adam']))
  })

  test('groups are filled in, frozen and plain JSON', () => {
    const spec = hessianFree({
      damping: { initial: 45, drop: cosine({ learningRate: 0.9, minLearningRate: 0.5 }) },
      cg: { maxIterations: 100 },
    })
    expect(spec.damping).toMatchObject({ initial: 45, boost: 1.5, upper: 0.75 })
    expect(spec.cg).toEqual({ maxIterations: 100, minIterations: 10, progressTolerance: 5e-4, tolerance: 0 })
    expect(Object.isFrozen(spec.cg)).toBe(true)
    const { kind: _, ...options } = JSON.parse(JSON.stringify(spec))
    expect(hessianFree(options)).toEqual(spec)
  })

  test('a number fixes the damping, false switches the line search off', () => {
    const spec = hessianFree({ damping: 0.5, lineSearch: false })
    expect([spec.damping, spec.lineSearch]).toEqual([0.5, false])
    const model = regressor()
    const trainer = createTrainer(model, { loss, optimizer: spec })
    for (let step = 0; step < 4; step++) {
      const { numbers = {} } = trainer.step(data)
      expect([numbers.damping, numbers.dampingAfter, numbers.rate]).toEqual([0.5, 0.5, 1])
    }
    const { kind: _, ...options } = spec
    expect(hessianFree(options)).toEqual(spec)
  })

  test('wrong options are named with their path', () => {
    const wrong = (options: object) => () => hessianFree(options)
    expectError(wrong({ damping: { initail: 1 } }), 'ERR_OPTION', 'hessianFree damping', "did you mean 'initial'")
    expectError(wrong({ damping: { drop: 2 } }), 'ERR_OPTION', 'hessianFree damping.drop', '<= 1')
    expectError(wrong({ damping: -1 }), 'ERR_OPTION', 'hessianFree damping', '>= 0')
    expectError(wrong({ damping: true }), 'ERR_OPTION', 'an object of options or a number')
    expectError(wrong({ lineSearch: true }), 'ERR_OPTION', 'an object of options or false')
    expectError(wrong({ cg: 3 }), 'ERR_OPTION', 'hessianFree cg', 'an object of options')
    expectError(wrong({ preconditioner: { kind: 'martin' } }), 'ERR_OPTION', "did you mean 'martens'")
    expectError(() => lbfgs({ history: 2.5 }), 'ERR_OPTION', 'an integer')
    expectError(
      () => lbfgs({ history: 2 ** 40 }),
      'ERR_OPTION',
      'lbfgs history',
      'from 1 to 1000000000',
      '1099511627776',
    )
    expectError(() => kfac({ damping: 0 }), 'ERR_OPTION', 'kfac damping', '> 0')
    expectError(() => nonlinearConjugateGradient({ c1: 0.5 }), 'ERR_OPTION', 'c1', 'below c2')
    const optimizer = { kind: 'hessianFree', cg: { maxIterations: 0 } } as OptimizerOption
    const error = expectError(() => train(regressor(), data, { loss, optimizer }), 'ERR_OPTION')
    expect(error.details?.path).toBe('optimizer.cg.maxIterations')
  })

  test.each<[string, () => OptimizerOption, string, string]>([
    ['lm drop', () => levenbergMarquardt({ schedule: 'nielsen', damping: { drop: 0.2 } }), 'damping.drop', 'nielsen'],
    ['lm boost', () => levenbergMarquardt({ schedule: 'nielsen', damping: { boost: 2 } }), 'damping.boost', 'nielsen'],
    ['lm least', () => levenbergMarquardt({ schedule: 'nielsen', damping: { minimum: 1 } }), 'damping.minimum', ''],
    ['lm order', () => levenbergMarquardt({ damping: { minimum: 2, maximum: 1 } }), 'damping.minimum', 'at most'],
    ['hf order', () => hessianFree({ damping: { lower: 2 } }), 'damping.lower', 'at most damping.upper, 0.75'],
    ['hf samples', () => hessianFree({ backtracking: false, backtrackingSamples: 'curvature' }), 'Samples', 'false'],
    ['hf growth', () => hessianFree({ backtracking: false, storeGrowth: 2 }), 'storeGrowth', 'backtracking false'],
    ['hf progress', () => hessianFree({ cg: { progressTolerance: 0, minIterations: 3 } }), 'cg.minIterations', ''],
    [
      'hf none',
      () => hessianFree({ preconditioner: { kind: 'none', exponent: 1 } }),
      'preconditioner.exponent',
      'none',
    ],
    ['hf seed', () => hessianFree({ preconditioner: { seed: 1 } }), 'preconditioner.seed', 'martens'],
    ['ksd floor', () => krylovSubspaceDescent({ preconditioner: { kind: 'none', floor: 1 } }), '.floor', "'none'"],
    ['sfn tries', () => saddleFreeNewton({ damping: 1, maxTries: 3 }), 'maxTries', 'fixed damping'],
    ['gns tries', () => gradientNormalizedSmoothness({ gamma: 1, maxTries: 3 }), 'maxTries', 'fixed gamma'],
    ['gns cg', () => gradientNormalizedSmoothness({ solver: 'cholesky', cg: { tolerance: 1 } }), 'cg.tolerance', ''],
    ['kfac clip', () => kfac({ klClip: 1 }), 'klClip', "rescaling 'model'"],
    ['kfac seed', () => kfac({ factors: 'exact', seed: 1 }), 'seed', "factors 'exact'"],
    ['kfac gamma', () => kfac({ damping: 1, gammaEvery: 3 }), 'gammaEvery', 'fixed damping'],
    ['kfac null', () => kfac(null as unknown as object), 'kfac options', 'an object'],
    ['sophia seed', () => sophia({ seed: 1 }), 'seed', 'gaussNewtonBartlett'],
    ['diagonal seed', () => diagonalNewton({ seed: 1 }), 'seed', 'gaussNewtonLeCun'],
    ['lbfgs search', () => lbfgs({ lineSearch: 'none', maxLineSearchIterations: 3 }), 'maxLineSearchIterations', ''],
    ['bfgs search', () => bfgs({ lineSearch: 'none', maxLineSearchIterations: 3 }), 'maxLineSearchIterations', ''],
    [
      'newton order',
      () => newtonCG({ radius: { initial: 2, maximum: 1 } }),
      'radius.initial',
      'at most radius.maximum',
    ],
  ])('%s: options that would do nothing, or cross, are refused', (_, make, ...parts) => {
    expectError(make, 'ERR_OPTION', ...parts)
  })

  test('resolved specs may be resolved again, whatever they leave without effect', () => {
    for (const spec of [
      levenbergMarquardt({ schedule: 'nielsen' }),
      hessianFree({ damping: 1, lineSearch: false, backtracking: false, preconditioner: { kind: 'none' } }),
      kfac({ damping: 1, rescaling: 'none', factors: 'exact' }),
      gradientNormalizedSmoothness({ gamma: 1, solver: 'cholesky' }),
      lbfgs({ lineSearch: 'none' }),
    ]) {
      const { kind: _, ...again } = spec
      const makers = { levenbergMarquardt, hessianFree, kfac, gradientNormalizedSmoothness, lbfgs }
      expect((makers[spec.kind] as (options: object) => OptimizerOption)(again)).toEqual(spec)
    }
    expect(kfac({ rescaling: 'none', momentum: undefined } as object).momentum).toBe(false)
  })

  test('some defaults follow from other options', () => {
    expect(newtonMR().lineSearch.armijo).toBe(0.25)
    expect(newtonMR({ merit: 'gradientNorm' }).lineSearch.armijo).toBe(1e-4)
    expect([stochasticLbfgs().every, stochasticLbfgs({ pairs: 'hessian' }).every]).toEqual([1, 10])
    expect(nonlinearConjugateGradient({ formula: 'hagerZhang' }).restartThreshold).toBe(0)
    expect([sophia().gamma, sophia({ estimator: 'hutchinson' }).gamma]).toEqual([0.05, 0.01])
  })
})

describe('train', () => {
  test.each(optimizers)('%s learns, and tells its numbers', async (_, optimizer, name) => {
    const steps: StepRecord[] = []
    const model = regressor()
    const history = await train(model, data, {
      loss,
      optimizer,
      epochs: 40,
      validation: { fraction: 0.2 },
      onStep: { every: 1, callback: (step) => steps.push(step) },
    })
    expect(history.reason).toBe('completed')
    const { epochs } = history
    const [first, last] = [epochs[0], epochs.at(-1)]
    // All rows in one update: an epoch each.
    expect(history.updates).toBeLessThanOrEqual(40)
    expect(history.converged === undefined ? history.updates : 40).toBe(40)
    expect(last?.loss).toBeLessThan(0.7 * (first?.loss ?? 0))
    expect(last?.validation?.loss).toBeLessThan(1)
    expect(first?.numbers?.[name]).toBeTypeOf('number')
    expect(steps[0]?.numbers?.gradientNorm).toBeGreaterThan(0)
    expect(steps.at(-1)?.samples).toBe(96)
  })

  test('float32 ends near float64', async () => {
    const losses: number[] = []
    for (const dtype of ['float32', 'float64'] as const) {
      const model = createModel({ inputs: 2, layers: [dense(8, 'tanh'), dense(1)], dtype, seed: 4 })
      const history = await train(model, data, { loss, optimizer: hessianFree(), epochs: 8 })
      losses.push(history.epochs.at(-1)?.loss ?? Number.NaN)
    }
    const [single = 0, double = 0] = losses
    expect(Math.abs(single - double)).toBeLessThan(1e-2 * double)
  })

  test('batches where they are asked for, curvature from chunks', async () => {
    const options = { loss, optimizer: hessianFree({ cg: { maxIterations: 5 } }), epochs: 2 }
    const whole = regressor()
    expect((await train(whole, data, options)).updates).toBe(2)
    const batched = regressor()
    expect((await train(batched, data, { ...options, batchSize: 50 })).updates).toBe(6)
    const [a, b] = [regressor(), regressor()]
    await train(a, data, { ...options, curvatureBatchSize: 40 })
    await train(b, data, { ...options, curvatureBatchSize: 40, seed: 1 })
    expect(a.parameters).not.toEqual(whole.parameters)
    // The seed cuts the chunks; the gradient of all rows does not depend on it.
    expect(b.parameters).not.toEqual(a.parameters)
    expectError(() => train(whole, data, { loss, curvatureBatchSize: 40 }), 'ERR_OPTION', 'curvatureBatchSize', 'adam')
    expectError(() => train(whole, data, { ...options, curvatureBatchSize: 0 }), 'ERR_OPTION', 'curvatureBatchSize')
  })

  test('classes, with metrics and early stopping', async () => {
    const model = classifier()
    const history = await train(model, classes, {
      loss: classLoss,
      optimizer: kfac(),
      batchSize: 100,
      epochs: 60,
      validation: classData(100, 2),
      earlyStopping: { monitor: 'accuracy', patience: 5 },
    })
    const best = history.epochs[history.bestEpoch - 1]
    expect(best?.validation?.accuracy).toBeGreaterThan(0.9)
  })

  test('the model is busy, but what it knows can be read; an abort is prompt', async () => {
    const model = createModel({
      inputs: 2,
      layers: [dense(256, 'tanh'), dense(256, 'tanh'), dense(1)],
      dtype: 'float32',
    })
    const run = train(model, regressionData(2000), { loss, optimizer: hessianFree(), epochs: 1e6 })
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    await new Promise((wake) => setTimeout(wake, 250))
    expectError(() => model.setParameters(model.parameters), 'ERR_BUSY')
    expect(model.predict([[0.1, 0.2]]).data.every(Number.isFinite)).toBe(true)
    clearInterval(timer)
    const since = performance.now()
    run.abort()
    const history = await run
    expect(history.reason).toBe('aborted')
    expect(performance.now() - since).toBeLessThan(1000)
    expect(ticks).toBeGreaterThan(20)
    expect(model.parameters.every(Number.isFinite)).toBe(true)
    model.setParameters(model.parameters)
  })

  test('an optimizer that is done says so', async () => {
    const model = createModel({ inputs: 2, layers: [dense(1)], dtype: 'float64' })
    const history = await train(model, data, { loss, optimizer: lbfgs(), epochs: 500 })
    expect([history.reason, history.converged]).toEqual(['completed', expect.stringMatching(/Tolerance|noDescent/)])
    expect(history.epochs.length).toBeLessThan(60)
  })

  test('what diverges ends with the reason', async () => {
    const model = regressor()
    const before = model.parameters
    const history = await train(model, data, { loss, optimizer: adahessian({ learningRate: 1e308 }), epochs: 50 })
    expect(history.reason).toBe('notFinite')
    expect(history.notFinite?.step).toBeGreaterThan(0)
    expect(model.parameters.every(Number.isFinite)).toBe(true)
    expect(model.parameters.length).toBe(before.length)
  })

  test.each(optimizers)('%s: a run in two parts ends in the same bits, through a file', async (kind, optimizer) => {
    const folder = mkdtempSync(join(tmpdir(), 'krylov-second-order-'))
    try {
      const options = { loss, optimizer, batchSize: kind === 'levenbergMarquardt' ? 120 : 60, seed: 3 }
      const whole = regressor()
      const expected = await train(whole, data, { ...options, epochs: 4 })
      const parts = regressor()
      const first = train(parts, data, { ...options, epochs: 2 })
      await first
      const file = join(folder, 'run.safetensors')
      await save(parts, file, { state: first.state() })
      const { model, state } = await loadCheckpoint<'float64'>(file)
      expect(state).toEqual(first.state())
      if (state === null) return
      const second = await train(model, data, { ...options, epochs: 4, resume: state })
      expect(model.parameters).toEqual(whole.parameters)
      expect(second.updates).toBe(expected.updates)
      // As lists, through JSON, into a trainer.
      const lists = JSON.parse(
        JSON.stringify(first.state(), (_, value) =>
          ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value,
        ),
      )
      const trainer = createTrainer(parts, { loss, optimizer })
      trainer.setState(lists)
      expect(trainer.state().optimizer).toEqual(first.state().optimizer)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('what the loss does not have is refused at the call', () => {
    const model = regressor()
    const refused = (optimizer: OptimizerOption, wrong: object) => () =>
      train(model, data, { loss: wrong as typeof loss, optimizer })
    expectError(refused(hessianFree(), meanAbsoluteError()), 'ERR_OPTION', 'optimizer', 'Gauss-Newton')
    expectError(refused(newtonCG(), meanAbsoluteError()), 'ERR_OPTION', 'optimizer', 'Hessian')
    expectError(refused(levenbergMarquardt(), huber()), 'ERR_OPTION', 'optimizer', 'meanSquaredError')
    expectError(refused(sophia(), huber()), 'ERR_OPTION', 'optimizer', 'log-likelihood')
    // Refused runs leave the model free.
    model.setParameters(model.parameters)
  })
})

describe('createTrainer', () => {
  test('curvature from a batch of its own', () => {
    const [a, b] = [regressor(), regressor()]
    const options = { loss, optimizer: hessianFree() }
    const other = regressionData(30)
    const first = createTrainer(a, options).step(data)
    const second = createTrainer(b, options).step(data, { curvature: other })
    expect(second.loss).toBe(first.loss)
    expect(b.parameters).not.toEqual(a.parameters)
    const { numbers = {}, words = {}, accepted, lossPerSample } = first
    expect([accepted, words.cgReason]).toEqual([true, 'progress'])
    expect(numbers.cgIterations).toBeGreaterThan(1)
    expect(lossPerSample.length).toBe(120)
    expectError(() => createTrainer(a, options).step(data, { curvatur: other } as object), 'ERR_OPTION', 'curvature')
    expectError(() => createTrainer(a, { loss }).step(data, { curvature: other }), 'ERR_OPTION', 'curvature')
    const wide = { inputs: [[1, 2, 3]], targets: [[1]] }
    expectError(() => createTrainer(a, options).step(data, { curvature: wide }), 'ERR_SHAPE', 'curvature')
  })

  test('a rule without such numbers has none', () => {
    const result = createTrainer(regressor(), { loss, optimizer: adam() }).step(data)
    expect(Object.keys(result).sort()).toEqual(['finite', 'learningRate', 'loss', 'lossPerSample', 'updates'])
  })

  test('a state of another kind, or with something missing, is refused', () => {
    const model = regressor()
    const trainer = createTrainer(model, { loss, optimizer: hessianFree() })
    trainer.step(data)
    const state = trainer.state()
    const { optimizer } = state
    expect(optimizer.numbers?.damping).toBeGreaterThan(0)
    const changed = (change: object) => () =>
      trainer.setState({ ...state, optimizer: { ...optimizer, ...change } } as typeof state)
    expectError(changed({ kind: 'lbfgs' }), 'ERR_OPTION', 'state.optimizer.kind')
    expectError(changed({ numbers: { damping: 'much' } }), 'ERR_OPTION', 'state.optimizer.numbers.damping')
    expectError(changed({ numbers: { damping: -1 } }), 'ERR_STATE', 'damping')
    expectError(changed({ values: { warmStart: [1] } }), 'ERR_SHAPE', 'state.optimizer.values.warmStart')
    expect(trainer.state()).toEqual(state)
  })
})
