// Diagonals, sampled Fisher products, Kronecker factors and preconditioners: against matrices of products, and misuse.
import { describe, expect, test } from 'vitest'
import type { DType, FloatArray, LinearizedPoint, NativeLinearOperator } from '../src/index.js'
import {
  binaryCrossEntropy,
  conjugateGradientSync,
  createModel,
  damped,
  dense,
  denseOperator,
  diagonalPreconditioner,
  huber,
  kfacPreconditioner,
  layerNorm,
  lbfgsPreconditioner,
  linearize,
  matmat,
  meanAbsoluteError,
  meanSquaredError,
  residual,
  softmaxCrossEntropy,
} from '../src/index.js'
import { expectClose, expectRelative, largest } from './support/compare.js'
import { random, randomRows } from './support/data.js'
import { expectError } from './support/errors.js'

const rows = 9
const inputs = randomRows(rows, 4, 3)
const classes = Array.from({ length: rows }, (_, i) => i % 3)
const layers = [dense(5, 'tanh'), residual([layerNorm(), dense(5, 'silu')]), dense(3)]
const deep = { inputs: 4, layers, seed: 2 } as const
const plain = { inputs: 4, layers: [dense(5, 'tanh'), dense(3)], seed: 3 } as const

const classify = (spec: typeof deep | typeof plain = deep, l2 = 0): LinearizedPoint<'float64'> =>
  linearize(createModel({ ...spec, dtype: 'float64' }), { inputs, targets: classes }, softmaxCrossEntropy(), { l2 })

/** The rows of an operator's matrix. */
function matrixOf(operator: NativeLinearOperator<'float64'>): Float64Array[] {
  const size = operator.shape[0]
  const units = new Float64Array(size * size)
  for (let i = 0; i < size; i++) units[i * size + i] = 1
  const { data } = matmat(operator, units)
  return Array.from({ length: size }, (_, i) => data.subarray(i * size, (i + 1) * size))
}
const diagonalOf = (matrix: readonly Float64Array[]): number[] => matrix.map((row, i) => row[i] as number)
const flat = (matrix: readonly Float64Array[]): number[] => matrix.flatMap((row) => [...row])
const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}
const norm = (a: ArrayLike<number>): number => Math.sqrt(dot(a, a))
/** ‖a − b‖ / ‖b‖ */
const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  norm(Float64Array.from(a, (x, i) => x - (b[i] as number))) / norm(b)
function randomVector(length: number, seed: number): Float64Array<ArrayBuffer> {
  const next = random(seed)
  return Float64Array.from({ length }, () => 2 * next() - 1)
}

