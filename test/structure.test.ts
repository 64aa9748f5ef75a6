// The rules of docs/architecture.md that a compiler does not check: which layer may see which, the one list of C++
// sources, and what no file of this repository may hold.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const notOurs = new Set([
  '.git',
  'node_modules',
  'build',
  'dist',
  'results',
  'coverage',
  'krylov-quickstart',
  '__pycache__',
])

/** Our files below a folder, as sorted paths relative to the repository. */
function listFiles(folder: string, extensions?: readonly string[]): string[] {
  if (!existsSync(join(root, folder))) return []
  const found = readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return notOurs.has(entry.name) ? [] : listFiles(path, extensions)
    return extensions === undefined || extensions.includes(extname(entry.name)) ? [path] : []
  })
  return found.sort()
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const cppFiles = (folder: string): string[] => listFiles(folder, ['.h', '.cpp'])

/** The quoted includes of a C++ file. */
const quotedIncludes = (path: string): string[] =>
  [...read(path).matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)].map((match) => match[1] ?? '')

/** Every module that a TypeScript file imports, in whatever form. */
const imports = (path: string): string[] =>
  [...read(path).matchAll(/(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)['"]([^'"]+)['"]/g)].map((match) => match[1] ?? '')

/** Where an include leads: a path in the repository, or undefined for a header of another package. */
function resolveInclude(from: string, include: string): string | undefined {
  const places = [dirname(from), 'native/src', 'native/include', 'native']
  return places.map((place) => join(place, include)).find((path) => existsSync(join(root, path)))
}

describe('native/sources.json', () => {
  const sources = JSON.parse(read('native/sources.json')) as Record<string, unknown>
  const sets = ['baseline', 'avx2', 'avx512', 'neon']

  /** A file that ends in the name of an instruction set is compiled for that set. */
  function groupOf(path: string): string {
    const set = sets.find((name) => path.endsWith(`_${name}.cpp`))
    if (path.startsWith('native/src/')) return set ?? 'core'
    if (path.startsWith('native/test/')) return set === undefined ? 'test' : `test_${set}`
    return path.split('/')[1] ?? ''
  }

  test('lists every C++ source once, in its group', () => {
    const listed = Object.entries(sources)
      .filter((entry): entry is [string, string[]] => Array.isArray(entry[1]))
      .flatMap(([group, files]) => files.map((file) => `${group}: ${file}`))
    const folders = ['native/src', 'native/binding', 'native/reference', 'native/test']
    const there = folders.flatMap((folder) => listFiles(folder, ['.cpp'])).map((file) => `${groupOf(file)}: ${file}`)
    expect(listed.sort()).toEqual(there.sort())
  })

  test('names include directories that exist', () => {
    const directories = Object.values(sources.include as Record<string, string[]>).flat()
    for (const directory of directories) expect(existsSync(join(root, directory)), directory).toBe(true)
  })
})

