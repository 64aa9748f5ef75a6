// @ts-check
// Runs that go on over many starts of the program: what an arm of an experiment has reached, in a file of its own.

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { deserialize, serialize } from 'node:v8'

/**
 * One look at an arm.
 *
 * @typedef {object} Look
 * @property {number} seconds of training so far, all slices together
 * @property {number} updates
 * @property {number} iterations of conjugate gradients so far; 0 without
 * @property {number} error of the training data, at the average of the iterates
 * @property {number} testError
 * @property {number} iterateError of the training data, at the newest iterate
 * @property {Record<string, number>} [numbers] what the optimizer told of its last update
 */

/**
 * The exponential moving average of the iterates, which training does not see.
 *
 * @typedef {object} Average
 * @property {Float32Array} values
 * @property {number} count of the iterates in it
 */

/**
 * @typedef {object} Arm
 * @property {string} settings what the arm is run with, as JSON: another setting is another arm
 * @property {number} slices starts of the program that went on with it
 * @property {Look[]} curve
 * @property {Float32Array} [parameters]
 * @property {Average} [average]
 * @property {any} [state] of training
 */

/** @param {string} name of the experiment */
export function defaultFolder(name) {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'krylov', 'experiments', name)
}

export class RunFolder {
  #folder

  /** @param {string} folder */
  constructor(folder) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true })
  }

  /** @param {string} name */
  #path(name) {
    return join(this.#folder, `${name}.run`)
  }

  /**
   * The arm as it was left, or a new one.
   *
   * @param {string} name
   * @param {string} settings
   * @returns {Arm}
   */
  open(name, settings) {
    const path = this.#path(name)
    if (!existsSync(path)) return { settings, slices: 0, curve: [] }
    const arm = deserialize(readFileSync(path))
    if (arm.settings !== settings) {
      throw new Error(
        `${path}: expected a run with ${settings}, received one with ${arm.settings}; remove it to start anew`,
      )
    }
    return arm
  }

  /**
   * Replaces the file only as a whole: a program that ends meanwhile leaves the one before.
   *
   * @param {string} name
   * @param {Arm} arm
   */
  save(name, arm) {
    const path = this.#path(name)
    writeFileSync(`${path}.new`, serialize(arm))
    renameSync(`${path}.new`, path)
  }

  /** @param {string} name */
  remove(name) {
    rmSync(this.#path(name), { force: true })
  }
}