describe('diagonals', () => {
  const point = classify(deep, 0.3)
  const l2 = 0.3

  test('of the Gauss-Newton and the empirical Fisher matrix', () => {
    const ggn = diagonalOf(matrixOf(point.ggn())).map((x) => x - l2)
    expectRelative(point.diagonal('ggn'), ggn, 1e-12)
    expectRelative(point.diagonal('empiricalFisher'), diagonalOf(matrixOf(point.empiricalFisher())), 1e-12)
  })

  test('with one output the signs drop out of the estimate', () => {
    const model = createModel({ inputs: 4, layers: [dense(6, 'gelu'), dense(1)], dtype: 'float64' })
    const single = linearize(model, { inputs, targets: inputs.map(() => [1]) }, binaryCrossEntropy())
    const exact = single.diagonal('ggn')
    expectRelative(single.diagonal('sampledGgn'), exact, 1e-12)
    expectRelative(single.diagonal('sampledGgn', { samples: 3, seed: 8 }), exact, 1e-12)
  })

  test('an estimate approaches the exact diagonal with its draws, and is that of its seed', () => {
    const exact = point.diagonal('ggn')
    const few = point.diagonal('sampledGgn', { samples: 10, seed: 5 })
    const many = point.diagonal('sampledGgn', { samples: 4000, seed: 5 })
    // The error falls like one over the root of the draws: here by a factor of 20.
    expect(distance(few, exact)).toBeLessThan(0.5)
    expect(distance(many, exact)).toBeLessThan(0.025)
    expect(point.diagonal('sampledGgn', { samples: 10, seed: 5 })).toEqual(few)
    expect(distance(point.diagonal('sampledGgn', { samples: 10, seed: 6 }), few)).toBeGreaterThan(1e-3)
  })

  test('layer by layer: without hidden layers they are exact', () => {
    const model = createModel({ inputs: 4, layers: [dense(3)], dtype: 'float64' })
    const single = linearize(model, { inputs, targets: classes }, softmaxCrossEntropy())
    const hessian = diagonalOf(matrixOf(single.hessian()))
    expectRelative(single.diagonal('beckerLeCun'), hessian, 1e-12)
    expectRelative(single.diagonal('gaussNewtonLeCun'), hessian, 1e-12)
  })

  test('without second derivatives of activations they are not negative', () => {
    const model = createModel({ inputs: 4, layers: [dense(8, 'tanh'), dense(8, 'gelu'), dense(3)], dtype: 'float64' })
    const many = linearize(model, { inputs, targets: classes }, softmaxCrossEntropy())
    expect(Math.min(...many.diagonal('gaussNewtonLeCun'))).toBeGreaterThanOrEqual(0)
    expect(Math.min(...many.diagonal('beckerLeCun'))).toBeLessThan(0)
  })

  test('batches in parts, and an output of the caller', () => {
    const model = createModel({ ...deep, dtype: 'float64' })
    const parts = linearize(model, { inputs, targets: classes }, softmaxCrossEntropy(), { batchSize: 4 })
    const out = new Float64Array(parts.parameterCount)
    for (const kind of ['ggn', 'sampledGgn', 'empiricalFisher'] as const) {
      expect(parts.diagonal(kind, {}, out)).toBe(out)
      expectRelative(out, point.diagonal(kind), 1e-12, kind)
    }
  })

  test('misuse', () => {
    expectError(() => point.diagonal('hessian' as never), 'ERR_OPTION', 'diagonal kind')
    expectError(() => point.diagonal('ggn', { samples: 2 }), 'ERR_OPTION', 'diagonal samples', 'draws nothing')
    expectError(() => point.diagonal('beckerLeCun', { seed: 2 }), 'ERR_OPTION', 'diagonal seed')
    expectError(() => point.diagonal('sampledGgn', { samples: 0 }), 'ERR_OPTION', 'diagonal samples')
    expectError(() => point.diagonal('sampledGgn', { sample: 1 } as never), 'ERR_OPTION', "'samples'")
    expectError(() => point.diagonal('ggn', {}, new Float64Array(3)), 'ERR_SHAPE', 'out')
    expectError(() => point.diagonal('ggn', {}, new Float32Array(3) as never), 'ERR_DTYPE', 'out')
    expectError(() => point.diagonal('beckerLeCun'), 'ERR_OPTION', 'layerNorm')
    const disposed = classify()
    disposed.dispose()
    expectError(() => disposed.diagonal('ggn'), 'ERR_STATE', 'point')
    expectError(() => disposed.kroneckerFactors(), 'ERR_STATE', 'point')
    expectError(() => disposed.fisher({ samples: 1 }), 'ERR_STATE', 'point')
    expectError(() => kfacPreconditioner(disposed, { damping: 1 }), 'ERR_STATE', 'point')
  })
})

