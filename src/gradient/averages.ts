import type { OptionTable } from '../optimizers/rule.js'
import { fixed, flag, resolveByTable, word } from '../optimizers/rule.js'

export type AsymmetricSmoothingOptions = {
  /** β₊: how much of the average of positive parts stays, from 0 and below 1; default 0.9. */
  readonly decayPositive?: number
  /** β₋, of negative parts; default 0.5. */
  readonly decayNegative?: number
  /** Divides the averages by 1 − βᵗ; default true. */
  readonly biasCorrection?: boolean
}
export type AsymmetricSmoothing = { readonly kind: 'asymmetricSmoothing' } & Required<AsymmetricSmoothingOptions>

export type DirectionalBiasOptions = {
  /** β of the average M of past gradients, from 0 and below 1; default 0.9. */
  readonly decay?: number
  /** a: factor of what lies along M; default 1. */
  readonly parallel?: number
  /** b: factor of the rest; default 0.5. */
  readonly perpendicular?: number
  /** A direction for each `tensor` (default), or one of all (`global`). */
  readonly scope?: 'tensor' | 'global'
}
export type DirectionalBias = { readonly kind: 'directionalBias' } & Required<DirectionalBiasOptions>

const decay = { min: 0, below: 1 }
const smoothingTable: OptionTable = {
  decayPositive: fixed(0.9, decay),
  decayNegative: fixed(0.5, decay),
  biasCorrection: flag(true),
}
const biasTable: OptionTable = {
  decay: fixed(0.9, decay),
  parallel: fixed(1),
  perpendicular: fixed(0.5),
  scope: word('tensor', ['tensor', 'global']),
}

/**
 * Averages the positive and the negative parts of every element of the gradient with memories of their own:
 * P ← β₊ P + (1 − β₊) max(g, 0), Q ← β₋ Q + (1 − β₋) max(−g, 0), and P / (1 − β₊ᵗ) − Q / (1 − β₋ᵗ) takes g's place.
 * Equal decays give the ordinary moving average, both 0 the gradient itself. A definition of this project.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss, gradient: asymmetricSmoothing({ decayPositive: 0.8 }) })
 */
export function asymmetricSmoothing(options: AsymmetricSmoothingOptions = {}): AsymmetricSmoothing {
  const kind = 'asymmetricSmoothing'
  return Object.freeze({ kind, ...resolveByTable(kind, smoothingTable, options) }) as AsymmetricSmoothing
}

/**
 * Scales what lies along the recent direction apart from the rest: with M the moving average of the gradients before this
 * one and k = ⟨M, g⟩ / ‖M‖², a k M + b (g − k M) takes g's place. The first gradient passes as it is. A definition of
 * this project.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss, gradient: directionalBias({ perpendicular: 0.25 }) })
 */
export function directionalBias(options: DirectionalBiasOptions = {}): DirectionalBias {
  const kind = 'directionalBias'
  return Object.freeze({ kind, ...resolveByTable(kind, biasTable, options) }) as DirectionalBias
}
