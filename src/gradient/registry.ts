import { optionError, rendered } from '../internal/errors.js'
import type { NativeGradientTransform } from '../internal/native.js'
import { arrayOf, atPath, joinPath, oneOf, record } from '../internal/validate.js'
import type { OptimizerSpec } from '../optimizers/registry.js'
import { isMinimizer } from '../optimizers/registry.js'
import type {
  AsymmetricSmoothing,
  AsymmetricSmoothingOptions,
  DirectionalBias,
  DirectionalBiasOptions,
} from './averages.js'
import { asymmetricSmoothing, directionalBias } from './averages.js'
import type {
  AdaptiveClip,
  AdaptiveClipOptions,
  AutoClip,
  AutoClipOptions,
  ClipByGlobalNorm,
  ClipByGlobalNormOptions,
  ClipByLayerNorm,
  ClipByLayerNormOptions,
  ClipByValue,
  ClipByValueOptions,
} from './clipping.js'
import { adaptiveClip, autoClip, clipByGlobalNorm, clipByLayerNorm, clipByValue } from './clipping.js'
import type { LowRankFilter, LowRankFilterOptions } from './low-rank-filter.js'
import { lowRankFilter } from './low-rank-filter.js'

/** A transformation of the gradient with every option filled in. */
export type GradientTransformSpec =
  | ClipByValue
  | ClipByGlobalNorm
  | ClipByLayerNorm
  | AdaptiveClip
  | AutoClip
  | AsymmetricSmoothing
  | LowRankFilter
  | DirectionalBias
export type GradientTransformKind = GradientTransformSpec['kind']

/** A transformation as functions take it. */
export type GradientTransformOption =
  | ({ readonly kind: 'clipByValue' } & ClipByValueOptions)
  | ({ readonly kind: 'clipByGlobalNorm' } & ClipByGlobalNormOptions)
  | ({ readonly kind: 'clipByLayerNorm' } & ClipByLayerNormOptions)
  | ({ readonly kind: 'adaptiveClip' } & AdaptiveClipOptions)
  | ({ readonly kind: 'autoClip' } & AutoClipOptions)
  | ({ readonly kind: 'asymmetricSmoothing' } & AsymmetricSmoothingOptions)
  | ({ readonly kind: 'lowRankFilter' } & LowRankFilterOptions)
  | ({ readonly kind: 'directionalBias' } & DirectionalBiasOptions)
/** One transformation, or a chain of them in order. */
export type GradientOption = GradientTransformOption | readonly GradientTransformOption[]

const factories: { readonly [K in GradientTransformKind]: (options: never) => GradientTransformSpec } = {
  clipByValue,
  clipByGlobalNorm,
  clipByLayerNorm,
  adaptiveClip,
  autoClip,
  asymmetricSmoothing,
  lowRankFilter,
  directionalBias,
}

/** Every kind of transformation of the gradient. */
export const gradientTransformKinds: readonly GradientTransformKind[] = Object.freeze(
  Object.keys(factories) as GradientTransformKind[],
)

/** The core takes 64 at most. */
const mostTransforms = 64

function resolveTransform(value: unknown, path: string): GradientTransformSpec {
  const { kind, ...options } = record(value, path)
  const known = oneOf(kind as string, joinPath(path, 'kind'), gradientTransformKinds)
  return atPath(path, () => factories[known](options as never))
}

/** Checks one transformation or a chain for a number of tensors. */
export function resolveTransforms(value: unknown, path: string, tensors: number): readonly GradientTransformSpec[] {
  const limits = { minLength: 1, maxLength: mostTransforms }
  const list = Array.isArray(value) ? arrayOf(value, path, resolveTransform, limits) : [resolveTransform(value, path)]
  list.forEach((spec, index) => {
    checkTensors(spec, Array.isArray(value) ? joinPath(path, index) : path, tensors)
  })
  return Object.freeze(list)
}

function checkTensors(spec: GradientTransformSpec, path: string, tensors: number): void {
  const known = (list: readonly number[], name: string): void => {
    const wrong = list.find((index) => index >= tensors)
    if (wrong !== undefined) throw optionError(name, `indices of tensors, 0 to ${tensors - 1}`, wrong)
  }
  if (spec.kind === 'adaptiveClip') known(spec.exclude, joinPath(path, 'exclude'))
  if (spec.kind !== 'clipByLayerNorm' || typeof spec.groups === 'string') return
  const name = joinPath(path, 'groups')
  const all = spec.groups.flat()
  known(all, name)
  const twice = all.find((index, place) => all.indexOf(index) !== place)
  if (twice !== undefined) throw optionError(name, 'every tensor in one group at most', rendered(`${twice} twice`))
}

/** Checks the option `gradient` of training. */
export function resolveGradient(
  value: unknown,
  optimizer: OptimizerSpec,
  tensors: number,
): NativeGradientTransform[] | null {
  if (value === undefined) return null
  const path = 'gradient'
  const specs = resolveTransforms(value, path, tensors)
  if (isMinimizer(optimizer.kind)) {
    throw optionError(path, `none with ${optimizer.kind}, which looks at the function more than once an update`, value)
  }
  return specs.map(toNativeTransform)
}

export function toNativeTransform(spec: GradientTransformSpec): NativeGradientTransform {
  if (spec.kind === 'adaptiveClip') return { ...spec, exclude: Uint32Array.from(spec.exclude) }
  if (spec.kind !== 'clipByLayerNorm') return spec
  const { groups } = spec
  if (typeof groups === 'string') return { ...spec, groups, listed: [] }
  return { ...spec, groups: 'listed', listed: groups.map((group) => Uint32Array.from(group)) }
}
