import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Model } from '../index.js'
import { diagnose, diagnosisText, writeDiagnosis } from '../index.js'
import { asData, loadSamples, wantsOf } from './data.js'
import type { EvaluateArguments } from './evaluate.js'
import { checkTask, jobOf } from './evaluate.js'
import { loadWithNotes } from './model-file.js'

export type DiagnoseArguments = Omit<EvaluateArguments, 'metric' | 'threads'> & {
  readonly samples?: number
  readonly batchSize?: number
  readonly seed?: number
  readonly report?: string
}

/** `krylov diagnose`: what stands out in a model on a sample of data. */
export async function diagnoseCommand(given: DiagnoseArguments): Promise<number> {
  const { model, notes } = await loadWithNotes(given.model)
  const job = await jobOf(given, model, notes, 'train')
  await checkTask(model, given, job)
  const { source, loss } = job
  const samples = await loadSamples(source, wantsOf(model.outputs, loss), model.dtype, notes)
  const { batchSize, seed } = given
  const diagnosis = await diagnose(model as Model, asData(samples), {
    loss,
    ...(given.samples === undefined ? {} : { samples: given.samples }),
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(seed === undefined ? {} : { seed }),
  })
  process.stdout.write(`${given.json === true ? JSON.stringify(diagnosis) : diagnosisText(diagnosis)}\n`)
  if (given.report !== undefined) {
    await mkdir(dirname(given.report), { recursive: true })
    await writeDiagnosis(given.report, diagnosis, { title: `Diagnosis of ${given.model.split(/[\\/]/).at(-1)}` })
  }
  model.dispose()
  return 0
}
