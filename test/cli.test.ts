// The command line as its users meet it: every test runs dist/cli/main.js in a process of its own.

import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { at, configure, krylov, root, rowsOf, succeed } from './support/cli.js'

describe('boats.yaml: classes from a CSV file', () => {
  const model = at('build', 'boats.safetensors')
  const test60 = at('data', 'boats-test.csv')

  test('train writes a model and a report, and tells the test metrics', async () => {
    const { code, stdout, stderr } = await krylov('train', at('boats.yaml'))
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(/^150 samples, 4 inputs, 3 classes\n131 parameters, float32\nepoch +1\/60 {2}loss /)
    expect(stderr).toMatch(/validation accuracy [\d.]+ {2}validation f1 [\d.]+ {2}[\d.]+[kM]? samples\/s/)
    expect(`${stdout}${stderr}`).not.toContain('\u001b')
    expect(stdout).toMatch(/^(completed|stopped early after) /)
    expect(Number(/^test accuracy +([\d.]+)$/m.exec(stdout)?.[1])).toBeGreaterThan(0.9)
    const html = readFileSync(at('build', 'boats.html'), 'utf8')
    expect(html).toContain('<svg')
    expect(html).toContain('optimizer.learningRate.kind')
  })

  test('evaluate finds columns, classes and loss in the model file', async () => {
    const text = await succeed('evaluate', model, '--csv', test60)
    expect(text).toMatch(/^samples +60\nloss +[\d.]+\naccuracy +[\d.]+\nf1 +[\d.]+\n$/)
    const json = JSON.parse(await succeed('evaluate', model, '--csv', test60, '--json')) as Record<string, number>
    const fromConfig = JSON.parse(await succeed('evaluate', model, '--config', at('boats.yaml'), '--json')) as object
    expect(fromConfig).toEqual(json)
    expect(json.accuracy).toBeGreaterThan(0.9)
  })

  test('diagnose says what stands out, of the training data or a file, and writes a page', async () => {
    const page = at('build', 'diagnosis.html')
    const text = await succeed('diagnose', model, '--config', at('boats.yaml'), '--batch-size', '16', '--report', page)
    expect(text).toMatch(/^150 samples, 131 parameters\n/)
    expect(text).toMatch(/batch size +16\n/)
    expect(text).toMatch(/\nLargest losses\n/)
    expect(readFileSync(page, 'utf8')).toContain('<h1>Diagnosis of boats.safetensors</h1>')
    const json = JSON.parse(await succeed('diagnose', model, '--csv', test60, '--samples', '40', '--json')) as object
    expect(json).toMatchObject({ samples: 40, parameterCount: 131 })
  })

  test('predict gives labels whose share of right ones is the accuracy', async () => {
    const labels = rowsOf(await succeed('predict', model, '--csv', test60))
    const truth = rowsOf(readFileSync(test60, 'utf8')).map((row) => row[4])
    expect(labels[0]).toEqual(['kind'])
    expect(labels).toHaveLength(61)
    const right = labels.slice(1).filter(([label], index) => label === truth[index + 1]).length
    const json = JSON.parse(await succeed('evaluate', model, '--csv', test60, '--json')) as { accuracy: number }
    expect(right / 60).toBeCloseTo(json.accuracy, 12)
  })

  test('predict gives probabilities under the names of the classes, raw values, and files', async () => {
    const text = await succeed('predict', model, '--csv', test60, '--probability')
    const [names, ...rows] = rowsOf(text)
    expect(names).toEqual(['ferry', 'tanker', 'tug'])
    for (const row of rows) expect(row.reduce((sum, cell) => sum + Number(cell), 0)).toBeCloseTo(1, 5)
    await succeed('predict', model, '--csv', test60, '--probability', '--output', at('p.csv'))
    expect(readFileSync(at('p.csv'), 'utf8')).toBe(text)
    const raw = rowsOf(await succeed('predict', model, '--csv', test60, '--raw')).slice(1)
    const largest = (row: readonly string[]): number =>
      row.indexOf(row.reduce((a, b) => (Number(b) > Number(a) ? b : a)))
    expect(raw.map(largest)).toEqual(rows.map(largest))
  })

  test('predict finds the input columns by name, in any order and without the target', async () => {
    const rows = rowsOf(readFileSync(test60, 'utf8'))
    const turned = rows
      .map(([length, beam, draught, speed]) => [speed, 'x', draught, beam, length].join(','))
      .join('\n')
    writeFileSync(at('turned.csv'), turned.replace('speed,x', 'speed,name'))
    const expected = await succeed('predict', model, '--csv', test60, '--raw')
    expect(await succeed('predict', model, '--csv', at('turned.csv'), '--raw')).toBe(expected)
    const bare = rows
      .slice(1)
      .map((row) => row.slice(0, 4).join(';'))
      .join('\n')
    writeFileSync(at('bare.csv'), bare)
    const text = await succeed('predict', model, '--csv', at('bare.csv'), '--raw', '--no-header', '--delimiter', ';')
    expect(text.replaceAll(';', ',')).toBe(expected)
  })

  test('info shows the layers, the tensors and what they were trained on', async () => {
    const text = await succeed('info', model)
    expect(text).toContain('layers.1.weight  [3, 16]')
    expect(text).toMatch(/classes +ferry, tanker, tug/)
    const json = JSON.parse(await succeed('info', model, '--json')) as { parameterCount: number; columns: string[] }
    expect(json).toMatchObject({ parameterCount: 131, columns: ['length', 'beam', 'draught', 'speed'] })
  })

  test('the same configuration gives the same file', async () => {
    const first = readFileSync(model)
    await succeed('train', at('boats.yaml'), '--quiet')
    expect(readFileSync(model).equals(first)).toBe(true)
  })

  test('a truncated model file is refused with its name', async () => {
    const whole = readFileSync(model)
    for (const size of [0, 5, 200, whole.length - 1]) {
      writeFileSync(at('cut.safetensors'), whole)
      truncateSync(at('cut.safetensors'), size)
      for (const args of [['info'], ['predict', '--csv', test60]]) {
        const [command = '', ...rest] = args
        const { code, stdout, stderr } = await krylov(command, at('cut.safetensors'), ...rest)
        expect([code, stdout]).toEqual([1, ''])
        expect(stderr).toMatch(/^error: \S*cut\.safetensors.*: expected /)
        expect(stderr).not.toMatch(/^\s+at /m)
      }
    }
  })

  test('wrong data are told with file and place', async () => {
    writeFileSync(at('few.csv'), 'length,beam\n1,2\n')
    const few = await krylov('predict', model, '--csv', at('few.csv'))
    expect(few.code).toBe(1)
    expect(few.stderr).toContain('the model takes 4 columns (length, beam, draught, speed), received 2')
    writeFileSync(at('words.csv'), 'length,beam,draught,speed\n1,2,3,4\n1,2,three,4\n')
    const words = await krylov('predict', model, '--csv', at('words.csv'))
    expect(words.code).toBe(1)
    expect(words.stderr).toMatch(/words\.csv, line 3, column 'draught': expected a number, received 'three'/)
    writeFileSync(at('ships.csv'), 'length,beam,draught,speed,kind\n1,2,3,4,raft\n')
    const ships = await krylov('evaluate', model, '--csv', at('ships.csv'))
    expect(ships.code).toBe(1)
    expect(ships.stderr).toContain("class 'raft' does not occur in the training data")
  })
})

