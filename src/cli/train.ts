import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type {
  AnyModel,
  DifferentialPrivacyOption,
  History,
  ImagesOptions,
  Model,
  SampleClippingOption,
  SampleWeightsOption,
  SamplingOption,
  StepSizeOption,
  TaskMethodOption,
  TrainingState,
  TrainOptions,
  TrainRun,
} from '../index.js'
import {
  createModel,
  evaluate,
  isKrylovError,
  loadCheckpoint,
  minimizerKinds,
  save,
  systemInfo,
  train,
  writeReport,
} from '../index.js'
import type { Config } from './config.js'
import { folderOf, readConfig, resolvePaths } from './config.js'
import type { Known, Samples } from './data.js'
import { asData, loadSamples, wantsOf } from './data.js'
import type { Notes } from './model-file.js'
import { saveWithNotes } from './model-file.js'
import { ConfigError, problemOf, RunError } from './problems.js'
import type { Progress } from './progress.js'
import { showProgress } from './progress.js'
import { checkSaliency, saliencyDrawings } from './saliency.js'
import {
  acceptedWidth,
  gradientOf,
  lossOf,
  metricsOf,
  modelOptions,
  optimizerOf,
  placeOf,
  validateConfig,
  withKind,
} from './specs.js'
import type { Scaling } from './standardize.js'
import { applyScaling, fitScaling, foldScaling } from './standardize.js'
import { columns, count, duration, measures, number, paint } from './text.js'

/** What shells give a program that such a signal ended: 128 and the signal's number. */
const signalCodes = { SIGINT: 130, SIGTERM: 143 } as const
const exitCodes = { completed: 0, earlyStopped: 0, aborted: signalCodes.SIGINT, notFinite: 1 } as const

export type TrainArguments = { readonly config: string; readonly quiet: boolean; readonly resume?: string }

const defaultBatchSize = 32
/** Records of the state within an epoch that the progress bar gets. */
const stepsShown = 50

type Loaded = {
  readonly train: Samples
  readonly validation: Samples | undefined
  readonly scaling: Scaling | undefined
}

/** The outputs as the layers tell them, before there is a model. */
function outputsOf(config: Config): { name: string; width: number }[] {
  const widthOf = (layers: readonly unknown[], width: number): number =>
    (layers as readonly { units?: unknown }[]).reduce(
      (last, { units }) => (typeof units === 'number' ? units : last),
      width,
    )
  const trunk = widthOf(config.model.layers, acceptedWidth(config.model.layers))
  const { heads } = config.model
  if (heads === undefined) return [{ name: '', width: trunk }]
  return Object.entries(heads).map(([name, layers]) => ({ name, width: widthOf(layers, trunk) }))
}

/** A source's samples; a wrong column is a problem of the configuration. */
async function loadAt(path: string, ...source: Parameters<typeof loadSamples>): Promise<Samples> {
  try {
    return await loadSamples(...source)
  } catch (error) {
    if (!isKrylovError(error) || error.code !== 'ERR_OPTION') throw error
    throw new ConfigError('config', [problemOf(error, path)])
  }
}

async function loadData(config: Config): Promise<Loaded> {
  const { data, dtype = 'float32' } = config
  const wants = wantsOf(outputsOf(config), lossOf(config))
  const samples = await loadAt('data.train', data.train, wants, dtype)
  const held = data.validation
  const validation =
    held === undefined || 'fraction' in held ? undefined : await loadAt('data.validation', held, wants, dtype, samples)
  if (data.standardize !== true) return { train: samples, validation, scaling: undefined }
  const scaling = fitScaling(samples.inputs)
  const scaled = (part: Samples): Samples => ({ ...part, inputs: applyScaling(part.inputs, scaling) })
  return { train: scaled(samples), validation: validation === undefined ? undefined : scaled(validation), scaling }
}

function describeData({ inputs, classes }: Samples): string {
  const [rows, width] = inputs.shape
  const labels = Object.values(classes).map((names) => count(names.length, 'class', 'classes'))
  return [count(rows, 'sample'), count(width, 'input'), ...labels].join(', ')
}

