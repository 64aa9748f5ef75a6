// @ts-check

import os from 'node:os'
import { workloadNamed } from '../../scenarios/workloads.js'
import { Case } from '../child.js'
import { contestantNamed, missing, start } from '../contestants.js'
import { heading, print, progress, store } from '../results.js'
import { median, summarize } from '../statistics.js'
import { figure, percent, table } from '../table.js'

/** @import { Workload } from '../../scenarios/workloads.js' */
/** @typedef {typeof import('../../scenarios/per-sample.js').scenario} Scenario */
/** @typedef {{ step: string[], quantity: string[] }} Arms */

/**
 * @typedef {object} Entrant
 * @property {string} id
 * @property {string} [reason] why it is left out
 * @property {Case} [process]
 * @property {string} [version]
 * @property {Arms} [arms]
 * @property {Record<string, number>} [bytes] that a call of an arm writes
 * @property {string[]} [notes]
 * @property {Record<string, number[]>} samples microseconds by arm and round
 * @property {Record<string, number>} spent seconds by arm
 * @property {Record<string, number>} [shares] of factors that are not 1, at the end
 */

/**
 * @param {string} id
 * @param {Workload} workload
 * @param {Scenario} scenario
 * @returns {Promise<Entrant>}
 */
async function enter(id, workload, scenario) {
  const contestant = contestantNamed(id)
  const reason = missing(contestant)
  if (reason !== undefined) return { id, reason, samples: {}, spent: {} }
  const { thresholds, warmUpSeconds } = scenario
  const process = start(contestant, { role: 'per-sample', workload, thresholds, warmUpSeconds })
  try {
    const { version, arms, bytes, notes } = await process.ready(scenario.readySeconds)
    progress(`  ${workload.name}: ${id} ready`)
    return { id, process, version, arms, bytes, notes, samples: {}, spent: {} }
  } catch (error) {
    await process.stop()
    return { id, reason: error instanceof Error ? error.message : String(error), samples: {}, spent: {} }
  }
}

/**
 * One turn of each arm. Every other round goes backwards, so that no arm always follows the same one.
 *
 * @param {Entrant} entrant
 * @param {number} round
 * @param {Scenario} scenario
 */
async function takeRound(entrant, round, scenario) {
  const { process, arms } = entrant
  if (process === undefined || arms === undefined) return
  const kinds = /** @type {const} */ (['step', 'quantity'])
  const turns = kinds.flatMap((kind) => arms[kind].map((arm) => ({ arm, seconds: scenario.secondsPerTurn[kind] })))
  for (const { arm, seconds } of round % 2 === 0 ? turns : turns.reverse()) {
    const spent = entrant.spent[arm] ?? 0
    if (!entrant.id.startsWith('krylov') && spent >= scenario.peerBudgetSeconds) continue
    const result = await process.ask({ arm, seconds })
    entrant.spent[arm] = spent + result.seconds
    entrant.samples[arm] = [...(entrant.samples[arm] ?? []), result.microseconds]
  }
}

/**
 * Time over that of the plain step of the same round, so that a slow minute of the machine is in both.
 *
 * @param {Entrant} entrant
 * @param {string} arm
 */
function overPlain(entrant, arm) {
  const plain = entrant.samples.plain ?? []
  return summarize((entrant.samples[arm] ?? []).map((time, round) => time / (plain[round] ?? Number.NaN)))
}

/**
 * @param {Workload} workload
 * @param {Scenario} scenario
 * @param {Case | undefined} probe
 */
async function measure(workload, scenario, probe) {
  const entrants = []
  /** @type {number[]} */
  const bandwidths = []
  /** @type {number[]} */
  const loads = []
  try {
    for (const id of scenario.contestants) entrants.push(await enter(id, workload, scenario))
    const bytes = entrants.find(({ bytes }) => bytes !== undefined)?.bytes?.gradients ?? 0
    for (let round = 0; round < scenario.rounds; round++) {
      progress(`  ${workload.name}: round ${round + 1} of ${scenario.rounds}`)
      loads.push(Math.round(100 * (os.loadavg()[0] ?? 0)) / 100)
      for (const entrant of entrants) {
        await takeRound(entrant, round, scenario)
        if (probe === undefined || !entrant.id.startsWith('krylov')) continue
        // A buffer as large as [N, P], filled by as many threads.
        const request = { what: 'bandwidth', threads: 2, megabytes: Math.max(1, Math.round(bytes / 1e6)) }
        bandwidths.push((await probe.ask(request)).writeGBs)
      }
    }
    for (const entrant of entrants) {
      if (!entrant.id.startsWith('krylov') || entrant.process === undefined) continue
      entrant.shares = (await entrant.process.ask({ shares: true })).shares
    }
  } finally {
    await Promise.all(entrants.map(({ process }) => process?.stop()))
  }
  return {
    workload,
    bandwidths,
    loads,
    entrants: entrants.map(({ process: _, ...entrant }) => entrant),
  }
}

