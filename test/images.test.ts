// Drawings of images and maps: the pixels, the page, what is refused.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inflateSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { createModel, dense, meanSquaredError, renderImages, renderReport, train, writeImages } from '../src/index.js'
import { encodePng } from '../src/report/png.js'

const options = {
  title: 'a < b',
  width: 3,
  height: 2,
  images: [
    [0, 0.5, 1, 0, 0, 0],
    [1, 1, 1, 1, 1, 0],
  ],
  maps: [
    [-2, 0, 1, 2, 0, 0],
    [0, 0, 0, 0, 0, 0],
  ],
  labels: ['first', ''],
}

/** Colours [pixels][3] of a PNG file without filters. */
function decoded(png: Buffer, width: number): number[][] {
  const length = png.readUInt32BE(33)
  expect(png.toString('latin1', 37, 41)).toBe('IDAT')
  const lines = inflateSync(png.subarray(41, 41 + length))
  const pixels: number[][] = []
  for (let at = 0; at < lines.length; at += 3 * width + 1) {
    expect(lines[at]).toBe(0)
    for (let x = 0; x < width; x++) pixels.push([...lines.subarray(at + 1 + 3 * x, at + 4 + 3 * x)])
  }
  return pixels
}

function picturesOf(svg: string): number[][][] {
  return [...svg.matchAll(/base64,([^"]+)"/g)].map((match) => decoded(Buffer.from(match[1] ?? '', 'base64'), 3))
}

test('a PNG file has the parts that the format wants', () => {
  const png = encodePng(
    Uint8Array.from({ length: 12 }, (_, i) => i),
    2,
    2,
  )
  expect(png.subarray(0, 8).toString('hex')).toBe('89504e470d0a1a0a')
  // Length, name, width, height, 8 bits, colour; the check sum as zlib's own tools give it for these 17 bytes.
  expect(png.subarray(8, 33).toString('hex')).toBe('0000000d4948445200000002000000020802000000fdd49a73')
  expect(png.subarray(-12).toString('hex')).toBe('0000000049454e44ae426082')
  expect(decoded(png, 2)).toEqual([
    [0, 1, 2],
    [3, 4, 5],
    [6, 7, 8],
    [9, 10, 11],
  ])
})

test('image, map and both of each sample', () => {
  const svg = renderImages(options)
  const [image, map, both, second, empty] = picturesOf(svg)
  const grey = (value: number): number[] => [value, value, value]
  expect(image).toEqual([0, 128, 255, 0, 0, 0].map(grey))
  expect(map?.[0]).toEqual([33, 102, 172])
  expect(map?.[3]).toEqual([178, 24, 43])
  expect(map?.[1]).toEqual(grey(247))
  expect(map?.[2]).toEqual([213, 136, 145])
  expect(both?.[0]).toEqual([33, 102, 172])
  expect(both?.[1]).toEqual(grey(128))
  expect(second?.[5]).toEqual(grey(0))
  expect(empty).toEqual(Array(6).fill(grey(247)))
  expect(picturesOf(svg)).toHaveLength(6)
  expect(svg).toContain('a &lt; b')
  expect(svg).toContain('first · 2')
  expect(svg).toMatch(/^<svg class="images" .*<\/svg>\n$/s)
})

test('one range for all maps', () => {
  const maps = [
    [4, 0, 0, 0, 0, 0],
    [2, 0, 0, 0, 0, 0],
  ]
  expect(picturesOf(renderImages({ ...options, maps }))[4]?.[0]).toEqual([178, 24, 43])
  expect(picturesOf(renderImages({ ...options, maps, range: 'all' }))[4]?.[0]).toEqual([213, 136, 145])
})

test('a drawing is written as a file, and is part of a report that may load nothing else', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'krylov-'))
  try {
    await writeImages(join(folder, 'maps.svg'), options)
    expect(await readFile(join(folder, 'maps.svg'), 'utf8')).toBe(renderImages(options))
  } finally {
    await rm(folder, { recursive: true })
  }
  const model = createModel({ inputs: 2, layers: [dense(1)] })
  const history = await train(model, { inputs: [[1, 2]], targets: [[1]] }, { loss: meanSquaredError(), epochs: 1 })
  const page = renderReport({ model, history, images: [options] })
  expect(page).toContain(renderImages(options).trim())
  expect(page).toContain("default-src 'none'; img-src data:; style-src")
  expect(renderReport({ model, history })).toContain("default-src 'none'; style-src")
  expect(() => renderReport({ model, history, images: [{ ...options, width: 4 }] })).toThrow(/images\[0\]\.images/)
})

test.each([
  [{ width: 0 }, /width: expected an integer from 1/],
  [{ maps: [[1, 2, 3, 4, 5, 6]] }, /maps: expected shape \[2, 6\]/],
  [{ labels: ['one'] }, /labels: expected length 2/],
  [{ range: 'every' as 'each' }, /range: expected 'each' or 'all'/],
])('%j is refused', (wrong, message) => {
  expect(() => renderImages({ ...options, ...wrong })).toThrow(message)
})
