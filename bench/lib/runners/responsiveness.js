// @ts-check

import { Case } from '../child.js'
import { krylovMissing } from '../krylov.js'
import { heading, print, progress, store } from '../results.js'
import { summarize } from '../statistics.js'
import { figure, percent, table } from '../table.js'

/** @typedef {typeof import('../../scenarios/responsiveness.js').scenario} Scenario */

/** Longer than all tries together. */
const kSeconds = 120

/** @param {Scenario} scenario */
export async function run(scenario) {
  const known = await heading(scenario)
  const reason = krylovMissing()
  if (reason !== undefined) {
    print(`\nLeft out: ${reason}`)
    return
  }
  const process = new Case({ specification: { role: 'responsiveness', scenario } })
  try {
    await process.ready(scenario.readySeconds)
    progress(`  training ${scenario.training}: abort, timer lag; then predict on ${scenario.predict.workload}`)
    const found = await process.ask({}, kSeconds)
    const abort = summarize(found.abort)
    const predict = summarize(found.predict)
    print()
    print(
      table(
        ['what', 'median', 'worst', 'note'],
        [
          [
            `abort() to settled, training ${scenario.training}`,
            figure(abort.median, ' ms'),
            figure(abort.max, ' ms'),
            `${scenario.abort.tries} tries, reach ${scenario.abort.reach} ms`,
          ],
          [
            'timer lag, training',
            figure(found.lag.percentile99, ' ms (99 %)'),
            figure(found.lag.worst, ' ms'),
            `${found.lag.ticks} ticks of ${scenario.lag.intervalMilliseconds} ms, reach ${scenario.lag.reach} ms`,
          ],
          [
            'timer lag, idle',
            figure(found.idleLag.percentile99, ' ms (99 %)'),
            figure(found.idleLag.worst, ' ms'),
            `${found.idleLag.ticks} ticks`,
          ],
          [
            `predict of 1 row, ${scenario.predict.workload}`,
            figure(predict.median, ' µs'),
            figure(predict.max, ' µs'),
            `±${percent(predict.spread)}, reach ${scenario.predict.reach} µs`,
          ],
        ],
      ),
    )
    store(scenario, known, { results: { ...found, event: undefined } })
  } finally {
    await process.stop()
  }
}
