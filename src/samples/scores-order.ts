/*
 * Orders of samples by a number.
 */

/** Indices from the smallest value to the largest; equal values keep their order. */
export function ascending(values: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length: values.length }, (_, index) => index)
  // Ties by index: the sort of typed arrays need not be stable.
  return order.sort((a, b) => (values[a] as number) - (values[b] as number) || a - b)
}

/** Indices from the largest value to the smallest; equal values keep their order. */
export function descending(values: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length: values.length }, (_, index) => index)
  return order.sort((a, b) => (values[b] as number) - (values[a] as number) || a - b)
}
