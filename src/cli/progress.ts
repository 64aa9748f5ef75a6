import cliProgress from 'cli-progress'
import type { EpochRecord, StepRecord } from '../index.js'
import type { Stream } from './text.js'
import { duration, hasColour, measures, number, paint, rate } from './text.js'

/*
 * How a run shows itself: one bar on a terminal, plain lines elsewhere (logs, pipes). Both get the same records.
 */

export type Progress = {
  step(record: StepRecord): void
  epoch(record: EpochRecord): void
  /** Removes the bar; the last epoch is shown if it was not yet. */
  stop(): void
}

/** Least time between two plain lines, in milliseconds; the first and the last epoch are always shown. */
const lineInterval = 2000

/** Weight of the newest speed in the running mean behind the time left. */
const speedWeight = 0.3

function epochText(record: EpochRecord, epochs: number): string {
  const parts = [
    `epoch ${String(record.epoch).padStart(String(epochs).length)}/${epochs}`,
    `loss ${number(record.loss)}`,
  ]
  for (const [name, value] of measures(record.validation ?? {})) parts.push(`validation ${name} ${number(value)}`)
  if (record.privacy !== undefined) parts.push(`epsilon ${number(record.privacy.epsilon)}`)
  parts.push(`${rate(record.samplesPerSecond)} samples/s`, duration(record.seconds))
  return parts.join('  ')
}

/** One line an epoch, at most one every two seconds. */
function plainLines(stream: Stream, epochs: number, now: () => number): Progress {
  let shownAt = Number.NEGATIVE_INFINITY
  let waiting: EpochRecord | undefined
  const show = (record: EpochRecord): void => {
    stream.write(`${epochText(record, epochs)}\n`)
    shownAt = now()
    waiting = undefined
  }
  return {
    step() {},
    epoch(record) {
      if (record.epoch === epochs || now() - shownAt >= lineInterval) show(record)
      else waiting = record
    },
    stop() {
      if (waiting !== undefined) show(waiting)
    },
  }
}

/** Seconds left, from a running mean of the speed. */
function timeLeft(total: number, now: () => number): (done: number) => number {
  let lastDone = 0
  let lastTime = now()
  let speed: number | undefined
  return (done) => {
    const time = now()
    if (time > lastTime && done > lastDone) {
      const latest = ((done - lastDone) / (time - lastTime)) * 1000
      speed = speed === undefined ? latest : speed + speedWeight * (latest - speed)
      lastDone = done
      lastTime = time
    }
    return speed === undefined ? Number.NaN : (total - done) / speed
  }
}

function bar(stream: Stream, epochs: number, samples: number, now: () => number): Progress {
  const total = epochs * samples
  const left = timeLeft(total, now)
  const label = (text: string): string => paint(stream, 'dim', text)
  const drawn = new cliProgress.SingleBar({
    format: `${paint(stream, 'bold', 'epoch {epoch}')} {bar} ${label('loss')} {loss}{measure} ${label('·')} {speed} samples/s ${label('·')} {left} left`,
    stream: stream as NodeJS.WritableStream,
    barCompleteChar: hasColour(stream) ? '\u2501' : '#',
    barIncompleteChar: hasColour(stream) ? '\u2500' : '-',
    barsize: Math.max(8, Math.min(30, (stream.columns ?? 80) - 70)),
    fps: 10,
    hideCursor: true,
    clearOnComplete: true,
    linewrap: false,
    gracefulExit: false,
  })
  const shown = { epoch: `0/${epochs}`, loss: '-', measure: '', speed: '-', left: '-' }
  let last: EpochRecord | undefined
  drawn.start(total, 0, shown)
  const update = (done: number, speed: number | undefined): void => {
    if (speed !== undefined) shown.speed = rate(speed)
    const seconds = left(done)
    shown.left = Number.isFinite(seconds) ? duration(Math.max(0, Math.round(seconds))) : '-'
    drawn.update(Math.min(done, total), shown)
  }
  return {
    step(record) {
      shown.epoch = `${record.epoch}/${epochs}`
      shown.loss = number(record.loss)
      const speed = record.seconds > 0 ? record.samples / record.seconds : undefined
      update((record.epoch - 1) * samples + record.position, speed)
    },
    epoch(record) {
      last = record
      shown.epoch = `${record.epoch}/${epochs}`
      shown.loss = number(record.loss)
      const [name, value] = measures(record.validation ?? {}).find(([key]) => key !== 'loss') ?? []
      if (name !== undefined && value !== undefined) {
        shown.measure = ` ${label('·')} ${label(name)} ${number(value)}`
      } else if (record.validation !== undefined) {
        shown.measure = ` ${label('· validation')} ${number(record.validation.loss)}`
      }
      update(record.epoch * samples, record.samplesPerSecond)
    },
    stop() {
      drawn.stop()
      if (last !== undefined) stream.write(`${epochText(last, epochs)}\n`)
    },
  }
}

/**
 * Shows a run on a stream.
 *
 * @param samples rows that one epoch trains on
 */
export function showProgress(stream: Stream, epochs: number, samples: number, now: () => number = Date.now): Progress {
  const terminal = stream.isTTY === true && process.env.TERM !== 'dumb'
  return terminal ? bar(stream, epochs, samples, now) : plainLines(stream, epochs, now)
}
