import type {
  NativeDatasetSpec,
  NativeFunctionSources,
  NativeHeadTask,
  NativeLayer,
  NativeNetworkSpec,
  NativeOptimizer,
  NativeStabilityOptions,
  NativeTrainOptions,
} from '../../src/internal/native.js'

/*
 * Arguments as the package passes them to the addon, small and valid.
 */

export function layer(units: number, activation = 'tanh'): NativeLayer {
  return {
    kind: 'dense',
    units,
    bias: true,
    activation: { kind: activation, parameter: 0 },
    weightInitialiser: { kind: 'xavierUniform', gain: 1 },
    biasInitialiser: { kind: 'zeros' },
  }
}

/** Four inputs; a head of two logits and one of a single value. */
export function twoHeads(): NativeNetworkSpec {
  return {
    inputs: 4,
    inputScale: 1 / 255,
    layers: [
      layer(6),
      { kind: 'residual', layers: [layer(5), { kind: 'layerNorm', epsilon: 1e-5 }, layer(6, 'identity')] },
      { kind: 'dropout', rate: 0.25 },
    ],
    heads: [
      { name: 'class', layers: [layer(2, 'identity')] },
      { name: 'value', layers: [layer(1, 'identity')] },
    ],
  }
}

export function tasks(): NativeHeadTask[] {
  const loss = {
    kind: 'softmaxCrossEntropy',
    delta: 1,
    outputs: 'mean',
    scale: 1,
    reduction: 'mean',
    normalizeWeights: false,
    labelSmoothing: 0,
    classTargets: true,
    classWeights: [1, 2],
    weight: 1,
  } as const
  return [
    {
      loss: { ...loss, classWeights: [1, 2] },
      metrics: [{ name: 'accuracy', k: 5, average: 'macro', threshold: 0.5 }],
    },
    {
      loss: { ...loss, kind: 'meanSquaredError', classTargets: false, classWeights: [] },
      metrics: [{ name: 'r2', k: 5, average: 'macro', threshold: 0.5 }],
    },
  ] as NativeHeadTask[]
}

export function dataset(rows = 8): NativeDatasetSpec {
  return {
    inputs: Float32Array.from({ length: rows * 4 }, (_, index) => Math.sin(index)),
    rows,
    columns: 4,
    targets: [
      { kind: 'classes', data: Int32Array.from({ length: rows }, (_, index) => index % 2) },
      { kind: 'dense', data: Float64Array.from({ length: rows }, (_, index) => Math.cos(index)), columns: 1 },
    ],
    sampleWeights: new Float64Array(rows).fill(1),
  }
}

export function adam(): NativeOptimizer {
  const constant = (value: number) => ({ kind: 'constant', value }) as const
  return {
    kind: 'adam',
    numbers: {
      learningRate: {
        kind: 'warmup',
        warmupSteps: 3,
        startFactor: 0.1,
        after: { kind: 'cosine', learningRate: 0.01, minLearningRate: 0, totalSteps: 50 },
      },
      beta1: constant(0.9),
      beta2: constant(0.999),
      epsilon: constant(1e-8),
      weightDecay: constant(0),
    },
    flags: { amsgrad: false, biasCorrection: true },
    words: {},
  }
}

/** An optimizer that looks at the function itself. */
export function lbfgs(): NativeOptimizer {
  const constant = (value: number) => ({ kind: 'constant', value }) as const
  return {
    kind: 'lbfgs',
    numbers: {
      learningRate: constant(1),
      history: constant(5),
      gradientTolerance: constant(1e-7),
      changeTolerance: constant(1e-9),
      maxLineSearchIterations: constant(25),
    },
    flags: {},
    words: { lineSearch: 'strongWolfe' },
  }
}

export function functionSources(): NativeFunctionSources {
  return { value: true, gradient: true, hessian: false, ggn: false, residualCount: 0 }
}

export function trainOptions(): NativeTrainOptions {
  return {
    tasks: tasks(),
    optimizer: adam(),
    batchSize: 3,
    curvatureBatchSize: 0,
    weights: null,
    clipping: null,
    privacy: null,
    stepSize: null,
    sampling: null,
    multitask: null,
    epochs: 2,
    shuffle: true,
    seed: 1,
    threads: 1,
    l2: 0.001,
    stepEvery: 1,
    validation: null,
    rows: new Uint32Array([0, 2, 4, 6, 7]),
    validationRows: new Uint32Array([1, 3]),
    earlyStopping: { head: 0, metric: 0, maximize: true, patience: 3, minDelta: 0, restoreBest: true },
    state: null,
  }
}

export function stabilityOptions(): NativeStabilityOptions {
  return { every: 1, samples: 4, curvature: 'ggn', tolerance: 1e-3, iterations: 3, probes: 2 }
}

/** A block that contains itself. */
export function cyclic(): object {
  const block: { kind: string; layers: unknown[] } = { kind: 'residual', layers: [] }
  block.layers.push(block)
  return block
}
