// @ts-check
// Busy processes of somebody else.

import { spawn } from 'node:child_process'
import { endWithUs } from './child.js'

/**
 * Each neighbour keeps one processor busy. It is ended by the returned
 * function, with the benchmark, or by itself when its parent is gone or the
 * longest time has passed, whichever comes first.
 *
 * @param {number} count
 * @param {number} [longestSeconds]
 * @returns {() => void} ends them
 */
export function startNeighbours(count, longestSeconds = 300) {
  const source = `
    const parent = process.ppid, end = Date.now() + ${longestSeconds * 1000}
    while (Date.now() < end && process.ppid === parent) for (let i = 0; i < 1e7; i++);`
  const busy = Array.from({ length: count }, () =>
    endWithUs(spawn(process.execPath, ['-e', source], { stdio: 'ignore' })),
  )
  return () => {
    for (const child of busy) child.kill('SIGKILL')
  }
}
