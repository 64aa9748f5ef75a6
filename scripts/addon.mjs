// Builds the addon with node-gyp when it is missing or older than its sources. npm runs this as the install script;
// scripts/prepare.mjs calls it too, so a clean clone compiles once.
import { existsSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fingerprint, jobs, readIfThere, root, runQuietly, say } from './shared.mjs'

const stampFile = 'build/addon.stamp'
const inputs = ['binding.gyp', 'native/sources.json', 'native/include', 'native/src', 'native/binding']

/** The node-gyp of this package, or the one that npm brings. */
function findNodeGyp() {
  try {
    return createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js')
  } catch (error) {
    if (process.env.npm_config_node_gyp) return process.env.npm_config_node_gyp
    throw new Error('node-gyp was not found: run npm install', { cause: error })
  }
}

/** Headers that stand beside the running Node are used; otherwise node-gyp fetches those of its version. */
function headerOptions() {
  const prefix = dirname(dirname(process.execPath))
  const beside = existsSync(join(prefix, 'include/node/node_api.h'))
  return beside && !process.env.npm_config_nodedir ? [`--nodedir=${prefix}`] : []
}

/** Returns whether the addon is there and up to date. */
export function buildAddon() {
  const { CC, CXX, CFLAGS, CXXFLAGS, LDFLAGS } = process.env
  const stamp = fingerprint(inputs, process.platform, process.arch, CC, CXX, CFLAGS, CXXFLAGS, LDFLAGS)
  const addonFile = join(root, 'build/Release/krylov.node')
  if (existsSync(addonFile) && readIfThere(stampFile) === stamp) return true

  say('building the native addon (the first time takes a minute or two)')
  const nodeGyp = findNodeGyp()
  for (const command of ['configure', 'build']) {
    const args = [nodeGyp, command, `--jobs=${jobs}`, ...headerOptions()]
    if (runQuietly(process.execPath, args).status !== 0) {
      say('the native addon could not be built: it needs Linux, Python 3, make and g++ 10 or newer with OpenMP')
      return false
    }
  }
  writeFileSync(join(root, stampFile), stamp)
  return true
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = buildAddon() ? 0 : 1
