import { systemInfo } from '../index.js'
import { loadWithNotes } from './model-file.js'
import { columns } from './text.js'

export type InfoArguments = { readonly model?: string; readonly json?: boolean }

function show(value: unknown): string {
  return Array.isArray(value) ? value.join(', ') : String(value)
}

/** What this machine gives the library. */
function systemText(): string {
  const info = systemInfo()
  const rows = Object.entries(info).filter(([name, value]) => name !== 'isaNotice' || value !== '')
  return columns(
    rows.map(([name, value]) => [name, show(value)]),
    2,
  )
}

/** A model file: layers, tensors, and what it was trained on. */
async function modelInfo(path: string, json: boolean): Promise<string> {
  const { model, notes } = await loadWithNotes(path)
  try {
    const { tensors, spec, parameterCount } = model
    if (json) return JSON.stringify({ spec, parameterCount, tensors, ...notes })
    const rows = tensors.map(({ name, shape, size }) => [name, `[${shape.join(', ')}]`, size.toLocaleString('en-US')])
    const facts: string[][] = []
    if (notes.columns !== undefined) facts.push(['inputs', notes.columns.join(', ')])
    for (const [head, names] of Object.entries(notes.targets ?? {})) {
      facts.push([head === '' ? 'target' : `target of ${head}`, names.join(', ')])
    }
    for (const [head, names] of Object.entries(notes.classes ?? {})) {
      facts.push([head === '' ? 'classes' : `classes of ${head}`, names.join(', ')])
    }
    if (notes.loss !== undefined)
      facts.push(['loss', 'kind' in notes.loss ? String(notes.loss.kind) : JSON.stringify(notes.loss)])
    const parts = [model.summary(), columns([['tensor', 'shape', 'size'], ...rows], 2)]
    if (facts.length > 0) parts.push(columns(facts, 2))
    return parts.join('\n\n')
  } finally {
    model.dispose()
  }
}

/** `krylov info`: the system, or a model file. */
export async function infoCommand({ model, json = false }: InfoArguments): Promise<number> {
  if (model !== undefined) process.stdout.write(`${await modelInfo(model, json)}\n`)
  else process.stdout.write(`${json ? JSON.stringify(systemInfo()) : systemText()}\n`)
  return 0
}
