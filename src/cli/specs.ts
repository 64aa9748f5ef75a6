import type {
  DifferentialPrivacyOption,
  GradientOption,
  LayerOption,
  LossOption,
  MetricOption,
  ModelOptions,
  OptimizerOption,
  SampleClippingOption,
  SampleWeightsOption,
  SamplingOption,
  StepSizeOption,
  TaskMethodOption,
} from '../index.js'
import { createModel, createTrainer, isKrylovError, meanSquaredError, residual, train } from '../index.js'
import type { Config } from './config.js'
import { checkConfig } from './config.js'
import type { Problem } from './problems.js'
import { ConfigError, hint, joinKeys, problemsIn } from './problems.js'

/*
 * The parts of a configuration that are specs of the library. The library's own functions check them, on a small
 * stand-in for the model where a check needs one, so that a configuration is wrong or right before any data is read.
 */

type Fields = Record<string, unknown>

/** A spec given by its name alone stands for the spec with every option at its default. */
export function withKind(spec: unknown): unknown {
  return typeof spec === 'string' ? { kind: spec } : spec
}

/** One transformation of the gradient or a list, each perhaps by its name alone. */
export function gradientOf(gradient: unknown): GradientOption {
  return (Array.isArray(gradient) ? gradient.map(withKind) : withKind(gradient)) as GradientOption
}

/** The loss as the library takes it: a spec, or one for each head, each perhaps with a weight. */
export function lossOf(config: Config): LossOption {
  const { loss } = config
  if (config.model.heads === undefined || typeof loss === 'string') return withKind(loss) as LossOption
  const heads = Object.entries(loss).map(([head, given]) => {
    const weighted = typeof given === 'object' && given !== null && 'loss' in given
    return [head, weighted ? { ...given, loss: withKind(given.loss) } : withKind(given)]
  })
  // With heads the public type is an object with their names, which are only known here, at run time.
  return Object.fromEntries(heads) as LossOption
}

export function optimizerOf(config: Config): OptimizerOption {
  return withKind(config.optimizer ?? 'adam') as OptimizerOption
}

/** Names in the configuration of metrics, as the library takes them. */
export function metricsOf(config: Config): { metrics?: readonly MetricOption[] } {
  const { metrics } = config.training
  return metrics === undefined ? {} : { metrics: metrics as readonly MetricOption[] }
}

/** The model's options for a number of input columns. */
export function modelOptions(config: Config, inputs: number): ModelOptions {
  const { layers, heads, inputScale } = config.model
  return {
    inputs,
    layers: layers as readonly LayerOption[],
    ...(heads === undefined ? {} : { heads: heads as Record<string, readonly LayerOption[]> }),
    ...(inputScale === undefined ? {} : { inputScale }),
    ...(config.seed === undefined ? {} : { seed: config.seed }),
    ...(config.dtype === undefined ? {} : { dtype: config.dtype }),
  }
}

/** What every spec has, and what a layer has besides its factory's options. */
const kindName = ['kind']
const layerNames = ['units', 'activation', 'kind']

/** Layers one by one, so that the problems of each are found. */
async function layerProblems(layers: readonly unknown[], path: string): Promise<Problem[]> {
  const found = layers.map((layer, index) =>
    problemsIn(layer, joinKeys([index], path), 'layers[0]', (rest) => residual([rest as LayerOption]), layerNames),
  )
  return (await Promise.all(found)).flat()
}

/** A width of inputs that the trunk accepts: any, unless a block stands before the first dense layer. */
export function acceptedWidth(layers: readonly unknown[]): number {
  for (const layer of layers as readonly Fields[]) {
    if (layer.kind === 'residual') {
      const widths = (layer.layers as readonly Fields[]).map(({ units }) => units)
      const last = widths.findLast((units) => typeof units === 'number')
      if (typeof last === 'number') return last
    } else if (typeof layer.units === 'number') {
      return 1
    }
  }
  return 1
}

/** The model as a whole, once each layer is right: widths of blocks, names of heads, something to train. */
async function modelProblems(config: Config): Promise<Problem[]> {
  const { layers, heads = {} } = config.model
  const problems = await layerProblems(layers, 'model.layers')
  for (const [name, list] of Object.entries(heads)) {
    problems.push(...(await layerProblems(list, joinKeys(['model', 'heads', name]))))
  }
  if (problems.length > 0) return problems
  return problemsIn(modelOptions(config, acceptedWidth(layers)), 'model', '', (rest) => createModel(rest).dispose())
}

/** Where the options of `train` stand in a configuration. */
export function placeOf(path: string): string {
  return /^(metrics|earlyStopping|weights|clipping|privacy|gradient|stepSize|sampling|multitask|record|threads|batchSize|curvatureBatchSize|epochs|l2)\b/.test(
    path,
  )
    ? `training.${path}`
    : path
}

/**
 * Loss, metrics, early stopping and stages on a model of the right outputs, and beside the optimizer where that is one:
 * `train` looks at its options first and then stops at the missing data.
 */
