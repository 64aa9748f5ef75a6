// What the documentation says is there, and what it shows runs.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import * as krylov from '../src/index.js'
import { activationNames, adam, adamw, errorCodes, minimizerKinds, optimizerKinds } from '../src/index.js'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const pages = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
].sort()
const examples = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.js'))

/** A page without its code blocks. */
const prose = (page: string): string => read(page).replace(/^```[\s\S]*?^```/gm, '')

const startsWithAny = (text: string, starts: readonly string[]): boolean =>
  starts.some((start) => text.startsWith(start))

describe('the index of the interface', () => {
  const index = read('docs/api.md')
  const listed = new Set([...index.matchAll(/`(\w+)(?:\([^`]*\))?`/g)].map((match) => match[1] ?? ''))
  const entry = read('src/index.ts')
  const parts = [...entry.matchAll(/^export \* from '\.\/(.*)\.js'/gm)].map(([, path]) => read(`src/${path}.ts`))
  const exported = [...[entry, ...parts].join('\n').matchAll(/^export (?:type )?\{([^}]*)\}/gm)]
    .flatMap((match) => (match[1] ?? '').split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '')

  test('lists every export', () => {
    expect(exported.length).toBeGreaterThan(100)
    expect(exported.filter((name) => !listed.has(name))).toEqual([])
  })

  test('lists nothing else', () => {
    // Members of a class, and words that explain.
    const others = new Set(['abort', 'state', 'epochs', 'ended', 'dispose', 'Float32Array', 'Float64Array'])
    expect([...listed].filter((name) => !exported.includes(name) && !others.has(name))).toEqual([])
  })

  test.each(exported)('%s is explained on a page', (name) => {
    const word = new RegExp(`\\b${name}\\b`)
    const homes = pages.filter((page) => page.startsWith('docs/') && page !== 'docs/api.md')
    // Names that say all there is to say, beside what they belong to.
    const plain = ['ErrorCode', 'FloatArray', 'PlainActivationName', 'ActivationName', 'InitialiserKind']
    if (!plain.includes(name)) expect(homes.filter((page) => word.test(read(page)))).not.toEqual([])
  })
})

describe('names and defaults', () => {
  const models = read('docs/models-and-losses.md')
  const optimizers = read('docs/optimizers.md')

  test.each(activationNames)('activation %s', (name) => {
    expect(models).toContain(`| \`${name}\` | `)
  })

  test.each(errorCodes)('code %s', (code) => {
    expect(read('docs/getting-started.md')).toContain(`| \`${code}\` | `)
  })

  /** Every option by its path, as the tables name them. */
  function optionsOf(spec: object, path = ''): [string, unknown][] {
    return Object.entries(spec).flatMap(([name, value]): [string, unknown][] => {
      if (path === '' && name === 'kind') return []
      const inner = typeof value === 'object' && value !== null
      return inner ? optionsOf(value, `${path}${name}.`) : [[`${path}${name}`, value]]
    })
  }
  /** What a cell of a table means: true, 'word', 1e-3, 2/3. */
  function meaning(cell: string): unknown {
    const text = cell.replaceAll('`', '').trim()
    if (text === 'true' || text === 'false') return text === 'true'
    if (text.startsWith("'")) return text.slice(1, -1)
    const [over = Number.NaN, under = 1] = text.split('/').map(Number)
    return over / under
  }

  test.each(optimizerKinds)('optimizer %s: its section has every option with its default', (kind) => {
    const page = minimizerKinds.some((name) => name === kind) ? read('docs/second-order-optimizers.md') : optimizers
    const section = page.split(/^## /m).find((part) => startsWithAny(part, [`${kind}\n`])) ?? ''
    expect(section).not.toBe('')
    if (kind === 'adamw') {
      const { kind: _, weightDecay, ...rest } = adamw()
      const { kind: __, weightDecay: ___, ...same } = adam()
      expect(rest).toEqual(same)
      expect(section).toContain(`\`weightDecay\` ${String(weightDecay)}`)
      return
    }
    const factory = new Map<string, unknown>(Object.entries(krylov)).get(kind) as () => object
    for (const [option, value] of optionsOf(factory())) {
      const given = section.match(new RegExp(`^\\| \`${option}\` \\| ([^|]+) \\|`, 'm'))?.[1] ?? 'none'
      expect([option, meaning(given)]).toEqual([option, value === 'none' ? false : value])
    }
  })
})