test('coffee.json: values from a CSV file', async () => {
  await succeed('train', at('coffee.json'), '--quiet')
  const model = at('build', 'coffee.safetensors')
  const data = at('data', 'coffee.csv')
  const { r2 } = JSON.parse(await succeed('evaluate', model, '--csv', data, '--json')) as { r2: number }
  expect(r2).toBeGreaterThan(0.98)
  const rows = rowsOf(await succeed('predict', model, '--csv', data))
  expect(rows[0]).toEqual(['temperature'])
  const truth = rowsOf(readFileSync(data, 'utf8')).map((row) => Number(row[4]))
  const error = rows.slice(1).reduce((sum, [cell], index) => sum + Math.abs(Number(cell) - (truth[index + 1] ?? 0)), 0)
  expect(error / 300).toBeLessThan(3)
})

test('a model with heads, a loss of each, and labels for an output of one column', async () => {
  const config = configure('heads.json', {
    data: {
      train: { csv: 'data/boats-train.csv', target: { kind: 'kind', pace: 'speed' } },
      test: { csv: 'data/boats-test.csv', target: { kind: 'kind', pace: 'speed' } },
      standardize: true,
    },
    model: { layers: [{ units: 16, activation: 'tanh' }], heads: { kind: [{ units: 3 }], pace: [{ units: 1 }] } },
    loss: { kind: 'softmaxCrossEntropy', pace: { loss: { kind: 'huber', delta: 2 }, weight: 0.1 } },
    optimizer: { kind: 'adam', learningRate: 0.01 },
    training: { epochs: 60, metrics: { kind: ['accuracy'], pace: ['r2'] }, multitask: 'pcGrad' },
    output: { model: 'build/heads.safetensors' },
  })
  expect(await succeed('train', config)).toMatch(/test kind\.accuracy +[\d.]+\ntest pace\.loss +[\d.]+\ntest pace\.r2/)
  const model = at('build', 'heads.safetensors')
  const rows = rowsOf(await succeed('predict', model, '--csv', at('data', 'boats-test.csv'), '--probability'))
  expect(rows[0]).toEqual(['kind.ferry', 'kind.tanker', 'kind.tug', 'pace.speed'])
  const json = JSON.parse(await succeed('evaluate', model, '--csv', at('data', 'boats-test.csv'), '--json')) as {
    heads: { kind: { accuracy: number } }
  }
  expect(json.heads.kind.accuracy).toBeGreaterThan(0.85)
  const labels = configure('labels.json', {
    data: { train: { csv: 'yes-no.csv', target: 'answer', targetKind: 'class' } },
    model: { layers: [{ units: 1 }] },
    loss: 'binaryCrossEntropy',
    optimizer: { kind: 'adam', learningRate: 0.1 },
    training: { epochs: 100, batchSize: 4 },
    output: { model: 'build/labels.safetensors' },
  })
  writeFileSync(at('yes-no.csv'), 'x,answer\n-2,no\n-1,no\n1,yes\n2,yes\n')
  await succeed('train', labels, '-q')
  expect(await succeed('predict', at('build', 'labels.safetensors'), '--csv', at('yes-no.csv'))).toBe(
    'answer\nno\nno\nyes\nyes\n',
  )
  // Labels keep the numbers of training when the model is evaluated on a file.
  const measured = await succeed('evaluate', at('build', 'labels.safetensors'), '--csv', at('yes-no.csv'), '--json')
  expect(JSON.parse(measured)).toMatchObject({ samples: 4, accuracy: 1 })
  for (const [option, wrong, near] of [
    ['--loss', 'binaryCrossEntrpy', 'binaryCrossEntropy'],
    ['--metric', 'acuracy', 'accuracy'],
  ] as const) {
    const { code, stderr } = await krylov(
      ...['evaluate', at('build', 'labels.safetensors'), '--csv', at('missing.csv'), option, wrong],
    )
    expect(code).toBe(2)
    expect(stderr).toContain(option)
    expect(stderr).toContain(near)
  }
})

