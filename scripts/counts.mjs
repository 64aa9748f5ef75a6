// Counts of passed and failed tests, and the one closing line.
import { appendFileSync } from 'node:fs'
import { say } from './shared.mjs'

export function add(left, right) {
  return { passed: left.passed + right.passed, failed: left.failed + right.failed }
}

/**
 * Ends a test command: prints `N passed, N failed` and sets the exit status. Where several commands make one run,
 * KRYLOV_TEST_COUNTS names the file that takes the numbers instead, and whoever set it prints the line.
 */
export function finish({ passed, failed }) {
  const file = process.env.KRYLOV_TEST_COUNTS
  if (file) appendFileSync(file, `${passed} ${failed}\n`)
  else say(`${passed} passed, ${failed} failed`)
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0
}
