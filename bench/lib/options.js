// @ts-check
// The options of an experiment: read, checked and told of by --help.

import { parseArgs } from 'node:util'
import { print } from './results.js'

/**
 * @typedef {object} NumberOption
 * @property {number} value the default
 * @property {string} text for --help
 * @property {boolean} whole
 * @property {number} most
 */

/** Images of the training part of MNIST. */
export const kMnistRows = 60_000

/**
 * A whole number from 1 to `most`.
 *
 * @param {number} value @param {string} text @param {number} [most]
 * @returns {NumberOption}
 */
export function count(value, text, most = Number.MAX_SAFE_INTEGER) {
  return { value, text, whole: true, most }
}

/**
 * A finite number above 0.
 *
 * @param {number} value @param {string} text
 * @returns {NumberOption}
 */
export function positive(value, text) {
  return { value, text, whole: false, most: Number.MAX_VALUE }
}

/** @param {string} given @param {string} name @param {NumberOption} option */
function check(given, name, { whole, most }) {
  const number = given.trim() === '' ? Number.NaN : Number(given)
  if (number > 0 && number <= most && (!whole || Number.isInteger(number))) return number
  const range = most < Number.MAX_SAFE_INTEGER ? ` from 1 to ${most}` : whole ? ' >= 1' : ' above 0'
  throw new Error(`--${name}: expected a ${whole ? 'whole ' : ''}number${range}, received ${given}`)
}

/**
 * The values by name; undefined where --help was asked for, and told.
 *
 * @template {string} K
 * @param {string} experiment
 * @param {string[]} args
 * @param {Record<K, NumberOption>} options
 * @returns {Record<K, number> | undefined}
 */
export function readOptions(experiment, args, options) {
  const entries = /** @type {[K, NumberOption][]} */ (Object.entries(options))
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', default: false },
      ...Object.fromEntries(entries.map(([name]) => [name, { type: /** @type {const} */ ('string') }])),
    },
  })
  const given = /** @type {Record<string, string | boolean | undefined>} */ (values)
  if (given.help === true) {
    const width = Math.max(...entries.map(([name]) => name.length))
    print(
      [
        `npm run experiment -- ${experiment} [options]: writes docs/experiments/${experiment}.md`,
        ...entries.map(([name, { value, text }]) => `  --${name.padEnd(width)} n  ${text} (default ${value})`),
      ].join('\n'),
    )
    return undefined
  }
  const read = entries.map(([name, option]) => {
    const text = given[name]
    return [name, typeof text === 'string' ? check(text, name, option) : option.value]
  })
  return /** @type {Record<K, number>} */ (Object.fromEntries(read))
}
