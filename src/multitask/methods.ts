import { optionError, shapeError } from '../internal/errors.js'
import { arrayOf, checkKnownKeys, finiteArray, integerInRange, oneOf, record } from '../internal/validate.js'
import { checkOrder, count, fixed, flag, group, refuseIdle, resolveByTable, word } from '../optimizers/rule.js'

/*
 * Methods that make one direction d of the gradients g_1 ... g_T of several tasks. All are data; `createTaskCombiner`
 * makes them run.
 */

export type WeightedSumOptions = {
  /** One for each task; null, the default: 1. */
  readonly weights?: readonly number[] | null
  /** `mean` divides by the number of tasks; default `sum`. */
  readonly reduction?: 'sum' | 'mean'
}
export type WeightedSum = { readonly kind: 'weightedSum' } & Required<WeightedSumOptions>

export type PcGradOptions = {
  /**
   * In which order each task visits the others: at random, in the order of their indices, or a list of indices for each
   * task. Default `random`.
   */
  readonly order?: 'random' | 'index' | readonly (readonly number[])[]
  /** Whether a task visits itself too, as in released code; default false. */
  readonly includeSelf?: boolean
  /** Of random orders; default 0. */
  readonly seed?: number
  /** `mean` divides by the number of tasks; default `sum`. */
  readonly reduction?: 'sum' | 'mean'
}
export type PcGrad = { readonly kind: 'pcGrad' } & Required<PcGradOptions>

export type MgdaOptions = {
  /** What gradients are divided by before the weights are sought: nothing, ‖g‖, the loss, or loss · ‖g‖. Default `none`. */
  readonly scaling?: 'none' | 'l2' | 'loss' | 'loss+'
  /** Whether d is made of the scaled gradients, or (as the released code does) of those given. Default `scaled`. */
  readonly direction?: 'scaled' | 'unscaled'
  /** Default `exact`. */
  readonly solver?: 'exact' | 'frankWolfe'
  /** Of Frank-Wolfe; default 250. */
  readonly maxIterations?: number
  /** Frank-Wolfe stops where the weights change by less, in all; default 1e-5. */
  readonly tolerance?: number
}
export type Mgda = { readonly kind: 'mgda' } & Required<MgdaOptions>

export type CaGradOptions = {
  /** Radius of the ball around the mean gradient, in lengths of that; 0 <= c < 1, default 0.4. */
  readonly c?: number
  /** Divides d by 1 + c, 1 + c², or 1 + c‖g₀‖/‖g_w‖; default `none`. */
  readonly rescale?: 'none' | 'linear' | 'squared' | 'lengths'
  /** `sum` multiplies by the number of tasks; default `mean`. */
  readonly reduction?: 'sum' | 'mean'
}
export type CaGrad = { readonly kind: 'caGrad' } & Required<CaGradOptions>

export type GradNormOptions = {
  /** How strongly tasks that lag behind are favoured; default 1.5. */
  readonly alpha?: number
  /** Of the gradient descent on the weights; default 0.025. */
  readonly learningRate?: number
  /** One for each task; null, the default: those of the first call. */
  readonly initialLosses?: readonly number[] | null
  /** The elements whose norm is balanced, such as the last shared layer; null, the default: all. */
  readonly elements?: { readonly first: number; readonly count: number } | null
}
export type GradNorm = { readonly kind: 'gradNorm' } & Required<GradNormOptions>

export type SamGsOptions = {
  /** Least similarity of lengths that is modulated; default 0.7. */
  readonly gamma?: number
  /** Of the momenta; default 0.9. */
  readonly beta1?: number
  /** Of the dissimilarity; default 0.99. */
  readonly beta2?: number
  /** Added to the dissimilarity in every step; default 1e-8. */
  readonly epsilon?: number
  /** Lengths are equalised where the mean similarity, or that of any pair, is below gamma; default `mean`. */
  readonly rule?: 'mean' | 'any'
}
export type SamGs = { readonly kind: 'samGs' } & Required<SamGsOptions>

