import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { KrylovError } from './errors.js'
import type { NativeAddon } from './native-types.js'

/*
 * The one file that loads the addon. The rest of the package calls `addon()`.
 */

export type * from './native-diagnosis-types.js'
export type * from './native-estimates-types.js'
export type * from './native-per-sample-types.js'
export type * from './native-point-types.js'
export type * from './native-saliency-types.js'
export type * from './native-spectra-types.js'
export type * from './native-tangent-kernel-types.js'
export type * from './native-task-types.js'
export type * from './native-training-types.js'
export type * from './native-types.js'

const packageRoot = fileURLToPath(new URL('../..', import.meta.url))

/** Where builds leave the addon, newest kind of build last: node-gyp, then cmake-js. */
const builtPaths = [
  join('build', 'Release', 'krylov.node'),
  join('build', 'Debug', 'krylov.node'),
  join('build', 'cmake-js', 'Release', 'krylov.node'),
  join('build', 'cmake-js', 'Debug', 'krylov.node'),
]

type Candidate = { readonly path: string; readonly from: string }
type Attempt = Candidate & { readonly error: string }

function candidates(): Candidate[] {
  const named = process.env.KRYLOV_BINARY
  // A path that somebody named is the only one tried: running another build instead would be a silent surprise.
  if (named !== undefined && named !== '') {
    return [{ path: isAbsolute(named) ? named : resolve(named), from: 'KRYLOV_BINARY' }]
  }
  return builtPaths.map((path) => ({ path: join(packageRoot, path), from: 'build' }))
}

/** Tries the candidates in order; the error lists what went wrong with each and how to put it right. */
export function loadAddon(list: readonly Candidate[], load: (path: string) => unknown): NativeAddon {
  const attempts: Attempt[] = []
  for (const candidate of list) {
    try {
      if (!existsSync(candidate.path)) throw new Error('no such file')
      const loaded = load(candidate.path) as NativeAddon
      if (typeof loaded.setErrorClass !== 'function') throw new Error('the file is not an addon of this package')
      // The binding passes a code as text; it only ever sends those of the list in errors.ts.
      loaded.setErrorClass(KrylovError as unknown as Parameters<NativeAddon['setErrorClass']>[0])
      return loaded
    } catch (error) {
      // The addon is there and refuses its environment: no other build would help.
      if (error instanceof Error && 'code' in error && error.code === 'ERR_OPTION') {
        throw new KrylovError('ERR_OPTION', error.message)
      }
      attempts.push({ ...candidate, error: error instanceof Error ? error.message : String(error) })
    }
  }
  const lines = attempts.map(({ path, from, error }) => `  ${path}${from === 'build' ? '' : ` (${from})`}: ${error}`)
  throw new KrylovError(
    'ERR_NATIVE',
    [
      `native addon: expected a binary for ${process.platform}-${process.arch}, Node ${process.versions.node}; tried`,
      ...lines,
      'To fix it, run `npm run build` in the folder of the package (a C++20 compiler and Python 3 are needed), or set',
      'KRYLOV_BINARY to the path of a built krylov.node.',
    ].join('\n'),
    { attempts },
  )
}

let loaded: NativeAddon | undefined

/** The addon, loaded at the first call. A failed load is tried again at the next call. */
export function addon(): NativeAddon {
  loaded ??= loadAddon(candidates(), createRequire(import.meta.url))
  return loaded
}
