// @ts-check

/**
 * @typedef {object} Summary
 * @property {number} median
 * @property {number} min
 * @property {number} max
 * @property {number} spread relative: 1.4826 times the median absolute deviation, over the median
 * @property {number[]} samples
 */

/**
 * @param {readonly number[]} values
 * @returns {number}
 */
export function median(values) {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** @param {readonly number[]} values */
export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Standard deviation of the values as a sample; 0 for one. @param {readonly number[]} values */
export function standardDeviation(values) {
  const centre = mean(values)
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / Math.max(1, values.length - 1))
}

/**
 * @param {readonly number[]} samples
 * @returns {Summary}
 */
export function summarize(samples) {
  const centre = median(samples)
  const deviation = median(samples.map((value) => Math.abs(value - centre)))
  return {
    median: centre,
    min: Math.min(...samples),
    max: Math.max(...samples),
    // 1.4826 makes the median absolute deviation of normal noise its standard deviation.
    spread: (1.4826 * deviation) / centre,
    samples: [...samples],
  }
}

/** Differences below this are never ranked: two runs of one program differ by as much. */
const kFloor = 0.02

/** Fewer turns than this say nothing about their own spread; this spread is assumed. */
const kFewSamples = 3
const kAssumedSpread = 0.1

/** @param {Summary} summary */
function noiseOf(summary) {
  return Math.max(summary.spread, summary.samples.length < kFewSamples ? kAssumedSpread : 0)
}

/**
 * How many times faster `ours` is than `other`, and whether the difference may
 * be believed: the logarithms of the medians must differ by more than twice the
 * combined spread, and by more than a floor.
 *
 * @param {Summary} ours
 * @param {Summary} other
 * @returns {{ ratio: number, withinNoise: boolean }}
 */
export function compare(ours, other) {
  const ratio = other.median / ours.median
  const noise = Math.max(kFloor, 2 * Math.hypot(noiseOf(ours), noiseOf(other)))
  return { ratio, withinNoise: Math.abs(Math.log(ratio)) <= noise }
}
