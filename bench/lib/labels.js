// @ts-check
// Changes to the labels of a data set, by a seed.

/**
 * Numbers in (0, 1) by a small generator: Lehmer's, modulus 2^31 - 1.
 *
 * @param {number} seed
 */
export function uniform(seed) {
  let state = 1 + seed * 7919
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

/**
 * Symmetric noise: a share of the labels, each replaced by one of the other classes, all of them equally likely.
 *
 * @param {Int32Array} labels
 * @param {number} classes
 * @param {number} share
 * @param {number} seed
 */
export function withWrongLabels(labels, classes, share, seed) {
  const next = uniform(seed)
  return labels.map((label) => {
    const wrong = next() < share
    const shift = 1 + Math.floor(next() * (classes - 1))
    return wrong ? (label + shift) % classes : label
  })
}
