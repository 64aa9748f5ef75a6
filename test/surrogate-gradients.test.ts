// Sign and step units: exact forward, surrogate backward, what is made of the two and what is refused.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { DType, Model, Surrogate } from '../src/index.js'
import * as k from '../src/index.js'
import { resolveActivation } from '../src/model/activations.js'
import { expectClose, largest } from './support/compare.js'

const folder = mkdtempSync(join(tmpdir(), 'krylov-surrogate-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const beta = 1.5
const slopes: Record<Surrogate, (z: number) => number> = {
  erf: (z) => (2 / Math.sqrt(Math.PI)) * beta * Math.exp(-((beta * z) ** 2)),
  straightThrough: () => 1,
  clippedStraightThrough: (z) => (Math.abs(beta * z) <= 1 ? 1 : 0),
  tanh: (z) => beta / Math.cosh(beta * z) ** 2,
  sigmoid: (z) => (2 * beta) / ((1 + Math.exp(-beta * z)) * (1 + Math.exp(beta * z))),
  superSpike: (z) => (1 + Math.abs(beta * z)) ** -2,
  arctan: (z) => 1 / (1 + ((Math.PI * beta * z) / 2) ** 2),
  triangle: (z) => Math.max(0, 1 - Math.abs(beta * z)),
}
const optionsOf = (surrogate: Surrogate) => (surrogate === 'straightThrough' ? { surrogate } : { surrogate, beta })
const kinds = { sign: k.sign, step: k.step } as const

/** Multiples of 1/32, so that the sums of both types are exact and no sign depends on a rounding. */
let state = 7
const dyadic = (size: number): number => {
  state = (state * 48271) % 2147483647
  return (2 * Math.floor((state / 2147483647) * 32 * size) - Math.floor(32 * size)) / 32
}
const widths = [4, 9, 6, 2] as const
const count = widths.slice(1).reduce((sum, width, layer) => sum + width * ((widths[layer] ?? 0) + 1), 0)
const parameters = Float64Array.from({ length: count }, () => dyadic(1) + 1 / 64)
const inputs = Array.from({ length: 7 }, () => Array.from({ length: 4 }, () => dyadic(1)))
const targets = inputs.map(() => [dyadic(1), dyadic(1)])

/** Outputs and the Jacobian with surrogate derivatives, [outputs, P], of one input in plain loops. */
function plain(x: readonly number[], kind: 'sign' | 'step', slope: (z: number) => number) {
  const act = (z: number): number => (kind === 'sign' ? Math.sign(z) : Number(z > 0))
  const half = kind === 'sign' ? 1 : 0.5
  const rows: { input: number[]; z: number[]; offset: number }[] = []
  let a = [...x]
  let offset = 0
  for (let layer = 0; layer + 1 < widths.length; layer++) {
    const units = widths[layer + 1] ?? 0
    const input = a
    const z = Array.from({ length: units }, (_, o) =>
      input.reduce(
        (sum, value, i) => sum + value * (parameters[offset + o * input.length + i] ?? 0),
        parameters[offset + units * input.length + o] ?? 0,
      ),
    )
    rows.push({ input, z, offset })
    offset += units * (input.length + 1)
    a = layer + 2 < widths.length ? z.map(act) : z
  }
  const jacobian = a.map((_, output) => {
    const row = new Float64Array(count)
    let delta = a.map((_, o) => Number(o === output))
    for (let layer = rows.length - 1; layer >= 0; layer--) {
      const { input, z, offset: first } = rows[layer] as (typeof rows)[number]
      if (layer < rows.length - 1) delta = delta.map((d, o) => d * half * slope(z[o] ?? 0))
      delta.forEach((d, o) => {
        input.forEach((value, i) => {
          row[first + o * input.length + i] = d * value
        })
        row[first + delta.length * input.length + o] = d
      })
      delta = input.map((_, i) =>
        delta.reduce((sum, d, o) => sum + d * (parameters[first + o * input.length + i] ?? 0), 0),
      )
    }
    return row
  })
  return { outputs: a, jacobian }
}

function network(kind: 'sign' | 'step', surrogate: Surrogate, dtype: DType): Model<DType, never> {
  const units = kinds[kind](optionsOf(surrogate))
  const model = k.createModel({ inputs: 4, layers: [k.dense(9, units), k.dense(6, units), k.dense(2)], dtype })
  model.setParameters(dtype === 'float64' ? parameters : Float32Array.from(parameters))
  return model
}

describe.each(['sign', 'step'] as const)('%s', (kind) => {
  test.each(k.surrogates)('%s: forward is exact, backward has the surrogate', (surrogate) => {
    const want = inputs.map((x) => plain(x, kind, slopes[surrogate]))
    for (const dtype of ['float32', 'float64'] as const) {
      const point = k.linearize(network(kind, surrogate, dtype), { inputs, targets }, k.meanSquaredError())
      expect([...point.outputs.data], dtype).toEqual(want.flatMap(({ outputs }) => outputs))
      // Two slopes of at most 24 roundings each, and sums of at most 9 terms.
      const unit = dtype === 'float32' ? 2 ** -24 : 1e-14
      const jacobian = want.flatMap((sample) => sample.jacobian.flatMap((row) => [...row]))
      expectClose(point.outputJacobians().data, jacobian, 72 * unit * largest(jacobian), dtype)
      const gradient = new Float64Array(count)
      want.forEach(({ outputs, jacobian: rows }, sample) => {
        rows.forEach((row, c) => {
          const error = (outputs[c] ?? 0) - (targets[sample]?.[c] ?? 0)
          row.forEach((value, p) => {
            gradient[p] = (gradient[p] ?? 0) + (error * value) / inputs.length
          })
        })
      })
      expectClose(
        point.gradient(),
        gradient,
        72 * unit * largest(jacobian) * largest(targets.flat()) * 8,
        `${dtype} gradient`,
      )
      point.dispose()
    }
  })

  test('the options of its surrogate', () => {
    const factory = kinds[kind]
    expect(factory()).toEqual({ kind, surrogate: 'erf', beta: 1 })
    expect(factory({ surrogate: 'straightThrough' })).toEqual({ kind, surrogate: 'straightThrough' })
    expect(resolveActivation(kind, 'activation')).toEqual(factory())
    expect(k.activationNames).toContain(kind)
    for (const surrogate of k.surrogates) {
      const spec = factory(optionsOf(surrogate))
      expect(resolveActivation(JSON.parse(JSON.stringify(spec)), 'activation')).toEqual(spec)
    }
    const code = (body: () => unknown): string => {
      try {
        body()
      } catch (error) {
        return error instanceof k.KrylovError ? `${error.code} ${error.message}` : String(error)
      }
      return ''
    }
    expect(code(() => factory({ surrogate: 'fast' as 'erf' }))).toMatch(`ERR_OPTION ${kind} surrogate`)
    expect(code(() => factory({ beta: 0 }))).toMatch(`ERR_OPTION ${kind} beta`)
    expect(code(() => factory({ beta: Number.NaN }))).toMatch(`ERR_OPTION ${kind} beta`)
    expect(code(() => factory({ surrogate: 'straightThrough', beta: 1 }))).toMatch("none for 'straightThrough'")
    expect(code(() => factory({ scale: 1 } as object))).toMatch('scale')
    expect(code(() => k.dense(3, { kind, slope: 1 } as never))).toMatch('slope')
  })

  test('0 and -0 are 0, and a NaN is told', () => {
    const model = k.createModel({ inputs: 1, layers: [k.dense(1, kind)], dtype: 'float64' })
    model.setParameters(Float64Array.of(1, 0))
    expect([...model.predict([[0], [-0], [1e-300], [-1e-300]]).data].map((x) => x + 0)).toEqual(
      kind === 'sign' ? [0, 0, 1, -1] : [0, 0, 1, 0],
    )
  })
})

describe('tangent kernels', () => {
  test.each(k.surrogates)('%s: ntk() pairs surrogate Jacobians', (surrogate) => {
    const point = k.linearize(network('sign', surrogate, 'float64'), { inputs, targets }, k.meanSquaredError())
    const rows = inputs.map((x) => plain(x, 'sign', slopes[surrogate]).jacobian)
    const trace = rows.flatMap((left) =>
      rows.map((right) =>
        left.reduce((sum, row, c) => sum + row.reduce((s, value, p) => s + value * (right[c]?.[p] ?? 0), 0), 0),
      ),
    )
    expectClose(point.ntk({ outputs: 'trace' }).data, trace, 1e-12 * largest(trace))
    point.dispose()
  })

  test('of one output in the tangent parametrisation: that of finiteSurrogateKernel', () => {
    const sizes = [4, 20, 15, 1]
    const [weightStd, biasStd] = [1.2, 0.4]
    const size = sizes.slice(1).reduce((sum, width, layer) => sum + width * ((sizes[layer] ?? 0) + 1), 0)
    const normal = Float64Array.from({ length: size }, () => dyadic(1) + 1 / 64)
    const scales = sizes.slice(1).flatMap((width, layer) => {
      const fan = sizes[layer] ?? 1
      return [
        ...new Array<number>(width * fan).fill(weightStd / Math.sqrt(fan)),
        ...new Array<number>(width).fill(biasStd),
      ]
    })
    const units = k.sign({ surrogate: 'superSpike', beta })
    const layers = [k.dense(20, units), k.dense(15, units), k.dense(1)]
    const model = k.createModel({ inputs: 4, layers, dtype: 'float64' })
    model.setParameters(normal.map((value, p) => value * (scales[p] ?? 0)))
    const point = k.linearize(model, { inputs, targets: inputs.map(() => [0]) }, k.meanSquaredError())
    const { data } = point.outputJacobians()
    const scaled = data.map((value, at) => value * (scales[at % size] ?? 0))
    const pairs = (from: number): number[] =>
      inputs.flatMap((_, i) =>
        inputs.map((_, j) => {
          let sum = 0
          for (let p = from; p < size; p++) sum += (scaled[i * size + p] ?? 0) * (scaled[j * size + p] ?? 0)
          return sum
        }),
      )
    const options = {
      surrogate: 'superSpike',
      beta,
      weightStd,
      biasStd,
      widths: [20, 15, 1],
      parameters: normal,
    } as const
    const both = k.finiteSurrogateKernel({ ...options, left: inputs, derivative: 'surrogate' })
    expectClose(both.kernel.data, pairs(0), 1e-12 * largest(both.kernel.data))
    expectClose(both.outputs, point.outputs.data, 1e-13)
    // With the true derivative at the left only the last layer has a part.
    const left = k.finiteSurrogateKernel({ ...options, left: inputs })
    expectClose(left.kernel.data, pairs(size - 16), 1e-12 * largest(left.kernel.data))
    expect(largest(both.kernel.data)).toBeGreaterThan(1.01 * largest(left.kernel.data))
    point.dispose()
  })
})

describe('what asks for a derivative is refused', () => {
  const model = () => network('step', 'arctan', 'float64')
  const loss = k.meanSquaredError()
  const refusal = /without sign and step units/

  test('at a point', () => {
    const point = k.linearize(model(), { inputs, targets }, loss)
    const refused: Record<string, () => unknown> = {
      jvp: () => point.jvp(parameters),
      jacobian: () => point.jacobian(),
      hessian: () => point.hessian(),
      ggn: () => point.ggn(),
      fisher: () => point.fisher(),
      'drawn fisher': () => point.fisher({ samples: 1 }),
      'ggn diagonal': () => point.diagonal('ggn'),
      'sampled diagonal': () => point.diagonal('sampledGgn'),
      beckerLeCun: () => point.diagonal('beckerLeCun'),
      gaussNewtonLeCun: () => point.diagonal('gaussNewtonLeCun'),
      kroneckerFactors: () => point.kroneckerFactors(),
      curvatureRows: () => point.curvatureRows(),
      curvatureNorms: () => point.curvatureNorms(),
    }
    for (const [name, body] of Object.entries(refused)) expect(body, name).toThrow(refusal)
    try {
      point.hessian()
    } catch (error) {
      expect((error as k.KrylovError).code).toBe('ERR_OPTION')
    }
    point.dispose()
  })

  test('gradients and what is made of them are not', () => {
    const point = k.linearize(model(), { inputs, targets }, loss)
    const { data } = point.perSampleGradients()
    const v = parameters.map((_, p) => Math.cos(p))
    const want = new Float64Array(count)
    for (let i = 0; i < inputs.length; i++) {
      const g = Float64Array.from(data.subarray(i * count, (i + 1) * count))
      const product = g.reduce((sum, value, p) => sum + value * (v[p] ?? 0), 0)
      g.forEach((value, p) => {
        want[p] = (want[p] ?? 0) + (value * product) / inputs.length
      })
    }
    expectClose(point.empiricalFisher().matvec(v), want, 1e-12 * largest(want))
    const mean = point.gradient()
    expectClose(
      mean,
      mean.map((_, p) => inputs.reduce((sum, _, i) => sum + (data[i * count + p] ?? 0), 0) / inputs.length),
      1e-13 * largest(data),
    )
    const rows = k.linearize(model(), { inputs, targets }, loss).outputJacobians().data
    const vjp = mean.map((_, p) =>
      inputs.reduce((sum, _, i) => sum + (rows[2 * i * count + p] ?? 0) + (rows[(2 * i + 1) * count + p] ?? 0), 0),
    )
    expectClose(point.vjp(new Float64Array(2 * inputs.length).fill(1)), vjp, 1e-12 * largest(vjp))
    expect(largest(point.diagonal('empiricalFisher'))).toBeGreaterThan(0)
    point.dispose()
  })

  test.each([
    ['newtonCG', k.newtonCG(), /optimizer/],
    ['levenbergMarquardt', k.levenbergMarquardt(), /optimizer/],
    ['kfac', k.kfac(), /optimizer/],
    ['adahessian', k.adahessian(), /optimizer/],
  ])('%s does not train it', async (_, optimizer, message) => {
    const run = async () => k.train(model(), { inputs, targets }, { loss, optimizer, epochs: 1 })
    await expect(run()).rejects.toThrow(message)
    await expect(run()).rejects.toThrow(/sign or step units/)
  })

  test('nor the step size by the softmax radius, nor the record of curvature', async () => {
    const labels = { inputs, targets: inputs.map((_, i) => i % 2) }
    const options = { loss: k.softmaxCrossEntropy(), optimizer: k.sgd({ learningRate: 0.1 }), epochs: 1 }
    const stepped = async () => k.train(model(), labels, { ...options, stepSize: k.softmaxRadiusControl() })
    await expect(stepped()).rejects.toThrow(/stepSize/)
    await expect(stepped()).rejects.toThrow(refusal)
    const recorded = async () => k.train(model(), labels, { ...options, record: { stability: true } })
    await expect(recorded()).rejects.toThrow(refusal)
  })

  test('outputs that are signs have no softmax', () => {
    const squashed = k.createModel({ inputs: 4, layers: [k.dense(2, 'sign')] })
    expect(() => k.linearize(squashed, { inputs, targets: inputs.map(() => 0) }, k.softmaxCrossEntropy())).toThrow(
      /loss/,
    )
  })
})

describe('training', () => {
  // Two half moons.
  const rows = 300
  const data = {
    inputs: Array.from({ length: rows }, (_, row) => {
      const angle = (Math.PI * (row >> 1)) / (rows / 2)
      const [x, y] = row % 2 === 0 ? [Math.cos(angle), Math.sin(angle)] : [1 - Math.cos(angle), 0.4 - Math.sin(angle)]
      return [2 * (x - 0.5) + 0.05 * Math.sin(7 * row), 2 * (y - 0.2) + 0.05 * Math.cos(5 * row)]
    }),
    targets: Array.from({ length: rows }, (_, row) => row % 2),
  }
  const loss = k.softmaxCrossEntropy()
  const optimizer = k.adam({ learningRate: k.cosine({ learningRate: 0.02 }) })
  const options = { loss, optimizer, batchSize: 20, epochs: 60, seed: 3 }
  const make = (units: k.ActivationOption) =>
    k.createModel({ inputs: 2, layers: [k.dense(16, units), k.dense(16, units), k.dense(2)], seed: 5 })
  const trained = async (units: k.ActivationOption) => {
    const model = make(units)
    await k.train(model, data, options)
    return k.evaluate(model, data, { loss })
  }

  test.each([
    ['sign', 'erf'],
    ['sign', 'tanh'],
    ['sign', 'superSpike'],
    ['sign', 'arctan'],
    ['sign', 'triangle'],
    ['step', 'erf'],
    ['step', 'clippedStraightThrough'],
    ['step', 'sigmoid'],
  ] as const)('%s with %s learns what the true derivative does not', async (kind, surrogate) => {
    // Nothing is within 1e-30 of 0: the backward pass stops at the last layer.
    const without = await trained(kinds[kind]({ surrogate: 'clippedStraightThrough', beta: 1e30 }))
    const learnt = await trained(kinds[kind]({ surrogate, beta: 1 }))
    expect(learnt.loss).toBeLessThan(0.25 * without.loss)
    expect(without.accuracy).toBeLessThan(0.95)
    expect(learnt.accuracy).toBeGreaterThan(0.97)
  })

  test('any number of threads, a resumed run and a file give the same bits', async () => {
    const units = k.sign({ surrogate: 'tanh', beta: 2 })
    const clipped = {
      ...options,
      optimizer: k.adam({ learningRate: 0.01 }),
      epochs: 6,
      clipping: k.sampleClipping({ threshold: 0.5 }),
    }
    const whole = make(units)
    await k.train(whole, data, { ...clipped, threads: 1 })
    const first = make(units)
    const run = k.train(first, data, { ...clipped, epochs: 2, threads: 2 })
    await run
    await k.train(first, data, { ...clipped, threads: 2, resume: run.state() })
    expect(first.parameters).toEqual(whole.parameters)
    const path = join(folder, 'signs.safetensors')
    await k.save(whole, path)
    const again = await k.loadModel(path)
    expect(again.spec).toEqual(whole.spec)
    expect(again.predict(data.inputs).data).toEqual(whole.predict(data.inputs).data)
    expect(whole.summary()).toContain('dense 16 sign')
    expect(JSON.parse(JSON.stringify(whole.spec)).layers[0].activation).toEqual({
      kind: 'sign',
      surrogate: 'tanh',
      beta: 2,
    })
  })
})
