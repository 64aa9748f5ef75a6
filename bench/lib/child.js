// @ts-check
// The parent's end of a case: starts the process, asks, waits, stops it.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const workerPath = fileURLToPath(new URL('worker.js', import.meta.url))

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set()

/** Ends every process that the benchmark started, whatever ends the benchmark itself. */
function endAll() {
  for (const child of running) child.kill('SIGKILL')
}
process.on('exit', endAll)
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => process.exit(1))
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @returns {import('node:child_process').ChildProcess}
 */
export function endWithUs(child) {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** A case in a child process; at most one request is under way. */
export class Case {
  /** @type {import('node:child_process').ChildProcess} */
  #child
  /** @type {{ resolve: (message: any) => void, reject: (error: Error) => void } | undefined} */
  #waiting
  /** @type {object[]} */
  #early = []
  /** @type {Error | undefined} */
  #ended
  #errors = ''

  /**
   * @param {{ command?: string, script?: string, specification: object, nodeOptions?: string[], environment?: Record<string, string> }} options
   *   without a command, Node and the worker
   */
  constructor({ command = process.execPath, script = workerPath, specification, nodeOptions = [], environment = {} }) {
    this.#child = endWithUs(
      spawn(command, [...nodeOptions, script, JSON.stringify(specification)], {
        stdio: ['pipe', 'pipe', 'pipe'],
        env: { ...process.env, ...environment },
      }),
    )
    const { stdin, stdout, stderr } = this.#child
    if (stdin === null || stdout === null || stderr === null) throw new Error('a child process without pipes')
    // A write to a child that has died is reported by its exit.
    stdin.on('error', () => undefined)
    stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors = (this.#errors + text).slice(-4000)
    })
    createInterface({ input: stdout }).on('line', (line) => this.#receive(line))
    this.#child.once('error', (error) => this.#end(error))
    this.#child.once('close', (code, signal) =>
      this.#end(new Error(`the process ended (${signal ?? code}): ${this.#errors.trim().split('\n').at(-1) ?? ''}`)),
    )
  }

  /** @param {string} line */
  #receive(line) {
    const message = JSON.parse(line)
    const waiting = this.#waiting
    this.#waiting = undefined
    if (message.event === 'error') waiting?.reject(new Error(message.message))
    else if (waiting === undefined) this.#early.push(message)
    else waiting.resolve(message)
  }

  /** @param {Error} error */
  #end(error) {
    this.#ended ??= error
    this.#waiting?.reject(error)
    this.#waiting = undefined
  }

  /**
   * @param {number} seconds
   * @returns {Promise<any>}
   */
  #next(seconds) {
    const early = this.#early.shift()
    if (early !== undefined) return Promise.resolve(early)
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = undefined
        reject(new Error(`no answer within ${seconds} s`))
      }, seconds * 1000)
      this.#waiting = {
        resolve: (message) => {
          clearTimeout(timer)
          resolve(message)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      }
    })
  }

  /**
   * @param {number} seconds
   * @returns {Promise<any>} what the case says of itself
   */
  ready(seconds) {
    return this.#next(seconds)
  }

  /**
   * @param {object} request
   * @param {number} [seconds]
   * @returns {Promise<any>}
   */
  ask(request, seconds = 300) {
    const reply = this.#next(seconds)
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`)
    return reply
  }

  /** @returns {Promise<void>} */
  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.kill('SIGKILL')
    await closed
  }
}