async function taskProblems(config: Config, optimizer: OptimizerOption | undefined): Promise<Problem[]> {
  const model = createModel(modelOptions(config, acceptedWidth(config.model.layers)))
  try {
    const { earlyStopping, weights, clipping, privacy, gradient, stepSize, sampling, multitask, record } =
      config.training
    const { curvatureBatchSize } = config.training
    const options = {
      loss: lossOf(config),
      ...metricsOf(config),
      ...(weights === undefined ? {} : { weights: withKind(weights) as SampleWeightsOption }),
      ...(clipping === undefined ? {} : { clipping: withKind(clipping) as SampleClippingOption }),
      ...(privacy === undefined ? {} : { privacy: withKind(privacy) as DifferentialPrivacyOption }),
      ...(gradient === undefined ? {} : { gradient: gradientOf(gradient) }),
      ...(stepSize === undefined ? {} : { stepSize: withKind(stepSize) as StepSizeOption }),
      ...(sampling === undefined ? {} : { sampling: withKind(sampling) as SamplingOption }),
      ...(multitask === undefined ? {} : { multitask: withKind(multitask) as TaskMethodOption }),
      ...(earlyStopping === undefined ? {} : { earlyStopping, validation: { fraction: 0.5 } }),
      ...(record === undefined ? {} : { record }),
      ...(optimizer === undefined ? {} : { optimizer }),
      ...(optimizer === undefined || curvatureBatchSize === undefined ? {} : { curvatureBatchSize }),
    }
    const found = await problemsIn(options, '', '', (rest) => {
      try {
        train(model, { inputs: [], targets: [] }, rest).abort()
      } catch (error) {
        const path = isKrylovError(error) ? String(error.details?.path ?? error.details?.name ?? '') : ''
        if (!/^(inputs|targets)\b/.test(path)) throw error
      }
    })
    return found.map(({ path, message }) => ({ path: placeOf(path), message }))
  } finally {
    model.dispose()
  }
}

/** Contradictions between fields. */
function combinedProblems(config: Config): Problem[] {
  const problems: Problem[] = []
  const heads = Object.keys(config.model.heads ?? {})
  const { train, validation, test } = config.data
  for (const [name, from] of Object.entries({ train, validation, test })) {
    if (from === undefined || 'fraction' in from) continue
    const path = `data.${name}`
    if ('idx' in from) {
      if (heads.length > 0) problems.push({ path, message: 'expected a CSV file for a model with heads' })
      continue
    }
    const { target } = from
    const perHead = typeof target === 'object' && !Array.isArray(target)
    if (perHead !== heads.length > 0) {
      const expected =
        heads.length > 0 ? 'an object with the columns of each head' : 'columns, since the model has no heads'
      problems.push({ path: `${path}.target`, message: `expected ${expected}` })
    } else if (perHead) {
      for (const head of heads) {
        if (!(head in target))
          problems.push({ path: joinKeys([head], `${path}.target`), message: 'expected the columns of this head' })
      }
      for (const name of Object.keys(target)) {
        if (!heads.includes(name)) {
          problems.push({ path: joinKeys([name], `${path}.target`), message: `unknown head${hint(name, heads)}` })
        }
      }
    }
  }
  if (config.data.standardize === true) {
    const first = config.model.layers[0] as Fields | undefined
    const dense = first !== undefined && (first.kind === undefined || first.kind === 'dense')
    if (!dense || first.bias === false) {
      const message =
        'expected false, or a model that begins with a dense layer with bias: the scaling is folded into it'
      problems.push({ path: 'data.standardize', message })
    }
    if ('idx' in train) {
      problems.push({ path: 'data.standardize', message: 'expected false for images: model.inputScale scales bytes' })
    }
  }
  if (config.training.earlyStopping !== undefined && validation === undefined) {
    problems.push({ path: 'training.earlyStopping', message: 'expected data.validation beside it' })
  }
  return problems
}

/** Any optimizer takes a line with a squared error. */
function checkOptimizer(optimizer: OptimizerOption): void {
  const model = createModel({ inputs: 1, layers: [{ units: 1 }] })
  try {
    createTrainer(model, { loss: meanSquaredError(), optimizer, totalSteps: 1 }).dispose()
  } finally {
    model.dispose()
  }
}

/**
 * Checks a configuration as a whole.
 *
 * @throws ConfigError with every problem found
 */
export async function validateConfig(input: unknown): Promise<Config> {
  const checked = checkConfig(input)
  const problems: Problem[] = [...checked.problems]
  const given = (typeof input === 'object' && input !== null ? input : {}) as Fields
  const wrong = (path: string): boolean =>
    problems.some((problem) => problem.path === path || problem.path.startsWith(`${path}.`))
  // The optimizer stands alone: it is looked into even where the rest is wrong.
  if (given.optimizer !== undefined && !wrong('optimizer') && !wrong('')) {
    const spec = withKind(given.optimizer) as OptimizerOption
    problems.push(
      ...(await problemsIn(
        spec,
        'optimizer',
        'optimizer',
        (rest) => checkOptimizer(rest as OptimizerOption),
        kindName,
      )),
    )
  }
  if ('config' in checked) {
    const { config } = checked
    problems.push(...combinedProblems(config))
    const model = await modelProblems(config)
    problems.push(...model)
    const optimizer = wrong('optimizer') ? undefined : optimizerOf(config)
    if (model.length === 0) problems.push(...(await taskProblems(config, optimizer)))
  }
  if (problems.length > 0 || !('config' in checked)) {
    throw new ConfigError(
      'config',
      [...problems].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)),
    )
  }
  return checked.config
}
