import { isRecord } from '../internal/validate.js'

/** What the layer table needs of a model: its spec and its tensors, both as the public interface gives them. */
export type DescribedModel = {
  readonly spec: object
  readonly tensors: readonly { readonly name: string; readonly shape: readonly number[] }[]
}

/** One line of the layer table. */
export type LayerRow = {
  /** The layer's place, as in tensor names: `layers.2`, `heads.digit.0`. */
  readonly name: string
  readonly depth: number
  readonly what: string
  /** Width of what leaves the layer; undefined where the spec does not tell. */
  readonly outputs: number | undefined
  readonly tensors: string
  readonly parameters: number
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}

/** `leakyRelu (slope 0.2)` for an activation with options, its name otherwise. */
function nameWithOptions(value: unknown): string {
  if (typeof value === 'string') return value
  if (!isRecord(value)) return ''
  const options = Object.entries(value).filter(([key, option]) => key !== 'kind' && typeof option !== 'object')
  const list = options.map(([key, option]) => `${key} ${String(option)}`).join(', ')
  return `${String(value.kind)}${list === '' ? '' : ` (${list})`}`
}

function describeLayer(layer: Record<string, unknown>): string {
  const kind = typeof layer.kind === 'string' ? layer.kind : 'dense'
  if (kind !== 'dense') return nameWithOptions({ ...layer, kind })
  const activation = nameWithOptions(layer.activation)
  const parts = ['dense']
  if (activation !== '' && activation !== 'identity') parts.push(activation)
  if (layer.bias === false) parts.push('no bias')
  return parts.join(', ')
}

/** The rows of the layer table, blocks before the layers inside them. */
export function layerRows(model: DescribedModel): LayerRow[] {
  const rows: LayerRow[] = []
  const visit = (layers: unknown, prefix: string, depth: number, inputs: number | undefined): number | undefined => {
    let width = inputs
    if (!Array.isArray(layers)) return width
    layers.forEach((layer: unknown, index) => {
      if (!isRecord(layer)) return
      const name = `${prefix}.${index}`
      if (typeof layer.units === 'number') width = layer.units
      const nested = Array.isArray(layer.layers)
      // A block's tensors are listed with the layers inside it.
      const own = model.tensors.filter(
        (tensor) => tensor.name.startsWith(`${name}.`) && !tensor.name.slice(name.length + 1).includes('.'),
      )
      rows.push({
        name,
        depth,
        what: describeLayer(layer),
        outputs: width,
        tensors: own.map((tensor) => `${tensor.name.slice(name.length + 1)} [${tensor.shape.join(', ')}]`).join(', '),
        parameters: own.reduce((sum, tensor) => sum + sizeOf(tensor.shape), 0),
      })
      if (nested) visit(layer.layers, `${name}.layers`, depth + 1, width)
    })
    return width
  }
  const spec: unknown = model.spec
  if (!isRecord(spec)) return rows
  const trunk = visit(spec.layers, 'layers', 0, typeof spec.inputs === 'number' ? spec.inputs : undefined)
  if (isRecord(spec.heads)) {
    for (const [key, head] of Object.entries(spec.heads)) {
      visit(isRecord(head) ? head.layers : head, `heads.${key}`, 0, trunk)
    }
  }
  return rows
}

/** How many numbers a model trains. */
export function countParameters(model: DescribedModel): number {
  return model.tensors.reduce((sum, tensor) => sum + sizeOf(tensor.shape), 0)
}
