/*
 * What `diagnose` finds, as plain data.
 */

/** What a finding is about; docs/diagnosis.md has a section on each. */
export type FindingKind =
  | 'notFinite'
  | 'vanishingGradients'
  | 'explodingGradients'
  | 'deadUnits'
  | 'saturatedUnits'
  | 'heavyTail'
  | 'smallBatch'
  | 'largeBatch'
  | 'opposedSamples'
  | 'conflictingTasks'
  | 'unequalTasks'
  | 'rareClass'
  | 'hardClass'
  | 'suspectLabels'

/** One thing that stands out. */
export type Finding = {
  readonly kind: FindingKind
  /** The layer, head, class or pair of heads; '' for the whole. */
  readonly where: string
  /** The number that was measured, and the one of `diagnosisThresholds` that it passed. */
  readonly value: number
  readonly threshold: number
  /** In one sentence. */
  readonly text: string
  /** What to try, by the names of options. */
  readonly suggestion: string
}

/** A layer with parameters. */
export type LayerDiagnosis = {
  /** What the names of its tensors begin with. */
  readonly name: string
  readonly parameters: number
  /** Norm of its part of the mean gradient ḡ. */
  readonly gradientNorm: number
  /** Mean over the samples of the norm of its part of gᵢ. */
  readonly meanSampleNorm: number
  /** Mean of ‖δᵢ‖, the gradient by its bias; of its part of gᵢ where it has none. */
  readonly deltaNorm: number
  /** Of a layer with an activation; undefined for others. */
  readonly units?: {
    readonly count: number
    readonly activation: 'relu' | 'other'
    /** Units of relu that are 0, of others that have a slope of at most `slope`, in `quietSamples` of the samples. */
    readonly quiet: number
  }
}

/** Norms of the samples' gradients ‖gᵢ‖. */
export type NormDistribution = {
  readonly mean: number
  readonly quantiles: { readonly p10: number; readonly p50: number; readonly p90: number; readonly p99: number }
  readonly largest: number
  /** Share of Σ ‖gᵢ‖ that the hundredth of the samples with the largest norms has. */
  readonly topShare: number
}

export type ClassDiagnosis = {
  readonly label: number
  readonly samples: number
  /** Of all samples. */
  readonly share: number
  /** Mean loss of its samples; NaN without any. */
  readonly meanLoss: number
}

/** The classes of an output that has some. */
export type OutputDiagnosis = {
  /** The head; '' for the only output. */
  readonly head: string
  /** Mean loss of its samples, without the head's weight. */
  readonly loss: number
  /** Norm of its gradient on the parameters that all heads share, with the head's weight. */
  readonly gradientNorm: number
  readonly classes?: readonly ClassDiagnosis[]
  /** Samples of largest loss, the largest first: candidates for wrong labels. */
  readonly largestLosses: readonly { readonly row: number; readonly loss: number; readonly label?: number }[]
}

/** What `diagnose` measured on a sample of the data. */
export type Diagnosis = {
  readonly samples: number
  /** Rows of the data that were looked at, ascending. */
  readonly rows: readonly number[]
  readonly parameterCount: number
  readonly batchSize?: number
  readonly loss: number
  /** ‖ḡ‖ */
  readonly gradientNorm: number
  /** Trace of the unbiased covariance of gᵢ. */
  readonly variance: number
  /** tr Σ / ‖G‖², both unbiased; NaN where the estimate of ‖G‖² is not above 0. */
  readonly noiseScale: number
  readonly norms: NormDistribution
  /** `deltaNorm` of the first layer over the largest of the output layers. */
  readonly deltaRatio: number
  readonly layers: readonly LayerDiagnosis[]
  /** Cosines between gradients of different samples; by class where there is one output with classes. */
  readonly cosines: {
    readonly mean: number
    readonly negativeShare: number
    readonly within?: number
    readonly between?: number
  }
  readonly outputs: readonly OutputDiagnosis[]
  /** Of a model with heads: cosines between their gradients on shared parameters, [heads, heads]. */
  readonly taskCosines?: { readonly heads: readonly string[]; readonly data: readonly number[] }
  /** What stands out; nothing where nothing does. */
  readonly findings: readonly Finding[]
}

/** Where findings begin. docs/diagnosis.md explains each. */
export const diagnosisThresholds = Object.freeze({
  /** `deltaRatio` below and above which gradients vanish and explode. */
  vanishing: 0.01,
  exploding: 100,
  /** Share of a layer's units that are quiet. */
  quietUnits: 0.1,
  /** Slope of an activation that counts as none, and the share of samples that makes a unit quiet. */
  slope: 0.01,
  quietSamples: 0.99,
  /** Share of Σ ‖gᵢ‖ in a hundredth of the samples, looked at from this many samples on. */
  topShare: 0.15,
  topSamples: 100,
  /** Noise scale over batch size, and batch size over noise scale. */
  batchRatio: 10,
  /** Mean cosine within classes. */
  withinCosine: 0,
  /** Cosine between two heads' gradients; ratio of their norms. */
  taskCosine: -0.1,
  taskRatio: 10,
  /** The most frequent class's samples over a class's. */
  classRatio: 10,
  /** A class's mean loss over that of all samples, and its samples at least. */
  classLoss: 3,
  classSamples: 5,
  /** Nats above log K from which a loss contradicts its label, and the share of such samples. */
  contradiction: 2,
  suspectShare: 0.02,
})
