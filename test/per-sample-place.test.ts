// A sample's gradient does not depend on its place in the batch, to the bit: in every instruction set, which a process
// chooses once.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { systemInfo } from '../src/index.js'

const program = join(import.meta.dirname, 'support/per-sample-place.mjs')

describe('the place of a sample in its batch', () => {
  test.each(systemInfo().availableInstructionSets)('changes no bit of gradients, norms, clipped steps: %s', (isa) => {
    const { stdout, stderr } = spawnSync(process.execPath, [program], {
      env: { ...process.env, KRYLOV_ISA: isa },
      encoding: 'utf8',
    })
    expect(stderr).toBe('')
    const { set, comparisons, different } = JSON.parse(stdout) as {
      set: string
      comparisons: number
      different: string[]
    }
    expect(set).toBe(isa)
    expect(different).toEqual([])
    expect(comparisons).toBeGreaterThan(2000)
  })
})
