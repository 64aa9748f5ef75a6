import { formatNumber } from '../report/text.js'
import type { Diagnosis } from './result.js'

/*
 * A diagnosis as lines for a terminal.
 */

/** Rows as columns of equal width, numbers to the right. */
function table(rows: readonly (readonly string[])[], indent = '  '): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length)
  }
  const pad = (cell: string, index: number): string =>
    index === 0 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0)
  return rows.map((row) => indent + row.map(pad).join('  ').trimEnd())
}

const short = (value: number): string => formatNumber(value, 3)
const percent = (share: number): string => `${short(100 * share)} %`

export function layerRows({ layers }: Diagnosis): string[][] {
  return layers.map(({ name, gradientNorm, meanSampleNorm, deltaNorm, units }) => [
    name,
    short(gradientNorm),
    short(meanSampleNorm),
    short(deltaNorm),
    units === undefined ? '' : `${units.quiet} of ${units.count} ${units.activation === 'relu' ? 'dead' : 'saturated'}`,
  ])
}

export const layerHead = ['layer', '‖ḡ‖', 'mean ‖gᵢ‖', 'mean ‖δᵢ‖', 'units'] as const

export function numberRows(diagnosis: Diagnosis): string[][] {
  const { loss, gradientNorm, variance, noiseScale, batchSize, norms, cosines, deltaRatio } = diagnosis
  const { p10, p50, p90, p99 } = norms.quantiles
  return [
    ['loss', short(loss)],
    ['gradient norm', short(gradientNorm)],
    ['gradient variance', short(variance)],
    ['noise scale', Number.isNaN(noiseScale) ? 'undefined' : short(noiseScale)],
    ...(batchSize === undefined ? [] : [['batch size', String(batchSize)]]),
    ['size of gradients, first layer over output', short(deltaRatio)],
    ['sample norms: mean', short(norms.mean)],
    ['sample norms: 10, 50, 90, 99 %', [p10, p50, p90, p99].map(short).join(', ')],
    ['sample norms: largest', short(norms.largest)],
    ['share of the top 1 %', percent(norms.topShare)],
    ['cosine of samples: mean', short(cosines.mean)],
    ['cosine of samples: below 0', percent(cosines.negativeShare)],
    ...(cosines.within === undefined ? [] : [['cosine within classes', short(cosines.within)]]),
    ...(cosines.between === undefined ? [] : [['cosine between classes', short(cosines.between)]]),
  ]
}

export function taskRows({ taskCosines }: Diagnosis): string[][] {
  if (taskCosines === undefined) return []
  const { heads, data } = taskCosines
  return heads.map((head, i) => [head, ...heads.map((_, j) => short(data[i * heads.length + j] as number))])
}

export function classRows({ classes }: Diagnosis['outputs'][number]): string[][] {
  return (classes ?? []).map(({ label, samples, share, meanLoss }) => [
    String(label),
    String(samples),
    percent(share),
    samples === 0 ? '–' : short(meanLoss),
  ])
}

/**
 * A diagnosis in plain text: what stands out first, then the numbers.
 *
 * @example console.log(diagnosisText(await diagnose(model, data, { loss: softmaxCrossEntropy() })))
 */
export function diagnosisText(diagnosis: Diagnosis): string {
  const { samples, parameterCount, findings, outputs } = diagnosis
  const lines = [`${samples} samples, ${parameterCount} parameters`, '']
  if (findings.length === 0) lines.push('Nothing stands out.')
  findings.forEach(({ text, suggestion }, index) => {
    lines.push(`${index + 1}. ${text}`, `   ${suggestion}`)
  })
  lines.push(
    '',
    'Numbers',
    ...table(numberRows(diagnosis)),
    '',
    'Layers',
    ...table([[...layerHead], ...layerRows(diagnosis)]),
  )
  const tasks = taskRows(diagnosis)
  if (tasks.length > 0) {
    lines.push('', 'Cosines between tasks', ...table([['', ...(diagnosis.taskCosines?.heads ?? [])], ...tasks]))
  }
  for (const output of outputs) {
    const of = output.head === '' ? '' : ` of ${output.head}`
    const classes = classRows(output)
    if (classes.length > 0) {
      lines.push('', `Classes${of}`, ...table([['class', 'samples', 'share', 'mean loss'], ...classes]))
    }
    if (output.largestLosses.length === 0) continue
    lines.push('', `Largest losses${of}`)
    lines.push(
      ...table([
        ['row', 'loss', ...(classes.length > 0 ? ['label'] : [])],
        ...output.largestLosses.map(({ row, loss, label }) => [
          String(row),
          short(loss),
          ...(label === undefined ? [] : [String(label)]),
        ]),
      ]),
    )
  }
  return lines.join('\n')
}
