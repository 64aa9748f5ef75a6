import { createReadStream } from 'node:fs'
import { parse } from 'csv-parse'
import type { LossOption, Matrix } from '../index.js'
import { datasetFromIdx, readCsv } from '../index.js'
import type { Column, CsvSource, IdxSource, Source } from './config.js'
import { RunError } from './problems.js'

/*
 * From sources to samples. Class labels keep the numbers that the training data gave them: they are part of what a
 * model means.
 */

/** Targets of one output. `''` is the name of the only output of a model without heads. */
export type Targets = Int32Array | Matrix

export type Samples = {
  readonly inputs: Matrix
  /** By head, or under `''`. */
  readonly targets: Readonly<Record<string, Targets>>
  /** Names of the input columns; undefined for images. */
  readonly columns: readonly string[] | undefined
  /** Names of the target columns by head. */
  readonly targetNames: Readonly<Record<string, readonly string[]>>
  /** Class labels by head, where the targets are labels. */
  readonly classes: Readonly<Record<string, readonly string[]>>
}

/** What an output wants of its targets. */
export type Want = { readonly head: string; readonly width: number; readonly classIndices: boolean }

/** What the model already knows, from training: columns to read, and numbers of labels. */
export type Known = {
  readonly columns?: readonly string[] | undefined
  readonly classes?: Readonly<Record<string, readonly string[]>> | undefined
}

export type CsvText = { readonly delimiter?: string; readonly header?: boolean | 'auto'; readonly comment?: string }

/** The options that say how a CSV file's text is read, without absent members. */
export function csvText(from: { [K in keyof CsvText]?: CsvText[K] | undefined }): CsvText {
  const { delimiter, header, comment } = from
  return {
    ...(delimiter === undefined ? {} : { delimiter }),
    ...(header === undefined ? {} : { header }),
    ...(comment === undefined ? {} : { comment }),
  }
}

/** The loss of one output: the loss itself, or the head's own, with or without a weight around it. */
export function lossOfHead(loss: LossOption, head: string): { readonly kind: string; readonly targets?: string } {
  const own = head === '' ? loss : (loss as unknown as Record<string, unknown>)[head]
  const inner = typeof own === 'object' && own !== null && 'loss' in own ? own.loss : own
  return inner as { readonly kind: string; readonly targets?: string }
}

/** What each output of a model wants under a loss. */
export function wantsOf(
  outputs: readonly { readonly name: string; readonly width: number }[],
  loss: LossOption,
): readonly Want[] {
  return outputs.map(({ name, width }) => {
    const { kind, targets } = lossOfHead(loss, name)
    return { head: name, width, classIndices: kind === 'softmaxCrossEntropy' && targets !== 'probabilities' }
  })
}

// --- CSV -------------------------------------------------------------------------------------------------------------