test('images and labels in IDX files', async () => {
  const count = 64
  const idx = (shape: number[], bytes: Uint8Array): Buffer => {
    const head = Buffer.alloc(4 + 4 * shape.length)
    head.set([0, 0, 8, shape.length])
    for (const [axis, size] of shape.entries()) head.writeUInt32BE(size, 4 + 4 * axis)
    return Buffer.concat([head, bytes])
  }
  // Bright in the left or in the right column.
  const labels = Uint8Array.from({ length: count }, (_, index) => index % 2)
  const images = Uint8Array.from({ length: count * 4 }, (_, place) => {
    const bright = place % 2 === labels[Math.floor(place / 4)]
    return (bright ? 200 : 20) + ((place * 37) % 50)
  })
  writeFileSync(at('images.idx'), idx([count, 2, 2], images))
  writeFileSync(at('labels.idx'), idx([count], labels))
  const digits = {
    data: { train: { idx: { images: 'images.idx', labels: 'labels.idx' } } },
    model: { layers: [{ units: 2 }] },
    loss: 'softmaxCrossEntropy',
    optimizer: { kind: 'sgd', learningRate: 0.5 },
    training: { epochs: 30, batchSize: 16, record: { gradients: { every: 2 } } },
    output: {
      model: 'build/idx.safetensors',
      report: 'build/idx.html',
      saliency: { width: 2, height: 2, samples: 3 },
    },
  }
  const config = configure('idx.json', digits)
  await succeed('train', config)
  const model = at('build', 'idx.safetensors')
  const json = JSON.parse(
    await succeed('evaluate', model, '--idx', at('images.idx'), at('labels.idx'), '--json'),
  ) as object
  expect(json).toMatchObject({ samples: count, accuracy: 1 })
  const rows = rowsOf(await succeed('predict', model, '--idx', at('images.idx')))
  expect(rows.slice(1).map(([label]) => Number(label))).toEqual([...labels])
  const report = readFileSync(at('build', 'idx.html'), 'utf8')
  expect(report.match(/<image /g)).toHaveLength(2 * 3 * 3)
  for (const title of [
    'Gradient times input',
    'NormGrad of the first layer',
    'Gradient norms',
    'Gradient noise scale',
  ]) {
    expect(report).toContain(title)
  }
  const wide = configure('wide.json', { ...digits, output: { ...digits.output, saliency: { width: 3, height: 2 } } })
  const { code, stderr } = await krylov('train', wide)
  expect([code, stderr]).toEqual([
    2,
    'config: output.saliency: expected width * height to be the 4 inputs, received 6\n',
  ])
})

