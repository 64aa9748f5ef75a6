import { formatNumber } from '../report/text.js'
import type { Diagnosis, Finding, FindingKind } from './result.js'
import { diagnosisThresholds as limits } from './result.js'

/*
 * From numbers to sentences. Each finding names its number, the threshold and what exists against it.
 */

type Measured = Omit<Diagnosis, 'findings'>
type Suspects = { readonly head: string; readonly share: number; readonly count: number }

const percent = (share: number): string => `${formatNumber(100 * share, 3)} %`

function finding(
  kind: FindingKind,
  where: string,
  value: number,
  threshold: number,
  text: string,
  suggestion: string,
): Finding {
  return Object.freeze({ kind, where, value, threshold, text, suggestion })
}

const ofHead = (head: string): string => (head === '' ? '' : `head '${head}': `)

function gradientFindings({ deltaRatio, layers }: Measured): Finding[] {
  const first = layers[0]?.name ?? ''
  if (deltaRatio < limits.vanishing) {
    return [
      finding(
        'vanishingGradients',
        first,
        deltaRatio,
        limits.vanishing,
        `Gradients vanish on their way back: at ${first} their size is ${formatNumber(deltaRatio, 3)} of that at the output (below ${limits.vanishing}).`,
        'Try relu or gelu instead of saturating activations, residual() blocks, layerNorm() between layers, or weightInitialiser: heNormal() for relu and xavierNormal() for tanh.',
      ),
    ]
  }
  if (!(deltaRatio > limits.exploding)) return []
  return [
    finding(
      'explodingGradients',
      first,
      deltaRatio,
      limits.exploding,
      `Gradients explode on their way back: at ${first} their size is ${formatNumber(deltaRatio, 3)} times that at the output (above ${limits.exploding}).`,
      'Try smaller initial weights (weightInitialiser: heNormal() or xavierNormal()), layerNorm() between layers, a smaller learningRate, or clipping: sampleClipping().',
    ),
  ]
}

function unitFindings({ layers, samples }: Measured): Finding[] {
  return layers.flatMap(({ name, units }) => {
    if (units === undefined || !(units.quiet / units.count > limits.quietUnits)) return []
    const share = units.quiet / units.count
    const counted = `${units.quiet} of ${units.count} units of ${name}`
    const passed = `(${percent(share)}, above ${percent(limits.quietUnits)})`
    if (units.activation === 'relu') {
      return [
        finding(
          'deadUnits',
          name,
          share,
          limits.quietUnits,
          `${counted} are dead: 0 for ${percent(limits.quietSamples)} or more of the ${samples} samples ${passed}.`,
          "Try a smaller learningRate, weightInitialiser: heNormal(), biases that start at 0, or the activation leakyRelu() or 'gelu'; layerNorm() before the layer keeps its inputs in range.",
        ),
      ]
    }
    return [
      finding(
        'saturatedUnits',
        name,
        share,
        limits.quietUnits,
        `${counted} are saturated: their slope is at most ${limits.slope} for ${percent(limits.quietSamples)} or more of the ${samples} samples ${passed}.`,
        "Standardise the inputs (data.standardize on the command line), try smaller initial weights (weightInitialiser: xavierNormal()), layerNorm() before the layer, a smaller learningRate, or the activation 'relu'.",
      ),
    ]
  })
}

function sampleFindings({ norms, samples, noiseScale, variance, batchSize, cosines }: Measured): Finding[] {
  const found: Finding[] = []
  if (samples >= limits.topSamples && norms.topShare > limits.topShare) {
    found.push(
      finding(
        'heavyTail',
        '',
        norms.topShare,
        limits.topShare,
        `A hundredth of the samples has ${percent(norms.topShare)} of all gradient norms (above ${percent(limits.topShare)}).`,
        `Try clipping: sampleClipping({ threshold: ${formatNumber(norms.quantiles.p90, 2)} }), which no sample of the lower nine tenths feels; look at the largest losses for wrong labels or outliers.`,
      ),
    )
  }
  if (batchSize !== undefined && variance > 0) {
    const ratio = Number.isNaN(noiseScale) ? Number.POSITIVE_INFINITY : noiseScale / batchSize
    const scale = Number.isNaN(noiseScale) ? 'larger than this sample can tell' : `about ${formatNumber(noiseScale, 3)}`
    if (ratio > limits.batchRatio) {
      found.push(
        finding(
          'smallBatch',
          '',
          ratio,
          limits.batchRatio,
          `Steps are mostly noise: the gradient noise scale is ${scale}, more than ${limits.batchRatio} times the batch size ${batchSize}.`,
          'Try a larger batchSize, a smaller learningRate, or more momentum.',
        ),
      )
    } else if (1 / ratio > limits.batchRatio) {
      found.push(
        finding(
          'largeBatch',
          '',
          1 / ratio,
          limits.batchRatio,
          `The batch size ${batchSize} is more than ${limits.batchRatio} times the gradient noise scale, ${scale}: samples of a step tell nearly the same.`,
          'A smaller batchSize gives more steps for the same work; or raise the learningRate.',
        ),
      )
    }
  }
  if (cosines.within !== undefined && cosines.within < limits.withinCosine) {
    found.push(
      finding(
        'opposedSamples',
        '',
        cosines.within,
        limits.withinCosine,
        `Samples of one class pull against each other: the mean cosine of their gradients is ${formatNumber(cosines.within, 3)} (below ${limits.withinCosine}).`,
        'Check the labels (noisyLabelCandidates); try weights: generalizedCrossEntropyWeights(), or a larger model.',
      ),
    )
  }
  return found
}

