import { expect, describe as group, it } from 'vitest'
import {
  describe,
  describeShape,
  errorCodes,
  fileError,
  isKrylovError,
  KrylovError,
  nativeError,
  optionError,
  rendered,
  shapeError,
} from '../src/internal/errors.js'

group('KrylovError', () => {
  it('carries code, message, details and cause', () => {
    const cause = new Error('below')
    const error = new KrylovError('ERR_STATE', 'model: expected a live model', { name: 'model' }, { cause })
    expect(error).toBeInstanceOf(Error)
    expect(error.code).toBe('ERR_STATE')
    expect(error.message).toBe('model: expected a live model')
    expect(error.details).toEqual({ name: 'model' })
    expect(error.cause).toBe(cause)
  })

  it('names itself in stacks without an own property', () => {
    const error = new KrylovError('ERR_FILE', 'x')
    expect(error.name).toBe('KrylovError')
    expect(String(error)).toBe('KrylovError: x')
    expect(Object.keys(error)).toEqual(['code'])
    expect('details' in error).toBe(false)
  })

  it('is recognised when another copy of the class made it', () => {
    const foreign = Object.assign(new Error('x'), { name: 'KrylovError', code: 'ERR_BUSY' })
    expect(isKrylovError(new KrylovError('ERR_BUSY', 'x'))).toBe(true)
    expect(isKrylovError(foreign)).toBe(true)
    expect(isKrylovError(Object.assign(new Error('x'), { name: 'KrylovError', code: 'ENOENT' }))).toBe(false)
    expect(isKrylovError(new Error('x'))).toBe(false)
    expect(isKrylovError(undefined)).toBe(false)
  })

  it('has every code once', () => {
    expect(new Set(errorCodes).size).toBe(errorCodes.length)
    expect(errorCodes).toHaveLength(8)
  })
})

group('messages', () => {
  it('have one shape: name, expected, received', () => {
    const error = shapeError('inputs', '784 columns', rendered('10 columns'), { row: 3 })
    expect(error.message).toBe('inputs: expected 784 columns, received 10 columns')
    expect(error.details).toEqual({ name: 'inputs', expected: '784 columns', received: '10 columns', row: 3 })
  })

  it('quote a string that was received as a value', () => {
    expect(optionError('loss', 'a loss', 'mse').message).toBe("loss: expected a loss, received 'mse'")
  })

  it('take data that only look like rendered text as data', () => {
    expect(optionError('loss', 'a loss', { text: 'mse' }).message).toBe(
      'loss: expected a loss, received object { text }',
    )
  })

  it('keep the cause of a native failure', () => {
    const cause = new Error('x')
    expect(nativeError('addon', 'a binary', 'none', undefined, { cause }).cause).toBe(cause)
  })

  it.each([
    [{}, 'a.csv: expected a number, received 1'],
    [{ offset: 8 }, 'a.csv, byte 8: expected a number, received 1'],
    [{ line: 2, column: 'age' }, "a.csv, line 2, column 'age': expected a number, received 1"],
    [{ line: 2, column: 4 }, 'a.csv, line 2, column 4: expected a number, received 1'],
  ])('say where in a file: %j', (place, message) => {
    const error = fileError('a.csv', place, 'a number', 1)
    expect(error.code).toBe('ERR_FILE')
    expect(error.message).toBe(message)
    expect(error.details).toMatchObject({ file: 'a.csv', ...place })
  })
})

group('describe', () => {
  class Thing {}
  it.each<[string, unknown, string]>([
    ['undefined', undefined, 'undefined'],
    ['null', null, 'null'],
    ['NaN', Number.NaN, 'NaN'],
    ['minus zero', -0, '-0'],
    ['a bigint', 5n, '5n'],
    ['a string', 'it\'s "so"\n', "'it\\'s \"so\"\\n'"],
    ['an empty array', [], 'an empty array'],
    ['a short array', [1, 'a', null], "array(3) [1, 'a', null]"],
    ['a long array', [1, 2, 3, 4, 5], 'array(5) [1, 2, 3, 4, …]'],
    ['nested arrays', [[1, 2], {}], 'array(2) [array(2), object]'],
    ['a typed array', new Float32Array(3), 'Float32Array(3)'],
    ['an empty object', {}, 'an empty object'],
    ['an object', { a: 1, b: 2 }, 'object { a, b }'],
    ['a spec', { kind: 'adam', learningRate: 1 }, "object of kind 'adam'"],
    ['an instance', new Thing(), 'an instance of Thing'],
    ['a function', Math.max, 'function max'],
    [
      'a nameless function',
      (
        () => () =>
          0
      )(),
      'function',
    ],
    ['a symbol', Symbol('s'), 'Symbol(s)'],
    ['no prototype', Object.assign(Object.create(null), { a: 1 }), 'object { a }'],
    ['an error', new TypeError('bad'), "TypeError 'bad'"],
    ['a date', new Date(0), 'an instance of Date'],
  ])('%s', (_, value, text) => {
    expect(describe(value)).toBe(text)
  })

  it('cuts long text without halving a character', () => {
    const text = describe('😀'.repeat(1000))
    expect(text).toBe(`'${'😀'.repeat(60)}…'`)
  })

  it('survives objects that throw', () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    expect(describe(proxy)).toBe('object')
    const trap = {
      get kind(): string {
        throw new Error('no')
      },
    }
    expect(describe(trap)).toBe('object')
  })

  it('renders shapes', () => {
    expect(describeShape([3, 4])).toBe('[3, 4]')
    expect(describeShape([])).toBe('[]')
  })
})
