/** Numbers, times and tables as the terminal shows them. */

/** At most four significant digits; scientific where that is shorter. */
export function number(value: number): string {
  if (!Number.isFinite(value) || Number.isInteger(value)) return String(value)
  const size = Math.abs(value)
  if (size >= 1e6 || size < 1e-4) return value.toExponential(3).replace('e+', 'e')
  return String(Number(value.toPrecision(4)))
}

/** `12.3k`, `4.56M`: a rate at a glance. */
export function rate(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`
  if (value >= 1e3) return `${Number((value / 1e3).toPrecision(3))}k`
  return String(Math.round(value))
}

/** `85 µs`, `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 03 min`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '-'
  if (seconds < 0.001) return `${Number((seconds * 1e6).toPrecision(3))} µs`
  if (seconds < 1) return `${Number((seconds * 1e3).toPrecision(3))} ms`
  if (seconds < 59.95) return `${Number(seconds.toPrecision(3))} s`
  const whole = Math.round(seconds)
  const two = (value: number): string => String(value).padStart(2, '0')
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`
}

/** `1 epoch`, `3 epochs`. */
export function count(value: number, noun: string, plural = `${noun}s`): string {
  return `${value.toLocaleString('en-US')} ${value === 1 ? noun : plural}`
}

/** Rows as columns of equal width; columns from `rightFrom` on are aligned to the right. */
export function columns(rows: readonly (readonly string[])[], rightFrom = 1): string {
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, cell.length)
    })
  }
  const pad = (cell: string, index: number): string =>
    index < rightFrom ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0)
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n')
}

/**
 * The numbers of an evaluation by name, those of heads as `digit.accuracy`.
 *
 * @example measures({ loss: 0.3, heads: { digit: { loss: 0.1, accuracy: 0.9 } } }) // loss, digit.loss, digit.accuracy
 */
export function measures(evaluation: object): [name: string, value: number][] {
  return Object.entries(evaluation).flatMap(([name, value]: [string, unknown]): [string, number][] => {
    if (typeof value === 'number') return [[name, value]]
    if (typeof value !== 'object' || value === null) return []
    const inner = measures(value)
    // The group 'heads' is the library's; what a reader knows are the names of the heads.
    return name === 'heads' ? inner : inner.map(([key, one]) => [`${name}.${key}`, one])
  })
}

export type Stream = { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown }

/** Whether a stream takes colours: a terminal, unless NO_COLOR is set to anything (no-color.org) or TERM is dumb. */
export function hasColour(stream: Stream, environment: NodeJS.ProcessEnv = process.env): boolean {
  if (environment.NO_COLOR !== undefined && environment.NO_COLOR !== '') return false
  return stream.isTTY === true && environment.TERM !== 'dumb'
}

const styles = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const

/** Text in a style, where the stream takes colours. */
export function paint(stream: Stream, style: keyof typeof styles, text: string): string {
  const [on, off] = styles[style]
  return hasColour(stream) ? `\u001b[${on}m${text}\u001b[${off}m` : text
}
