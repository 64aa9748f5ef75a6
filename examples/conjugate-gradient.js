// Conjugate gradients on an operator of one's own: a hot plate whose material changes from place to place, with and
// without a preconditioner, each iteration watched.
//   node examples/conjugate-gradient.js
import { conjugateGradient, diagonalPreconditioner, functionOperator } from 'krylov'

// The heat equation on a grid of n × n cells, cold at the border: what flows out of each cell, by the conductivities k
// of the walls between. No matrix, only its product with a vector.
const n = 60
const conductivity = (x, y) => 10 ** (1.5 * Math.sin(7 * x) * Math.cos(5 * y)) // from 1/30 to 30
const wall = (i, j, di, dj) => conductivity((i + di / 2) / n, (j + dj / 2) / n)
const neighbours = [
  [1, 0],
  [-1, 0],
  [0, 1],
  [0, -1],
]
const diagonal = new Float64Array(n * n)
const flow = functionOperator({
  size: n * n,
  dtype: 'float64',
  tags: ['positiveDefinite'],
  matvec: (heat, out) => {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0
        for (const [di, dj] of neighbours) {
          const inside = i + di >= 0 && i + di < n && j + dj >= 0 && j + dj < n
          sum += wall(i, j, di, dj) * (heat[i * n + j] - (inside ? heat[(i + di) * n + j + dj] : 0))
        }
        out[i * n + j] = sum
      }
    }
  },
})
for (let i = 0; i < n; i++) {
  for (let j = 0; j < n; j++) diagonal[i * n + j] = neighbours.reduce((sum, [di, dj]) => sum + wall(i, j, di, dj), 0)
}

const heating = new Float64Array(n * n)
heating[(n / 2) * n + n / 2] = 1
for (const preconditioner of [undefined, diagonalPreconditioner(diagonal)]) {
  console.log(preconditioner === undefined ? 'as it is' : 'divided by its diagonal')
  const { solution, reason, iterations, residualNorm } = await conjugateGradient(flow, heating, {
    ...(preconditioner === undefined ? {} : { preconditioner }),
    tolerance: 1e-8,
    maxIterations: 2000,
    onIteration: ({ iteration, residualNorm: norm, quadratic }) => {
      if (iteration % 200 === 0)
        console.log(`  iteration ${iteration}: residual ${norm.toExponential(1)}, quadratic ${quadratic.toFixed(8)}`)
    },
  })
  console.log(`  ${reason} after ${iterations} iterations: residual ${residualNorm.toExponential(1)}`)
  console.log(`  hottest ${Math.max(...solution)}`)
}
