// @ts-check
// The deep autoencoders of Hinton & Salakhutdinov (2006) from a sparse random start, by several optimizers for the same
// time of training each, in slices that go on where the last one ended.

import { parseArgs } from 'node:util'
import { loadKrylov } from './krylov.js'
import { writePage } from './page.js'
import { print, progress } from './results.js'
import { defaultFolder, RunFolder } from './run-folder.js'
import { figure, table } from './table.js'

/** @import { Arm, Average, Look } from './run-folder.js' */

const kLongestSlice = 40
/** Seconds of training between two looks at the error. */
const kLook = 60
/** Seconds by which a look may come late for its minute: it waits for the update that is under way. */
const kLate = 10
const kPixels = 784
/** Weight of the past in the average of the iterates, which has every one of Hessian-free and every 20th of the others. */
const kAverageDecay = 0.95
const kFirstOrderSteps = 20

/**
 * Options of `train` up to a time.
 *
 * @typedef {object} Stage
 * @property {number} [until] minutes of training; none: to the end
 * @property {any} optimizer
 * @property {number} batchSize
 * @property {number} [curvatureBatchSize]
 * @property {number} [l2]
 */

/**
 * @typedef {object} Contestant
 * @property {string} name of the file of its run
 * @property {string} title
 * @property {string} text how it is run, a sentence
 * @property {string} [details] a table to it
 * @property {(krylov: any) => Stage[]} stages one after the other
 */

/**
 * @typedef {object} Autoencoder
 * @property {string} name of the experiment and its page
 * @property {string} title
 * @property {string} text the data and the network, first paragraph of the page
 * @property {readonly number[]} encoder sizes from the input to the code
 * @property {() => { train: Float32Array, test: Float32Array }} read [rows, 784] each
 * @property {readonly Contestant[]} contestants
 * @property {number} minutes that every contestant gets in all, unless the command says otherwise
 * @property {readonly (readonly [string, number])[]} published errors by name
 * @property {string} [notes] what is to be said of the outcome, last paragraph of the page
 */

/** @param {any} krylov @param {readonly number[]} encoder @param {'identity' | 'sigmoid'} output */
function createAutoencoder(krylov, encoder, output) {
  const widths = [...encoder.slice(1), ...encoder.slice(0, -1).reverse()]
  const layers = widths.map((units, i) => {
    const code = i === encoder.length - 2
    const last = i === widths.length - 1
    const activation = last ? output : code ? 'identity' : 'sigmoid'
    return krylov.dense(units, activation, { weightInitialiser: krylov.sparse() })
  })
  return krylov.createModel({ inputs: encoder[0], layers, seed: 1, dtype: 'float32' })
}

/**
 * Takes up one more iterate; the first few weigh the same. Such averages are what Martens & Grosse (2015) look at.
 *
 * @param {Average} average
 * @param {Float32Array} iterate
 */
function takeUp(average, iterate) {
  const decay = Math.min(1 - 1 / ++average.count, kAverageDecay)
  const { values } = average
  for (let i = 0; i < values.length; i++) values[i] = decay * (values[i] ?? 0) + (1 - decay) * (iterate[i] ?? 0)
}

/**
 * The stage that an arm is in, and the seconds at which it ends.
 *
 * @param {readonly Stage[]} stages
 * @param {number} seconds
 */
function stageAt(stages, seconds) {
  const index = stages.findIndex(({ until = Number.POSITIVE_INFINITY }) => seconds < 60 * until - 1)
  const { until = Number.POSITIVE_INFINITY, ...options } = stages[index] ?? {}
  return { options, end: 60 * until }
}

/** @param {Float32Array} images */
function reconstruction(images) {
  const matrix = { data: images, shape: [images.length / kPixels, kPixels] }
  return { inputs: matrix, targets: matrix }
}

