// The addon in several threads at once, and in threads and processes that end at any moment.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import type { NativeEvent } from '../src/internal/native.js'
import { addon } from '../src/internal/native.js'
import { dataset, trainOptions, twoHeads } from './support/binding.js'

const file = new URL('./support/train-worker.mjs', import.meta.url)
const binary =
  process.env.KRYLOV_BINARY ??
  ['Release', 'Debug', 'cmake-js/Release', 'cmake-js/Debug']
    .map((folder) => fileURLToPath(new URL(`../build/${folder}/krylov.node`, import.meta.url)))
    .find(existsSync)

type Report = { type?: string; epoch?: number; reason?: string; parameters?: Float32Array; caught?: number }

// Enough work a step that runs use two threads.
const rows = 256
const data = dataset(rows)
const options = { ...trainOptions(), batchSize: 64, threads: 2, rows: null, validationRows: null, earlyStopping: null }
const spec = twoHeads()

function start(scenario: string): Worker {
  return new Worker(file, { workerData: { binary, scenario, spec, data, options } })
}

async function nextMessage(worker: Worker): Promise<Report> {
  const [message] = (await once(worker, 'message')) as [Report]
  return message
}

const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Trains on this thread, to see that the shared compute thread still works. */
function trainHere(): Promise<Float32Array> {
  const native = addon()
  const model = new native.Model(spec, 'float32', 1)
  return new Promise((resolve) => {
    model.train(new native.Dataset(data), options, (event: NativeEvent) => {
      if (event.type !== 'end') return
      const parameters = new Float32Array(model.parameterCount)
      model.getParameters(parameters)
      resolve(parameters)
    })
  })
}

describe('workers', () => {
  test('train to the same bits as the main thread', async () => {
    const [here, ...there] = await Promise.all([
      trainHere(),
      ...Array.from({ length: 3 }, () => nextMessage(start('complete'))),
    ])
    for (const { reason, parameters } of there) {
      expect(reason).toBe('completed')
      expect(parameters).toEqual(here)
    }
  })

  test('come and go', async () => {
    for (let round = 0; round < 10; round++) {
      const worker = start('load')
      const ended = once(worker, 'exit')
      await nextMessage(worker)
      expect(await ended).toEqual([0])
    }
  })

  test.each(['endless', 'weights', 'crowd', 'trainer', 'solve', 'solveSync'])(
    'are terminated at any moment: %s',
    async (scenario) => {
      for (let round = 0; round < 10; round++) {
        const worker = start(scenario)
        await nextMessage(worker)
        await sleep(round * 3)
        expect(await worker.terminate()).toBe(1)
      }
      expect(await trainHere()).toHaveLength(new (addon().Model)(spec, 'float32', 1).parameterCount)
    },
  )

  test('are terminated before they begin', async () => {
    for (let delay = 0; delay < 60; delay += 6) {
      const worker = start('crowd')
      await sleep(delay)
      await worker.terminate()
    }
    await trainHere()
  })

  test('train at once, each with its turns', async () => {
    const workers = [start('endless'), start('endless')]
    const epochs = await Promise.all(
      workers.map(async (worker) => {
        for (;;) {
          const { epoch = 0 } = await nextMessage(worker)
          if (epoch >= 20) return epoch
        }
      }),
    )
    expect(epochs.every((epoch) => epoch >= 20)).toBe(true)
    await trainHere()
    await Promise.all(workers.map((worker) => worker.terminate()))
  })

  test('leave from within a listener', async () => {
    const [code] = await once(start('exit'), 'exit')
    expect(code).toBe(7)
  })

  test('fail by a listener that throws', async () => {
    const worker = start('throw')
    const ended = new Promise((resolve) => worker.on('exit', resolve))
    const error = await new Promise<Error>((resolve) => worker.on('error', resolve))
    expect(error.message).toBe('from the listener')
    expect(await ended).toBe(1)
  })
})

describe('processes', () => {
  /** Runs a scenario in a process; its code, its reports and its errors. */
  async function run(scenario: string): Promise<{ code: number | null; reports: Report[]; errors: string }> {
    const text = JSON.stringify({ binary, scenario, spec, data, options }, (_, value) =>
      ArrayBuffer.isView(value)
        ? { type: value.constructor.name, values: Array.from(value as unknown as ArrayLike<number>) }
        : value,
    )
    const child = spawn(process.execPath, [fileURLToPath(file), text])
    let out = ''
    let errors = ''
    child.stdout.on('data', (chunk) => {
      out += chunk
    })
    child.stderr.on('data', (chunk) => {
      errors += chunk
    })
    const [code] = (await once(child, 'close')) as [number | null]
    const reports = out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Report)
    return { code, reports, errors }
  }

  test('a training keeps the process alive, and its end lets go', async () => {
    const { code, reports } = await run('complete')
    expect(code).toBe(0)
    expect(reports).toHaveLength(1)
    expect(reports[0]?.reason).toBe('completed')
  })

  test('a process that exits in the middle', async () => {
    expect((await run('exit')).code).toBe(7)
  })

  test('a listener that throws', async () => {
    const { code, errors } = await run('throw')
    expect(code).toBe(1)
    expect(errors).toContain('from the listener')
  })

  test('a listener that throws and is caught misses nothing', async () => {
    const { code, reports } = await run('caught')
    expect(code).toBe(0)
    expect(reports).toHaveLength(1)
    expect(reports[0]).toMatchObject({ type: 'end', reason: 'completed', caught: 3 })
  })
})
