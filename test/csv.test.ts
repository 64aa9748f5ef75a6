import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CsvOptions } from '../src/formats/csv.js'
import { parseCsv, readCsv } from '../src/formats/csv.js'
import { KrylovError } from '../src/internal/errors.js'

describe('reading', () => {
  it('reads numbers below a header', async () => {
    const table = await parseCsv('a,b\n1,2\n-3.5,+4e2\n .5 ,6.\n')
    expect(table).toEqual({
      columns: ['a', 'b'],
      data: new Float32Array([1, 2, -3.5, 400, 0.5, 6]),
      shape: [3, 2],
    })
  })

  it('makes names where there is no header', async () => {
    expect(await parseCsv('1,2\n3,4')).toMatchObject({ columns: ['column0', 'column1'], shape: [2, 2] })
  })

  it('takes a first row with one number for data', async () => {
    const table = await parseCsv('5.1,setosa\n6.0,virginica\n', { target: 1, targetKind: 'class' })
    expect(table.shape).toEqual([2, 1])
    expect(table.target).toMatchObject({ data: new Int32Array([0, 1]), classes: ['setosa', 'virginica'] })
  })

  it('obeys header: true and header: false', async () => {
    expect(await parseCsv('1,2\n3,4', { header: true })).toMatchObject({ columns: ['1', '2'], shape: [1, 2] })
    await expect(parseCsv('a,b\n3,4', { header: false })).rejects.toMatchObject({
      message: "CSV data, line 1, column 'column0': expected a number, received 'a'",
    })
  })

  it('understands quotes, blank lines, a byte order mark, CRLF, comments and other delimiters', async () => {
    const text = '\ufeff"a;1";b\r\n\r\n"1";2\r\n# note\r\n3;"4"\r\n'
    expect(await parseCsv(text, { delimiter: ';', comment: '#' })).toMatchObject({
      columns: ['a;1', 'b'],
      data: new Float32Array([1, 2, 3, 4]),
    })
    expect(await parseCsv('1\t2\n', { delimiter: '\t' })).toMatchObject({ shape: [1, 2] })
  })

  it('gives float64 on request', async () => {
    const { data } = await parseCsv('0.1\n1e300\n', { dtype: 'float64' })
    expect(data).toEqual(new Float64Array([0.1, 1e300]))
  })

  it('reads bytes', async () => {
    expect((await parseCsv(Buffer.from('ä\n1\n'))).columns).toEqual(['ä'])
  })

  it('grows past its first size', async () => {
    const rows = Array.from({ length: 3000 }, (_, index) => `${index},${2 * index}`)
    const table = await parseCsv(rows.join('\n'), { target: 1 })
    expect(table.data).toEqual(Float32Array.from({ length: 3000 }, (_, index) => index))
    expect(table.target?.data).toEqual(Float32Array.from({ length: 3000 }, (_, index) => 2 * index))
  })
})

describe('columns', () => {
  const text = 'id,x,y,z\n1,2,3,4\n5,6,7,8\n'

  it('are chosen by name or index, in the order asked for', async () => {
    expect(await parseCsv(text, { columns: ['z', 1] })).toMatchObject({
      columns: ['z', 'x'],
      data: new Float32Array([4, 2, 8, 6]),
    })
  })

  it('leave the target out by default', async () => {
    const table = await parseCsv(text, { target: ['y', 'id'] })
    expect(table.columns).toEqual(['x', 'z'])
    expect(table.target).toEqual({ columns: ['y', 'id'], data: new Float32Array([3, 1, 7, 5]), shape: [2, 2] })
  })

  it('that are not read may hold anything', async () => {
    const table = await parseCsv('name,x\nbolt,1\n,2\n', { columns: ['x'] })
    expect(table.data).toEqual(new Float32Array([1, 2]))
  })

  it.each<[string, CsvOptions, RegExp]>([
    ['unknown name', { columns: ['w'] }, /csv columns: expected a column of CSV data, received 'w'/],
    ['misspelt name', { target: 'Id' }, /csv target: .* received 'Id'; did you mean 'id'\?/],
    ['index too large', { columns: [4] }, /csv columns: expected a column index below 4 in CSV data, received 4/],
    ['twice', { columns: ['x', 1] }, /csv columns: expected every column once, received 'x'/],
    ['input and target', { columns: ['x'], target: 'x' }, /every column once/],
  ])('rejects: %s', async (_, options, message) => {
    await expect(parseCsv(text, options)).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringMatching(message) as unknown,
    })
  })

  it('with equal names are told apart by index', async () => {
    await expect(parseCsv('a,a\n1,2\n', { columns: ['a'] })).rejects.toMatchObject({
      message: expect.stringMatching(/occurs once in CSV data \(use the index\)/) as unknown,
    })
    expect((await parseCsv('a,a\n1,2\n', { columns: [1] })).data).toEqual(new Float32Array([2]))
  })
})

