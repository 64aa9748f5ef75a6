import { escapeText, formatNumber } from './text.js'
import type { Axis } from './ticks.js'
import { linearAxis, logAxis, positionOn } from './ticks.js'

/*
 * Line charts as static SVG: no script, no fonts of their own, colours by CSS so that one drawing serves light and
 * dark pages. Points that are not finite (or not positive on a log scale) leave a gap.
 */

/** One line of a chart. */
export type Series = {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
  /** Drawn dashed, for a second line of the same kind. */
  readonly dashed?: boolean
}

export type LegendKind = 'names' | 'lastValues'

export type ChartOptions = {
  readonly title: string
  readonly xLabel: string
  readonly series: readonly Series[]
  /** true, false, or 'auto' (default): logarithmic where all values are positive and span more than `autoLogRatio`. */
  readonly log?: boolean | 'auto'
  /** A vertical line with a word beside it, such as the best epoch. */
  readonly marker?: { readonly x: number; readonly label: string }
  /** What stands beside the sample of each line: its name (default), or its name and last value, as for a loss. */
  readonly legend?: LegendKind
  readonly width?: number
  readonly height?: number
}

/** From here on a linear axis shows little more than the first steep fall of a loss. */
const autoLogRatio = 30

/** A line of more points is thinned out; the eye cannot tell, the file stays small. */
const mostPoints = 600

/** Above this, single points carry neither dots nor tooltips. */
const mostDots = 120

const fontSize = 12
/** Width of a character in sans-serif fonts, in units of the font size: most, wide ones, and those of full-width scripts. */
const characterWidths = { most: 0.58, wide: 0.9, full: 1.1 }
/** Titles are set larger and bolder. */
const titleScale = 1.2
/** Space at the sides, and from a row of text to the next. */
const margin = 12
const rowHeight = 22

/** How many colours `chartStyle` defines; further lines start over. */
export const seriesColours = 6

/** The style that charts need, once a page. Sizes are in the drawing's own units. */
export const chartStyle = `
.chart{--ink:#1f2328;--soft:#59636e;--line:#d8dee4;--s0:#0b62d6;--s1:#d4570a;--s2:#187a3c;--s3:#8a3ab9;--s4:#b3175b;--s5:#0b7a83;
display:block;width:100%;height:auto;font:${fontSize}px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
@media (prefers-color-scheme:dark){.chart{--ink:#e6edf3;--soft:#9aa5b1;--line:#313840;--s0:#5aa2ff;--s1:#ff9a4d;--s2:#57c97d;--s3:#c792ea;--s4:#ff7eb0;--s5:#4fd0d9}}
.chart text{fill:var(--soft)}
.chart .title{fill:var(--ink);font-size:14px;font-weight:600}
.chart .grid{stroke:var(--line);stroke-width:1}
.chart .axis{stroke:var(--soft);stroke-width:1}
.chart .mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 4}
.chart .series{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.chart .dashed{stroke-dasharray:6 4}
.chart .dot{stroke:transparent;stroke-width:10}
.chart .legend{fill:var(--ink)}
${Array.from({ length: seriesColours }, (_, index) => `.chart .c${index}{stroke:var(--s${index})}.chart .f${index}{fill:var(--s${index})}`).join('\n')}
`.trim()

type Point = readonly [x: number, y: number]

function usable(point: Point, log: boolean): boolean {
  return Number.isFinite(point[0]) && Number.isFinite(point[1]) && (!log || point[1] > 0)
}

/** True where 'auto' decides for a logarithmic axis. */
function wantsLog(series: readonly Series[]): boolean {
  let low = Number.POSITIVE_INFINITY
  let high = 0
  for (const { points } of series) {
    for (const point of points) {
      if (!usable(point, false)) continue
      if (point[1] <= 0) return false
      low = Math.min(low, point[1])
      high = Math.max(high, point[1])
    }
  }
  return high / low > autoLogRatio
}

