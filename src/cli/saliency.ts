import type { AnyModel, ImagesOptions, Model } from '../index.js'
import { saliency } from '../index.js'
import type { Samples } from './data.js'
import { ConfigError } from './problems.js'

/** What `output.saliency` of a configuration asks for. */
export type SaliencyOutput = { readonly width: number; readonly height: number; readonly samples?: number | undefined }

const defaultSamples = 8

/** Whether the inputs are images of that size: told before the training. */
export function checkSaliency(saliency: SaliencyOutput | undefined, columns: number): void {
  if (saliency === undefined || saliency.width * saliency.height === columns) return
  const received = saliency.width * saliency.height
  throw new ConfigError('config', [
    { path: 'output.saliency', message: `expected width * height to be the ${columns} inputs, received ${received}` },
  ])
}

/** Drawings of the first samples with what their largest output depends on: by its gradient, and by the first layer's. */
export function saliencyDrawings(
  model: AnyModel,
  { inputs }: Samples,
  { width, height, samples = defaultSamples }: SaliencyOutput,
): ImagesOptions[] {
  const [rows, columns] = inputs.shape
  const count = Math.min(rows, samples)
  const images = { data: inputs.data.subarray(0, count * columns), shape: [count, columns] as const }
  const drawing = (title: string, method: 'gradientInput' | 'columnNorm'): ImagesOptions => {
    const { maps, targets } = saliency(model as unknown as Model, images, { method })
    return { title, width, height, images, maps, labels: Array.from(targets, (target) => `output ${target}`) }
  }
  const [first] = model.tensors
  const reads = first?.shape.length === 2
  return [
    drawing('Gradient times input', 'gradientInput'),
    ...(reads ? [drawing('NormGrad of the first layer, pixel by pixel', 'columnNorm')] : []),
  ]
}
