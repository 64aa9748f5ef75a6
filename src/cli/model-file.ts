import type { AnyModel, LossOption, MetricOption } from '../index.js'
import { loadModel, readSafetensors, save, writeSafetensors } from '../index.js'

/*
 * What a model file holds beyond the model, for the commands that come later: names of columns and classes, and what
 * it was trained for. It is JSON text in the file's metadata, which other readers pass over.
 */

const notesKey = 'krylov.cli'

export type Notes = {
  /** Input columns in order; absent for images. */
  readonly columns?: readonly string[]
  /** Target columns by head, `''` for the only output. */
  readonly targets?: Readonly<Record<string, readonly string[]>>
  /** Class labels by head, in the order of their numbers. */
  readonly classes?: Readonly<Record<string, readonly string[]>>
  readonly loss?: LossOption
  readonly metrics?: readonly MetricOption[]
}

/** Saves a model with its notes; the file is replaced as a whole. */
export async function saveWithNotes(model: AnyModel, path: string, notes: Notes): Promise<void> {
  await save(model as Parameters<typeof save>[0], path)
  const { tensors, metadata } = await readSafetensors(path)
  await writeSafetensors(path, tensors, new Map([...metadata, [notesKey, JSON.stringify(notes)]]))
}

function parseNotes(text: string | undefined): Notes {
  if (text === undefined) return {}
  try {
    const notes: unknown = JSON.parse(text)
    return typeof notes === 'object' && notes !== null ? notes : {}
  } catch {
    // Notes are a convenience: a file whose notes are damaged still holds its model.
    return {}
  }
}

const isNames = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((name) => typeof name === 'string')

/** Keeps what has the right shape: the file may come from a stranger. */
function checkedNotes(notes: Notes): Notes {
  const lists = (value: unknown): Readonly<Record<string, readonly string[]>> =>
    Object.fromEntries(
      Object.entries(typeof value === 'object' && value !== null ? value : {}).filter(
        (entry): entry is [string, string[]] => isNames(entry[1]),
      ),
    )
  return {
    ...(isNames(notes.columns) ? { columns: notes.columns } : {}),
    targets: lists(notes.targets),
    classes: lists(notes.classes),
    ...(notes.loss === undefined ? {} : { loss: notes.loss }),
    ...(Array.isArray(notes.metrics) ? { metrics: notes.metrics as readonly MetricOption[] } : {}),
  }
}

/** A model with its notes; without any where another program, or `save`, wrote the file. */
export async function loadWithNotes(path: string): Promise<{ model: AnyModel; notes: Notes }> {
  const model = (await loadModel(path)) as AnyModel
  const { metadata } = await readSafetensors(path)
  return { model, notes: checkedNotes(parseNotes(metadata.get(notesKey))) }
}

/** The loss that a model's outputs mean, where no notes tell the one it was trained with. */
export function impliedLoss(model: AnyModel): LossOption {
  const of = (link: string | undefined): LossOption => {
    if (link === 'softmax') return { kind: 'softmaxCrossEntropy' }
    return link === 'sigmoid' ? { kind: 'binaryCrossEntropy' } : { kind: 'meanSquaredError' }
  }
  const { task, heads } = model.spec
  if (heads === null) return of(typeof task === 'string' ? task : undefined)
  const links = typeof task === 'object' && task !== null ? (task as Readonly<Record<string, string>>) : {}
  return Object.fromEntries(Object.keys(heads).map((head) => [head, of(links[head])])) as unknown as LossOption
}
