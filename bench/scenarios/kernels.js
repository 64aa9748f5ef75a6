// @ts-check
// Single calls across the boundary, by the `benchmark` package.

export const scenario = {
  name: 'kernels',
  title: 'Single calls and kernels',
  workloads: ['tiny', 'tabular', 'mnist-s', 'mnist-m'],
  calls: ['predict 1 row', 'predict 128 rows', 'evaluate 1024 rows', 'trainer.step', 'linearize + gradient'],
  /** Seconds that the package samples a call for, at most. */
  secondsPerCall: 1,
  secondsPerKernel: 0.5,
  readySeconds: 20,
}
