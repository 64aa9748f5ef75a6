// The native tests, by CMake and CTest; each suite is the preset of that name in CMakePresets.json:
//   node scripts/native-tests.mjs            the build that ships
//   node scripts/native-tests.mjs sanitize   with the address and undefined-behaviour sanitizers
//   node scripts/native-tests.mjs thread     with the thread sanitizer
//   node scripts/native-tests.mjs neon       cross-built for arm64, run by qemu
// Where the tools are missing they are skipped with the reason; in CI that is a failure.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { finish } from './counts.mjs'
import { inCi, isInstalled, jobs, readIfThere, root, runQuietly, say } from './shared.mjs'

const crossTools = { programs: ['aarch64-linux-gnu-g++', 'qemu-aarch64'], packages: 'g++-aarch64-linux-gnu qemu-user' }
const suites = {
  plain: { title: 'native tests' },
  sanitize: { title: 'native tests with sanitizers', parallel: true, plainCode: true },
  thread: { title: 'native tests with the thread sanitizer' },
  neon: { title: 'native tests for arm64', ...crossTools, parallel: true },
}

function buildFolder(preset) {
  const presets = JSON.parse(readIfThere('CMakePresets.json')).configurePresets
  return presets.find(({ name }) => name === preset).binaryDir.replace(/^\$\{sourceDir\}/, root)
}

function hasDoctest() {
  const compiler = process.env.CXX ?? 'c++'
  const input = '#include <doctest/doctest.h>\n'
  return spawnSync(compiler, ['-E', '-x', 'c++', '-'], { input, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0
}

/** Adds up doctest's closing lines, one for each run of the program. */
function countCases(output) {
  const counts = { passed: 0, failed: 0 }
  for (const [, passed, failed] of output.matchAll(/test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed/g)) {
    counts.passed += Number(passed)
    counts.failed += Number(failed)
  }
  return counts
}

/** Runs one of the suites, with `built` against the archives in that folder. Returns its counts; a build that fails or a run that crashes counts as a failure. */
export function runNativeTests(name, { built = '' } = {}) {
  const { title, programs = [], packages = '', parallel = false, plainCode = false } = suites[name]
  const missing = ['cmake', ...programs].filter((program) => !isInstalled(program))
  if (!hasDoctest()) missing.push('doctest')
  if (missing.length > 0) {
    const needs = ['cmake', ...programs].join(', ')
    say(`skipped: ${title} need ${needs} and doctest (apt-get install ${`cmake doctest-dev ${packages}`.trim()})`)
    return { passed: 0, failed: inCi ? 1 : 0, skipped: true }
  }
  say(`building the ${title}`)
  const folder = buildFolder(name)
  const build = (where) => ['--build', where, '--parallel', String(jobs)]
  const steps = [['--preset', name, `-DKRYLOV_BUILT=${built}`], build(folder)]
  if (plainCode) {
    const plain = buildFolder('plain')
    steps[0].push(`-DKRYLOV_TEST_CODE=${plain}/libkrylov_test_code.a`)
    steps.unshift(['--preset', 'plain'], [...build(plain), '--target', 'krylov_test_code'])
  }
  for (const args of steps) {
    if (runQuietly('cmake', args).status !== 0) return { passed: 0, failed: 1 }
  }
  say(`running the ${title}`)
  const shared = parallel ? ['--parallel', String(jobs)] : []
  const { status, output } = runQuietly('ctest', ['--test-dir', folder, '--verbose', '--no-tests=error', ...shared])
  const counts = countCases(output)
  if (status !== 0 && counts.failed === 0) counts.failed = 1
  say(`${title}: ${counts.passed} cases passed of ${counts.passed + counts.failed}`)
  return counts
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const name = process.argv[2] ?? 'plain'
  if (!Object.hasOwn(suites, name)) {
    say(`suite: expected one of ${Object.keys(suites).join(', ')}, got ${name}`)
    process.exitCode = 1
  } else {
    const counts = runNativeTests(name)
    if (!counts.skipped || inCi) finish(counts)
  }
}