/** Everything of `train`'s options that the configuration decides. */
function trainOptions(config: Config, validation: Samples | undefined): TrainOptions {
  const {
    batchSize,
    curvatureBatchSize,
    epochs,
    earlyStopping,
    weights,
    clipping,
    privacy,
    gradient,
    stepSize,
    sampling,
    multitask,
    record,
    threads,
    l2,
  } = config.training
  const held = config.data.validation
  return {
    loss: lossOf(config),
    optimizer: optimizerOf(config),
    ...metricsOf(config),
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(curvatureBatchSize === undefined ? {} : { curvatureBatchSize }),
    epochs,
    ...(validation === undefined ? {} : { validation: asData(validation) }),
    ...(held !== undefined && 'fraction' in held ? { validation: held } : {}),
    ...(earlyStopping === undefined ? {} : { earlyStopping }),
    ...(record === undefined ? {} : { record }),
    ...(weights === undefined ? {} : { weights: withKind(weights) as SampleWeightsOption }),
    ...(clipping === undefined ? {} : { clipping: withKind(clipping) as SampleClippingOption }),
    ...(privacy === undefined ? {} : { privacy: withKind(privacy) as DifferentialPrivacyOption }),
    ...(gradient === undefined ? {} : { gradient: gradientOf(gradient) }),
    ...(stepSize === undefined ? {} : { stepSize: withKind(stepSize) as StepSizeOption }),
    ...(sampling === undefined ? {} : { sampling: withKind(sampling) as SamplingOption }),
    ...(multitask === undefined ? {} : { multitask: withKind(multitask) as TaskMethodOption }),
    ...(threads === undefined ? {} : { threads }),
    ...(l2 === undefined ? {} : { l2 }),
    ...(config.seed === undefined ? {} : { seed: config.seed }),
  }
}

/** Starts the run; an option that turns out wrong beside the data is a problem of the configuration. */
function start(model: Model, samples: Samples, options: TrainOptions): TrainRun {
  try {
    return train(model, asData(samples), options)
  } catch (error) {
    if (!isKrylovError(error) || error.code !== 'ERR_OPTION') throw error
    const { path, message } = problemOf(error, '')
    throw new ConfigError('config', [{ path: placeOf(path), message }])
  }
}

function rowsTrained(config: Config, samples: Samples): number {
  const held = config.data.validation
  const rows = samples.inputs.shape[0]
  return held !== undefined && 'fraction' in held ? rows - Math.round(rows * held.fraction) : rows
}

/** A new model, or that of a checkpoint, which must be the configuration's. */
async function modelFor(
  config: Config,
  inputs: number,
  resume: string | undefined,
): Promise<{ model: Model; state: TrainingState | undefined }> {
  const fresh = createModel(modelOptions(config, inputs)) as Model
  if (resume === undefined) return { model: fresh, state: undefined }
  const { model, state } = await loadCheckpoint(resume)
  const shape = (own: Model): string => JSON.stringify({ ...own.spec, task: null })
  const same = shape(model) === shape(fresh)
  fresh.dispose()
  if (!same) throw new RunError(`${resume}: the checkpoint's model is not that of the configuration`)
  if (state === null) throw new RunError(`${resume}: the file holds a model but no state of its training`)
  return { model, state }
}