describe('layers of the core', () => {
  // A layer sees itself and those before it; kernels never know networks.
  const layers = [
    'kernels',
    'parallel',
    'random',
    'network',
    'samples',
    'curvature',
    'solvers',
    'optimizers',
    'training',
  ]
  // The headers of the interface that belong to a layer; every other one stands below them all, as do the files
  // directly in native/src (memory, the processor).
  const layerOfHeader: Record<string, string> = {
    threads: 'parallel',
    member: 'parallel',
    procedure: 'parallel',
    rng: 'random',
    initialisers: 'random',
    network: 'network',
    model: 'network',
    linear_operator: 'network',
    objective: 'network',
    dataset: 'samples',
    gradient_statistics: 'samples',
    saliency: 'samples',
    derivatives: 'curvature',
    curvature_rows: 'curvature',
    estimates: 'curvature',
    per_sample: 'curvature',
    hessian_alignment: 'curvature',
    step_control: 'curvature',
    operators: 'solvers',
    solvers: 'solvers',
    spectra: 'solvers',
    stability: 'solvers',
    combine: 'solvers',
    tangent_kernels: 'solvers',
    optimizer: 'optimizers',
    minimizer: 'optimizers',
    minimization: 'optimizers',
    task_gradients: 'optimizers',
    gradient_transforms: 'optimizers',
    metrics: 'training',
    training: 'training',
  }
  const layerOf = (path: string): string | undefined =>
    path.startsWith('native/include/')
      ? layerOfHeader[basename(path, '.h')]
      : path.match(/^native\/src\/([^/]+)\//)?.[1]

  test('every folder of native/src is a layer', () => {
    const folders = cppFiles('native/src').flatMap((path) => layerOf(path) ?? [])
    expect(folders.filter((folder) => !layers.includes(folder))).toEqual([])
  })

  test('includes point to the same layer or to one before it', () => {
    const wrong = [...cppFiles('native/src'), ...cppFiles('native/include')].flatMap((path) => {
      const own = layerOf(path)
      // The files directly in native/src join the layers' headers to the system, and may see any.
      const last = own === undefined && path.startsWith('native/src/') ? layers.length : layers.indexOf(own ?? '')
      return quotedIncludes(path)
        .filter((include) => {
          const target = resolveInclude(path, include)
          if (target === undefined || !/^native\/(src|include)\//.test(target)) return true
          const layer = layerOf(target)
          return layer !== undefined && layers.indexOf(layer) > last
        })
        .map((include) => `${path}: ${include}`)
    })
    expect(wrong).toEqual([])
  })

  test('the interface includes only itself', () => {
    const wrong = cppFiles('native/include').filter((path) =>
      quotedIncludes(path).some((include) => !include.startsWith('krylov/')),
    )
    expect(wrong).toEqual([])
  })

  test('the core knows nothing of Node', () => {
    const files = [...cppFiles('native/src'), ...cppFiles('native/include')]
    expect(files.filter((path) => /\bnapi|\bNapi|node_api|#\s*include\s+[<"](uv|v8)\.h/.test(read(path)))).toEqual([])
  })

  test('the binding sees the interface, itself and N-API', () => {
    const wrong = cppFiles('native/binding').flatMap((path) =>
      quotedIncludes(path)
        .filter((include) => !/^(krylov\/|napi\.h$|node_api\.h$)/.test(include))
        .filter((include) => resolveInclude(path, include)?.startsWith('native/binding/') !== true)
        .map((include) => `${path}: ${include}`),
    )
    expect(wrong).toEqual([])
  })

  test('nothing sees the binding', () => {
    const others = ['native/src', 'native/include', 'native/reference', 'native/test'].flatMap(cppFiles)
    const wrong = others.filter((path) =>
      quotedIncludes(path).some((include) => resolveInclude(path, include)?.startsWith('native/binding/')),
    )
    expect(wrong).toEqual([])
  })

  // It reads the same specs, so it sees the interface.
  test('the reference shares no code with the fast path, and only tests see it', () => {
    const inside = cppFiles('native/reference').flatMap((path) =>
      quotedIncludes(path)
        .filter((include) => !/^native\/(reference|include)\//.test(resolveInclude(path, include) ?? ''))
        .map((include) => `${path}: ${include}`),
    )
    const outside = ['native/src', 'native/include', 'native/binding'].flatMap(cppFiles).flatMap((path) =>
      quotedIncludes(path)
        .filter((include) => resolveInclude(path, include)?.startsWith('native/reference/'))
        .map((include) => `${path}: ${include}`),
    )
    expect([...inside, ...outside]).toEqual([])
  })
})

describe('layers of the package', () => {
  const files = listFiles('src', ['.ts'])
  const relativeImports = (path: string): string[] => imports(path).filter((name) => name.startsWith('.'))
  const targetOf = (path: string, name: string): string => join(dirname(path), name)

  test('only src/internal/native.ts loads the addon', () => {
    const loaders = files.filter((path) => /\bcreateRequire\b|\bprocess\.dlopen\b|\.node['"]/.test(read(path)))
    expect(loaders).toEqual(['src/internal/native.ts'])
  })

  test('the command line uses only the public surface, and nothing uses the command line', () => {
    const wrong = files.flatMap((path) =>
      relativeImports(path)
        .filter((name) => {
          const target = targetOf(path, name)
          const toCommandLine = target.startsWith('src/cli/')
          return path.startsWith('src/cli/') ? target !== 'src/index.js' && !toCommandLine : toCommandLine
        })
        .map((name) => `${path}: ${name}`),
    )
    expect(wrong).toEqual([])
  })

  test('imports name files that exist, with the extension .js', () => {
    const wrong = files.flatMap((path) =>
      relativeImports(path)
        .filter((name) => !name.endsWith('.js') || !existsSync(join(root, targetOf(path, name.replace(/js$/, 'ts')))))
        .map((name) => `${path}: ${name}`),
    )
    expect(wrong).toEqual([])
  })
})

describe('code compiled for an instruction set', () => {
  // An inline function that is compiled for AVX2 in one file and plainly in another has one name: the linker may keep
  // the wrong one, and a processor without AVX2 would run it.
  test.each(process.arch === 'x64' ? ['avx2', 'avx512'] : ['neon'])('%s shares no symbol', (set) => {
    const objects = listFiles(`build/Release/obj.target/krylov_${set}`, ['.o'])
    expect(objects).not.toEqual([])
    for (const object of objects) {
      const { stdout, status } = spawnSync('nm', ['--defined-only', '--demangle', join(root, object)], {
        encoding: 'utf8',
      })
      expect(status).toBe(0)
      const shared = stdout.split('\n').filter((line) => /^\S+ [WVu] /.test(line))
      expect(shared.filter((line) => !line.includes(`krylov::${set}::`))).toEqual([])
    }
  })
})

describe('every file', () => {
  const all = listFiles('.')
  const texts = [
    '.ts',
    '.js',
    '.mjs',
    '.json',
    '.md',
    '.h',
    '.cpp',
    '.cmake',
    '.txt',
    '.gyp',
    '.py',
    '.yml',
    '.yaml',
    '',
  ]

  test('has at most 500 lines of code', () => {
    const folders = ['src', 'native', 'test', 'scripts', 'bench', 'examples']
    const code = folders.flatMap((folder) => listFiles(folder, ['.ts', '.js', '.mjs', '.h', '.cpp', '.py']))
    const long = code
      .map((path) => [path, read(path).split('\n').length - 1] as const)
      .filter(([, lines]) => lines > 500)
    expect(long).toEqual([])
  })

  test('names no path of a machine and no host of a registry', () => {
    const patterns = [/(^|[^A-Za-z0-9_.-])\/(work|root|farm|home)\//m, /registry\.[a-z]+js\.(org|com)/]
    const files = all.filter((path) => texts.includes(extname(path)))
    expect(files.filter((path) => patterns.some((pattern) => pattern.test(read(path))))).toEqual([])
  })

  test('leaves nothing unfinished', () => {
    const marks = new RegExp(
      ['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'not ' + 'implemented', 'unimple' + 'mented'].join('|'),
    )
    const files = ['src', 'native', 'bench', 'examples', 'docs'].flatMap((folder) => listFiles(folder))
    expect(files.filter((path) => texts.includes(extname(path)) && marks.test(read(path)))).toEqual([])
  })

  test.each(all.filter((path) => basename(path) === 'package-lock.json'))('%s holds no download address', (path) => {
    expect(read(path)).not.toMatch(/"resolved": *"https?:/)
  })
})