/**
 * Thins a line out to about `count` points. Of every run of points the lowest and the highest stay, so that spikes
 * are still seen; a gap stays a gap.
 */
export function thinOut(points: readonly Point[], count: number): readonly Point[] {
  if (points.length <= count) return points
  const run = Math.ceil((2 * points.length) / count)
  const kept: Point[] = []
  for (let start = 0; start < points.length; start += run) {
    let lowest = start
    let highest = start
    let gap = -1
    const end = Math.min(start + run, points.length)
    for (let index = start; index < end; index++) {
      const y = points[index]?.[1] ?? Number.NaN
      if (!Number.isFinite(y)) gap = index
      if (y < (points[lowest]?.[1] ?? 0) || !Number.isFinite(points[lowest]?.[1])) lowest = index
      if (y > (points[highest]?.[1] ?? 0) || !Number.isFinite(points[highest]?.[1])) highest = index
    }
    const chosen = new Set([start === 0 ? 0 : lowest, lowest, highest, gap, end === points.length ? end - 1 : lowest])
    for (const index of [...chosen].sort((a, b) => a - b)) {
      const point = points[index]
      if (point !== undefined) kept.push(point)
    }
  }
  return kept
}

/** Pixels to one decimal: finer than a screen shows, and short. */
function px(value: number): string {
  return String(Math.round(value * 10) / 10)
}

