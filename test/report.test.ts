import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { lineChart, thinOut } from '../src/report/chart.js'
import { layerRows } from '../src/report/layers.js'
import type { ReportEpoch, ReportHistory, ReportOptions } from '../src/report/report.js'
import { renderReport, writeReport } from '../src/report/report.js'
import { escapeText, formatNumber, formatSeconds } from '../src/report/text.js'
import { linearAxis, logAxis, positionOn } from '../src/report/ticks.js'

describe('ticks', () => {
  test.each([
    [0.13, 0.87, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [-3, 12, [-5, 0, 5, 10, 15]],
    [0.0021, 0.0034, [0.002, 0.0025, 0.003, 0.0035]],
    [1e6, 5e6, [1e6, 2e6, 3e6, 4e6, 5e6]],
  ])('linear from %d to %d', (low, high, ticks) => {
    expect(linearAxis(low, high).ticks).toEqual(ticks)
  })

  test('a flat line has room and a mark at its value', () => {
    const axis = linearAxis(0.5, 0.5)
    expect(axis.low).toBeLessThan(0.5)
    expect(axis.high).toBeGreaterThan(0.5)
    expect(axis.ticks.length).toBeGreaterThan(1)
    expect(linearAxis(0, 0).ticks).toContain(0)
  })

  test.each([2, 3, 7, 9, 19, 30, 99, 100, 1234])('whole marks for epochs 1 to %d', (last) => {
    const { ticks, low, high } = linearAxis(1, last, { count: 8, whole: true, tight: true })
    expect([low, high]).toEqual([1, last])
    expect(ticks.every(Number.isInteger)).toBe(true)
    expect(ticks.length).toBeGreaterThan(0)
    expect(ticks.length).toBeLessThanOrEqual(10)
  })

  test.each([
    [0.003, 2, [0.01, 0.1, 1]],
    [1e-8, 1, [1e-8, 1e-6, 1e-4, 1e-2, 1]],
    [0.3, 4, [0.5, 1, 2]],
  ])('logarithmic from %d to %d', (low, high, ticks) => {
    expect(logAxis(low, high).ticks).toEqual(ticks)
  })

  test('every value has its place between the ends', () => {
    const linear = linearAxis(3, 17)
    expect(positionOn(linear, linear.low)).toBe(0)
    expect(positionOn(linear, linear.high)).toBe(1)
    const log = logAxis(0.01, 100)
    expect(positionOn(log, 1)).toBeCloseTo(0.5, 12)
  })
})

describe('text', () => {
  test.each([
    [0, '0'],
    [0.1 + 0.2, '0.3'],
    [1234567, '1,234,567'],
    [0.00001234, '1.234e−5'],
    [-2.5, '−2.5'],
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, '∞'],
  ])('number %d', (value, text) => {
    expect(formatNumber(value)).toBe(text)
  })

  test.each([
    [2.5e-5, '25 µs'],
    [0.0123, '12.3 ms'],
    [59.97, '1 min 00 s'],
    [3671, '1 h 01 min'],
    [Number.NaN, '–'],
  ])('%d seconds', (value, text) => {
    expect(formatSeconds(value)).toBe(text)
  })

  test('nothing of a text can end an attribute or open an element', () => {
    expect(escapeText(`<b a="1" c='2'>&\u0000`)).toBe('&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;\ufffd')
  })
})

