import { test } from 'vitest'
import { conjugateGradientSync, createModel, damped, dense, kfacPreconditioner, linearize, softmaxCrossEntropy, diagonalPreconditioner, lbfgsPreconditioner } from '../src/index.js'
import { randomRows } from './support/data.js'
test('x', () => {
  for (const [units, n, base, lam] of [[6,300,2,1e-3],[12,300,2,1e-3],[12,300,3,1e-2],[6,300,4,1e-4],[6,300,3,1e-4]] as const) {
    const model = createModel({ inputs: 4, layers: [dense(units, 'tanh'), dense(3)], dtype: 'float64', seed: 6 })
    const x = randomRows(n, 4, 3).map((row) => row.map((v, i) => v * base ** (i-2)))
    const point = linearize(model, { inputs: x, targets: x.map((_, i) => i % 3) }, softmaxCrossEntropy())
    const matrix = damped(point.ggn(), lam)
    const options = { tolerance: 1e-10, maxIterations: 2000 }
    const pairs: any[] = []
    const P = (p?: any) => { const r = conjugateGradientSync(matrix, point.gradient(), p ? { ...options, preconditioner: p } : options); return [r.reason, r.iterations] }
    console.log(units, n, base, lam, P(), P(kfacPreconditioner(point, { damping: lam, form: 'exact' })), P(kfacPreconditioner(point, { damping: lam })), P(kfacPreconditioner(point, { damping: lam, form: 'exact', samples: 30 })), P(diagonalPreconditioner(point.diagonal('ggn'), { damping: lam })))
    void pairs
  }
})
