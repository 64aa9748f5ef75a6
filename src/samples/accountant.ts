import { checkKnownKeys, integerInRange, record } from '../internal/validate.js'
import type { EpsilonOptions, PrivacySpent, SubsampledGaussianOptions } from './privacy.js'
import { divergences, epsilonOptions, leastEpsilon, ordersOption, stepOption } from './privacy.js'
import { rdpOfStep } from './privacy-rdp.js'

/** What has been spent so far, order by order; plain JSON. */
export type PrivacyAccountantState = {
  readonly orders: readonly number[]
  /** Null: infinite, which JSON cannot say. */
  readonly rdp: readonly (number | null)[]
  /** Steps taken. */
  readonly steps: number
}

export type PrivacyAccountantOptions =
  | {
      /** α, each above 1, ascending; default `defaultRdpOrders`. */
      readonly orders?: readonly number[]
      readonly state?: never
    }
  | {
      /** Goes on where another accountant was. */
      readonly state: PrivacyAccountantState
      readonly orders?: never
    }

/** Adds up the privacy that steps cost, whatever their noise and sample rate; made by `createPrivacyAccountant`. */
export class PrivacyAccountant {
  readonly orders: readonly number[]
  readonly #rdp: number[]
  #steps: number
  // Steps of a training are alike: the divergences of the last one.
  #last = { noiseMultiplier: Number.NaN, sampleRate: Number.NaN, rdp: [] as readonly number[] }

  /** @internal */
  constructor(orders: readonly number[], rdp: number[], steps: number) {
    this.orders = orders
    this.#rdp = rdp
    this.#steps = steps
  }

  /** Steps taken. */
  get steps(): number {
    return this.#steps
  }

  /**
   * Takes one step, or `steps` of them that are alike. A step whose batch was empty counts too.
   *
   * @throws KrylovError ERR_OPTION
   */
  step(options: Omit<SubsampledGaussianOptions, 'orders'>): void {
    const name = 'accountant step'
    checkKnownKeys(options, ['noiseMultiplier', 'sampleRate', 'steps'], `${name} options`)
    const { noiseMultiplier, sampleRate, steps } = stepOption(options, name)
    const total = integerInRange(this.#steps + steps, `${name} steps`)
    if (noiseMultiplier !== this.#last.noiseMultiplier || sampleRate !== this.#last.sampleRate) {
      const rdp = this.orders.map((order) => rdpOfStep(noiseMultiplier, sampleRate, order))
      this.#last = { noiseMultiplier, sampleRate, rdp }
    }
    if (steps > 0) {
      for (const [index, rdp] of this.#last.rdp.entries()) this.#rdp[index] = (this.#rdp[index] as number) + steps * rdp
    }
    this.#steps = total
  }

  /**
   * The ε that all steps taken so far have spent, as `rdpToEpsilon`.
   *
   * @param options `delta`, and `conversion`
   */
  epsilon(options: EpsilonOptions): PrivacySpent {
    return leastEpsilon(this.orders, this.#rdp, epsilonOptions(options, 'accountant epsilon'))
  }

  /** A copy of the state. */
  state(): PrivacyAccountantState {
    return {
      orders: [...this.orders],
      rdp: this.#rdp.map((value) => (Number.isFinite(value) ? value : null)),
      steps: this.#steps,
    }
  }
}

/**
 * Makes an accountant that has seen no step, or one that goes on from a state.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE
 * @example
 * const accountant = createPrivacyAccountant()
 * accountant.step({ noiseMultiplier: 1.1, sampleRate: 0.01, steps: 100 })
 * accountant.epsilon({ delta: 1e-5 }).epsilon
 */
export function createPrivacyAccountant(options: PrivacyAccountantOptions = {}): PrivacyAccountant {
  const name = 'createPrivacyAccountant'
  checkKnownKeys(options, ['orders', 'state'], `${name} options`)
  const given = options as PrivacyAccountantOptions
  if (given.state !== undefined) checkKnownKeys(options, ['state'], `${name} options`)
  if (given.state === undefined) {
    const orders = ordersOption(given.orders, `${name} orders`)
    return new PrivacyAccountant(
      orders,
      orders.map(() => 0),
      0,
    )
  }
  const state = record(given.state, `${name} state`)
  checkKnownKeys(state, ['orders', 'rdp', 'steps'], `${name} state`, { path: 'state' })
  const orders = ordersOption(state.orders ?? null, `${name} state.orders`)
  const rdp = Array.isArray(state.rdp) ? state.rdp.map((value) => value ?? Number.POSITIVE_INFINITY) : state.rdp
  return new PrivacyAccountant(
    orders,
    divergences(rdp, `${name} state.rdp`, orders.length),
    integerInRange(state.steps, `${name} state.steps`, { min: 0 }),
  )
}
