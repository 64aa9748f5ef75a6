import type { Adam, AdamOptions } from './adam.js'
import { adamTable } from './adam.js'
import { resolveByTable } from './rule.js'

/** As Adam's, but `weightDecay` is decoupled and its default is 0.01. */
export type AdamWOptions = AdamOptions
export type AdamW = Omit<Adam, 'kind'> & { readonly kind: 'adamw' }

const options = adamTable(0.01)

/**
 * AdamW: w ← (1 − ηλ)w, then Adam's step with the undecayed gradient.
 *
 * Difference from the paper, as in PyTorch: the paper multiplies λ by the schedule's multiplier only, so its λ is η0
 * times this one.
 *
 * @throws KrylovError ERR_OPTION
 * @example adamw({ learningRate: 1e-3, weightDecay: 0.05 })
 * @see Loshchilov and Hutter 2017; PyTorch 1.13, torch.optim.AdamW
 */
export function adamw(given: AdamWOptions = {}): AdamW {
  return Object.freeze({ kind: 'adamw', ...resolveByTable('adamw', options, given) } as AdamW)
}

export const adamwRule = Object.freeze({ kind: 'adamw', options, resolve: adamw })
