// @ts-check
// What an experiment leaves behind: a page, its charts and its figures.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, environment } from './environment.js'
import { loadKrylov } from './krylov.js'
import { progress } from './results.js'

const folder = fileURLToPath(new URL('../../docs/experiments', import.meta.url))

/**
 * @typedef {object} Page
 * @property {string} name file name, and that of the experiment
 * @property {string} title
 * @property {string} command what makes the page
 * @property {string} text Markdown; `![name]` on a line of its own is replaced by the chart of that name
 * @property {Record<string, any>} [charts] options of `renderChart` by name
 * @property {Record<string, unknown>} figures what the tables and charts are made of
 */

/**
 * Writes docs/experiments/<name>.md, <name>-<chart>.svg and <name>.json.
 *
 * @param {Page} page
 */
export async function writePage({ name, title, command, text, charts = {}, figures }) {
  const krylov = await loadKrylov()
  const known = await environment()
  mkdirSync(folder, { recursive: true })
  let body = text
  for (const [chart, options] of Object.entries(charts)) {
    const file = `${name}-${chart}.svg`
    await krylov.writeChart(join(folder, file), options)
    body = body.replace(`![${chart}]`, `![${options.title}](${file})`)
  }
  const made = `Made by \`${command}\` on ${new Date().toISOString().slice(0, 10)}; ${describe(known)}`
  writeFileSync(
    join(folder, `${name}.md`),
    `# ${title}\n\n${body.trim()}\n\n---\n${made}. Figures: [${name}.json](${name}.json).\n`,
  )
  writeFileSync(
    join(folder, `${name}.json`),
    `${JSON.stringify({ command, environment: known, ...figures }, undefined, 1)}\n`,
  )
  progress(`Wrote docs/experiments/${name}.md`)
}
