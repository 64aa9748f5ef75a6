import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CsvError, parse } from 'csv-parse'
import { describe, dtypeError, fileError, KrylovError, optionError, rendered } from '../internal/errors.js'
import {
  arrayOf,
  boolean,
  checkKnownKeys,
  integerInRange,
  nearest,
  oneOf,
  optional,
  string,
} from '../internal/validate.js'

/** A column by its name in the header, or by its index from 0. */
export type CsvColumn = string | number

export type CsvOptions<D extends 'float32' | 'float64' = 'float32' | 'float64'> = {
  /** One character or more between cells; default `,`. */
  readonly delimiter?: string
  /**
   * Whether the first row holds names. Default `'auto'`: it does when none of its cells is a number. Without a header
   * the names are `column0`, `column1` and so on.
   */
  readonly header?: boolean | 'auto'
  /** Columns to read, in this order; default all that are not targets, in the file's order. */
  readonly columns?: readonly CsvColumn[]
  /** Target column or columns; default none. */
  readonly target?: CsvColumn | readonly CsvColumn[]
  /** How target cells are read: as numbers (default), or a single column as class labels of any text. */
  readonly targetKind?: 'number' | 'class'
  /** Text that begins a comment, up to the end of the line; default none. */
  readonly comment?: string
  /** Element type of numbers; default `'float32'`. */
  readonly dtype?: D
}

type FloatArray<D> = D extends 'float64' ? Float64Array : D extends 'float32' ? Float32Array : never

export type CsvNumbers<D extends 'float32' | 'float64' = 'float32' | 'float64'> = {
  readonly columns: readonly string[]
  /** Row-major. */
  readonly data: FloatArray<D>
  readonly shape: readonly [rows: number, columns: number]
}

/** Class labels of a target column: `data[i]` is an index into `classes`. */
export type CsvClasses = {
  readonly columns: readonly string[]
  readonly data: Int32Array
  readonly shape: readonly [rows: number]
  /** Every label once: in numeric order when all labels are numbers, else in code-unit order. */
  readonly classes: readonly string[]
}

export type CsvTable<D extends 'float32' | 'float64' = 'float32' | 'float64'> = CsvNumbers<D> & {
  readonly target?: CsvNumbers<D> | CsvClasses
}

// --- options ---------------------------------------------------------------------------------------------------------

type ResolvedCsvOptions = {
  readonly delimiter: string
  readonly header: boolean | 'auto'
  readonly columns: readonly CsvColumn[] | undefined
  readonly target: readonly CsvColumn[]
  readonly targetKind: 'number' | 'class'
  readonly comment: string | undefined
  readonly dtype: 'float32' | 'float64'
}

function column(value: unknown, name: string): CsvColumn {
  if (typeof value === 'string') return string(value, name, { empty: true })
  if (typeof value !== 'number') throw optionError(name, 'a column name or index', value)
  return integerInRange(value, name, { min: 0 })
}

function columnList(value: unknown, name: string): CsvColumn[] {
  return Array.isArray(value) ? arrayOf(value, name, column, { minLength: 1 }) : [column(value, name)]
}

function resolveOptions(options: unknown): ResolvedCsvOptions {
  const known = ['delimiter', 'header', 'columns', 'target', 'targetKind', 'comment', 'dtype']
  checkKnownKeys(options, known, 'csv options')
  const target = optional(options.target, [], (value) => columnList(value, 'csv target'))
  const targetKind = optional(options.targetKind, 'number', (value) =>
    oneOf(value, 'csv targetKind', ['number', 'class']),
  )
  if (targetKind === 'class' && target.length !== 1) {
    throw optionError('csv target', "one column for targetKind 'class'", target)
  }
  return {
    delimiter: optional(options.delimiter, ',', (value) => string(value, 'csv delimiter')),
    header: optional(options.header, 'auto', (value) => (value === 'auto' ? value : boolean(value, 'csv header'))),
    columns: optional(options.columns, undefined, (value) => arrayOf(value, 'csv columns', column, { minLength: 1 })),
    target,
    targetKind,
    comment: optional(options.comment, undefined, (value) => string(value, 'csv comment')),
    dtype: optional(options.dtype, 'float32', (value) => {
      if (value !== 'float32' && value !== 'float64') throw dtypeError('csv dtype', "'float32' or 'float64'", value)
      return value
    }),
  }
}

// --- cells -----------------------------------------------------------------------------------------------------------

const decimalNumber = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/

function isNumber(cell: string): boolean {
  return decimalNumber.test(cell)
}

