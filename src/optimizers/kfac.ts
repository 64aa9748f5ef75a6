import { optionError } from '../internal/errors.js'
import { seedOption } from './curvature-options.js'
import type { Filled } from './rule.js'
import { flag, group, isAdapted, numeric, refuseIdle, resolveByTable, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

export type KfacOptions = {
  /** Factor on the step; default 1. */
  readonly learningRate?: number | ScheduleOption
  /** λ: adapted by the reduction ratio, or a number or schedule that fixes it (and γ = √(λ + l2)). */
  readonly damping?:
    | {
        /** Default 1. */
        readonly initial?: number | ScheduleOption
        /** Updates from one adaptation to the next; default 5. */
        readonly every?: number | ScheduleOption
      }
    | number
    | ScheduleOption
  /** Updates from one choice of γ, the factors' damping, to the next; 0: γ = √(λ + l2). Default 20. */
  readonly gammaEvery?: number | ScheduleOption
  /** Updates from one inversion of the factors to the next; default 20. */
  readonly inverseEvery?: number | ScheduleOption
  /** Greatest weight of the old factors in the running average; default 0.95. */
  readonly factorDecay?: number | ScheduleOption
  /** Labels drawn from the model (`sampled`, the default), or the expectation over them by a pass for each output. */
  readonly factors?: 'sampled' | 'exact'
  /** γ split over the two factors (`factored`, the default), or γ² added to their product by eigenvectors. */
  readonly dampingForm?: 'factored' | 'eigen'
  /** The step's length: by the quadratic model with exact products (default), by KL clipping, or as it is. */
  readonly rescaling?: 'model' | 'klClip' | 'none'
  /** The last step takes part; with rescaling `model` only, where it is the default. */
  readonly momentum?: boolean
  /** κ of KL clipping; default 1e-3. */
  readonly klClip?: number | ScheduleOption
  /** Of the drawn labels; default 0. */
  readonly seed?: number
}
export type Kfac = Filled<KfacOptions> & { readonly kind: 'kfac' }

const options = {
  learningRate: numeric(1, { above: 0 }),
  damping: group(
    { initial: numeric(1, { above: 0 }), every: numeric(5, { min: 1 }) },
    { instead: 'initial', flag: 'adapt' },
  ),
  gammaEvery: numeric(20, { min: 0 }),
  inverseEvery: numeric(20, { min: 1 }),
  factorDecay: numeric(0.95, { min: 0, below: 1 }),
  factors: word('sampled', ['sampled', 'exact']),
  dampingForm: word('factored', ['factored', 'eigen']),
  rescaling: word('model', ['model', 'klClip', 'none']),
  momentum: flag(true),
  klClip: numeric(1e-3, { above: 0 }),
  seed: seedOption(),
}

/**
 * K-FAC: the curvature of each layer as a Kronecker product of the second moments of its inputs and of its deltas.
 *
 * For mini-batches as well as all the data. λ belongs to a loss that is a mean over outputs.
 *
 * @throws KrylovError ERR_OPTION
 * @example kfac({ damping: { initial: 0.1 } })
 * @see Martens and Grosse 2015 (arXiv 1503.05671)
 */
export function kfac(given: KfacOptions = {}): Kfac {
  const { rescaling = 'model' } = given ?? {}
  const defaults = rescaling === 'model' ? options : { ...options, momentum: flag(false) }
  const resolved = { kind: 'kfac', ...resolveByTable('kfac', defaults, given) } as Kfac
  if (resolved.momentum && rescaling !== 'model') {
    throw optionError('kfac momentum', "false, since rescaling is not 'model'", true)
  }
  const refuse = (path: string, because: string): void => refuseIdle('kfac', defaults, resolved, [path], because)
  if (rescaling !== 'klClip') refuse('klClip', `with rescaling '${rescaling}'`)
  if (resolved.factors === 'exact') refuse('seed', "with factors 'exact'")
  // A number or schedule, which fixes both λ and γ.
  if (!isAdapted(resolved.damping)) refuse('gammaEvery', 'with a fixed damping')
  return Object.freeze(resolved)
}

export const kfacRule = Object.freeze({ kind: 'kfac', options, resolve: kfac })
