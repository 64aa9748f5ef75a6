import { checkKnownKeys, integerInRange } from '../internal/validate.js'
import type { OptionTable } from '../optimizers/rule.js'
import { count, fixed, resolveByTable } from '../optimizers/rule.js'

export type LowRankFilterOptions = {
  /** r: directions that are kept. Matrices whose smaller side is not larger pass as they are. */
  readonly rank: number
  /** ρ: how much of the covariance stays, from 0 and below 1; default 0.9. */
  readonly decay?: number
  /** Updates from one look for the directions to the next; default 1. */
  readonly refresh?: number
  /** First updates whose gradients pass as they are; default 1. */
  readonly warmup?: number
  /** κ: factor of what is not along the directions, 0 to 1; default 0. */
  readonly residual?: number
}
export type LowRankFilter = { readonly kind: 'lowRankFilter' } & Required<LowRankFilterOptions>

const table: OptionTable = {
  rank: count(1),
  decay: fixed(0.9, { min: 0, below: 1 }),
  refresh: count(1),
  warmup: count(1, { min: 0, max: 1e9 }),
  residual: fixed(0, { min: 0, max: 1 }),
}

/**
 * Brings the gradient G of every weight matrix near to the space that recent gradients spanned: on the shorter side
 * C ← ρ C + (1 − ρ) G Gᵀ (or Gᵀ G), U are the r leading eigenvectors of C, K = U Uᵀ G (or G U Uᵀ), and K + κ (G − K)
 * takes G's place. Vectors pass. With m the shorter side and n the longer, a step costs m² n operations and every refresh
 * about 10 m³, on one thread a matrix: give wide layers a larger `refresh`. A definition of this project.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss, gradient: lowRankFilter({ rank: 4, refresh: 20 }) })
 */
export function lowRankFilter(options: LowRankFilterOptions): LowRankFilter {
  const kind = 'lowRankFilter'
  checkKnownKeys(options, Object.keys(table), `${kind} options`)
  integerInRange(options.rank, `${kind} rank`, { min: 1 })
  return Object.freeze({ kind, ...resolveByTable(kind, table, options) }) as LowRankFilter
}