describe('class labels', () => {
  it('become indices in code-unit order', async () => {
    const table = await parseCsv('x,k\n1,b\n2,a\n3,B\n4, b \n', { target: 'k', targetKind: 'class' })
    expect(table.target).toEqual({
      columns: ['k'],
      data: new Int32Array([2, 1, 0, 2]),
      shape: [4],
      classes: ['B', 'a', 'b'],
    })
  })

  it('that are numbers are put in numeric order', async () => {
    const { target } = await parseCsv('x,k\n1,10\n2,9\n3,2\n', { target: 'k', targetKind: 'class' })
    expect(target).toMatchObject({ data: new Int32Array([2, 1, 0]), classes: ['2', '9', '10'] })
  })

  it('are not guessed', async () => {
    await expect(parseCsv('x,k\n1,a\n', { target: 'k' })).rejects.toMatchObject({
      message: "CSV data, line 2, column 'k': expected a number, received 'a'",
    })
  })

  it('must not be empty', async () => {
    await expect(parseCsv('x,k\n1, \n', { target: 'k', targetKind: 'class' })).rejects.toMatchObject({
      message: "CSV data, line 2, column 'k': expected a class label, received an empty cell",
    })
  })
})

describe('broken files', () => {
  it.each<[string, string, CsvOptions, string]>([
    ['nothing', '', {}, 'CSV data: expected at least one row of data, received an empty file'],
    ['blank lines', '\n\n', {}, 'CSV data: expected at least one row of data, received an empty file'],
    ['header alone', 'a,b\n', {}, 'CSV data: expected at least one row of data, received a header alone'],
    ['text', 'a,b\n1,2\n3,x\n', {}, "CSV data, line 3, column 'b': expected a number, received 'x'"],
    ['empty cell', 'a,b\n1,\n', {}, "CSV data, line 2, column 'b': expected a number, received an empty cell"],
    ['NaN', 'a\nNaN\n', { header: true }, "CSV data, line 2, column 'a': expected a number, received 'NaN'"],
    [
      'Infinity',
      'a\n-Infinity\n',
      { header: true },
      "CSV data, line 2, column 'a': expected a number, received '-Infinity'",
    ],
    ['hexadecimal', 'a\n0x10\n', { header: true }, "CSV data, line 2, column 'a': expected a number, received '0x10'"],
    [
      'decimal comma',
      'a\n"1,5"\n',
      { header: true },
      "CSV data, line 2, column 'a': expected a number, received '1,5'",
    ],
    ['beyond float32', '1e39\n', {}, "CSV data, line 1, column 'column0': expected a finite float32, received '1e39'"],
    [
      'beyond float64',
      '1e309\n',
      { dtype: 'float64' },
      "CSV data, line 1, column 'column0': expected a finite float64, received '1e309'",
    ],
    ['short row', 'a,b\n1,2\n3\n', {}, 'CSV data, line 3: expected 2 cells, as in the first row, received 1'],
    ['long row', '1,2\n3,4,5\n', {}, 'CSV data, line 2: expected 2 cells, as in the first row, received 3'],
  ])('rejects: %s', async (_, text, options, message) => {
    await expect(parseCsv(text, options)).rejects.toMatchObject({ code: 'ERR_FILE', message })
  })

  it('counts lines with blank ones and comments', async () => {
    await expect(parseCsv('a\n\n# x\n1\n\nb\n', { comment: '#' })).rejects.toMatchObject({
      details: { line: 6, column: 'a' },
    })
  })

  it('reports what the parser finds', async () => {
    await expect(parseCsv('a\n"1\n2\n')).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/expected well-formed CSV, received Quote Not Closed/) as unknown,
    })
    await expect(parseCsv('a\n1"2\n')).rejects.toMatchObject({ code: 'ERR_FILE' })
  })

  it('does not gather a row without end', async () => {
    await expect(parseCsv(`a\n"${'1'.repeat(17 * 2 ** 20)}`)).rejects.toMatchObject({
      code: 'ERR_FILE',
      message: expect.stringMatching(/Max Record Size/) as unknown,
    })
  })
})

