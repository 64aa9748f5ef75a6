// @ts-check

import os from 'node:os'
import { workloadNamed } from '../../scenarios/workloads.js'
import { contestantNamed, start } from '../contestants.js'
import { heading, print, progress, store } from '../results.js'
import { summarize } from '../statistics.js'
import { figure, percent, table } from '../table.js'

/** @import { Workload } from '../../scenarios/workloads.js' */
/** @typedef {typeof import('../../scenarios/multitask.js').scenario} Scenario */

/**
 * @param {string} id
 * @param {Workload} workload
 * @param {Scenario} scenario
 */
async function measure(id, workload, { secondHead, warmUpSeconds, readySeconds, rounds, secondsPerTurn }) {
  const process = start(contestantNamed(id), { role: 'multitask', workload, secondHead, warmUpSeconds })
  /** @type {Record<string, number[]>} */
  const samples = {}
  const load = Math.round(100 * (os.loadavg()[0] ?? 0)) / 100
  try {
    const { version, arms } = await process.ready(readySeconds)
    for (let round = 0; round < rounds; round++) {
      progress(`  ${id}: round ${round + 1} of ${rounds}`)
      // Every other round goes backwards, so that no arm always follows the same one.
      for (const arm of round % 2 === 0 ? arms : arms.toReversed()) {
        const { microseconds } = await process.ask({ arm, seconds: secondsPerTurn })
        samples[arm] = [...(samples[arm] ?? []), microseconds]
      }
    }
    return { id, version, load, arms, samples }
  } finally {
    await process.stop()
  }
}

/** @param {Scenario} scenario */
export async function run(scenario) {
  const known = await heading(scenario)
  const workload = workloadNamed(scenario.workload)
  const results = []
  for (const id of scenario.contestants) results.push(await measure(id, workload, scenario))
  /** @type {Record<string, number>} */
  const limits = scenario.reach
  print(
    `\n### ${workload.name}: ${workload.sizes.join('-')} and a second head of ${scenario.secondHead}, batch ${workload.batchSize}, float32\n`,
  )
  print(
    table(
      ['method', 'contestant', 'µs', 'spread', 'over summedLoss', 'spread', 'reach'],
      results.flatMap(({ id, arms, samples }) =>
        arms.map((/** @type {string} */ arm) => {
          const own = samples[arm] ?? []
          const time = summarize(own)
          // Over the same round's, so that a slow minute of the machine is in both.
          const ratio = summarize(own.map((value, round) => value / (samples.summedLoss?.[round] ?? Number.NaN)))
          const limit = limits[arm]
          const over = arm === 'summedLoss' ? ['-', '-'] : [`${ratio.median.toFixed(3)} x`, percent(ratio.spread)]
          return [arm, id, figure(time.median), percent(time.spread), ...over, limit === undefined ? '-' : `${limit} x`]
        }),
      ),
    ),
  )
  print(`\nLoad before: ${results.map(({ id, load }) => `${id} ${load}`).join(', ')}; ${results[0]?.version ?? ''}`)
  store(scenario, known, { results })
}
