import { findNotFinite } from '../data/matrix.js'
import { dtypeOf, floatInput, isFloatArray, unshared } from '../internal/arrays.js'
import { dtypeError, optionError, rendered, shapeError } from '../internal/errors.js'
import type { DType, FloatArray } from '../internal/native.js'
import { addon } from '../internal/native.js'
import { arrayOf, checkKnownKeys, joinPath, numberInRange, oneOf, record } from '../internal/validate.js'
import { drawsInput } from './diagonals.js'
import { NativeLinearOperator, operatorTags } from './linear-operator.js'
import { LinearizedPoint } from './linearize.js'

/*
 * Preconditioners: operators that apply the inverse of something like the curvature, for the solvers' option of that name.
 */

export type DiagonalPreconditionerOptions = {
  /** λ; default 0. */
  readonly damping?: number
  /** α; default 1. */
  readonly exponent?: number
}

export type KfacPreconditionerOptions = {
  /** λ, to which the point's l2 is added; their sum is above 0. */
  readonly damping: number
  /**
   * `'factored'` (default): √(λ + l2) goes to the two factors, balanced by their traces; `'exact'`: λ + l2 is added to
   * their product, by eigenvectors.
   */
  readonly form?: 'factored' | 'exact'
  /** Labels drawn for each sample of the batch; default none: the exact expectation, a backward pass for each output. */
  readonly samples?: number
  /** Of the labels; default 0. */
  readonly seed?: number
}

/** A step and what the curvature makes of it: y = B s, or a difference of gradients. */
export type SecantPair<A extends FloatArray = FloatArray> = { readonly s: A; readonly y: A }

function finiteFloats(value: unknown, name: string): FloatArray {
  if (!isFloatArray(value)) throw dtypeError(name, 'a Float32Array or Float64Array', value)
  if (value.length === 0) throw shapeError(name, 'at least one element', rendered('none'))
  const index = findNotFinite(value)
  if (index >= 0) throw optionError(`${name}[${index}]`, 'a finite number', value[index])
  return unshared(value)
}

/**
 * diag((d + λ)^−α). With the empirical Fisher diagonal and α = 0.75 it is the one of Hessian-free optimization (Martens
 * 2010).
 *
 * @param diagonal d, a Float32Array or Float64Array, which gives the dtype; copied
 * @throws KrylovError ERR_OPTION where an element of d + λ is not above 0; ERR_DTYPE, ERR_SHAPE
 * @example diagonalPreconditioner(point.diagonal('empiricalFisher'), { damping: 0.1, exponent: 0.75 })
 */
export function diagonalPreconditioner<A extends FloatArray>(
  diagonal: A,
  options: DiagonalPreconditionerOptions = {},
): NativeLinearOperator<A extends Float32Array ? 'float32' : 'float64'> {
  checkKnownKeys(options, ['damping', 'exponent'], 'diagonalPreconditioner options')
  const { damping = 0, exponent = 1 } = options as DiagonalPreconditionerOptions
  const handle = addon().diagonalInverse(
    finiteFloats(diagonal, 'diagonal'),
    numberInRange(damping, 'diagonalPreconditioner damping', { min: 0 }),
    numberInRange(exponent, 'diagonalPreconditioner exponent', { min: 0 }),
  )
  return new NativeLinearOperator(handle, operatorTags)
}

/**
 * The inverse of the damped Kronecker-factored curvature of a point: block-diagonal over the dense layers, each block
 * (output ⊗ input + damping)⁻¹ with the factors of `point.kroneckerFactors()`. Parameters of layerNorm have the inverse
 * of their damped Gauss-Newton diagonal. The factors are computed now; the point is not needed afterwards.
 *
 * @throws KrylovError ERR_OPTION, also for a loss without second derivatives; ERR_NOT_FINITE where the damped factors
 *   have no inverse; ERR_STATE
 * @example kfacPreconditioner(point, { damping: 0.1 })
 *
 * Martens & Grosse 2015 (arXiv 1503.05671), section 6.3 for the factored form; George et al. 2018 (arXiv 1806.03884),
 * section 3, for the one by eigenvectors.
 */
export function kfacPreconditioner<D extends DType, H extends string>(
  point: LinearizedPoint<D, H>,
  options: KfacPreconditionerOptions,
): NativeLinearOperator<D> {
  const handle = LinearizedPoint.handleOf(point)
  if (handle === undefined) throw optionError('point', 'a point made by linearize', point)
  checkKnownKeys(options, ['damping', 'form', 'samples', 'seed'], 'kfacPreconditioner options')
  const { damping, form, samples, seed } = options as KfacPreconditionerOptions
  if (samples === undefined && seed !== undefined) {
    throw optionError('kfacPreconditioner seed', 'none without samples, since nothing is drawn', seed)
  }
  const draws = drawsInput(samples === undefined ? undefined : { samples, seed }, 'kfacPreconditioner')
  const native = addon().kroneckerInverse(
    handle,
    oneOf(form ?? 'factored', 'kfacPreconditioner form', ['factored', 'exact']),
    numberInRange(damping, 'kfacPreconditioner damping', { min: 0 }),
    draws.samples,
    draws.seed,
  )
  return new NativeLinearOperator<D>(native, operatorTags)
}

/**
 * The inverse that limited-memory BFGS makes of pairs y = B s, by the two-loop recursion from sᵀy / yᵀy of the last pair:
 * for pairs of an earlier solve, or of steps and differences of gradients.
 *
 * @param pairs oldest first, of one dtype and length, sᵀy above 0 in each; copied
 * @throws KrylovError ERR_OPTION, ERR_DTYPE, ERR_SHAPE
 * @example lbfgsPreconditioner(directions.map((s) => ({ s, y: point.ggn().matvec(s) })))
 *
 * Nocedal 1980; as a preconditioner Morales & Nocedal 2000.
 */
export function lbfgsPreconditioner<A extends FloatArray>(
  pairs: readonly SecantPair<A>[],
): NativeLinearOperator<A extends Float32Array ? 'float32' : 'float64'> {
  let first: FloatArray | undefined
  const vectors = arrayOf(
    pairs,
    'pairs',
    (value, path) => {
      const pair = record(value, path)
      checkKnownKeys(pair, ['s', 'y'], 'pair', { noun: 'member', path })
      const read = (key: 's' | 'y'): FloatArray => {
        const name = joinPath(path, key)
        const vector = finiteFloats(pair[key], name)
        first ??= vector
        return floatInput(vector, name, dtypeOf(first), first.length)
      }
      return { s: read('s'), y: read('y') }
    },
    { minLength: 1, maxLength: 2 ** 16 },
  )
  const native = addon().lbfgsInverse(
    vectors.map(({ s }) => s),
    vectors.map(({ y }) => y),
  )
  return new NativeLinearOperator(native, operatorTags)
}
