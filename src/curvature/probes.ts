import { findNotFinite } from '../data/matrix.js'
import type { TypedArrayInput, TypedArrayOf } from '../internal/arrays.js'
import { floatArray, floatInput } from '../internal/arrays.js'
import type { Computation, Source } from '../internal/computation.js'
import { notFiniteError, optionError } from '../internal/errors.js'
import type { DType, ForeignOperator, NativeComputation, NativeOperator, NativeProbes } from '../internal/native.js'
import { signalOption } from '../internal/task.js'
import { arrayOf, integerInRange, joinPath, oneOf, seed as seedOption } from '../internal/validate.js'
import type { LinearOperator } from './linear-operator.js'
import { operatorInput, operatorPort, placeOf } from './linear-operator.js'

/*
 * What methods share that look at an operator through random vectors.
 */

/** Random elements of 1 and −1, or standard normal ones. */
export type ProbeDistribution = 'signs' | 'normal'

/** A number of random vectors, or vectors of your own (n finite numbers each), which are taken as they are. */
export type ProbesOption<D extends DType = DType> = number | readonly TypedArrayInput<D>[]

/** Options of every method with random vectors. */
export type ProbeOptions = {
  /** Of the random vectors: 0 to 2⁵³ − 1, default 0. Element i is the same for any operator, dtype and platform. */
  readonly seed?: number
  /** Default `'signs'`, whose estimates vary least. */
  readonly distribution?: ProbeDistribution
  /** Ends the method within one product; it resolves with reason `'aborted'` and what there is. */
  readonly signal?: AbortSignal
}

export const probeKeys = ['seed', 'distribution', 'signal'] as const

/** An operator whose spectrum is wanted, as the addon takes it. */
export type Subject<D extends DType = DType> = {
  readonly matrix: LinearOperator<D>
  readonly port: NativeOperator | ForeignOperator
  readonly sources: Source[]
}

export function subjectOf<D extends DType>(operator: LinearOperator<D>, square = true): Subject<D> {
  const matrix = operatorInput<D>(operator, 'operator', square ? { square } : {})
  const sources: Source[] = []
  return { matrix, port: operatorPort(matrix, 'operator', sources), sources }
}

export function computation<R>(
  subject: Subject,
  native: NativeComputation<R>,
  signal: AbortSignal | undefined,
  others: readonly LinearOperator[] = [],
): Computation<R> {
  return { native, sources: subject.sources, place: placeOf(subject.matrix, ...others), signal }
}

/** A vector of the caller's: of the operator's dtype and columns, and finite. */
export function givenVector<D extends DType>(value: unknown, name: string, subject: Subject<D>): TypedArrayOf<D> {
  const { dtype, shape } = subject.matrix
  const vector = floatInput(value, name, dtype, shape[1])
  const index = findNotFinite(vector)
  if (index >= 0) throw notFiniteError(joinPath(name, index), 'a finite number', vector[index])
  return vector
}

/** Vectors of the caller's, one after the other. */
function vectorsInput<D extends DType>(
  value: readonly unknown[],
  name: string,
  subject: Subject<D>,
): NativeProbes['given'] {
  const { matrix } = subject
  const size = matrix.shape[1]
  const vectors = arrayOf(value, name, (item, path) => givenVector(item, path, subject))
  const all = floatArray(matrix.dtype, vectors.length * size)
  for (const [row, vector] of vectors.entries()) all.set(vector, row * size)
  return all
}

/** Random vectors, `count` of them, and those of the caller's. */
export function probesInput<D extends DType>(
  value: unknown,
  fallback: number,
  options: ProbeOptions,
  subject: Subject<D>,
  method: string,
): { readonly count: number; readonly isGiven: boolean; readonly probes: NativeProbes } {
  const kind = oneOf(options.distribution ?? 'signs', `${method} distribution`, ['signs', 'normal'])
  const seed = seedOption(options.seed ?? 0, `${method} seed`)
  const name = `${method} probes`
  if (!Array.isArray(value)) {
    if (typeof value !== 'number' && value !== undefined)
      throw optionError(name, 'a number or an array of vectors', value)
    const count = integerInRange(value ?? fallback, name, { min: 1 })
    return { count, isGiven: false, probes: { kind, seed, given: null } }
  }
  if (value.length === 0) throw optionError(name, 'at least one vector', value)
  for (const key of ['seed', 'distribution'] as const) {
    if (options[key] !== undefined) throw optionError(`${method} ${key}`, 'none with vectors of your own', options[key])
  }
  return { count: value.length, isGiven: true, probes: { kind, seed, given: vectorsInput(value, name, subject) } }
}

export function probeSignal(options: ProbeOptions, method: string): AbortSignal | undefined {
  return signalOption(options.signal, `${method} signal`)
}
