// Methods for the gradients of several tasks: what must hold of them, whatever the numbers.
import { describe, expect, test } from 'vitest'
import type { CreateTaskCombinerOptions, TaskCombinerState, TaskMethodOption } from '../src/index.js'
import {
  caGrad,
  createTaskCombiner,
  gCond,
  gradNorm,
  mgda,
  pcGrad,
  samGs,
  taskMethodKinds,
  weightedSum,
} from '../src/index.js'
import { expectClose, expectRelative } from './support/compare.js'
import { expectError } from './support/errors.js'

const dot = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
  Array.from(x).reduce((sum, a, k) => sum + a * (y[k] as number), 0)
const length = (x: ArrayLike<number>): number => Math.sqrt(dot(x, x))

/** Numbers in [-1, 1) that a seed decides. */
function numbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  }
}
function gradientsOf(tasks: number, size: number, seed: number): Float64Array[] {
  const next = numbers(seed)
  return Array.from({ length: tasks }, () => Float64Array.from({ length: size }, next))
}
const combinerOf = (method: TaskMethodOption, gradients: readonly Float64Array[]) =>
  createTaskCombiner(method, {
    tasks: gradients.length,
    parameterCount: gradients[0]?.length ?? 0,
    dtype: 'float64',
  })
const losses = (tasks: number): number[] => Array.from({ length: tasks }, (_, i) => 0.5 + i)
const seeds = [1, 2, 3, 4, 5, 6, 7, 8]

/** Every method, some twice. */
const methods: readonly TaskMethodOption[] = [
  weightedSum({ reduction: 'mean' }),
  pcGrad(),
  pcGrad({ order: 'index', includeSelf: true }),
  mgda(),
  mgda({ scaling: 'loss+' }),
  mgda({ solver: 'frankWolfe' }),
  caGrad(),
  gradNorm(),
  samGs(),
  samGs({ rule: 'any', gamma: 1 }),
  gCond(),
  gCond({ mode: 'zones', normCap: 1.5, previousGradient: 'raw' }),
]
const nameOf = (method: TaskMethodOption): string => JSON.stringify(method)

test('the list above has every kind', () => {
  expect([...new Set(methods.map(({ kind }) => kind))].sort()).toEqual([...taskMethodKinds].sort())
})

describe('pcGrad', () => {
  test.each(seeds)('two tasks have no conflict with the result, seed %i', (seed) => {
    const [a, b] = gradientsOf(2, 5, seed) as [Float64Array, Float64Array]
    const against = b.map((x, k) => x - 2 * (a[k] as number))
    const result = combinerOf(pcGrad(), [a, against]).combine([a, against])
    expect(result.conflicts).toBe(dot(a, against) < 0 ? 1 : 0)
    expect(result.opposed).toBe(0)
    expect(Math.min(dot(a, result.gradient), dot(against, result.gradient))).toBeGreaterThan(-1e-12)
    expect(result.resolved?.conflicts).toBe(0)
  })

  test.each(seeds)('the chain in coefficients is the chain of vectors, seed %i', (seed) => {
    const rows = gradientsOf(6, 4, seed)
    const sum = new Float64Array(4)
    rows.forEach((row, i) => {
      let p = Array.from(row)
      rows.forEach((other) => {
        const product = dot(p, other)
        if (product < 0) p = p.map((x, k) => x - (product / dot(other, other)) * (other[k] as number))
      })
      expect(i).toBeLessThan(6)
      p.forEach((x, k) => {
        sum[k] = (sum[k] as number) + x
      })
    })
    const { gradient, coefficients } = combinerOf(pcGrad({ order: 'index', includeSelf: true }), rows).combine(rows)
    expectRelative(gradient, sum, 1e-10)
    const again = sum.map((_, k) =>
      dot(
        coefficients ?? [],
        rows.map((row) => row[k] as number),
      ),
    )
    expectRelative(gradient, again, 1e-12)
  })

  test('random orders differ from call to call and repeat with the seed', () => {
    const rows = gradientsOf(7, 3, 5)
    const run = (seed: number) => {
      const combiner = combinerOf(pcGrad({ seed }), rows)
      return Array.from({ length: 5 }, () => Array.from(combiner.combine(rows).gradient))
    }
    const [first, second] = run(3)
    expect(first).not.toEqual(second)
    expect(run(3)).toEqual(run(3))
    expect(run(4)).not.toEqual(run(3))
  })
})

