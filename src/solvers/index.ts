export type {
  CollectOptions,
  ConjugateGradientOptions,
  ConjugateGradientResult,
  ProgressOptions,
  StoredIterate,
  StoreOptions,
} from './conjugate-gradient.js'
export { conjugateGradient, conjugateGradientSync } from './conjugate-gradient.js'
export type { KernelRegression, KernelRegressionOptions } from './kernel-regression.js'
export { kernelRegression } from './kernel-regression.js'
export type { LanczosOptions, LanczosResult } from './lanczos.js'
export { lanczos, lanczosSync } from './lanczos.js'
export type { LeastSquaresOptions } from './least-squares.js'
export { leastSquares, leastSquaresSync } from './least-squares.js'
export type { MinresOptions, MinresResult } from './minres.js'
export { minres, minresSync } from './minres.js'
export type { SolveIteration, SolveOptions, SolveResult } from './options.js'
export type { SteihaugOptions, SteihaugReason, SteihaugResult } from './steihaug.js'
export { steihaug, steihaugSync } from './steihaug.js'
export type {
  FiniteSurrogateKernel,
  FiniteSurrogateKernelOptions,
  SurrogateActivation,
  SurrogateKernel,
  SurrogateKernelOptions,
} from './surrogate-kernel.js'
export { finiteSurrogateKernel, surrogateKernel } from './surrogate-kernel.js'
