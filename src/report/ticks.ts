/** Where the marks of an axis stand. */

/** An axis: the values at its two ends and the marks between them. */
export type Axis = {
  readonly low: number
  readonly high: number
  readonly ticks: readonly number[]
  readonly log: boolean
}

/** Factors of a power of ten that read well as distances between marks. */
const niceFactors = [1, 2, 2.5, 5, 10]

/** Room for rounding when a mark is compared with an end of the axis, in units of the distance between marks. */
const slack = 1e-9

/** The smallest nice distance that needs at most `count` steps for `span`. */
function niceStep(span: number, count: number, whole: boolean): number {
  const rough = span / Math.max(1, count)
  const power = 10 ** Math.floor(Math.log10(rough))
  const fits = (factor: number): boolean =>
    factor * power >= rough * (1 - slack) && (!whole || Number.isInteger(factor * power))
  return (niceFactors.find(fits) ?? (whole ? 1 / power : 10)) * power
}

/** Marks at the multiples of a step, free of the rounding that repeated addition leaves (0.30000000000000004). */
function multiples(low: number, high: number, step: number): number[] {
  const first = Math.ceil(low / step - slack)
  const last = Math.floor(high / step + slack)
  const digits = Math.max(0, Math.min(20, 1 - Math.floor(Math.log10(step))))
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => {
    const value = (first + index) * step
    return step < 1 ? Number(value.toFixed(digits)) + 0 : value + 0
  })
}

/** How an axis is laid out: about how many marks, whole numbers only, or exactly from end to end of the data. */
export type AxisOptions = { readonly count?: number; readonly whole?: boolean; readonly tight?: boolean }

/**
 * A linear axis over the values, its ends moved out to marks unless `tight`.
 *
 * @example linearAxis(0.13, 0.87) // marks at 0, 0.2, 0.4, 0.6, 0.8, 1
 */
export function linearAxis(minimum: number, maximum: number, options: AxisOptions = {}): Axis {
  const { count = 5, whole = false, tight = false } = options
  let low = minimum
  let high = maximum
  // A flat line gets room around it; a tenth of its value, so that the marks still tell its size.
  if (!(high - low > Math.abs(high) * 1e-12)) {
    const room = low === 0 ? 1 : Math.abs(low) * 0.1
    low -= whole ? 0.5 : room
    high += whole ? 0.5 : room
  }
  const step = niceStep(high - low, count, whole)
  if (!tight) {
    low = Math.floor(low / step + slack) * step
    high = Math.ceil(high / step - slack) * step
  }
  return { low, high, ticks: multiples(low, high, step), log: false }
}

/**
 * A logarithmic axis over positive values. Over several powers of ten the marks are those (thinned out to about
 * `count`); over less, 2 and 5 times them too; where even that leaves fewer than two marks, a linear choice of marks.
 */
export function logAxis(minimum: number, maximum: number, options: AxisOptions = {}): Axis {
  const { count = 6 } = options
  const room = Math.max((Math.log10(maximum) - Math.log10(minimum)) * 0.04, 0.02)
  const low = minimum * 10 ** -room
  const high = maximum * 10 ** room
  const first = Math.ceil(Math.log10(low) - slack)
  const last = Math.floor(Math.log10(high) + slack)
  const decades = last - first + 1
  const stride = Math.max(1, Math.ceil(decades / count))
  const factors = decades <= 2 ? [1, 2, 5] : [1]
  const ticks: number[] = []
  for (let exponent = first - 1; exponent <= last; exponent++) {
    if ((((exponent - first) % stride) + stride) % stride !== 0) continue
    // From text, since powers of ten below one are not exact products.
    for (const factor of factors) ticks.push(Number(`${factor}e${exponent}`))
  }
  const inside = ticks.filter((tick) => tick >= low * (1 - slack) && tick <= high * (1 + slack))
  return { low, high, ticks: inside.length >= 2 ? inside : linearAxis(low, high, { tight: true }).ticks, log: true }
}

/** The place of a value on an axis, 0 at its low end and 1 at its high end. */
export function positionOn(axis: Axis, value: number): number {
  if (!axis.log) return (value - axis.low) / (axis.high - axis.low)
  return Math.log(value / axis.low) / Math.log(axis.high / axis.low)
}
