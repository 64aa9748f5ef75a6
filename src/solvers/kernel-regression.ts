import type { FloatMatrix } from '../curvature/linearize.js'
import { denseOperator } from '../curvature/operators.js'
import type { Matrix, MatrixLike } from '../data/matrix.js'
import { toMatrix } from '../data/matrix.js'
import { optionError } from '../internal/errors.js'
import { addon } from '../internal/native.js'
import { checkKnownKeys, integerInRange, numberInRange } from '../internal/validate.js'

export type KernelRegressionOptions = {
  /** K(X, X), [n, n]; need not be symmetric: rows are where the network is read, columns what trains it. */
  readonly kernel: MatrixLike
  /** K(x, X), [m, n]. */
  readonly testKernel: MatrixLike
  /** y, [n, outputs], or n numbers. */
  readonly targets: MatrixLike
  /** Outputs before training, at the training inputs and the others; default 0. */
  readonly initial?: { readonly train: MatrixLike; readonly test: MatrixLike }
  /** Time of gradient flow; default: until it ends. */
  readonly time?: number
  /** Steps of gradient descent, with `learningRate`, in place of a time. */
  readonly steps?: number
  readonly learningRate?: number
  /** λ of (K + λI)⁻¹, for the end of training only; default 0. */
  readonly damping?: number
  /** Σ of the outputs before training, for the covariance after it (at the end, λ = 0). */
  readonly covariance?: { readonly train: MatrixLike; readonly testTrain: MatrixLike; readonly test: MatrixLike }
}

export type KernelRegression = {
  /** `singular`: the kernel has no inverse, and all numbers are NaN. */
  readonly reason: 'completed' | 'singular'
  /** [m, outputs] */
  readonly predictions: FloatMatrix<'float64'>
  /** c with f(x) = f₀(x) + K(x, X) c, [n, outputs] */
  readonly coefficients: FloatMatrix<'float64'>
  /** [m, m], where asked for. */
  readonly covariance?: FloatMatrix<'float64'>
}

type Doubles = Float64Array<ArrayBuffer>

/** out = a b, column by column; b and out are [rows, columns]. */
function product(a: Matrix, b: Doubles, columns: number): Doubles {
  const [rows, inner] = a.shape
  const out = new Float64Array(rows * columns)
  if (rows === 0) return out
  const operator = denseOperator({ data: Float64Array.from(a.data), shape: [rows, inner] }, { dtype: 'float64' })
  for (let column = 0; column < columns; column++) {
    const part = operator.matvec(Float64Array.from({ length: inner }, (_, i) => b[i * columns + column] as number))
    for (let row = 0; row < rows; row++) out[row * columns + column] = part[row] as number
  }
  operator.dispose()
  return out
}

function transposed(values: ArrayLike<number>, rows: number, columns: number): Doubles {
  return Float64Array.from({ length: rows * columns }, (_, at) => {
    return values[(at % rows) * columns + Math.floor(at / rows)] as number
  })
}

/** c − a, entry by entry. */
function difference(c: ArrayLike<number>, a: ArrayLike<number> | undefined): Doubles {
  return Float64Array.from(c, (value, index) => value - (a === undefined ? 0 : (a[index] as number)))
}

/** Σ(x,x) − Σ(x,X) Z − Z' Σ(X,x) + Z' Σ(X,X) Z, where Z' = K(x,X) K(X,X)⁻¹. */
function covarianceAfter(
  value: unknown,
  kernel: Doubles,
  testKernel: Matrix,
): { readonly data: Doubles; readonly shape: readonly [number, number] } {
  checkKnownKeys(value, ['train', 'testTrain', 'test'], 'kernelRegression covariance', { path: 'covariance' })
  const [m, n] = testKernel.shape
  const train = toMatrix(value.train, 'covariance.train', { rows: n, columns: n })
  const testTrain = toMatrix(value.testTrain, 'covariance.testTrain', { rows: m, columns: n })
  const test = toMatrix(value.test, 'covariance.test', { rows: m, columns: m })
  const z = transposed(testKernel.data, m, n)
  const limit = { until: 'limit', rate: 0, steps: 0, time: 0, damping: 0, transposed: true } as const
  addon().kernelRegression(limit, n, m, kernel, z)
  const cross = product(testTrain, z, m)
  const zt = { data: transposed(z, n, m), shape: [m, n] as const }
  const inner = product(zt, product(train, z, m), m)
  const crossT = transposed(cross, m, m)
  const data = Float64Array.from(test.data, (own, at) => {
    return own - (cross[at] as number) - (crossT[at] as number) + (inner[at] as number)
  })
  return { data, shape: [m, m] }
}

