import { writeFileAtomically } from '../formats/atomic-file.js'
import {
  arrayOf,
  boolean,
  checkKnownKeys,
  integerInRange,
  numberInRange,
  oneOf,
  optional,
  record,
  string,
} from '../internal/validate.js'
import type { ChartOptions, LegendKind, Series } from './chart.js'
import { chartStyle, lineChart } from './chart.js'

export type { ChartOptions, LegendKind, Series }

const optionNames = ['title', 'xLabel', 'series', 'log', 'marker', 'legend', 'width', 'height']

function checkSeries(value: unknown, name: string): void {
  record(value, name)
  checkKnownKeys(value, ['name', 'points', 'dashed'], name)
  string(value.name, `${name}.name`)
  arrayOf(value.points, `${name}.points`, (point, path) => {
    arrayOf(point, path, (part) => part, { length: 2 })
  })
}

function checkMarker(value: unknown): void {
  record(value, 'marker')
  checkKnownKeys(value, ['x', 'label'], 'marker', { path: 'marker' })
  numberInRange(value.x, 'marker.x')
  string(value.label, 'marker.label')
}

/**
 * Draws lines over a common x axis as an SVG file: complete in itself, in light or dark colours as the reader's system
 * has them. Points that are not finite (or not positive on a log scale) leave a gap.
 *
 * @throws KrylovError ERR_OPTION
 * @example
 * const svg = renderChart({ title: 'Gap', xLabel: 'iteration', log: true, series: [{ name: 'GNS', points }] })
 */
export function renderChart(options: ChartOptions): string {
  checkKnownKeys(options, optionNames, 'chart options')
  string(options.title, 'title')
  string(options.xLabel, 'xLabel')
  arrayOf(options.series, 'series', checkSeries)
  optional(options.log === 'auto' ? undefined : options.log, false, (value) => boolean(value, 'log'))
  optional(options.width, 640, (value) => integerInRange(value, 'width', { min: 200, max: 4000 }))
  optional(options.height, 300, (value) => integerInRange(value, 'height', { min: 150, max: 4000 }))
  optional(options.legend, 'names', (value) => oneOf(value, 'legend', ['names', 'lastValues']))
  if (options.marker !== undefined) checkMarker(options.marker)
  const drawing = lineChart(options)
  const inside = drawing.indexOf('>') + 1
  const { width = 640, height = 300 } = options
  const sized = drawing.slice(0, inside).replace('<svg ', `<svg width="${width}" height="${height}" `)
  return `${sized}<style>${chartStyle}\n.chart{width:auto}</style>${drawing.slice(inside)}\n`
}

/**
 * Writes a chart as an SVG file, replacing an existing file only as a whole; see `renderChart`.
 *
 * @throws KrylovError ERR_OPTION, ERR_FILE
 */
export async function writeChart(path: string, options: ChartOptions): Promise<void> {
  string(path, 'path')
  await writeFileAtomically(path, [new TextEncoder().encode(renderChart(options))])
}
