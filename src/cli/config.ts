import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import type { Problem } from './problems.js'
import { ConfigError, hint, joinKeys, RunError } from './problems.js'

/*
 * The shape of a configuration file. What belongs to the command line (data, outputs, the run's numbers) is checked
 * here; losses, optimizers, schedules and layers are checked by the library's own factories, in specs.ts, so that
 * there is one table of their options.
 */

// --- building blocks -------------------------------------------------------------------------------------------------

function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = typeof value === 'string' ? `'${value}'` : String(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** A value that a test accepts; the message says what was wanted and what came. */
function value<T>(expected: string, test: (value: unknown) => boolean) {
  return z.custom<T>(test, { error: (issue) => `expected ${expected}, received ${show(issue.input)}` })
}

function word<const T extends string>(...words: readonly T[]) {
  const list = words.map((one) => `'${one}'`).join(' or ')
  return z.custom<T>((input) => words.includes(input as T), {
    error: ({ input }) =>
      `expected ${list}, received ${show(input)}${typeof input === 'string' ? hint(input, words) : ''}`,
  })
}

/** An object with exactly these members; unknown ones are told with the nearest right name. */
function members<S extends z.core.$ZodShape>(shape: S) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return `expected an object, received ${show(issue.input)}`
      // One line for each key, in their order: issuesOf takes them apart.
      return issue.keys.map((key) => `unknown option${hint(key, Object.keys(shape))}`).join('\n')
    },
  })
}

/** Issues with the keys of the field that each is about; unknown names one by one. */
function issuesOf(error: z.ZodError): { keys: readonly PropertyKey[]; message: string }[] {
  return error.issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') return [{ keys: issue.path, message: issue.message }]
    const messages = issue.message.split('\n')
    return issue.keys.map((key, index) => ({ keys: [...issue.path, key], message: messages[index] ?? '' }))
  })
}

/** One of several shapes, told apart by a look at the value, so that messages are about the shape that was meant. */
function oneShape<T>(choose: (value: Record<string, unknown>) => z.ZodType<T>) {
  return z.unknown().transform((input, context): T => {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) {
      context.issues.push({ code: 'custom', message: `expected an object, received ${show(input)}`, input })
      return z.NEVER
    }
    const result = choose(input as Record<string, unknown>).safeParse(input)
    if (result.success) return result.data
    for (const { keys, message } of issuesOf(result.error)) {
      context.issues.push({ code: 'custom', path: [...keys], message, input })
    }
    return z.NEVER
  })
}

const text = (what: string) => value<string>(what, (input) => typeof input === 'string' && input !== '')
const isWhole = (input: unknown, low: number): boolean => Number.isSafeInteger(input) && (input as number) >= low
const whole = (low: number) => value<number>(`a whole number >= ${low}`, (input) => isWhole(input, low))
const yesOrNo = value<boolean>('true or false', (input) => typeof input === 'boolean')
const isObject = (input: unknown): boolean => typeof input === 'object' && input !== null && !Array.isArray(input)
/** A name, or an object whose members the library checks. */
const spec = (what: string) =>
  value<string | Record<string, unknown>>(
    `the name of ${what} or an object with a kind`,
    (input) => (typeof input === 'string' && input !== '') || isObject(input),
  )
const layerList = value<unknown[]>('a list of layers', Array.isArray)

// --- data ------------------------------------------------------------------------------------------------------------

export type Column = string | number
const isColumn = (input: unknown): boolean => (typeof input === 'string' && input !== '') || isWhole(input, 0)
const isColumns = (input: unknown): boolean =>
  isColumn(input) || (Array.isArray(input) && input.length > 0 && input.every(isColumn))
const isHeadColumns = (input: unknown): boolean => isObject(input) && Object.values(input as object).every(isColumns)

/** How the text of a CSV file is to be read. */
const csvText = {
  delimiter: text('one character or more').optional(),
  header: value<boolean | 'auto'>(
    "true, false or 'auto'",
    (input) => typeof input === 'boolean' || input === 'auto',
  ).optional(),
  comment: text('the text that begins a comment').optional(),
}

const csvSource = members({
  csv: text('the path of a CSV file'),
  target: value<Column | Column[] | Record<string, Column | Column[]>>(
    "a column's name or index, a list of them, or an object with those of each head",
    (input) => isColumns(input) || isHeadColumns(input),
  ),
  targetKind: word('number', 'class').optional(),
  columns: value<Column[]>(
    "a list of columns' names or indices",
    (input) => Array.isArray(input) && input.length > 0 && input.every(isColumn),
  ).optional(),
  ...csvText,
})

const idxSource = members({
  idx: members({ images: text('the path of an IDX file'), labels: text('the path of an IDX file') }),
})

export type CsvSource = z.infer<typeof csvSource>
export type IdxSource = z.infer<typeof idxSource>
/** Where samples come from. */
export type Source = CsvSource | IdxSource
/** A part of the training samples, drawn by the seed. */
export type Fraction = { readonly fraction: number }

const fraction = members({
  fraction: value<number>(
    'a number above 0 and below 1',
    (input) => typeof input === 'number' && input > 0 && input < 1,
  ),
})