export type GCondOptions = {
  /** Default `smooth`. */
  readonly mode?: 'smooth' | 'zones'
  /** Cosines below which a pair is in conflict; default -0.8, -0.5, 0. */
  readonly thresholds?: { readonly critical?: number; readonly main?: number; readonly weak?: number }
  /** Exponent of the angle between `main` and `critical`, in smooth mode; default 2. */
  readonly remapPower?: number
  /** Winners that the arbiter remembers; default 3. */
  readonly dominanceWindow?: number
  /** What happens to a task that won all of these; default `loses`. */
  readonly dominance?: 'loses' | 'wins'
  /** Weights of the arbiter's two scores; default 0.8 and 0.2. */
  readonly arbiter?: { readonly stability?: number; readonly strength?: number }
  /** With which of the last step's gradients the stability score compares; default `resolved`. */
  readonly previousGradient?: 'resolved' | 'raw'
  /** Of the running norms; default 0.95. */
  readonly normDecay?: number
  /** Longer gradients are shortened to this; 0, the default: none are. */
  readonly normCap?: number
  /** Pairs resolved in a step; 0, the default: twice the number of tasks. */
  readonly maxIterations?: number
  /** β of the sum's momentum; 0: none. Default 0.85. */
  readonly momentum?: number
  /** Added to denominators; default 1e-8. */
  readonly epsilon?: number
  /** A conflict below `weak` by less than this is rounding; default 1e-7. */
  readonly tolerance?: number
  /** Signs in place of the momentum, scaled tensor by tensor; default false. */
  readonly lion?: false | { readonly scale?: number; readonly maxRatio?: number }
}
export type GCond = { readonly kind: 'gCond' } & Required<Omit<GCondOptions, 'thresholds' | 'arbiter' | 'lion'>> & {
    readonly thresholds: { readonly critical: number; readonly main: number; readonly weak: number }
    readonly arbiter: { readonly stability: number; readonly strength: number }
    readonly lion: false | { readonly scale: number; readonly maxRatio: number }
  }

/** A method with all its options. */
export type TaskMethod = WeightedSum | PcGrad | Mgda | CaGrad | GradNorm | SamGs | GCond
export type TaskMethodKind = TaskMethod['kind']
/** A method as functions take it: options may be missing. */
export type TaskMethodOption =
  | ({ readonly kind: 'weightedSum' } & WeightedSumOptions)
  | ({ readonly kind: 'pcGrad' } & PcGradOptions)
  | ({ readonly kind: 'mgda' } & MgdaOptions)
  | ({ readonly kind: 'caGrad' } & CaGradOptions)
  | ({ readonly kind: 'gradNorm' } & GradNormOptions)
  | ({ readonly kind: 'samGs' } & SamGsOptions)
  | ({ readonly kind: 'gCond' } & GCondOptions)

/** The most tasks that a combiner takes. */
export const mostTasks = 128

const below1 = { min: 0, below: 1 }
const positive = { min: 1e-300 }
const reductions = ['sum', 'mean'] as const

/** Splits off options that the table of rule.ts has no type for. */
function split(
  given: object,
  names: readonly string[],
  kind: string,
  table: object,
): [Record<string, unknown>, object] {
  checkKnownKeys(given, [...Object.keys(table), ...names], `${kind} options`)
  const rest = Object.fromEntries(Object.entries(given).filter(([name]) => !names.includes(name)))
  return [given, rest]
}

/**
 * d = Σ w_i g_i: linear scalarisation.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE
 * @example weightedSum({ weights: [1, 0.5] })
 */
export function weightedSum(given: WeightedSumOptions = {}): WeightedSum {
  const kind = 'weightedSum'
  const table = { reduction: word('sum', reductions) }
  const [{ weights = null }, rest] = split(given, ['weights'], kind, table)
  return Object.freeze({
    kind,
    weights: numbersOrNull(weights, `${kind} weights`, {}),
    ...resolveByTable(kind, table, rest),
  } as WeightedSum)
}

function numbersOrNull(value: unknown, name: string, range: { readonly min?: number }): readonly number[] | null {
  if (value === null) return null
  return Object.freeze(finiteArray(value, name, { minLength: 1, maxLength: mostTasks, ...range }))
}

/**
 * Projects conflicts away: for each task p = g_i visits the others, and where p · g_j < 0, p ← p − (p · g_j)/‖g_j‖² g_j
 * with g_j as given; d is the sum of the p.
 *
 * Differences from the released code, which `pcGrad({ order: 'index', includeSelf: true })` repeats: orders are random
 * and leave the task itself out, as the paper says.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE
 * @see Yu et al. 2020 (arXiv 2001.06782), algorithm 1
 */
export function pcGrad(given: PcGradOptions = {}): PcGrad {
  const kind = 'pcGrad'
  const table = {
    includeSelf: flag(false),
    seed: count(0, { min: 0, max: Number.MAX_SAFE_INTEGER }),
    reduction: word('sum', reductions),
  }
  const [{ order = 'random' }, rest] = split(given, ['order'], kind, table)
  const options = resolveByTable(kind, table, rest)
  const idle = (names: readonly string[]) =>
    refuseIdle(kind, table, options, names, `with order ${Array.isArray(order) ? 'given' : `'${order}'`}`)
  if (order !== 'random') idle(['seed'])
  if (Array.isArray(order)) idle(['includeSelf'])
  return Object.freeze({ kind, order: visitingOrder(order, `${kind} order`), ...options } as PcGrad)
}