/** @typedef {Awaited<ReturnType<typeof measure>>} Measured */

/**
 * @param {Measured} measured
 * @param {Scenario} scenario
 */
function report({ workload, bandwidths, loads, entrants }, scenario) {
  const present = entrants.filter(({ samples }) => samples.plain !== undefined)
  const bandwidth = median(bandwidths)
  print(
    `\n### ${workload.name}: ${workload.sizes.join('-')}, batch ${workload.batchSize}, float32; load ${Math.min(...loads)} to ${Math.max(...loads)}\n`,
  )
  /** @type {Record<string, unknown>} */
  const limits = scenario.reach
  print(
    table(
      ['step', 'contestant', 'µs', 'spread', 'over plain', 'spread', 'fastest turns', 'reach'],
      present.flatMap((entrant) =>
        (entrant.arms?.step ?? []).map((arm) => {
          const time = summarize(entrant.samples[arm] ?? [])
          const ratio = overPlain(entrant, arm)
          const limit = entrant.id.startsWith('krylov') ? limits[arm] : undefined
          const tail = limit === undefined ? '-' : `${limit} x`
          // Beside neighbours the least disturbed turns say more than medians do.
          const fastest = time.min / Math.min(...(entrant.samples.plain ?? []))
          const over =
            arm === 'plain'
              ? ['-', '-', '-']
              : [`${ratio.median.toFixed(3)} x`, percent(ratio.spread), `${fastest.toFixed(3)} x`]
          return [arm, entrant.id, figure(time.median), percent(time.spread), ...over, tail]
        }),
      ),
    ),
  )
  print(
    `\nA fill of a buffer as large as [N, P], two threads: ${figure(bandwidth)} GB/s (spread ${percent(summarize(bandwidths).spread)})\n`,
  )
  print(
    table(
      ['quantity at a kept point', 'contestant', 'µs', 'spread', 'GB/s written', 'of the fill', 'reach'],
      present.flatMap((entrant) =>
        (entrant.arms?.quantity ?? []).map((arm) => {
          const time = summarize(entrant.samples[arm] ?? [])
          const bytes = entrant.bytes?.[arm]
          const rate = bytes === undefined ? undefined : bytes / time.median / 1000
          const asked =
            arm === 'gradients' && entrant.id.startsWith('krylov') && workload.name === scenario.reach.shareOf
          return [
            arm,
            entrant.id,
            figure(time.median),
            percent(time.spread),
            figure(rate),
            rate === undefined ? '-' : percent(rate / bandwidth),
            asked ? percent(scenario.reach.share) : '-',
          ]
        }),
      ),
    ),
  )
  for (const { id, shares, reason, notes } of entrants) {
    if (shares !== undefined) {
      const texts = ['clipped', 'clippedByLayer', 'norms'].map((arm) => `${arm} ${percent(shares[arm])}`)
      print(`\n${id}, factors that are not 1 in a step at the end: ${texts.join(', ')}`)
    }
    if (reason !== undefined) print(`\n${id} left out: ${reason}`)
    for (const note of notes ?? []) print(`\n${id}: ${note}`)
  }
}

/** @param {Scenario} scenario */
export async function run(scenario) {
  const known = await heading(scenario)
  const results = []
  const probe = new Case({ specification: { role: 'probe' } })
  try {
    await probe.ready(scenario.readySeconds)
    for (const name of scenario.workloads) results.push(await measure(workloadNamed(name), scenario, probe))
  } finally {
    await probe.stop()
  }
  for (const measured of results) report(measured, scenario)
  const versions = results[0]?.entrants.filter(({ version }) => version !== undefined) ?? []
  print(`\nContestants: ${versions.map(({ id, version }) => `${id} ${version}`).join(', ') || 'none'}`)
  store(scenario, known, { results })
}
