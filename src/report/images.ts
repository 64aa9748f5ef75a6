import type { Matrix, MatrixLike } from '../data/matrix.js'
import { toMatrix } from '../data/matrix.js'
import { writeFileAtomically } from '../formats/atomic-file.js'
import { arrayOf, checkKnownKeys, integerInRange, oneOf, optional, string } from '../internal/validate.js'
import { encodePng } from './png.js'
import { escapeText, formatNumber } from './text.js'

/** Grey images with a map over their pixels each, such as `saliency` gives. */
export type ImagesOptions = {
  /** Default 'Saliency'. */
  readonly title?: string
  /** Pixels of an image across. */
  readonly width: number
  /** Pixels of an image down. */
  readonly height: number
  /** [images, height · width], row by row; the smallest value of all is black, the largest white. */
  readonly images: MatrixLike
  /** [images, height · width] */
  readonly maps: MatrixLike
  /** A caption for each image. */
  readonly labels?: readonly string[]
  /** Full colour at the largest size in `'each'` map (default) or in `'all'` of them. */
  readonly range?: 'each' | 'all'
  /** Images beside each other; default 4. */
  readonly columns?: number
}

type Picture = (value: number, map: number) => readonly [number, number, number]
type Checked = {
  readonly title: string
  readonly width: number
  readonly height: number
  readonly images: Matrix
  readonly maps: Matrix
  readonly labels: readonly string[]
  readonly range: 'each' | 'all'
  readonly columns: number
}

const optionNames = ['title', 'width', 'height', 'images', 'maps', 'labels', 'range', 'columns']
const mostPixels = 4096
/** Of a picture on the page, of the space between two, and of a line of text. */
const pictureSize = 84
const gap = 4
const textHeight = 20
const positive = [178, 24, 43] as const
const negative = [33, 102, 172] as const
const neutral = 247

function checked(options: ImagesOptions): Checked {
  checkKnownKeys(options, optionNames, 'images options')
  const width = integerInRange(options.width, 'width', { min: 1, max: mostPixels })
  const height = integerInRange(options.height, 'height', { min: 1, max: mostPixels })
  const images = toMatrix(options.images, 'images', { columns: width * height })
  const rows = images.shape[0]
  return {
    title: optional(options.title, 'Saliency', (value) => string(value, 'title')),
    width,
    height,
    images,
    maps: toMatrix(options.maps, 'maps', { columns: width * height, rows }),
    labels: optional(options.labels, [], (value) =>
      arrayOf(value, 'labels', (item, path) => string(item, path, { empty: true }), { length: rows }),
    ),
    range: oneOf(options.range ?? 'each', 'range', ['each', 'all']),
    columns: optional(options.columns, 4, (value) => integerInRange(value, 'columns', { min: 1, max: 64 })),
  }
}

function extent(values: ArrayLike<number>): { readonly low: number; readonly high: number; readonly size: number } {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (let index = 0; index < values.length; index++) {
    low = Math.min(low, values[index] as number)
    high = Math.max(high, values[index] as number)
  }
  return { low, high, size: Math.max(-low, high, 0) }
}

/** From one number to another. */
function mixed(from: number, to: number, part: number): number {
  return Math.round(from + part * (to - from))
}

function coloured(base: number, map: number): readonly [number, number, number] {
  const [red, green, blue] = map < 0 ? negative : positive
  const part = Math.abs(map)
  return [mixed(base, red, part), mixed(base, green, part), mixed(base, blue, part)]
}

const pictures: readonly Picture[] = [
  (value) => [mixed(0, 255, value), mixed(0, 255, value), mixed(0, 255, value)],
  (_, map) => coloured(neutral, map),
  (value, map) => coloured(mixed(0, 255, value), map),
]

/** The SVG drawing of checked images. */
function drawing(options: Checked): string {
  const { width, height, images, maps, labels, range } = options
  const [count, pixels] = images.shape
  const columns = Math.max(1, Math.min(options.columns, count))
  const down = Math.max(1, Math.round((pictureSize * height) / width))
  const tileWidth = pictures.length * (pictureSize + gap) + 3 * gap
  const tileHeight = down + textHeight + 2 * gap
  const total = { width: columns * tileWidth, height: Math.ceil(count / columns) * tileHeight + 2 * textHeight }
  const grey = extent(images.data)
  const common = extent(maps.data).size
  const parts: string[] = []
  for (let row = 0; row < count; row++) {
    const image = images.data.subarray(row * pixels, (row + 1) * pixels)
    const map = maps.data.subarray(row * pixels, (row + 1) * pixels)
    const limit = range === 'each' ? extent(map).size : common
    const x = (row % columns) * tileWidth
    const y = Math.floor(row / columns) * tileHeight + 2 * textHeight
    const label = labels[row] ?? ''
    const caption = `${label}${label === '' ? '' : ' · '}${formatNumber(limit, 3)}`
    parts.push(`<text x="${x}" y="${y + 14}">${escapeText(caption)}</text>`)
    pictures.forEach((picture, index) => {
      const bytes = new Uint8Array(3 * pixels)
      for (let p = 0; p < pixels; p++) {
        const value = grey.high > grey.low ? ((image[p] as number) - grey.low) / (grey.high - grey.low) : 0
        bytes.set(picture(value, limit > 0 ? (map[p] as number) / limit : 0), 3 * p)
      }
      const data = encodePng(bytes, width, height).toString('base64')
      const place = `x="${x + index * (pictureSize + gap)}" y="${y + textHeight}" width="${pictureSize}" height="${down}"`
      parts.push(`<image ${place} preserveAspectRatio="none" href="data:image/png;base64,${data}"/>`)
    })
  }
  const size = `width="${total.width}" height="${total.height}" viewBox="0 0 ${total.width} ${total.height}"`
  const help = 'Image, map, both. Red: for the output; blue: against it. The number is full colour.'
  return [
    `<svg class="images" xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${escapeText(options.title)}">`,
    '<style>.images{color:#1f2328;font:12px system-ui,sans-serif;max-width:100%;height:auto}.images text{fill:currentColor}',
    '.images image{image-rendering:pixelated}@media (prefers-color-scheme:dark){.images{color:#e6edf3}}</style>',
    `<text x="0" y="15" font-size="14" font-weight="600">${escapeText(options.title)}</text>`,
    `<text x="0" y="33">${help}</text>`,
    ...parts,
    '</svg>',
  ].join('')
}

/**
 * Draws images and maps over them as an SVG file, complete in itself: of each sample the image, the map (red above 0, blue
 * below, white at 0) and the map over the image.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE
 * @example
 * const { maps } = saliency(model, images, { method: 'integratedGradients' })
 * const svg = renderImages({ width: 28, height: 28, images, maps })
 */
export function renderImages(options: ImagesOptions): string {
  return `${drawing(checked(options))}\n`
}

/**
 * Writes such a drawing as an SVG file, replacing an existing file only as a whole; see `renderImages`.
 *
 * @throws KrylovError ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_NOT_FINITE, ERR_FILE
 */
export async function writeImages(path: string, options: ImagesOptions): Promise<void> {
  string(path, 'path')
  await writeFileAtomically(path, [new TextEncoder().encode(renderImages(options))])
}