describe('the Fisher matrix with drawn labels', () => {
  const targets = inputs.map(([a = 0, b = 0, c = 0]) => [a, b, c].map((x) => Math.sin(x)))
  const binary = inputs.map(([a = 0, b = 0, c = 0]) => [a, b, c].map((x) => (x > 0 ? 1 : 0)))
  const model = createModel({ ...deep, dtype: 'float64' })
  const points: [string, LinearizedPoint<'float64'>][] = [
    ['softmaxCrossEntropy', classify(deep, 0.01)],
    ['binaryCrossEntropy', linearize(model, { inputs, targets: binary }, binaryCrossEntropy())],
    ['meanSquaredError', linearize(model, { inputs, targets }, meanSquaredError())],
  ]

  test.each(points)('%s: symmetric, of its seed, and near the exact one', (_, point) => {
    const exact = flat(matrixOf(point.fisher()))
    const few = matrixOf(point.fisher({ samples: 4, seed: 1 }))
    expectClose(
      flat(few),
      few.flatMap((__, j) => few.map((row) => row[j] as number)),
      1e-13 * largest(exact),
    )
    expect(flat(matrixOf(point.fisher({ samples: 4, seed: 1 })))).toEqual(flat(few))
    expect(distance(flat(matrixOf(point.fisher({ samples: 4, seed: 2 }))), flat(few))).toBeGreaterThan(1e-3)
    expect(distance(flat(matrixOf(point.fisher({ samples: 3000 }))), exact)).toBeLessThan(0.04)
    expect(point.fisher({ samples: 1 }).tags).toEqual(['symmetric', 'positiveSemidefinite'])
  })

  test('l2 is part of it', () => {
    const draws = { samples: 2, seed: 3 }
    const v = randomVector(model.parameterCount, 1)
    const without = classify(deep).fisher(draws).matvec(v)
    const expected = without.map((x, i) => x + 0.25 * (v[i] as number))
    expectRelative(classify(deep, 0.25).fisher(draws).matvec(v), expected, 1e-12)
  })

  test('misuse', () => {
    const point = classify()
    expectError(() => point.fisher({} as never), 'ERR_OPTION', 'fisher samples')
    expectError(() => point.fisher({ samples: 1.5 }), 'ERR_OPTION', 'fisher samples')
    expectError(() => point.fisher({ samples: 1, seed: -1 }), 'ERR_OPTION', 'fisher seed')
    const robust = linearize(model, { inputs, targets }, huber())
    expectError(() => robust.fisher({ samples: 1 }), 'ERR_OPTION', 'loss')
  })
})

/** Offsets of a layer's parameters in the order of its factors: row o holds the weights of output o and its bias. */
function placesOf(outputs: number, columns: number, offset: number): number[] {
  const inner = columns - 1
  return Array.from({ length: outputs * columns }, (_, p) => {
    const [o, i] = [Math.floor(p / columns), p % columns]
    return offset + (i < inner ? o * inner + i : outputs * inner + o)
  })
}

describe('Kronecker factors', () => {
  test('for one sample their product is the Gauss-Newton block', () => {
    const model = createModel({ ...plain, dtype: 'float64' })
    const point = linearize(model, { inputs: inputs.slice(0, 1), targets: [2] }, softmaxCrossEntropy())
    const ggn = matrixOf(point.ggn())
    const factors = point.kroneckerFactors()
    expect(factors.map(({ layer }) => layer)).toEqual(['layers.0', 'layers.1'])
    for (const { layer, input, output } of factors) {
      const [columns, outputs] = [input.shape[0], output.shape[0]]
      const offset = model.tensors.find(({ name }) => name === `${layer}.weight`)?.offset ?? -1
      const places = placesOf(outputs, columns, offset)
      const product = places.flatMap((_, p) =>
        places.map((__, q) => {
          const [o, i, u, j] = [Math.floor(p / columns), p % columns, Math.floor(q / columns), q % columns]
          return (output.data[o * outputs + u] as number) * (input.data[i * columns + j] as number)
        }),
      )
      const block = places.flatMap((p) => places.map((q) => ggn[p]?.[q] as number))
      expectRelative(product, block, 1e-12, layer)
    }
  })

  test('with drawn labels: the same inputs, and outputs near the exact ones', () => {
    const point = classify()
    const exact = point.kroneckerFactors()
    const drawn = point.kroneckerFactors({ samples: 3000, seed: 4 })
    expect(exact.map(({ layer }) => layer)).toEqual(['layers.0', 'layers.1.layers.1', 'layers.2'])
    for (const [index, { input, output }] of drawn.entries()) {
      expect(input).toEqual(exact[index]?.input)
      expect(distance(output.data, exact[index]?.output.data ?? [])).toBeLessThan(0.04)
    }
    expect(point.kroneckerFactors({ samples: 3000, seed: 4 })).toEqual(drawn)
    expectError(() => point.kroneckerFactors({ samples: -1 }), 'ERR_OPTION', 'kroneckerFactors samples')
    expectError(() => point.kroneckerFactors(null as never), 'ERR_OPTION', 'kroneckerFactors options')
  })

  test('a layer without bias has no constant input', () => {
    const model = createModel({ inputs: 4, layers: [dense(3, 'identity', { bias: false })], dtype: 'float64' })
    const point = linearize(model, { inputs, targets: classes }, softmaxCrossEntropy())
    expect(point.kroneckerFactors()[0]?.input.shape).toEqual([4, 4])
  })
})