describe('a wrong configuration', () => {
  const good = {
    data: { train: { csv: 'data/boats-train.csv', target: 'kind' } },
    model: { layers: [{ units: 8, activation: 'relu' }, { units: 3 }] },
    loss: 'softmaxCrossEntropy',
    optimizer: { kind: 'adam', learningRate: 0.01 },
    training: { epochs: 1 },
    output: { model: 'build/wrong.safetensors' },
  }
  const cases: [name: string, config: unknown, lines: string[]][] = [
    [
      'misspelt names',
      { ...good, sede: 1, optimizer: { kind: 'adam', learningrate: 0.1 }, training: { epochs: 1, batch_size: 4 } },
      [
        "config: optimizer.learningrate: unknown option; did you mean 'learningRate'?",
        "config: sede: unknown option; did you mean 'seed'?",
        "config: training.batch_size: unknown option; did you mean 'batchSize'?",
      ],
    ],
    [
      'wrong values',
      { ...good, dtype: 'float16', training: { epochs: 0 }, data: { ...good.data, validation: { fraction: 2 } } },
      [
        'config: data.validation.fraction: expected a number above 0 and below 1, received 2',
        "config: dtype: expected 'float32' or 'float64', received 'float16'; did you mean 'float32'?",
        'config: training.epochs: expected a whole number >= 1, received 0',
      ],
    ],
    [
      'several layers at once',
      { ...good, model: { layers: [{ units: 8, activaton: 'relu' }, { units: -3 }, { kind: 'dropout', rate: 1 }] } },
      [
        "config: model.layers[0].activaton: unknown option; did you mean 'activation'?",
        'config: model.layers[1].units: expected an integer from 1 to 16777216, received -3',
        'config: model.layers[2].rate: expected a finite number >= 0 and < 1, received 1',
      ],
    ],
    [
      'a schedule inside an optimizer',
      { ...good, optimizer: { kind: 'adam', learningRate: { kind: 'cosine', learningRte: 0.1 } } },
      [
        'config: optimizer.learningRate.learningRate: expected a finite number, received undefined',
        "config: optimizer.learningRate.learningRte: unknown option; did you mean 'learningRate'?",
      ],
    ],
    [
      'loss, metrics and early stopping',
      {
        ...good,
        data: { ...good.data, validation: { fraction: 0.2 } },
        loss: { kind: 'softmaxCrossEntropy', labelSmoothing: 2 },
        training: { epochs: 1, metrics: ['acuracy'], earlyStopping: { patiance: 3 } },
      },
      [
        'config: loss.labelSmoothing: expected a finite number',
        "config: training.earlyStopping.patiance: unknown option; did you mean 'patience'?",
        "config: training.metrics[0]: expected 'accuracy'",
      ],
    ],
    [
      'missing parts',
      { data: {}, model: { layers: [] }, training: {}, output: {} },
      [
        'config: data.train: expected an object, received nothing',
        'config: loss: expected the name of a loss or an object with a kind, received nothing',
        'config: output.model: expected the path of the model file to write, received nothing',
        'config: training.epochs: expected a whole number >= 1, received nothing',
      ],
    ],
    [
      'parts that contradict each other',
      {
        ...good,
        data: { train: { csv: 'data/boats-train.csv', target: { kind: 'kind' } }, standardize: true },
        model: { layers: [{ kind: 'layerNorm' }, { units: 3 }] },
        training: { epochs: 1, earlyStopping: {} },
      },
      [
        'config: data.standardize: expected false, or a model that begins with a dense layer with bias',
        'config: data.train.target: expected columns, since the model has no heads',
        'config: training.earlyStopping: expected data.validation beside it',
      ],
    ],
    [
      'a column that the file does not have',
      { ...good, data: { train: { csv: 'data/boats-train.csv', target: 'knid' } } },
      ['config: data.train.target: expected a column of '],
    ],
    ['no object', 3, ['config: expected an object, received 3']],
  ]

  test.each(cases)('%s', async (_, config, lines) => {
    const { code, stdout, stderr } = await krylov('train', configure('wrong.json', config as object))
    expect([code, stdout]).toEqual([2, ''])
    const found = stderr
      .trimEnd()
      .split('\n')
      .filter((line) => !/^\d/.test(line))
    expect(found.map((line, index) => line.slice(0, lines[index]?.length))).toEqual(lines)
    expect(existsSync(at('build', 'wrong.safetensors'))).toBe(false)
  })

  test('text that is no YAML is told with line and column', async () => {
    writeFileSync(at('broken.yaml'), 'data: [1\nmodel: 2\n')
    const { code, stderr } = await krylov('train', at('broken.yaml'))
    expect(code).toBe(2)
    expect(stderr).toMatch(/^config: line 2, column 1: /)
  })

  test('a file that is not there is a failure, not a wrong configuration', async () => {
    const none = await krylov('train', at('none.yaml'))
    expect([none.code, none.stderr]).toEqual([1, expect.stringMatching(/none\.yaml: cannot be read: ENOENT/)])
    const data = configure('nodata.json', { ...good, data: { train: { csv: 'data/none.csv', target: 'kind' } } })
    const missing = await krylov('train', data)
    expect([missing.code, missing.stderr]).toEqual([
      1,
      expect.stringMatching(/^error: \S*none\.csv: expected a readable file/),
    ])
  })
})

