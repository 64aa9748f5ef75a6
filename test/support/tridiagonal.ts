// Eigenvalues of dense symmetric matrices of about a thousand rows, whatever the package's own solvers do.

export type Tridiagonal = { readonly diagonal: Float64Array; readonly beside: Float64Array }

/** A similar tridiagonal matrix, by Householder reflections (Golub & Van Loan, section 8.3). */
export function tridiagonalForm(rows: readonly ArrayLike<number>[]): Tridiagonal {
  const n = rows.length
  const a = rows.map((row) => Float64Array.from(row))
  const beside = new Float64Array(Math.max(0, n - 1))
  const p = new Float64Array(n)
  for (let k = 0; k < n - 2; k++) {
    // v reflects what is below the diagonal of column k onto its first element.
    const v = Float64Array.from({ length: n }, (_, i) => (i > k ? (a[i] as Float64Array)[k] : 0) as number)
    let squared = 0
    for (const x of v) squared += x * x
    const first = v[k + 1] as number
    const alpha = first > 0 ? -Math.sqrt(squared) : Math.sqrt(squared)
    beside[k] = alpha
    const half = squared - alpha * first
    if (half === 0) continue
    v[k + 1] = first - alpha
    // A ← A − v wᵀ − w vᵀ with p = A v / half, w = p − (vᵀp / 2 half) v.
    let along = 0
    for (let i = k + 1; i < n; i++) {
      const row = a[i] as Float64Array
      let sum = 0
      for (let j = k + 1; j < n; j++) sum += (row[j] as number) * (v[j] as number)
      p[i] = sum / half
      along += (p[i] as number) * (v[i] as number)
    }
    for (let i = k + 1; i < n; i++) p[i] = (p[i] as number) - (along / (2 * half)) * (v[i] as number)
    for (let i = k + 1; i < n; i++) {
      const row = a[i] as Float64Array
      const [vi, wi] = [v[i] as number, p[i] as number]
      for (let j = k + 1; j < n; j++) row[j] = (row[j] as number) - vi * (p[j] as number) - wi * (v[j] as number)
    }
  }
  if (n > 1) beside[n - 2] = (a[n - 1] as Float64Array)[n - 2] as number
  return { diagonal: Float64Array.from(a, (row, i) => row[i] as number), beside }
}

/** All eigenvalues, ascending, by bisection on the number of negative pivots (Golub & Van Loan, section 8.4). */
export function tridiagonalEigenvalues({ diagonal, beside }: Tridiagonal): number[] {
  const n = diagonal.length
  const squares = beside.map((b) => b * b)
  const radius = (i: number): number => Math.abs(beside[i - 1] ?? 0) + Math.abs(beside[i] ?? 0)
  const low = diagonal.reduce((least, d, i) => Math.min(least, d - radius(i)), Number.POSITIVE_INFINITY)
  const high = diagonal.reduce((most, d, i) => Math.max(most, d + radius(i)), Number.NEGATIVE_INFINITY)
  const tiny = 1e-300
  const below = (x: number): number => {
    let count = 0
    let pivot = 1
    for (let i = 0; i < n; i++) {
      pivot = (diagonal[i] as number) - x - (i === 0 ? 0 : (squares[i - 1] as number) / pivot)
      if (pivot === 0) pivot = tiny
      if (pivot < 0) count++
    }
    return count
  }
  const resolution = 1e-15 * Math.max(Math.abs(low), Math.abs(high))
  const values = new Array<number>(n)
  // Intervals with what is below either end; one that is no wider than the resolution holds its eigenvalues.
  const open: [number, number, number, number][] = [[low - resolution, high + resolution, 0, n]]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [left, right, first, last] = next
    if (first === last) continue
    const middle = (left + right) / 2
    if (right - left <= resolution) {
      values.fill(middle, first, last)
      continue
    }
    const split = below(middle)
    open.push([left, middle, first, split], [middle, right, split, last])
  }
  return values
}
