// @ts-check

/**
 * Floating-point operations of the matrix products of one training step:
 * forward and weight gradient of every layer, input gradient of every layer but
 * the first, 2·N·in·out each. Activations, loss and update are not counted, so
 * a share of the peak computed from it is a lower bound.
 *
 * @param {readonly number[]} sizes
 * @param {number} batchSize
 * @returns {number}
 */
export function stepFlops(sizes, batchSize) {
  let total = 0
  for (let layer = 1; layer < sizes.length; layer++) {
    const product = 2 * batchSize * (sizes[layer - 1] ?? 0) * (sizes[layer] ?? 0)
    total += layer === 1 ? 2 * product : 3 * product
  }
  return total
}
