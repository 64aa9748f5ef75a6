import type { TypedArrayOf } from '../internal/arrays.js'
import { convertedFloats, dtypeOption, floatArray, unshared } from '../internal/arrays.js'
import type { Answer, Computation, Source } from '../internal/computation.js'
import { run, runSync } from '../internal/computation.js'
import { optionError, shapeError } from '../internal/errors.js'
import type { DType, FloatArray, NativeMinimization, NativeRequest, NativeUpdate } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { signalOption } from '../internal/task.js'
import { callable, checkKnownKeys, integerInRange, numberInRange, optional } from '../internal/validate.js'
import type { MinimizerOption } from '../optimizers/registry.js'
import { resolveMinimizer, toNativeOptimizer } from '../optimizers/registry.js'
import type { StepNumbers, StepWords } from './history.js'
import type { MinimizeState } from './minimize-state.js'
import { fromNativeMinimization, toNativeMinimization } from './minimize-state.js'
import { checkNames } from './state.js'

/** A function f of n variables, or a sum of squares Σ e², by functions that fill the arrays they are given. */
export type MinimizeProblem<D extends DType = 'float64'> = {
  /** Element type of x and of all arrays; default float64. */
  readonly dtype?: D
  /** f(x); the gradient [n] goes to `gradient`. May be absent where there are `residuals`. */
  readonly valueAndGradient?: (x: TypedArrayOf<D>, gradient: TypedArrayOf<D>) => number
  /** f(x), where it is cheaper alone. */
  readonly value?: (x: TypedArrayOf<D>) => number
  /** The Hessian at x times v, into `out` [n]. */
  readonly hessianProduct?: (x: TypedArrayOf<D>, v: TypedArrayOf<D>, out: TypedArrayOf<D>) => void
  /** A positive semidefinite approximation of it, into `out` [n]. */
  readonly ggnProduct?: (x: TypedArrayOf<D>, v: TypedArrayOf<D>, out: TypedArrayOf<D>) => void
  /** Residuals e, for levenbergMarquardt. Without `valueAndGradient` the function is Σ e². */
  readonly residuals?: {
    /** m. */
    readonly count: number
    /** e(x) [m] into `out`. */
    readonly residual: (x: TypedArrayOf<D>, out: TypedArrayOf<D>) => void
    /** ∂e/∂x [m, n], row-major, into `out`. */
    readonly jacobian: (x: TypedArrayOf<D>, out: TypedArrayOf<D>) => void
  }
}

/** What is known after an iteration. */
export type MinimizeIteration<D extends DType = 'float64'> = {
  /** 1 for the first. */
  readonly iteration: number
  /** A copy. */
  readonly x: TypedArrayOf<D>
  readonly value: number
  /** Evaluations of the function so far. */
  readonly evaluations: number
  readonly accepted: boolean
  readonly numbers: StepNumbers
  readonly words: StepWords
  /** A copy of the state after this iteration; to be called within the listener. */
  readonly state: () => MinimizeState
}

export type MinimizeOptions<D extends DType = 'float64'> = {
  /** Those of a resumed state included; default 1000. */
  readonly maxIterations?: number
  /** Ends the run where the gradient's norm at the start of an iteration was at most this; default 0: the optimizer decides. */
  readonly tolerance?: number
  readonly signal?: AbortSignal
  /** Continues an earlier run, whose x is `x0`, to the same bits as if there had been no break. */
  readonly resume?: MinimizeState
  /** Called after each iteration. What it throws ends the run. */
  readonly onIteration?: (iteration: MinimizeIteration<D>) => unknown
}

export type MinimizeReason = 'converged' | 'maxIterations' | 'aborted' | 'notFinite'

export type MinimizeResult<D extends DType = 'float64'> = {
  /** The last iterate. */
  readonly x: TypedArrayOf<D>
  readonly value: number
  /** `notFinite`: the function, its gradient or the next iterate was not; x is the iterate before. */
  readonly reason: MinimizeReason
  /** For `converged`: the optimizer's word, such as `gradientTolerance`, or `tolerance`. */
  readonly converged?: string
  /** Resumed ones included, as in `evaluations`. */
  readonly iterations: number
  readonly evaluations: number
  /** Of the last iteration. */
  readonly numbers: StepNumbers
  readonly words: StepWords
  /** For `resume`. After `notFinite` it may hold numbers that are not finite, and then it is refused. */
  readonly state: MinimizeState
}

type Functions = Required<Omit<MinimizeProblem<DType>, 'dtype' | 'residuals'>> &
  NonNullable<MinimizeProblem<DType>['residuals']>
type Prepared = {
  readonly handle: NativeMinimization
  readonly kind: string
  readonly sources: readonly Source[]
  readonly place: 'background' | 'here'
  readonly maxIterations: number
  readonly tolerance: number
  readonly signal: AbortSignal | undefined
  readonly onIteration: ((iteration: MinimizeIteration<DType>) => unknown) | undefined
}

