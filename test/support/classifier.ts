import type { DType } from '../../src/index.js'
import { createModel, dense, softmaxCrossEntropy } from '../../src/index.js'
import { classData } from './data.js'

/** A small model of the three classes of `classData`, its data and its loss. */
export function classifier<D extends DType = 'float32'>(dtype = 'float32' as D, seed = 1) {
  return createModel<D>({ inputs: 2, layers: [dense(16, 'tanh'), dense(3)], seed, dtype })
}
export const data = classData(300)
export const loss = softmaxCrossEntropy()
