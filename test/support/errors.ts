import { expect } from 'vitest'
import type { ErrorCode } from '../../src/index.js'
import { KrylovError } from '../../src/index.js'

/** Runs something that must throw a KrylovError with a code and a message that has all the given parts. */
export function expectError(action: () => unknown, code: ErrorCode, ...parts: (string | RegExp)[]): KrylovError {
  try {
    action()
  } catch (error) {
    return checkError(error, code, parts)
  }
  return expect.fail(`expected ${code}, but nothing was thrown`)
}

/** The same for a promise. */
export async function expectRejection(
  action: () => unknown,
  code: ErrorCode,
  ...parts: (string | RegExp)[]
): Promise<KrylovError> {
  try {
    await action()
  } catch (error) {
    return checkError(error, code, parts)
  }
  return expect.fail(`expected ${code}, but nothing was thrown`)
}

function checkError(error: unknown, code: ErrorCode, parts: readonly (string | RegExp)[]): KrylovError {
  if (!(error instanceof KrylovError)) throw error
  expect(error.code, error.message).toBe(code)
  for (const part of parts) {
    if (typeof part === 'string') expect(error.message).toContain(part)
    else expect(error.message).toMatch(part)
  }
  return error
}
