/** Text for HTML and SVG: escaping, and numbers as a reader wants them. */

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/**
 * Makes any text safe as element content and as a quoted attribute. Characters that neither HTML nor XML allow
 * (most control codes) become the replacement character, so that a chart also stands alone as an SVG file.
 */
export function escapeText(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to remove
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '\ufffd')
      .replace(/[&<>"']/g, (character) => entities[character] ?? character)
  )
}

/**
 * A number in at most `digits` significant digits: fixed notation for everyday sizes, scientific outside of them.
 *
 * @example formatNumber(0.0001234567) // '0.0001235'
 */
export function formatNumber(value: number, digits = 4): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞'
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (Number.isInteger(value) && size < 1e9) return minus(value.toLocaleString('en-US'))
  if (size >= 1e7 || size < 1e-4) {
    const [mantissa = '', exponent = ''] = value.toExponential(digits - 1).split('e')
    const short = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa
    return minus(`${short}e${exponent.replace('+', '')}`)
  }
  return minus(String(Number(value.toPrecision(digits))))
}

/** Typography: a true minus sign, as wide as the digits beside it. */
function minus(text: string): string {
  return text.replaceAll('-', '−')
}

/** A whole count with thousands separators. */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : formatNumber(value)
}

/** A length of time in the unit that suits it: `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 03 min`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–'
  if (seconds < 0.001) return `${formatNumber(seconds * 1e6, 3)} µs`
  if (seconds < 1) return `${formatNumber(seconds * 1e3, 3)} ms`
  if (seconds < 59.95) return `${formatNumber(seconds, 3)} s`
  const whole = Math.round(seconds)
  const two = (value: number): string => String(value).padStart(2, '0')
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`
}