/** A list of numbers that grows by doubling: ordinary arrays would box what a large file holds. */
class NumberList<A extends Float32Array | Float64Array | Int32Array> {
  #values: A
  #length = 0
  readonly #make: (length: number) => A

  constructor(make: (length: number) => A) {
    this.#make = make
    this.#values = make(1024)
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = this.#make(2 * this.#length)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#length++] = value
  }

  /** The values in an array of their own length. */
  finish(): A {
    return this.#values.slice(0, this.#length) as A
  }
}

function sortLabels(labels: readonly string[]): string[] {
  const sorted = [...labels].sort()
  // Texts of equal value (1 and 1.0) stay apart, in code-unit order: the sort is stable.
  return sorted.every(isNumber) ? sorted.sort((a, b) => Number(a) - Number(b)) : sorted
}

// --- rows ------------------------------------------------------------------------------------------------------------

/** Takes rows of cells one by one and makes the table. */
class TableBuilder {
  readonly #options: ResolvedCsvOptions
  readonly #file: string
  #names: string[] | undefined
  #selected: number[] = []
  #targets: number[] = []
  #rows = 0
  readonly #data: NumberList<Float32Array | Float64Array>
  readonly #targetData: NumberList<Float32Array | Float64Array>
  readonly #labels = new Map<string, number>()
  readonly #labelData = new NumberList((length) => new Int32Array(length))

  constructor(options: ResolvedCsvOptions, file: string) {
    this.#options = options
    this.#file = file
    const make = (length: number): Float32Array | Float64Array =>
      options.dtype === 'float64' ? new Float64Array(length) : new Float32Array(length)
    this.#data = new NumberList(make)
    this.#targetData = new NumberList(make)
  }

