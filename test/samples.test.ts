// Weights and scores of samples: limits, identities, ties, and what is refused.
import { describe, expect, test } from 'vitest'
import type { SampleWeightsOption } from '../src/index.js'
import {
  alignmentWeights,
  computeSampleWeights,
  confidenceWeights,
  createModel,
  createTrainer,
  dense,
  focalLossWeights,
  focalWeights,
  forgetRate,
  generalizedCrossEntropyWeights,
  hardExampleWeights,
  huberizedCrossEntropyWeights,
  inverseLossWeights,
  labelFigures,
  linear,
  linearize,
  lossThresholdWeights,
  meanSquaredError,
  noisyLabelCandidates,
  pruneByScore,
  sampleWeightsKinds,
  scoreSamples,
  selectSamples,
  smallLossWeights,
  softmaxCrossEntropy,
  tiltedWeights,
  truncatedCrossEntropyWeights,
} from '../src/index.js'
import { expectClose } from './support/compare.js'
import { expectError } from './support/errors.js'

const losses = [0.2, 3, 0.5, 3, 0.1]

describe('rules', () => {
  test('are data: a spec through JSON gives the same weights', () => {
    const figures = { probabilities: [0.3, 0.9], confidences: [0.6, 0.9], losses: [1.2, 0.1], alignments: [1, -1] }
    const factories = [
      focalWeights,
      focalLossWeights,
      generalizedCrossEntropyWeights,
      truncatedCrossEntropyWeights,
      huberizedCrossEntropyWeights,
      inverseLossWeights,
      confidenceWeights,
      tiltedWeights,
      lossThresholdWeights,
      hardExampleWeights,
      smallLossWeights,
      alignmentWeights,
    ]
    expect(factories.map((factory) => factory().kind)).toEqual(sampleWeightsKinds)
    for (const factory of factories) {
      const spec = factory()
      expect(Object.isFrozen(spec)).toBe(true)
      const again = JSON.parse(JSON.stringify(spec)) as SampleWeightsOption
      expect(computeSampleWeights(again, figures)).toEqual(computeSampleWeights(spec, figures))
      expect(computeSampleWeights({ kind: spec.kind } as SampleWeightsOption, figures)).toEqual(
        computeSampleWeights(spec, figures),
      )
    }
  })

  /** Weight of one sample by its probability. */
  const at = (rule: SampleWeightsOption, p: number): number =>
    computeSampleWeights(rule, { probabilities: [p] })[0] as number

  test('limits of the focal ones', () => {
    for (const rule of [focalWeights, focalLossWeights]) {
      expect([at(rule(), 1), at(rule(), 0), at(rule({ gamma: 0.5 }), 1)]).toEqual([0, 1, 0])
      for (const p of [0, 0.3, 1]) expect(at(rule({ gamma: 0 }), p)).toBe(1)
    }
    // Near p = 1 they differ by 1 + γ; the exact one is largest at p = 0.104.
    const close = { probabilities: [1], complements: [1e-30] }
    const ratio = (computeSampleWeights(focalLossWeights(), close)[0] as number) / 1e-60
    expect(ratio).toBeCloseTo(3, 12)
    expect(at(focalLossWeights(), 0.104)).toBeCloseTo(1.225, 3)
  })

  // w = −p ψ'(p): by differences of the loss whose gradient each claims to be.
  const exact: [string, SampleWeightsOption, (p: number) => number][] = [
    ['focal loss', focalLossWeights({ gamma: 1.5 }), (p) => -((1 - p) ** 1.5) * Math.log(p)],
    ['generalised cross-entropy', generalizedCrossEntropyWeights({ q: 0.4 }), (p) => (1 - p ** 0.4) / 0.4],
    [
      'Huberised',
      huberizedCrossEntropyWeights({ tau: 4 }),
      (p) => (p >= 0.25 ? -Math.log(p) : -4 * p + Math.log(4) + 1),
    ],
  ]
  test('inverse loss and confidence', () => {
    const inverse = inverseLossWeights({ offset: 2 })
    expect([...computeSampleWeights(inverse, { losses: [0, 2, 6] })]).toEqual([1, 0.5, 0.25])
    // c log(1 + ℓ/c) has c / (c + ℓ) times the slope of ℓ.
    const trained = (l: number): number => 2 * Math.log1p(l / 2)
    const slope = (trained(3 + 1e-6) - trained(3 - 1e-6)) / 2e-6
    expect(computeSampleWeights(inverse, { losses: [3] })[0]).toBeCloseTo(slope, 8)
    const figures = labelFigures(
      [
        [0, Math.log(3)],
        [0, 0],
      ],
      [0, 1],
    )
    expect(figures.confidences[0]).toBeCloseTo(0.75, 14)
    const single = { data: Float32Array.of(0, 0.5, 1, 0), shape: [2, 2] as const }
    expect(labelFigures(single, [0, 1])).toEqual(
      labelFigures(
        [
          [0, 0.5],
          [1, 0],
        ],
        [0, 1],
      ),
    )
    expect(computeSampleWeights(confidenceWeights({ power: 2 }), figures)[1]).toBeCloseTo(0.25, 14)
    expect([...computeSampleWeights(confidenceWeights({ power: 0 }), figures)]).toEqual([1, 1])
  })

  test.each(exact)('%s: the gradient of its loss', (_, rule, loss) => {
    for (const p of [0.05, 0.2, 0.5, 0.95]) {
      const h = 1e-6
      expect(at(rule, p)).toBeCloseTo((-p * (loss(p + h) - loss(p - h))) / (2 * h), 8)
    }
  })

  test('ends of the others', () => {
    expect(at(generalizedCrossEntropyWeights({ q: 0 }), 0)).toBe(1)
    expect(at(generalizedCrossEntropyWeights({ q: 1 }), 0.25)).toBe(0.25)
    expect(at(truncatedCrossEntropyWeights({ q: 1, k: 0.5 }), 0.5)).toBe(0)
    expect(at(huberizedCrossEntropyWeights({ tau: 1 }), 0.3)).toBe(0.3)
  })

  test('choices by loss: ties go to the lower index', () => {
    const weights = (rule: SampleWeightsOption): number[] => [...computeSampleWeights(rule, { losses })]
    expect(weights(hardExampleWeights({ share: 0.2 }))).toEqual([0, 1, 0, 0, 0])
    expect(weights(hardExampleWeights({ share: 0.5, normalize: 'mean' }))).toEqual([0, 2.5, 0, 2.5, 0])
    expect(weights(hardExampleWeights({ share: 1e-3 }))).toEqual([0, 1, 0, 0, 0])
    expect(weights(smallLossWeights({ forgetRate: 0.2 }))).toEqual([1.25, 1.25, 1.25, 0, 1.25])
    expect(weights(smallLossWeights({ forgetRate: 0 }))).toEqual([1, 1, 1, 1, 1])
    expect(weights(lossThresholdWeights({ threshold: 0.5 }))).toEqual([1, 0, 0, 0, 1])
    const ten = Array.from({ length: 10 }, (_, i) => i)
    // In floating point (1 − 0.9)·10 is below 1, and (1 − 0.4)·10 is 6.
    const kept = (rate: number): number =>
      computeSampleWeights(smallLossWeights({ forgetRate: rate }), { losses: ten }).filter((w) => w > 0).length
    expect([0.9, 0.4, 0.35, 0.99].map(kept)).toEqual([1, 6, 6, 1])
  })

  test('tilting by large losses does not overflow; equal losses weigh 1', () => {
    expect([...computeSampleWeights(tiltedWeights(), { losses: [5000, 0] })]).toEqual([2, 0])
    expect([...computeSampleWeights(tiltedWeights(), { losses: [7, 7, 7] })]).toEqual([1, 1, 1])
  })

  test('alignment with clean gradients', () => {
    expect([...computeSampleWeights(alignmentWeights(), { alignments: [3, -2, 1] })]).toEqual([2.25, 0, 0.75])
    expect([...computeSampleWeights(alignmentWeights(), { alignments: [-1, 0] })]).toEqual([0, 0])
  })

  test('schedules', () => {
    const rule = smallLossWeights({ forgetRate: linear({ learningRate: 0, endLearningRate: 0.4 }) })
    const kept = (t: number): number =>
      computeSampleWeights(rule, { losses }, { t, totalSteps: 10 }).filter((weight) => weight > 0).length
    expect([0, 5, 10].map(kept)).toEqual([5, 4, 3])
    expectError(() => computeSampleWeights(rule, { losses }), 'ERR_OPTION', 'totalSteps')
    expect([0, 3, 9, 10].map((epoch) => forgetRate(epoch, { noiseRate: 0.45 }))).toEqual([0, 0.45 / 3, 0.45, 0.45])
    expect(forgetRate(9, { noiseRate: 0.5, exponent: 2 })).toBe(0.25)
    expect(forgetRate(10, { noiseRate: 0.5, exponent: 2 })).toBe(0.5)
  })

  const figures = { losses, probabilities: [0.5], complements: [0.5, 0.5] }
  const cases: [string, () => unknown, string, ...string[]][] = [
    ['a rule', () => computeSampleWeights({ kind: 'focalWeight' } as never, figures), 'rule.kind', "'focalWeights'"],
    ['an option', () => focalWeights({ gama: 2 } as never), "did you mean 'gamma'"],
    ['a range', () => huberizedCrossEntropyWeights({ tau: 0.5 }), 'tau', '0.5'],
    [
      'a missing figure',
      () => computeSampleWeights(focalWeights(), { losses }),
      'figures.probabilities',
      'focalWeights',
    ],
    [
      'no probability',
      () => computeSampleWeights(focalWeights(), { probabilities: [1.5] }),
      'figures.probabilities[0]',
    ],
    [
      'a loss below 0',
      () => computeSampleWeights(inverseLossWeights(), { losses: [1, -2] }),
      'figures.losses[1]',
      'a finite number >= 0',
    ],
    [
      'a mean of nothing',
      () => computeSampleWeights(lossThresholdWeights({ threshold: 0.01, normalize: 'mean' }), figures),
      'normalize',
      'all weights are 0',
    ],
    ['a label', () => labelFigures([[1, 2]], [2]), 'labels[0]', '2'],
  ]
  test.each(cases)('%s is refused', (_, action, ...parts) => {
    expectError(action, 'ERR_OPTION', ...parts)
  })
  test('lengths that differ are refused', () => {
    expectError(() => computeSampleWeights(focalWeights(), figures), 'ERR_SHAPE', 'complements')
  })
})

