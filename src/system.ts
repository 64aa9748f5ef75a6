import { readFileSync } from 'node:fs'
import type { NativeSystemInfo } from './internal/native.js'
import { addon } from './internal/native.js'

/** What the library runs on. */
export type SystemInfo = {
  /** Version of this package. */
  readonly library: string
  readonly node: string
  /** Version of Node-API that Node offers. */
  readonly napi: string
  readonly platform: string
  readonly architecture: string
  /** Instruction set of the kernels in use, and all that this processor could run. `KRYLOV_ISA` lowers the choice. */
  readonly instructionSet: string
  readonly availableInstructionSets: readonly string[]
  /** What KRYLOV_ISA asked for when it could not be had; empty otherwise. */
  readonly isaNotice: string
  readonly processor: string
  readonly onlineProcessors: number
  /** Processors this process may really use, by affinity and cgroup quota. */
  readonly availableProcessors: number
  /** Most threads that `threads: 'auto'` takes. */
  readonly defaultThreads: number
  readonly openmp: string
  readonly compiler: string
}

const packageFile = new URL('../package.json', import.meta.url)
const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }

/**
 * What the library runs on: versions, instruction set, processors and threads.
 *
 * @example console.log(systemInfo().instructionSet)
 */
export function systemInfo(): SystemInfo {
  const native: NativeSystemInfo = addon().systemInfo()
  return Object.freeze({
    library: version,
    node: process.versions.node,
    napi: process.versions.napi ?? 'unknown',
    platform: process.platform,
    architecture: process.arch,
    ...native,
  })
}
