// Programs that the type checker accepts, and programs that it refuses.
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, test } from 'vitest'

const prelude = `
import * as k from '../src/index.js'
const model = k.createModel({ inputs: 2, layers: [k.dense(3, 'relu'), k.dense(2)] })
const wide = k.createModel({ inputs: 2, layers: [k.dense(2)], dtype: 'float64' })
const heads = k.createModel({ inputs: 2, layers: [k.dense(3)], heads: { a: [k.dense(2)], b: [k.dense(1)] } })
const data = { inputs: [[1, 2]], targets: [0] }
const headData = { inputs: [[1, 2]], targets: { a: [0], b: [[1]] } }
const loss = k.softmaxCrossEntropy()
const headLoss = { a: loss, b: { loss: k.meanSquaredError(), weight: 0.5 } }
`

/** Code, and what the first error must say; nothing for code that is right. */
const programs: [string, string, RegExp?][] = [
  ['parameters have the dtype', 'const w: Float32Array = model.parameters; const v: Float64Array = wide.parameters'],
  ['not the other one', 'const w: Float64Array = model.parameters', /Float32Array.*not assignable/],
  ['raw outputs are a matrix', 'const m: Float32Array = model.predict([1, 2]).data'],
  ['classes are integers', "const c: Int32Array = model.predict([1, 2], { output: 'class' })"],
  ['classes are no matrix', "model.predict([1, 2], { output: 'class' }).shape", /shape/],
  [
    'outputs by head',
    "const m = heads.predict([1, 2]).b.shape[1]; heads.predict([1, 2], { output: 'class' }).a.length",
  ],
  ['no such head', 'heads.predict([1, 2]).c', /'c'/],
  ['a golden model', "k.createModel({ inputs: 5, layers: [{ units: 7, activation: 'tanh' }] })"],
  ['a resolved spec', 'k.createModel(model.spec).predict([1, 2]).data'],
  ['an unknown activation', "k.dense(3, 'rely')", /"rely"/],
  ['an activation with options', 'k.dense(3, k.leakyRelu({ slope: 0.1 })); k.dense(3, { kind: "elu", alpha: 2 })'],
  ['an option of another activation', 'k.dense(3, { kind: "elu", slope: 2 })', /slope/],
  ['training', 'const h: Promise<k.History> = (async () => await k.train(model, data, { loss, epochs: 2 }))()'],
  ['iteration', 'for await (const e of k.train(model, data, { loss })) e.validation?.accuracy?.toFixed(2)'],
  ['a run without a loss', 'k.train(model, data, {})', /loss/],
  ['a misspelt option', 'k.train(model, data, { loss, epoch: 2 })', /'epoch'/],
  ['heads want losses by name', 'k.train(heads, headData, { loss: headLoss })'],
  ['a head without a loss', 'k.train(heads, headData, { loss: { a: loss } })', /'b' is missing/],
  ['one loss for heads', 'k.train(heads, headData, { loss })', /./],
  [
    'a head without targets',
    'k.train(heads, { inputs: [[1, 2]], targets: { a: [0] } }, { loss: headLoss })',
    /'b' is missing/,
  ],
  ['metrics by head', "k.evaluate(heads, headData, { loss: headLoss, metrics: { a: ['accuracy'] } })"],
  ['an unknown metric', "k.evaluate(model, data, { loss, metrics: ['acuracy'] })", /acuracy/],
  ['a number or a schedule', 'k.adam({ learningRate: k.cosine({ learningRate: 1 }), beta1: 0.8 })'],
  ['a rule with the option of another', 'k.adam({ momentum: 0.9 })', /momentum/],
  ['a rule as data', "k.createOptimizer({ kind: 'sgd', momentum: 0.9 }, [[3]])"],
  [
    'steps keep the dtype',
    "let w = Float64Array.of(1); w = k.createOptimizer(k.adam(), [1], { dtype: 'float64' }).step(w, w)",
  ],
  ['the wrong dtype', 'k.createOptimizer(k.adam(), [1]).step(Float64Array.of(1), Float64Array.of(1))', /Float64Array/],
  ['a point', 'const g: Float64Array = k.linearize(wide, data, loss).gradient()'],
  ['outputs of a point by head', 'k.linearize(heads, headData, headLoss).jvp(heads.parameters).a.data'],
  [
    'operators',
    "const g: k.NativeLinearOperator<'float64'> = k.linearize(wide, data, loss).ggn(); const p: Float64Array = g.matvec(Float64Array.of(1))",
  ],
  ['vectors of the other dtype', 'k.linearize(wide, data, loss).ggn().matvec(Float32Array.of(1))', /Float32Array/],
  [
    'a solver keeps the dtype',
    'const { solution } = await k.conjugateGradient(k.damped(k.linearize(wide, data, loss).ggn(), 1), Float64Array.of(1)); const x: Float64Array = solution',
  ],
  [
    'an operator of your own',
    "k.minresSync({ shape: [1, 1], dtype: 'float64', matvec: (v) => v.map((x) => 2 * x) }, Float64Array.of(1))",
  ],
  [
    'functions that fill or return',
    "k.functionOperator({ size: 1, matvec: (v, out) => { out[0] = v[0] ?? 0 } }); k.functionOperator({ size: 1, dtype: 'float64', matvec: (v) => v })",
  ],
  ['a function that returns something else', 'k.functionOperator({ size: 1, matvec: () => 3 })', /number/],
  [
    'a right-hand side of the other dtype',
    'k.lanczos(k.linearize(wide, data, loss).ggn(), Float32Array.of(1))',
    /Float32Array/,
  ],
  [
    'a preconditioner of the other dtype',
    "k.conjugateGradient(k.identityOperator(1), Float32Array.of(1), { preconditioner: k.identityOperator(1, { dtype: 'float64' }) })",
    /float64/,
  ],
  ['an unknown tag', "k.denseOperator([[1]], { tags: ['definite'] })", /definite/],
  ['steihaug wants a radius', 'k.steihaug(k.identityOperator(1), Float32Array.of(1), {})', /radius/],
  [
    'loading',
    "const { model: m, state } = await k.loadCheckpoint('x'); if (state) k.train(m, data, { loss, resume: state })",
  ],
  [
    'loading with known types',
    "const m: k.Model<'float32', 'a'> = await k.loadModel<'float32', 'a'>('x'); m.predict([1]).a",
  ],
  [
    'a report',
    "k.writeReport('x', { model, history: await k.train(model, data, { loss }), evaluation: await k.evaluate(model, data, { loss }) })",
  ],
  [
    'a second-order optimizer',
    'k.train(model, data, { loss, optimizer: k.hessianFree({ damping: 0.1, lineSearch: false }) })',
  ],
  [
    'its options by name',
    "k.createTrainer(model, { loss, optimizer: { kind: 'newtonCG', cg: { maxIterations: 10 } } })",
  ],
  ['a misspelt one', 'k.hessianFree({ damping: { initail: 1 } })', /initail/],
  ['groups are filled in', 'const d: number | k.Schedule = k.newtonCG().cg.tolerance'],
  ['createOptimizer takes update rules only', 'k.createOptimizer(k.lbfgs(), [[2]])', /lbfgs/],
  ['minimize takes no update rules', 'k.minimize({ valueAndGradient: () => 0 }, [0], k.adam())', /adam/],
  ['curvature of its own', 'k.createTrainer(model, { loss, optimizer: k.kfac() }).step(data, { curvature: data })'],
  [
    'minimize keeps the dtype',
    "const { x } = await k.minimize({ dtype: 'float32', valueAndGradient: (x, g) => { g.set(x); return 0 } }, [0], k.lbfgs()); const y: Float32Array = x",
  ],
  [
    'float64 unless told',
    'const { x } = k.minimizeSync({ valueAndGradient: (x: Float64Array, g: Float64Array) => 0 }, [0], k.lbfgs()); const y: Float64Array = x',
  ],
  ['a function without a value', 'k.minimize({ valueAndGradient: () => undefined }, [0], k.lbfgs())', /number/],
  ['specs are frozen', 'k.adam().learningRate = 1', /read-only/],
  ['disposal', 'using m = k.createModel({ inputs: 1, layers: [k.dense(1)] }); using p = k.linearize(m, data, loss)'],
]

