import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KrylovError, optionError } from '../src/internal/errors.js'
import {
  arrayOf,
  atPath,
  boolean,
  callable,
  checkKnownKeys,
  editDistance,
  errorPath,
  finiteArray,
  integerInRange,
  isRecord,
  joinPath,
  nearest,
  numberInRange,
  oneOf,
  optional,
  record,
  seed,
  string,
} from '../src/internal/validate.js'
import { errorOf } from './support/thrown.js'

describe('numbers', () => {
  it('returns what is in range', () => {
    expect(numberInRange(0.5, 'x')).toBe(0.5)
    expect(numberInRange(0, 'x', { min: 0 })).toBe(0)
    expect(numberInRange(1, 'x', { min: 0, max: 1 })).toBe(1)
    expect(integerInRange(3, 'x', { min: 1 })).toBe(3)
    expect(seed(2 ** 53 - 1, 'seed')).toBe(2 ** 53 - 1)
  })

  it.each<[string, () => unknown, string]>([
    ['text', () => numberInRange('1', 'x'), "x: expected a finite number, received '1'"],
    ['NaN', () => numberInRange(Number.NaN, 'x'), 'x: expected a finite number, received NaN'],
    ['infinity', () => numberInRange(Number.POSITIVE_INFINITY, 'x'), 'x: expected a finite number, received Infinity'],
    ['below min', () => numberInRange(-1, 'x', { min: 0 }), 'x: expected a finite number >= 0, received -1'],
    ['at above', () => numberInRange(0, 'x', { above: 0 }), 'x: expected a finite number > 0, received 0'],
    [
      'at below',
      () => numberInRange(1, 'x', { min: 0, below: 1 }),
      'x: expected a finite number >= 0 and < 1, received 1',
    ],
    ['above max', () => numberInRange(2, 'x', { max: 1 }), 'x: expected a finite number <= 1, received 2'],
    ['a fraction', () => integerInRange(1.5, 'n'), 'n: expected an integer, received 1.5'],
    ['unsafe', () => integerInRange(2 ** 53, 'n'), 'n: expected an integer, received 9007199254740992'],
    [
      'out of both',
      () => integerInRange(11, 'n', { min: 1, max: 10 }),
      'n: expected an integer from 1 to 10, received 11',
    ],
    ['a bigint', () => integerInRange(1n, 'n'), 'n: expected an integer, received 1n'],
    ['a negative seed', () => seed(-1, 'seed'), 'seed: expected an integer from 0 to 9007199254740991, received -1'],
  ])('rejects %s', (_, action, message) => {
    const error = errorOf(action)
    expect(error.code).toBe('ERR_OPTION')
    expect(error.message).toBe(message)
  })
})

describe('other scalars', () => {
  it('narrows', () => {
    expect(boolean(false, 'x')).toBe(false)
    expect(string('a', 'x')).toBe('a')
    expect(string('', 'x', { empty: true })).toBe('')
    expect(callable<() => number>(() => 4, 'x')()).toBe(4)
    expect(oneOf('relu', 'activation', ['relu', 'tanh'])).toBe('relu')
    expect(optional(undefined, 7, () => 8)).toBe(7)
    expect(optional(null, 7, (value) => value)).toBe(null)
  })

  it.each<[string, () => unknown, string]>([
    ['boolean', () => boolean(0, 'shuffle'), 'shuffle: expected true or false, received 0'],
    ['string', () => string(0, 'name'), 'name: expected a string, received 0'],
    ['empty string', () => string('', 'name'), "name: expected a string that is not empty, received ''"],
    ['function', () => callable(1, 'onStep'), 'onStep: expected a function, received 1'],
    [
      'choice',
      () => oneOf('softmax', 'activation', ['relu', 'tanh', 'elu']),
      "activation: expected 'relu', 'tanh' or 'elu', received 'softmax'",
    ],
    [
      'misspelt choice',
      () => oneOf('reul', 'activation', ['relu', 'tanh']),
      "activation: expected 'relu' or 'tanh', received 'reul'; did you mean 'relu'?",
    ],
    ['number choice', () => oneOf(3, 'order', [1, 2]), 'order: expected 1 or 2, received 3'],
  ])('rejects: %s', (_, action, message) => {
    expect(errorOf(action).message).toBe(message)
  })
})

