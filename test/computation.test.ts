// Computations of the addon as they are driven: requests and answers in order, busy, aborted and disposed ones.
import { describe, expect, test } from 'vitest'
import { run, runSync } from '../src/internal/computation.js'
import type { NativeComputation, NativeSolveResult } from '../src/internal/native.js'
import { addon } from '../src/internal/native.js'
import { expectError, expectRejection } from './support/errors.js'
import { solverOptions } from './support/garbage.js'

const native = addon()
const size = 4
const rhs = Float64Array.of(1, 2, 3, 4)
const options = { ...solverOptions, tolerance: 1e-10, maxIterations: 40 }
const foreign = { rows: size, columns: size, source: 3, transposedSource: -1 }
const start = (observer = -1): NativeComputation<NativeSolveResult> =>
  native.conjugateGradient(foreign, rhs, null, null, options, observer)
const product = (v: unknown): Float64Array => (v as Float64Array).map((x, i) => (i + 1) * x)
const asking = (): NativeComputation<NativeSolveResult> => {
  const computation = start()
  computation.advance()
  return computation
}
/** Lanczos on a matrix of a size that takes a while. */
function long(): NativeComputation<unknown> {
  const n = 500
  const values = Float64Array.from({ length: n * n }, (_, k) => Math.sin((k % n) * Math.floor(k / n)))
  const steps = { steps: n, keepBasis: false, reorthogonalise: true }
  return native.lanczos(native.denseOperator(values, n, n), new Float64Array(n).fill(1), steps)
}

test('a request says what it wants', () => {
  const computation = start(7)
  expect(computation.advance()).toEqual({
    source: 7,
    input: new Float64Array(size),
    outputLength: 0,
    numbers: [0, Math.sqrt(30), 0, Number.NaN, Number.NaN, Number.NaN],
  })
  computation.answer(null, 0)
  expect(computation.advance()).toEqual({ source: 3, input: rhs, outputLength: size, numbers: [] })
})

test('inputs are copies', () => {
  const computation = asking()
  const other = start()
  other.advance()?.input?.fill(Number.NaN)
  for (const each of [computation, other]) {
    each.answer(product(rhs), 0)
    for (let request = each.advance(); request !== null; request = each.advance())
      each.answer(product(request.input), 0)
  }
  expect(other.result()).toEqual(computation.result())
})

describe('order', () => {
  test('a second answer', () => {
    const computation = asking()
    computation.answer(product(rhs), 0)
    expectError(() => computation.answer(product(rhs), 0), 'ERR_STATE', 'computation', 'a request')
  })
  test('no answer', () => {
    const computation = asking()
    expectError(() => computation.advance(), 'ERR_STATE', 'computation', 'an answer')
    expectError(() => computation.advanceAsync(), 'ERR_STATE', 'computation', 'an answer')
  })
  test('an answer before anything was asked', () => {
    expectError(() => start().answer(product(rhs), 0), 'ERR_STATE', 'computation')
  })
  test('a result before the end', () => {
    expectError(() => start().result(), 'ERR_STATE', 'finished')
    expectError(() => asking().result(), 'ERR_STATE', 'finished')
  })
  test('after the end nothing is asked', () => {
    const computation = start()
    for (let request = computation.advance(); request !== null; request = computation.advance()) {
      computation.answer(product(request.input), 0)
    }
    expect(computation.advance()).toBeNull()
    expect(computation.result()).toEqual(computation.result())
  })
})

describe('answers are checked', () => {
  const rows: [string, unknown, unknown, 'ERR_SHAPE' | 'ERR_DTYPE' | 'ERR_OPTION', string][] = [
    ['too short', new Float64Array(size - 1), 0, 'ERR_SHAPE', 'output: expected Float64Array of length 4'],
    ['too long', new Float64Array(size + 1), 0, 'ERR_SHAPE', 'output'],
    ['the other dtype', new Float32Array(size), 0, 'ERR_DTYPE', 'output'],
    ['nothing', null, 0, 'ERR_DTYPE', 'output'],
    ['shared memory', new Float64Array(new SharedArrayBuffer(8 * size)), 0, 'ERR_DTYPE', 'output'],
    ['a value that is no number', new Float64Array(size), '0', 'ERR_OPTION', 'value'],
  ]
  test.each(rows)('%s', (_, output, value, code, text) => {
    const computation = asking()
    expectError(() => computation.answer(output as never, value as never), code, text)
    // It still waits.
    computation.answer(product(rhs), 0)
  })
})

describe('aborts', () => {
  test('leave what there is, and want no answer', () => {
    const computation = asking()
    computation.abort()
    computation.answer(null, 0)
    expect(computation.advance()).toBeNull()
    expect(computation.result()).toMatchObject({ reason: 'aborted', iterations: 0, solution: new Float64Array(size) })
  })
  test('reach a running job', async () => {
    const computation = long()
    const pending = computation.advanceAsync()
    computation.abort()
    expect(await pending).toBeNull()
    expect(computation.result()).toMatchObject({ reason: 'aborted' })
  })
})

describe('a running job', () => {
  test('keeps its computation', async () => {
    const computation = long()
    const pending = computation.advanceAsync()
    expectError(() => computation.advance(), 'ERR_BUSY', 'running')
    expectError(() => computation.advanceAsync(), 'ERR_BUSY', 'running')
    expectError(() => computation.result(), 'ERR_BUSY', 'running')
    expectError(() => computation.answer(null, 0), 'ERR_BUSY', 'running')
    computation.abort()
    await pending
    expect(computation.advance()).toBeNull()
  })
  test('ends soon when it is disposed', async () => {
    const computations = Array.from({ length: 5 }, long)
    const pending = computations.map((computation) => computation.advanceAsync())
    for (const computation of computations) computation.dispose()
    expect(await Promise.all(pending)).toEqual([null, null, null, null, null])
  })
})

test('a disposed computation', () => {
  const computation = asking()
  computation.dispose()
  computation.dispose()
  computation.abort()
  expectError(() => computation.advance(), 'ERR_STATE', 'disposed')
  expectError(() => computation.advanceAsync(), 'ERR_STATE', 'disposed')
  expectError(() => computation.answer(null, 0), 'ERR_STATE', 'disposed')
  expectError(() => computation.result(), 'ERR_STATE', 'disposed')
})

test('a request that nobody answers', async () => {
  const computation = { native: start(), sources: [], place: 'here', signal: undefined } as const
  expectError(() => runSync(computation), 'ERR_STATE', 'source', '3')
  expectError(() => computation.native.advance(), 'ERR_STATE', 'disposed')
  const other = { ...computation, native: start(), place: 'background' } as const
  await expectRejection(() => run(other), 'ERR_STATE', 'source', '3')
})
