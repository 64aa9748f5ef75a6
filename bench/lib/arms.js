// @ts-check
// What one process times in turns: each arm does as much at a time as was asked for in seconds.

/** @typedef {{ train: (steps: number) => Promise<number> | number, estimate: number }} Arm `estimate`: microseconds a step or call */

/** @param {Arm} arm @param {number} count @returns {Promise<number>} seconds */
async function timed(arm, count) {
  const begin = performance.now()
  const done = await arm.train(count)
  const seconds = (performance.now() - begin) / 1000
  arm.estimate = (seconds * 1e6) / done
  return seconds
}

/**
 * Warms every arm up and gives what answers to requests.
 *
 * @param {Record<string, Arm>} arms
 * @param {number} warmUpSeconds of each
 */
export async function warmedArms(arms, warmUpSeconds) {
  for (const arm of Object.values(arms)) {
    for (let spent = 0, count = 1; spent < warmUpSeconds; count *= 2) spent += await timed(arm, count)
  }
  /** @param {{ arm: string, seconds: number }} request */
  return async (request) => {
    const arm = arms[request.arm]
    if (arm === undefined) throw new Error(`unknown arm ${request.arm}`)
    const seconds = await timed(arm, Math.max(1, Math.round((request.seconds * 1e6) / arm.estimate)))
    return { microseconds: arm.estimate, seconds }
  }
}
