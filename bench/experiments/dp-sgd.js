// @ts-check
// Differentially private training on MNIST: test accuracy against the epsilon spent, and the samples per second.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { loadKrylov } from '../lib/krylov.js'
import { readMnist } from '../lib/mnist.js'
import { count, kMnistRows, positive, readOptions } from '../lib/options.js'
import { writePage } from '../lib/page.js'
import { pythonWith } from '../lib/python.js'
import { print, progress } from '../lib/results.js'
import { mean, standardDeviation } from '../lib/statistics.js'
import { percent, table } from '../lib/table.js'

const kInputs = 784
const kHidden = 128
const kClasses = 10
const kDelta = 1e-5
const kMomentum = 0.9
const kPeerSteps = 10
const kPeer = fileURLToPath(new URL('../peers/pytorch_dp_sgd.py', import.meta.url))

/**
 * Samples per second of PyTorch's steps, or why there are none.
 *
 * @param {number} batchSize @param {number} threads
 */
function peer(batchSize, threads) {
  const { command, version, reason } = pythonWith('torch')
  if (command === undefined) return { reason }
  const sizes = JSON.stringify([[kInputs, kHidden, kClasses], batchSize, kPeerSteps, threads])
  const { status, stdout, stderr } = spawnSync(command, [kPeer, sizes], { encoding: 'utf8', timeout: 600_000 })
  if (status !== 0) return { reason: `PyTorch failed: ${stderr.trim().split('\n').at(-1)}` }
  return { version, samplesPerSecond: Number(JSON.parse(stdout).samplesPerSecond) }
}

