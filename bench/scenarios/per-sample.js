// @ts-check
// What per-sample gradients add to a training step, and how fast they are written.

export const scenario = {
  name: 'per-sample',
  title: 'Per-sample gradients: clipped steps, norms, [N, P]',
  workloads: ['tabular', 'mnist-s'],
  contestants: ['krylov-2', 'pytorch-2', 'pytorch-blas-2'],
  /**
   * Steps as in the scenario `steps`. `clipped` and `clippedByLayer` scale nearly every sample, `norms` none: its
   * threshold is out of reach, so that norms are computed and nothing follows from them.
   */
  thresholds: { clipped: 1e-3, norms: 1e30 },
  /** Times over the plain step to stay below, and the share of write bandwidth to reach on the workload named. */
  reach: { clipped: 1.15, clippedByLayer: 1.15, norms: 1.1, share: 0.7, shareOf: 'mnist-s' },
  /** Turns of each arm; the plain step and the others alternate within a process. */
  rounds: 9,
  /** Seconds of a turn. A step's turn holds what `train` does before its first step, as in `steps`. */
  secondsPerTurn: { step: 0.4, quantity: 0.15 },
  warmUpSeconds: 0.3,
  /** A peer's arm that has used so many seconds takes no further turn. */
  peerBudgetSeconds: 4,
  readySeconds: 30,
}
