// @ts-check
// Finds a Python that has a module, without asking for one to be installed.

import { spawnSync } from 'node:child_process'

/** @type {Map<string, { command?: string, version?: string, reason?: string }>} */
const found = new Map()

/**
 * @param {string} module
 * @returns {{ command?: string, version?: string, reason?: string }} a command, or the reason for none
 */
export function pythonWith(module) {
  const known = found.get(module)
  if (known !== undefined) return known
  const candidates = [process.env.KRYLOV_PYTHON, 'python3', '/usr/bin/python3', 'python'].filter(
    (name) => name !== undefined && name !== '',
  )
  /** @type {{ command?: string, version?: string, reason?: string }} */
  let result = { reason: `no Python with ${module} (tried ${candidates.join(', ')}; KRYLOV_PYTHON names another)` }
  for (const command of candidates) {
    const probe = spawnSync(
      command ?? '',
      ['-c', `import sys, ${module}; print(${module}.__version__, sys.version.split()[0])`],
      { encoding: 'utf8', timeout: 60_000 },
    )
    if (probe.status === 0) {
      const [version, python] = probe.stdout.trim().split(' ')
      result = { command: command ?? '', version: `${version} (Python ${python})` }
      break
    }
  }
  found.set(module, result)
  return result
}
