import { optionError } from '../internal/errors.js'
import type { NativeClipping, NativePrivacy, NativeTrainingState } from '../internal/native.js'
import {
  checkKnownKeys,
  integerInRange,
  joinPath,
  numberInRange,
  oneOf,
  record,
  seed as seedOption,
} from '../internal/validate.js'
import type { OptimizerSpec } from '../optimizers/registry.js'
import { isMinimizer } from '../optimizers/registry.js'
import type { SampleClipping } from '../samples/clipping.js'
import { clippingToNative, namedClipping } from '../samples/clipping.js'
import type { EpsilonConversion, PrivacySpent } from '../samples/privacy.js'
import {
  defaultRdpOrders,
  epsilonOptions,
  gradientNoiseMultiplier,
  leastEpsilon,
  noiseForEpsilon,
} from '../samples/privacy.js'
import { rdpOfStep } from '../samples/privacy-rdp.js'
import type { QuantileThreshold, ThresholdAdaptationOption } from '../samples/thresholds.js'
import { stepsOfEpoch } from '../sampling/sampling.js'
import { poissonSampling } from '../sampling/uniform.js'

export type DifferentialPrivacyOptions = {
  /** σ: standard deviation of the noise over the largest norm that a sample adds; or `targetEpsilon`. */
  readonly noiseMultiplier?: number
  /** The ε that the run's epochs are to spend; the noise is the least that keeps it. */
  readonly targetEpsilon?: number
  /** δ, above 0 and below 1; default 1e-5. Well below 1 / samples. */
  readonly delta?: number
  /** How divergences become an ε; default `improved`. */
  readonly conversion?: EpsilonConversion
  /** C, as in `sampleClipping`; default 1. */
  readonly threshold?: number | readonly number[]
  /** As in `sampleClipping`; default `clip`. */
  readonly mode?: 'clip' | 'automatic' | 'global'
  /** One norm for a sample's whole gradient (default), or one for each layer. */
  readonly by?: 'sample' | 'layer'
  /** `quantileThreshold()`: C follows a quantile of the norms; default it stays. */
  readonly adapt?: ThresholdAdaptationOption
  /**
   * With `adapt`, σ_b: standard deviation of the noise on the number of norms within C, of each layer; default the batch
   * size / 20.
   */
  readonly countNoise?: number
  /**
   * Of the noise and of the samples that are drawn, 0 to 2^53 − 1; default one that nobody knows, from the operating
   * system. Whoever knows it can take the noise away: give one for experiments only.
   */
  readonly seed?: number
}

/** Training with differential privacy; see `differentialPrivacy`. */
export type DifferentialPrivacy = {
  readonly kind: 'differentialPrivacy'
  readonly noiseMultiplier?: number
  readonly targetEpsilon?: number
  readonly delta: number
  readonly conversion: EpsilonConversion
  readonly threshold: number | readonly number[]
  readonly mode: 'clip' | 'automatic' | 'global'
  readonly by: 'sample' | 'layer'
  readonly adapt?: QuantileThreshold
  readonly countNoise?: number
  readonly seed?: number
}
export type DifferentialPrivacyOption = { readonly kind: 'differentialPrivacy' } & DifferentialPrivacyOptions

/** What a run has spent when a record is made, resumed epochs included. */
export type PrivacyRecord = PrivacySpent & {
  readonly delta: number
  /** σ that each update was accounted with. */
  readonly noiseMultiplier: number
  /** q: the probability of each sample to be in an update's batch. */
  readonly sampleRate: number
}

const keys = [
  'noiseMultiplier',
  'targetEpsilon',
  'delta',
  'conversion',
  'threshold',
  'mode',
  'by',
  'adapt',
  'countNoise',
  'seed',
] as const

function clippingOf({ threshold, mode, by, adapt }: DifferentialPrivacy): SampleClipping {
  const adaptation = adapt === undefined ? {} : { adapt }
  return namedClipping({ threshold, mode, by, ...adaptation, notFinite: 'drop' }, 'differentialPrivacy')
}