describe('options', () => {
  it.each<[string, unknown, string]>([
    ['unknown', { delimeter: ';' }, "csv options: unknown option 'delimeter'; did you mean 'delimiter'?"],
    ['delimiter', { delimiter: '' }, "csv delimiter: expected a string that is not empty, received ''"],
    ['header', { header: 'yes' }, "csv header: expected true or false, received 'yes'"],
    ['dtype', { dtype: 'float16' }, "csv dtype: expected 'float32' or 'float64', received 'float16'"],
    ['column', { columns: [1.5] }, 'csv columns[0]: expected an integer >= 0, received 1.5'],
    ['column kind', { target: true }, 'csv target: expected a column name or index, received true'],
    [
      'kind',
      { target: 0, targetKind: 'classes' },
      "csv targetKind: expected 'number' or 'class', received 'classes'; did you mean 'class'?",
    ],
    [
      'no class column',
      { targetKind: 'class' },
      "csv target: expected one column for targetKind 'class', received an empty array",
    ],
    ['no columns', { columns: [] }, 'csv columns: expected length >= 1, received length 0'],
  ])('rejects: %s', async (_, options, message) => {
    await expect(parseCsv('1\n', options as CsvOptions)).rejects.toThrow(message)
  })
})

describe('fuzzing', () => {
  it('reads back any table of numbers', async () => {
    const cell = fc.double({ noNaN: true, noDefaultInfinity: true })
    const table = fc
      .integer({ min: 1, max: 5 })
      .chain((columns) =>
        fc.array(fc.array(cell, { minLength: columns, maxLength: columns }), { minLength: 1, maxLength: 8 }),
      )
    await fc.assert(
      fc.asyncProperty(table, async (rows) => {
        // String(-0) is '0'.
        const text = rows.map((row) => row.map((value) => (Object.is(value, -0) ? '-0' : value)).join(',')).join('\n')
        const { data, shape } = await parseCsv(text, { dtype: 'float64' })
        expect(shape).toEqual([rows.length, rows[0]?.length])
        expect(data).toEqual(Float64Array.from(rows.flat()))
      }),
      { seed: 7 },
    )
  })

  it('survives any text', async () => {
    const piece = fc.constantFrom('1', '-2.5', 'a', '"', ',', '\n', '\r\n', ' ', '""', 'é', '\u0000', '\ufeff', '1e5')
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 30 }), async (pieces) => {
        try {
          const { data, shape } = await parseCsv(pieces.join(''))
          expect(data).toHaveLength(shape[0] * shape[1])
          expect(data.every(Number.isFinite)).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(KrylovError)
          expect((error as KrylovError).code).toBe('ERR_FILE')
        }
      }),
      { seed: 8, numRuns: 1000 },
    )
  })
})

describe('files', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'krylov-csv-'))
  })
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('are read as streams', async () => {
    const path = join(folder, 'table.csv')
    const rows = Array.from({ length: 40_000 }, (_, index) => `${index},0.5`)
    await writeFile(path, `a,b\n${rows.join('\n')}\n`)
    const table = await readCsv(path, { columns: ['a'] })
    expect(table.shape).toEqual([40_000, 1])
    expect(table.data[39_999]).toBe(39_999)
  })

  it('are named when missing', async () => {
    const path = join(folder, 'absent.csv')
    await expect(readCsv(path)).rejects.toMatchObject({ code: 'ERR_FILE', details: { file: path } })
  })
})