describe('mgda', () => {
  test.each([2, 3, 5, 8, 20, 60])('%i tasks: no hull point is shorter', (tasks) => {
    for (const seed of seeds) {
      const rows = gradientsOf(tasks, 30, seed).map((row) => row.map((x, k) => x + (k === 0 ? 2 : 0)))
      const { gradient, weights = [] } = combinerOf(mgda(), rows).combine(rows)
      const square = dot(gradient, gradient)
      expect(
        Math.abs(
          dot(
            weights,
            weights.map(() => 1),
          ) - 1,
        ),
      ).toBeLessThan(1e-12)
      rows.forEach((row, i) => {
        expect(weights[i]).toBeGreaterThanOrEqual(0)
        expect(dot(row, gradient) - square).toBeGreaterThan(-1e-11 * square)
        if ((weights[i] as number) > 1e-9) expect(Math.abs(dot(row, gradient) - square)).toBeLessThan(1e-10 * square)
      })
    }
  })

  test('more tasks than dimensions, and zero in the hull: stationary', () => {
    const rows = gradientsOf(12, 3, 1)
    const { gradient } = combinerOf(mgda(), [...rows, ...rows.map((row) => row.map((x) => -x))]).combine([
      ...rows,
      ...rows.map((row) => row.map((x) => -x)),
    ])
    expect(length(gradient)).toBeLessThan(1e-7)
  })

  test('gradients of very different lengths', () => {
    const rows = [Float64Array.of(1e8, 1e8, 0), Float64Array.of(1, 0, 0), Float64Array.of(0, 1e-6, 1e-6)]
    const { gradient } = combinerOf(mgda(), rows).combine(rows)
    const square = dot(gradient, gradient)
    for (const row of rows) expect(dot(row, gradient)).toBeGreaterThan(square * (1 - 1e-9))
  })

  test('Frank-Wolfe approaches the exact weights', () => {
    const rows = gradientsOf(5, 9, 3).map((row) => row.map((x) => x + 0.5))
    const exact = combinerOf(mgda(), rows).combine(rows)
    const iterated = (maxIterations: number) =>
      length(combinerOf(mgda({ solver: 'frankWolfe', maxIterations, tolerance: 0 }), rows).combine(rows).gradient)
    const [few, many] = [iterated(5), iterated(20_000)]
    expect(few).toBeGreaterThan(many)
    expect(many).toBeGreaterThanOrEqual(length(exact.gradient))
    // f - f* <= 2 diameter^2 / (k + 2), for half the square.
    const diameter = Math.max(...rows.flatMap((a) => rows.map((b) => length(a.map((x, k) => x - (b[k] as number))))))
    expect(many ** 2 - length(exact.gradient) ** 2).toBeLessThan((4 * diameter ** 2) / 20_002)
  })

  test('scaled by losses: d is of the scaled gradients, or of those given', () => {
    const rows = gradientsOf(3, 6, 2)
    const by = [2, 0.5, 4]
    const scaled = rows.map((row, i) => row.map((x) => x / (by[i] as number)))
    const plain = combinerOf(mgda(), rows).combine(scaled)
    const result = combinerOf(mgda({ scaling: 'loss' }), rows).combine(rows, { losses: by })
    expectRelative(result.gradient, plain.gradient, 1e-12)
    const raw = combinerOf(mgda({ scaling: 'loss', direction: 'unscaled' }), rows).combine(rows, { losses: by })
    expectClose(raw.coefficients ?? [], plain.weights ?? [], 1e-12)
  })
})

