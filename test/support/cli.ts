// The command line in a folder of its own, with the examples in it.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect } from 'vitest'

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')
const main = join(root, 'dist', 'cli', 'main.js')
const folder = mkdtempSync(join(tmpdir(), 'krylov-cli-'))
export const at = (...names: string[]): string => join(folder, ...names)

type Result = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

export function start(args: readonly string[]): { child: ChildProcess; result: Promise<Result> } {
  const child = spawn(process.execPath, [main, ...args], { cwd: folder, env: { ...process.env, NO_COLOR: '1' } })
  const texts = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    texts.stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    texts.stderr += text
  })
  const result = new Promise<Result>((done, fail) => {
    child.on('error', fail)
    child.on('close', (code) => done({ code, ...texts }))
  })
  return { child, result }
}

export const krylov = (...args: string[]): Promise<Result> => start(args).result

export async function succeed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await krylov(...args)
  expect(code, stderr).toBe(0)
  return stdout
}

/** Writes a configuration and gives its path. */
export function configure(name: string, config: object): string {
  writeFileSync(at(name), JSON.stringify(config))
  return at(name)
}

export const rowsOf = (csv: string): string[][] =>
  csv
    .trimEnd()
    .split('\n')
    .map((line) => line.split(','))

beforeAll(() => {
  cpSync(join(root, 'examples', 'data'), at('data'), { recursive: true })
  for (const name of ['boats.yaml', 'coffee.json']) cpSync(join(root, 'examples', name), at(name))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
