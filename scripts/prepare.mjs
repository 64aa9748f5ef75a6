// Brings a clone to the point where everything runs: packages, addon, compiled TypeScript. Each part is made only
// when it is missing or stale.
//   --no-addon   leave the addon as it is
//   --bench      install the packages of bench/ too
import { rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { buildAddon } from './addon.mjs'
import { fingerprint, listFiles, readIfThere, root, run, say } from './shared.mjs'

const options = new Set(process.argv.slice(2))

/** Whether every package of a lock file is installed at its version; optional ones may be missing. */
function isInstalledAsLocked(folder) {
  const locked = readIfThere(join(folder, 'package-lock.json'))
  const installed = readIfThere(join(folder, 'node_modules/.package-lock.json'))
  if (locked === undefined || installed === undefined) return false
  const there = JSON.parse(installed).packages
  return Object.entries(JSON.parse(locked).packages).every(([path, { version, optional }]) => {
    if (path === '') return true
    return there[path] === undefined ? optional === true : there[path].version === version
  })
}

/** No install scripts: no package needs one, and the addon is built below, once. */
function installPackages(folder) {
  if (isInstalledAsLocked(folder)) return true
  say(`installing the packages${folder === '.' ? '' : ` of ${folder}`}`)
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const npm = process.env.npm_execpath
  const cwd = join(root, folder)
  return (npm ? run(process.execPath, [npm, ...args], { cwd }) : run('npm', args, { cwd })) === 0
}

/** Files of dist/ whose source is gone would still be importable. */
function removeOrphans() {
  const sources = new Set(listFiles('src').map((file) => file.replace(/^src/, 'dist').replace(/\.ts$/, '')))
  for (const file of listFiles('dist')) {
    const stem = file.replace(/(\.d\.ts|\.js)(\.map)?$/, '')
    if (stem !== file && !sources.has(stem)) rmSync(join(root, file))
  }
}

function compileTypeScript() {
  const stampFile = 'dist/.stamp'
  const stamp = fingerprint(['src', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'])
  if (readIfThere(stampFile) === stamp && readIfThere('dist/index.js') !== undefined) return true
  say('compiling TypeScript')
  rmSync(join(root, stampFile), { force: true })
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  if (run(process.execPath, [compiler, '--project', 'tsconfig.build.json']) !== 0) return false
  removeOrphans()
  writeFileSync(join(root, stampFile), stamp)
  return true
}

const steps = [
  () => installPackages('.'),
  () => options.has('--no-addon') || buildAddon(),
  compileTypeScript,
  () => !options.has('--bench') || installPackages('bench'),
]
process.exitCode = steps.every((step) => step()) ? 0 : 1
