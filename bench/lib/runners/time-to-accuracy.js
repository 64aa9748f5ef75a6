// @ts-check

import { contestantNamed, missing, start } from '../contestants.js'
import { mnistFolder } from '../mnist.js'
import { heading, print, progress, store } from '../results.js'
import { compare, median, summarize } from '../statistics.js'
import { figure, percent, table } from '../table.js'

/** @typedef {typeof import('../../scenarios/time-to-accuracy.js').scenario} Scenario */
/** @typedef {{ seed: number, seconds: number, accuracies: number[], reached: boolean }} Attempt */

/**
 * @param {string} id
 * @param {Scenario} scenario
 */
async function enter(id, scenario) {
  const contestant = contestantNamed(id)
  const reason = missing(contestant)
  if (reason !== undefined) return { id, reason }
  const process = start(contestant, { role: 'accuracy', scenario, folder: mnistFolder() })
  try {
    const { version } = await process.ready(scenario.readySeconds)
    /** @type {Attempt[]} */
    const attempts = []
    return { id, version: String(version), process, attempts }
  } catch (error) {
    await process.stop()
    return { id, reason: error instanceof Error ? error.message : String(error) }
  }
}

/** @param {Scenario} scenario */
export async function run(scenario) {
  const known = await heading(scenario)
  const entrants = []
  try {
    for (const id of scenario.contestants) entrants.push(await enter(id, scenario))
    for (const seed of scenario.seeds) {
      for (const { id, process, attempts } of entrants) {
        if (process === undefined) continue
        const attempt = await process.ask({ seed }, scenario.runSeconds)
        attempts.push({ seed, seconds: attempt.seconds, accuracies: attempt.accuracies, reached: attempt.reached })
        progress(`  ${id}, seed ${seed}: ${figure(attempt.seconds)} s, ${percent(attempt.accuracies.at(-1))}`)
      }
    }
  } finally {
    await Promise.all(entrants.map((entrant) => entrant.process?.stop()))
  }

  const results = entrants.map(({ id, version, attempts, reason }) => ({
    id,
    version,
    reason,
    attempts,
    time: attempts?.some((attempt) => attempt.reached)
      ? summarize(attempts.filter((attempt) => attempt.reached).map((attempt) => attempt.seconds))
      : undefined,
  }))
  const ours = results.find((result) => result.id.startsWith('krylov') && result.time !== undefined)?.time
  print(
    `\n${scenario.sizes.join('-')}, batch ${scenario.batchSize}, Adam with a cosine from ${scenario.learningRate} over ${scenario.epochs} epochs; ` +
      `time of training and of testing after each epoch, until ${percent(scenario.targetAccuracy)}; reach ${scenario.reach} s\n`,
  )
  print(
    table(
      ['contestant', 'seconds', 'spread', 'reached', 'epochs', 'accuracy then', 'time over Krylov'],
      results
        .filter((result) => result.attempts !== undefined)
        .map(({ id, time, attempts }) => {
          const reached = (attempts ?? []).filter((attempt) => attempt.reached)
          const relation = ours === undefined || time === undefined || time === ours ? undefined : compare(ours, time)
          return [
            id,
            figure(time?.median),
            time === undefined ? '-' : `±${percent(time.spread)}`,
            `${reached.length} of ${attempts?.length}`,
            figure(median(reached.map((attempt) => attempt.accuracies.length))),
            percent(median((attempts ?? []).map((attempt) => attempt.accuracies.at(-1) ?? Number.NaN))),
            relation === undefined ? '-' : relation.withinNoise ? 'within noise' : `${figure(relation.ratio)}×`,
          ]
        }),
    ),
  )
  for (const { id, reason } of results) {
    if (reason !== undefined) print(`- ${id} left out: ${reason}`)
  }
  store(scenario, known, { results })
}
