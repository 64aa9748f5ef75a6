import { optionError } from '../internal/errors.js'
import type { Filled } from './rule.js'
import { count, fixed, numeric, resolveByTable, word } from './rule.js'
import type { ScheduleOption } from './schedule.js'

/** β by its authors; `hagerZhang` is the truncation of 2013. */
export type ConjugateFormula =
  | 'fletcherReeves'
  | 'polakRibiere'
  | 'hestenesStiefel'
  | 'daiYuan'
  | 'hagerZhang'
  | 'hagerZhang2005'

export type NonlinearConjugateGradientOptions = {
  /** Default `polakRibiere`, in its form PR+. */
  readonly formula?: ConjugateFormula
  /** The method is done where the largest entry of the gradient is at most this; default 1e-7. */
  readonly gradientTolerance?: number | ScheduleOption
  /** And where a step changes no parameter, or the value, by more than this, or −gᵀd is below it; default 1e-9. */
  readonly changeTolerance?: number | ScheduleOption
  /** Of the strong Wolfe conditions, 0 < c1 < c2 < 1; default 1e-4. */
  readonly c1?: number
  /** Default 0.1. */
  readonly c2?: number
  /** Default 25. */
  readonly maxLineSearchIterations?: number
  /** Steps after which the direction is the gradient's again; 0 (default): as many as there are parameters. */
  readonly restartEvery?: number
  /** Also where |g₊ᵀg| ≥ this ‖g₊‖² (Powell); 0: never. Default 0.1, for the Hager-Zhang formulas 0. */
  readonly restartThreshold?: number
}
export type NonlinearConjugateGradient = Filled<NonlinearConjugateGradientOptions> & {
  readonly kind: 'nonlinearConjugateGradient'
}

const kind = 'nonlinearConjugateGradient' as const
const formulas: readonly ConjugateFormula[] = [
  'fletcherReeves',
  'polakRibiere',
  'hestenesStiefel',
  'daiYuan',
  'hagerZhang',
  'hagerZhang2005',
]

function table(restartThreshold: number) {
  return {
    formula: word('polakRibiere', formulas),
    gradientTolerance: numeric(1e-7, { min: 0 }),
    changeTolerance: numeric(1e-9, { min: 0 }),
    c1: fixed(1e-4, { above: 0, below: 1 }),
    c2: fixed(0.1, { above: 0, below: 1 }),
    maxLineSearchIterations: count(25),
    restartEvery: count(0, { min: 0 }),
    restartThreshold: fixed(restartThreshold, { min: 0 }),
  }
}
const options = table(0.1)

/**
 * Nonlinear conjugate gradients: d ← −g + βd, each step by a strong Wolfe line search.
 *
 * @throws KrylovError ERR_OPTION
 * @example nonlinearConjugateGradient({ formula: 'hagerZhang' })
 * @see Nocedal and Wright 2006, section 5.2; Hager and Zhang 2005, 2013
 */
export function nonlinearConjugateGradient(given: NonlinearConjugateGradientOptions = {}): NonlinearConjugateGradient {
  const { formula } = given ?? {}
  const defaults = formula === 'hagerZhang' || formula === 'hagerZhang2005' ? table(0) : options
  const resolved = { kind, ...resolveByTable(kind, defaults, given) } as NonlinearConjugateGradient
  if (resolved.c1 >= resolved.c2) throw optionError(`${kind} c1`, `a number below c2, ${resolved.c2}`, resolved.c1)
  return Object.freeze(resolved)
}

export const nonlinearConjugateGradientRule = Object.freeze({ kind, options, resolve: nonlinearConjugateGradient })