async function firstRow(path: string, text: CsvText): Promise<string[]> {
  const options = { bom: true, delimiter: text.delimiter ?? ',', comment: text.comment ?? null, skip_empty_lines: true }
  const input = createReadStream(path)
  const rows = input.pipe(parse({ ...options, to: 1, relax_column_count: true }))
  // pipe does not carry errors over.
  input.on('error', (error) => rows.destroy(error))
  try {
    for await (const row of rows as AsyncIterable<string[]>) return row.map((cell) => cell.trim())
    return []
  } catch (error) {
    throw new RunError(`${path}: cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  } finally {
    input.destroy()
  }
}

/** The known columns by name where the file has all of them, else undefined: the file's own order holds. */
export async function knownColumns(
  path: string,
  text: CsvText,
  wanted: readonly string[] | undefined,
): Promise<readonly string[] | undefined> {
  if (wanted === undefined || text.header === false) return undefined
  const names = await firstRow(path, text)
  return wanted.every((name) => names.includes(name)) ? wanted : undefined
}

const asList = (columns: Column | readonly Column[]): readonly Column[] =>
  Array.isArray(columns) ? (columns as readonly Column[]) : [columns as Column]

function targetsByHead(from: CsvSource): [head: string, columns: readonly Column[]][] {
  const { target } = from
  if (typeof target !== 'object' || Array.isArray(target)) return [['', asList(target)]]
  return Object.entries(target).map(([head, columns]) => [head, asList(columns)])
}

/** Indices of the columns that are targets of no head. */
async function freeColumns(from: CsvSource, used: readonly Column[]): Promise<readonly number[]> {
  const names = await firstRow(from.csv, csvText(from))
  const taken = new Set(used.map((column) => (typeof column === 'number' ? column : names.indexOf(column))))
  return [...names.keys()].filter((index) => !taken.has(index))
}

/** Labels numbered as in training. */
function renumber(data: Int32Array, labels: readonly string[], known: readonly string[], path: string): Int32Array {
  const numbers = labels.map((label) => {
    const index = known.indexOf(label)
    if (index < 0) throw new RunError(`${path}: class '${label}' does not occur in the training data`)
    return index
  })
  return data.map((index) => numbers[index] ?? 0)
}

/** Class indices as the rows of numbers that a loss on values takes: one column of 0 and 1, or one column a class. */
function toRows(data: Int32Array, width: number, dtype: 'float32' | 'float64', what: string): Matrix {
  const highest = data.reduce((most, label) => Math.max(most, label), 0)
  if (highest >= Math.max(width, 2)) {
    throw new RunError(`${what}: ${highest + 1} classes do not fit ${width} output${width === 1 ? '' : 's'}`)
  }
  const size = data.length * width
  const rows = dtype === 'float64' ? new Float64Array(size) : new Float32Array(size)
  data.forEach((label, row) => {
    if (width === 1) rows[row] = label
    else rows[row * width + label] = 1
  })
  return { data: rows, shape: [data.length, width] }
}

async function loadCsv(
  from: CsvSource,
  wants: readonly Want[],
  dtype: 'float32' | 'float64',
  known: Known,
): Promise<Samples> {
  const text = csvText(from)
  const heads = targetsByHead(from)
  const used = heads.flatMap(([, columns]) => columns)
  const inputColumns =
    from.columns ??
    (await knownColumns(from.csv, text, known.columns)) ??
    (heads.length > 1 ? await freeColumns(from, used) : undefined)
  const select = inputColumns === undefined ? {} : { columns: inputColumns }
  let inputs: Matrix | undefined
  let columns: readonly string[] | undefined
  const targets: Record<string, Targets> = {}
  const targetNames: Record<string, readonly string[]> = {}
  const classes: Record<string, readonly string[]> = {}
  for (const [head, target] of heads) {
    const want = wants.find((one) => one.head === head)
    if (want === undefined) throw new RunError(`${from.csv}: the model has no head '${head}'`)
    const labelled = want.classIndices || known.classes?.[head] !== undefined
    const targetKind = from.targetKind ?? (labelled ? 'class' : 'number')
    const table = await readCsv(from.csv, { ...text, ...select, dtype, target, targetKind })
    inputs ??= { data: table.data, shape: table.shape }
    columns ??= table.columns
    const found = table.target
    if (found === undefined) throw new RunError(`${from.csv}: no target column`)
    targetNames[head] = found.columns
    if (!('classes' in found)) {
      targets[head] = { data: found.data, shape: found.shape }
      continue
    }
    const labels = known.classes?.[head]
    classes[head] = labels ?? found.classes
    const data = labels === undefined ? found.data : renumber(found.data, found.classes, labels, from.csv)
    if (want.classIndices && want.width < found.classes.length) {
      const name = head === '' ? 'the model' : `head '${head}'`
      throw new RunError(`${from.csv}: ${found.classes.length} classes, but ${name} has ${want.width} outputs`)
    }
    targets[head] = want.classIndices ? data : toRows(data, want.width, dtype, from.csv)
  }
  if (inputs === undefined) throw new RunError(`${from.csv}: no target column`)
  return { inputs, targets, columns, targetNames, classes }
}

// --- IDX -------------------------------------------------------------------------------------------------------------

async function loadIdx(from: IdxSource, wants: readonly Want[], dtype: 'float32' | 'float64'): Promise<Samples> {
  const { images, labels } = from.idx
  const { inputs, targets } = await datasetFromIdx(images, labels)
  const want = wants[0]
  if (want === undefined || wants.length > 1)
    throw new RunError(`${labels}: labels of one output for a model with heads`)
  const own = want.classIndices ? targets : toRows(targets, want.width, dtype, labels)
  return { inputs, targets: { [want.head]: own }, columns: undefined, targetNames: {}, classes: {} }
}

/** Reads the samples of a source. */
export function loadSamples(
  from: Source,
  wants: readonly Want[],
  dtype: 'float32' | 'float64',
  known: Known = {},
): Promise<Samples> {
  return 'csv' in from ? loadCsv(from, wants, dtype, known) : loadIdx(from, wants, dtype)
}

/** Samples as the library's functions take them: targets by head, or alone. */
export function asData(samples: Samples): { inputs: Matrix; targets: Targets } {
  const { inputs, targets } = samples
  // With heads the targets are an object with their names, which the types only know at compile time.
  return { inputs, targets: '' in targets ? (targets[''] as Targets) : (targets as unknown as Targets) }
}