function taskFindings({ taskCosines, outputs }: Measured): Finding[] {
  if (taskCosines === undefined) return []
  const { heads, data } = taskCosines
  const found: Finding[] = []
  heads.forEach((first, i) => {
    for (let j = i + 1; j < heads.length; j++) {
      const cosine = data[i * heads.length + j] as number
      if (!(cosine < limits.taskCosine)) continue
      found.push(
        finding(
          'conflictingTasks',
          `${first}, ${heads[j]}`,
          cosine,
          limits.taskCosine,
          `The heads '${first}' and '${heads[j]}' conflict: the cosine of their gradients on shared parameters is ${formatNumber(cosine, 3)} (below ${limits.taskCosine}).`,
          'Try multitask: pcGrad(), or caGrad(); or give the heads more layers of their own.',
        ),
      )
    }
  })
  const norms = outputs.map(({ gradientNorm }) => gradientNorm)
  const largest = Math.max(...norms)
  const smallest = Math.min(...norms)
  if (smallest > 0 && largest / smallest > limits.taskRatio) {
    const loud = outputs[norms.indexOf(largest)]?.head ?? ''
    const quiet = outputs[norms.indexOf(smallest)]?.head ?? ''
    found.push(
      finding(
        'unequalTasks',
        `${loud}, ${quiet}`,
        largest / smallest,
        limits.taskRatio,
        `The head '${loud}' has ${formatNumber(largest / smallest, 3)} times the gradient of '${quiet}' (above ${limits.taskRatio}): the shared parameters hear little of the latter.`,
        'Try lossWeights, or multitask: gradNorm().',
      ),
    )
  }
  return found
}

function classFindings({ outputs, samples }: Measured): Finding[] {
  return outputs.flatMap(({ head, loss, classes }) => {
    if (classes === undefined) return []
    const found: Finding[] = []
    const most = Math.max(...classes.map((one) => one.samples))
    const seen = classes.filter((one) => one.samples > 0)
    const rare = seen.find((one) => seen.every((other) => one.samples <= other.samples))
    if (rare !== undefined && most / rare.samples > limits.classRatio) {
      found.push(
        finding(
          'rareClass',
          `${ofHead(head)}class ${rare.label}`,
          most / rare.samples,
          limits.classRatio,
          `${ofHead(head)}Class ${rare.label} is rare: ${rare.samples} of ${samples} samples, one for ${formatNumber(most / rare.samples, 3)} of the most frequent class (above ${limits.classRatio}).`,
          'Try weights: focalWeights(), or classWeights of the loss; measure f1 rather than accuracy.',
        ),
      )
    }
    const enough = seen.filter((one) => one.samples >= limits.classSamples)
    const hard = enough.find((one) => enough.every((other) => one.meanLoss >= other.meanLoss))
    if (hard !== undefined && hard.meanLoss > limits.classLoss * loss) {
      found.push(
        finding(
          'hardClass',
          `${ofHead(head)}class ${hard.label}`,
          hard.meanLoss / loss,
          limits.classLoss,
          `${ofHead(head)}Class ${hard.label} is hard: its mean loss ${formatNumber(hard.meanLoss, 3)} is ${formatNumber(hard.meanLoss / loss, 3)} times that of all samples (above ${limits.classLoss}).`,
          'Try weights: focalWeights(), or classWeights of the loss; look whether its labels are right.',
        ),
      )
    }
    return found
  })
}

function labelFindings(suspects: readonly Suspects[]): Finding[] {
  return suspects
    .filter(({ share }) => share > limits.suspectShare)
    .map(({ head, share, count }) =>
      finding(
        'suspectLabels',
        head,
        share,
        limits.suspectShare,
        `${ofHead(head)}${count} samples contradict a model that fits most others: ${percent(share)} (above ${percent(limits.suspectShare)}) have a loss of at least log K + ${limits.contradiction}.`,
        'Look at the samples of largest loss for wrong labels (noisyLabelCandidates); try weights: generalizedCrossEntropyWeights() or smallLossWeights().',
      ),
    )
}

function notFiniteFindings(measured: Measured): Finding[] {
  const bad = [measured.loss, measured.gradientNorm, measured.norms.largest].find((value) => !Number.isFinite(value))
  if (bad === undefined) return []
  return [
    finding(
      'notFinite',
      '',
      bad,
      Number.MAX_VALUE,
      'The loss or a gradient is infinite or NaN: nothing else can be said of this model.',
      'Standardise the inputs, and try smaller initial weights or a smaller learningRate.',
    ),
  ]
}

/** What stands out of the numbers, the gravest first. */
export function findingsOf(measured: Measured, suspects: readonly Suspects[]): Finding[] {
  const broken = notFiniteFindings(measured)
  if (broken.length > 0) return broken
  return [
    ...gradientFindings(measured),
    ...unitFindings(measured),
    ...taskFindings(measured),
    ...labelFindings(suspects),
    ...sampleFindings(measured),
    ...classFindings(measured),
  ]
}
