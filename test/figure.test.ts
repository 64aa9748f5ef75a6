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
])('refuses what it cannot draw: %#', (wrong, named) => {
  expect(() => renderChart(wrong as unknown as ChartOptions)).toThrow(KrylovError)
  expect(() => renderChart(wrong as unknown as ChartOptions)).toThrow(named)
})