test('programs', () => {
  const folder = fileURLToPath(new URL('.', import.meta.url))
  const config = ts.readConfigFile(`${folder}../tsconfig.json`, ts.sys.readFile).config as { compilerOptions: object }
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, `${folder}..`)
  const { tsBuildInfoFile: _, ...rest } = options
  const settings: ts.CompilerOptions = { ...rest, noUnusedLocals: false, incremental: false }
  const files = new Map(
    programs.map(([, code], index) => [`${folder}program-${index}.ts`, `${prelude}${code}\nexport {}\n`]),
  )
  const host = ts.createCompilerHost(settings)
  const { fileExists, getSourceFile, readFile } = host
  host.fileExists = (name) => files.has(name) || fileExists(name)
  host.readFile = (name) => files.get(name) ?? readFile(name)
  host.getSourceFile = (name, version, ...rest) => {
    const text = files.get(name)
    return text === undefined ? getSourceFile(name, version, ...rest) : ts.createSourceFile(name, text, version)
  }
  const program = ts.createProgram([...files.keys()], settings, host)
  const wrong = programs.flatMap(([title, code, error], index) => {
    const source = program.getSourceFile(`${folder}program-${index}.ts`)
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    const messages = found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '))
    if (error === undefined) return messages.map((message) => `${title}: ${code}: ${message}`)
    if (messages.length === 0) return [`${title}: accepted, but ${code} is wrong`]
    return error.test(messages.join(' ')) ? [] : [`${title}: ${code}: ${messages.join(' ')}`]
  })
  expect(wrong).toEqual([])
})
