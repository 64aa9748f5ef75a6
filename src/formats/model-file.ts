import { dtypeOf, floatArray } from '../internal/arrays.js'
import { describeShape, fileError, KrylovError, optionError, rendered } from '../internal/errors.js'
import type { DType, FloatArray } from '../internal/native.js'
import { signalOption } from '../internal/task.js'
import { checkKnownKeys, isRecord, string } from '../internal/validate.js'
import type { AnyModel, Model, TensorInfo } from '../model/model.js'
import { createModel, handleOf } from '../model/model.js'
import type { ModelSpec } from '../model/spec.js'
import { parameterCount, resolveModel } from '../model/spec.js'
import { isMinimizer } from '../optimizers/registry.js'
import type { TrainingState } from '../training/state.js'
import { stateDtype, toNativeState } from '../training/state.js'
import type { Safetensors, SafetensorsTensor } from './safetensors.js'
import { readSafetensors, tensorFrom, tensorValues, writeSafetensors } from './safetensors.js'

/*
 * A model as a safetensors file: its parameters under their tensor names, its spec as JSON text in the metadata. A
 * checkpoint also has the optimizer's arrays, `optimizer.m.layers.0.weight` and so on, and the position as JSON text.
 * Readers of other programs see plain weights.
 */

const formatKey = 'krylov.format'
const modelKey = 'krylov.model'
const stateKey = 'krylov.state'
const formatVersion = '1'
const optimizerPrefix = 'optimizer.'
/** Of an optimizer's arrays that are not by parameter. */
const arrayPrefix = 'optimizer-array.'

export type SaveOptions = {
  /** State of a run or trainer, to continue it after loading. */
  readonly state?: TrainingState
  /** Checked before the file is touched; the file is replaced as a whole or not at all. */
  readonly signal?: AbortSignal
}
export type LoadOptions = { readonly signal?: AbortSignal }

export type Checkpoint<D extends DType = DType, H extends string = never> = {
  readonly model: Model<D, H>
  /** Null where the file was saved without one. */
  readonly state: TrainingState | null
}

const storedDtype = { float32: 'F32', float64: 'F64' } as const

function addTensors(tensors: Map<string, SafetensorsTensor>, model: AnyModel, flat: FloatArray, prefix: string): void {
  for (const { name, shape, offset, size } of model.tensors) {
    tensors.set(prefix + name, tensorFrom(flat.subarray(offset, offset + size), shape, prefix + name))
  }
}

/**
 * Writes a model, and with `state` the state of its training, as a safetensors file. The content is that of the call;
 * an existing file is replaced as a whole or stays as it was.
 *
 * @throws KrylovError ERR_FILE when the file cannot be written, ERR_OPTION for a state that does not fit the model
 * @example await save(model, 'digits.safetensors')
 * @example await save(model, 'run.safetensors', { state: run.state() })
 */
export async function save<D extends DType, H extends string>(
  model: Model<D, H>,
  path: string,
  options: SaveOptions = {},
): Promise<void> {
  handleOf(model)
  string(path, 'path')
  checkKnownKeys(options, ['state', 'signal'], 'save options')
  const { state } = options as SaveOptions
  const signal = signalOption((options as SaveOptions).signal, 'save signal')
  signal?.throwIfAborted()
  const network = model as unknown as AnyModel
  const tensors = new Map<string, SafetensorsTensor>()
  addTensors(tensors, network, network.parameters, '')
  const metadata: Record<string, string> = {
    [formatKey]: formatVersion,
    [modelKey]: JSON.stringify(network.spec),
  }
  if (state !== undefined) {
    const kind = isRecord(state.optimizer) ? string(state.optimizer.kind, 'state.optimizer.kind') : ''
    const checked = toNativeState(state, 'state', kind, network.dtype, network.parameterCount)
    const { optimizer, numbers, plain, ...scalars } = checked
    for (const [name, values] of Object.entries(optimizer)) {
      addTensors(tensors, network, values, `${optimizerPrefix}${name}.`)
    }
    for (const [name, values] of Object.entries(plain)) {
      tensors.set(arrayPrefix + name, tensorFrom(values, [values.length], arrayPrefix + name))
    }
    const some = isMinimizer(kind) || Object.keys(numbers).length + Object.keys(plain).length > 0
    const own = some ? { numbers, arrays: Object.keys(plain) } : {}
    const stored = { ...scalars, optimizer: { kind, values: Object.keys(optimizer), ...own } }
    metadata[stateKey] = JSON.stringify(stored)
  }
  await writeSafetensors(path, tensors, metadata)
}

function parseMetadata(file: Safetensors, path: string, key: string): unknown {
  const text = file.metadata.get(key)
  if (text === undefined)
    throw fileError(path, {}, `metadata '${key}', which a model saved by this package has`, undefined)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw fileError(path, {}, `JSON in metadata '${key}'`, text, { cause: error })
  }
}

/** Runs a check of something read from the file; what it finds wrong is wrong with the file. */
function within<T>(path: string, key: string, check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (!(error instanceof KrylovError) || error.code === 'ERR_NATIVE') throw error
    throw fileError(path, {}, `a valid '${key}'`, rendered(error.message), { cause: error })
  }
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1)
}

/** The sizes in the spec must be those of the file's tensors, before memory is taken by the word of the spec. */
function checkSize(file: Safetensors, spec: ModelSpec, path: string): void {
  const expected = parameterCount(spec)
  let found = 0
  const isOptimizers = (name: string): boolean => name.startsWith(optimizerPrefix) || name.startsWith(arrayPrefix)
  for (const [name, tensor] of file.tensors) if (!isOptimizers(name)) found += elements(tensor.shape)
  if (found !== expected) {
    throw fileError(path, {}, `${expected} parameters, as the model in the metadata has`, found)
  }
}