const problemKeys = ['dtype', 'valueAndGradient', 'value', 'hessianProduct', 'ggnProduct', 'residuals'] as const
const mostResiduals = 2 ** 31
/** Vectors from this length on are worth the way to the compute thread; shorter ones stay with their functions. */
const manyElements = 256

/** The functions of a problem, checked. */
function functionsOf(problem: Record<string, unknown>): { functions: Partial<Functions>; residualCount: number } {
  const functions: Record<string, unknown> = {}
  for (const name of ['valueAndGradient', 'value', 'hessianProduct', 'ggnProduct'] as const) {
    if (problem[name] !== undefined) functions[name] = callable(problem[name], `problem.${name}`)
  }
  let residualCount = 0
  if (problem.residuals !== undefined) {
    const { residuals } = problem
    checkKnownKeys(residuals, ['count', 'residual', 'jacobian'], 'problem.residuals')
    residualCount = integerInRange(residuals.count, 'problem.residuals.count', { min: 1, max: mostResiduals })
    functions.residual = callable(residuals.residual, 'problem.residuals.residual')
    functions.jacobian = callable(residuals.jacobian, 'problem.residuals.jacobian')
  } else if (functions.valueAndGradient === undefined) {
    throw optionError('problem.valueAndGradient', 'a function, or residuals', undefined)
  }
  return { functions: functions as Partial<Functions>, residualCount }
}

/** The answers to the core's requests, by the numbers of NativeFunctionSources. */
function sourcesOf(functions: Partial<Functions>, dtype: DType): Source[] {
  // One array for each kind of output: the core copies it at once.
  const outputs = new Map<number, TypedArrayOf<DType>>()
  const outputOf = ({ source, outputLength }: NativeRequest): TypedArrayOf<DType> => {
    const array = outputs.get(source) ?? floatArray(dtype, outputLength)
    outputs.set(source, array)
    return array.fill(0)
  }
  const input = (request: NativeRequest): TypedArrayOf<DType> => request.input as TypedArrayOf<DType>
  const number = (value: unknown, name: string): number => {
    if (typeof value !== 'number') throw optionError(`result of ${name}`, 'a number', value)
    return value
  }
  const filled = (request: NativeRequest, fill: (output: TypedArrayOf<DType>) => unknown): Answer => {
    const output = outputOf(request)
    const value = fill(output)
    return { output, value: typeof value === 'number' ? value : 0 }
  }
  let place: TypedArrayOf<DType> = floatArray(dtype, 0)
  const { value, valueAndGradient, hessianProduct, ggnProduct, residual, jacobian } = functions as Functions
  return [
    (request) => ({ output: null, value: number(value(input(request)), 'value') }),
    (request) => filled(request, (out) => number(valueAndGradient(input(request), out), 'valueAndGradient')),
    (request) => {
      place = input(request)
      return { output: null, value: 0 }
    },
    (request) => filled(request, (out) => hessianProduct(place, input(request), out)),
    (request) => filled(request, (out) => ggnProduct(place, input(request), out)),
    (request) => filled(request, (out) => residual(input(request), out)),
    (request) => filled(request, (out) => jacobian(input(request), out)),
  ]
}

function startOf(value: unknown, dtype: DType): FloatArray {
  const length = (value as { length?: unknown } | null | undefined)?.length
  if (typeof length !== 'number' || length < 1) throw shapeError('x0', 'at least one number', value)
  return unshared(convertedFloats(value, 'x0', dtype, length))
}

function prepare(problem: unknown, x0: unknown, optimizer: unknown, options: unknown): Prepared {
  checkKnownKeys(problem, problemKeys, 'problem', { noun: 'member' })
  checkKnownKeys(options, ['maxIterations', 'tolerance', 'signal', 'resume', 'onIteration'], 'minimize options')
  const dtype = problem.dtype === undefined ? 'float64' : dtypeOption(problem.dtype, 'problem.dtype')
  const { functions, residualCount } = functionsOf(problem)
  const { maxIterations = 1000, tolerance = 0, onIteration } = options
  const iterations = integerInRange(maxIterations, 'maxIterations', { min: 0 })
  const least = numberInRange(tolerance, 'tolerance', { min: 0 })
  const listener = onIteration === undefined ? undefined : callable<never>(onIteration, 'onIteration')
  const signal = signalOption(options.signal, 'signal')
  const spec = resolveMinimizer(optimizer, 'optimizer')
  const start = startOf(x0, dtype)
  const state = optional(options.resume, null, (value) =>
    toNativeMinimization(value, 'resume', spec.kind, dtype, start),
  )
  const handle = new (addon().Minimization)(toNativeOptimizer(spec, Math.max(1, iterations)), start, {
    value: functions.value !== undefined,
    gradient: functions.valueAndGradient !== undefined,
    hessian: functions.hessianProduct !== undefined,
    ggn: functions.ggnProduct !== undefined,
    residualCount,
  })
  if (state !== null) {
    handle.setState(state)
    checkNames(state, handle.state(), 'resume.optimizer')
  }
  const sources = sourcesOf(functions, dtype)
  return {
    handle,
    kind: spec.kind,
    sources,
    place: start.length < manyElements ? 'here' : 'background',
    maxIterations: iterations,
    tolerance: least,
    signal,
    onIteration: listener,
  }
}

