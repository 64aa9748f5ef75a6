// @ts-check

import { setTimeout as sleep } from 'node:timers/promises'
import { workloadNamed } from '../../scenarios/workloads.js'
import { startNeighbours } from '../neighbours.js'
import { heading, print, progress, store } from '../results.js'
import { figure, percent, table } from '../table.js'
import { enter, leave, outcomeOf, takeTurn } from '../turns.js'

/** @import { Outcome } from '../turns.js' */
/** @typedef {typeof import('../../scenarios/contention.js').scenario} Scenario */

/** Time for the neighbours to be up to speed. */
const kSettle = 300

/**
 * @param {Scenario} scenario
 * @param {string} name
 * @param {number} neighbours
 */
async function measure(scenario, name, neighbours) {
  const workload = workloadNamed(name)
  // Without neighbours yet, so that every row starts from the same warm state.
  const { entrants, skipped } = await enter(scenario.contestants, workload, scenario)
  const endNeighbours = startNeighbours(neighbours)
  try {
    await sleep(kSettle)
    for (let round = 0; round < scenario.rounds; round++) {
      for (const entrant of entrants) await takeTurn(entrant, scenario.secondsPerTurn)
    }
    return { workload: name, neighbours, outcomes: [...entrants.map(outcomeOf), ...skipped] }
  } finally {
    endNeighbours()
    await leave(entrants)
  }
}

/**
 * @param {readonly Outcome[]} outcomes
 * @param {number} threads
 */
const timeOf = (outcomes, threads) => outcomes.find((outcome) => outcome.threads === threads)?.time

/** @param {Scenario} scenario */
export async function run(scenario) {
  const known = await heading(scenario)
  const results = []
  for (const name of scenario.workloads) {
    for (const neighbours of scenario.neighbours) {
      progress(`  ${name} beside ${neighbours}`)
      results.push(await measure(scenario, name, neighbours))
    }
  }
  print(`\nµs a step; ratio: two threads over one, beside the same neighbours; reach ≤ ${scenario.reach}\n`)
  print(
    table(
      ['workload', 'neighbours', '1 thread', 'spread', '2 threads', 'spread', 'ratio', 'reached'],
      results.map(({ workload, neighbours, outcomes }) => {
        const one = timeOf(outcomes, 1)
        const two = timeOf(outcomes, 2)
        const ratio = (two?.median ?? Number.NaN) / (one?.median ?? Number.NaN)
        return [
          workload,
          String(neighbours),
          figure(one?.median),
          percent(one?.spread),
          figure(two?.median),
          percent(two?.spread),
          figure(ratio),
          Number.isNaN(ratio) ? '-' : ratio <= scenario.reach ? 'yes' : 'no',
        ]
      }),
    ),
  )
  const reasons = new Set(
    results
      .flatMap(({ outcomes }) => outcomes)
      .filter((outcome) => outcome.skipped !== undefined)
      .map((outcome) => `- ${outcome.id} left out: ${outcome.skipped}`),
  )
  for (const reason of reasons) print(reason)
  store(scenario, known, { results })
}