/**
 * DP-SGD: every update's batch is a Poisson sample, each sample in it with probability q = batch size / samples whatever
 * the others are; every sample's gradient is clipped to a norm of C; and with ξ standard normal
 *
 *     g = (Σ cᵢ gᵢ + σ C ξ) / batch size
 *
 * whatever the size of the sample was, 0 included. An epoch is round(1/q) updates. Records have `privacy`: the ε that is
 * spent. Gradients that are not finite are left out. By layer C is the norm of all thresholds. Give either
 * `noiseMultiplier` or `targetEpsilon`.
 *
 * Takes the place of `clipping`. For optimizers that make an update from one gradient, and losses that are means.
 *
 * @throws KrylovError ERR_OPTION
 * @example
 * train(model, data, { loss: softmaxCrossEntropy(), batchSize: 1024, privacy: differentialPrivacy({ targetEpsilon: 3 }) })
 * @see Abadi et al. 2016 (arXiv 1607.00133); Mironov, Talwar & Zhang 2019 (arXiv 1908.10530)
 */
export function differentialPrivacy(given: DifferentialPrivacyOptions): DifferentialPrivacy {
  const name = 'differentialPrivacy'
  checkKnownKeys(given, keys, `${name} options`)
  const options = given as DifferentialPrivacyOptions
  const { noiseMultiplier, targetEpsilon, adapt: follow, countNoise, seed } = options
  if ((noiseMultiplier === undefined) === (targetEpsilon === undefined)) {
    const both = noiseMultiplier === undefined ? undefined : { noiseMultiplier, targetEpsilon }
    throw optionError(`${name} noiseMultiplier`, 'either it or targetEpsilon', both)
  }
  if (follow !== undefined && record(follow, `${name} adapt`).kind !== 'quantile') {
    throw optionError(`${name} adapt`, 'quantileThreshold(): no other tells nothing of single samples', follow)
  }
  if (countNoise !== undefined && follow === undefined) {
    throw optionError(`${name} countNoise`, 'none without adapt, which is what tells a count', countNoise)
  }
  if (countNoise !== undefined && noiseMultiplier === 0) {
    throw optionError(`${name} countNoise`, 'none with noiseMultiplier 0, which is no noise at all', countNoise)
  }
  const { delta, conversion } = epsilonOptions(
    { delta: options.delta ?? 1e-5, ...(options.conversion === undefined ? {} : { conversion: options.conversion }) },
    name,
  )
  const clipping = {
    threshold: options.threshold,
    mode: options.mode,
    by: options.by,
    adapt: follow,
    notFinite: 'drop',
  }
  const { threshold = 1, mode, by, adapt } = namedClipping(clipping, name)
  const noise = (value: number, key: string, range: { min: number } | { above: number }): number =>
    numberInRange(value, `${name} ${key}`, range)
  return Object.freeze({
    kind: 'differentialPrivacy',
    ...(noiseMultiplier === undefined
      ? {}
      : { noiseMultiplier: noise(noiseMultiplier, 'noiseMultiplier', { min: 0 }) }),
    ...(targetEpsilon === undefined ? {} : { targetEpsilon: noise(targetEpsilon, 'targetEpsilon', { above: 0 }) }),
    delta,
    conversion,
    threshold,
    mode,
    by,
    ...(adapt === undefined ? {} : { adapt: adapt as QuantileThreshold }),
    ...(countNoise === undefined ? {} : { countNoise: noise(countNoise, 'countNoise', { above: 0 }) }),
    ...(seed === undefined ? {} : { seed: seedOption(seed, `${name} seed`) }),
  })
}

/** Checks the option `privacy` of `train`. */
export function resolvePrivacy(
  value: unknown,
  optimizer: OptimizerSpec,
  others: Readonly<Record<string, unknown>>,
): DifferentialPrivacy | null {
  if (value === undefined) return null
  const path = 'privacy'
  const { kind, ...options } = record(value, path)
  oneOf(kind, joinPath(path, 'kind'), ['differentialPrivacy'])
  if (isMinimizer(optimizer.kind)) {
    throw optionError(path, `none with ${optimizer.kind}, which looks at the function more than once an update`, kind)
  }
  for (const [name, why] of Object.entries(besidePrivacy)) {
    if (others[name] !== undefined) throw optionError(name, `none with privacy, ${why}`, others[name])
  }
  return differentialPrivacy(options)
}

