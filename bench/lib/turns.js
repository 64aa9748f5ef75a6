// @ts-check
// Contestants of one workload side by side: all started, then turn by turn.

import { contestantNamed, missing, start } from './contestants.js'
import { progress } from './results.js'
import { summarize } from './statistics.js'

/** @import { Contestant } from './contestants.js' */
/** @import { Case } from './child.js' */
/** @import { Summary } from './statistics.js' */
/** @import { Workload } from '../scenarios/workloads.js' */

/**
 * @typedef {object} Entrant
 * @property {Contestant} contestant
 * @property {string} version
 * @property {Case} process
 * @property {number[]} samples microseconds a step
 * @property {number} spent seconds
 * @property {number} lossBefore
 * @property {number} lossAfter
 */

/**
 * @typedef {object} Outcome
 * @property {string} id
 * @property {string} family
 * @property {number} threads
 * @property {string} version
 * @property {Summary} [time] microseconds a step
 * @property {number} [lossBefore]
 * @property {number} [lossAfter]
 * @property {string} [skipped] the reason
 */

/** @param {unknown} error */
const messageOf = (error) => (error instanceof Error ? error.message : String(error))

/**
 * Starts contestants one after the other, so that none warms up beside another.
 *
 * @param {readonly string[]} ids
 * @param {Workload} workload
 * @param {{ warmUpSeconds: number, readySeconds: number, tooSlow?: { contestant: string, workload: string, reason: string }[] }} limits
 * @returns {Promise<{ entrants: Entrant[], skipped: Outcome[] }>}
 */
export async function enter(ids, workload, limits) {
  /** @type {Entrant[]} */
  const entrants = []
  /** @type {Outcome[]} */
  const skipped = []
  for (const id of ids) {
    const contestant = contestantNamed(id)
    const { family, threads } = contestant
    const slow = limits.tooSlow?.find((entry) => entry.contestant === id && entry.workload === workload.name)
    const reason = slow?.reason ?? missing(contestant)
    if (reason !== undefined) {
      skipped.push({ id, family, threads, version: '', skipped: reason })
      continue
    }
    const process = start(contestant, { role: 'steps', workload, warmUpSeconds: limits.warmUpSeconds })
    try {
      const { version, microseconds } = await process.ready(limits.readySeconds)
      progress(`  ${workload.name}: ${id} ready, about ${Math.round(microseconds)} µs a step`)
      entrants.push({
        contestant,
        version,
        process,
        samples: [],
        spent: 0,
        lossBefore: Number.NaN,
        lossAfter: Number.NaN,
      })
    } catch (error) {
      await process.stop()
      skipped.push({ id, family, threads, version: '', skipped: messageOf(error) })
      progress(`  ${workload.name}: ${id} left out: ${messageOf(error)}`)
    }
  }
  return { entrants, skipped }
}

/**
 * One turn of training, its time added to the entrant's.
 *
 * @param {Entrant} entrant
 * @param {number} seconds
 */
export async function takeTurn(entrant, seconds) {
  const result = await entrant.process.ask({ seconds })
  entrant.samples.push(result.microseconds)
  entrant.spent += result.seconds
  entrant.lossBefore = result.lossBefore
  entrant.lossAfter = result.loss
}

/**
 * @param {Entrant} entrant
 * @returns {Outcome}
 */
export function outcomeOf(entrant) {
  const {
    contestant: { id, family, threads },
    version,
    lossBefore,
    lossAfter,
  } = entrant
  if (!Number.isFinite(lossAfter)) {
    return { id, family, threads, version, skipped: 'its loss is not finite: it does not train' }
  }
  return { id, family, threads, version, time: summarize(entrant.samples), lossBefore, lossAfter }
}

/** @param {readonly Entrant[]} entrants */
export async function leave(entrants) {
  await Promise.all(entrants.map((entrant) => entrant.process.stop()))
}