/** Multiply-adds count twice. @param {readonly number[]} encoder */
export function gradientFlops(encoder) {
  const widths = [...encoder, ...encoder.slice(0, -1).reverse()]
  const product = widths.slice(1).reduce((sum, width, i) => sum + 2 * width * (widths[i] ?? 0), 0)
  return 3 * product - 2 * (widths[0] ?? 0) * (widths[1] ?? 0)
}

/**
 * Trains one arm until its seconds are over or `stop` says so, with a look every so often.
 *
 * @param {any} krylov
 * @param {Autoencoder} task
 * @param {Contestant} contestant
 * @param {{ train: any, test: any }} data
 * @param {{ seconds: number, stop: AbortSignal, folder: RunFolder }} how
 */
async function slice(krylov, task, contestant, data, { seconds, stop, folder }) {
  const { name } = contestant
  const stages = contestant.stages(krylov)
  const arm = folder.open(name, JSON.stringify(stages))
  const model = createAutoencoder(krylov, task.encoder, 'identity')
  const measured = createAutoencoder(krylov, task.encoder, 'sigmoid')
  if (arm.parameters !== undefined) model.setParameters(arm.parameters)
  const average = arm.average ?? { values: new Float32Array(model.parameterCount), count: 0 }
  const squares = krylov.meanSquaredError({ outputs: 'sum' })
  /** @param {any} part */
  const error = async (part) => (await krylov.evaluate(measured, part, { loss: squares })).loss
  let iterations = arm.curve.at(-1)?.iterations ?? 0
  /** @type {Record<string, number> | undefined} */
  let numbers
  const look = async (/** @type {number} */ at, /** @type {number} */ updates) => {
    const parameters = model.parameters
    measured.setParameters(parameters)
    const iterateError = await error(data.train)
    measured.setParameters(average.count === 0 ? parameters : average.values)
    const seen = {
      ...{ seconds: at, updates, iterations, iterateError },
      ...{ error: await error(data.train), testError: await error(data.test) },
    }
    arm.curve.push(numbers === undefined ? seen : { ...seen, numbers })
    arm.average = average
    arm.parameters = parameters
    folder.save(name, arm)
    const detail = numbers === undefined ? '' : `, damping ${figure(numbers.damping)}, ${iterations} iterations`
    progress(
      `  ${name} ${(at / 60).toFixed(1)} min: ${seen.error.toFixed(4)} (test ${seen.testError.toFixed(4)}), ${updates} updates${detail}`,
    )
  }
  arm.slices++
  if (arm.curve.length === 0) await look(0, 0)
  const start = arm.curve.at(-1)?.seconds ?? 0
  for (let spent = 0; spent < seconds && !stop.aborted; ) {
    const controller = new AbortController()
    let seen = arm.curve.at(-1)?.updates ?? 0
    const { options, end } = stageAt(stages, start + spent)
    const due = Math.min(kLook, seconds - spent, end - start - spent)
    const run = krylov.train(model, data.train, {
      loss: krylov.binaryCrossEntropy({ outputs: 'sum' }),
      ...options,
      epochs: 1_000_000,
      seed: 1,
      signal: controller.signal,
      ...(arm.state === undefined ? {} : { resume: arm.state }),
      onStep: {
        every: krylov.minimizerKinds.includes(options.optimizer.kind) ? 1 : kFirstOrderSteps,
        callback: (/** @type {any} */ step) => {
          takeUp(average, model.parameters)
          if (step.numbers !== undefined) {
            numbers = step.numbers
            // Updates that were not told (who is slow hears of the newest only) count like the one that was.
            iterations += (step.numbers.cgIterations ?? 0) * (step.updates - seen)
            seen = step.updates
          }
          if (step.seconds >= due || stop.aborted) controller.abort()
        },
      },
    })
    const history = await run
    if (history.reason !== 'aborted') {
      throw new Error(
        `${name}: expected training to go on, received its end: ${JSON.stringify(history.notFinite ?? history.reason)}`,
      )
    }
    arm.state = run.state()
    spent += history.seconds
    await look(start + spent, history.updates)
  }
  return arm
}

