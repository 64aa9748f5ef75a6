// @ts-check
// The machine's own limits, by loops in the addon.

import { loadProbe } from '../krylov.js'

export async function open() {
  const probe = await loadProbe()
  return {
    ready: {},
    /** @param {{ what: 'peak' | 'bandwidth', threads: number, milliseconds: number, megabytes: number }} request */
    async handle({ what, threads, milliseconds, megabytes }) {
      return what === 'peak'
        ? await probe.measurePeak({ threads, dtype: 'float32', milliseconds })
        : await probe.measureBandwidth({ threads, megabytes })
    },
  }
}