test('a run that meets NaN says where, keeps the last finite model and fails', async () => {
  const config = configure('explode.json', {
    data: { train: { csv: 'data/coffee.csv', target: 'temperature' } },
    model: { layers: [{ units: 8, activation: 'relu' }, { units: 1 }] },
    loss: 'meanSquaredError',
    optimizer: { kind: 'sgd', learningRate: 1e6 },
    training: { epochs: 50 },
    output: { model: 'build/explode.safetensors' },
  })
  const { code, stdout } = await krylov('train', config, '-q')
  expect(code).toBe(1)
  expect(stdout).toMatch(/^stopped: NaN or infinity in \S+ at update \d+; the model has the last finite parameters/)
  await succeed('info', at('build', 'explode.safetensors'))
})

describe('help and wrong command lines', () => {
  test.each([
    [['--help']],
    [['train', '--help']],
    [['evaluate', '-h']],
    [['diagnose', '-h']],
    [['help', 'predict']],
    [['info', '--help']],
  ])('%j', async (args) => {
    expect(await succeed(...args)).toMatch(/^Usage: krylov/)
  })

  test('--version and info', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    expect(await succeed('--version')).toBe(`${version}\n`)
    expect(await succeed('info')).toMatch(/^instructionSet +\w+$/m)
    expect(JSON.parse(await succeed('info', '--json'))).toMatchObject({ library: version })
  })

  test.each([
    [[], 'Usage: krylov'],
    [['trian'], "unknown command 'trian'"],
    [['train'], "missing required argument 'config'"],
    [['train', 'a.yaml', '--quite'], "unknown option '--quite'"],
    [['predict', 'm', '--csv', 'a', '--class', '--raw'], "option '--class' cannot be used with option '--raw'"],
    [['predict', 'm', '--csv', 'a', '--threads', '0'], 'Expected a whole number >= 1.'],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await krylov(...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
  })

  test('a model needs data from one place', async () => {
    const config = configure('tiny.json', {
      data: { train: { csv: 'data/coffee.csv', target: 'temperature' } },
      model: { layers: [{ units: 1 }] },
      loss: 'meanSquaredError',
      training: { epochs: 1 },
      output: { model: 'build/tiny.safetensors' },
    })
    mkdirSync(at('build'), { recursive: true })
    await succeed('train', config, '-q')
    const model = at('build', 'tiny.safetensors')
    for (const args of [[], ['--csv', 'a', '--idx', 'b', 'c']]) {
      const { code, stderr } = await krylov('evaluate', model, ...args)
      expect([code, stderr]).toEqual([2, 'options: expected exactly one of --csv, --idx and --config\n'])
    }
    const both = await krylov('predict', model)
    expect([both.code, both.stderr]).toEqual([2, 'options: expected exactly one of --csv and --idx\n'])
  })
})