describe('caGrad', () => {
  test.each(seeds)('the ball, and no better point in it, seed %i', (seed) => {
    for (const tasks of [2, 3, 6, 15]) {
      const rows = gradientsOf(tasks, 8, seed * 100 + tasks)
      const c = 0.1 + 0.1 * seed
      const mean = rows.reduce((sum, row) => sum.map((x, k) => x + (row[k] as number) / tasks), new Float64Array(8))
      const { gradient } = combinerOf(caGrad({ c }), rows).combine(rows)
      const radius = c * length(mean)
      const worst = (d: ArrayLike<number>) => Math.min(...rows.map((row) => dot(row, d)))
      expect(length(gradient.map((x, k) => x - (mean[k] as number)))).toBeLessThan(radius * (1 + 1e-9))
      // The primal, by a subgradient ascent with projection: another way, from another side.
      let d = mean
      let best = worst(mean)
      const scale = Math.max(...rows.map(length))
      for (let k = 1; k <= 3000; k++) {
        const lowest = rows.reduce((low, row) => (dot(row, d) < dot(low, d) ? row : low))
        const moved = d.map((x, j) => x + ((radius / scale) * (lowest[j] as number)) / Math.sqrt(k))
        const away = moved.map((x, j) => x - (mean[j] as number))
        const shrink = Math.min(1, radius / length(away))
        d = mean.map((x, j) => x + shrink * (away[j] as number))
        best = Math.max(best, worst(d))
      }
      expect(worst(gradient)).toBeGreaterThan(best - 1e-9 * scale ** 2)
      expect(worst(gradient)).toBeLessThan(best + 0.02 * radius * scale)
    }
  })

  test('c = 0 is the mean; reductions and divisors scale', () => {
    const rows = gradientsOf(3, 5, 1)
    const of = (method: TaskMethodOption) => combinerOf(method, rows).combine(rows)
    expectRelative(of(caGrad({ c: 0 })).gradient, of(weightedSum({ reduction: 'mean' })).gradient, 1e-14)
    const d = of(caGrad({ c: 0.5 })).gradient
    expectRelative(
      of(caGrad({ c: 0.5, reduction: 'sum' })).gradient,
      d.map((x) => 3 * x),
      1e-14,
    )
    const mean = of(weightedSum({ reduction: 'mean' })).gradient
    const away = length(d.map((x, k) => x - (mean[k] as number)))
    expect(away).toBeCloseTo(0.5 * length(mean), 12)
    const gw = of(caGrad({ c: 0.5 })).weights ?? []
    const drawn = length(
      mean.map((_, k) =>
        dot(
          gw,
          rows.map((row) => row[k] as number),
        ),
      ),
    )
    expectRelative(
      of(caGrad({ c: 0.5, rescale: 'lengths' })).gradient,
      d.map((x) => x / (1 + (0.5 * length(mean)) / drawn)),
      1e-10,
    )
  })

  test('no common descent: the mean', () => {
    const rows = [Float64Array.of(0, 1), Float64Array.of(0, -1), Float64Array.of(1, 0)]
    const { gradient } = combinerOf(caGrad({ c: 0.9 }), rows).combine(rows)
    expectClose(gradient, [1 / 3, 0], 1e-15)
  })
})

describe('gradNorm', () => {
  test('favours the task that lags behind, and balances equal ones', () => {
    const rows = [Float64Array.of(1, 0), Float64Array.of(0, 1)]
    const combiner = combinerOf(gradNorm({ learningRate: 0.1 }), rows)
    combiner.combine(rows, { losses: [1, 1] })
    expectClose(combiner.state().values.weights ?? [], [1, 1], 1e-15)
    combiner.combine(rows, { losses: [1, 0.5] })
    const [first = 0, second = 0] = combiner.state().values.weights ?? []
    expect(first).toBeGreaterThan(second)
    expect(first + second).toBeCloseTo(2, 12)
  })

  test('takes norms of the chosen elements', () => {
    const rows = [Float64Array.of(1, 30, 40, 1), Float64Array.of(5, 3, 4, 2)]
    const combiner = combinerOf(gradNorm({ elements: { first: 1, count: 2 } }), rows)
    const { balance } = combiner.combine(rows, { losses: [1, 1] })
    expectClose(balance?.weightGradient ?? [], [50, -5], 1e-12)
  })

  test('losses of zero stay finite', () => {
    const rows = gradientsOf(3, 4, 1)
    const combiner = combinerOf(gradNorm(), rows)
    for (const values of [
      [0, 1, 2],
      [1, 1, 1],
      [0, 0, 0],
    ]) {
      const { balance, gradient } = combiner.combine(rows, { losses: values })
      expect([...(balance?.nextWeights ?? []), ...gradient].every(Number.isFinite)).toBe(true)
    }
  })
})

describe('gCond', () => {
  test('leaves gradients without conflict alone', () => {
    const rows = gradientsOf(3, 5, 1).map((row) => row.map((x) => x + 3))
    const { gradient, resolutions } = combinerOf(gCond({ momentum: 0 }), rows).combine(rows)
    expect(resolutions).toEqual([])
    expectRelative(gradient, combinerOf(weightedSum(), rows).combine(rows).gradient, 1e-14)
  })

  test('lion: signs, scaled tensor by tensor', () => {
    const rows = [Float64Array.of(3, 0, -4, 0.5), Float64Array.of(0, 0, 0, 0.5)]
    const options = { tasks: 2, parameterCount: 4, dtype: 'float64', tensors: [3, 1] } as const
    const combiner = createTaskCombiner(gCond({ lion: { scale: 0.1, maxRatio: 7 } }), options)
    const { gradient } = combiner.combine(rows, { parameters: Float64Array.of(0, 10, 0, 50) })
    // |parameters| / |d| is 10 / 5, then 50 / 1, which is too much.
    expectClose(gradient, [0.2, 0, -0.2, 0.7], 1e-15)
    expectError(() => combiner.combine(rows), 'ERR_OPTION', 'parameters', 'lion')
  })
})