describe('labelFigures', () => {
  test('a sigmoid is a softmax of two', () => {
    const z = [[-800], [-3], [0.5], [40]]
    for (const label of [0, 1]) {
      const labels = z.map(() => label)
      const two = labelFigures(
        z.map(([value]) => [0, value as number]),
        labels,
      )
      expect(labelFigures(z, labels)).toEqual(two)
    }
    const { probabilities, complements, losses: found } = labelFigures([[40]], [1])
    expectClose([...probabilities, ...complements, ...found], [1, Math.exp(-40), Math.exp(-40)], 1e-30)
    expect(labelFigures([[-800]], [1]).losses[0]).toBe(800)
  })
})

test('weights train as they say: the step of a trainer is that of the weighted gradient', () => {
  const inputs = Array.from({ length: 6 }, (_, i) => [Math.sin(i), Math.cos(2 * i)])
  const targets = [0, 1, 2, 1, 0, 2]
  const make = () => createModel({ inputs: 2, layers: [dense(3)], dtype: 'float64', seed: 4 })
  const model = make()
  const sampleWeights = computeSampleWeights(focalLossWeights(), labelFigures(model.predict(inputs), targets))
  createTrainer(model, { loss: softmaxCrossEntropy(), optimizer: { kind: 'sgd', learningRate: 1 } }).step({
    inputs,
    targets,
    sampleWeights,
  })
  // The focal loss itself, by central differences.
  const probe = make()
  const start = probe.parameters
  const focal = (at: Float64Array): number => {
    probe.setParameters(at)
    const { probabilities, complements } = labelFigures(probe.predict(inputs), targets)
    return probabilities.reduce((sum, p, i) => sum - (complements[i] as number) ** 2 * Math.log(p), 0) / 6
  }
  const h = 1e-5
  const expected = start.map((value, k) => {
    const moved = (by: number): Float64Array => start.with(k, value + by)
    return value - (focal(moved(h)) - focal(moved(-h))) / (2 * h)
  })
  expectClose(model.parameters, expected, 1e-9)
})

