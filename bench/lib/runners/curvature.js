// @ts-check

import { Case } from '../child.js'
import { contestantNamed, missing, start } from '../contestants.js'
import { stepFlops } from '../flops.js'
import { heading, print, progress, store } from '../results.js'
import { median, summarize } from '../statistics.js'
import { figure, percent, table } from '../table.js'

/** @typedef {typeof import('../../scenarios/curvature.js').scenario} Scenario */

/**
 * Operations of a product at a cached point by the number of matrix products a layer: a tangent takes two (one in the
 * first layer), a backward pass one (none) and a weight gradient one; the Hessian's backward pass and weight gradient
 * take two each.
 *
 * @param {readonly number[]} sizes
 * @param {number} rows
 * @returns {Record<string, number>}
 */
function productFlops(sizes, rows) {
  let first = 0
  let all = 0
  for (let layer = 1; layer < sizes.length; layer++) {
    const one = 2 * rows * (sizes[layer - 1] ?? 0) * (sizes[layer] ?? 0)
    if (layer === 1) first = one
    all += one
  }
  return {
    gradient: stepFlops(sizes, rows),
    ggn: 4 * all - 2 * first,
    hessian: 6 * all - 4 * first,
    empiricalFisher: 2 * all,
  }
}

/**
 * @param {string} id
 * @param {Scenario} scenario
 */
async function enter(id, scenario) {
  const contestant = contestantNamed(id)
  const reason = missing(contestant)
  if (reason !== undefined) return { id, reason }
  const { sizes, linear, batchSize } = scenario
  const process = start(contestant, { role: 'curvature', sizes, linear, batchSize })
  try {
    const { version } = await process.ready(scenario.readySeconds)
    progress(`  ${id} ready`)
    return { id, version: String(version), process }
  } catch (error) {
    await process.stop()
    return { id, reason: error instanceof Error ? error.message : String(error) }
  }
}

/** @param {Scenario} scenario */
export async function run(scenario) {
  const known = await heading(scenario)
  const probe = new Case({ specification: { role: 'probe' } })
  await probe.ready(scenario.readySeconds)
  const entrants = []
  /** @type {number[]} */
  const peaks = []
  /** @type {Record<string, Record<string, number[]>>} */
  const samples = {}
  let solve
  try {
    for (const id of scenario.contestants) entrants.push(await enter(id, scenario))
    for (let round = 0; round < scenario.rounds; round++) {
      peaks.push((await probe.ask({ what: 'peak', threads: 2, milliseconds: 300 })).gflops)
      for (const { id, process } of entrants) {
        if (process === undefined) continue
        for (const product of scenario.products) {
          const { milliseconds } = await process.ask({ product, seconds: scenario.secondsPerProduct })
          if (milliseconds === null) continue
          const own = samples[id] ?? {}
          own[product] = [...(own[product] ?? []), milliseconds]
          samples[id] = own
        }
        progress(`  round ${round + 1}: ${id}`)
      }
    }
    const ours = entrants.find(({ id, process }) => id.startsWith('krylov') && process !== undefined)
    const { batchSize, iterations } = scenario.solve
    if (ours !== undefined) solve = await ours.process?.ask({ solve: { rows: batchSize, iterations } }, 600)
  } finally {
    await Promise.all([probe.stop(), ...entrants.map(({ process }) => process?.stop())])
  }

  const peak = median(peaks)
  const flops = productFlops(scenario.sizes, scenario.batchSize)
  /** @type {Record<string, number>} */
  const limits = { gradient: scenario.reach.gradient, ggn: scenario.reach.ggn, hessian: scenario.reach.hessian }
  print(
    `\n${scenario.sizes.join('-')}, batch ${scenario.batchSize}, float32, two threads; median milliseconds of a product at ` +
      `a cached point. FMA peak of two cores: ${figure(peak)} GFLOP/s\n`,
  )
  const present = entrants.filter(({ id }) => samples[id] !== undefined)
  print(
    table(
      ['product', ...present.flatMap(({ id }) => [id, 'spread', 'of peak', 'over gradient']), 'reach'],
      scenario.products.map((product) => [
        `${product} (${figure((flops[product] ?? 0) / 1e9)} GFLOP)`,
        ...present.flatMap(({ id }) => {
          const own = samples[id]?.[product]
          if (own === undefined) return ['-', '-', '-', '-']
          const { median: time, spread } = summarize(own)
          const gradient = median(samples[id]?.gradient ?? [])
          return [
            figure(time),
            percent(spread),
            percent((flops[product] ?? 0) / (time * 1e6) / peak),
            `${(time / gradient).toFixed(2)} x`,
          ]
        }),
        limits[product] === undefined ? '-' : `${limits[product]} ms`,
      ]),
    ),
  )
  for (const { id, reason } of entrants) if (reason !== undefined) print(`\n${id} left out: ${reason}`)
  if (solve !== undefined) {
    const { batchSize, iterations, share } = scenario.solve
    print(
      `\nConjugate gradients on the damped Gauss-Newton matrix, batch ${batchSize}, ${iterations} iterations: ` +
        `${figure(solve.seconds)} s, of which products ${percent(solve.productSeconds / solve.seconds)} (reach ${percent(share)}).`,
    )
  }
  store(scenario, known, { peaks, samples, solve, flops })
}