describe.each(methods.map((method) => [nameOf(method), method] as const))('%s', (_, method) => {
  const steps = [1, 2, 3, 4, 5, 6].map((seed) => gradientsOf(3, 40, seed))
  const first = steps[0] as Float64Array[]
  const given = { losses: losses(3) }

  test('a state through JSON continues to the same bits, in both types', () => {
    for (const dtype of ['float32', 'float64'] as const) {
      const options: CreateTaskCombinerOptions = { tasks: 3, parameterCount: 40, dtype }
      const typed = (rows: Float64Array[]) => rows.map((row) => (dtype === 'float32' ? Float32Array.from(row) : row))
      const [whole, before, after] = [1, 2, 3].map(() => createTaskCombiner(method, options))
      const run = (combiner: typeof whole, rows: Float64Array[]) => combiner?.combine(typed(rows), given)
      const expected = steps.map((rows) => run(whole, rows))
      for (const rows of steps.slice(0, 3)) run(before, rows)
      after?.setState(JSON.parse(JSON.stringify(before?.state())) as TaskCombinerState)
      expect(steps.slice(3).map((rows) => run(after, rows))).toEqual(expected.slice(3))
      expect(after?.steps).toBe(6)
      expect(after?.state()).toEqual(whole?.state())
    }
  })

  test('one task', () => {
    const only = gradientsOf(1, 6, 4)
    const combiner = combinerOf(method, only)
    const unit = method.kind === 'mgda' && method.scaling === 'loss+' ? 1 / (0.5 * length(only[0] ?? [])) : 1
    const factor = method.kind === 'caGrad' ? 1.4 : unit
    for (let step = 0; step < 3; step++) {
      const { gradient, conflicts, opposed } = combiner.combine(only, { losses: [0.5] })
      expect([conflicts, opposed]).toEqual([0, 0])
      expectRelative(
        gradient,
        (only[0] as Float64Array).map((x) => factor * x),
        1e-14,
      )
    }
  })

  test('zero gradients', () => {
    const zeros = [new Float64Array(5), new Float64Array(5), new Float64Array(5)]
    const combiner = combinerOf(method, zeros)
    for (let step = 0; step < 2; step++) {
      const { gradient, norms, alignments } = combiner.combine(zeros, given)
      expect([...gradient, ...norms, ...alignments].every((x) => x === 0)).toBe(true)
    }
    const one = [Float64Array.of(1, 2, 0, 0, 1), new Float64Array(5), Float64Array.of(-1, 0, 0, 1, 0)]
    const { gradient, cosines } = combiner.combine(one, given)
    expect([...gradient, ...cosines].every(Number.isFinite)).toBe(true)
  })

  test('conflicts and alignments are those of the vectors', () => {
    const { gradient, cosines, conflicts, norms, alignments, opposed } = combinerOf(method, first).combine(first, given)
    const cosine = (x: Float64Array, y: Float64Array) => dot(x, y) / length(x) / length(y)
    expectClose(norms, first.map(length), 1e-12)
    expectClose(
      cosines,
      first.flatMap((x) => first.map((y) => cosine(x, y))),
      1e-12,
    )
    const pairs = [
      [0, 1],
      [0, 2],
      [1, 2],
    ] as const
    expect(conflicts).toBe(pairs.filter(([i, j]) => (cosines[3 * i + j] as number) < 0).length)
    expectClose(
      alignments,
      first.map((row) => cosine(row, gradient)),
      1e-9,
    )
    expect(opposed).toBe(alignments.filter((x) => x < 0).length)
  })

  test('long gradients: one array or several, into an array given', () => {
    const size = 70_001
    const rows = gradientsOf(2, size, 9)
    const whole = new Float64Array(2 * size)
    rows.forEach((row, i) => void whole.set(row, i * size))
    const out = new Float64Array(size)
    const of = (rowsOrWhole: Float64Array[] | Float64Array, into?: Float64Array<ArrayBuffer>) =>
      combinerOf(method, rows).combine(rowsOrWhole, { losses: [1, 2], ...(into === undefined ? {} : { out: into }) })
    const separate = of(rows)
    expect(of(whole, out).gradient).toBe(out)
    expect(separate.gradient).toEqual(out)
    const { coefficients } = separate
    if (coefficients !== undefined) {
      const sum = out.map((_, k) =>
        dot(
          coefficients,
          rows.map((row) => row[k] as number),
        ),
      )
      expectRelative(out, sum, 1e-14)
    }
  })

  test('what is not finite is refused, and changes nothing', () => {
    const combiner = combinerOf(method, first)
    combiner.combine(first, given)
    const before = combiner.state()
    for (const wrong of [NaN, Infinity, 1e200]) {
      const rows = first.map((row, i) => (i === 1 ? row.map((x, k) => (k === 7 ? wrong : x)) : row))
      expectError(() => combiner.combine(rows, given), 'ERR_NOT_FINITE', 'gradients', '1')
    }
    expect(combiner.state()).toEqual(before)
  })
})
