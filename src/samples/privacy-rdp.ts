/*
 * Rényi divergence of the Gaussian mechanism on a Poisson sample of the records (Mironov, Talwar & Zhang 2019, arXiv
 * 1908.10530, section 3.3). σ: noise multiplier, q: probability of a record to be in a sample, α > 1: order,
 *
 *     RDP(α) = log A / (α − 1),   A = E[(1 + q e)^α],   e = expm1((2z − 1) / (2σ²)),   z ~ N(0, σ²),   E e = 0
 *
 * Differences from the paper: at fractional orders its series are replaced by quadrature of
 *
 *     A − 1 = E[(1 + q e)^α − 1 − α q e]
 *
 * whose integrand is never negative, so that small q lose no digits. (The series alternates, and the accountants that add
 * its absolute values report an upper bound.)
 */

/** Natural logarithm of a sum that may be too large for a number: terms are added by their logarithms. */
class LogSum {
  #largest = Number.NEGATIVE_INFINITY
  #sum = 0

  add(term: number): void {
    if (term <= this.#largest) {
      this.#sum += Math.exp(term - this.#largest)
    } else if (term > Number.NEGATIVE_INFINITY) {
      this.#sum = this.#sum * Math.exp(this.#largest - term) + 1
      this.#largest = term
    }
  }

  get log(): number {
    return this.#largest === Number.NEGATIVE_INFINITY ? this.#largest : this.#largest + Math.log(this.#sum)
  }
}

// Above it 1 + e^x is e^x to the last bit.
const negligibleOne = 37

/** log(1 + e^x). */
function log1pExp(x: number): number {
  return x > negligibleOne ? x : Math.log1p(Math.exp(x))
}

/** A at integer orders: Σ_{k ≥ 2} C(α, k) (1 − q)^(α−k) q^k expm1((k² − k) / (2σ²)) is A − 1, without cancellation. */
function logMomentAtInteger(sigma: number, q: number, order: number): number {
  const logQ = Math.log(q)
  const logRest = Math.log1p(-q)
  const sum = new LogSum()
  let logBinomial = Math.log(order)
  for (let k = 2; k <= order; k++) {
    logBinomial += Math.log((order - k + 1) / k)
    const exponent = ((k - 1) / sigma) * (k / (2 * sigma))
    const logGrowth = exponent > negligibleOne ? exponent : Math.log(Math.expm1(exponent))
    sum.add(logBinomial + (order - k) * logRest + k * logQ + logGrowth)
  }
  return log1pExp(sum.log)
}

/** (1 + x)^α − 1 − α x for small x, by its series: the difference would lose the digits that x is below 1. */
function remainderSeries(x: number, order: number): number {
  let term = (order * (order - 1) * x * x) / 2
  let sum = term
  for (let k = 2; Math.abs(term) > 1e-18 * sum; k++) {
    term *= ((order - k) / (k + 1)) * x
    sum += term
  }
  return sum
}

// Beyond so many standard deviations a normal tail is below the last bit of what it is added to.
const farAway = 9
// Ends and steps of the trapezoidal rule, in standard deviations; the step is also short beside σ², the width of the
// logistic in e. The rule converges geometrically on such integrands.
const tailWidth = 13
const stepsPerWidth = 8
// Above it (1 + q e)^α is kept as its logarithm.
const largestExponent = 30

function logMomentByQuadrature(sigma: number, q: number, order: number): number {
  const step = (sigma * Math.min(1, sigma)) / stepsPerWidth
  const logQ = Math.log(q)
  const scale = step / (sigma * Math.sqrt(2 * Math.PI))
  const logScale = Math.log(scale)
  const from = -tailWidth * sigma
  const points = Math.ceil((order + 2 * tailWidth * sigma) / step)
  const large = new LogSum()
  let small = 0
  for (let index = 0; index <= points; index++) {
    const z = from + index * step
    const logDensity = -0.5 * (z / sigma) ** 2
    const a = (2 * z - 1) / (2 * sigma * sigma)
    const x = q * Math.expm1(a)
    const u = x < 1e300 ? Math.log1p(x) : logQ + a
    if (order * u > largestExponent) {
      // α x = α e^u − α, divided by e^{αu}.
      const rest = order * Math.exp((1 - order) * u) + (1 - order) * Math.exp(-order * u)
      large.add(logScale + logDensity + order * u + Math.log1p(-rest))
    } else {
      const value = Math.abs(x) * (order + 1) < 0.1 ? remainderSeries(x, order) : Math.expm1(order * u) - order * x
      small += scale * Math.exp(logDensity) * value
    }
  }
  const log = large.log
  return log > negligibleOne ? log : Math.log1p(small + Math.exp(log))
}

/**
 * For little noise: the integrand of E[(1 + q e)^α] is (1 − q)^α around z = 0 and q^α e^{α(2z−1)/(2σ²)} around z = α, and
 * nothing near z0, where the two meet. Undefined where z0 is too near for that.
 */
function logMomentOfLittleNoise(sigma: number, q: number, order: number): number | undefined {
  const z0 = sigma * sigma * (Math.log1p(-q) - Math.log(q)) + 0.5
  if (z0 < farAway * sigma || order - z0 < farAway * sigma) return undefined
  const near = Math.expm1(order * Math.log1p(-q))
  const far = order * Math.log(q) + ((order / sigma) * ((order - 1) / sigma)) / 2
  return far > negligibleOne ? far : Math.max(0, Math.log1p(near + Math.exp(far)))
}

/**
 * RDP of one step at one order; infinite without noise.
 *
 * @param sigma at least 0
 * @param q 0 to 1
 * @param order above 1
 */
export function rdpOfStep(sigma: number, q: number, order: number): number {
  if (q === 0) return 0
  if (sigma === 0) return Number.POSITIVE_INFINITY
  if (q === 1) return order / sigma / sigma / 2
  const logMoment = Number.isInteger(order)
    ? logMomentAtInteger(sigma, q, order)
    : (logMomentOfLittleNoise(sigma, q, order) ?? logMomentByQuadrature(sigma, q, order))
  return logMoment / (order - 1)
}
