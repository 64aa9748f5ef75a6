// What the scripts of this folder share. Node's own modules only: they run before anything is installed.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = resolve(fileURLToPath(new URL('..', import.meta.url)))
export const inCi = process.env.CI === 'true'
export const jobs = availableParallelism()

export function say(text) {
  process.stdout.write(`${text}\n`)
}

/** Runs a program in the repository; its output is shown as it comes. Returns the exit status. */
export function run(program, args, options = {}) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit', ...options })
  if (error) say(`${program}: ${error.message}`)
  return status ?? 1
}

/** Runs a program and keeps its output, which is shown, without lines of progress, only when it fails. */
export function runQuietly(program, args, options = {}) {
  const result = spawnSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, ...options })
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}`
  const status = result.status ?? 1
  if (status !== 0)
    say(`${program} ${args.join(' ')}\n${output.replace(/^\[ *\d+%\].*\n/gm, '')}${result.error?.message ?? ''}`)
  return { status, output }
}

/** Whether a program is on the path. */
export function isInstalled(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined
}

/** The files below a folder of the repository, as sorted paths relative to the repository. */
export function listFiles(folder) {
  const start = join(root, folder)
  if (!existsSync(start)) return []
  if (statSync(start).isFile()) return [folder]
  const found = []
  for (const entry of readdirSync(start, { withFileTypes: true })) {
    const path = join(start, entry.name)
    if (entry.isDirectory()) found.push(...listFiles(relative(root, path)))
    else found.push(relative(root, path))
  }
  return found.sort()
}

/** One number for the names and contents of files and folders, and for whatever else the result depends on. */
export function fingerprint(paths, ...extra) {
  const hash = createHash('sha256').update(JSON.stringify(extra))
  for (const file of paths.flatMap(listFiles)) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

/** The text of a file of the repository, or undefined where there is none. */
export function readIfThere(file) {
  const path = join(root, file)
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}
