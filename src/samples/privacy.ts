import { optionError, rendered, shapeError } from '../internal/errors.js'
import type { FloatArray } from '../internal/native.js'
import { arrayOf, checkKnownKeys, finiteArray, integerInRange, numberInRange, oneOf } from '../internal/validate.js'
import { rdpOfStep } from './privacy-rdp.js'

/*
 * Accounting for differential privacy. Neighbouring data sets differ by one record added or removed; a step adds normal
 * noise of standard deviation σC to the sum of gradients clipped to the norm C, over a Poisson sample: every record is in
 * it independently with probability q.
 */

/** A step's noise, how often it is made, and the orders to be kept. */
export type SubsampledGaussianOptions = {
  /** σ: standard deviation of the noise over the clipping threshold; 0 is no noise. */
  readonly noiseMultiplier: number
  /** q: the probability of each record to be in a step's batch, 0 to 1. */
  readonly sampleRate: number
  /** Default 1. */
  readonly steps?: number
  /** α, each above 1, ascending; default `defaultRdpOrders`. */
  readonly orders?: readonly number[]
}

/** How divergences become an ε; see `rdpToEpsilon`. */
export type EpsilonConversion = 'improved' | 'classic'

export type EpsilonOptions = {
  /** δ, above 0 and below 1. */
  readonly delta: number
  /** Default `improved`. */
  readonly conversion?: EpsilonConversion
}

/** An ε that holds with the δ it was asked for. */
export type PrivacySpent = {
  /** Infinite where a step had no noise. */
  readonly epsilon: number
  /** The order that gave it. */
  readonly order: number
  /** Where that order is an end of the list: the list should go on there. */
  readonly warning?: string
}

export type NoiseForEpsilonOptions = {
  /** ε that is not to be exceeded, above 0. */
  readonly epsilon: number
  /** δ, above 0 and below 1. */
  readonly delta: number
  /** q, above 0. */
  readonly sampleRate: number
  /** Steps in all. */
  readonly steps: number
  /** As in `subsampledGaussianRdp`. */
  readonly orders?: readonly number[]
  /** Default `improved`. */
  readonly conversion?: EpsilonConversion
  /** Relative precision of the result; default 1e-7. */
  readonly tolerance?: number
}

/** The noise found, and what is spent with it. */
export type NoiseForEpsilon = PrivacySpent & { readonly noiseMultiplier: number }

/** The orders kept where none are given: 1.1 to 10.9 by tenths, 11 to 63, and 128, 256, 512, 1024. */
export const defaultRdpOrders: readonly number[] = Object.freeze([
  ...Array.from({ length: 99 }, (_, index) => (11 + index) / 10),
  ...Array.from({ length: 53 }, (_, index) => 11 + index),
  128,
  256,
  512,
  1024,
])

// Integer orders cost so many terms each.
const largestOrder = 65536

/** Checked orders, ascending, in an array of their own. */
export function ordersOption(value: unknown, name: string): readonly number[] {
  if (value === undefined) return defaultRdpOrders
  const orders = finiteArray(value, name, { above: 1, max: largestOrder, minLength: 1 })
  const wrong = orders.findIndex((order, index) => index > 0 && order <= (orders[index - 1] as number))
  if (wrong >= 0) throw optionError(`${name}[${wrong}]`, 'orders in ascending order, each once', orders[wrong])
  return Object.freeze(orders)
}

/** A checked step. */
export function stepOption(
  given: Readonly<Record<string, unknown>>,
  name: string,
): { readonly noiseMultiplier: number; readonly sampleRate: number; readonly steps: number } {
  return {
    noiseMultiplier: numberInRange(given.noiseMultiplier, `${name} noiseMultiplier`, { min: 0 }),
    sampleRate: numberInRange(given.sampleRate, `${name} sampleRate`, { min: 0, max: 1 }),
    steps: integerInRange(given.steps ?? 1, `${name} steps`, { min: 0 }),
  }
}

/**
 * Rényi differential privacy of steps of the Gaussian mechanism on Poisson samples, one number for each order; that of
 * several parts of a training is the sum, order by order. Exact at integer and, to 1e-9 relative, at fractional orders:
 *
 *     RDP(α) = steps · log E[(1 − q + q e^{(2z−1)/(2σ²)})^α] / (α − 1),   z ~ N(0, σ²)
 *
 * @throws KrylovError ERR_OPTION
 * @example subsampledGaussianRdp({ noiseMultiplier: 1, sampleRate: 0.01, steps: 1000 })
 * @see Mironov, Talwar & Zhang 2019 (arXiv 1908.10530)
 */
