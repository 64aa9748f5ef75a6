/**
 * Eigenvalues of a small symmetric matrix, ascending, by cyclic Jacobi rotations (Golub & Van Loan, section 8.5), whatever
 * the package's own solvers do.
 */
export function symmetricEigenvalues(rows: readonly ArrayLike<number>[]): number[] {
  const n = rows.length
  const a = rows.map((_, i) => {
    // Float32 products are symmetric only to rounding.
    return Float64Array.from({ length: n }, (__, j) => (at(rows, i, j) + at(rows, j, i)) / 2)
  })
  const scale = Math.hypot(...a.map((row) => Math.hypot(...row)))
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const pq = at(a, p, q)
        off = Math.max(off, Math.abs(pq))
        if (Math.abs(pq) > 1e-300) rotate(a, p, q)
      }
    }
    if (off <= 1e-15 * scale) return a.map((row, i) => row[i] as number).sort((x, y) => x - y)
  }
  throw new Error('the rotations do not converge')
}

function at(rows: readonly ArrayLike<number>[], i: number, j: number): number {
  return rows[i]?.[j] as number
}

/** The rotation of rows and columns p and q after which their common entry is 0. */
function rotate(a: Float64Array[], p: number, q: number): void {
  const tau = (at(a, q, q) - at(a, p, p)) / (2 * at(a, p, q))
  const t = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.hypot(1, tau))
  const c = 1 / Math.hypot(1, t)
  const s = t * c
  const [first, second] = [a[p] as Float64Array, a[q] as Float64Array]
  for (const row of a) {
    const [x, y] = [row[p] as number, row[q] as number]
    row[p] = c * x - s * y
    row[q] = s * x + c * y
  }
  for (let k = 0; k < a.length; k++) {
    const [x, y] = [first[k] as number, second[k] as number]
    first[k] = c * x - s * y
    second[k] = s * x + c * y
  }
}