describe('line chart', () => {
  const pathOf = (svg: string): string => /class="series c0" d="([^"]*)"/.exec(svg)?.[1] ?? ''

  test('draws a point for each value, between the axes', () => {
    const svg = lineChart({
      title: 'Loss',
      xLabel: 'epoch',
      series: [
        {
          name: 'a',
          points: [
            [1, 1],
            [2, 0.5],
            [3, 0],
          ],
        },
      ],
    })
    const places = [...pathOf(svg).matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)])
    expect(places).toHaveLength(3)
    expect(places.map(([, y]) => y)).toEqual([...places.map(([, y]) => y)].sort((a, b) => (a ?? 0) - (b ?? 0)))
    expect(svg).not.toContain('NaN')
  })

  test('leaves a gap where a value is not finite, and on a log scale where it is not positive', () => {
    const gap = [
      {
        name: 'a',
        points: [
          [1, 1],
          [2, 0.9],
          [3, Number.NaN],
          [4, 0.5],
          [5, 0.4],
        ] as const,
      },
    ]
    expect(pathOf(lineChart({ title: 'a', xLabel: 'x', series: gap })).match(/M/g)).toHaveLength(2)
    const zero = [
      {
        name: 'a',
        points: [
          [1, 1],
          [2, 0.9],
          [3, 0],
          [4, 0.5],
          [5, 0.4],
        ] as const,
      },
    ]
    expect(pathOf(lineChart({ title: 'a', xLabel: 'x', series: zero, log: true })).match(/M/g)).toHaveLength(2)
    expect(pathOf(lineChart({ title: 'a', xLabel: 'x', series: zero })).match(/M/g)).toHaveLength(1)
  })

  test('takes a log scale by itself for values of very different sizes', () => {
    const points = Array.from({ length: 10 }, (_, index) => [index, 10 ** -index] as const)
    expect(lineChart({ title: 'Loss', xLabel: 'x', series: [{ name: 'a', points }] })).toContain('Loss (log scale)')
  })

  test.each([[[]], [[[1, Number.NaN]]], [[[1, Number.POSITIVE_INFINITY]]]] as [number, number][][][])(
    'says so where there is nothing to draw: %j',
    (points) => {
      const svg = lineChart({ title: 'Loss', xLabel: 'x', series: [{ name: 'a', points }] })
      expect(svg).toContain('no finite values')
      expect(svg).not.toContain('NaN')
    },
  )

  test('one value alone is drawn', () => {
    const svg = lineChart({ title: 'a', xLabel: 'x', series: [{ name: 'a', points: [[1, 0.5]] }] })
    expect(pathOf(svg)).toMatch(/^M([\d.]+ [\d.]+)L\1$/)
  })

  test('thinning out keeps the ends, spikes and gaps', () => {
    const points = Array.from({ length: 100_000 }, (_, x) => [x, Math.sin(x / 1000)] as [number, number])
    points[33_333] = [33_333, 50]
    points[55_555] = [55_555, Number.NaN]
    const kept = thinOut(points, 600)
    expect(kept.length).toBeLessThan(1200)
    expect(kept[0]).toEqual(points[0])
    expect(kept.at(-1)).toEqual(points.at(-1))
    expect(kept).toContainEqual([33_333, 50])
    expect(kept.some(([, y]) => Number.isNaN(y))).toBe(true)
    expect(kept.every(([x], index) => index === 0 || x > (kept[index - 1]?.[0] ?? 0))).toBe(true)
  })
})

const model: ReportOptions['model'] = {
  spec: {
    inputs: 4,
    layers: [
      { kind: 'dense', units: 8, activation: { kind: 'leakyRelu', slope: 0.2 } },
      { kind: 'dropout', rate: 0.5 },
      {
        kind: 'residual',
        layers: [
          { kind: 'layerNorm', epsilon: 1e-5 },
          { kind: 'dense', units: 8, activation: { kind: 'relu' } },
        ],
      },
    ],
    heads: { digit: [{ kind: 'dense', units: 3, activation: { kind: 'identity' } }] },
  },
  tensors: [
    { name: 'layers.0.weight', shape: [8, 4] },
    { name: 'layers.0.bias', shape: [8] },
    { name: 'layers.2.layers.0.weight', shape: [8] },
    { name: 'layers.2.layers.0.bias', shape: [8] },
    { name: 'layers.2.layers.1.weight', shape: [8, 8] },
    { name: 'layers.2.layers.1.bias', shape: [8] },
    { name: 'heads.digit.0.weight', shape: [3, 8] },
    { name: 'heads.digit.0.bias', shape: [3] },
  ],
}

function historyOf(epochs: number, reason: ReportHistory['reason'] = 'completed'): ReportHistory {
  const records = Array.from({ length: epochs }, (_, index): ReportEpoch => {
    const epoch = index + 1
    const validation = { loss: 1.1 / epoch, heads: { digit: { loss: 1.1 / epoch, accuracy: 1 - 0.5 / epoch } } }
    const learningRate = 0.01 / epoch
    return {
      epoch,
      loss: 1 / epoch,
      validation,
      learningRate,
      samplesPerSecond: 1000,
      seconds: 0.1,
      updates: 10 * epoch,
      best: true,
    }
  })
  return { epochs: records, reason, bestEpoch: epochs, updates: 10 * epochs, seconds: epochs / 10 }
}