describe('kfacPreconditioner', () => {
  test('exact form: the inverse of the damped matrix where that is a Kronecker product', () => {
    const model = createModel({ inputs: 4, layers: [dense(3)], dtype: 'float64' })
    const targets = inputs.map(([a = 0, b = 0, c = 0]) => [a, b, c])
    const point = linearize(model, { inputs, targets }, meanSquaredError(), { l2: 0.02 })
    const v = randomVector(point.parameterCount, 2)
    const inverse = kfacPreconditioner(point, { damping: 0.1, form: 'exact' })
    expect(inverse.tags).toContain('positiveDefinite')
    expectRelative(inverse.matvec(damped(point.ggn(), 0.1).matvec(v)), v, 1e-12)
    // Without damping of its own the point's l2 is enough.
    expectRelative(kfacPreconditioner(point, { damping: 0, form: 'exact' }).matvec(point.ggn().matvec(v)), v, 1e-11)
  })

  test.each([
    ['float64', 1e-11],
    ['float32', 1e-4],
  ] as [DType, number][])('factored form, %s: the inverse of the damped factors', (dtype, tolerance) => {
    const model = createModel({ ...plain, dtype })
    const point = linearize(model, { inputs, targets: classes }, softmaxCrossEntropy())
    const damping = 0.05
    const v = randomVector(point.parameterCount, 3)
    const product = new Float64Array(v.length)
    for (const { layer, input, output } of point.kroneckerFactors()) {
      const [columns, outputs] = [input.shape[0], output.shape[0]]
      const trace = ({ data, shape }: typeof input): number => {
        return Array.from({ length: shape[0] }, (_, i) => data[i * (shape[0] + 1)] as number).reduce((a, b) => a + b)
      }
      const balance = Math.sqrt(trace(input) / columns / (trace(output) / outputs))
      const a = (i: number, j: number): number =>
        (input.data[i * columns + j] as number) + (i === j ? balance * Math.sqrt(damping) : 0)
      const g = (i: number, j: number): number =>
        (output.data[i * outputs + j] as number) + (i === j ? Math.sqrt(damping) / balance : 0)
      const offset = model.tensors.find(({ name }) => name === `${layer}.weight`)?.offset ?? -1
      const places = placesOf(outputs, columns, offset)
      for (const [p, at] of places.entries()) {
        for (const [q, from] of places.entries()) {
          const factor = g(Math.floor(p / columns), Math.floor(q / columns)) * a(p % columns, q % columns)
          product[at] = (product[at] as number) + factor * (v[from] as number)
        }
      }
    }
    const inverse = kfacPreconditioner(point, { damping })
    const back = inverse.matvec((dtype === 'float64' ? product : Float32Array.from(product)) as never)
    expectRelative(back, v, tolerance)
  })

  test('conjugate gradients come to the same solution, at once where the inverse is exact', () => {
    const model = createModel({ inputs: 4, layers: [dense(3)], dtype: 'float64', seed: 6 })
    const scaled = randomRows(60, 4, 5).map((row) => row.map((x, i) => x * 3 ** i))
    const targets = scaled.map(([a = 0, b = 0, c = 0]) => [a * b, b - c, c])
    const point = linearize(model, { inputs: scaled, targets }, meanSquaredError())
    const damping = 1e-3
    const matrix = damped(point.ggn(), damping)
    const options = { tolerance: 1e-10, maxIterations: 500 }
    const solve = (preconditioner?: NativeLinearOperator<'float64'>) => {
      const result = conjugateGradientSync(
        matrix,
        point.gradient(),
        preconditioner ? { ...options, preconditioner } : options,
      )
      expect(result.reason).toBe('converged')
      return result
    }
    const alone = solve()
    const exact = solve(kfacPreconditioner(point, { damping, form: 'exact' }))
    const others = [
      kfacPreconditioner(point, { damping, form: 'exact', samples: 30, seed: 1 }),
      kfacPreconditioner(point, { damping }),
      diagonalPreconditioner(point.diagonal('sampledGgn', { samples: 20 }), { damping }),
    ].map((preconditioner) => solve(preconditioner))
    for (const { solution } of [exact, ...others]) expectRelative(solution, alone.solution, 1e-7)
    expect(exact.iterations).toBeLessThanOrEqual(2)
    expect(alone.iterations).toBeGreaterThanOrEqual(5)
  })

  test('parameters of layerNorm have the inverse of their damped diagonal', () => {
    const model = createModel({ ...deep, dtype: 'float64' })
    const point = classify()
    const diagonal = point.diagonal('ggn')
    const v = randomVector(point.parameterCount, 4)
    const result = kfacPreconditioner(point, { damping: 0.2 }).matvec(v)
    const scales = model.tensors.filter(({ shape, name }) => shape.length === 1 && name.startsWith('layers.1.layers.0'))
    expect(scales).toHaveLength(2)
    for (const { offset, size } of scales) {
      for (let i = offset; i < offset + size; i++) {
        expectClose([result[i] as number], [(v[i] as number) / ((diagonal[i] as number) + 0.2)], 1e-12)
      }
    }
  })

  test('misuse', () => {
    const point = classify()
    expectError(() => kfacPreconditioner(point, {} as never), 'ERR_OPTION', 'kfacPreconditioner damping')
    const zero = ['kfacPreconditioner damping', 'a number above 0, since the point has no l2, received 0']
    expectError(() => kfacPreconditioner(point, { damping: 0 }), 'ERR_OPTION', ...zero)
    expectError(() => kfacPreconditioner(point, { damping: -1 }), 'ERR_OPTION', 'kfacPreconditioner damping')
    expectError(() => kfacPreconditioner(point, { damping: 1, form: 'eigen' as never }), 'ERR_OPTION', 'form')
    expectError(() => kfacPreconditioner(point, { damping: 1, seed: 1 }), 'ERR_OPTION', 'kfacPreconditioner seed')
    expectError(() => kfacPreconditioner({} as never, { damping: 1 }), 'ERR_OPTION', 'point')
    const model = createModel({ inputs: 4, layers: [dense(1)], dtype: 'float64' })
    const absolute = linearize(model, { inputs, targets: inputs.map(() => [0]) }, meanAbsoluteError())
    expectError(() => kfacPreconditioner(absolute, { damping: 1 }), 'ERR_OPTION', 'loss')
  })
})