  add(cells: readonly string[], line: number): void {
    if (this.#names === undefined) {
      const header = this.#options.header === 'auto' ? !cells.some(isNumber) : this.#options.header
      this.#start(header ? cells.map((cell) => cell.trim()) : cells.map((_, index) => `column${index}`))
      if (header) return
    }
    const names = this.#names ?? []
    if (cells.length !== names.length) {
      throw fileError(this.#file, { line }, `${names.length} cells, as in the first row`, rendered(`${cells.length}`))
    }
    for (const index of this.#selected) this.#data.push(this.#number(cells, index, line))
    if (this.#options.targetKind === 'class') {
      for (const index of this.#targets) this.#addLabel(cells, index, line)
    } else {
      for (const index of this.#targets) this.#targetData.push(this.#number(cells, index, line))
    }
    this.#rows++
  }

  #start(names: string[]): void {
    this.#names = names
    this.#targets = this.#options.target.map((wanted) => this.#find(wanted, 'csv target'))
    this.#selected =
      this.#options.columns === undefined
        ? names.flatMap((_, index) => (this.#targets.includes(index) ? [] : [index]))
        : this.#options.columns.map((wanted) => this.#find(wanted, 'csv columns'))
    const all = [...this.#selected, ...this.#targets]
    const twice = all.find((index, place) => all.indexOf(index) !== place)
    if (twice !== undefined) throw optionError('csv columns', 'every column once', names[twice])
  }

  #find(wanted: CsvColumn, option: string): number {
    const names = this.#names ?? []
    if (typeof wanted === 'number') {
      if (wanted >= names.length) {
        throw optionError(option, `a column index below ${names.length} in ${this.#file}`, wanted)
      }
      return wanted
    }
    const index = names.indexOf(wanted)
    if (index < 0) {
      const near = nearest(wanted, names)
      const hint = near === undefined ? '' : `; did you mean '${near}'?`
      throw optionError(option, `a column of ${this.#file}`, rendered(`${describe(wanted)}${hint}`))
    }
    if (names.lastIndexOf(wanted) !== index) {
      throw optionError(option, `a column name that occurs once in ${this.#file} (use the index)`, wanted)
    }
    return index
  }

  #number(cells: readonly string[], index: number, line: number): number {
    const cell = cells[index] ?? ''
    const wide = isNumber(cell) ? Number(cell) : Number.NaN
    const value = this.#options.dtype === 'float32' ? Math.fround(wide) : wide
    if (!Number.isFinite(value)) {
      const expected = Number.isNaN(wide) ? 'a number' : `a finite ${this.#options.dtype}`
      const received = cell.trim() === '' ? rendered('an empty cell') : cell
      throw fileError(this.#file, { line, column: this.#names?.[index] ?? index }, expected, received)
    }
    return value
  }

  #addLabel(cells: readonly string[], index: number, line: number): void {
    const label = (cells[index] ?? '').trim()
    if (label === '') {
      const place = { line, column: this.#names?.[index] ?? index }
      throw fileError(this.#file, place, 'a class label', rendered('an empty cell'))
    }
    let seen = this.#labels.get(label)
    if (seen === undefined) {
      seen = this.#labels.size
      this.#labels.set(label, seen)
    }
    this.#labelData.push(seen)
  }

  finish(): CsvTable {
    if (this.#names === undefined || this.#rows === 0) {
      const received = this.#names === undefined ? 'an empty file' : 'a header alone'
      throw fileError(this.#file, {}, 'at least one row of data', rendered(received))
    }
    const table = this.#numbers(this.#data, this.#selected)
    if (this.#targets.length === 0) return table
    const target =
      this.#options.targetKind === 'class' ? this.#classes() : this.#numbers(this.#targetData, this.#targets)
    return { ...table, target }
  }

  #numbers(list: NumberList<Float32Array | Float64Array>, indices: readonly number[]): CsvNumbers {
    return { columns: this.#namesOf(indices), data: list.finish(), shape: [this.#rows, indices.length] }
  }

  #classes(): CsvClasses {
    const found = [...this.#labels.keys()]
    const classes = sortLabels(found)
    const place = new Map(classes.map((label, index) => [label, index]))
    const renumbered = Int32Array.from(found, (label) => place.get(label) ?? 0)
    const data = this.#labelData.finish().map((seen) => renumbered[seen] ?? 0)
    return { columns: this.#namesOf(this.#targets), data, shape: [this.#rows], classes }
  }

  #namesOf(indices: readonly number[]): string[] {
    return indices.map((index) => this.#names?.[index] ?? `column${index}`)
  }
}

// --- reading ---------------------------------------------------------------------------------------------------------

/** Longest row in characters: an unclosed quotation mark must not gather the rest of a large file. */
const longestRow = 1 << 24

type ParsedRow = { readonly record: string[]; readonly info: { readonly lines: number } }

function csvFailure(error: unknown, file: string): unknown {
  if (error instanceof KrylovError) return error
  if (error instanceof CsvError) {
    const lines: unknown = error.lines
    const place = typeof lines === 'number' ? { line: lines } : {}
    return fileError(file, place, 'well-formed CSV', rendered(error.message), { cause: error })
  }
  const message = error instanceof Error ? error.message : String(error)
  return fileError(file, {}, 'a readable file', rendered(message), { cause: error })
}

async function readTable(source: Readable, options: ResolvedCsvOptions, file: string): Promise<CsvTable> {
  const builder = new TableBuilder(options, file)
  let failure: unknown
  try {
    const parser = parse({
      bom: true,
      delimiter: options.delimiter,
      comment: options.comment ?? null,
      info: true,
      // Rows of a wrong length are found here, with a message of our own.
      relax_column_count: true,
      skip_empty_lines: true,
      max_record_size: longestRow,
    })
    await pipeline(source, parser, async (rows: AsyncIterable<ParsedRow>) => {
      try {
        for await (const { record, info } of rows) builder.add(record, info.lines)
      } catch (error) {
        failure = error
        throw error
      }
    })
  } catch (error) {
    // With rows still buffered, the pipeline's own error is only that it was cut short.
    throw csvFailure(failure ?? error, file)
  }
  return builder.finish()
}

/**
 * Reads a CSV file of numbers as a stream: memory holds the numbers, not the text.
 *
 * Cells are decimal numbers with optional white space around; quoted cells, a byte order mark and blank lines are
 * understood. Empty cells, `NaN`, infinities and numbers too large for the dtype are errors that name line and column.
 *
 * @example
 * const iris = await readCsv('iris.csv', { target: 'species', targetKind: 'class' })
 * iris.shape // [150, 4]
 */
export async function readCsv<D extends 'float32' | 'float64' = 'float32'>(
  path: string,
  options: CsvOptions<D> = {},
): Promise<CsvTable<D>> {
  const resolved = resolveOptions(options)
  // The builder makes arrays of the dtype that the resolved options name, which is D.
  return (await readTable(createReadStream(path), resolved, path)) as CsvTable<D>
}

/**
 * Reads CSV text that is already in memory; otherwise like `readCsv`.
 *
 * @param file name of the source, for errors
 */
export async function parseCsv<D extends 'float32' | 'float64' = 'float32'>(
  text: string | Uint8Array,
  options: CsvOptions<D> = {},
  file = 'CSV data',
): Promise<CsvTable<D>> {
  const resolved = resolveOptions(options)
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  return (await readTable(Readable.from([bytes]), resolved, file)) as CsvTable<D>
}
