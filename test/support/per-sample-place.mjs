// What one sample gives at every place of a batch, with the instruction set of KRYLOV_ISA: prints the set, how many
// comparisons were made and those that differ in a bit.
import {
  createModel,
  createTrainer,
  dense,
  layerNorm,
  linearize,
  residual,
  sampleClipping,
  sgd,
  softmaxCrossEntropy,
  systemInfo,
} from '../../dist/index.js'

const width = 21
const loss = softmaxCrossEntropy()
const nets = {
  dense: [dense(19, 'tanh'), dense(17, 'gelu'), dense(35, 'relu'), dense(3)],
  'without bias': [dense(33, 'silu', { bias: false }), dense(3, 'identity', { bias: false })],
  'layerNorm and residual': [dense(18, 'elu'), layerNorm(), residual([dense(6, 'sigmoid'), dense(18)]), dense(3)],
}
let comparisons = 0
const different = []

function compare(a, b, what) {
  comparisons++
  if (a.length !== b.length || a.some((value, i) => value !== b[i])) different.push(what)
}

/** Rows `index` of a fixed table. */
function batch(index, columns, weights) {
  const data = new Float64Array(index.length * columns)
  index.forEach((row, at) => {
    for (let k = 0; k < columns; k++) data[at * columns + k] = Math.sin(1 + row * 7.3 + k * (1 + row))
  })
  const targets = Int32Array.from(index, (row) => row % 3)
  return { inputs: { data, shape: [index.length, columns] }, targets, ...(weights && { sampleWeights: weights }) }
}

function quantities(model, rows, what) {
  const index = Array.from({ length: rows }, (_, i) => i)
  // 11 has no factor in common with the numbers of rows below.
  const moved = index.map((i) => (11 * i + 5) % rows)
  const columns = model.inputs
  const read = (order) => {
    const point = linearize(model, batch(order, columns), loss)
    const found = {
      gradients: point.perSampleGradients().data,
      norms: point.perSampleGradientNorms(),
      squares: point.perSampleSquaredNorms({ by: 'tensor' }),
    }
    point.dispose()
    return found
  }
  const part = (all, at, count) => all.subarray((at * all.length) / count, ((at + 1) * all.length) / count)
  const first = read(index)
  const second = read(moved)
  moved.forEach((row, at) => {
    const alone = rows < 20 ? read([row]) : second
    for (const [other, count, place] of [
      [second, rows, at],
      [alone, alone === second ? rows : 1, alone === second ? at : 0],
    ]) {
      compare(part(first.gradients, row, rows), part(other.gradients, place, count), `${what}: gradient ${row}`)
      compare(part(first.norms, row, rows), part(other.norms, place, count), `${what}: norm ${row}`)
      compare(part(first.squares.data, row, rows), part(other.squares.data, place, count), `${what}: squares ${row}`)
    }
  })
}

/** A step in which all samples but one weigh nothing moves by that one's clipped gradient. */
function clippedStep(create, rows, place, by, threads) {
  const index = Array.from({ length: rows }, (_, i) => (i === place ? 100 : i))
  const weights = Float64Array.from(index, (_, i) => (i === place ? 1 : 0))
  const model = create()
  const trainer = createTrainer(model, {
    loss,
    optimizer: sgd({ learningRate: 1 }),
    threads,
    clipping: sampleClipping({ threshold: 0.05, by }),
  })
  const { numbers } = trainer.step(batch(index, width, weights))
  trainer.dispose()
  return [...model.parameters, numbers.largestGradientNorm, numbers.clippedShare]
}

for (const dtype of ['float32', 'float64']) {
  for (const [name, layers] of Object.entries(nets)) {
    const create = () => createModel({ inputs: width, layers, seed: 6, dtype })
    for (const rows of [1, 7, 13, 61]) quantities(create(), rows, `${name}, ${dtype}, ${rows} rows`)
    for (const by of ['sample', 'layer']) {
      for (const rows of [1, 7, 61]) {
        const expected = clippedStep(create, rows, 0, by, 1)
        for (const threads of [1, 2]) {
          for (const place of [0, 3, 5, 30, 60].filter((at) => at < rows)) {
            const what = `${name}, ${dtype}, clipped by ${by}, ${rows} rows, ${threads} threads, place ${place}`
            compare(expected, clippedStep(create, rows, place, by, threads), what)
          }
        }
      }
    }
  }
  // More than goes into caches, and so much work that two threads share it; rows alone go the other way.
  const large = createModel({ inputs: 401, layers: [dense(301, 'relu'), dense(3)], seed: 2, dtype })
  const rows = 41
  const index = Array.from({ length: rows }, (_, i) => i)
  const point = linearize(large, batch(index, 401), loss)
  const all = point.perSampleGradients().data
  for (const row of [0, 1, 20, 40]) {
    const size = large.parameterCount
    const alone = point.perSampleGradients({ first: row, count: 1 }).data
    compare(all.subarray(row * size, (row + 1) * size), alone, `${dtype}, a large result, row ${row}`)
  }
  point.dispose()
  quantities(large, rows, `large, ${dtype}`)
}

console.log(JSON.stringify({ set: systemInfo().instructionSet, comparisons, different: different.slice(0, 20) }))
