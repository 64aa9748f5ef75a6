import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ChartOptions } from '../src/index.js'
import { KrylovError, renderChart, writeChart } from '../src/index.js'

const options: ChartOptions = {
  title: 'Gap < 1',
  xLabel: 'iteration',
  log: true,
  series: [
    {
      name: 'a',
      points: [
        [0, 1],
        [1, 0.1],
        [2, 0.01],
      ],
    },
    { name: 'b', points: [[0, 2]], dashed: true },
  ],
}

test('a chart is one SVG element with its own style', () => {
  const svg = renderChart(options)
  expect(svg).toMatch(/^<svg width="640" height="300" .*<style>.*<\/style>.*<\/svg>\n$/s)
  expect(svg).toContain('Gap &lt; 1 (log scale)')
  expect(svg).toContain('class="series c1 dashed"')
  expect(svg).not.toMatch(/<script|http:\/\/(?!www\.w3\.org\/2000\/svg)/)
})

test('a chart is written as a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'krylov-'))
  try {
    const path = join(folder, 'gap.svg')
    await writeChart(path, options)
    expect(await readFile(path, 'utf8')).toBe(renderChart(options))
  } finally {
    await rm(folder, { recursive: true })
  }
})

test.each([
  [{ ...options, titel: 'x' }, /titel/],
  [{ ...options, title: 3 }, /title/],
  [{ ...options, series: [{ name: 'a', points: [[1]] }] }, /series\[0\]\.points\[0\]/],
  [{ ...options, width: 3 }, /width/],
  [{ ...options, legend: 'last' }, /legend.*'lastValues'/],
  [{ ...options, marker: 3 }, /marker/],
  [{ ...options, marker: { x: 'a', label: 'b' } }, /marker\.x/],
  [{ ...options, marker: { x: 1, label: 2 } }, /marker\.label/],
])('refuses what it cannot draw: %#', (wrong, named) => {
  expect(() => renderChart(wrong as unknown as ChartOptions)).toThrow(KrylovError)
  expect(() => renderChart(wrong as unknown as ChartOptions)).toThrow(named)
})

/** Every text of a drawing with its left and right end, at the widths that a sans-serif font has at most. */
function extents(svg: string): { text: string; from: number; to: number }[] {
  return [...svg.matchAll(/<text ([^>]*)>([^<]*)<\/text>/g)].map(([, attributes = '', text = '']) => {
    const x = Number(/ x="([^"]*)"/.exec(` ${attributes}`)?.[1])
    const size = attributes.includes('"title"') ? 14 : 12
    const width = 0.56 * size * text.length
    const anchor = /text-anchor="(\w+)"/.exec(attributes)?.[1]
    const from = anchor === 'end' ? x - width : anchor === 'middle' ? x - width / 2 : x
    return { text, from, to: from + width }
  })
}

const long = 'the density of the eigenvalues of the curvature after the last epoch of training'
test.each<[string, ChartOptions]>([
  ['a long title', { ...options, title: `${long} ${long}` }],
  ['a long label', { ...options, xLabel: `${long} ${long}` }],
  ['a long name', { ...options, series: [{ name: `${long} ${long}`, points: [[0, 1]] }] }],
  ['a long marker', { ...options, marker: { x: 1, label: `${long} ${long}` } }],
  [
    'large numbers',
    {
      ...options,
      series: [
        {
          name: 'a',
          points: [
            [0, 1e8],
            [1e6, 2e8],
          ],
        },
      ],
      legend: 'lastValues',
    },
  ],
  [
    'many names',
    { ...options, series: Array.from({ length: 40 }, (_, i) => ({ name: `epoch ${i}`, points: [[i, 1]] })) },
  ],
  ['a small drawing', { ...options, title: long, width: 200, height: 150, legend: 'lastValues' }],
])('%s stays inside the drawing', (_, given) => {
  const svg = renderChart(given)
  for (const { text, from, to } of extents(svg)) {
    expect(from, text).toBeGreaterThanOrEqual(0)
    expect(to, text).toBeLessThanOrEqual(given.width ?? 640)
  }
})

test('a legend that has no room says what it leaves out', () => {
  const series = Array.from({ length: 60 }, (_, i) => ({ name: `after epoch ${i}`, points: [[i, 1]] as const }))
  const svg = renderChart({ ...options, series })
  expect(svg).toMatch(/>and \d+ more</)
  const named = [...svg.matchAll(/class="legend"[^>]*>after epoch/g)].length
  expect(svg).toContain(`>and ${60 - named} more<`)
  // The plot keeps the lower half.
  const tops = [...svg.matchAll(/class="grid"[^>]* y1="([^"]*)"/g)].map(([, y]) => Number(y))
  expect(Math.min(...tops)).toBeLessThan(170)
})

test('a legend has names, and last values where they are asked for', () => {
  expect(renderChart(options)).toMatch(/class="legend"[^>]*>a</)
  expect(renderChart({ ...options, legend: 'lastValues' })).toMatch(/class="legend"[^>]*>a 0\.01</)
})