describe('scores', () => {
  const inputs = Array.from({ length: 7 }, (_, i) => [Math.sin(i), Math.cos(3 * i)])
  const targets = [0, 1, 2, 2, 1, 0, 1]
  const data = { inputs, targets }
  const model = createModel({ inputs: 2, layers: [dense(4, 'tanh'), dense(3)], dtype: 'float64', seed: 2 })

  test('from probabilities', () => {
    const twin = createModel({ inputs: 2, layers: [dense(4, 'tanh'), dense(3)], dtype: 'float64', task: 'softmax' })
    twin.setParameters(model.parameters)
    const { data: p } = twin.predict(inputs, { output: 'probability' })
    const expected = { el2n: [], errorL1: [], margin: [], marginSum: [] } as Record<string, number[]>
    for (const [row, label] of targets.entries()) {
      const values = [...p.subarray(3 * row, 3 * row + 3)]
      const own = values[label] as number
      const errors = values.map((value, c) => value - (c === label ? 1 : 0))
      const wrong = values.filter((_, c) => c !== label).map((value) => value - own)
      expected.el2n?.push(Math.hypot(...errors))
      expected.errorL1?.push(errors.reduce((sum, error) => sum + Math.abs(error), 0))
      expected.margin?.push(Math.max(...wrong))
      expected.marginSum?.push(wrong.reduce((sum, value) => sum + value, 0))
    }
    for (const score of ['el2n', 'errorL1', 'margin', 'marginSum'] as const) {
      expectClose(scoreSamples(model, data, { score, batchSize: 3 }).scores, expected[score] ?? [], 1e-14, score)
    }
  })

  test('gradient norms of any loss, without the weights of samples', () => {
    const regression = createModel({ inputs: 2, layers: [dense(3)], dtype: 'float64', seed: 3 })
    const rows = { inputs, targets: inputs.map(([a = 0, b = 0]) => [a, b, a * b]) }
    const norms = linearize(regression, rows, meanSquaredError()).perSampleGradientNorms()
    const options = { score: 'grand', loss: meanSquaredError(), batchSize: 2 } as const
    const { scores } = scoreSamples(regression, { ...rows, sampleWeights: [9, 9, 9, 9, 9, 9, 9] }, options)
    expectClose(scores, norms, 1e-14)
  })

  test('models made one at a time', () => {
    const made: number[] = []
    function* models() {
      for (const seed of [5, 6, 7]) {
        const one = createModel({ inputs: 2, layers: [dense(4, 'tanh'), dense(3)], dtype: 'float64', seed })
        yield one
        made.push(seed)
        one.dispose()
      }
    }
    const { scores, perModel } = scoreSamples(models(), data)
    expect(made).toEqual([5, 6, 7])
    const first = perModel.map((list) => list[0] as number)
    expect(new Set(first).size).toBe(3)
    expect(scores[0]).toBeCloseTo(first.reduce((sum, value) => sum + value, 0) / 3, 14)
  })

  test('pruning and suspicion: equal scores in order of index', () => {
    const scores = [2, 1, 2, 0, 2, 1]
    expect([...pruneByScore(scores, { keep: 2 })]).toEqual([2, 4])
    expect([...pruneByScore(scores, { keep: 3, offset: 1 })]).toEqual([0, 1, 5])
    expect([...pruneByScore(scores, { keep: 6 })]).toEqual([0, 1, 2, 3, 4, 5])
    expect([...noisyLabelCandidates(scores, { share: 0.5 })]).toEqual([0, 2, 4])
    expect([...noisyLabelCandidates(scores, { share: 0.3 })]).toEqual([0, 2])
  })

  const squashed = createModel({ inputs: 2, layers: [dense(3, 'sigmoid')] })
  const heads = createModel({ inputs: 2, layers: [], heads: { a: [dense(2)], b: [dense(1)] } })
  const cases: [string, () => unknown, string, ...string[]][] = [
    ['a score', () => scoreSamples(model, data, { score: 'el2m' as never }), 'score', "did you mean 'el2n'"],
    ['no models', () => scoreSamples([], data), 'models'],
    ['no model', () => scoreSamples({} as never, data), 'model', 'createModel'],
    ['heads', () => scoreSamples(heads as never, data), 'one output', 'a, b'],
    ['probabilities as outputs', () => scoreSamples(squashed, data), 'logits'],
    ['a loss of no use', () => scoreSamples(model, data, { loss: softmaxCrossEntropy() }), 'loss', 'el2n'],
    ['a class', () => scoreSamples(model, { inputs, targets: [0, 1, 2, 2, 1, 0, 3] }, { batchSize: 2 }), 'targets[6]'],
    ['keep', () => pruneByScore([1, 2], { keep: 3 }), 'keep', '3'],
    ['offset', () => pruneByScore([1, 2], { keep: 1, offset: 2 }), 'offset', '2'],
    ['share', () => noisyLabelCandidates([1, 2], { share: 0 }), 'share', '0'],
  ]
  test.each(cases)('%s is refused', (_, action, ...parts) => {
    expectError(action, 'ERR_OPTION', ...parts)
  })
})