export function subsampledGaussianRdp(options: SubsampledGaussianOptions): Float64Array {
  const name = 'subsampledGaussianRdp'
  checkKnownKeys(options, ['noiseMultiplier', 'sampleRate', 'steps', 'orders'], `${name} options`)
  const { noiseMultiplier, sampleRate, steps } = stepOption(options, name)
  const orders = ordersOption(options.orders, `${name} orders`)
  if (steps === 0) return new Float64Array(orders.length)
  return Float64Array.from(orders, (order) => steps * rdpOfStep(noiseMultiplier, sampleRate, order))
}

function deltaOption(value: unknown, name: string): number {
  return numberInRange(value, name, { above: 0, below: 1 })
}

function conversionOption(value: unknown, name: string): EpsilonConversion {
  return oneOf(value ?? 'improved', name, ['improved', 'classic'])
}

/** Checks the options of an ε. */
export function epsilonOptions(given: unknown, name: string): Required<EpsilonOptions> {
  checkKnownKeys(given, ['delta', 'conversion'], `${name} options`)
  return {
    delta: deltaOption(given.delta, `${name} delta`),
    conversion: conversionOption(given.conversion, `${name} conversion`),
  }
}

function epsilonAt(order: number, rdp: number, delta: number, conversion: EpsilonConversion): number {
  // The total variation of two distributions is at most √(1 − e^{−KL}), and KL at most the divergence of any order.
  if (delta * delta + Math.expm1(-rdp) >= 0) return 0
  const logDelta = Math.log(delta)
  if (conversion === 'classic') return rdp - logDelta / (order - 1)
  return Math.max(0, rdp + Math.log1p(-1 / order) - (logDelta + Math.log(order)) / (order - 1))
}

/** The least ε over checked orders. */
export function leastEpsilon(
  orders: readonly number[],
  rdp: FloatArray | readonly number[],
  { delta, conversion }: Required<EpsilonOptions>,
): PrivacySpent {
  let epsilon = Number.POSITIVE_INFINITY
  let best = 0
  for (const [index, order] of orders.entries()) {
    const value = epsilonAt(order, rdp[index] as number, delta, conversion)
    if (value < epsilon) {
      epsilon = value
      best = index
    }
  }
  const order = orders[best] as number
  const end = best === 0 ? 'first' : best === orders.length - 1 ? 'last' : null
  // Neither without noise nor without loss can another order help.
  if (end === null || epsilon === 0 || epsilon === Number.POSITIVE_INFINITY) return { epsilon, order }
  const others = end === 'first' ? 'smaller' : 'larger'
  return {
    epsilon,
    order,
    warning: `the best order, ${order}, is the ${end} of the list: ${others} ones may give a smaller epsilon`,
  }
}

/**
 * The least ε that holds with a given δ, from Rényi divergences by order. The minimum over orders, at least 0, of
 *
 *     improved   RDP(α) + log((α − 1)/α) − (log δ + log α)/(α − 1)
 *     classic    RDP(α) + log(1/δ)/(α − 1)
 *
 * and 0 where RDP(α) is so small that the total variation is at most δ.
 *
 * @param rdp one number for each order, none negative; infinite is allowed
 * @param options `delta`, `conversion`, and `orders` where they are not the default ones
 * @throws KrylovError ERR_OPTION, ERR_SHAPE
 * @see improved: Balle, Barthe, Gaboardi, Hsu & Sato 2020 (arXiv 1905.09982), theorem 21; Canonne, Kamath & Steinke 2020
 *   (arXiv 2004.00010), proposition 12. classic: Mironov 2017 (arXiv 1702.07476)
 */
export function rdpToEpsilon(
  rdp: FloatArray | readonly number[],
  options: EpsilonOptions & { readonly orders?: readonly number[] },
): PrivacySpent {
  const name = 'rdpToEpsilon'
  checkKnownKeys(options, ['delta', 'conversion', 'orders'], `${name} options`)
  const { orders: given, ...rest } = options as Record<string, unknown>
  const orders = ordersOption(given, `${name} orders`)
  return leastEpsilon(orders, divergences(rdp, 'rdp', orders.length), epsilonOptions(rest, name))
}