/** The looks up to a time. @param {readonly Look[]} curve @param {number} minutes */
function upTo(curve, minutes) {
  return curve.filter(({ seconds }) => seconds <= 60 * minutes + kLate)
}

/**
 * Compares the arms over the same time: what one has had beyond that is in the figures only.
 *
 * @param {Autoencoder} task
 * @param {readonly (readonly [Contestant, Arm])[]} runs
 * @param {number} rows
 * @param {number} total minutes that every arm is to have
 */
async function report(task, runs, rows, total) {
  const arms = runs.map(([contestant, arm]) => {
    return /** @type {const} */ ([contestant, { ...arm, curve: upTo(arm.curve, total) }])
  })
  const done = arms.filter(([, { curve }]) => (curve.at(-1)?.seconds ?? 0) >= 60 * total - 1).length
  const state =
    done === task.contestants.length
      ? []
      : [
          `The runs go on: every arm is to have ${total} minutes, and ${done} of ${task.contestants.length} have had them.`,
          '',
        ]
  const flops = gradientFlops(task.encoder)
  const longest = Math.max(...arms.map(([, { curve }]) => curve.at(-1)?.seconds ?? 0)) / 60
  const marks = [1, 2, 5, 10, 20, 30, 40, 60, 90, 120, 180].filter((minutes) => minutes <= longest + 0.1)
  const times = table(
    [`minutes of training (last look by then, at most ${kLate} s late)`, ...arms.map(([{ title }]) => title)],
    marks.map((minutes) => [
      `${minutes}`,
      ...arms.map(([, { curve }]) => {
        const seen = upTo(curve, minutes).at(-1)
        return seen === undefined || (curve.at(-1)?.seconds ?? 0) < 60 * minutes - 30 ? '-' : seen.error.toFixed(3)
      }),
    ]),
  )
  const ends = table(
    [
      '',
      'minutes',
      'updates',
      'CG iterations',
      'training error',
      'test error',
      'training error, last iterate',
      'slices',
    ],
    arms.map(([{ title }, { curve, slices }]) => {
      const last = curve.at(-1)
      return [
        title,
        ((last?.seconds ?? 0) / 60).toFixed(1),
        (last?.updates ?? 0).toLocaleString('en-US'),
        (last?.iterations ?? 0).toLocaleString('en-US'),
        last?.error.toFixed(3) ?? '-',
        last?.testError.toFixed(3) ?? '-',
        last?.iterateError.toFixed(3) ?? '-',
        `${slices}`,
      ]
    }),
  )
  const beyond = runs.flatMap(([{ title }, { curve }], i) => {
    const last = curve.at(-1)
    if (last === undefined || last === arms[i]?.[1].curve.at(-1)) return []
    const end = `${(last.seconds / 60).toFixed(1)} minutes and an error of ${last.error.toFixed(3)}`
    return [`${title} went on to ${end}; the tables and the plot leave that out.`, '']
  })
  const published = table(
    ['published', 'training error'],
    task.published.map(([name, error]) => [name, `${error}`]),
  )
  print(ends)
  await writePage({
    name: task.name,
    title: task.title,
    command: `npm run experiment -- ${task.name}`,
    text: [
      ...state,
      task.text,
      '',
      'All units are logistic except the linear code; weights start sparse (15 connections a unit from N(0, 1), biases 0),',
      'the same for every arm. What is minimised is the cross-entropy of the pixels, summed over them, in float32. The error',
      'is the squared difference of image and reconstruction summed over the pixels, mean over all images, as it was',
      `published, at a moving average of the iterates (decay ${kAverageDecay}; every iterate of Hessian-free, every ${kFirstOrderSteps}th of the others),`,
      'as in the experiments of Martens & Grosse 2015; training does not see it. The table of the ends has the last iterate',
      'too. Time is that of training alone: measuring the error between two stretches of training is not in it. Runs go in',
      `slices; one gradient of all ${rows.toLocaleString('en-US')} images takes ${figure((flops * rows) / 1e9)} GFLOP.`,
      '',
      ...arms.map(([{ title, text }]) => `- **${title}**: ${text}`),
      '',
      ...arms.flatMap(([{ details }]) => (details === undefined ? [] : [details, ''])),
      '![error]',
      '',
      times,
      '',
      ends,
      '',
      ...beyond,
      published,
      '',
      task.notes ?? '',
    ].join('\n'),
    charts: {
      error: {
        title: 'Training error, squared and summed over the pixels',
        xLabel: 'minutes of training',
        log: true,
        series: arms.map(([{ title }, { curve }]) => ({
          name: title,
          points: curve.filter(({ seconds }) => seconds > 0).map(({ seconds, error }) => [seconds / 60, error]),
        })),
      },
    },
    figures: {
      rows,
      gradientFlops: flops,
      arms: runs.map(([{ name, title }, { settings, slices, curve }]) => ({
        name,
        title,
        stages: JSON.parse(settings),
        slices,
        curve,
      })),
    },
  })
}

