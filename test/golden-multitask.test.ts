// Gradients of several tasks combined, against golden numbers (test/golden/multitask/README.md).
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { DType, TaskCombiner, TaskMethodOption } from '../src/index.js'
import { caGrad, createTaskCombiner, gCond, gradNorm, mgda, pcGrad, samGs } from '../src/index.js'
import { expectRelative, largest } from './support/compare.js'
import type { GoldenCase } from './support/golden.js'
import { goldenFile } from './support/golden.js'

type Rows = readonly (readonly number[])[]

/** The tolerance of the folder's README, relative to the largest entry of an array. */
const common = 1e-9
const arrays = (rows: Rows): Float64Array[] => rows.map((row) => Float64Array.from(row))
const cases = <T>(file: string): GoldenCase<T>[] => goldenFile<T>('multitask', file)

function combinerOf(method: TaskMethodOption, rows: Rows): TaskCombiner<'float64'> {
  return createTaskCombiner(method, { tasks: rows.length, parameterCount: rows[0]?.length ?? 0, dtype: 'float64' })
}
const combined = (method: TaskMethodOption, rows: Rows) => combinerOf(method, rows).combine(arrays(rows))

/**
 * The same steps in both types, of the gradients rounded to float32: coefficients come from float64 products either way,
 * so that only d itself, and the momenta behind it, are rounded, to u = 2^-24. A momentum that keeps `beta` of itself
 * gathers u / (1 - beta) of its size.
 */
function expectSameInFloat32(method: TaskMethodOption, steps: readonly Rows[], beta = 0, losses?: Rows): void {
  const make = <D extends DType>(dtype: D) =>
    createTaskCombiner(method, { tasks: steps[0]?.length ?? 0, parameterCount: steps[0]?.[0]?.length ?? 0, dtype })
  const [single, double] = [make('float32'), make('float64')]
  steps.forEach((rows, step) => {
    const rounded = rows.map((row) => Float32Array.from(row))
    const options = losses === undefined ? {} : { losses: losses[step] as readonly number[] }
    const few = single.combine(rounded, options)
    const many = double.combine(
      rounded.map((row) => Float64Array.from(row)),
      options,
    )
    const bound = 2 ** -24 * (2 + 2 / (1 - beta)) * largest(many.gradient)
    expectRelative(few.gradient, many.gradient, bound / largest(many.gradient), `float32, step ${step}`)
  })
}

test('every file of the folder is used', () => {
  const files = readdirSync(new URL('golden/multitask', import.meta.url)).filter((name) => name.endsWith('.json'))
  const used = ['cagrad.json', 'gcond.json', 'gradnorm.json', 'mgda.json', 'pcgrad.json', 'sam-gs.json']
  expect(files.sort()).toEqual(used)
})

describe('pcgrad.json', () => {
  type Case = {
    readonly gradients: Rows
    readonly orders: Rows
    readonly projected: Rows
    readonly sum: readonly number[]
    readonly mean: readonly number[]
    readonly sumInIndexOrder: readonly number[]
  }
  test.each(cases<Case>('pcgrad.json'))('$name', ({ value }) => {
    const { gradients, orders } = value
    const given = pcGrad({ order: orders })
    const { gradient, resolved } = combined(given, gradients)
    expectRelative(gradient, value.sum, common, 'sum')
    expectRelative(combined({ ...given, reduction: 'mean' }, gradients).gradient, value.mean, common, 'mean')
    expectRelative(combined(pcGrad({ order: 'index' }), gradients).gradient, value.sumInIndexOrder, common, 'by index')
    const dot = (x: readonly number[], y: readonly number[]) => x.reduce((sum, a, k) => sum + a * (y[k] as number), 0)
    const cosines = value.projected.flatMap((p) =>
      value.projected.map((q) => dot(p, q) / Math.sqrt(dot(p, p) * dot(q, q))),
    )
    expectRelative(resolved?.cosines ?? [], cosines, common, 'cosines of the projections')
    expectSameInFloat32(given, [gradients])
  })
})

