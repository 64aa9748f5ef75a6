import type { Series } from './chart.js'
import { lineChart } from './chart.js'
import type { DescribedModel } from './layers.js'
import { countParameters, layerRows } from './layers.js'
import { escapeText, formatCount, formatNumber, formatSeconds } from './text.js'

/** What a report needs of one epoch; train's EpochRecord is one. */
export type ReportEpoch = {
  readonly epoch: number
  readonly loss: number
  /** Measures by name; those of heads in an object for each head. */
  readonly validation?: object
  readonly learningRate: number
  readonly samplesPerSecond: number
  readonly seconds: number
  readonly updates: number
  readonly best: boolean
  /** Curvature against the learning rate, where the run recorded it. */
  readonly stability?: { readonly largestEigenvalue: number; readonly trace: number; readonly threshold?: number }
  /** Gradients, where the run recorded them. */
  readonly gradients?: { readonly norm: number; readonly meanSampleNorm: number; readonly averagedNoiseScale: number }
}

/** What a report needs of a run; train's History is one. */
export type ReportHistory = {
  readonly epochs: readonly ReportEpoch[]
  readonly reason: 'completed' | 'earlyStopped' | 'aborted' | 'notFinite'
  readonly bestEpoch: number
  readonly updates: number
  readonly seconds: number
  /** For `notFinite`: the update that met it, and where. */
  readonly notFinite?: { readonly step: number; readonly where: string }
}

/** More rows of the epoch table than this are thinned out; the curves still show every epoch. */
const mostRows = 400

/** `<td>` of a number; an absent one is a dash. */
function numberCell(value: number | undefined): string {
  return `<td>${value === undefined ? '–' : formatNumber(value)}</td>`
}

function heading(text: string): string {
  return `<h2>${escapeText(text)}</h2>`
}

function finiteMean(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite)
  return finite.reduce((sum, value) => sum + value, 0) / finite.length
}

/** Every number of an evaluation by name, those of heads as `digit.accuracy`. */
function measures(evaluation: object | undefined, prefix = ''): [name: string, value: number][] {
  return Object.entries(evaluation ?? {}).flatMap(([key, value]: [string, unknown]): [string, number][] => {
    if (typeof value === 'number') return [[prefix + key, value]]
    if (typeof value !== 'object' || value === null) return []
    return measures(value, key === 'heads' ? prefix : `${prefix}${key}.`)
  })
}

function measure(epoch: ReportEpoch | undefined, name: string): number | undefined {
  return measures(epoch?.validation).find(([key]) => key === name)?.[1]
}

/** Validation metrics in the order in which they first appear, the loss left out. */
function metricNames(epochs: readonly ReportEpoch[]): string[] {
  const names = new Set(epochs.flatMap(({ validation }) => measures(validation).map(([name]) => name)))
  names.delete('loss')
  return [...names]
}

function outcomeText(history: ReportHistory): string {
  const count = history.epochs.length
  const epochs = `${formatCount(count)} ${count === 1 ? 'epoch' : 'epochs'}`
  const { notFinite } = history
  const place = notFinite === undefined ? '' : ` (update ${formatCount(notFinite.step)}, ${notFinite.where})`
  switch (history.reason) {
    case 'completed':
      return `Completed ${epochs}.`
    case 'earlyStopped':
      return `Stopped early after ${epochs}; epoch ${history.bestEpoch} was the best.`
    case 'aborted':
      return `Aborted after ${epochs}. The model holds the parameters of the last update.`
    case 'notFinite':
      return `Stopped after ${epochs}: a value became infinite or NaN${place}. The model holds the last finite parameters.`
  }
}

/** One sentence on how the run ended; an end before its time stands out. */
export function outcome(history: ReportHistory): string {
  const warn = history.reason === 'aborted' || history.reason === 'notFinite'
  return `<p class="outcome${warn ? ' warn' : ''}">${escapeText(outcomeText(history))}</p>`
}

