// @ts-check

import { workloadNamed } from '../../scenarios/workloads.js'
import { Case } from '../child.js'
import { krylovMissing } from '../krylov.js'
import { heading, print, progress, store } from '../results.js'
import { figure, percent, table } from '../table.js'

/** @typedef {typeof import('../../scenarios/kernels.js').scenario} Scenario */

/** @param {Scenario} scenario */
export async function run(scenario) {
  const known = await heading(scenario)
  const reason = krylovMissing()
  if (reason !== undefined) {
    print(`\nLeft out: ${reason}`)
    return
  }
  /** @type {{ workload: string, call: string, microseconds: number, margin: number, samples: number }[]} */
  const results = []
  for (const name of scenario.workloads) {
    const workload = workloadNamed(name)
    const process = new Case({
      specification: { role: 'kernels', workload, secondsPerCall: scenario.secondsPerCall },
    })
    try {
      await process.ready(scenario.readySeconds)
      for (const call of scenario.calls) {
        progress(`  ${name}: ${call}`)
        const { microseconds, margin, samples } = await process.ask({ call })
        results.push({ workload: name, call, microseconds, margin, samples })
      }
    } finally {
      await process.stop()
    }
  }
  print('\nMicroseconds a call, mean and its 95 % margin\n')
  print(
    table(
      ['call', ...scenario.workloads],
      scenario.calls.map((call) => [
        call,
        ...scenario.workloads.map((name) => {
          const found = results.find((result) => result.call === call && result.workload === name)
          return found === undefined ? '-' : `${figure(found.microseconds)} ±${percent(found.margin)}`
        }),
      ]),
    ),
  )
  store(scenario, known, { results })
}
