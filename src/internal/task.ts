import { optionError } from './errors.js'
import type { NativeTask } from './native-types.js'
import { integerInRange } from './validate.js'

/*
 * What asynchronous calls share: their options, and a native task bound to a signal.
 */

const mostThreads = 1024

/** `auto` (0 for the core): the core chooses by the size of the work, at most the processors of this process. */
export function threadsOption(value: unknown, name: string): number {
  if (value === undefined || value === 'auto') return 0
  if (typeof value === 'string') throw optionError(name, "a number of threads or 'auto'", value)
  return integerInRange(value, name, { min: 1, max: mostThreads })
}

export function signalOption(value: unknown, name: string): AbortSignal | undefined {
  if (value === undefined) return undefined
  if (!(value instanceof AbortSignal)) throw optionError(name, 'an AbortSignal', value)
  return value
}

/** The task's result; rejects with the signal's reason when the signal aborts it. */
export async function runTask<R>(task: NativeTask<R>, signal: AbortSignal | undefined): Promise<R> {
  const abort = (): void => task.abort()
  signal?.addEventListener('abort', abort, { once: true })
  try {
    const result = await task.promise
    // Also where the task was done first: who aborts before the promise settles sees it reject.
    signal?.throwIfAborted()
    if (result !== null) return result
    // The task was aborted by other means: its environment is being torn down.
    throw new DOMException('The task was aborted', 'AbortError')
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}
