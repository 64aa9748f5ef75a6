// Derivatives at a point: against differences, against each other, and against loops of one sample.
import { describe, expect, test } from 'vitest'
import {
  binaryCrossEntropy,
  createModel,
  dense,
  dropout,
  layerNorm,
  linearize,
  meanSquaredError,
  residual,
  sgd,
  softmaxCrossEntropy,
  train,
} from '../src/index.js'
import { expectClose, expectRelative, largest } from './support/compare.js'
import { random, randomRows } from './support/data.js'
import { expectError } from './support/errors.js'

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0
  for (let k = 0; k < a.length; k++) sum += (a[k] as number) * (b[k] as number)
  return sum
}

const model = createModel({
  inputs: 4,
  layers: [dense(6, 'tanh'), residual([layerNorm(), dense(6, 'gelu')]), dropout(0.5), dense(3)],
  dtype: 'float64',
  seed: 4,
})
const rows = 7
const inputs = randomRows(rows, 4, 1)
const targets = [0, 1, 2, 2, 1, 0, 1]
const next = random(9)
const sampleWeights = Array.from({ length: rows }, () => 0.5 + next())
const batch = { inputs, targets, sampleWeights }
const loss = softmaxCrossEntropy({ labelSmoothing: 0.1 })
const size = model.parameterCount
const direction = Float64Array.from({ length: size }, () => 2 * next() - 1)

/** Four-point difference of a function of the parameters along the direction. */
function difference(f: () => ArrayLike<number>): number[] {
  const start = model.parameters
  const at = (step: number): number[] => {
    model.setParameters(start.map((w, p) => w + step * (direction[p] as number)))
    return Array.from(f())
  }
  const h = 1e-4
  const [a, b, c, d] = [at(-2 * h), at(-h), at(h), at(2 * h)]
  model.setParameters(start)
  return a.map((left, k) => (left - 8 * (b[k] as number) + 8 * (c[k] as number) - (d[k] as number)) / (12 * h))
}

describe('a point', () => {
  const l2 = 0.01
  const point = linearize(model, batch, loss, { l2 })

  test('sizes', () => {
    expect(point.sampleCount).toBe(rows)
    expect(point.parameterCount).toBe(size)
    expect(point.dtype).toBe('float64')
    expect(point.outputs.shape).toEqual([rows, 3])
    expect(point.outputs.data).toEqual(model.predict(inputs).data)
  })

  test('the gradient is the slope of the loss', () => {
    const slope = difference(() => [linearize(model, batch, loss, { l2 }).loss])
    expectRelative([dot(point.gradient(), direction)], slope, 1e-9)
  })

  test('jvp is the slope of the outputs, vjp its adjoint', () => {
    const jvp = point.jvp(direction)
    expect(jvp.shape).toEqual([rows, 3])
    expectRelative(
      jvp.data,
      difference(() => model.predict(inputs).data),
      1e-9,
    )
    const u = jvp.data.map(() => 2 * next() - 1)
    const expected = dot(u, jvp.data)
    expectClose([dot(point.vjp(u), direction)], [expected], 1e-12 * largest(u) * rows * 3)
    expect(point.vjp({ data: u, shape: [rows, 3] })).toEqual(point.vjp(u))
  })

  test('per-sample gradients: sums, rows, norms, and one sample alone', () => {
    const all = point.perSampleGradients()
    expect(all.shape).toEqual([rows, size])
    const gradient = linearize(model, batch, loss).gradient()
    const mean = new Float64Array(size)
    for (let k = 0; k < all.data.length; k++)
      mean[k % size] = (mean[k % size] as number) + (all.data[k] as number) / rows
    expectClose(mean, gradient, 1e-13)
    const part = point.perSampleGradients({ first: 2, count: 3 })
    expect(part.shape).toEqual([3, size])
    expect(part.data).toEqual(all.data.slice(2 * size, 5 * size))
    const norms = point.perSampleGradientNorms()
    for (let row = 0; row < rows; row++) {
      const own = all.data.subarray(row * size, (row + 1) * size)
      expectRelative([norms[row] as number], [Math.sqrt(dot(own, own))], 1e-12)
      const alone = linearize(
        model,
        { inputs: [inputs[row] ?? []], targets: [targets[row] ?? 0], sampleWeights: [sampleWeights[row] ?? 1] },
        loss,
      )
      expectClose(alone.gradient(), own, 1e-13, `sample ${row}`)
      expectClose([alone.loss], [point.lossPerSample[row] as number], 1e-13)
    }
  })

  test('out is filled and returned', () => {
    const out = new Float64Array(size)
    expect(point.gradient(out)).toBe(out)
    expect(out).toEqual(point.gradient())
    expect(point.vjp(new Float64Array(rows * 3), out)).toBe(out)
    expect([...out].every((x) => x === 0)).toBe(true)
    const many = new Float64Array(2 * size)
    expect(point.perSampleGradients({ out: many, count: 2 }).data).toBe(many)
  })

  test('a point keeps its own parameters', () => {
    const before = point.gradient()
    const start = model.parameters
    model.setParameters(start.map((w) => w + 1))
    expect(point.gradient()).toEqual(before)
    expect(point.jvp(direction).data).toEqual(linearizeAt(start).jvp(direction).data)
    model.setParameters(start)
  })

  function linearizeAt(parameters: Float64Array) {
    const now = model.parameters
    model.setParameters(parameters)
    const other = linearize(model, batch, loss)
    model.setParameters(now)
    return other
  }

  test('the same bits twice', () => {
    const again = linearize(model, batch, loss, { l2 })
    expect(again.loss).toBe(point.loss)
    expect(again.gradient()).toEqual(point.gradient())
  })
})

