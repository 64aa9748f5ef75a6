// @ts-check
// Images of curves for the CURVES autoencoder, after the description of Hinton & Salakhutdinov (2006): each curve is
// given by three random points of the plane. The original files are not used.

const kSize = 28
/** Control points keep this distance from the edges, in pixels. */
const kMargin = 3
/** Points of a curve that ink is measured from; neighbours are less than half a pixel apart. */
const kSteps = 64
/** Standard deviation of the pen, in pixels. */
const kPen = 0.7

/** @param {number} seed a small generator for data: Lehmer's, modulus 2^31 - 1 */
function uniform(seed) {
  let state = 1 + (seed % 2_147_483_646)
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

/**
 * A quadratic Bezier curve drawn with a Gaussian pen: a pixel is exp(-d^2 / (2 pen^2)), d its distance from the curve.
 *
 * @param {readonly number[]} points x0, y0, x1, y1, x2, y2
 * @param {Float32Array} image
 */
function draw(points, image) {
  const [x0 = 0, y0 = 0, x1 = 0, y1 = 0, x2 = 0, y2 = 0] = points
  const nearest = new Float64Array(kSize * kSize).fill(Number.POSITIVE_INFINITY)
  const reach = 3
  for (let step = 0; step <= kSteps; step++) {
    const t = step / kSteps
    const s = 1 - t
    const x = s * s * x0 + 2 * s * t * x1 + t * t * x2
    const y = s * s * y0 + 2 * s * t * y1 + t * t * y2
    for (let row = Math.max(0, Math.ceil(y - reach)); row <= Math.min(kSize - 1, y + reach); row++) {
      for (let column = Math.max(0, Math.ceil(x - reach)); column <= Math.min(kSize - 1, x + reach); column++) {
        const distance = (column - x) ** 2 + (row - y) ** 2
        const at = row * kSize + column
        if (distance < (nearest[at] ?? 0)) nearest[at] = distance
      }
    }
  }
  for (const [at, distance] of nearest.entries()) image[at] = Math.exp(-distance / (2 * kPen * kPen))
}

/**
 * @param {number} rows
 * @param {number} seed
 * @returns {Float32Array} [rows, 784], values in [0, 1]
 */
export function drawCurves(rows, seed) {
  const random = uniform(seed * 7919)
  const images = new Float32Array(rows * kSize * kSize)
  for (let row = 0; row < rows; row++) {
    const points = Array.from({ length: 6 }, () => kMargin + random() * (kSize - 1 - 2 * kMargin))
    draw(points, images.subarray(row * kSize * kSize, (row + 1) * kSize * kSize))
  }
  return images
}
