// @ts-check
// What a gradient for each task costs, against one backward pass of the tasks' summed loss.

export const scenario = {
  name: 'multitask',
  title: 'Several tasks: steps by method over the step of the summed loss',
  workload: 'mnist-s',
  /** Outputs of the second head beside the workload's own: even or odd. */
  secondHead: 2,
  contestants: ['krylov-1', 'krylov-2'],
  /** Times over the summed loss to stay below. */
  reach: { pcGrad: 1.6 },
  /** Turns of each arm, which alternate within a process. */
  rounds: 9,
  /** A turn holds what `train` does before its first step, as in `steps`. */
  secondsPerTurn: 0.4,
  warmUpSeconds: 0.3,
  readySeconds: 30,
}
