import { setImmediate } from 'node:timers/promises'
import { stateError } from './errors.js'
import type { FloatArray, NativeComputation, NativeRequest } from './native-types.js'

/*
 * How the package drives a native computation: it lets it go on, answers what it asks, and tells it to end when a
 * signal says so. Which functions there are is a list of sources; a computation asks by number.
 */

export type Answer = { readonly output: FloatArray | null; readonly value: number }

/** Answers the requests of one number. What it throws ends the computation. */
export type Source = (request: NativeRequest) => Answer

/** A computation that has been set up, with all that it takes to run it. */
export type Computation<R> = {
  readonly native: NativeComputation<R>
  readonly sources: readonly Source[]
  /**
   * `background`: the asynchronous form works on the compute thread; `here`: on the caller's, with turns of the event
   * loop in between, for computations whose products are all of JavaScript.
   */
  readonly place: 'background' | 'here'
  /** An abort lets it end at its next product; what it leaves is the result. */
  readonly signal: AbortSignal | undefined
}

function answer<R>({ native, sources, signal }: Computation<R>, request: NativeRequest): void {
  const source = sources[request.source]
  if (source === undefined) throw stateError('computation', `a source below ${sources.length}`, request.source)
  const given = signal?.aborted === true ? undefined : source(request)
  // The function itself may have raised the signal: then its answer counts no more.
  if (signal?.aborted === true) {
    native.abort()
    native.answer(null, 0)
  } else {
    native.answer(given?.output ?? null, given?.value ?? 0)
  }
}

/** Runs a computation to its end on the caller's thread. */
export function runSync<R>(computation: Computation<R>): R {
  const { native, signal } = computation
  try {
    if (signal?.aborted === true) native.abort()
    for (let request = native.advance(); request !== null; request = native.advance()) answer(computation, request)
    return native.result()
  } finally {
    native.dispose()
  }
}

/** Milliseconds that a computation whose work is done in JavaScript keeps the event loop. */
const turn = 5

/** Runs a computation to its end without holding up the event loop. */
export async function run<R>(computation: Computation<R>): Promise<R> {
  const { native, place, signal } = computation
  const abort = (): void => native.abort()
  signal?.addEventListener('abort', abort, { once: true })
  try {
    if (signal?.aborted === true) native.abort()
    let since = performance.now()
    for (;;) {
      const request = place === 'here' ? native.advance() : await native.advanceAsync()
      if (request === null) return native.result()
      answer(computation, request)
      if (place === 'here' && performance.now() - since >= turn) {
        await setImmediate()
        since = performance.now()
      }
    }
  } finally {
    signal?.removeEventListener('abort', abort)
    native.dispose()
  }
}
