// @ts-check
// Curvature products at one point of a deep autoencoder, and what a solver adds to them.

export const scenario = {
  name: 'curvature',
  title: 'Curvature products on a deep autoencoder',
  sizes: [784, 1000, 500, 250, 30, 250, 500, 1000, 784],
  /** Layers without an activation, counted from 0: the code, and the logits. */
  linear: [3, 7],
  batchSize: 512,
  contestants: ['krylov-2', 'pytorch-2', 'pytorch-blas-2'],
  products: ['gradient', 'ggn', 'hessian', 'empiricalFisher'],
  /** Turns of each contestant, and seconds of one product's turn. */
  rounds: 3,
  secondsPerProduct: 1.5,
  /** Milliseconds and ratios to the gradient to stay below, and the share of the peak that counts as well. */
  reach: { gradient: 58, ggn: 72, hessian: 105, ratios: { ggn: 1.35, hessian: 2 }, share: 0.68 },
  solve: { batchSize: 2048, iterations: 100, share: 0.95 },
  readySeconds: 60,
}