describe('diagonalPreconditioner', () => {
  test.each([
    [Float64Array, 1e-15],
    [Float32Array, 1e-6],
  ] as [typeof Float64Array, number][])('%o: (d + λ)^-α', (Type, tolerance) => {
    const d = Type.of(0, 0.5, 3)
    const v = Type.of(1, -2, 4)
    const expected = [...d].map((x, i) => (v[i] as number) * (x + 0.1) ** -0.75)
    const inverse = diagonalPreconditioner(d, { damping: 0.1, exponent: 0.75 })
    expectRelative(inverse.matvec(v), expected, tolerance)
    expectRelative(diagonalPreconditioner(Type.of(2, 4)).matvec(Type.of(1, 1)), [0.5, 0.25], tolerance)
    expect(inverse.tags).toContain('positiveDefinite')
  })

  test('misuse', () => {
    expectError(
      () => diagonalPreconditioner(Float64Array.of(1, 0)),
      'ERR_OPTION',
      'diagonal[1]',
      'damping',
      'received 0',
    )
    const negative = Float64Array.of(1, 2, -1)
    expectError(() => diagonalPreconditioner(negative, { damping: 0.5 }), 'ERR_OPTION', 'diagonal[2]', 'received -1')
    expectError(() => diagonalPreconditioner(Float32Array.of(1e-40)), 'ERR_OPTION', 'diagonal[0]', 'damping')
    expectError(() => diagonalPreconditioner(Float64Array.of(Number.NaN)), 'ERR_OPTION', 'diagonal[0]')
    expectError(() => diagonalPreconditioner(new Float64Array(0)), 'ERR_SHAPE', 'diagonal')
    expectError(() => diagonalPreconditioner([1] as never), 'ERR_DTYPE', 'diagonal')
    expectError(() => diagonalPreconditioner(Float64Array.of(1), { exponent: -1 }), 'ERR_OPTION', 'exponent')
    expectError(() => diagonalPreconditioner(Float64Array.of(1), { dampin: 1 } as never), 'ERR_OPTION', "'damping'")
  })
})

