import type { AnyModel, LossOption, MetricOption, Model } from '../index.js'
import { evaluate, isKrylovError } from '../index.js'
import type { Column, Source } from './config.js'
import { folderOf, readConfig, resolvePaths } from './config.js'
import type { CsvText } from './data.js'
import { asData, csvText, loadSamples, wantsOf } from './data.js'
import type { Notes } from './model-file.js'
import { impliedLoss, loadWithNotes } from './model-file.js'
import { ConfigError } from './problems.js'
import { lossOf, metricsOf, validateConfig, withKind } from './specs.js'
import { columns, measures, number } from './text.js'

export type EvaluateArguments = CsvText & {
  readonly model: string
  readonly csv?: string
  readonly target?: readonly Column[]
  readonly idx?: readonly string[]
  readonly config?: string
  readonly loss?: string
  readonly metric?: readonly string[]
  readonly threads?: number
  readonly json?: boolean
}

export type Job = {
  readonly source: Source
  readonly loss: LossOption
  readonly metrics: readonly MetricOption[] | undefined
}

function problem(path: string, message: string): ConfigError {
  return new ConfigError('options', [{ path, message }])
}

/** The target columns: as told, or those that the model was trained on. */
function targetOf(
  model: AnyModel,
  given: readonly Column[] | undefined,
  notes: Notes,
): Column[] | Record<string, Column[]> {
  const heads = model.headNames
  const known = notes.targets ?? {}
  if (heads.length === 0) {
    const own = given ?? known['']
    if (own === undefined) throw problem('--target', 'expected the target column, which the model file does not tell')
    return [...own]
  }
  if (given !== undefined) {
    throw problem(
      '--target',
      'expected no columns for a model with heads: their columns are those of training, or use --config',
    )
  }
  const missing = heads.find((head) => known[head] === undefined)
  if (missing !== undefined)
    throw problem('--config', `expected a configuration: the model file does not tell the columns of head '${missing}'`)
  return Object.fromEntries(heads.map((head) => [head, [...(known[head] ?? [])]]))
}

async function jobFromConfig(path: string, part: 'train' | 'test'): Promise<Job> {
  const config = resolvePaths(await validateConfig(await readConfig(path)), folderOf(path))
  const { train, test, validation } = config.data
  if (part === 'train') return { source: train, loss: lossOf(config), metrics: undefined }
  const source = test ?? (validation === undefined || 'fraction' in validation ? undefined : validation)
  if (source === undefined) {
    throw new ConfigError('config', [
      { path: 'data.test', message: 'expected a source to evaluate on (or data.validation with one)' },
    ])
  }
  return { source, loss: lossOf(config), metrics: metricsOf(config).metrics }
}

function sourceOf(given: EvaluateArguments, model: AnyModel, notes: Notes): Source {
  if (given.csv !== undefined)
    return { csv: given.csv, target: targetOf(model, given.target, notes), ...csvText(given) }
  const [images, labels, ...rest] = given.idx ?? []
  if (images === undefined || labels === undefined || rest.length > 0) {
    throw problem('--idx', 'expected two files: images and labels')
  }
  return { idx: { images, labels } }
}

/** What data a command works on and by which loss; of a configuration its training or its test data. */
export async function jobOf(
  given: EvaluateArguments,
  model: AnyModel,
  notes: Notes,
  part: 'train' | 'test' = 'test',
): Promise<Job> {
  const sources = [given.csv, given.idx, given.config].filter((one) => one !== undefined)
  if (sources.length !== 1) throw problem('', 'expected exactly one of --csv, --idx and --config')
  const job: Job =
    given.config === undefined
      ? { source: sourceOf(given, model, notes), loss: notes.loss ?? impliedLoss(model), metrics: notes.metrics }
      : await jobFromConfig(given.config, part)
  return {
    ...job,
    ...(given.loss === undefined ? {} : { loss: withKind(given.loss) as LossOption }),
    ...(given.metric === undefined ? {} : { metrics: given.metric as readonly MetricOption[] }),
  }
}

/** A wrong loss or metric is told before any data are read: `evaluate` looks at its options first. */
export async function checkTask(model: AnyModel, given: EvaluateArguments, { loss, metrics }: Job): Promise<void> {
  if (given.loss === undefined && given.metric === undefined) return
  const nothing = { inputs: [], targets: [] }
  try {
    await evaluate(model as Model, nothing, { loss, ...(metrics === undefined ? {} : { metrics }) })
  } catch (error) {
    if (!isKrylovError(error) || error.code !== 'ERR_OPTION') return
    const path = String(error.details?.path ?? error.details?.name ?? '')
    if (path.startsWith('loss')) throw problem('--loss', error.message)
    if (path.startsWith('metrics')) throw problem('--metric', error.message)
  }
}

/** `krylov evaluate`: loss and metrics of a model over data. */
export async function evaluateCommand(given: EvaluateArguments): Promise<number> {
  const { model, notes } = await loadWithNotes(given.model)
  const job = await jobOf(given, model, notes)
  await checkTask(model, given, job)
  const { source, loss, metrics } = job
  const samples = await loadSamples(source, wantsOf(model.outputs, loss), model.dtype, notes)
  const evaluation = await evaluate(model as Model, asData(samples), {
    loss,
    ...(metrics === undefined ? {} : { metrics }),
    ...(given.threads === undefined ? {} : { threads: given.threads }),
  })
  const rows = samples.inputs.shape[0]
  if (given.json === true) process.stdout.write(`${JSON.stringify({ samples: rows, ...evaluation })}\n`)
  else
    process.stdout.write(
      `${columns([['samples', String(rows)], ...measures(evaluation).map(([name, value]) => [name, number(value)])])}\n`,
    )
  model.dispose()
  return 0
}
