// @ts-check

import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, environment } from './environment.js'

const folder = fileURLToPath(new URL('../results', import.meta.url))

/** @param {string} text a line of progress, to standard error */
export function progress(text) {
  process.stderr.write(`${text}\n`)
}

/** @param {string} [text] */
export function print(text = '') {
  process.stdout.write(`${text}\n`)
}

/**
 * Prints the heading of a scenario and what it runs on.
 *
 * @param {{ name: string, title: string }} scenario
 * @returns {Promise<Record<string, unknown>>} the environment, for the file
 */
export async function heading(scenario) {
  const known = await environment()
  print(`\n## ${scenario.name}: ${scenario.title}\n`)
  print(describe(known))
  return known
}

/**
 * @param {{ name: string }} scenario
 * @param {Record<string, unknown>} known
 * @param {Record<string, unknown>} results
 */
export function store(scenario, known, results) {
  mkdirSync(folder, { recursive: true })
  const stamp = new Date().toISOString().replaceAll(':', '-').slice(0, 19)
  const path = join(folder, `${scenario.name}-${stamp}.json`)
  writeFileSync(path, `${JSON.stringify({ scenario, environment: known, ...results }, undefined, 2)}\n`)
  print(`\nStored in ${relative(process.cwd(), path)}`)
}
