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
  const single = await singleKernels(scenario)
  store(scenario, known, { results, single })
}

/**
 * Kernel by kernel: nanoseconds an element, and GFLOP/s of the product.
 *
 * @param {Scenario} scenario
 */
async function singleKernels(scenario) {
  /** @type {{ call: string, size: number, microseconds: number, margin: number, samples: number }[]} */
  const results = []
  const process = new Case({ specification: { role: 'single-kernels', secondsPerCall: scenario.secondsPerKernel } })
  try {
    const { sizes } = await process.ready(scenario.readySeconds)
    for (const [call, size] of Object.entries(sizes)) {
      progress(`  kernel: ${call}`)
      const { microseconds, margin, samples } = await process.ask({ call })
      results.push({ call, size, microseconds, margin, samples })
    }
  } finally {
    await process.stop()
  }
  print('\nKernel by kernel, float32, one thread; the call around it included\n')
  print(
    table(
      ['kernel', 'µs a call', 'ns an element'],
      results.map(({ call, size, microseconds, margin }) => [
        call,
        `${figure(microseconds)} ±${percent(margin)}`,
        call.startsWith('product')
          ? `${figure(size / microseconds / 1000)} GFLOP/s`
          : figure((microseconds * 1000) / size),
      ]),
    ),
  )
  return results
}
