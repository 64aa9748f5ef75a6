// @ts-check
// The benchmark's entry: node bench/run.js [scenario ...] [options].

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const kScenarios = [
  'steps',
  'time-to-accuracy',
  'contention',
  'responsiveness',
  'kernels',
  'curvature',
  'per-sample',
  'multitask',
]

const kHelp = `Usage: npm run bench [-- scenario ...] [-- options]

Scenarios: ${kScenarios.join(', ')}, all. Without one: steps.

  --workload a,b      only these workloads
  --contestant a,b    only these contestants
  --rounds n          turns of each contestant
  --help              this text
`

/** Installs the peers from the lock file, without running any script of theirs. */
function installPeers() {
  if (existsSync(new URL('node_modules/.package-lock.json', import.meta.url))) return
  process.stderr.write('Installing the peers (npm ci --ignore-scripts in bench/)\n')
  const folder = fileURLToPath(new URL('.', import.meta.url))
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (status !== 0) throw new Error('the peers could not be installed: `npm ci --ignore-scripts` failed in bench/')
}

/** @param {string | undefined} text */
const list = (text) =>
  text
    ?.split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')

/**
 * The scenario with what the command line narrows.
 *
 * @param {Record<string, unknown>} scenario
 * @param {{ workload?: string | undefined, contestant?: string | undefined, rounds?: string | undefined }} values
 */
function narrowed(scenario, values) {
  const result = { ...scenario }
  const filters = /** @type {const} */ ([
    ['workloads', list(values.workload)],
    ['contestants', list(values.contestant)],
  ])
  for (const [key, wanted] of filters) {
    const known = /** @type {string[] | undefined} */ (scenario[key])
    if (wanted === undefined || known === undefined) continue
    const strange = wanted.find((name) => !known.includes(name))
    if (strange !== undefined) {
      throw new Error(`--${key.slice(0, -1)}: expected some of ${known.join(', ')}, received ${strange}`)
    }
    result[key] = known.filter((name) => wanted.includes(name))
  }
  if (values.rounds !== undefined && scenario.rounds !== undefined) {
    const rounds = Number(values.rounds)
    if (!Number.isInteger(rounds) || rounds < 1) {
      throw new Error(`--rounds: expected a positive integer, received ${values.rounds}`)
    }
    result.rounds = rounds
  }
  return result
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      workload: { type: 'string' },
      contestant: { type: 'string' },
      rounds: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  if (values.help === true) {
    process.stdout.write(kHelp)
    return
  }
  const wanted = positionals.length === 0 ? ['steps'] : positionals.includes('all') ? kScenarios : positionals
  const strange = wanted.find((name) => !kScenarios.includes(name))
  if (strange !== undefined) {
    throw new Error(`scenario: expected some of ${kScenarios.join(', ')}, all; received ${strange}`)
  }
  installPeers()
  for (const name of wanted) {
    const { scenario } = await import(`./scenarios/${name}.js`)
    const { run } = await import(`./lib/runners/${name}.js`)
    await run(narrowed(scenario, values))
  }
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
