import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename, unlink } from 'node:fs/promises'
import { finished } from 'node:stream/promises'
import type { AnyModel, Matrix, Model } from '../index.js'
import { readCsv, readIdx } from '../index.js'
import type { Column } from './config.js'
import type { CsvText } from './data.js'
import { csvText, knownColumns } from './data.js'
import type { Notes } from './model-file.js'
import { loadWithNotes } from './model-file.js'
import { ConfigError, RunError } from './problems.js'

export type PredictArguments = CsvText & {
  readonly model: string
  readonly csv?: string
  readonly idx?: string
  readonly columns?: readonly Column[]
  readonly output?: string
  readonly kind?: 'class' | 'probability' | 'raw'
  readonly threads?: number
}

/** Rows predicted and written at a time: enough for several threads, little memory. */
const rowsAtOnce = 8192

async function csvInputs(path: string, given: PredictArguments, model: AnyModel, notes: Notes): Promise<Matrix> {
  const text = csvText(given)
  const select = given.columns ?? (await knownColumns(path, text, notes.columns))
  const table = await readCsv(path, {
    ...text,
    ...(select === undefined ? {} : { columns: select }),
    dtype: model.dtype,
  })
  const width = table.shape[1]
  if (width !== model.inputs) {
    const names = notes.columns === undefined ? '' : ` (${notes.columns.join(', ')})`
    throw new RunError(`${path}: the model takes ${model.inputs} columns${names}, received ${width}; --columns chooses`)
  }
  return { data: table.data, shape: table.shape }
}

async function idxInputs(path: string): Promise<Matrix> {
  const { data, dtype, shape } = await readIdx(path)
  const rows = shape[0] ?? 0
  const width = shape.slice(1).reduce((product, size) => product * size, 1)
  if (dtype !== 'uint8' && dtype !== 'float32' && dtype !== 'float64') {
    return { data: Float64Array.from(data), shape: [rows, width] }
  }
  return { data, shape: [rows, width] }
}

function inputsOf(given: PredictArguments, model: AnyModel, notes: Notes): Promise<Matrix> {
  if (given.csv !== undefined && given.idx === undefined) return csvInputs(given.csv, given, model, notes)
  if (given.idx !== undefined && given.csv === undefined) return idxInputs(given.idx)
  throw new ConfigError('options', [{ path: '', message: 'expected exactly one of --csv and --idx' }])
}

/** Classes where the outputs mean classes, else values. */
function defaultKind(model: AnyModel): 'class' | 'raw' {
  const { task } = model.spec
  const links = typeof task === 'object' && task !== null ? Object.values(task) : [task]
  return links.every((link) => link === 'softmax' || link === 'sigmoid') ? 'class' : 'raw'
}

/** A cell as CSV wants it: in quotes where it holds a separator, a quote or a line end. */
function cell(text: string, delimiter: string): string {
  const special = text.includes(delimiter) || /["\r\n]/.test(text)
  return special ? `"${text.replaceAll('"', '""')}"` : text
}

/** Column names of one output. */
function header(model: AnyModel, notes: Notes, kind: 'class' | 'probability' | 'raw'): string[] {
  return model.outputs.flatMap(({ name, width }) => {
    const prefix = name === '' ? '' : `${name}.`
    const targets = notes.targets?.[name] ?? []
    const single = targets.length === 1 ? targets[0] : undefined
    if (kind === 'class') return [name === '' ? (single ?? 'class') : name]
    const classes = notes.classes?.[name]
    if (classes?.length === width) return classes.map((label) => prefix + label)
    if (targets.length === width) return targets.map((target) => prefix + target)
    // One output for two classes is the second one's.
    if (width === 1 && classes?.length === 2) return [prefix + classes[1]]
    return Array.from({ length: width }, (_, index) => `${prefix}output${index}`)
  })
}

type Part = Int32Array | { readonly data: ArrayLike<number>; readonly shape: readonly [number, number] }

/** The predictions of some rows as lines of cells. */
function lines(
  parts: readonly Part[],
  labels: readonly (readonly string[] | undefined)[],
  rows: number,
  delimiter: string,
): string {
  const text: string[] = []
  for (let row = 0; row < rows; row++) {
    const cells = parts.flatMap((part, index) => {
      if (part instanceof Int32Array) {
        const label = part[row] ?? 0
        return [cell(labels[index]?.[label] ?? String(label), delimiter)]
      }
      const width = part.shape[1]
      return Array.from({ length: width }, (_, column) => String(part.data[row * width + column]))
    })
    text.push(`${cells.join(delimiter)}\n`)
  }
  return text.join('')
}

/** Float32 as its shortest decimal that reads back to the same bits, which is far shorter than the double's. */
function shortest(part: Part): Part {
  if (part instanceof Int32Array || !(part.data instanceof Float32Array)) return part
  return { shape: part.shape, data: Array.from(part.data, (value) => shortestFloat(value)) }
}

function shortestFloat(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return short
  }
  return value
}

async function write(
  stream: NodeJS.WritableStream,
  model: Model,
  inputs: Matrix,
  given: PredictArguments,
  notes: Notes,
): Promise<void> {
  const kind = given.kind ?? defaultKind(model)
  const delimiter = given.delimiter ?? ','
  const labels = model.outputs.map(({ name }) => notes.classes?.[name])
  const names = header(model, notes, kind).map((name) => cell(name, delimiter))
  stream.write(`${names.join(delimiter)}\n`)
  const [rows, width] = inputs.shape
  for (let first = 0; first < rows; first += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, rows - first)
    const data = inputs.data.subarray(first * width, (first + count) * width)
    const options = { output: kind, ...(given.threads === undefined ? {} : { threads: given.threads }) }
    const predicted: unknown = await model.predictAsync({ data, shape: [count, width] }, options)
    const parts = model.spec.heads === null ? [predicted] : Object.values(predicted as object)
    const text = lines((parts as Part[]).map(shortest), labels, count, delimiter)
    if (!stream.write(text)) await once(stream, 'drain')
  }
}

/** `krylov predict`: the outputs for every row, as CSV on standard output or in a file that appears when it is whole. */
export async function predictCommand(given: PredictArguments): Promise<number> {
  const { model, notes } = await loadWithNotes(given.model)
  const inputs = await inputsOf(given, model, notes)
  const { output } = given
  if (output === undefined) {
    await write(process.stdout, model as Model, inputs, given, notes)
  } else {
    const partial = `${output}.${process.pid}.partial`
    const stream = createWriteStream(partial, { flags: 'wx' })
    const done = finished(stream)
    try {
      const writing = write(stream, model as Model, inputs, given, notes).then(() => stream.end())
      await Promise.all([done, writing])
      await rename(partial, output)
    } catch (error) {
      stream.destroy()
      await unlink(partial).catch(() => undefined)
      throw error
    }
  }
  model.dispose()
  return 0
}