describe('pages', () => {
  /** The anchors of a page, as the common renderers of Markdown make them. */
  const anchors = (page: string): string[] =>
    [...prose(page).matchAll(/^#+ (.+)$/gm)].map((match) =>
      (match[1] ?? '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    )

  test.each(pages)('links of %s lead somewhere', (page) => {
    const broken = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1] ?? '')
      .filter((link) => !/^https?:/.test(link))
      .filter((link) => {
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? page : join(dirname(page), path)
        if (!existsSync(join(root, target))) return true
        return anchor !== undefined && !anchors(target).includes(anchor)
      })
    expect(broken).toEqual([])
  })

  test.each(pages)('files that %s names exist', (page) => {
    const folders = ['native/', 'src/', 'test/', 'scripts/', 'bench/', 'examples/', 'docs/']
    const named = [...prose(page).matchAll(/`([^`\s]+)`/g)]
      .map((match) => match[1] ?? '')
      .filter((path) => startsWithAny(path, folders) && !/[<*{]/.test(path))
    // Benchmarks write their results there.
    expect(named.filter((path) => !existsSync(join(root, path)) && path !== 'bench/results/')).toEqual([])
  })

  test.each(pages)('commands that %s names exist', (page) => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
    const commands = [...read(page).matchAll(/npm run ([\w:-]+)/g)].map((match) => match[1] ?? '')
    expect(commands.filter((name) => scripts[name] === undefined)).toEqual([])
  })

  test.each(pages)('%s is finished', (page) => {
    const marks = ['TO' + 'DO', 'FIX' + 'ME', 'T' + 'BD', 'coming ' + 'soon', 'lorem ' + 'ipsum', 'place' + 'holder']
    expect(read(page).match(new RegExp(`\\b(${marks.join('|')})\\b`, 'i'))?.[0]).toBeUndefined()
  })

  test('every page is reached from the README', () => {
    const seen = new Set<string>()
    const visit = (page: string): void => {
      if (seen.has(page) || !page.endsWith('.md') || !existsSync(join(root, page))) return
      seen.add(page)
      for (const match of prose(page).matchAll(/\]\(([^)\s#]+)/g)) visit(join(dirname(page), match[1] ?? ''))
    }
    visit('README.md')
    expect(pages.filter((page) => !seen.has(page))).toEqual([])
  })
})

/**
 * The programs of a page: a block marked `js run` begins one, `js continued` goes on with it. Each starts at a line of
 * the page.
 */
function programsOf(page: string): { name: string; source: string }[] {
  const programs: { name: string; source: string }[] = []
  for (const match of read(page).matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)) {
    const [, info = '', source = ''] = match
    const line = read(page).slice(0, match.index).split('\n').length
    const last = programs.at(-1)
    if (info === 'js run') programs.push({ name: `${page}:${line}`, source })
    else if (info === 'js continued' && last !== undefined) last.source += source
    else if (/^(js|javascript|ts|typescript)\b/.test(info)) throw new Error(`${page}:${line}: unknown mark '${info}'`)
  }
  return programs
}

describe('programs', () => {
  // Inside the package, so that its own name resolves; each in a folder of its own for what it writes.
  const folder = join(root, 'build/docs')
  const programs = pages.flatMap(programsOf)

  beforeAll(() => {
    rmSync(folder, { recursive: true, force: true })
    expect(existsSync(join(root, 'dist/index.js')), 'dist/ is there: npm run build').toBe(true)
  })

  function runIn(place: string, file: string): void {
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], { cwd: place, encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).not.toMatch(/\bNaN\b|\bundefined\b/)
  }

  test('there are some', () => {
    expect(programs.length).toBeGreaterThan(10)
  })

  test.each(programs)('$name runs', ({ name, source }) => {
    const place = join(folder, name.replace(/\W+/g, '-'))
    mkdirSync(place, { recursive: true })
    writeFileSync(join(place, 'program.mjs'), source)
    runIn(place, 'program.mjs')
  })

  test.each(examples)('examples/%s runs', (name) => {
    const place = join(folder, `example-${name}`)
    mkdirSync(place, { recursive: true })
    runIn(place, join(root, 'examples', name))
  })
})