describe('lbfgsPreconditioner', () => {
  const matrix = [
    [4, 1, 0],
    [1, 3, 1],
    [0, 1, 2],
  ]
  const operator = denseOperator(matrix, { dtype: 'float64', tags: ['positiveDefinite'] })
  const pair = (s: Float64Array<ArrayBuffer>) => ({ s, y: operator.matvec(s) })

  test('the last pair is solved exactly, and the operator is symmetric', () => {
    const pairs = [1, 2].map((seed) => pair(randomVector(3, seed)))
    const inverse = lbfgsPreconditioner(pairs)
    expectRelative(inverse.matvec(pairs[1]?.y as never), pairs[1]?.s as never, 1e-13)
    const [u, v] = [randomVector(3, 5), randomVector(3, 6)]
    expectClose([dot(u, inverse.matvec(v))], [dot(inverse.matvec(u), v)], 1e-13)
    expect(inverse.tags).toContain('positiveDefinite')
  })

  test('conjugate directions enough make it the inverse', () => {
    // s_i conjugate by Gram-Schmidt in the matrix's own inner product.
    const directions: Float64Array<ArrayBuffer>[] = []
    for (let i = 0; i < 3; i++) {
      const s = randomVector(3, 10 + i)
      for (const d of directions) {
        const factor = dot(d, operator.matvec(s)) / dot(d, operator.matvec(d))
        for (const [k, x] of d.entries()) s[k] = (s[k] as number) - factor * x
      }
      directions.push(s)
    }
    const inverse = lbfgsPreconditioner(directions.map(pair))
    const v = randomVector(3, 20)
    expectRelative(inverse.matvec(operator.matvec(v)), v, 1e-12)
  })

  test('preconditions a point, whose vectors have another order inside', () => {
    const point = classify(plain)
    const curvature = damped(point.ggn(), 1e-2)
    const pairs: { s: Float64Array<ArrayBuffer>; y: Float64Array<ArrayBuffer> }[] = []
    const options = { tolerance: 1e-10, maxIterations: 200 }
    const alone = conjugateGradientSync(curvature, point.gradient(), options)
    for (let i = 0; i < 20; i++) {
      const s = randomVector(point.parameterCount, 30 + i)
      pairs.push({ s, y: curvature.matvec(s) })
    }
    const preconditioner = lbfgsPreconditioner(pairs)
    const helped = conjugateGradientSync(curvature, point.gradient(), { ...options, preconditioner })
    expect(helped.reason).toBe('converged')
    expectRelative(helped.solution, alone.solution, 1e-6)
  })

  test('float32', () => {
    const inverse = lbfgsPreconditioner([{ s: Float32Array.of(1, 0), y: Float32Array.of(2, 1) }])
    expectRelative(inverse.matvec(Float32Array.of(2, 1)), [1, 0], 1e-6)
  })

  test('misuse', () => {
    const good = pair(randomVector(3, 1))
    const call = (pairs: unknown) => () => lbfgsPreconditioner(pairs as never)
    expectError(call([]), 'ERR_SHAPE', 'pairs')
    expectError(call(undefined), 'ERR_OPTION', 'pairs')
    expectError(call([good, { s: good.s }]), 'ERR_DTYPE', 'pairs[1].y')
    expectError(call([good, { ...good, z: 1 }]), 'ERR_OPTION', 'z')
    expectError(call([good, { s: good.s, y: new Float64Array(2).fill(1) }]), 'ERR_SHAPE', 'pairs[1].y')
    expectError(call([good, { s: good.s, y: new Float32Array(3).fill(1) }]), 'ERR_DTYPE', 'pairs[1].y')
    expectError(call([{ s: Float64Array.of(Number.NaN), y: Float64Array.of(1) }]), 'ERR_OPTION', 'pairs[0].s[0]')
    const negative = { s: good.s, y: (good.y as FloatArray).map((x) => -x) }
    expectError(call([good, negative]), 'ERR_OPTION', 'pairs[1]')
    // A step of ones makes the product the sum of y.
    const ones = { s: Float64Array.of(1, 1, 1), y: Float64Array.of(1, -3, 0.5) }
    expectError(call([good, ones]), 'ERR_OPTION', 'pairs[1]', "s'y above 0", 'received -1.5')
  })
})