function visitingOrder(value: unknown, name: string): PcGrad['order'] {
  if (!Array.isArray(value)) return oneOf(value, name, ['random', 'index'])
  const index = (item: unknown, path: string) => integerInRange(item, path, { min: 0, max: mostTasks - 1 })
  const visits = (list: unknown, path: string) => Object.freeze(arrayOf(list, path, index, { maxLength: 4096 }))
  return Object.freeze(arrayOf(value, name, visits, { maxLength: mostTasks }))
}

/**
 * The vector of least norm in the convex hull of the gradients, d = Σ w_i g_i with w on the simplex; then d · g_i ≥ ‖d‖²,
 * and d = 0 where no direction lowers every loss.
 *
 * Difference from the released code: weights are exact for any number of tasks, by an active set; `frankWolfe` is the
 * paper's iteration.
 *
 * @throws KrylovError ERR_OPTION
 * @see Désidéri 2012; Sener & Koltun 2018 (arXiv 1810.04650)
 */
export function mgda(given: MgdaOptions = {}): Mgda {
  const kind = 'mgda'
  const table = {
    scaling: word('none', ['none', 'l2', 'loss', 'loss+']),
    direction: word('scaled', ['scaled', 'unscaled']),
    solver: word('exact', ['exact', 'frankWolfe']),
    maxIterations: count(250, { min: 1, max: 1e6 }),
    tolerance: fixed(1e-5, { min: 0 }),
  }
  const options = resolveByTable(kind, table, given)
  if (options.solver === 'exact') {
    refuseIdle(kind, table, options, ['maxIterations', 'tolerance'], "with solver 'exact'")
  }
  if (options.scaling === 'none') refuseIdle(kind, table, options, ['direction'], "with scaling 'none'")
  return Object.freeze({ kind, ...options } as Mgda)
}

/**
 * The direction that does the worst task the most good within a ball around the mean gradient g₀: d maximises
 * min_i g_i · d subject to ‖d − g₀‖ ≤ c ‖g₀‖. d = g₀ + c ‖g₀‖/‖g_w‖ g_w, where w minimises g_w · g₀ + c ‖g₀‖ ‖g_w‖ on the
 * simplex and g_w = Σ w_i g_i; d = g₀ where g_w = 0.
 *
 * Differences from the released code: the dual is solved to rounding, nothing is added under roots, and d is not divided
 * unless `rescale` says so (1 + c² in most of its experiments).
 *
 * @throws KrylovError ERR_OPTION
 * @see Liu et al. 2021 (arXiv 2110.14048), equations 3 and 4
 */
export function caGrad(given: CaGradOptions = {}): CaGrad {
  const kind = 'caGrad'
  const table = {
    c: fixed(0.4, below1),
    rescale: word('none', ['none', 'linear', 'squared', 'lengths']),
    reduction: word('mean', reductions),
  }
  return Object.freeze({ kind, ...resolveByTable(kind, table, given) } as CaGrad)
}

/**
 * Learns weights that let the tasks train at one pace. With n_i = ‖g_i‖, G_i = w_i n_i and r_i the loss ratio L_i / L_i(0)
 * over its mean, w takes a step down Σ |G_i − mean(G) r_i^α|, the targets held fixed, and is scaled to the sum T.
 * d = Σ w_i g_i with the weights before the step.
 *
 * Differences from the paper: the step on w is plain gradient descent; initial losses below 1e-12 and weights below 1e-6
 * count as these.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE
 * @see Chen et al. 2018 (arXiv 1711.02257), algorithm 1
 */
export function gradNorm(given: GradNormOptions = {}): GradNorm {
  const kind = 'gradNorm'
  const table = { alpha: fixed(1.5, { min: 0 }), learningRate: fixed(0.025, { min: 0 }) }
  const [{ initialLosses = null, elements = null }, rest] = split(given, ['initialLosses', 'elements'], kind, table)
  return Object.freeze({
    kind,
    ...resolveByTable(kind, table, rest),
    initialLosses: numbersOrNull(initialLosses, `${kind} initialLosses`, { min: 0 }),
    elements: elements === null ? null : range(elements, `${kind} elements`),
  } as GradNorm)
}

function range(value: unknown, name: string): GradNorm['elements'] {
  const { first, count: length, ...others } = record(value, name)
  checkKnownKeys(others, [], name)
  return Object.freeze({
    first: integerInRange(first, `${name}.first`, { min: 0 }),
    count: integerInRange(length, `${name}.count`, { min: 1 }),
  })
}

