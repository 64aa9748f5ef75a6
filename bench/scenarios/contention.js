// @ts-check
// Two threads against one beside busy processes of others.

export const scenario = {
  name: 'contention',
  title: 'Two threads beside busy neighbours',
  workloads: ['mnist-s', 'mnist-m'],
  contestants: ['krylov-1', 'krylov-2'],
  neighbours: [0, 1, 2],
  rounds: 5,
  secondsPerTurn: 0.7,
  warmUpSeconds: 0.5,
  readySeconds: 20,
  /** Largest time of two threads over that of one, beside the same neighbours. */
  reach: 1.3,
}
