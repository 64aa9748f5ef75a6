// Signals end a run of the command line, and what it did is kept.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { at, configure, krylov, rowsOf, start, succeed } from './support/cli.js'

describe('Ctrl-C', () => {
  const endless = (name: string, epochs: number): string =>
    configure(`${name}.json`, {
      seed: 3,
      data: { train: { csv: 'data/boats-train.csv', target: 'kind' } },
      model: { layers: [{ units: 16, activation: 'relu' }, { units: 3 }] },
      loss: 'softmaxCrossEntropy',
      optimizer: { kind: 'adam', learningRate: 0.001 },
      training: { epochs, batchSize: 8 },
      output: {
        model: `build/${name}.safetensors`,
        checkpoint: `build/${name}.checkpoint`,
        report: `build/${name}.html`,
      },
    })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends a run and leaves a usable model, checkpoint and report', async (signal, expected) => {
    const name = signal.toLowerCase()
    const { child, result } = start(['train', endless(name, 100_000_000)])
    // Once: a second signal is how a user ends the program without waiting for it.
    let sent = false
    child.stderr?.on('data', (text: string) => {
      if (sent || !text.includes('epoch ')) return
      sent = true
      child.kill(signal)
    })
    const { code, stdout } = await result
    expect(code).toBe(expected)
    expect(stdout).toMatch(/^aborted after \d+ of 100,000,000 epochs; the model has the parameters of update \d+\n/)
    expect(stdout).toContain(`${name}.safetensors`)
    const rows = rowsOf(
      await succeed('predict', at('build', `${name}.safetensors`), '--csv', at('data', 'boats-test.csv')),
    )
    expect(rows).toHaveLength(61)
    expect(readFileSync(at('build', `${name}.html`), 'utf8')).toContain('Aborted after')
    expect(existsSync(at('build', `${name}.checkpoint`))).toBe(true)
  })

  test('a run continued from its checkpoint ends as an unbroken one does', async () => {
    await succeed('train', endless('short', 4), '-q')
    const more = JSON.parse(readFileSync(endless('short', 10), 'utf8')) as object
    writeFileSync(at('more.json'), JSON.stringify(more))
    await succeed('train', at('more.json'), '-q', '--resume', at('build', 'short.checkpoint'))
    await succeed('train', endless('long', 10), '-q')
    const predict = (name: string): Promise<string> =>
      succeed('predict', at('build', `${name}.safetensors`), '--csv', at('data', 'boats-test.csv'), '--raw')
    expect(await predict('short')).toBe(await predict('long'))
    const other = await krylov('train', at('coffee.json'), '--resume', at('build', 'short.checkpoint'))
    expect(other.code).toBe(1)
    expect(other.stderr).toContain("the checkpoint's model is not that of the configuration")
  })
})
