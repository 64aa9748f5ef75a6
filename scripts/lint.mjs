// Style: biome over TypeScript and scripts, publint over the package, clang-format over C++ where it is installed.
// --write mends the layout.
import { join } from 'node:path'
import { isInstalled, listFiles, root, run, say } from './shared.mjs'

const write = process.argv.includes('--write')
const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
let status = run(process.execPath, [biome, 'check', ...(write ? ['--write'] : [])])
status = run(process.execPath, [join(root, 'node_modules/publint/src/cli.js'), '--strict']) || status
if (isInstalled('clang-format')) {
  const files = listFiles('native').filter((file) => /\.(h|cpp)$/.test(file))
  const mode = write ? ['-i'] : ['--dry-run', '-Werror']
  status = run('clang-format', [...mode, ...files]) || status
} else {
  say('skipped: the layout of C++ needs clang-format (apt-get install clang-format)')
}
process.exitCode = status
