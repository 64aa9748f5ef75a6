// Functions to be minimised, as the golden files name them.
import type { MinimizeProblem } from '../../src/index.js'

type Problem = Required<Omit<MinimizeProblem, 'dtype' | 'ggnProduct' | 'residuals'>>

/** Σ 100 (x_{i+1} − x_i²)² + (1 − x_i)². */
export const rosenbrock: Problem = {
  value: (x) => rosenbrock.valueAndGradient(x, new Float64Array(x.length)),
  valueAndGradient: (x, gradient) => {
    gradient.fill(0)
    let f = 0
    for (let i = 0; i + 1 < x.length; i++) {
      const [at = 0, next = 0] = [x[i], x[i + 1]]
      const a = next - at * at
      f += 100 * a * a + (1 - at) ** 2
      gradient[i] = (gradient[i] as number) - 400 * a * at - 2 * (1 - at)
      gradient[i + 1] = 200 * a
    }
    return f
  },
  hessianProduct: (x, v, out) => {
    out.fill(0)
    for (let i = 0; i + 1 < x.length; i++) {
      const [at = 0, next = 0, a = 0, b = 0] = [x[i], x[i + 1], v[i], v[i + 1]]
      out[i] = (out[i] as number) + (1200 * at * at - 400 * next + 2) * a - 400 * at * b
      out[i + 1] = (out[i + 1] as number) - 400 * at * a + 200 * b
    }
  },
}

/** Mean log-loss of features @ w for labels 0 or 1, and ½ l2 ‖w‖². */
export function logistic(
  features: readonly (readonly number[])[],
  labels: readonly number[],
  l2 = 0,
): Omit<Problem, 'value'> {
  const count = labels.length
  const margin = (row: readonly number[], w: Float64Array) => row.reduce((sum, x, i) => sum + x * (w[i] as number), 0)
  return {
    valueAndGradient: (w, gradient) => {
      let f = 0
      gradient.set(w.map((weight) => l2 * weight))
      features.forEach((row, r) => {
        const [z, y] = [margin(row, w), labels[r] as number]
        f += (Math.max(z, 0) - z * y + Math.log1p(Math.exp(-Math.abs(z)))) / count
        const slope = (1 / (1 + Math.exp(-z)) - y) / count
        row.forEach((x, i) => {
          gradient[i] = (gradient[i] as number) + slope * x
        })
      })
      return f + (l2 / 2) * w.reduce((sum, weight) => sum + weight * weight, 0)
    },
    hessianProduct: (w, v, out) => {
      out.set(v.map((entry) => l2 * entry))
      for (const row of features) {
        const p = 1 / (1 + Math.exp(-margin(row, w)))
        const along = (p * (1 - p) * margin(row, v)) / count
        row.forEach((x, i) => {
          out[i] = (out[i] as number) + along * x
        })
      }
    },
  }
}
