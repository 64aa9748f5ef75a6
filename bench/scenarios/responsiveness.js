// @ts-check
// What a program that trains in the background feels.

export const scenario = {
  name: 'responsiveness',
  title: 'Abort latency, timer lag and small calls',
  training: 'mnist-m',
  abort: { tries: 10, afterMilliseconds: 150, reach: 20 },
  lag: { seconds: 3, intervalMilliseconds: 1, reach: 20 },
  predict: { workload: 'tabular', calls: 200_000, rounds: 7, reach: 3 },
  readySeconds: 20,
}
