// @ts-check
// Time of one training step, contestant by contestant.

export const scenario = {
  name: 'steps',
  title: 'Training steps: gather, forward, loss, backward, Adam update',
  workloads: ['tiny', 'tabular', 'mnist-s', 'mnist-m'],
  contestants: [
    'krylov-1',
    'krylov-2',
    'pytorch-1',
    'pytorch-2',
    'pytorch-blas-2',
    'scikit-learn-1',
    'scikit-learn-2',
    'tfjs',
    'tfjs-wasm',
    'brain.js',
    'convnetjs',
    'synaptic',
  ],
  /** Turns of each contestant for each workload; contestants take turns in order. */
  rounds: 5,
  /** Seconds of training in one turn; Krylov's turns include what `train` does before its first step. */
  secondsPerTurn: { krylov: 1, peer: 0.4 },
  warmUpSeconds: 0.5,
  /** A contestant that has used so many seconds on one workload takes no further turn. */
  peerBudgetSeconds: 3,
  /** A contestant that is not ready to train by then is left out, with this as the reason. */
  readySeconds: 20,
  /** Measured once and not worth waiting for again in every run. */
  tooSlow: [
    { contestant: 'synaptic', workload: 'mnist-s', reason: 'about 12 s a step' },
    { contestant: 'synaptic', workload: 'mnist-m', reason: 'more than 20 s a step' },
  ],
  probe: { milliseconds: 200, megabytes: 256 },
}