/** @param {string[]} args */
export async function run(args) {
  const options = readOptions('dp-sgd', args, {
    seeds: count(3, 'runs of each arm'),
    epochs: count(20, 'epochs of a run'),
    rows: count(kMnistRows, 'training images', kMnistRows),
    'batch-size': count(2048, 'samples of a step in the mean', kMnistRows),
    'learning-rate': positive(1, 'of the private runs'),
    threshold: positive(0.5, 'largest norm that is left alone'),
  })
  if (options === undefined) return
  const { seeds, epochs, rows, 'batch-size': batchSize, 'learning-rate': learningRate, threshold } = options
  const krylov = await loadKrylov()
  const mnist = readMnist()
  const data = {
    inputs: { data: mnist.train.inputs.subarray(0, rows * kInputs), shape: [rows, kInputs] },
    targets: mnist.train.labels.subarray(0, rows),
  }
  const validation = {
    inputs: { data: mnist.test.inputs, shape: [mnist.test.rows, kInputs] },
    targets: mnist.test.labels,
  }
  /** @param {number} targetEpsilon @param {object} [more] */
  const privacy = (targetEpsilon, more = {}) => ({ targetEpsilon, delta: kDelta, threshold, ...more })
  const adapt = krylov.quantileThreshold({ quantile: 0.3 })
  /** @type {{ name: string, rate?: number, privacy?: Record<string, any> }[]} */
  const arms = [
    // Without clipping such a learning rate is too large.
    { name: 'no privacy', rate: learningRate / 10 },
    { name: 'ε = 8', privacy: privacy(8) },
    { name: 'ε = 3', privacy: privacy(3) },
    { name: 'ε = 1', privacy: privacy(1) },
    { name: 'ε = 3, by layer', privacy: privacy(3, { threshold: threshold / Math.SQRT2, by: 'layer' }) },
    { name: 'ε = 3, C at a quantile', privacy: privacy(3, { adapt }) },
  ]

  /** @param {(typeof arms)[number]} arm @param {number} seed */
  const one = async (arm, seed) => {
    const layers = [krylov.dense(kHidden, 'tanh'), krylov.dense(kClasses)]
    const model = krylov.createModel({ inputs: kInputs, layers, seed, dtype: 'float32' })
    const history = await krylov.train(model, data, {
      loss: krylov.softmaxCrossEntropy(),
      optimizer: krylov.sgd({ learningRate: arm.rate ?? learningRate, momentum: kMomentum }),
      batchSize,
      epochs,
      seed,
      validation,
      ...(arm.privacy === undefined
        ? {}
        : { privacy: krylov.differentialPrivacy({ ...arm.privacy, seed: 1000 + seed }) }),
    })
    const curve = history.epochs.map(({ validation: held, privacy: spent, epoch, numbers }) => ({
      epoch,
      accuracy: held.accuracy,
      epsilon: spent?.epsilon,
      clippedShare: numbers?.clippedShare,
      clippingThreshold: numbers?.clippingThreshold,
    }))
    const accuracy = curve.at(-1)?.accuracy ?? Number.NaN
    const result = {
      name: arm.name,
      seed,
      accuracy,
      epsilon: history.privacy?.epsilon,
      noiseMultiplier: history.privacy?.noiseMultiplier,
      samplesPerSecond: mean(history.epochs.map((/** @type {any} */ epoch) => epoch.samplesPerSecond)),
      curve,
    }
    progress(`  seed ${seed}, ${arm.name}: ${percent(accuracy)}, ${Math.round(result.samplesPerSecond)} samples/s`)
    return result
  }

  const results = []
  for (let seed = 1; seed <= seeds; seed++) {
    for (const arm of arms) results.push(await one(arm, seed))
  }
  const summary = arms.map(({ name }) => {
    const own = results.filter((result) => result.name === name)
    const accuracies = own.map(({ accuracy }) => accuracy)
    return {
      name,
      accuracy: mean(accuracies),
      spread: standardDeviation(accuracies),
      least: Math.min(...accuracies),
      epsilon: own[0]?.epsilon,
      noiseMultiplier: own[0]?.noiseMultiplier,
      samplesPerSecond: mean(own.map(({ samplesPerSecond }) => samplesPerSecond)),
    }
  })
  const body = table(
    ['training', 'noise multiplier', 'ε spent', 'test accuracy', 'spread', 'least', 'samples per second'],
    summary.map(({ name, accuracy, spread: deviation, least, epsilon, noiseMultiplier, samplesPerSecond }) => [
      name,
      noiseMultiplier === undefined ? '–' : noiseMultiplier.toFixed(3),
      epsilon === undefined ? '–' : epsilon.toFixed(3),
      percent(accuracy),
      percent(deviation),
      percent(least),
      Math.round(samplesPerSecond).toLocaleString('en-US'),
    ]),
  )
  print(body)
  const torch = peer(batchSize, krylov.systemInfo().defaultThreads)
  const fastest = summary.find(({ name }) => name === 'ε = 3')?.samplesPerSecond
  const beside =
    torch.samplesPerSecond === undefined || fastest === undefined
      ? `PyTorch was not measured: ${torch.reason ?? 'without the arm ε = 3'}.`
      : `Steps by einsum in PyTorch ${torch.version}: ${Math.round(torch.samplesPerSecond).toLocaleString('en-US')} samples per second; Krylov has ${(fastest / torch.samplesPerSecond).toFixed(1)} times as many.`
  print(beside)
  await writePage({
    name: 'dp-sgd',
    title: 'Differentially private training on MNIST',
    command: `npm run experiment -- dp-sgd --seeds ${seeds} --epochs ${epochs} --rows ${rows}`,
    text: [
      `MNIST, 784-${kHidden}-10 with tanh, float32, SGD with momentum ${kMomentum} and a learning rate of ${learningRate} (a tenth of it without privacy), Poisson samples of`,
      `${batchSize} expected (shuffled batches without privacy), ${epochs} epochs; every sample's gradient clipped to a norm of ${threshold} and`,
      `noise for the ε that is to be spent, δ = ${kDelta}. Accuracies are of the 10 000 test images after the last epoch, means over`,
      `${seeds} ${seeds === 1 ? 'seed' : 'seeds'} (start, samples and noise) with the standard deviation of one run as spread. Settings were chosen with`,
      'these images in view, at no cost in ε.',
      '',
      body,
      '',
      beside,
      '',
      '![accuracy]',
    ].join('\n'),
    charts: {
      accuracy: {
        title: 'Test accuracy by ε spent, seed 1',
        xLabel: 'ε',
        series: arms
          .filter((arm) => arm.privacy !== undefined)
          .map(({ name }) => ({
            name,
            points: (results.find((result) => result.name === name)?.curve ?? []).map(({ epsilon, accuracy }) => [
              epsilon,
              accuracy,
            ]),
          })),
      },
    },
    figures: { seeds, epochs, rows, batchSize, learningRate, threshold, torch, summary, results },
  })
}
