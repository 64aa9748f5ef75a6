import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../golden/', import.meta.url))

export type Nested = number | readonly Nested[]

/** The values of a nested array, row by row. */
export function flatten(value: Nested): number[] {
  return typeof value === 'number' ? [value] : value.flatMap(flatten)
}

/** A case of a golden file with a name for the test report. */
export type GoldenCase<T> = { readonly name: string; readonly value: T }

/** Every case of a file of a golden folder. */
export function goldenFile<T>(name: string, file: string): GoldenCase<T>[] {
  const content = JSON.parse(readFileSync(`${folder}${name}/${file}`, 'utf8')) as T | T[]
  const list = Array.isArray(content) ? content : [content]
  return list.map((value, index) => ({ name: `${file}${list.length > 1 ? ` case ${index}` : ''}`, value }))
}

/** Every case of every JSON file of a golden folder, found by listing it. */
export function goldenCases<T>(name: string): GoldenCase<T>[] {
  const files = readdirSync(folder + name).filter((file) => file.endsWith('.json'))
  if (files.length === 0) throw new Error(`no golden files in ${name}`)
  return files.sort().flatMap((file) => goldenFile<T>(name, file))
}