const source = oneShape<Source>((input) => ('idx' in input && !('csv' in input) ? idxSource : csvSource))
const validationSource = oneShape<Source | Fraction>((input) =>
  'csv' in input ? csvSource : 'idx' in input ? idxSource : fraction,
)

// --- the whole -------------------------------------------------------------------------------------------------------

const configSchema = members({
  seed: whole(0).optional(),
  dtype: word('float32', 'float64').optional(),
  data: members({
    train: source,
    validation: validationSource.optional(),
    test: source.optional(),
    standardize: yesOrNo.optional(),
  }),
  model: members({
    layers: layerList,
    heads: z
      .custom<Record<string, unknown[]>>(
        (input) => isObject(input) && Object.values(input as object).every(Array.isArray),
        { error: (issue) => `expected an object with a list of layers for each head, received ${show(issue.input)}` },
      )
      .optional(),
    inputScale: value<number>('a number > 0', (input) => typeof input === 'number' && input > 0).optional(),
  }),
  loss: spec('a loss'),
  optimizer: spec('an optimizer').optional(),
  training: members({
    batchSize: whole(1).optional(),
    curvatureBatchSize: whole(1).optional(),
    epochs: whole(1),
    metrics: value<unknown>(
      'a list of metrics, or an object with those of each head',
      (input) => typeof input === 'object' && input !== null,
    ).optional(),
    earlyStopping: value<Record<string, unknown>>('an object', isObject).optional(),
    weights: spec('a rule of sample weights').optional(),
    clipping: spec('a stage of clipping').optional(),
    privacy: spec('differential privacy').optional(),
    gradient: value<string | Record<string, unknown> | unknown[]>(
      'the name of a transformation of the gradient, an object with a kind, or a list of these',
      (input) => (typeof input === 'string' && input !== '') || (typeof input === 'object' && input !== null),
    ).optional(),
    stepSize: spec('a step-size stage').optional(),
    sampling: spec('a way to draw batches').optional(),
    multitask: spec('a method for several tasks').optional(),
    record: value<Record<string, unknown>>('an object', isObject).optional(),
    threads: value<number | 'auto'>(
      "a whole number >= 1 or 'auto'",
      (input) => input === 'auto' || isWhole(input, 1),
    ).optional(),
    l2: value<number>(
      'a number >= 0',
      (input) => typeof input === 'number' && input >= 0 && Number.isFinite(input),
    ).optional(),
  }),
  output: members({
    model: text('the path of the model file to write'),
    report: text('the path of the report to write').optional(),
    saliency: members({ width: whole(1), height: whole(1), samples: whole(1).optional() }).optional(),
    checkpoint: text('the path of the checkpoint to write').optional(),
  }),
})

/** A configuration as read: shapes checked, paths made absolute. */
export type Config = z.infer<typeof configSchema>

export type Checked =
  | { readonly config: Config; readonly problems: readonly [] }
  | { readonly problems: readonly Problem[] }

/** Checks the shape of a configuration. Fields that hold specs of the library are not looked into. */
export function checkConfig(input: unknown): Checked {
  const result = configSchema.safeParse(input)
  if (result.success) return { config: result.data, problems: [] }
  return { problems: issuesOf(result.error).map(({ keys, message }) => ({ path: joinKeys(keys), message })) }
}

function resolveSource<S extends Source>(folder: string, from: S): S {
  if ('csv' in from) return { ...from, csv: resolve(folder, from.csv) }
  const { images, labels } = from.idx
  return { ...from, idx: { images: resolve(folder, images), labels: resolve(folder, labels) } }
}

/** Makes every path absolute; relative ones are relative to the configuration file. */
export function resolvePaths(config: Config, folder: string): Config {
  const { train, validation, test } = config.data
  const { model, report, checkpoint, saliency } = config.output
  return {
    ...config,
    data: {
      ...config.data,
      train: resolveSource(folder, train),
      ...(validation === undefined
        ? {}
        : { validation: 'fraction' in validation ? validation : resolveSource(folder, validation) }),
      ...(test === undefined ? {} : { test: resolveSource(folder, test) }),
    },
    output: {
      model: resolve(folder, model),
      ...(report === undefined ? {} : { report: resolve(folder, report) }),
      ...(saliency === undefined ? {} : { saliency }),
      ...(checkpoint === undefined ? {} : { checkpoint: resolve(folder, checkpoint) }),
    },
  }
}

/** Reads YAML, of which JSON is a part. The text may come from a stranger: aliases are limited by the parser. */
function parseText(source: string): unknown {
  const lines = new LineCounter()
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  if (document.errors.length > 0) {
    throw new ConfigError(
      'config',
      document.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0])
        return { path: `line ${line}, column ${col}`, message: error.message }
      }),
    )
  }
  return document.toJS() as unknown
}

/** The text of a configuration file, as data. */
export async function readConfig(path: string): Promise<unknown> {
  let content: string
  try {
    content = await readFile(path, 'utf8')
  } catch (error) {
    throw new RunError(`${path}: cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  return parseText(content)
}

/** The folder that a configuration's paths are relative to. */
export function folderOf(path: string): string {
  return dirname(resolve(path))
}