/**
 * What a network predicts that stays near its linearisation, from its tangent kernel: gradient flow on (1/2n) Σ ‖f − y‖² gives
 *
 *     fₜ(x) = f₀(x) + K(x,X) K(X,X)⁻¹ (I − exp(−K(X,X) t/n)) (y − f₀(X))
 *
 * and k steps of learning rate η have (I − ηK/n)ᵏ in place of the exponential; at the end the bracket is I. Solved by
 * elimination with pivots, without making K symmetric; times and steps by doubling, also where K is singular.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 *
 * Jacot, Gabriel & Hongler 2018 (arXiv 1806.07572); covariance: Lee, Xiao et al. 2019 (arXiv 1902.06720).
 */
export function kernelRegression(options: KernelRegressionOptions): KernelRegression {
  const keys = ['kernel', 'testKernel', 'targets', 'initial', 'time', 'steps', 'learningRate', 'damping', 'covariance']
  checkKnownKeys(options, keys, 'kernelRegression options')
  const given = options as KernelRegressionOptions
  const square = toMatrix(given.kernel, 'kernel')
  const n = square.shape[0]
  const matrix = toMatrix(square, 'kernel', { rows: n, columns: n })
  const testKernel = toMatrix(given.testKernel, 'testKernel', { columns: n })
  const { targets: values } = given
  const flat = ArrayBuffer.isView(values) || (Array.isArray(values) && typeof values[0] === 'number')
  const targets = toMatrix(values, 'targets', flat ? { rows: n, columns: 1 } : { rows: n })
  const columns = targets.shape[1]
  const m = testKernel.shape[0]
  const steps = given.steps === undefined ? 0 : integerInRange(given.steps, 'kernelRegression steps', { min: 0 })
  const time = given.time === undefined ? 0 : numberInRange(given.time, 'kernelRegression time', { min: 0 })
  const damping = given.damping === undefined ? 0 : numberInRange(given.damping, 'kernelRegression damping', { min: 0 })
  if (given.steps !== undefined && given.time !== undefined) {
    throw optionError('kernelRegression time', 'a time or steps', time)
  }
  if ((given.steps === undefined) !== (given.learningRate === undefined)) {
    throw optionError('kernelRegression learningRate', 'one with steps, none without', given.learningRate)
  }
  const rate =
    given.learningRate === undefined
      ? 0
      : numberInRange(given.learningRate, 'kernelRegression learningRate', { above: 0 })
  const until = given.steps !== undefined ? 'steps' : given.time !== undefined ? 'time' : 'limit'
  if (until !== 'limit' && (given.damping !== undefined || given.covariance !== undefined)) {
    const name = given.damping !== undefined ? 'damping' : 'covariance'
    throw optionError(`kernelRegression ${name}`, 'none with a time or steps', given[name])
  }
  if (given.covariance !== undefined && damping > 0) {
    throw optionError('kernelRegression damping', '0 with covariance', damping)
  }
  let initial: { readonly train: Matrix; readonly test: Matrix } | undefined
  if (given.initial !== undefined) {
    checkKnownKeys(given.initial, ['train', 'test'], 'kernelRegression initial', { path: 'initial' })
    initial = {
      train: toMatrix(given.initial.train, 'initial.train', { rows: n, columns }),
      test: toMatrix(given.initial.test, 'initial.test', { rows: m, columns }),
    }
  }
  const kernel = Float64Array.from(matrix.data)
  const coefficients = difference(targets.data, initial?.train.data)
  const how = { until, rate, steps, time, damping, transposed: false } as const
  const solved = addon().kernelRegression(how, n, columns, kernel, coefficients)
  if (!solved) coefficients.fill(Number.NaN)
  const moved = product(testKernel, coefficients, columns)
  const predictions =
    initial === undefined ? moved : moved.map((value, at) => value + (initial.test.data[at] as number))
  const result: KernelRegression = {
    reason: solved ? 'completed' : 'singular',
    predictions: { data: solved ? predictions : predictions.fill(Number.NaN), shape: [m, columns] },
    coefficients: { data: coefficients, shape: [n, columns] },
  }
  if (given.covariance === undefined) return result
  const covariance = covarianceAfter(given.covariance, kernel, testKernel)
  return { ...result, covariance: solved ? covariance : { ...covariance, data: covariance.data.fill(Number.NaN) } }
}