describe('selectSamples', () => {
  test('takes rows of every form, in any order, and keeps the form', () => {
    const inputs = { data: Uint8Array.of(0, 1, 10, 11, 20, 21), shape: [3, 2] as const }
    const part = selectSamples({ inputs, targets: Int32Array.of(5, 6, 7), sampleWeights: [1, 2, 3] }, [2, 0, 2])
    expect(part).toEqual({
      inputs: { data: Uint8Array.of(20, 21, 0, 1, 20, 21), shape: [3, 2] },
      targets: Int32Array.of(7, 5, 7),
      sampleWeights: [3, 1, 3],
    })
    const nested = selectSamples(
      {
        inputs: [[1], [2]],
        targets: [
          [3, 4],
          [5, 6],
        ],
      },
      Uint32Array.of(1),
    )
    expect(nested).toEqual({ inputs: [[2]], targets: [[5, 6]] })
    const flat = { a: Float64Array.of(1, 2, 3, 4), b: { data: Float32Array.of(8, 9), shape: [2, 1] } }
    const heads = selectSamples({ inputs: [[1], [2]], targets: flat }, [1])
    expect(heads.targets).toEqual({ a: Float64Array.of(3, 4), b: { data: Float32Array.of(9), shape: [1, 1] } })
  })

  test('what does not fit is refused', () => {
    const inputs = [[1], [2]]
    expectError(() => selectSamples({ inputs, targets: [1, 2] }, [2]), 'ERR_OPTION', 'indices[0]', 'from 0 to 1')
    expectError(() => selectSamples({ inputs, targets: [1] }, [0]), 'ERR_SHAPE', 'targets', '2 rows')
    expectError(() => selectSamples({ inputs: Float32Array.of(1), targets: [1] }, [0]), 'ERR_SHAPE', 'inputs')
    expectError(() => selectSamples({ inputs, targets: [1, 2] }, 'all' as never), 'ERR_DTYPE', 'indices')
  })
})
