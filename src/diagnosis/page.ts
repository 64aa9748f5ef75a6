import { writeFileAtomically } from '../formats/atomic-file.js'
import { checkKnownKeys, optional, record, string } from '../internal/validate.js'
import { lineChart } from '../report/chart.js'
import { htmlPage } from '../report/page.js'
import { escapeText } from '../report/text.js'
import type { Diagnosis } from './result.js'
import { classRows, layerHead, layerRows, numberRows, taskRows } from './text.js'

export type DiagnosisPageOptions = {
  /** Heading of the page; default 'Diagnosis'. */
  readonly title?: string
}

const heading = (text: string): string => `<h2>${escapeText(text)}</h2>`

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cell = (tag: string, text: string, index: number): string =>
    `<${tag}${index === 0 ? ' class="text"' : ''}>${escapeText(text)}</${tag}>`
  const body = rows.map((row) => `<tr>${row.map((text, index) => cell('td', text, index)).join('')}</tr>`).join('')
  const top =
    head.length === 0 ? '' : `<thead><tr>${head.map((text, index) => cell('th', text, index)).join('')}</tr></thead>`
  return `<div class="panel scroll" tabindex="0"><table>${top}<tbody>${body}</tbody></table></div>`
}

function findings(diagnosis: Diagnosis): string {
  if (diagnosis.findings.length === 0) return '<p class="outcome">Nothing stands out.</p>'
  return diagnosis.findings
    .map(
      ({ text, suggestion }) =>
        `<div class="outcome warn"><p>${escapeText(text)}</p><p>${escapeText(suggestion)}</p></div>`,
    )
    .join('')
}

function drawings(diagnosis: Diagnosis): string {
  const { layers, norms } = diagnosis
  const line = (name: string, value: (layer: (typeof layers)[number]) => number) => ({
    name,
    points: layers.map((layer, index) => [index + 1, value(layer)] as const),
  })
  const { p10, p50, p90, p99 } = norms.quantiles
  const charts = [
    lineChart({
      title: 'Gradients by layer',
      xLabel: 'layer',
      series: [
        line('mean of samples', ({ meanSampleNorm }) => meanSampleNorm),
        line('batch', ({ gradientNorm }) => gradientNorm),
        line('by the layer’s bias', ({ deltaNorm }) => deltaNorm),
      ],
    }),
    lineChart({
      title: 'Norms of samples’ gradients',
      xLabel: 'samples with a smaller norm, %',
      series: [
        {
          name: 'norm',
          points: [
            [10, p10],
            [50, p50],
            [90, p90],
            [99, p99],
            [100, norms.largest],
          ],
        },
      ],
    }),
    ...diagnosis.outputs
      .filter(({ classes }) => (classes?.length ?? 0) > 1)
      .map(({ head, classes = [] }) =>
        lineChart({
          title: head === '' ? 'Loss by class' : `Loss by class of ${head}`,
          xLabel: 'class',
          series: [{ name: 'mean loss', points: classes.map(({ label, meanLoss }) => [label, meanLoss] as const) }],
        }),
      ),
  ]
  return `<div class="charts">${charts.map((chart) => `<div class="panel">${chart}</div>`).join('')}</div>`
}

/**
 * Makes the HTML of a diagnosis; `writeDiagnosis` writes it to a file.
 *
 * @param date shown at the top; default now
 * @throws KrylovError ERR_OPTION
 */
export function renderDiagnosis(diagnosis: Diagnosis, options: DiagnosisPageOptions = {}, date = new Date()): string {
  record(diagnosis, 'diagnosis')
  checkKnownKeys(options, ['title'], 'diagnosis options')
  const title = optional(options.title, 'Diagnosis', (value) => string(value, 'title'))
  const tasks = taskRows(diagnosis)
  return htmlPage(title, date, [
    `<p class="soft">${diagnosis.samples} samples, ${diagnosis.parameterCount} parameters</p>`,
    findings(diagnosis),
    heading('Drawn'),
    drawings(diagnosis),
    heading('Numbers'),
    table([], numberRows(diagnosis)),
    heading('Layers'),
    table(layerHead, layerRows(diagnosis)),
    ...(tasks.length === 0
      ? []
      : [heading('Cosines between tasks'), table(['', ...(diagnosis.taskCosines?.heads ?? [])], tasks)]),
    ...diagnosis.outputs.flatMap((output) => {
      const of = output.head === '' ? '' : ` of ${output.head}`
      const classes = classRows(output)
      const largest = output.largestLosses.map(({ row, loss, label }) => [
        String(row),
        loss.toPrecision(4),
        label === undefined ? '–' : String(label),
      ])
      return [
        ...(classes.length === 0
          ? []
          : [heading(`Classes${of}`), table(['class', 'samples', 'share', 'mean loss'], classes)]),
        ...(largest.length === 0 ? [] : [heading(`Largest losses${of}`), table(['row', 'loss', 'label'], largest)]),
      ]
    }),
  ])
}

/**
 * Writes a diagnosis as one HTML file, replacing an existing file only as a whole: what stands out, drawings, numbers.
 *
 * @throws KrylovError ERR_OPTION, ERR_FILE
 * @example await writeDiagnosis('diagnosis.html', await diagnose(model, data, { loss: softmaxCrossEntropy() }))
 */
export async function writeDiagnosis(
  path: string,
  diagnosis: Diagnosis,
  options: DiagnosisPageOptions = {},
): Promise<void> {
  string(path, 'path')
  await writeFileAtomically(path, [new TextEncoder().encode(renderDiagnosis(diagnosis, options))])
}
