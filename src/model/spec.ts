import { dtypeOption } from '../internal/arrays.js'
import { optionError } from '../internal/errors.js'
import type { DType, NativeNetworkSpec } from '../internal/native.js'
import {
  checkKnownKeys,
  integerInRange,
  isRecord,
  joinPath,
  numberInRange,
  oneOf,
  record,
  seed as seedOption,
} from '../internal/validate.js'
import type { Link } from '../losses/losses.js'
import type { Layer, LayerOption } from './layers.js'
import { outputWidth, parameterCountOf, resolveLayers, toNativeLayer } from './layers.js'

/** What a model's outputs mean: one link, or one for each head. */
export type Task = Link | Readonly<Record<string, Link>>

export type ModelOptions<D extends DType = DType, H extends string = string> = {
  /** Number of input features. */
  readonly inputs: number
  /** The trunk: dense, layerNorm, dropout and residual layers; an object without kind is dense. */
  readonly layers: readonly LayerOption[]
  /** Layers after the trunk for each of several outputs; default none: the trunk's last layer is the output. */
  readonly heads?: Readonly<Record<H, readonly LayerOption[]>> | null
  /** Seed of the initial parameters, 0 to 2^53 − 1; default 0. */
  readonly seed?: number
  /** Element type of parameters and arithmetic; default float32. */
  readonly dtype?: D
  /** Factor on inputs that come as bytes (Uint8Array), and on those alone; default 1/255. */
  readonly inputScale?: number
  /** What the outputs mean, for `predict`; training sets it from the loss. Default null: not known. */
  readonly task?: Task | null
}

/** A resolved model: every option filled in. Plain JSON; `createModel(spec)` makes the same model again. */
export type ModelSpec = {
  readonly inputs: number
  readonly inputScale: number
  readonly layers: readonly Layer[]
  readonly heads: Readonly<Record<string, readonly Layer[]>> | null
  readonly seed: number
  readonly dtype: DType
  readonly task: Task | null
}

export const links = ['softmax', 'sigmoid', 'identity'] as const

const modelKeys = ['inputs', 'layers', 'heads', 'seed', 'dtype', 'inputScale', 'task']
const largestInputs = 2 ** 24
// A name becomes part of tensor names and an object's key: no dots, and no numbers, whose order objects do not keep.
const headName = /^[A-Za-z_][\w-]*$/

/** Checks a model's options and fills in the defaults. */
export function resolveModel(value: unknown, where = 'createModel options'): ModelSpec {
  checkKnownKeys(value, modelKeys, where)
  const inputs = integerInRange(value.inputs, 'inputs', { min: 1, max: largestInputs })
  const layers = resolveLayers(value.layers, 'layers')
  const trunkWidth = outputWidth(layers, inputs, 'layers')
  const heads = value.heads === undefined || value.heads === null ? null : resolveHeads(value.heads, trunkWidth)
  const spec: ModelSpec = {
    inputs,
    inputScale: value.inputScale === undefined ? 1 / 255 : numberInRange(value.inputScale, 'inputScale', { above: 0 }),
    layers,
    heads,
    seed: value.seed === undefined ? 0 : seedOption(value.seed, 'seed'),
    dtype: value.dtype === undefined ? 'float32' : dtypeOption(value.dtype, 'dtype'),
    task: value.task === undefined || value.task === null ? null : resolveTask(value.task, heads),
  }
  if (parameterCount(spec) === 0) throw optionError('layers', 'at least one layer with parameters', value.layers)
  return Object.freeze(spec)
}

function resolveHeads(value: unknown, width: number): Readonly<Record<string, readonly Layer[]>> {
  const given = record(value, 'heads')
  const heads: Record<string, readonly Layer[]> = {}
  for (const [name, list] of Object.entries(given)) {
    if (!headName.test(name) || name === '__proto__') {
      throw optionError('heads', 'names of letters, digits, _ and -, not starting with a digit', name)
    }
    const path = joinPath('heads', name)
    const layers = resolveLayers(list, path)
    outputWidth(layers, width, path)
    heads[name] = layers
  }
  if (Object.keys(heads).length === 0) throw optionError('heads', 'at least one head, or none at all', value)
  return Object.freeze(heads)
}

function resolveTask(value: unknown, heads: ModelSpec['heads']): Task {
  if (heads === null) return oneOf(value, 'task', links)
  if (!isRecord(value)) throw optionError('task', 'an object with a link for each head', value)
  checkKnownKeys(value, Object.keys(heads), 'task')
  return Object.freeze(
    Object.fromEntries(Object.keys(heads).map((name) => [name, oneOf(value[name], joinPath('task', name), links)])),
  )
}

/** The layers of each output, from the first input on, for one output or each head. */
export function outputLayers(spec: ModelSpec): { readonly name: string; readonly layers: readonly Layer[] }[] {
  if (spec.heads === null) return [{ name: '', layers: spec.layers }]
  return Object.entries(spec.heads).map(([name, layers]) => ({ name, layers: [...spec.layers, ...layers] }))
}

/** Number of parameters of the model that a spec describes. */
export function parameterCount(spec: ModelSpec): number {
  return describeLayers(spec).reduce((total, row) => total + row.parameters, 0)
}

export type LayerRow = {
  readonly name: string
  readonly layer: Layer
  readonly width: number
  readonly parameters: number
}

/** One entry for each layer of the spec, in public order. */
export function describeLayers(spec: ModelSpec): LayerRow[] {
  const rows: LayerRow[] = []
  const walk = (layers: readonly Layer[], path: string, inputs: number): number => {
    let width = inputs
    layers.forEach((layer, index) => {
      const parameters = parameterCountOf(layer, width)
      width = outputWidth([layer], width, path)
      rows.push({ name: `${path}.${index}`, layer, width, parameters })
    })
    return width
  }
  const trunk = walk(spec.layers, 'layers', spec.inputs)
  for (const [name, layers] of Object.entries(spec.heads ?? {})) walk(layers, `heads.${name}`, trunk)
  return rows
}

export function toNativeSpec(spec: ModelSpec): NativeNetworkSpec {
  return {
    inputs: spec.inputs,
    inputScale: spec.inputScale,
    layers: spec.layers.map(toNativeLayer),
    heads: Object.entries(spec.heads ?? {}).map(([name, layers]) => ({ name, layers: layers.map(toNativeLayer) })),
  }
}

function layerText(layer: Layer): string {
  switch (layer.kind) {
    case 'dense':
      return `dense ${layer.units} ${layer.activation.kind}${layer.bias ? '' : ', no bias'}`
    case 'layerNorm':
      return 'layerNorm'
    case 'dropout':
      return `dropout ${layer.rate}`
    case 'residual':
      return `residual of ${layer.layers.length}`
  }
}

/** A table of the layers for people. */
export function summaryText(spec: ModelSpec): string {
  const body = describeLayers(spec).map(({ name, layer, width, parameters }) => [
    name,
    layerText(layer),
    String(width),
    parameters.toLocaleString('en-US'),
  ])
  const rows = [['layer', 'kind', 'outputs', 'parameters'], ['inputs', '', String(spec.inputs), '0'], ...body]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
  const total = parameterCount(spec)
  const bytes = total * (spec.dtype === 'float32' ? 4 : 8)
  return [
    ...lines,
    `${total.toLocaleString('en-US')} parameters, ${spec.dtype}, ${bytes.toLocaleString('en-US')} bytes`,
  ].join('\n')
}