/**
 * Adjusts gradients by how similar their lengths are, s_ij = 2 n_i n_j / (n_i² + n_j²) with mean s. m and v are running
 * means of the gradients and of (1 − s)² (plus ε in every step). s < γ: d = Σ g_i / n_i · mean(n); otherwise
 * d = Σ g_i ∘ |m̂_i| / √v̂, whose length is not that of a gradient: clip it, or step with Adam.
 *
 * Differences from the released code: two zero gradients are similar; one task alone is left as it is.
 *
 * @throws KrylovError ERR_OPTION
 * @see Borsani et al. 2025 (arXiv 2506.06130); the released code
 */
export function samGs(given: SamGsOptions = {}): SamGs {
  const kind = 'samGs'
  const table = {
    gamma: fixed(0.7, { min: 0, max: 1 }),
    beta1: fixed(0.9, below1),
    beta2: fixed(0.99, below1),
    epsilon: fixed(1e-8, positive),
    rule: word('mean', ['mean', 'any']),
  }
  return Object.freeze({ kind, ...resolveByTable(kind, table, given) } as SamGs)
}

/**
 * Resolves the strongest conflict of a pair after another, with a loser and a winner that an arbiter names, then sums and
 * smooths: m ← βm + (1 − β) Σ g_i, d = m / (1 − β^t). Leave the first moment of the optimizer behind it at 0.
 *
 * The page on several tasks has the formulas. Differences from the released code: buffers have the dtype of the
 * gradients, and `tolerance` keeps a pair just made orthogonal from counting again; 0 repeats the code.
 *
 * @throws KrylovError ERR_OPTION
 * @see Limarenko & Studenikina 2025 (arXiv 2509.07252); the released code
 */
export function gCond(given: GCondOptions = {}): GCond {
  const kind = 'gCond'
  const cosine = { min: -1, max: 1 }
  const signs = { scale: fixed(1e-4, { min: 0 }), maxRatio: fixed(100, { min: 0 }) }
  const table = {
    mode: word('smooth', ['smooth', 'zones']),
    thresholds: group({ critical: fixed(-0.8, cosine), main: fixed(-0.5, cosine), weak: fixed(0, cosine) }),
    remapPower: fixed(2, { min: 0 }),
    dominanceWindow: count(3, { min: 1, max: 4096 }),
    dominance: word('loses', ['loses', 'wins']),
    arbiter: group({ stability: fixed(0.8, { min: 0 }), strength: fixed(0.2, { min: 0 }) }),
    previousGradient: word('resolved', ['resolved', 'raw']),
    normDecay: fixed(0.95, { min: 0, max: 1 }),
    normCap: fixed(0, { min: 0 }),
    maxIterations: count(0, { min: 0, max: 1e6 }),
    momentum: fixed(0.85, below1),
    epsilon: fixed(1e-8, positive),
    tolerance: fixed(1e-7, { min: 0 }),
    lion: group(signs, { instead: 'off', flag: 'on' }),
  }
  const [{ lion = false }, rest] = split(given, ['lion'], kind, table)
  const options = resolveByTable(kind, table, { ...rest, lion }) as unknown as Omit<GCond, 'kind'>
  const { critical, main, weak } = options.thresholds
  checkOrder([`${kind} thresholds.main`, main], [`${kind} thresholds.weak`, weak])
  checkOrder([`${kind} thresholds.critical`, critical], [`${kind} thresholds.main`, main])
  if (options.mode === 'zones') refuseIdle(kind, table, options, ['remapPower'], "with mode 'zones'")
  return Object.freeze({ kind, ...options })
}

const factories = { weightedSum, pcGrad, mgda, caGrad, gradNorm, samGs, gCond }

/** Every kind of method. */
export const taskMethodKinds = Object.freeze(Object.keys(factories)) as readonly TaskMethodKind[]

/** Checks a method, fills in its options, and compares lists of it with the number of tasks. */
export function resolveTaskMethod(value: unknown, name: string, tasks: number): TaskMethod {
  const { kind, ...options } = record(value, name)
  const method = (factories[oneOf(kind, `${name}.kind`, taskMethodKinds)] as (given: object) => TaskMethod)(options)
  const lists = {
    weights: method.kind === 'weightedSum' ? method.weights : null,
    initialLosses: method.kind === 'gradNorm' ? method.initialLosses : null,
    order: method.kind === 'pcGrad' && typeof method.order !== 'string' ? method.order : null,
  }
  for (const [option, list] of Object.entries(lists)) {
    if (list !== null && list.length !== tasks) {
      throw shapeError(`${method.kind} ${option}`, `one entry for each of the ${tasks} tasks`, list)
    }
  }
  for (const [task, visits] of (lists.order ?? []).entries()) {
    const wrong = visits.find((other) => other >= tasks)
    if (wrong !== undefined) throw optionError(`${method.kind} order[${task}]`, `indices of ${tasks} tasks`, wrong)
  }
  return method
}