describe('report', () => {
  test('lists layers with the tensors that are theirs', () => {
    const rows = layerRows(model)
    expect(rows.map(({ name, parameters }) => [name, parameters])).toEqual([
      ['layers.0', 40],
      ['layers.1', 0],
      ['layers.2', 0],
      ['layers.2.layers.0', 16],
      ['layers.2.layers.1', 72],
      ['heads.digit.0', 27],
    ])
    expect(rows.map(({ outputs }) => outputs)).toEqual([8, 8, 8, 8, 8, 3])
    expect(rows[0]?.what).toBe('dense, leakyRelu (slope 0.2)')
  })

  test('is one page that loads nothing and runs nothing', () => {
    const html = renderReport({
      title: '</title><script>alert(1)</script>',
      model,
      history: historyOf(12),
      notes: '<img src=x>',
    })
    expect(html).not.toMatch(/<script|<img|<link|@import|url\(|\bon\w+=/)
    expect(html.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:/)
    expect(html).toContain('&lt;/title&gt;&lt;script&gt;')
    expect(html.match(/<svg/g)).toHaveLength(4)
    for (const tag of ['table', 'div', 'section', 'tr', 'td', 'svg', 'g', 'dl']) {
      const opened = html.match(new RegExp(`<${tag}[ >]`, 'g'))?.length ?? 0
      expect(html.match(new RegExp(`</${tag}>`, 'g'))?.length ?? 0, tag).toBe(opened)
    }
  })

  test('has every epoch, metrics of heads, settings and environment', () => {
    const settings = { batchSize: 32, optimizer: { kind: 'adam' }, classWeights: Array.from({ length: 30 }, () => 1) }
    const html = renderReport({
      model,
      history: historyOf(12),
      evaluation: { loss: 0.5 },
      settings,
      environment: { threads: 2 },
    })
    expect(html.match(/<tbody>/g)?.length).toBe(5)
    expect(html).toContain('digit.accuracy')
    expect(html).toContain('optimizer.kind')
    expect(html).toContain(process.version)
    for (let epoch = 1; epoch <= 12; epoch++) expect(html).toContain(`<td>${epoch}</td>`)
  })

  test('stays small for a long run', () => {
    const html = renderReport({ model, history: historyOf(20_000) })
    expect(html.length).toBeLessThan(300_000)
    expect(html).toContain('<td>20000</td>')
  })

  test.each([
    ['aborted', 'Aborted after 3 epochs'],
    ['notFinite', 'a value became infinite or NaN (update 31, layers.0.weight)'],
    ['earlyStopped', 'Stopped early after 3 epochs'],
    ['completed', 'Completed 3 epochs'],
  ] as const)('says how the run ended: %s', (reason, text) => {
    const notFinite = reason === 'notFinite' ? { notFinite: { step: 31, where: 'layers.0.weight' } } : {}
    expect(renderReport({ model, history: { ...historyOf(3, reason), ...notFinite } })).toContain(text)
  })

  test('a run without epochs or validation makes a report too', () => {
    expect(renderReport({ model, history: { ...historyOf(0, 'aborted'), bestEpoch: 0 } })).toContain(
      'Aborted after 0 epochs',
    )
    const plain = historyOf(2).epochs.map(({ validation: _, ...rest }) => rest)
    const html = renderReport({ model, history: { ...historyOf(2), epochs: plain } })
    expect(html).not.toContain('validation')
  })

  test('rejects what it does not know', () => {
    const wrong = { model, history: historyOf(1), tilte: 'a' } as unknown as ReportOptions
    expect(() => renderReport(wrong)).toThrow("report options: unknown option 'tilte'; did you mean 'title'?")
  })

  test('is written as a whole or not at all', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'krylov-report-'))
    try {
      await writeReport(join(folder, 'a.html'), { model, history: historyOf(2) })
      expect(await readFile(join(folder, 'a.html'), 'utf8')).toMatch(/^<!doctype html>.*<\/html>\n$/s)
      expect(await readdir(folder)).toEqual(['a.html'])
      await expect(writeReport(join(folder, 'none', 'a.html'), { model, history: historyOf(2) })).rejects.toMatchObject(
        {
          code: 'ERR_FILE',
        },
      )
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
