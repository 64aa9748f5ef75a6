// @ts-check

/**
 * Lines of a table with the first column to the left and the others to the right.
 *
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 * @returns {string}
 */
export function table(head, rows) {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)))
  /** @param {readonly string[]} cells */
  const line = (cells) =>
    `| ${widths
      .map((width, column) => {
        const text = cells[column] ?? ''
        return column === 0 ? text.padEnd(width) : text.padStart(width)
      })
      .join(' | ')} |`
  const rule = `| ${widths
    .map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
    .join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

/**
 * Three significant figures, thousands separated.
 *
 * @param {number | undefined} value
 * @param {string} [unit]
 * @returns {string}
 */
export function figure(value, unit = '') {
  if (value === undefined || !Number.isFinite(value)) return '-'
  const size = Math.abs(value)
  const digits = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits }) + unit
}

/**
 * @param {number | undefined} fraction
 * @returns {string}
 */
export function percent(fraction) {
  return fraction === undefined || !Number.isFinite(fraction) ? '-' : `${(100 * fraction).toFixed(1)} %`
}