function range(values: readonly number[]): readonly [low: number, high: number] {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (const value of values) {
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  return low <= high ? [low, high] : [0, 1]
}

function characterWidth(character: string): number {
  if ((character.codePointAt(0) ?? 0) >= 0x2e80) return characterWidths.full
  return /[A-Zmw%@—∞]/.test(character) ? characterWidths.wide : characterWidths.most
}

function textWidth(text: string): number {
  return fontSize * [...text].reduce((sum, character) => sum + characterWidth(character), 0)
}

/** The text, cut with an ellipsis where it is wider. */
function fitted(text: string, width: number): string {
  if (textWidth(text) <= width) return text
  const characters = [...text]
  while (characters.length > 0 && textWidth(`${characters.join('')}…`) > width) characters.pop()
  return `${characters.join('').trimEnd()}…`
}

type Frame = { left: number; right: number; top: number; bottom: number; x: Axis; y: Axis }

function toX(frame: Frame, value: number): number {
  return frame.left + positionOn(frame.x, value) * (frame.right - frame.left)
}

function toY(frame: Frame, value: number): number {
  return frame.bottom - positionOn(frame.y, value) * (frame.bottom - frame.top)
}

function grid(frame: Frame, xLabel: string): string {
  const parts: string[] = []
  for (const tick of frame.y.ticks) {
    const y = px(toY(frame, tick))
    parts.push(`<line class="grid" x1="${px(frame.left)}" x2="${px(frame.right)}" y1="${y}" y2="${y}"/>`)
    parts.push(`<text x="${px(frame.left - 8)}" y="${y}" dy=".35em" text-anchor="end">${formatNumber(tick)}</text>`)
  }
  const { bottom, left, right } = frame
  parts.push(`<line class="axis" x1="${px(left)}" x2="${px(right)}" y1="${px(bottom)}" y2="${px(bottom)}"/>`)
  for (const tick of frame.x.ticks) {
    const x = px(toX(frame, tick))
    parts.push(`<line class="axis" x1="${x}" x2="${x}" y1="${px(bottom)}" y2="${px(bottom + 4)}"/>`)
    parts.push(`<text x="${x}" y="${px(bottom + 18)}" text-anchor="middle">${formatNumber(tick)}</text>`)
  }
  const middle = px((left + right) / 2)
  const label = fitted(xLabel, right - left)
  parts.push(`<text x="${middle}" y="${px(bottom + 36)}" text-anchor="middle">${escapeText(label)}</text>`)
  return parts.join('')
}

function drawSeries(frame: Frame, series: Series, index: number, xLabel: string): string {
  const colour = index % seriesColours
  const points = thinOut(series.points, mostPoints)
  let path = ''
  let open = false
  const dots: string[] = []
  const withDots = series.points.length <= mostDots
  points.forEach((point, place) => {
    if (!usable(point, frame.y.log)) {
      open = false
      return
    }
    const x = px(toX(frame, point[0]))
    const y = px(toY(frame, point[1]))
    const before = points[place - 1]
    const after = points[place + 1]
    path += `${open ? 'L' : 'M'}${x} ${y}`
    // A point alone between gaps would draw nothing: a line of no length gets the round cap.
    const alone = !open && (after === undefined || !usable(after, frame.y.log))
    if (alone && (before === undefined || !usable(before, frame.y.log))) path += `L${x} ${y}`
    open = true
    if (!withDots) return
    const tip = `${series.name}, ${xLabel} ${formatNumber(point[0])}: ${formatNumber(point[1], 6)}`
    dots.push(`<circle class="dot f${colour}" cx="${x}" cy="${y}" r="2.5"><title>${escapeText(tip)}</title></circle>`)
  })
  const classes = `series c${colour}${series.dashed === true ? ' dashed' : ''}`
  return `${path === '' ? '' : `<path class="${classes}" d="${path}"/>`}${dots.join('')}`
}

function drawMarker(frame: Frame, marker: { readonly x: number; readonly label: string }): string {
  if (!(marker.x >= frame.x.low && marker.x <= frame.x.high)) return ''
  const x = toX(frame, marker.x)
  const line = `<line class="mark" x1="${px(x)}" x2="${px(x)}" y1="${px(frame.top)}" y2="${px(frame.bottom)}"/>`
  // Above the plot, where no curve can run through it, and never past the plot's ends.
  const label = fitted(marker.label, frame.right - frame.left)
  const half = textWidth(label) / 2
  const middle = px(Math.min(Math.max(x, frame.left + half), frame.right - half))
  return `${line}<text x="${middle}" y="${px(frame.top - 5)}" text-anchor="middle">${escapeText(label)}</text>`
}

type LegendEntry = { readonly text: string; readonly width: number; readonly classes?: string }

/** Room for a line's sample before its text, and after it. */
const sampleWidth = 24
const entryGap = 18
const noteWidth = 100

/** A legend's entries, each no wider than a row. */
function legendEntries(series: readonly Series[], kind: LegendKind, room: number): LegendEntry[] {
  // A note on what is left out stands beside at least one entry.
  const widest = series.length === 1 ? room : room - noteWidth
  return series.map((one, index) => {
    const last = kind === 'names' ? undefined : one.points.findLast((point) => Number.isFinite(point[1]))
    const value = last === undefined ? '' : ` ${formatNumber(last[1])}`
    const text = `${fitted(one.name, widest - sampleWidth - textWidth(value))}${value}`
    const classes = `series c${index % seriesColours}${one.dashed === true ? ' dashed' : ''}`
    return { text, width: sampleWidth + textWidth(text), classes }
  })
}

function widthOf(row: readonly LegendEntry[]): number {
  return row.reduce((sum, entry) => sum + entry.width, 0) + entryGap * Math.max(0, row.length - 1)
}

/** The entries in rows; where these are too few the last entry says how many are left out. */
function legendRows(entries: readonly LegendEntry[], room: number, mostRows: number): LegendEntry[][] {
  const rows: LegendEntry[][] = []
  let row: LegendEntry[] = []
  for (const [index, entry] of entries.entries()) {
    const left = entries.length - index - 1
    const rest = `and ${left + 1} more`
    const note: LegendEntry = { text: rest, width: textWidth(rest) }
    const fits = row.length === 0 || widthOf([...row, entry]) <= room
    const isLast = rows.length === mostRows - 1
    if (isLast && (!fits || (left > 0 && widthOf([...row, entry, note]) > room))) return [...rows, [...row, note]]
    if (!fits) {
      rows.push(row)
      row = []
    }
    row.push(entry)
  }
  return [...rows, row]
}

/** A sample of each line and its text, one row after the other from the right end leftwards. */
function drawLegend(rows: readonly (readonly LegendEntry[])[], right: number, top: number): string {
  const parts: string[] = []
  for (const [index, row] of rows.entries()) {
    const y = px(top + index * rowHeight)
    let x = right - widthOf(row)
    for (const { text, width, classes } of row) {
      const from = classes === undefined ? 0 : sampleWidth
      if (classes !== undefined)
        parts.push(`<line class="${classes}" x1="${px(x)}" x2="${px(x + 18)}" y1="${y}" y2="${y}"/>`)
      parts.push(`<text class="legend" x="${px(x + from)}" y="${y}" dy=".35em">${escapeText(text)}</text>`)
      x += width + entryGap
    }
  }
  return parts.join('')
}

/**
 * Draws lines over a common x axis as one `<svg>` element that scales with its container. The page must hold
 * `chartStyle`. Where nothing can be drawn, the chart says so.
 *
 * @example lineChart({ title: 'Loss', xLabel: 'epoch', series: [{ name: 'training', points: [[1, 0.7], [2, 0.4]] }] })
 */
export function lineChart(options: ChartOptions): string {
  const { title, xLabel, series, marker, legend = 'names', width = 640, height = 300 } = options
  const wanted = options.log ?? 'auto'
  const positive = series.some((one) => one.points.some((point) => usable(point, true)))
  const log = positive && (wanted === 'auto' ? wantsLog(series) : wanted)
  const shown = series.flatMap((one) => one.points.filter((point) => usable(point, log)))
  const shownTitle = log ? `${title} (log scale)` : title
  const headline = fitted(shownTitle, (width - 4) / titleScale)
  const head = `<text class="title" x="2" y="18" dy=".1em">${escapeText(headline)}</text>`
  const open =
    `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ` +
    `role="img" aria-label="${escapeText(shownTitle)}">`
  if (shown.length === 0) {
    const middle = `<text x="${width / 2}" y="${height / 2}" text-anchor="middle">no finite values</text>`
    return `${open}${head}${middle}</svg>`
  }
  const [xLow, xHigh] = range(shown.map((point) => point[0]))
  const [yLow, yHigh] = range(shown.map((point) => point[1]))
  const whole = shown.every((point) => Number.isInteger(point[0]))
  const x = linearAxis(xLow, xHigh, { count: 8, whole, tight: true })
  const y = log ? logAxis(yLow, yHigh) : linearAxis(yLow, yHigh)
  // Title and legend share a row where both fit; otherwise the legend has rows of its own, in the upper half.
  const room = width - 2 * margin
  const entries = legendEntries(series, legend, room)
  const oneRow = textWidth(headline) * titleScale + 2 * sampleWidth + widthOf(entries) < width
  const mostRows = Math.max(1, Math.floor((height / 2 - 36) / rowHeight))
  const rows = oneRow ? [entries] : legendRows(entries, room, mostRows)
  // The last number below the axis is centred at its end.
  const lastTick = formatNumber(x.ticks.at(-1) ?? 0)
  const frame: Frame = {
    left: 16 + Math.max(...y.ticks.map((tick) => textWidth(formatNumber(tick)))),
    right: width - Math.max(margin, textWidth(lastTick) / 2 + 2),
    top: 36 + (oneRow ? 0 : rows.length * rowHeight - 2) + (marker === undefined ? 0 : 10),
    bottom: height - 44,
    x,
    y,
  }
  const parts = [open, head, drawLegend(rows, width - margin, oneRow ? 14 : 14 + rowHeight), grid(frame, xLabel)]
  if (marker !== undefined) parts.push(drawMarker(frame, marker))
  series.forEach((one, index) => {
    parts.push(drawSeries(frame, one, index, xLabel))
  })
  parts.push('</svg>')
  return parts.join('')
}
