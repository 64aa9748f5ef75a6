import { writeFileAtomically } from '../formats/atomic-file.js'
import { arrayOf, atPath, checkKnownKeys, optional, record, string } from '../internal/validate.js'
import type { ImagesOptions } from './images.js'
import { renderImages } from './images.js'
import type { DescribedModel } from './layers.js'
import { htmlPage } from './page.js'
import type { ReportEpoch, ReportHistory } from './sections.js'
import { charts, epochTable, figures, layerTable, outcome, valueTable } from './sections.js'
import { escapeText } from './text.js'

export type { DescribedModel, ReportEpoch, ReportHistory }

/** What goes into a report besides the run itself. */
export type ReportOptions = {
  /** Heading of the page; default 'Training report'. */
  readonly title?: string
  /** The trained model; its spec and tensors make the layer table. */
  readonly model: DescribedModel
  /** What `await train(...)` gave. */
  readonly history: ReportHistory
  /** Final measures by name, such as what `evaluate` gave on a test set; members may be objects (one a head). */
  readonly evaluation?: object
  /** How the run was set up: any plain object, such as the options of `train`. */
  readonly settings?: object
  /** Where it ran; default: what the Node process tells. Pass `systemInfo()` to add instruction set and threads. */
  readonly environment?: object
  /** Free text, line breaks kept. */
  readonly notes?: string
  /** Images with maps over them, such as saliency; a drawing each. */
  readonly images?: readonly ImagesOptions[]
}

const optionNames = ['title', 'model', 'history', 'evaluation', 'settings', 'environment', 'notes', 'images']

function nodeEnvironment(): Record<string, unknown> {
  return { node: process.version, platform: process.platform, architecture: process.arch }
}

/**
 * Makes the HTML of a report; `writeReport` writes it to a file.
 *
 * @param date shown at the top; default now
 */
export function renderReport(options: ReportOptions, date = new Date()): string {
  checkKnownKeys(options, optionNames, 'report options')
  record(options.history, 'history')
  record(options.model, 'model')
  const title = optional(options.title, 'Training report', (value) => string(value, 'title'))
  const notes = optional(options.notes, '', (value) => string(value, 'notes', { empty: true }))
  const images = optional(options.images, [], (value) =>
    arrayOf(value, 'images', (item, path) => atPath(path, () => renderImages(item as ImagesOptions))),
  )
  const { model, history } = options
  const environment = { ...nodeEnvironment(), ...options.environment }
  const outcomes = valueTable('Evaluation', options.evaluation ?? {}) + valueTable('Environment', environment)
  const tables = [outcomes, valueTable('Settings', options.settings ?? {})]
  const parts = [
    outcome(history),
    figures(model, history),
    charts(history),
    notes === '' ? '' : `<h2>Notes</h2><div class="panel notes">${escapeText(notes)}</div>`,
    ...images.map((drawing) => `<div class="panel drawing">${drawing}</div>`),
    epochTable(history),
    layerTable(model),
    `<div class="two">${tables.map((table) => `<div>${table}</div>`).join('')}</div>`,
  ]
  return htmlPage(title, date, parts, images.length > 0)
}

/**
 * Writes what a training run did as one HTML file: curves of loss and metrics, every epoch, the model's layers,
 * settings, timings and environment. The file needs no network and no script, follows the reader's light or dark
 * setting, and replaces an existing file only as a whole.
 *
 * @example
 * const history = await train(model, data, options)
 * await writeReport('run.html', { title: 'Digits', model, history, settings: { batchSize: 128 } })
 */
export async function writeReport(path: string, options: ReportOptions): Promise<void> {
  string(path, 'path')
  await writeFileAtomically(path, [new TextEncoder().encode(renderReport(options))])
}