/** The function's value at the present x, whatever the signal says. */
function finalValue({ handle, sources, place }: Prepared): Computation<number> {
  return { native: handle.evaluate(), sources, place, signal: undefined }
}

function stateOf({ handle, kind }: Prepared): MinimizeState {
  return fromNativeMinimization(handle.state(), handle.x(), kind)
}

/** The iterations, as a generator of computations: who drives it decides whether it waits for them. */
function* iterate(prepared: Prepared): Generator<Computation<unknown>, Outcome, unknown> {
  const { handle, sources, place, maxIterations, tolerance, signal, onIteration } = prepared
  let last: NativeUpdate | undefined
  const end = (reason: MinimizeReason, converged?: string): Outcome => ({ reason, converged, last })
  while (handle.updates < maxIterations) {
    if (signal?.aborted) return end('aborted')
    const before = handle.updates
    const update = (yield { native: handle.update(), sources, place, signal }) as NativeUpdate
    if (update.outcome === 'stopped') return end('aborted')
    if (update.outcome === 'notFinite') return end('notFinite')
    last = update
    if (onIteration !== undefined && handle.updates > before) {
      const value = (yield finalValue(prepared)) as number
      const { accepted, numbers, words } = update
      const x = handle.x() as TypedArrayOf<DType>
      const [iteration, evaluations, state] = [handle.updates, handle.evaluations, () => stateOf(prepared)]
      onIteration({ iteration, x, value, evaluations, accepted, numbers, words, state })
    }
    if (update.outcome === 'converged') return end('converged', update.converged)
    const norm = update.numbers.gradientNorm
    if (tolerance > 0 && norm !== undefined && norm <= tolerance) return end('converged', 'tolerance')
  }
  return end('maxIterations')
}

type Outcome = {
  readonly reason: MinimizeReason
  readonly converged: string | undefined
  readonly last: NativeUpdate | undefined
}

/** `state` is that before the final value was asked for: a run that goes on has no use for it. */
function resultOf<D extends DType>(
  { handle }: Prepared,
  { reason, converged, last }: Outcome,
  state: MinimizeState,
  value: number,
): MinimizeResult<D> {
  return {
    x: handle.x() as TypedArrayOf<D>,
    value,
    reason,
    ...(converged === undefined ? {} : { converged }),
    iterations: handle.updates,
    evaluations: handle.evaluations,
    numbers: last?.numbers ?? {},
    words: last?.words ?? {},
    state,
  }
}

/**
 * Minimises any function, with an optimizer that looks at it more than once an iteration.
 *
 * The event loop has its turns; the functions of the problem are called on this thread.
 *
 * @param problem the function; see `MinimizeProblem`
 * @param x0 where to start, n finite numbers
 * @param optimizer such as `lbfgs()`, `newtonCG()` (which needs `hessianProduct`) or `levenbergMarquardt()` (`residuals`)
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE, ERR_STATE (the promise rejects); what a function of the
 *   problem throws. An abort is no error: the reason is `aborted`.
 * @example
 * const { x } = await minimize({ valueAndGradient: ([a], g) => { g[0] = 2 * (a - 3); return (a - 3) ** 2 } }, [0], lbfgs())
 */
export async function minimize<D extends DType = 'float64'>(
  problem: MinimizeProblem<D>,
  x0: ArrayLike<number>,
  optimizer: MinimizerOption,
  options: MinimizeOptions<D> = {},
): Promise<MinimizeResult<D>> {
  const prepared = prepare(problem, x0, optimizer, options)
  try {
    const steps = iterate(prepared)
    let step = steps.next()
    while (step.done !== true) step = steps.next(await run(step.value))
    return resultOf(prepared, step.value, stateOf(prepared), await run(finalValue(prepared)))
  } finally {
    prepared.handle.dispose()
  }
}

/** `minimize` on the caller's thread, until it is done. */
export function minimizeSync<D extends DType = 'float64'>(
  problem: MinimizeProblem<D>,
  x0: ArrayLike<number>,
  optimizer: MinimizerOption,
  options: MinimizeOptions<D> = {},
): MinimizeResult<D> {
  const prepared = prepare(problem, x0, optimizer, options)
  try {
    const steps = iterate(prepared)
    let step = steps.next()
    while (step.done !== true) step = steps.next(runSync(step.value))
    return resultOf(prepared, step.value, stateOf(prepared), runSync(finalValue(prepared)))
  } finally {
    prepared.handle.dispose()
  }
}