function fillFrom(file: Safetensors, model: AnyModel, flat: FloatArray, prefix: string, path: string): void {
  for (const info of model.tensors) flat.set(valuesOf(file, dtypeOf(flat), info, prefix, path), info.offset)
}

function valuesOf(file: Safetensors, dtype: DType, info: TensorInfo, prefix: string, path: string): FloatArray {
  const name = prefix + info.name
  const tensor = file.tensors.get(name)
  if (tensor === undefined) throw fileError(path, {}, `a tensor '${name}'`, undefined)
  if (tensor.dtype !== storedDtype[dtype])
    throw fileError(path, {}, `tensor '${name}' of ${storedDtype[dtype]}`, tensor.dtype)
  if (describeShape(tensor.shape) !== describeShape(info.shape)) {
    throw fileError(
      path,
      {},
      `tensor '${name}' of shape ${describeShape(info.shape)}`,
      rendered(describeShape(tensor.shape)),
    )
  }
  return tensorValues(tensor, name) as FloatArray
}

function readState(file: Safetensors, model: AnyModel, path: string): TrainingState | null {
  if (!file.metadata.has(stateKey)) return null
  const stored = parseMetadata(file, path, stateKey)
  return within(path, stateKey, () => {
    if (!isRecord(stored) || !isRecord(stored.optimizer) || !Array.isArray(stored.optimizer.values)) {
      throw optionError('state', 'an object with an optimizer', stored)
    }
    const kind = string(stored.optimizer.kind, 'optimizer.kind')
    const arrays = stored.optimizer.values.map((name: unknown) => {
      const word = string(name, 'optimizer.values')
      const flat = floatArray(stateDtype(kind, model.dtype), model.parameterCount)
      fillFrom(file, model, flat, `${optimizerPrefix}${word}.`, path)
      return [word, flat] as const
    })
    const values = Object.fromEntries(arrays)
    const { numbers: given } = stored.optimizer
    const own =
      isMinimizer(kind) || given !== undefined
        ? { numbers: stored.optimizer.numbers, arrays: ownArrays(file, stored.optimizer.arrays, path) }
        : {}
    const state = { ...stored, optimizer: { kind, values, ...own } }
    toNativeState(state, 'state', kind, model.dtype, model.parameterCount)
    return state as unknown as TrainingState
  })
}

/** The arrays of an optimizer that are not by parameter. */
function ownArrays(file: Safetensors, names: unknown, path: string): Record<string, FloatArray> {
  if (!Array.isArray(names)) throw optionError('optimizer.arrays', 'an array of names', names)
  const arrays = names.map((given: unknown) => {
    const name = string(given, 'optimizer.arrays')
    const tensor = file.tensors.get(arrayPrefix + name)
    if (tensor === undefined) throw fileError(path, {}, `a tensor '${arrayPrefix}${name}'`, undefined)
    if (tensor.dtype !== 'F64') throw fileError(path, {}, `tensor '${arrayPrefix}${name}' of F64`, tensor.dtype)
    return [name, tensorValues(tensor, arrayPrefix + name) as FloatArray] as const
  })
  return Object.fromEntries(arrays)
}

function modelFrom(file: Safetensors, path: string): AnyModel {
  const version = file.metadata.get(formatKey)
  if (version !== formatVersion) {
    throw fileError(path, {}, `metadata '${formatKey}' of '${formatVersion}'`, version)
  }
  const spec = within(path, modelKey, () => resolveModel(parseMetadata(file, path, modelKey), 'model'))
  checkSize(file, spec, path)
  const model = within(path, modelKey, () => createModel(spec)) as AnyModel
  try {
    const flat = floatArray(model.dtype, model.parameterCount)
    fillFrom(file, model, flat, '', path)
    within(path, 'tensors', () => model.setParameters(flat))
    return model
  } catch (error) {
    model.dispose()
    throw error
  }
}

async function readFile(path: string, options: unknown, where: string): Promise<Safetensors> {
  string(path, 'path')
  checkKnownKeys(options, ['signal'], where)
  const signal = signalOption(options.signal, `${where} signal`)
  signal?.throwIfAborted()
  const file = await readSafetensors(path)
  signal?.throwIfAborted()
  return file
}

/**
 * Reads a model that `save` wrote.
 *
 * @throws KrylovError ERR_FILE when the file cannot be read or is not such a model; the signal's reason when aborted
 * @example const model = await loadModel('digits.safetensors')
 */
export async function loadModel<D extends DType = DType, H extends string = never>(
  path: string,
  options: LoadOptions = {},
): Promise<Model<D, H>> {
  return modelFrom(await readFile(path, options, 'loadModel options'), path) as unknown as Model<D, H>
}

/**
 * Reads a model with the state of its training.
 *
 * @throws as `loadModel`
 * @example
 * const { model, state } = await loadCheckpoint('run.safetensors')
 * await train(model, data, { ...options, ...(state === null ? {} : { resume: state }) })
 */
export async function loadCheckpoint<D extends DType = DType, H extends string = never>(
  path: string,
  options: LoadOptions = {},
): Promise<Checkpoint<D, H>> {
  const file = await readFile(path, options, 'loadCheckpoint options')
  const model = modelFrom(file, path)
  try {
    return { model: model as unknown as Model<D, H>, state: readState(file, model, path) }
  } catch (error) {
    model.dispose()
    throw error
  }
}
