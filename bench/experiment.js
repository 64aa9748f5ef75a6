// @ts-check
// The experiments' entry: node bench/experiment.js <name> [options]. Each
// writes docs/experiments/<name>.md with its chart and its figures as JSON.

import { readdirSync } from 'node:fs'
import { krylovMissing } from './lib/krylov.js'

const folder = new URL('./experiments/', import.meta.url)
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.js'))
  .map((file) => file.slice(0, -3))
  .sort()

async function main() {
  const [name, ...rest] = process.argv.slice(2)
  if (name === undefined || name === '--help') {
    process.stdout.write(
      `Usage: npm run experiment -- <name> [options]\n\nExperiments: ${names.join(', ')}\n\nOptions: --help after a name.\n`,
    )
    return
  }
  if (!names.includes(name)) throw new Error(`experiment: expected one of ${names.join(', ')}, received ${name}`)
  const missing = krylovMissing()
  if (missing !== undefined) throw new Error(missing)
  const { run } = await import(new URL(`${name}.js`, folder).href)
  await run(rest)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