test('a workspace smaller than the batch', () => {
  const whole = linearize(model, batch, loss, { l2: 0.01 })
  for (const batchSize of [1, 3, 100]) {
    const point = linearize(model, batch, loss, { l2: 0.01, batchSize })
    expect(point.loss).toBe(whole.loss)
    expect(point.outputs).toEqual(whole.outputs)
    expect(point.jvp(direction)).toEqual(whole.jvp(direction))
    expect(point.perSampleGradients({ first: 2, count: 4 })).toEqual(whole.perSampleGradients({ first: 2, count: 4 }))
    expectRelative(point.gradient(), whole.gradient(), 1e-12)
    for (const kind of ['hessian', 'ggn', 'fisher', 'empiricalFisher'] as const) {
      expectRelative(point[kind]().matvec(direction), whole[kind]().matvec(direction), 1e-12)
    }
  }
  expectError(() => linearize(model, batch, loss, { batchSize: 0 }), 'ERR_OPTION', 'batchSize', '0')
  expectError(() => linearize(model, batch, loss, { batchSise: 4 } as never), 'ERR_OPTION', "did you mean 'batchSize'")
})

test('both reductions', () => {
  const mean = linearize(model, batch, loss)
  const sum = linearize(model, batch, softmaxCrossEntropy({ labelSmoothing: 0.1, reduction: 'sum' }))
  expectClose(
    sum.gradient(),
    mean.gradient().map((g) => g * rows),
    1e-12,
  )
  expect(sum.lossPerSample).toEqual(mean.lossPerSample)
})

test('heads', () => {
  const heads = createModel({
    inputs: 4,
    layers: [dense(5, 'tanh')],
    heads: { kind: [dense(3)], flag: [dense(1)] },
    dtype: 'float64',
  })
  const data = { inputs, targets: { kind: targets, flag: targets.map((k) => [k === 1 ? 1 : 0]) } }
  const losses = { kind: softmaxCrossEntropy(), flag: { loss: binaryCrossEntropy(), weight: 0.25 } }
  const point = linearize(heads, data, losses)
  const parts = [
    linearize(heads, data, { kind: softmaxCrossEntropy(), flag: { loss: binaryCrossEntropy(), weight: 0 } }),
    linearize(heads, data, { kind: { loss: softmaxCrossEntropy(), weight: 0 }, flag: binaryCrossEntropy() }),
  ] as const
  expectClose([point.loss], [parts[0].loss + 0.25 * parts[1].loss], 1e-13)
  const [a, b] = [parts[0].gradient(), parts[1].gradient()]
  expectClose(
    point.gradient(),
    a.map((g, k) => g + 0.25 * (b[k] as number)),
    1e-13,
  )
  const v = Float64Array.from({ length: heads.parameterCount }, (_, k) => Math.sin(k))
  const jvp = point.jvp(v)
  expect([jvp.kind.shape, jvp.flag.shape]).toEqual([
    [rows, 3],
    [rows, 1],
  ])
  const u = { kind: jvp.kind.data.map(Math.cos), flag: jvp.flag.data.map(Math.sin) }
  const expected = dot(u.kind, jvp.kind.data) + dot(u.flag, jvp.flag.data)
  expectClose([dot(point.vjp(u), v)], [expected], 1e-12)
  expect(point.outputs.flag.data).toEqual(heads.predict(inputs).flag.data)
})

test('a batch of one and float32', () => {
  const small = createModel({ inputs: 2, layers: [dense(3, 'relu'), dense(1)] })
  const point = linearize(small, { inputs: [[1, 2]], targets: [[0.5]] }, meanSquaredError())
  expect(point.gradient()).toBeInstanceOf(Float32Array)
  expect(point.perSampleGradients().data).toEqual(point.gradient())
})

describe('misuse', () => {
  const point = linearize(model, batch, loss)
  test('wrong arrays', () => {
    expectError(() => point.gradient(new Float64Array(3)), 'ERR_SHAPE', 'out', `length ${size}`, 'length 3')
    expectError(() => point.gradient(new Float32Array(size) as never), 'ERR_DTYPE', 'out', 'Float64Array')
    expectError(() => point.jvp(new Float64Array(1)), 'ERR_SHAPE', 'v')
    expectError(() => point.vjp({ data: new Float64Array(21), shape: [3, 7] }), 'ERR_SHAPE', 'u', '[7, 3]', '[3, 7]')
    expectError(() => point.vjp(4 as never), 'ERR_DTYPE', 'u')
    expectError(() => point.perSampleGradients({ first: 8 }), 'ERR_OPTION', 'first', '8')
    expectError(() => point.perSampleGradients({ first: 5, count: 3 }), 'ERR_OPTION', 'count')
    expectError(() => point.perSampleGradients({ frist: 5 } as never), 'ERR_OPTION', "did you mean 'first'")
    const shared = new Float64Array(new SharedArrayBuffer(8 * size))
    expectError(() => point.gradient(shared as never), 'ERR_DTYPE', 'out', 'shared')
  })

  test('a disposed point', () => {
    const other = linearize(model, batch, loss)
    other.dispose()
    expectError(() => other.gradient(), 'ERR_STATE')
  })

  test('a busy model', async () => {
    const other = createModel({ inputs: 4, layers: [dense(6, 'tanh'), dense(3)] })
    const run = train(other, { inputs, targets }, { loss, optimizer: sgd(), epochs: 1_000_000 })
    expectError(() => linearize(other, { inputs, targets }, loss), 'ERR_BUSY')
    run.abort()
    expect((await run).reason).toBe('aborted')
    linearize(other, { inputs, targets }, loss).dispose()
  })
})
