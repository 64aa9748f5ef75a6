// @ts-check

import { workloadNamed } from '../../scenarios/workloads.js'
import { Case } from '../child.js'
import { contestantNamed } from '../contestants.js'
import { stepFlops } from '../flops.js'
import { krylovMissing } from '../krylov.js'
import { heading, print, progress, store } from '../results.js'
import { compare, median } from '../statistics.js'
import { figure, percent, table } from '../table.js'
import { enter, leave, outcomeOf, takeTurn } from '../turns.js'

/** @import { Outcome } from '../turns.js' */
/** @import { Workload } from '../../scenarios/workloads.js' */
/** @typedef {typeof import('../../scenarios/steps.js').scenario} Scenario */

const kThreads = [1, 2]

/**
 * The probe takes its turns among the contestants', so that a slow minute of
 * the machine slows it as well.
 *
 * @param {Scenario['probe']} settings
 */
async function startProbe(settings) {
  const reason = krylovMissing()
  if (reason !== undefined) return { reason }
  const process = new Case({ specification: { role: 'probe' } })
  try {
    await process.ready(20)
  } catch (error) {
    await process.stop()
    return { reason: error instanceof Error ? error.message : String(error) }
  }
  /** @type {Map<number, number[]>} */
  const peaks = new Map(kThreads.map((threads) => [threads, []]))
  return {
    process,
    peaks,
    async turn() {
      for (const threads of kThreads) {
        const { gflops } = await process.ask({ what: 'peak', threads, milliseconds: settings.milliseconds })
        peaks.get(threads)?.push(gflops)
      }
    },
    async bandwidth() {
      const found = []
      for (const threads of kThreads) {
        const { readGBs, writeGBs } = await process.ask({ what: 'bandwidth', threads, megabytes: settings.megabytes })
        found.push({ threads, readGBs, writeGBs })
      }
      return found
    },
  }
}

/**
 * @param {Workload} workload
 * @param {Scenario} scenario
 * @param {() => Promise<void>} probeTurn
 * @returns {Promise<Outcome[]>}
 */
async function measure(workload, scenario, probeTurn) {
  const { entrants, skipped } = await enter(scenario.contestants, workload, scenario)
  try {
    for (let round = 0; round < scenario.rounds; round++) {
      progress(`  ${workload.name}: round ${round + 1} of ${scenario.rounds}`)
      await probeTurn()
      for (const entrant of entrants) {
        const ours = entrant.contestant.family === 'krylov'
        if (!ours && round > 0 && entrant.spent >= scenario.peerBudgetSeconds) continue
        await takeTurn(entrant, ours ? scenario.secondsPerTurn.krylov : scenario.secondsPerTurn.peer)
      }
    }
    return [...entrants.map(outcomeOf), ...skipped]
  } finally {
    await leave(entrants)
  }
}

/**
 * The quickest of the contestants that a predicate takes.
 *
 * @param {readonly Outcome[]} outcomes
 * @param {(outcome: Outcome) => boolean} takes
 * @returns {Outcome | undefined}
 */
function best(outcomes, takes) {
  return outcomes
    .filter((outcome) => outcome.time !== undefined && takes(outcome))
    .sort((a, b) => (a.time?.median ?? 0) - (b.time?.median ?? 0))[0]
}

/**
 * @param {Workload} workload
 * @param {readonly Outcome[]} outcomes
 * @param {(threads: number) => number | undefined} peak
 */
function report(workload, outcomes, peak) {
  const flops = stepFlops(workload.sizes, workload.batchSize)
  const ours = best(outcomes, (outcome) => outcome.family === 'krylov')
  print(
    `\n### ${workload.name}: ${workload.sizes.join('-')}, batch ${workload.batchSize}, ${workload.loss}, ` +
      `${figure(flops / 1e6)} MFLOP a step, reach ${workload.reach} µs\n`,
  )
  const rows = outcomes
    .filter((outcome) => outcome.time !== undefined)
    .map((outcome) => {
      const time = /** @type {NonNullable<Outcome['time']>} */ (outcome.time)
      const gflops = flops / time.median / 1000
      const limit = peak(outcome.threads)
      let verdict = '-'
      if (ours?.time !== undefined && outcome !== ours) {
        const { ratio, withinNoise } = compare(ours.time, time)
        verdict = withinNoise ? 'within noise' : `${figure(ratio)}×`
      }
      return [
        outcome.id,
        figure(time.median),
        `±${percent(time.spread)} (${time.samples.length})`,
        outcome.family === 'krylov' ? `${figure(time.median / workload.reach)}×` : '-',
        figure(gflops),
        limit === undefined ? '-' : percent(gflops / limit),
        verdict,
      ]
    })
  print(
    table(
      [
        'contestant',
        'µs a step',
        'spread (turns)',
        'of reach',
        'GFLOP/s',
        'of FMA peak',
        ours === undefined ? 'against Krylov' : `time over ${ours.id}`,
      ],
      rows,
    ),
  )
  if (ours?.time !== undefined) {
    const families = [...new Set(outcomes.map((outcome) => outcome.family))].filter((family) => family !== 'krylov')
    const relations = families.flatMap((family) => {
      const other = best(outcomes, (outcome) => outcome.family === family)
      if (other?.time === undefined || ours.time === undefined) return []
      const { ratio, withinNoise } = compare(ours.time, other.time)
      return [`${family} ${withinNoise ? 'within noise' : `${figure(ratio)}×`}`]
    })
    print(`\nBest settings of each, time over ${ours.id}: ${relations.join(', ') || 'no peer took part'}`)
  }
  for (const outcome of outcomes) {
    if (outcome.skipped !== undefined) print(`- ${outcome.id} left out: ${outcome.skipped}`)
  }
}

/** @param {Scenario} scenario */
export async function run(scenario) {
  const known = await heading(scenario)
  const probe = await startProbe(scenario.probe)
  const results = []
  let bandwidth
  try {
    for (const name of scenario.workloads) {
      const workload = workloadNamed(name)
      const outcomes = await measure(workload, scenario, probe.turn ?? (async () => undefined))
      results.push({ workload, outcomes })
    }
    bandwidth = await probe.bandwidth?.()
  } finally {
    await probe.process?.stop()
  }

  /** @param {number} threads */
  const peak = (threads) => {
    const samples = probe.peaks?.get(threads)
    return samples === undefined || samples.length === 0 ? undefined : median(samples)
  }
  print(
    probe.reason === undefined
      ? `FMA peak, float32, registers only: ${kThreads.map((t) => `${figure(peak(t))} GFLOP/s on ${t}`).join(', ')}`
      : `FMA peak not measured: ${probe.reason}`,
  )
  for (const line of bandwidth ?? []) {
    print(
      `Memory, ${line.threads} ${line.threads === 1 ? 'thread' : 'threads'}: read ${figure(line.readGBs)} GB/s, write ${figure(line.writeGBs)} GB/s`,
    )
  }
  for (const { workload, outcomes } of results) report(workload, outcomes, peak)

  print('\nContestants:')
  for (const id of scenario.contestants) {
    const version = results.flatMap(({ outcomes }) => outcomes).find((o) => o.id === id && o.version !== '')?.version
    const { note } = contestantNamed(id)
    if (version !== undefined) print(`- ${id} ${version}${note === '' ? '' : `: ${note}`}`)
  }
  store(scenario, known, {
    peaks: kThreads.map((threads) => ({ threads, dtype: 'float32', gflops: peak(threads) })),
    bandwidth,
    results,
  })
}
