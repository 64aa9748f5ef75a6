import { expect } from 'vitest'

/** Largest absolute value; 0 for an empty array. */
export function largest(values: ArrayLike<number>): number {
  let most = 0
  for (let index = 0; index < values.length; index++) most = Math.max(most, Math.abs(values[index] as number))
  return most
}

/**
 * Compares two arrays entry by entry. A failure tells the first wrong index, both values, the error and its bound.
 *
 * @param bound the error allowed, or a function of the expected value
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number | ((expected: number) => number),
  label = '',
): void {
  expect(actual.length, `${label}: length`).toBe(expected.length)
  for (let index = 0; index < expected.length; index++) {
    const a = actual[index] as number
    const b = expected[index] as number
    const limit = typeof bound === 'number' ? bound : bound(b)
    // Not (error > limit): NaN must fail.
    if (Math.abs(a - b) <= limit || Object.is(a, b)) continue
    const error = Math.abs(a - b)
    expect.fail(`${label}[${index}]: ${a} instead of ${b}, error ${error} is ${error / limit} times the bound ${limit}`)
  }
}

/** Compares with an error relative to the largest expected entry. */
export function expectRelative(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  label = '',
): void {
  expectClose(actual, expected, tolerance * largest(expected), label)
}