describe('arrays', () => {
  it('copies finite numbers', () => {
    const source = [0.9, 0.999]
    const copy = finiteArray(source, 'betas', { length: 2, min: 0, below: 1 })
    expect(copy).toEqual(source)
    expect(copy).not.toBe(source)
    expect(finiteArray(new Float64Array([1, 2]), 'x')).toEqual([1, 2])
    expect(finiteArray(Uint8Array.of(1, 2), 'x')).toEqual([1, 2])
    expect(errorOf(() => finiteArray(BigInt64Array.of(1n), 'x')).message).toContain('x: expected an array of finite')
  })

  it.each<[string, () => unknown, string, string]>([
    [
      'length',
      () => finiteArray([1], 'betas', { length: 2 }),
      'ERR_SHAPE',
      'betas: expected length 2, received length 1',
    ],
    [
      'minimum',
      () => finiteArray([], 'sizes', { minLength: 1 }),
      'ERR_SHAPE',
      'sizes: expected length >= 1, received length 0',
    ],
    [
      'maximum',
      () => finiteArray([1, 2], 'sizes', { maxLength: 1 }),
      'ERR_SHAPE',
      'sizes: expected length <= 1, received length 2',
    ],
    [
      'an item',
      () => finiteArray([1, Number.NaN], 'betas'),
      'ERR_OPTION',
      'betas[1]: expected a finite number, received NaN',
    ],
    [
      'no array',
      () => finiteArray('12', 'betas'),
      'ERR_OPTION',
      "betas: expected an array of finite numbers, received '12'",
    ],
    [
      'a hole',
      () => arrayOf(new Array(2), 'x', numberInRange),
      'ERR_OPTION',
      'x[0]: expected a finite number, received undefined',
    ],
  ])('rejects: %s', (_, action, code, message) => {
    const error = errorOf(action)
    expect(error.code).toBe(code)
    expect(error.message).toBe(message)
  })
})

describe('objects', () => {
  it('tells records from other objects', () => {
    expect([{}, Object.create(null), { a: 1 }].map(isRecord)).toEqual([true, true, true])
    const others = [[], new Map(), new Float32Array(1), new Date(), null, 1, () => 0, /x/, new ArrayBuffer(1)]
    expect(others.map(isRecord)).toEqual(others.map(() => false))
    expect(record({ a: 1 }, 'x')).toEqual({ a: 1 })
    expect(errorOf(() => record([], 'x')).message).toBe('x: expected an object, received an empty array')
  })

  const allowed = ['learningRate', 'beta1', 'beta2', 'epsilon', 'weightDecay']

  it.each([
    ['learningrate', 'learningRate'],
    ['learning_rate', 'learningRate'],
    ['learnignRate', 'learningRate'],
    ['eplison', 'epsilon'],
    ['beta3', 'beta1'],
    ['weigthDecay', 'weightDecay'],
  ])('suggests the nearest name: %s', (key, near) => {
    const error = errorOf(() => checkKnownKeys({ [key]: 1 }, allowed, 'adam options'))
    expect(error.code).toBe('ERR_OPTION')
    expect(error.message).toBe(`adam options: unknown option '${key}'; did you mean '${near}'?`)
    expect(error.details).toMatchObject({ path: key, suggestion: near })
  })

  it('lists the names when none is near', () => {
    const error = errorOf(() => checkKnownKeys({ xyz: 1 }, ['beta1', 'beta2'], 'adam options'))
    expect(error.message).toBe("adam options: unknown option 'xyz'; the options are beta1, beta2")
    expect(error.details).not.toHaveProperty('suggestion')
  })

  it('says so when there are no options', () => {
    expect(errorOf(() => checkKnownKeys({ x: 1 }, [], 'identity options')).message).toBe(
      "identity options: unknown option 'x'",
    )
  })

  it('accepts known keys, absent ones and inherited ones', () => {
    expect(() => checkKnownKeys({ beta1: undefined }, allowed, 'x')).not.toThrow()
    expect(() => checkKnownKeys(Object.create({ inherited: 1 }), allowed, 'x')).not.toThrow()
  })

  it.each([[null], [undefined], [[1]], ['text'], [new Map()]])('rejects what is no object: %s', (value) => {
    expect(errorOf(() => checkKnownKeys(value, allowed, 'adam options')).message).toMatch(
      /^adam options: expected an object, received /,
    )
  })

  it('does not take Object.prototype members for options', () => {
    expect(errorOf(() => checkKnownKeys({ toString: 1 }, allowed, 'x')).message).toMatch(/unknown option 'toString'/)
    expect(errorOf(() => checkKnownKeys(JSON.parse('{"__proto__": 1}'), allowed, 'x')).message).toMatch(
      /unknown option '__proto__'/,
    )
  })
})