describe('mgda.json', () => {
  type Solution = { readonly weights: readonly number[]; readonly direction: readonly number[] }
  type Case = Solution & { readonly tolerance: number; readonly gradients: Rows; readonly normalisedL2: Solution }
  test.each(cases<Case>('mgda.json'))('$name', ({ value }) => {
    for (const [method, solution] of [
      [mgda(), value],
      [mgda({ scaling: 'l2' }), value.normalisedL2],
    ] as const) {
      const { gradient, weights } = combined(method, value.gradients)
      expectRelative(weights ?? [], solution.weights, value.tolerance, 'weights')
      expectRelative(gradient, solution.direction, value.tolerance, 'direction')
      expectSameInFloat32(method, [value.gradients])
    }
  })
})

describe('cagrad.json', () => {
  type Result = {
    readonly c: number
    readonly weights: readonly number[]
    readonly direction: readonly number[]
    readonly rescaledC2: readonly number[]
    readonly rescaledC: readonly number[]
    readonly worstInner: number
  }
  type Case = { readonly tolerance: number; readonly gradients: Rows; readonly results: readonly Result[] }
  test.each(cases<Case>('cagrad.json'))('$name', ({ value: { gradients, tolerance, results } }) => {
    for (const { c, ...result } of results) {
      const { gradient, weights } = combined(caGrad({ c }), gradients)
      expectRelative(weights ?? [], result.weights, tolerance, `weights, c = ${c}`)
      expectRelative(gradient, result.direction, tolerance, `direction, c = ${c}`)
      const rescaled = (rescale: 'linear' | 'squared') => combined(caGrad({ c, rescale }), gradients).gradient
      expectRelative(rescaled('squared'), result.rescaledC2, tolerance, `by 1 + c², c = ${c}`)
      expectRelative(rescaled('linear'), result.rescaledC, tolerance, `by 1 + c, c = ${c}`)
      const inner = gradients.map((row) => row.reduce((sum, g, k) => sum + g * (gradient[k] as number), 0))
      expectRelative([Math.min(...inner)], [result.worstInner], tolerance, `worst product, c = ${c}`)
      expectSameInFloat32(caGrad({ c }), [gradients])
    }
  })
})

describe('gradnorm.json', () => {
  type Step = {
    readonly gradientNorms: readonly number[]
    readonly losses: readonly number[]
    readonly weightsBefore: readonly number[]
    readonly targets: readonly number[]
    readonly gradNormLoss: number
    readonly weightGradient: readonly number[]
    readonly weights: readonly number[]
  }
  type Case = {
    readonly options: { readonly alpha: number; readonly learningRate: number }
    readonly initialLosses: readonly number[]
    readonly steps: readonly Step[]
  }
  test.each(cases<Case>('gradnorm.json'))('$name', ({ value }) => {
    const method = gradNorm({ ...value.options, initialLosses: value.initialLosses })
    // Gradients along the axes have the norms of the file.
    const rows = (step: Step) =>
      step.gradientNorms.map((norm, i) => step.gradientNorms.map((_, k) => (i === k ? norm : 0)))
    const combiner = combinerOf(method, rows(value.steps[0] as Step))
    for (const step of value.steps) {
      const result = combiner.combine(arrays(rows(step)), { losses: step.losses })
      expectRelative(result.weights ?? [], step.weightsBefore, common, 'weights before')
      const { targets = [], loss = NaN, weightGradient = [], nextWeights = [] } = result.balance ?? {}
      expectRelative(targets, step.targets, common, 'targets')
      expectRelative([loss], [step.gradNormLoss], common, 'loss')
      expectRelative(weightGradient, step.weightGradient, common, 'weight gradient')
      expectRelative(nextWeights, step.weights, common, 'weights')
      const direction = step.gradientNorms.map((norm, i) => norm * (step.weightsBefore[i] as number))
      expectRelative(result.gradient, direction, common, 'direction')
    }
    const losses = value.steps.map((step) => step.losses)
    expectSameInFloat32(method, value.steps.map(rows), 0, losses)
  })
})

