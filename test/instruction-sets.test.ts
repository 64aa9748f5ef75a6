import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { systemInfo } from '../src/index.js'

const root = join(import.meta.dirname, '..')
// The set is chosen once in a process, so each case is one.
const program = `
  import { adam, createModel, dense, softmaxCrossEntropy, systemInfo, train } from './dist/index.js'
  const inputs = Array.from({ length: 90 }, (_, i) => [Math.sin(i), Math.cos(3 * i), (i % 7) / 7])
  const targets = inputs.map(([a, b]) => (a > 0 ? 1 : 0) + (b > 0.5 ? 1 : 0))
  const model = createModel({ inputs: 3, layers: [dense(19, 'tanh'), dense(17, 'gelu'), dense(3)], seed: 4, dtype: 'float64' })
  await train(model, { inputs, targets }, { loss: softmaxCrossEntropy(), optimizer: adam({ epsilon: 1e-3 }), batchSize: 32, epochs: 4, threads: 1 })
  const { instructionSet, isaNotice } = systemInfo()
  console.log(JSON.stringify({ instructionSet, isaNotice, parameters: [...model.parameters] }))
`

type Outcome = { instructionSet: string; isaNotice: string; parameters: number[] }

function runWith(isa: string): { outcome: Outcome | undefined; stderr: string } {
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: root,
    env: { ...process.env, KRYLOV_ISA: isa },
    encoding: 'utf8',
  })
  return { outcome: stdout === '' ? undefined : (JSON.parse(stdout) as Outcome), stderr }
}

describe('KRYLOV_ISA', () => {
  const available = systemInfo().availableInstructionSets
  const baseline = runWith('baseline').outcome

  test.each(available)('%s is taken, and trains to the numbers of the baseline', (isa) => {
    const { outcome, stderr } = runWith(isa)
    expect(stderr).toBe('')
    expect(outcome).toMatchObject({ instructionSet: isa, isaNotice: '' })
    const expected = baseline?.parameters ?? []
    expect(outcome?.parameters).toHaveLength(expected.length)
    // Twelve steps in float64, apart by the order of roundings only.
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - (outcome?.parameters[i] ?? Number.NaN))))
    expect(worst).toBeLessThan(1e-10)
  })

  test('a set that the processor lacks leaves the default, with a notice', () => {
    const foreign = available.includes('neon') ? 'avx2' : 'neon'
    const { outcome } = runWith(foreign)
    expect(outcome?.instructionSet).not.toBe(foreign)
    expect(outcome?.isaNotice).toContain(foreign)
  })

  test('an unknown name is an error that names the choices', () => {
    const { outcome, stderr } = runWith('avx9')
    expect(outcome).toBeUndefined()
    expect(stderr).toContain('ERR_OPTION')
    expect(stderr).toMatch(/KRYLOV_ISA: expected .*baseline.*avx2.*avx512.*neon.*received 'avx9'/)
  })
})
