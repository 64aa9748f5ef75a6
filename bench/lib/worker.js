// @ts-check
// One case in a process of its own. The parent gives the case as JSON in the
// first argument; after "ready" each line of standard input is a request and
// each line of standard output its answer.

import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'

// Standard output carries answers only; whatever a library prints goes to standard error.
Reflect.set(globalThis, 'console', new console.Console(process.stderr))

/** @param {object} message */
function answer(message) {
  writeSync(1, `${JSON.stringify(message)}\n`)
}

/** @param {unknown} error */
function fail(error) {
  answer({ event: 'error', message: error instanceof Error ? error.message : String(error) })
  process.exit(1)
}

process.on('uncaughtException', fail)
process.on('unhandledRejection', fail)

const specification = JSON.parse(process.argv[2] ?? '{}')
const { open } = await import(`./cases/${specification.role}.js`)
const handler = await open(specification)
answer({ event: 'ready', ...handler.ready })
for await (const line of createInterface({ input: process.stdin })) {
  answer({ event: 'result', ...(await handler.handle(JSON.parse(line))) })
}
process.exit(0)