/** Checked divergences; infinity is one. */
export function divergences(value: unknown, name: string, length: number): number[] {
  const list: unknown = value instanceof Float64Array || value instanceof Float32Array ? [...value] : value
  const found = arrayOf(list, name, (item, path) => {
    return item === Number.POSITIVE_INFINITY ? item : numberInRange(item, path, { min: 0 })
  })
  if (found.length !== length) {
    throw shapeError(name, `${length} numbers, one for each order`, rendered(`length ${found.length}`))
  }
  return found
}

/**
 * The smallest noise multiplier whose ε does not exceed a target, by bisection: ε decreases in the noise. What is returned
 * keeps the target.
 *
 * @throws KrylovError ERR_OPTION
 * @example noiseForEpsilon({ epsilon: 3, delta: 1e-5, sampleRate: 256 / 60000, steps: 5000 }).noiseMultiplier
 */
export function noiseForEpsilon(options: NoiseForEpsilonOptions): NoiseForEpsilon {
  const name = 'noiseForEpsilon'
  const keys = ['epsilon', 'delta', 'sampleRate', 'steps', 'orders', 'conversion', 'tolerance']
  checkKnownKeys(options, keys, `${name} options`)
  const given = options as NoiseForEpsilonOptions
  const target = numberInRange(given.epsilon, `${name} epsilon`, { above: 0 })
  const sampleRate = numberInRange(given.sampleRate, `${name} sampleRate`, { above: 0, max: 1 })
  const steps = integerInRange(given.steps, `${name} steps`, { min: 1 })
  const orders = ordersOption(given.orders, `${name} orders`)
  const delta = deltaOption(given.delta, `${name} delta`)
  const conversion = conversionOption(given.conversion, `${name} conversion`)
  const tolerance = numberInRange(given.tolerance ?? 1e-7, `${name} tolerance`, { min: 1e-14, max: 1 })
  const spent = (sigma: number): NoiseForEpsilon => {
    const rdp = orders.map((order) => steps * rdpOfStep(sigma, sampleRate, order))
    return { noiseMultiplier: sigma, ...leastEpsilon(orders, rdp, { delta, conversion }) }
  }
  let enough = spent(1)
  let little = 1
  while (enough.epsilon > target) {
    little = enough.noiseMultiplier
    enough = spent(2 * little)
  }
  if (little === enough.noiseMultiplier) {
    for (little /= 2; ; little /= 2) {
      const tried = spent(little)
      if (tried.epsilon > target) break
      enough = tried
    }
  }
  while (enough.noiseMultiplier - little > tolerance * little) {
    const tried = spent((little + enough.noiseMultiplier) / 2)
    if (tried.epsilon > target) little = tried.noiseMultiplier
    else enough = tried
  }
  return enough
}

/**
 * The noise left for the gradients when each step also tells, with noise, how many gradients were not clipped, as
 * clipping at a quantile does: with σ_b the standard deviation of the noise on that number,
 *
 *     (σ⁻² − (2σ_b)⁻²)^(−1/2)
 *
 * so that both together cost what gradients alone would with σ. The accountant is given σ.
 *
 * @throws KrylovError ERR_OPTION unless noiseMultiplier < 2 countNoise
 * @see Andrew, Thakkar, McMahan & Ramaswamy 2021 (arXiv 1905.03871), theorem 1
 */
export function gradientNoiseMultiplier(options: {
  /** σ, of the whole step. */
  readonly noiseMultiplier: number
  /** σ_b. */
  readonly countNoise: number
}): number {
  const name = 'gradientNoiseMultiplier'
  checkKnownKeys(options, ['noiseMultiplier', 'countNoise'], `${name} options`)
  const sigma = numberInRange(options.noiseMultiplier, `${name} noiseMultiplier`, { above: 0 })
  const count = numberInRange(options.countNoise, `${name} countNoise`, { above: 0 })
  if (sigma >= 2 * count) {
    throw optionError(`${name} countNoise`, `a number above ${sigma / 2}, half of noiseMultiplier`, count)
  }
  const ratio = sigma / (2 * count)
  return sigma / Math.sqrt((1 - ratio) * (1 + ratio))
}
