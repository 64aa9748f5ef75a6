// Removes what the build made; packages stay.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './shared.mjs'

for (const folder of ['build', 'dist']) rmSync(join(root, folder), { recursive: true, force: true })