/** Options that privacy does not allow, and why. */
const besidePrivacy = {
  clipping: 'which clips by its own options',
  sampling: 'which draws Poisson samples',
  shuffle: 'which draws Poisson samples',
  stepSize: 'since it looks at the samples without noise',
  multitask: "since it looks at the tasks' gradients without noise",
} as const

/** The least noise that keeps the target is the same for every run of the same plan. */
function noiseOf(privacy: DifferentialPrivacy, sampleRate: number, steps: number): number {
  const { noiseMultiplier, targetEpsilon, delta, conversion } = privacy
  if (noiseMultiplier !== undefined) return noiseMultiplier
  const epsilon = targetEpsilon as number
  return noiseForEpsilon({ epsilon, delta, conversion, sampleRate, steps }).noiseMultiplier
}

function secretSeed(): number {
  const words = globalThis.crypto.getRandomValues(new Uint32Array(2))
  return ((words[0] as number) & 0x1fffff) * 2 ** 32 + (words[1] as number)
}

/** The seed of a run: the state's when it continues one. */
function seedOfNoise(given: number | undefined, state: NativeTrainingState | null): number {
  const stored = state?.numbers['privacy.seed']
  if (stored === undefined) return given ?? secretSeed()
  const kept = integerInRange(stored, 'resume.optimizer.numbers.privacy.seed', { min: 0 })
  if (given !== undefined && given !== kept) {
    throw optionError('privacy.seed', 'the seed of the resumed state, or none', given)
  }
  return kept
}

/** What a run with privacy is given and tells. */
export type PrivatePlan = {
  readonly native: NativePrivacy
  readonly clipping: NativeClipping
  readonly steps: number
  readonly spent: (updates: number) => PrivacyRecord
}

/**
 * Plans a run over `rows` samples.
 *
 * @param layers with parameters
 */
export function planPrivacy(
  privacy: DifferentialPrivacy,
  run: { batchSize: number; rows: number; epochs: number; layers: number; state: NativeTrainingState | null },
): PrivatePlan {
  const { batchSize, rows, epochs, layers, state } = run
  const { delta, conversion, adapt, by } = privacy
  const sampleRate = batchSize / rows
  const steps = epochs * stepsOfEpoch(poissonSampling(), rows, batchSize)
  const noiseMultiplier = noiseOf(privacy, sampleRate, steps)
  const countNoise = adapt === undefined || noiseMultiplier === 0 ? 0 : (privacy.countNoise ?? batchSize / 20)
  // As many counts as thresholds, each with its own noise, are together one of this noise.
  const together = countNoise / Math.sqrt(by === 'layer' ? layers : 1)
  if (countNoise > 0 && noiseMultiplier >= 2 * together) {
    const least = (noiseMultiplier * countNoise) / (2 * together)
    throw optionError(
      'privacy.countNoise',
      `a number above ${least} for a noise multiplier of ${noiseMultiplier}`,
      countNoise,
    )
  }
  const gradientNoise =
    countNoise === 0 ? noiseMultiplier : gradientNoiseMultiplier({ noiseMultiplier, countNoise: together })
  const stored = state?.updates === 0 ? undefined : state?.numbers['privacy.noiseMultiplier']
  if (stored !== undefined && stored !== noiseMultiplier) {
    const wanted = `the noise multiplier of the resumed state, ${stored}: targetEpsilon counts all epochs of the plan`
    throw optionError('privacy.noiseMultiplier', wanted, noiseMultiplier)
  }
  const rdp = defaultRdpOrders.map((order) => rdpOfStep(noiseMultiplier, sampleRate, order))
  return {
    native: {
      noiseMultiplier,
      gradientNoise,
      countNoise,
      sampleRate,
      expectedRows: batchSize,
      seed: seedOfNoise(privacy.seed, state),
    },
    clipping: clippingToNative(clippingOf(privacy)),
    steps,
    spent: (updates) => {
      const all = updates === 0 ? rdp.map(() => 0) : rdp.map((one) => updates * one)
      return { ...leastEpsilon(defaultRdpOrders, all, { delta, conversion }), delta, noiseMultiplier, sampleRate }
    },
  }
}