/** @param {Autoencoder} task @param {string[]} args */
export async function runAutoencoder(task, args) {
  const names = task.contestants.map(({ name }) => name)
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', default: false },
      minutes: { type: 'string', default: `${kLongestSlice}` },
      total: { type: 'string', default: `${task.minutes}` },
      arm: { type: 'string' },
      folder: { type: 'string', default: defaultFolder(task.name) },
    },
  })
  if (values.help) {
    print(
      [
        `npm run experiment -- ${task.name} [options]: goes on with the arm that has had the least time, and writes the page`,
        `  --minutes n   of training in this slice, at most ${kLongestSlice} (default ${kLongestSlice})`,
        `  --total n     minutes that every arm gets in all (default ${task.minutes})`,
        `  --arm name    this arm only: ${names.join(', ')}`,
        '  --folder path where the runs are kept (default: a folder of the user’s cache)',
        'An interrupt ends the slice after the update that is under way; nothing is lost.',
      ].join('\n'),
    )
    return
  }
  const [minutes, total] = [Number(values.minutes), Number(values.total)]
  if (!(minutes >= 0 && minutes <= kLongestSlice)) {
    throw new Error(`--minutes: expected 0 to ${kLongestSlice}, received ${values.minutes}`)
  }
  if (!(total > 0)) throw new Error(`--total: expected a positive number, received ${values.total}`)
  if (values.arm !== undefined && !names.includes(values.arm)) {
    throw new Error(`--arm: expected one of ${names.join(', ')}, received ${values.arm}`)
  }
  const krylov = await loadKrylov()
  const images = task.read()
  const data = { train: reconstruction(images.train), test: reconstruction(images.test) }
  const folder = new RunFolder(values.folder)
  const stop = new AbortController()
  const interrupt = () => stop.abort()
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  const open = () =>
    task.contestants.map((contestant) => {
      const stages = JSON.stringify(contestant.stages(krylov))
      return /** @type {const} */ ([contestant, folder.open(contestant.name, stages)])
    })
  const spent = (/** @type {Arm} */ { curve }) => curve.at(-1)?.seconds ?? 0
  for (let left = 60 * minutes; left > 1 && !stop.signal.aborted; ) {
    const [next] = open()
      .filter(([{ name }, arm]) => (values.arm ?? name) === name && spent(arm) < 60 * total - 1)
      .sort(([, a], [, b]) => spent(a) - spent(b))
    if (next === undefined) break
    const [contestant, before] = next
    const seconds = Math.min(left, 60 * total - spent(before))
    const arm = await slice(krylov, task, contestant, data, { seconds, stop: stop.signal, folder })
    left -= spent(arm) - spent(before)
  }
  const arms = open().filter(([, { curve }]) => curve.length > 1)
  if (arms.length === 0) print(`No arm has begun in ${values.folder}: no page is written.`)
  else await report(task, arms, images.train.length / kPixels, total)
}