/** The handful of numbers that a reader looks for first. */
export function figures(model: DescribedModel, history: ReportHistory): string {
  const { epochs } = history
  const last = epochs.at(-1)
  const best = epochs.find((epoch) => epoch.epoch === history.bestEpoch) ?? last
  const items: [name: string, value: string, note?: string][] = []
  if (last !== undefined) items.push(['Training loss', formatNumber(last.loss), `epoch ${last.epoch}`])
  if (best !== undefined) {
    for (const [name, value] of measures(best.validation).slice(0, 4)) {
      items.push([`Validation ${name}`, formatNumber(value), `epoch ${best.epoch}`])
    }
  }
  items.push(['Time', formatSeconds(history.seconds), `${formatCount(history.updates)} updates`])
  const speed = finiteMean(epochs.map((epoch) => epoch.samplesPerSecond))
  if (Number.isFinite(speed)) items.push(['Samples per second', formatCount(Number(speed.toPrecision(3)))])
  items.push(['Parameters', formatCount(countParameters(model))])
  const cell = ([name, value, note]: (typeof items)[number]): string =>
    `<div><dt>${escapeText(name)}</dt><dd>${escapeText(value)}${note === undefined ? '' : ` <small>${escapeText(note)}</small>`}</dd></div>`
  return `<dl class="figures">${items.map(cell).join('')}</dl>`
}

/** Curvature and the threshold of the learning rate, at the epochs that have them. */
function stabilityChart(epochs: readonly ReportEpoch[]): string[] {
  const points = (value: (stability: NonNullable<ReportEpoch['stability']>) => number | undefined) =>
    epochs.flatMap(({ epoch, stability }): (readonly [number, number])[] => {
      const y = stability === undefined ? undefined : value(stability)
      return y === undefined ? [] : [[epoch, y]]
    })
  const series: Series[] = [
    { name: 'largest eigenvalue', points: points(({ largestEigenvalue }) => largestEigenvalue) },
    { name: 'trace', points: points(({ trace }) => trace) },
    { name: '2 / learning rate', points: points(({ threshold }) => threshold) },
  ].filter(({ points }) => points.length > 0)
  return series.length === 0 ? [] : [lineChart({ title: 'Curvature', xLabel: 'epoch', series })]
}

/** Norms of gradients and their noise scale, at the epochs that have them. */
function gradientCharts(epochs: readonly ReportEpoch[]): string[] {
  const line = (name: string, value: (gradients: NonNullable<ReportEpoch['gradients']>) => number): Series => ({
    name,
    points: epochs.flatMap(({ epoch, gradients }) =>
      gradients === undefined ? [] : [[epoch, value(gradients)] as const],
    ),
  })
  const norms = [line('batch', ({ norm }) => norm), line('mean of samples', ({ meanSampleNorm }) => meanSampleNorm)]
  if (norms[0]?.points.length === 0) return []
  const noise = line('averaged noise scale', ({ averagedNoiseScale }) => averagedNoiseScale)
  return [
    lineChart({ title: 'Gradient norms', xLabel: 'epoch', series: norms }),
    lineChart({ title: 'Gradient noise scale', xLabel: 'epoch', series: [noise], legend: 'lastValues' }),
  ]
}

/** Curves: the loss, one chart a metric, the learning rate where it moved, and the curvature where it was recorded. */
export function charts(history: ReportHistory): string {
  const { epochs } = history
  if (epochs.length === 0) return ''
  const line = (name: string, value: (epoch: ReportEpoch) => number | undefined): Series => ({
    name,
    points: epochs.map((epoch) => [epoch.epoch, value(epoch) ?? Number.NaN] as const),
  })
  const validated = epochs.some((epoch) => epoch.validation !== undefined)
  const mark = validated && history.bestEpoch > 0
  const marker = mark ? { marker: { x: history.bestEpoch, label: `best: ${history.bestEpoch}` } } : {}
  const legend = 'lastValues' as const
  const loss = [line('training', (epoch) => epoch.loss)]
  if (validated) loss.push(line('validation', (epoch) => measure(epoch, 'loss')))
  const drawings = [lineChart({ title: 'Loss', xLabel: 'epoch', series: loss, legend, ...marker })]
  for (const name of metricNames(epochs)) {
    const series = [line('validation', (epoch) => measure(epoch, name))]
    drawings.push(lineChart({ title: name, xLabel: 'epoch', series, log: false, legend, ...marker }))
  }
  if (epochs.some((epoch) => epoch.learningRate !== epochs[0]?.learningRate)) {
    const series = [line('learning rate', (epoch) => epoch.learningRate)]
    drawings.push(lineChart({ title: 'Learning rate', xLabel: 'epoch', series, legend }))
  }
  drawings.push(...stabilityChart(epochs), ...gradientCharts(epochs))
  const panels = drawings.map((drawing) => `<div class="panel">${drawing}</div>`).join('')
  return `${heading('Curves')}<div class="charts">${panels}</div>`
}

