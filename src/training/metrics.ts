import { optionError, rendered } from '../internal/errors.js'
import type { NativeMetric } from '../internal/native.js'
import { checkKnownKeys, integerInRange, isRecord, joinPath, numberInRange, oneOf } from '../internal/validate.js'
import type { Loss } from '../losses/losses.js'
import { linkOf } from '../losses/losses.js'

/*
 * Metrics as plain specs, every figure weighted by the sample weights. With TP, FP and FN the true positives, false
 * positives and false negatives of a class: precision TP/(TP + FP), recall TP/(TP + FN), f1 2TP/(2TP + FP + FN); a zero
 * denominator gives 0.
 *
 * What an output says follows from the loss: softmax cross-entropy one class a sample, the largest output; binary
 * cross-entropy a yes or no for each output; a loss of values with two or more outputs the largest output and target.
 */

export type MetricName =
  | 'accuracy'
  | 'topK'
  | 'precision'
  | 'recall'
  | 'f1'
  | 'auc'
  | 'r2'
  | 'meanAbsoluteError'
  | 'meanSquaredError'
  | 'rootMeanSquaredError'

/**
 * How a metric of one class runs over classes: `macro` the mean over classes, `micro` all decisions together, `binary`
 * the class 1 alone.
 */
export type Average = 'macro' | 'micro' | 'binary'

/** A resolved metric. */
export type Metric =
  | { readonly name: 'accuracy'; readonly threshold: number }
  | { readonly name: 'topK'; readonly k: number }
  | { readonly name: 'precision' | 'recall' | 'f1'; readonly average: Average; readonly threshold: number }
  | { readonly name: 'auc' | 'r2' | 'meanAbsoluteError' | 'meanSquaredError' | 'rootMeanSquaredError' }

/** What functions take as a metric: a name (options at their defaults) or an object. */
export type MetricOption =
  | MetricName
  | {
      readonly name: MetricName
      /** topK: how many of the largest outputs count; default 5, or all where there are fewer. */
      readonly k?: number
      /** precision, recall, f1; default `binary` for one output, else `macro`. */
      readonly average?: Average
      /** accuracy, precision, recall, f1 of independent outputs: the probability above which it is a yes; default 0.5. */
      readonly threshold?: number
    }

const optionKeys: Readonly<Record<MetricName, readonly string[]>> = Object.freeze({
  accuracy: ['threshold'],
  topK: ['k'],
  precision: ['average', 'threshold'],
  recall: ['average', 'threshold'],
  f1: ['average', 'threshold'],
  auc: [],
  r2: [],
  meanAbsoluteError: [],
  meanSquaredError: [],
  rootMeanSquaredError: [],
})
const metricNames = Object.freeze(Object.keys(optionKeys) as MetricName[])

/** True where a larger value is better. */
export function isMaximized(name: MetricName): boolean {
  return name !== 'meanAbsoluteError' && name !== 'meanSquaredError' && name !== 'rootMeanSquaredError'
}

/** Fills in a metric for an output of the given width that is trained with the given loss. */
export function resolveMetric(value: unknown, path: string, loss: Loss, width: number): Metric {
  if (typeof value !== 'string' && !isRecord(value)) throw optionError(path, 'the name of a metric or an object', value)
  const { name: given, ...options } = typeof value === 'string' ? { name: value } : value
  const name = oneOf(given, typeof value === 'string' ? path : joinPath(path, 'name'), metricNames)
  checkKnownKeys(options, optionKeys[name], `${name} options`)
  checkFits(name, path, loss, width)
  const { k, average, threshold } = options as { k?: unknown; average?: unknown; threshold?: unknown }
  const binary = loss.kind === 'binaryCrossEntropy'
  if (threshold !== undefined && !binary) {
    throw optionError(joinPath(path, 'threshold'), 'none: it belongs to binaryCrossEntropy', threshold)
  }
  const probability = (): number =>
    threshold === undefined ? 0.5 : numberInRange(threshold, joinPath(path, 'threshold'), { above: 0, below: 1 })
  switch (name) {
    case 'accuracy':
      return { name, threshold: probability() }
    case 'topK':
      return {
        name,
        k: k === undefined ? Math.min(5, width) : integerInRange(k, joinPath(path, 'k'), { min: 1, max: width }),
      }
    case 'precision':
    case 'recall':
    case 'f1': {
      const fallback = width === 1 ? 'binary' : 'macro'
      const chosen =
        average === undefined ? fallback : oneOf(average, joinPath(path, 'average'), ['macro', 'micro', 'binary'])
      if (chosen === 'binary' && width !== (binary ? 1 : 2)) {
        throw optionError(
          joinPath(path, 'average'),
          "'macro' or 'micro' here; 'binary' needs one logit or two classes",
          chosen,
        )
      }
      return { name, average: chosen, threshold: probability() }
    }
    default:
      return { name }
  }
}

/** The metrics that an output of this width and loss has; the core states the same rules. */
function checkFits(name: MetricName, path: string, loss: Loss, width: number): void {
  const values = linkOf(loss) === 'identity'
  switch (name) {
    case 'accuracy':
    case 'precision':
    case 'recall':
    case 'f1':
      if (values && width === 1) throw optionError(path, `a metric of values for one output of ${loss.kind}`, name)
      break
    case 'topK':
      if (loss.kind === 'binaryCrossEntropy' || width === 1) {
        throw optionError(path, 'topK with two or more classes, of which each sample has one', rendered(loss.kind))
      }
      break
    case 'auc':
      if (values) throw optionError(path, 'auc with binaryCrossEntropy or softmaxCrossEntropy', rendered(loss.kind))
      break
    default:
      break
  }
}

/** The metrics where none are named: accuracy for classification, none for values. */
export function defaultMetrics(loss: Loss): readonly MetricOption[] {
  return linkOf(loss) === 'identity' ? [] : ['accuracy']
}

export function toNativeMetric(metric: Metric): NativeMetric {
  return {
    name: metric.name,
    k: 'k' in metric ? metric.k : 1,
    average: 'average' in metric ? metric.average : 'macro',
    threshold: 'threshold' in metric ? metric.threshold : 0.5,
  }
}
