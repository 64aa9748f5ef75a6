#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { isKrylovError } from '../index.js'
import type { Column } from './config.js'
import type { DiagnoseArguments } from './diagnose.js'
import { diagnoseCommand } from './diagnose.js'
import type { EvaluateArguments } from './evaluate.js'
import { evaluateCommand } from './evaluate.js'
import type { InfoArguments } from './info.js'
import { infoCommand } from './info.js'
import type { PredictArguments } from './predict.js'
import { predictCommand } from './predict.js'
import { ConfigError, RunError } from './problems.js'
import { paint } from './text.js'
import { trainCommand } from './train.js'

/*
 * Exit codes: 0 done; 1 a failure while running (unreadable files, data that do not fit, values that are not finite);
 * 2 a wrong configuration or command line; 130 ended by Ctrl-C.
 */
const failureCode = 1
const usageCode = 2

/** A column by name, or by index where it is a whole number. */
function column(text: string): Column {
  return /^\d+$/.test(text) ? Number(text) : text
}

function columnList(text: string): Column[] {
  return text.split(',').map((part) => column(part.trim()))
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text) || Number(text) < 1) throw new InvalidArgumentError('Expected a whole number >= 1.')
  return Number(text)
}

function more(text: string, list: readonly string[] | undefined): readonly string[] {
  return [...(list ?? []), text]
}

function addCsvOptions(command: Command): Command {
  return command
    .option('--delimiter <text>', 'what stands between cells of a CSV file (default: ,)')
    .option('--no-header', 'the CSV file has no row of names (default: found out)')
    .option('--comment <text>', 'what begins a comment in a CSV file')
}

/** `--no-header` as the library says it; commander sets true where the option is absent. */
function withHeader<T extends { readonly header?: unknown }>(options: T): Omit<T, 'header'> & { header?: false } {
  const { header, ...rest } = options
  return header === false ? { ...rest, header } : rest
}

/** From the package's own description: help and version need no addon. */
function ownVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function buildProgram(finish: (code: number) => void): Command {
  const program = new Command('krylov')
    .description('Trains small neural networks from data and a configuration file, and uses what was trained.')
    .version(ownVersion(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .showHelpAfterError('(--help shows what is possible)')
    .exitOverride()

  program
    .command('train')
    .description('train a model as a configuration file (YAML or JSON) says')
    .argument('<config>', 'path of the configuration')
    .option('-q, --quiet', 'no progress, results only', false)
    .option('--resume <checkpoint>', 'continue from the file that output.checkpoint wrote')
    .action(async (config: string, options: { quiet: boolean; resume?: string }) => {
      finish(await trainCommand({ config, ...options }))
    })

  addCsvOptions(
    program
      .command('evaluate')
      .description('loss and metrics of a model over data')
      .argument('<model>', 'path of a model file')
      .option('--csv <file>', 'samples in a CSV file')
      .option(
        '--target <columns>',
        'target columns by name or index, with commas (default: those of training)',
        columnList,
      )
      .option('--idx <files...>', 'samples in IDX files: images, then labels')
      .option('--config <file>', 'data.test of a configuration, with its loss and metrics')
      .option('--loss <name>', 'loss to report (default: the one of training)')
      .option('--metric <name>', 'metric to report; may be given several times', more)
      .option('--threads <n>', 'number of threads (default: as fits)', wholeNumber)
      .option('--json', 'print one JSON object'),
  ).action(async (model: string, options: Omit<EvaluateArguments, 'model'>) => {
    finish(await evaluateCommand({ model, ...withHeader(options) }))
  })

  addCsvOptions(
    program
      .command('diagnose')
      .description('what stands out in a model: gradients, dead units, hard classes, suspect labels')
      .argument('<model>', 'path of a model file')
      .option('--csv <file>', 'samples in a CSV file')
      .option(
        '--target <columns>',
        'target columns by name or index, with commas (default: those of training)',
        columnList,
      )
      .option('--idx <files...>', 'samples in IDX files: images, then labels')
      .option('--config <file>', 'data.train of a configuration, with its loss')
      .option('--loss <name>', 'loss to look at (default: the one of training)')
      .option('--samples <n>', 'rows to look at, drawn by the seed (default: 512)', wholeNumber)
      .option('--batch-size <n>', 'samples of a training step, to hold against the noise', wholeNumber)
      .option('--seed <n>', 'seed of the rows (default: 0)', wholeNumber)
      .option('--report <file>', 'write a page with drawings')
      .option('--json', 'print one JSON object'),
  ).action(async (model: string, options: Omit<DiagnoseArguments, 'model'>) => {
    finish(await diagnoseCommand({ model, ...withHeader(options) }))
  })

  type Kinds = { class?: boolean; probability?: boolean; raw?: boolean }
  addCsvOptions(
    program
      .command('predict')
      .description('outputs of a model for every row of a file, as CSV')
      .argument('<model>', 'path of a model file')
      .option('--csv <file>', 'rows in a CSV file; further columns are passed over where the file has names')
      .option('--idx <file>', 'rows in an IDX file of images')
      .option(
        '--columns <columns>',
        'input columns by name or index, with commas (default: those of training)',
        columnList,
      )
      .option('-o, --output <file>', 'file to write (default: standard output)')
      .addOption(new Option('--class', 'class labels (default for classification)').conflicts(['probability', 'raw']))
      .addOption(new Option('--probability', 'probabilities of the classes').conflicts(['class', 'raw']))
      .addOption(
        new Option('--raw', "the last layer's values (default for regression)").conflicts(['class', 'probability']),
      )
      .option('--threads <n>', 'number of threads (default: as fits)', wholeNumber),
  ).action(async (model: string, options: Omit<PredictArguments, 'model' | 'kind'> & Kinds) => {
    const { class: asClass, probability, raw, ...rest } = options
    const kind = asClass ? 'class' : probability ? 'probability' : raw ? 'raw' : undefined
    finish(await predictCommand({ model, ...withHeader(rest), ...(kind === undefined ? {} : { kind }) }))
  })

  program
    .command('info')
    .description('what this machine gives the library, or what a model file holds')
    .argument('[model]', 'path of a model file')
    .option('--json', 'print one JSON object')
    .action(async (model: string | undefined, options: Omit<InfoArguments, 'model'>) => {
      finish(await infoCommand({ ...(model === undefined ? {} : { model }), ...options }))
    })
  return program
}

/** Says what went wrong, and gives the exit code. Unexpected errors keep their stack: they are faults of this program. */
function report(error: unknown): number {
  // Commander has printed its own messages by now.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageCode
  const fault = paint(process.stderr, 'red', 'error:')
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`)
    return usageCode
  }
  const expected = error instanceof RunError || isKrylovError(error) || (error instanceof Error && 'syscall' in error)
  const text = error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error)
  process.stderr.write(`${fault} ${text}\n`)
  return failureCode
}

// A reader that has seen enough (`krylov predict ... | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : failureCode)
})

try {
  await buildProgram((code) => {
    process.exitCode = code
  }).parseAsync()
} catch (error) {
  process.exitCode = report(error)
}