/** Which epochs the table shows: all, or evenly spaced ones with the first, the last and the best. */
function tableRows(history: ReportHistory): readonly ReportEpoch[] {
  const { epochs } = history
  if (epochs.length <= mostRows) return epochs
  const stride = Math.ceil(epochs.length / mostRows)
  return epochs.filter(
    (epoch, index) => index % stride === 0 || index === epochs.length - 1 || epoch.epoch === history.bestEpoch,
  )
}

/** Every epoch's numbers, the newest last; the best one stands out. */
export function epochTable(history: ReportHistory): string {
  if (history.epochs.length === 0) return ''
  const metrics = metricNames(history.epochs)
  const validated = history.epochs.some((epoch) => epoch.validation !== undefined)
  const names = ['epoch', 'loss']
  if (validated) names.push('validation loss', ...metrics)
  names.push('learning rate', 'updates', 'samples/s', 'time')
  const rows = tableRows(history)
  const body = rows.map((epoch) => {
    const cells = [`<td>${epoch.epoch}</td>`, numberCell(epoch.loss)]
    if (validated) {
      cells.push(numberCell(measure(epoch, 'loss')))
      for (const name of metrics) cells.push(numberCell(measure(epoch, name)))
    }
    cells.push(numberCell(epoch.learningRate), `<td>${formatCount(epoch.updates)}</td>`)
    cells.push(`<td>${formatCount(epoch.samplesPerSecond)}</td>`, `<td>${formatSeconds(epoch.seconds)}</td>`)
    const best = validated && epoch.epoch === history.bestEpoch
    return `<tr${best ? ' class="best"' : ''}>${cells.join('')}</tr>`
  })
  const head = names.map((name) => `<th scope="col">${escapeText(name)}</th>`).join('')
  const left = history.epochs.length - rows.length
  const note = left === 0 ? '' : `<p class="soft">${formatCount(left)} of ${history.epochs.length} epochs left out.</p>`
  const table = `<table><thead><tr>${head}</tr></thead><tbody>${body.join('\n')}</tbody></table>`
  return `${heading('Epochs')}${note}<div class="panel scroll" tabindex="0">${table}</div>`
}

/** The model, layer by layer. */
export function layerTable(model: DescribedModel): string {
  const rows = layerRows(model).map((row) => {
    const name = `<td class="text" style="padding-left:${14 + 18 * row.depth}px"><code>${escapeText(row.name)}</code></td>`
    const what = `<td class="text">${escapeText(row.what)}</td>`
    const tensors = `<td class="text"><code>${escapeText(row.tensors)}</code></td>`
    return `<tr>${name}${what}<td>${row.outputs ?? '–'}</td>${tensors}<td>${formatCount(row.parameters)}</td></tr>`
  })
  const head =
    '<th scope="col" class="text">layer</th><th scope="col" class="text">kind</th><th scope="col">outputs</th>' +
    '<th scope="col" class="text">tensors</th><th scope="col">parameters</th>'
  const total = `<td class="text" colspan="4">total</td><td>${formatCount(countParameters(model))}</td>`
  const body = `<tbody>${rows.join('\n')}</tbody><tfoot><tr>${total}</tr></tfoot>`
  return `${heading('Model')}<div class="panel scroll" tabindex="0"><table><thead><tr>${head}</tr></thead>${body}</table></div>`
}

/** Lines of an object with nested members as paths: `optimizer.kind`. Long lists are shortened. */
function flatten(value: unknown, path: string, lines: [path: string, text: string][]): void {
  if (ArrayBuffer.isView(value)) {
    lines.push([path, `${value.constructor.name}, ${formatCount(value.byteLength)} bytes`])
  } else if (Array.isArray(value)) {
    const simple = value.every((item) => typeof item !== 'object' || item === null)
    const shown = value.length > 12 ? [...value.slice(0, 12), '…'] : value
    if (simple) lines.push([path, shown.map(String).join(', ')])
    else for (const [index, item] of value.entries()) flatten(item, `${path}[${index}]`, lines)
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) flatten(item, path === '' ? key : `${path}.${key}`, lines)
  } else if (value !== undefined && typeof value !== 'function') {
    lines.push([path, typeof value === 'number' ? formatNumber(value, 6) : String(value)])
  }
}

/** Named values as a table of two columns. */
export function valueTable(title: string, values: object): string {
  const lines: [string, string][] = []
  flatten(values, '', lines)
  if (lines.length === 0) return ''
  const rows = lines.map(
    ([path, text]) =>
      `<tr><td class="text soft">${escapeText(path)}</td><td class="text">${escapeText(text)}</td></tr>`,
  )
  return `<section>${heading(title)}<div class="panel"><table><tbody>${rows.join('\n')}</tbody></table></div></section>`
}