/** Trains to the end or to Ctrl-C, which aborts the run; a second Ctrl-C ends the process at once. */
async function runToEnd(
  model: Model,
  config: Config,
  loaded: Loaded,
  state: TrainingState | undefined,
  quiet: boolean,
): Promise<{ history: History; ended: TrainRun; code: number }> {
  const controller = new AbortController()
  let progress: Progress | undefined
  let code: number = exitCodes.aborted
  const interrupt = (signal: keyof typeof signalCodes): void => {
    code = signalCodes[signal]
    if (controller.signal.aborted) {
      progress?.stop()
      process.exit(code)
    }
    controller.abort()
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  const options = trainOptions(config, loaded.validation)
  const rows = rowsTrained(config, loaded.train)
  const epochs = config.training.epochs
  const byEpoch = minimizerKinds.some((kind) => kind === options.optimizer?.kind)
  const updates = Math.ceil(rows / (options.batchSize ?? (byEpoch ? rows : defaultBatchSize)))
  try {
    const every = Math.max(1, Math.ceil(updates / stepsShown))
    const running = start(model, loaded.train, {
      ...options,
      signal: controller.signal,
      ...(state === undefined ? {} : { resume: state }),
      ...(quiet ? {} : { onStep: { every, callback: (record) => progress?.step(record) } }),
    })
    if (!quiet) progress = showProgress(process.stderr, epochs, rows)
    try {
      for await (const epoch of running) progress?.epoch(epoch)
      const history = await running
      return { history, ended: running, code: history.reason === 'aborted' ? code : exitCodes[history.reason] }
    } finally {
      progress?.stop()
    }
  } finally {
    process.removeListener('SIGINT', interrupt)
    process.removeListener('SIGTERM', interrupt)
  }
}

function notesOf(config: Config, samples: Samples): Notes {
  const { metrics } = metricsOf(config)
  return {
    ...(samples.columns === undefined ? {} : { columns: samples.columns }),
    targets: samples.targetNames,
    classes: samples.classes,
    loss: lossOf(config),
    ...(metrics === undefined ? {} : { metrics }),
  }
}

function outcomeLine(history: History, epochs: number): string {
  const done = history.epochs.length
  switch (history.reason) {
    case 'completed':
      return `completed ${count(done, 'epoch')} in ${duration(history.seconds)}`
    case 'earlyStopped':
      return `stopped early after ${count(done, 'epoch')}; epoch ${history.bestEpoch} was the best`
    case 'aborted':
      return `aborted after ${done} of ${count(epochs, 'epoch')}; the model has the parameters of update ${history.updates}`
    case 'notFinite': {
      const { step, where } = history.notFinite ?? { step: history.updates + 1, where: 'loss' }
      return `stopped: NaN or infinity in ${where} at update ${step}; the model has the last finite parameters. A smaller learning rate or data.standardize may help`
    }
  }
}

/** What a report shows of the configuration. */
function settingsOf(config: Config, name: string): Record<string, unknown> {
  const { data, training, seed = 0, dtype = 'float32' } = config
  return { configuration: name, seed, dtype, loss: lossOf(config), optimizer: optimizerOf(config), training, data }
}

async function testEvaluation(model: Model, config: Config, known: Known): Promise<object | undefined> {
  const { test } = config.data
  if (test === undefined) return undefined
  const wants = wantsOf(model.outputs, lossOf(config))
  const samples = await loadAt('data.test', test, wants, model.dtype, known)
  const { l2, threads } = config.training
  return evaluate(model, asData(samples), {
    loss: lossOf(config),
    ...metricsOf(config),
    ...(l2 === undefined ? {} : { l2 }),
    ...(threads === undefined ? {} : { threads }),
  })
}

/** Images of the report: of the test data where there are some, else of the training data. */
async function imagesOf(model: Model, config: Config, known: Known): Promise<{ images?: readonly ImagesOptions[] }> {
  const { saliency } = config.output
  if (saliency === undefined) return {}
  const { test, train } = config.data
  const wants = wantsOf(model.outputs, lossOf(config))
  const place = test === undefined ? 'data.train' : 'data.test'
  const samples = await loadAt(place, test ?? train, wants, model.dtype, known)
  return { images: saliencyDrawings(model as AnyModel, samples, saliency) }
}

/** Makes the folders of the outputs before any work is done, so that a long run does not end with nowhere to go. */
async function makeFolders({ output }: Config): Promise<void> {
  for (const path of [output.model, output.report, output.checkpoint]) {
    if (path !== undefined) await mkdir(dirname(path), { recursive: true })
  }
}

/** `krylov train`: trains what a configuration describes, and writes what it asks for. */
export async function trainCommand({ config: path, quiet, resume }: TrainArguments): Promise<number> {
  const config = resolvePaths(await validateConfig(await readConfig(path)), folderOf(path))
  const note = (text: string): void => {
    if (!quiet) process.stderr.write(`${text}\n`)
  }
  await makeFolders(config)
  const loaded = await loadData(config)
  checkSaliency(config.output.saliency, loaded.train.inputs.shape[1])
  note(describeData(loaded.train))
  const { model, state } = await modelFor(config, loaded.train.inputs.shape[1], resume)
  note(`${count(model.parameterCount, 'parameter')}, ${model.dtype}`)
  const { history, ended, code } = await runToEnd(model, config, loaded, state, quiet)
  const { output } = config
  if (output.checkpoint !== undefined) await save(model, output.checkpoint, { state: ended.state() })
  if (loaded.scaling !== undefined) foldScaling(model as AnyModel, loaded.scaling)
  await saveWithNotes(model as AnyModel, output.model, notesOf(config, loaded.train))
  const failed = history.reason === 'notFinite' || history.reason === 'aborted'
  process.stdout.write(
    `${paint(process.stdout, failed ? 'yellow' : 'green', outcomeLine(history, config.training.epochs))}\n`,
  )
  if (history.privacy !== undefined) {
    const { epsilon, delta } = history.privacy
    process.stdout.write(`${columns([['epsilon', `${number(epsilon)} at delta ${delta}`]])}\n`)
  }
  const evaluation = history.reason === 'aborted' ? undefined : await testEvaluation(model, config, loaded.train)
  if (evaluation !== undefined) {
    const rows = measures(evaluation).map(([name, value]) => [`test ${name}`, number(value)])
    process.stdout.write(`${columns(rows)}\n`)
  }
  if (output.report !== undefined) {
    await writeReport(output.report, {
      title: `Training of ${config.output.model.split(/[\\/]/).at(-1) ?? 'a model'}`,
      model,
      history,
      ...(evaluation === undefined ? {} : { evaluation }),
      ...(await imagesOf(model, config, loaded.train)),
      settings: settingsOf(config, path),
      environment: systemInfo(),
    })
  }
  const written = [
    ['model', output.model],
    ['checkpoint', output.checkpoint],
    ['report', output.report],
  ].filter((row): row is [string, string] => row[1] !== undefined)
  process.stdout.write(`${columns(written, 2)}\n`)
  model.dispose()
  return code
}
