/** A small generator for tests (mulberry32): numbers in [0, 1). */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Rows of numbers in [-1, 1). */
export function randomRows(rows: number, columns: number, seed: number): number[][] {
  const next = random(seed)
  return Array.from({ length: rows }, () => Array.from({ length: columns }, () => 2 * next() - 1))
}

/** A smooth target of two inputs. */
export function regressionData(rows: number, seed = 1): { inputs: number[][]; targets: number[][] } {
  const inputs = randomRows(rows, 2, seed)
  return { inputs, targets: inputs.map(([a = 0, b = 0]) => [Math.sin(3 * a) + 0.5 * a * b]) }
}

/** Three classes that a small network separates: sectors of the plane. */
export function classData(rows: number, seed = 1): { inputs: number[][]; targets: number[] } {
  const inputs = randomRows(rows, 2, seed)
  const targets = inputs.map(([a = 0, b = 0]) =>
    Math.min(2, Math.floor(((Math.atan2(b, a) + Math.PI) / (2 * Math.PI)) * 3)),
  )
  return { inputs, targets }
}
