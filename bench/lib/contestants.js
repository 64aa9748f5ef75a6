// @ts-check

import { fileURLToPath } from 'node:url'
import { Case } from './child.js'
import { krylovMissing } from './krylov.js'
import { pythonWith } from './python.js'

/**
 * @typedef {object} Contestant
 * @property {string} id
 * @property {string} family contestants that differ in threads only
 * @property {number} threads
 * @property {string} [module] file of bench/peers or bench/lib that trains in Node
 * @property {string} [backend]
 * @property {{ module: string, script: string }} [python]
 * @property {number} [openMP] threads of OpenMP where they are not `threads`
 * @property {Record<string, string>} [environment]
 * @property {string} note what it does differently, for the reader of the table
 */

const kOnline = 'updates after every sample (it has no batches); one step here = one batch of samples'

/**
 * PyTorch as Debian builds it has two pools, OpenMP's and its BLAS's. With two
 * threads in both, the waiting threads of one take the processors from the
 * other, unless they spin for a short time only; two threads in the BLAS alone
 * is the other setting that does well. The best of the three is what counts.
 *
 * @type {Contestant[]}
 */
const pytorch = [
  { id: 'pytorch-1', threads: 1, openMP: 1, environment: {}, setting: 'one thread' },
  {
    id: 'pytorch-2',
    threads: 2,
    openMP: 2,
    environment: { GOMP_SPINCOUNT: '3000' },
    setting: 'two threads in OpenMP and in the BLAS, GOMP_SPINCOUNT=3000',
  },
  { id: 'pytorch-blas-2', threads: 2, openMP: 1, environment: {}, setting: 'two threads in the BLAS only' },
].map(({ setting, ...rest }) => ({
  ...rest,
  family: 'pytorch',
  python: { module: 'torch', script: 'pytorch.py' },
  note: `eager, multi-tensor Adam, a shuffled index_select for each batch; ${setting}`,
}))

/** @type {readonly Contestant[]} */
const contestants = [
  { id: 'krylov-1', family: 'krylov', threads: 1, module: '../krylov.js', note: '' },
  { id: 'krylov-2', family: 'krylov', threads: 2, module: '../krylov.js', note: '' },
  ...pytorch,
  ...[1, 2].map((threads) => ({
    id: `scikit-learn-${threads}`,
    family: 'scikit-learn',
    threads,
    python: { module: 'sklearn', script: 'scikit_learn.py' },
    note: 'MLPRegressor or MLPClassifier, solver adam, whole epochs of fit; threads are those of its BLAS',
  })),
  {
    id: 'tfjs',
    family: 'tfjs',
    threads: 1,
    module: '../../peers/tfjs.js',
    backend: 'cpu',
    note: 'pure JavaScript backend; optimizer.minimize over batches already cut into tensors (no gather)',
  },
  {
    id: 'tfjs-wasm',
    family: 'tfjs-wasm',
    threads: 1,
    module: '../../peers/tfjs.js',
    backend: 'wasm',
    note: 'as tfjs, WebAssembly backend with SIMD',
  },
  {
    id: 'brain.js',
    family: 'brain.js',
    threads: 1,
    module: '../../peers/brain.js',
    note: `plain SGD with momentum, squared error; ${kOnline}`,
  },
  {
    id: 'convnetjs',
    family: 'convnetjs',
    threads: 1,
    module: '../../peers/convnetjs.js',
    note: 'Trainer with batch_size and adadelta: this release has no Adam',
  },
  {
    id: 'synaptic',
    family: 'synaptic',
    threads: 1,
    module: '../../peers/synaptic.js',
    note: `plain SGD, squared error; ${kOnline}`,
  },
]

/**
 * @param {string} id
 * @returns {Contestant}
 */
export function contestantNamed(id) {
  const found = contestants.find((contestant) => contestant.id === id)
  if (found === undefined) {
    throw new Error(`contestant: expected one of ${contestants.map((c) => c.id).join(', ')}, received ${id}`)
  }
  return found
}

/**
 * @param {Contestant} contestant
 * @returns {string | undefined} why it cannot take part
 */
export function missing(contestant) {
  if (contestant.family === 'krylov') return krylovMissing()
  if (contestant.python !== undefined) return pythonWith(contestant.python.module).reason
  return undefined
}

/**
 * Starts a contestant on a case; `role` says which.
 *
 * @param {Contestant} contestant
 * @param {{ role: string } & Record<string, unknown>} specification
 * @returns {Case}
 */
export function start(contestant, specification) {
  const openMP = contestant.openMP ?? contestant.threads
  const whole = {
    ...specification,
    threads: openMP,
    module: contestant.module,
    backend: contestant.backend,
  }
  if (contestant.python === undefined) {
    // The libraries that hold a network as objects need more than the default heap for the largest one.
    return new Case({ specification: whole, nodeOptions: ['--max-old-space-size=8192'] })
  }
  const { command } = pythonWith(contestant.python.module)
  return new Case({
    command: command ?? 'python3',
    script: fileURLToPath(new URL(`../peers/${contestant.python.script}`, import.meta.url)),
    specification: whole,
    // Byte code beside the sources would be litter in the tree.
    nodeOptions: ['-B'],
    environment: {
      OMP_NUM_THREADS: String(openMP),
      OPENBLAS_NUM_THREADS: String(contestant.threads),
      ...contestant.environment,
    },
  })
}
