// Scores, weights and importance of samples against vectors computed independently (test/golden/per-sample/README.md).
import { describe, expect, test } from 'vitest'
import type { DType, LayerOption, SampleWeightsOption } from '../src/index.js'
import {
  computeSampleWeights,
  createModel,
  focalLossWeights,
  focalWeights,
  generalizedCrossEntropyWeights,
  huberizedCrossEntropyWeights,
  importanceProbabilities,
  importanceTau,
  importanceWeights,
  labelFigures,
  pruneByScore,
  scoreSamples,
  smallLossWeights,
  tiltedWeights,
  truncatedCrossEntropyWeights,
} from '../src/index.js'
import { addon } from '../src/internal/native.js'
import { expectClose } from './support/compare.js'
import type { Nested } from './support/golden.js'
import { flatten, goldenFile } from './support/golden.js'

/** The README's tolerance. */
const within64 = (expected: number): number => 1e-9 * Math.abs(expected) + 1e-12
const within32 = (expected: number): number => 1e-4 * Math.abs(expected) + 1e-6
const dtypes: [DType, (expected: number) => number][] = [
  ['float64', within64],
  ['float32', within32],
]

type WeightsCase = {
  readonly options: Record<'focalGamma' | 'gceQ' | 'gceK' | 'phuberTau' | 'temperature' | 'keep', number>
  readonly logits: number[][]
  readonly labels: number[]
  readonly trueClassProbability: number[]
  readonly loss: number[]
  readonly lossGradient: number[][]
  readonly weights: Record<string, number[]>
  readonly normalised: Record<string, number[]>
  readonly weightedMeanGradient: Record<string, number[]>
}

/** A rule for each name of the file. */
function rules({ options, labels }: WeightsCase): Record<string, SampleWeightsOption> {
  const gamma = options.focalGamma
  const q = options.gceQ
  return {
    focalWeight: focalWeights({ gamma }),
    focalGradientWeight: focalLossWeights({ gamma }),
    gceWeight: generalizedCrossEntropyWeights({ q }),
    truncatedGceWeight: truncatedCrossEntropyWeights({ q, k: options.gceK }),
    phuberWeight: huberizedCrossEntropyWeights({ tau: options.phuberTau }),
    expTiltWeight: tiltedWeights({ temperature: options.temperature }),
    smallLossSelection: smallLossWeights({ forgetRate: 1 - options.keep / labels.length }),
  }
}

describe.each(goldenFile<WeightsCase>('per-sample', 'weights.json'))('$name', ({ value: golden }) => {
  const figures = labelFigures(golden.logits, golden.labels)
  const known = rules(golden)

  test('probabilities and losses', () => {
    expectClose(figures.probabilities, golden.trueClassProbability, within64)
    expectClose(figures.losses, golden.loss, within64)
  })

  test('every rule of the file', () => {
    expect(Object.keys(golden.weights)).toEqual(Object.keys(known))
  })

  test.each(Object.entries(known))('%s', (name, rule) => {
    // Sample 0 has p = 1 to the last bit: the file writes 0 for what 1 − p has of it.
    const loose = name.startsWith('focal')
    const bound = (expected: number): number => (loose && expected === 0 ? 2e-8 : within64(expected))
    // A sum shifted by that much shifts its shares.
    const shifted = (expected: number): number => bound(expected) + (loose ? 2e-8 : 0)
    const weights = computeSampleWeights(rule, figures)
    expectClose(weights, golden.weights[name] ?? [], bound, 'weights')
    const normalised =
      'normalize' in rule
        ? computeSampleWeights({ ...rule, normalize: 'mean' } as SampleWeightsOption, figures)
        : weights
    expectClose(normalised, golden.normalised[name] ?? [], shifted, 'normalised')
    const gradient = (golden.lossGradient[0] ?? []).map((_, c) => {
      const parts = golden.lossGradient.map((row, i) => (weights[i] as number) * (row[c] as number))
      return parts.reduce((sum, part) => sum + part, 0) / parts.length
    })
    expectClose(gradient, golden.weightedMeanGradient[name] ?? [], within64, 'gradient')
  })
})

type DietCase = {
  readonly model: { readonly inputs: number; readonly layers: readonly LayerOption[] }
  readonly x: number[][]
  readonly y: number[]
  readonly paramsPerInit: Nested[]
  readonly [key: string]: unknown
}

describe.each(goldenFile<DietCase>('per-sample', 'data-diet.json'))('$name', ({ value: golden }) => {
  test.each(dtypes)('%s', (dtype, bound) => {
    const models = golden.paramsPerInit.map((params) => {
      const model = createModel({ ...golden.model, dtype })
      model.setParameters(flatten(params))
      return model
    })
    const data = { inputs: golden.x, targets: golden.y }
    const keep = golden.keep as number
    for (const score of ['grand', 'el2n'] as const) {
      // Chunks that do not divide the data.
      const { scores, perModel } = scoreSamples(models, data, { score, batchSize: 5 })
      expectClose(scores, golden[score] as number[], bound, score)
      const expected = golden[`${score}PerInit`] as number[][]
      expect(perModel).toHaveLength(expected.length)
      for (const [run, list] of expected.entries()) expectClose(perModel[run] ?? [], list, bound, `${score} ${run}`)
      const kept = golden[score === 'grand' ? 'keptByGrand' : 'keptByEl2n']
      expect([...pruneByScore(scores, { keep })]).toEqual(kept)
      if (score === 'el2n') {
        const offset = golden.offset as number
        expect([...pruneByScore(scores, { keep, offset })]).toEqual(golden.offsetSubsetByEl2n)
      }
    }
  })
})

type ImportanceCase = {
  readonly katharopoulos: Record<'scores' | 'probabilities' | 'picked' | 'weights', number[]> &
    Record<'varianceReduction' | 'threshold', number>
  readonly paDa: Record<'samples' | 'tau' | 'pathTau', number> &
    Record<
      | 'recordIndex'
      | 'recordNorm'
      | 'runningNorm'
      | 'probabilities'
      | 'unbiasedWeights'
      | 'operationNorms'
      | 'operationProbabilities',
      number[]
    >
}

describe.each(goldenFile<ImportanceCase>('per-sample', 'importance.json'))('$name', ({ value: golden }) => {
  test('by gradient norm', () => {
    const { scores, probabilities, picked, weights, varianceReduction: tau } = golden.katharopoulos
    const p = importanceProbabilities(scores)
    expectClose(p, probabilities, within64)
    expectClose(importanceWeights(p, picked), weights, within64)
    expectClose([importanceTau(p)], [tau], within64)
  })

  test('of epochs', () => {
    const { samples, recordIndex, recordNorm, runningNorm, tau, probabilities } = golden.paDa
    const figures = new Float64Array(samples).fill(-1)
    // In two batches.
    for (const [from, to] of [
      [0, 11],
      [11, recordIndex.length],
    ]) {
      const index = Uint32Array.from(recordIndex.slice(from, to))
      addon().recordHistory(figures, index, Float64Array.from(recordNorm.slice(from, to)))
    }
    const seen = figures.map((figure) => (figure === -1 ? 0 : figure))
    expectClose(seen, runningNorm, within64)
    const next = importanceProbabilities(seen, { mix: tau })
    expectClose(next, probabilities, within64)
    expectClose(importanceWeights(next, [...next.keys()]), golden.paDa.unbiasedWeights, within64)
  })

  test('of operations', () => {
    const { operationNorms, pathTau, operationProbabilities } = golden.paDa
    expectClose(importanceProbabilities(operationNorms, { mix: pathTau }), operationProbabilities, within64)
  })
})
