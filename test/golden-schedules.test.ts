// Schedules against golden values (test/golden/schedules/README.md).
import { describe, expect, test } from 'vitest'
import type { ScheduleOption } from '../src/index.js'
import { scheduleValue } from '../src/index.js'
import { expectClose, largest } from './support/compare.js'
import { goldenCases } from './support/golden.js'

type Named = { readonly schedule: string; readonly options: Record<string, unknown> }
type Case = Named & { readonly learningRates?: number[]; readonly momenta?: number[] }

/** `{ schedule, options }`, the golden form, as our `{ kind, ...options }`; what follows a warm-up likewise. */
function specOf({ schedule, options }: Named): ScheduleOption {
  const { after, ...rest } = options
  return {
    kind: schedule,
    ...rest,
    ...(after === undefined ? {} : { after: specOf(after as Named) }),
  } as ScheduleOption
}

const cases = goldenCases<Case>('schedules')

test('every kind of schedule has a golden file', () => {
  const kinds = [...new Set(cases.map(({ value }) => value.schedule))].sort()
  expect(kinds).toEqual(['constant', 'cosine', 'polynomial', 'sutskeverMomentum', 'warmup'])
})

describe.each(cases)('$name', ({ value: golden }) => {
  test('values', () => {
    const expected = golden.learningRates ?? golden.momenta ?? []
    expect(expected.length).toBe(201)
    const spec = specOf(golden)
    const found = expected.map((_, t) => scheduleValue(spec, t))
    const most = largest(expected)
    expectClose(found, expected, (b) => 1e-12 * Math.max(Math.abs(b), most), golden.schedule)
  })
})
