// @ts-check
// The peers are CommonJS, some without types: loaded by name, as `any`.

import { createRequire } from 'node:module'

/** @type {(name: string) => any} */
export const load = createRequire(import.meta.url)