describe('sam-gs.json', () => {
  type Step = {
    readonly similarities: readonly number[]
    readonly branch: string
    readonly gradient: readonly number[]
  }
  type Case = {
    readonly options: {
      readonly gamma: number
      readonly beta1: number
      readonly beta2: number
      readonly epsilon: number
      readonly rule: 'mean' | 'any'
    }
    readonly gradients: readonly Rows[]
    readonly steps: readonly Step[]
  }
  test.each(cases<Case>('sam-gs.json'))('$name', ({ value }) => {
    const combiner = combinerOf(samGs(value.options), value.gradients[0] as Rows)
    value.gradients.forEach((rows, index) => {
      const step = value.steps[index] as Step
      const { gradient, similarity } = combiner.combine(arrays(rows))
      expect(similarity?.branch).toBe(step.branch)
      expectRelative(similarity?.pairs ?? [], step.similarities, common, 'similarities')
      expectRelative(gradient, step.gradient, common, `step ${index}`)
    })
    expectSameInFloat32(samGs(value.options), value.gradients, value.options.beta1)
  })
})

describe('gcond.json', () => {
  type Conflict = {
    readonly pair: readonly number[]
    readonly cosine: number
    readonly winner: number | null
    readonly alpha?: number
    readonly zone?: string
  }
  type Step = {
    readonly resolved: readonly number[]
    readonly update: readonly number[]
    readonly conflicts: readonly Conflict[]
    readonly normEma: readonly number[]
  }
  type Case = {
    readonly options: {
      readonly thresholds: readonly [number, number, number]
      readonly mode: 'smooth' | 'zones'
      readonly remapPower: number
      readonly dominanceWindow: number
      readonly dominance: 'loses' | 'wins'
      readonly tieWeights: readonly [number, number]
      readonly normEma: number
      readonly normCap: number | null
      readonly beta: number
      readonly maxIterations: number
      readonly previousGradient: 'resolved' | 'raw'
      readonly epsilon: number
      readonly tolerance: number
    }
    readonly gradients: readonly Rows[]
    readonly steps: readonly Step[]
  }
  function methodOf({ options }: Case, momentum: number) {
    const [critical, main, weak] = options.thresholds
    const [stability, strength] = options.tieWeights
    const { mode, remapPower, dominanceWindow, dominance, previousGradient, epsilon, tolerance, maxIterations } =
      options
    return gCond({
      mode,
      remapPower,
      dominanceWindow,
      dominance,
      previousGradient,
      epsilon,
      tolerance,
      maxIterations,
      momentum,
      thresholds: { critical, main, weak },
      arbiter: { stability, strength },
      normDecay: options.normEma,
      normCap: options.normCap ?? 0,
    })
  }

  test.each(cases<Case>('gcond.json'))('$name', ({ value }) => {
    const combiner = combinerOf(methodOf(value, value.options.beta), value.gradients[0] as Rows)
    // Without a momentum d is the sum of the resolved gradients.
    const plain = combinerOf(methodOf(value, 0), value.gradients[0] as Rows)
    value.gradients.forEach((rows, index) => {
      const step = value.steps[index] as Step
      const { gradient, resolutions = [] } = combiner.combine(arrays(rows))
      expectRelative(gradient, step.update, common, `update ${index}`)
      expectRelative(plain.combine(arrays(rows)).gradient, step.resolved, common, `sum ${index}`)
      expectRelative(combiner.state().values.normEma ?? [], step.normEma, common, `norms ${index}`)
      expect(resolutions.map(({ pair, winner }) => ({ pair, winner }))).toEqual(
        step.conflicts.map(({ pair, winner }) => ({ pair, winner })),
      )
      resolutions.forEach(({ cosine, zone, angle }, k) => {
        const conflict = step.conflicts[k] as Conflict
        expectRelative([cosine], [conflict.cosine], common, `cosine ${index}.${k}`)
        if (conflict.alpha !== undefined) expectRelative([angle], [conflict.alpha], common, `angle ${index}.${k}`)
        expect(zone).toBe(conflict.zone ?? 'smooth')
      })
    })
    expectSameInFloat32(methodOf(value, value.options.beta), value.gradients, value.options.beta)
  })
})
