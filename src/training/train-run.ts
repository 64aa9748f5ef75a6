import { stateError } from '../internal/errors.js'
import type { EpochRecord, History } from './history.js'
import type { TrainingState } from './state.js'

type Settle = { resolve: (history: History) => void; reject: (error: unknown) => void }

/** What a run needs of the training behind it. */
export type RunControl = {
  abort(): void
  state(): TrainingState
}

/**
 * A training run: await it for its history, or iterate over its epochs, or both.
 *
 * Training started before the run was returned and never waits for who listens: epochs are kept, so that an iteration
 * that begins late still sees all of them. An abort, by `abort()` or by the signal, is no error: the history's reason
 * is `aborted`, and the model has the parameters of the last whole step. A callback that throws stops the run, and its
 * error comes out of the promise and of every iteration. The run has ended once asynchronous callbacks have settled too.
 */
export class TrainRun implements PromiseLike<History>, AsyncIterable<EpochRecord> {
  readonly #epochs: EpochRecord[] = []
  readonly #promise: Promise<History>
  readonly #settle: Settle
  #control: RunControl | undefined
  #outcome: { history: History } | { error: unknown } | undefined
  #waiting: (() => void)[] = []

  /** @internal */
  constructor() {
    let settle: Settle | undefined
    this.#promise = new Promise((resolve, reject) => {
      settle = { resolve, reject }
    })
    this.#settle = settle as unknown as Settle
  }

  /** Epochs finished so far. */
  get epochs(): readonly EpochRecord[] {
    return this.#epochs
  }

  /** True once the run has ended, for whatever reason. */
  get ended(): boolean {
    return this.#outcome !== undefined
  }

  /** Stops the run after the current step; it resolves with the reason `aborted`. No effect on a run that has ended. */
  abort(): void {
    if (!this.ended) this.#control?.abort()
  }

  /**
   * What another run needs to continue this one: `train(model, data, { ...options, resume: run.state() })`.
   *
   * @throws KrylovError ERR_STATE before the end
   */
  state(): TrainingState {
    if (!this.ended || this.#control === undefined) throw stateError('run.state', 'a run that has ended', this)
    return this.#control.state()
  }

  // biome-ignore lint/suspicious/noThenProperty: a run is awaited; that is its interface.
  then<A = History, B = never>(
    onFulfilled?: ((history: History) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#promise.then(onFulfilled, onRejected)
  }

  catch<B = never>(onRejected?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<History | B> {
    return this.#promise.catch(onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<History> {
    return this.#promise.finally(onFinally)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<EpochRecord, void, void> {
    // An error comes out of the iteration, so the promise beside it needs no listener of its own.
    this.#promise.catch(() => undefined)
    for (let index = 0; ; index++) {
      while (index >= this.#epochs.length && this.#outcome === undefined) {
        await new Promise<void>((wake) => this.#waiting.push(wake))
      }
      const epoch = this.#epochs[index]
      if (epoch !== undefined) {
        yield epoch
        continue
      }
      if (this.#outcome !== undefined && 'error' in this.#outcome) throw this.#outcome.error
      return
    }
  }

  /** Aborts the run where it has not ended. */
  dispose(): void {
    this.abort()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  /** @internal */
  static started(): { run: TrainRun; feed: RunFeed } {
    const run = new TrainRun()
    const wake = (): void => {
      const waiting = run.#waiting
      run.#waiting = []
      for (const resume of waiting) resume()
    }
    return {
      run,
      feed: {
        attach: (control) => {
          run.#control = control
        },
        epoch: (record) => {
          run.#epochs.push(record)
          wake()
        },
        end: (history) => {
          run.#outcome = { history }
          run.#settle.resolve(history)
          wake()
        },
        fail: (error) => {
          run.#outcome = { error }
          run.#settle.reject(error)
          wake()
        },
      },
    }
  }
}

/** The writing side of a run. */
export type RunFeed = {
  attach(control: RunControl): void
  epoch(record: EpochRecord): void
  end(history: History): void
  fail(error: unknown): void
}