describe('edit distance', () => {
  it.each<[string, string, number]>([
    ['', '', 0],
    ['', 'abc', 3],
    ['abc', 'abc', 0],
    ['ab', 'ba', 1],
    ['kitten', 'sitting', 3],
    ['ca', 'abc', 3],
  ])('%j to %j is %i', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance)
  })

  it('is symmetric, zero only for equals, and bounded by the longer word', () => {
    const word = fc.string({ maxLength: 8 })
    fc.assert(
      fc.property(word, word, (a, b) => {
        const distance = editDistance(a, b)
        expect(editDistance(b, a)).toBe(distance)
        expect(distance === 0).toBe(a === b)
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length))
        expect(distance).toBeGreaterThanOrEqual(Math.abs(a.length - b.length))
      }),
      { seed: 1 },
    )
  })

  it('finds every name after one edit', () => {
    const names = ['learningRate', 'momentum', 'weightDecay', 'batchSize']
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.nat(), (name, place) => {
        const at = place % name.length
        expect(nearest(name.slice(0, at) + name.slice(at + 1), names)).toBe(name)
      }),
      { seed: 2 },
    )
  })

  it('does not compare endless words', () => {
    expect(nearest('x'.repeat(1_000_000), ['x'])).toBeUndefined()
    expect(nearest('', ['x'])).toBeUndefined()
  })
})

describe('paths', () => {
  it('joins keys and indices', () => {
    expect(joinPath('', 'loss')).toBe('loss')
    expect(joinPath('layers', 2)).toBe('layers[2]')
    expect(joinPath(joinPath('layers', 2), 'units')).toBe('layers[2].units')
    expect(joinPath('heads', 'my head')).toBe('heads["my head"]')
  })

  it.each([
    ['adam learningRate', 'learningRate'],
    ['learningRate', 'learningRate'],
    ['hessian-free options damping.initial', 'damping.initial'],
    ['layers[2].units', 'layers[2].units'],
    ['targets heads["my head"].data', 'heads["my head"].data'],
  ])('finds the path in the name %j', (name, path) => {
    expect(errorPath(optionError(name, 'x', 1))).toBe(path)
  })

  it('puts a field below the place of its object', () => {
    const error = errorOf(() => atPath('optimizer', () => numberInRange(-1, 'adam learningRate', { min: 0 })))
    expect(error.message).toBe('optimizer.learningRate: expected a finite number >= 0, received -1')
    expect(error.details).toMatchObject({ path: 'optimizer.learningRate', name: 'optimizer.learningRate' })
    expect(error.code).toBe('ERR_OPTION')
    expect(error.cause).toBeInstanceOf(KrylovError)
  })

  it('nests', () => {
    const error = errorOf(() =>
      atPath('runs[3]', () => atPath('model', () => atPath('layers[0]', () => integerInRange(0, 'units', { min: 1 })))),
    )
    expect(error.message).toBe('runs[3].model.layers[0].units: expected an integer >= 1, received 0')
  })

  it('names the misspelt option', () => {
    const error = errorOf(() =>
      atPath('optimizer', () => checkKnownKeys({ lerningRate: 1 }, ['learningRate'], 'adam options')),
    )
    expect(error.message).toBe("optimizer.lerningRate: unknown option 'lerningRate'; did you mean 'learningRate'?")
    expect(errorPath(error)).toBe('optimizer.lerningRate')
  })

  it('names the object when it is the object that is wrong', () => {
    const error = errorOf(() => atPath('optimizer', () => checkKnownKeys(3, ['learningRate'], 'adam options')))
    expect(error.message).toBe('optimizer: expected an object, received 3')
  })

  it('passes values and foreign errors through', () => {
    expect(atPath('a', () => 4)).toBe(4)
    const foreign = new TypeError('x')
    expect(() =>
      atPath('a', () => {
        throw foreign
      }),
    ).toThrow(foreign)
  })
})
