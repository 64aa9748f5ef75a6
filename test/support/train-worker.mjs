// A thread of its own, or a process, that loads the addon and trains. What to do comes with workerData, or with the
// first argument as JSON; reports go to the parent, or to standard output.
import { createRequire } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'

const { binary, scenario, spec, data, options } = parentPort === null ? revive(process.argv[2]) : workerData
const native = createRequire(import.meta.url)(binary)

/** Typed arrays do not survive JSON. */
function revive(text) {
  const types = { Float32Array, Float64Array, Int32Array, Uint32Array }
  return JSON.parse(text, (_, value) => (value?.type in types ? types[value.type].from(value.values) : value))
}

function report(message) {
  if (parentPort === null) console.log(JSON.stringify(message))
  else parentPort.postMessage(message)
}

const create = (seed) => new native.Model(spec, 'float32', seed)
const train = (model, overrides, onEvent) =>
  model.train(new native.Dataset(data), { ...options, ...overrides }, onEvent)
const endless = { epochs: 2 ** 40, earlyStopping: null, stepEvery: 0 }

const scenarios = {
  /** Loads the addon and leaves. */
  load: () => report({ instructionSet: native.systemInfo().instructionSet }),

  /** Trains to the end and sends the parameters. */
  complete() {
    const model = create(1)
    train(model, {}, (event) => {
      if (event.type !== 'end') return
      const parameters = new Float32Array(model.parameterCount)
      model.getParameters(parameters)
      report({ reason: event.reason, parameters })
    })
  },

  /** Trains without end and tells every epoch. */
  endless() {
    train(create(1), endless, (event) => report(event))
  },

  /** The same with weights from here, so that the run waits again and again. */
  weights() {
    const rule = { kind: 'function', numbers: {}, flags: {}, words: {} }
    const run = train(create(1), { ...endless, weights: rule }, (event) => {
      if (event.type === 'weights') run.answerWeights(new Float64Array(event.request.losses.length).fill(1))
      report({ type: event.type })
    })
  },

  /** Several runs and tasks at once, none of which will end by itself soon. */
  crowd() {
    const dataset = new native.Dataset(data)
    for (let seed = 0; seed < 4; seed++) {
      const model = create(seed)
      train(model, { ...endless, threads: 1 + (seed % 2) }, (event) => {
        if (event.type === 'epoch') report(event)
      })
      const again = () => {
        const links = spec.heads.map(() => 'identity')
        model.predictAsync(dataset, 'raw', links, 0).promise.then(again)
        model.evaluateAsync(dataset, options.tasks, 0, 0)
      }
      again()
    }
  },

  /** Leaves from within a listener. */
  exit() {
    train(create(1), endless, () => process.exit(7))
    train(create(2), endless, () => undefined)
  },

  /** A listener that throws: uncaught. */
  throw() {
    train(create(1), endless, () => {
      throw new Error('from the listener')
    })
  },

  /** As above with someone who catches: nothing that follows is missed. */
  caught() {
    let caught = 0
    process.on('uncaughtException', () => caught++)
    train(create(1), { epochs: 3 }, (event) => {
      if (event.type === 'end') report({ caught, ...event })
      else if (event.type === 'epoch') throw new Error('from the listener')
    })
  },

  /** Solvers on the compute thread that will not end soon, one of which asks this thread for products. */
  solve() {
    const size = 600
    const values = Float64Array.from({ length: size * size }, (_, k) => Math.sin((k % size) * Math.floor(k / size)))
    const rhs = new Float64Array(size).fill(1)
    const lanczos = { steps: size, keepBasis: true, reorthogonalise: true }
    const matrix = native.denseOperator(values, size, size)
    const again = async (operator) => {
      const computation = native.lanczos(operator, rhs, lanczos)
      for (let request = await computation.advanceAsync(); request !== null; request = await computation.advanceAsync()) {
        const output = new Float64Array(size)
        matrix.matvec(request.input, output)
        computation.answer(output, 0)
      }
      again(operator)
    }
    again(matrix)
    again(native.sumOperator([matrix, matrix], Float64Array.of(1, 2), 0.5))
    again({ rows: size, columns: size, source: 0, transposedSource: -1 })
    report({ type: 'epoch' })
  },

  /** A synchronous solver, interrupted anywhere. */
  solveSync() {
    const size = 300
    const values = Float64Array.from({ length: size * size }, (_, k) => Math.sin((k % size) * Math.floor(k / size)))
    const matrix = native.denseOperator(values, size, size)
    report({ type: 'epoch' })
    while (true) {
      const options = { steps: size, keepBasis: false, reorthogonalise: true }
      const computation = native.lanczos(matrix, new Float64Array(size).fill(1), options)
      computation.advance()
      computation.result()
    }
  },

  /** A synchronous caller, interrupted anywhere. */
  trainer() {
    const trainer = create(1).trainer({ ...options, threads: 2 })
    const dataset = new native.Dataset(data)
    report({ type: 'epoch' })
    while (true) trainer.step(dataset, null, null)
  },
}
scenarios[scenario]()
