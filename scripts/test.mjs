// All the tests of the build that ships: types, vitest, then the native tests. Ends with one line of numbers.
// Arguments go to vitest (`npm test -- test/losses.test.ts`), and then only vitest runs.
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { add, finish } from './counts.mjs'
import { runNativeTests } from './native-tests.mjs'
import { inCi, readIfThere, root, run, say } from './shared.mjs'

const require = createRequire(import.meta.url)
const filters = process.argv.slice(2)

/** The type check of sources and tests counts as one test: programs that must not compile are marked in them. */
function checkTypes() {
  mkdirSync(join(root, 'build'), { recursive: true })
  say('checking types')
  const passed = run(process.execPath, [require.resolve('typescript/bin/tsc'), '--project', 'tsconfig.json']) === 0
  return passed ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
}

/** Counts from vitest's JSON report; a file that could not be loaded has no tests but is a failure. */
function runVitest() {
  const report = 'build/vitest.json'
  rmSync(join(root, report), { force: true })
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const status = run(process.execPath, [vitest, 'run', ...reporters, ...filters])
  const text = readIfThere(report)
  if (text === undefined) return { passed: 0, failed: 1 }
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(text)
  const broken = testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length
  const skipped = inCi ? numPendingTests + numTodoTests : 0
  const failed = numFailedTests + broken + skipped
  return { passed: numPassedTests, failed: failed === 0 && status !== 0 ? 1 : failed }
}

/** The addon's own archives, which `npm test` has just brought up to date: they are what ships, and compiled already. */
function builtArchives() {
  const folder = join(root, 'build/Release/obj.target')
  return existsSync(join(folder, 'krylov_core.a')) ? folder : ''
}

const parts =
  filters.length > 0 ? [runVitest] : [checkTypes, runVitest, () => runNativeTests('plain', { built: builtArchives() })]
finish(parts.map((part) => part()).reduce(add))
