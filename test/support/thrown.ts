import { KrylovError } from '../../src/internal/errors.js'

/** The KrylovError that an action throws; anything else fails the test. */
export function errorOf(action: () => unknown): KrylovError {
  try {
    action()
  } catch (error) {
    if (error instanceof KrylovError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
