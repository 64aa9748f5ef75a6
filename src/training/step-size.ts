import type { RadiusOptions } from '../curvature/softmax-radius.js'
import { radiusKeys, resolveRadiusOptions } from '../curvature/softmax-radius.js'
import { optionError } from '../internal/errors.js'
import type { NativeStepSize } from '../internal/native.js'
import { checkKnownKeys, joinPath, oneOf, record, string } from '../internal/validate.js'
import type { OptimizerSpec } from '../optimizers/registry.js'
import { isMinimizer } from '../optimizers/registry.js'

export type SoftmaxRadiusControlOptions = RadiusOptions & {
  /** Name of the head whose logits count; default every head with a cross-entropy. */
  readonly head?: string
}

/** A step-size stage of training; see `softmaxRadiusControl`. */
export type StepSize = { readonly kind: 'softmaxRadius' } & Required<RadiusOptions> & { readonly head?: string }
export type StepSizeOption = { readonly kind: 'softmaxRadius' } & SoftmaxRadiusControlOptions

/**
 * Keeps every step of training within the radius of convergence of its batch's cross-entropy: where the optimizer's
 * update p is longer than `target` times the radius along it (`softmaxRadius`), s · p is taken instead, s < 1. The
 * optimizer's state is not touched; a step within the radius is the same to the bit as without. One J p product a step.
 *
 * Records of steps and epochs tell of it in `numbers`: `stepScale` (s), `normalisedStep` (‖p‖ / radius),
 * `convergenceRadius` and `stepLength` (of p) of the last update, `shortenedSteps` of the run. For optimizers that make
 * an update from a gradient; `classicalMomentum` with `nesterov` is judged where it takes its gradient.
 *
 * @throws KrylovError ERR_OPTION
 * @example train(model, data, { loss: softmaxCrossEntropy(), stepSize: softmaxRadiusControl() })
 * @see Sao 2026 (arXiv 2603.13552), proposition 5.2
 */
export function softmaxRadiusControl(given: SoftmaxRadiusControlOptions = {}): StepSize {
  const name = 'softmaxRadiusControl'
  checkKnownKeys(given, ['head', ...radiusKeys], `${name} options`)
  const { head } = given as SoftmaxRadiusControlOptions
  return Object.freeze({
    kind: 'softmaxRadius',
    ...resolveRadiusOptions(given as RadiusOptions, (option) => `${name} ${option}`),
    ...(head === undefined ? {} : { head: string(head, `${name} head`) }),
  })
}

/** Checks the option `stepSize` of training. */
export function resolveStepSize(
  value: unknown,
  optimizer: OptimizerSpec,
  headNames: readonly string[],
): NativeStepSize | null {
  if (value === undefined) return null
  const path = 'stepSize'
  const { kind, ...options } = record(value, path)
  oneOf(kind, joinPath(path, 'kind'), ['softmaxRadius'])
  if (isMinimizer(optimizer.kind)) {
    throw optionError(path, `none with ${optimizer.kind}, which finds its step sizes itself`, kind)
  }
  const { kind: _, head = '', ...numbers } = softmaxRadiusControl(options)
  if (head !== '') oneOf(head, joinPath(path, 'head'), headNames)
  return { ...numbers, head }
}
