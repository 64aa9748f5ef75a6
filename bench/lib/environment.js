// @ts-check
// What the machine and the programs were, stored beside every result.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import { krylovMissing, krylovVersion, loadKrylov } from './krylov.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** @returns {string} */
function governor() {
  const path = '/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor'
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : 'not reported'
}

/** @returns {string} */
function commit() {
  const answer = spawnSync('git', ['describe', '--always', '--dirty'], { cwd: root, encoding: 'utf8' })
  return answer.status === 0 ? answer.stdout.trim() : 'unknown'
}

/** @returns {Promise<Record<string, unknown>>} */
export async function environment() {
  const cpus = os.cpus()
  const built = krylovMissing() === undefined
  return {
    date: new Date().toISOString(),
    cpu: cpus[0]?.model ?? 'unknown',
    processors: cpus.length,
    availableParallelism: os.availableParallelism(),
    governor: governor(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    loadAverage: os.loadavg().map((value) => Math.round(value * 100) / 100),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.versions.node,
    krylov: built ? krylovVersion() : 'not built',
    commit: commit(),
    systemInfo: built ? (await loadKrylov()).systemInfo() : undefined,
  }
}

/**
 * @param {Record<string, unknown>} known
 * @returns {string}
 */
export function describe(known) {
  const info = /** @type {{ instructionSet?: string } | undefined} */ (known.systemInfo)
  return [
    `${known.cpu}, ${known.processors} processors (${known.availableParallelism} usable), governor ${known.governor}, load ${/** @type {number[]} */ (known.loadAverage)[0]}`,
    `${known.system}, Node ${known.node}, Krylov ${known.krylov}${info?.instructionSet === undefined ? '' : ` (${info.instructionSet})`}, commit ${known.commit}`,
  ].join('\n')
}
