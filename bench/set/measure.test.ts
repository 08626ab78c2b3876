/**
 * Rounds over places that are made up: what is kept, and what is a failure.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Place, SetMeasurement } from './measure.ts'
import type { Row } from './rows.ts'

const rows: Row[] = ['one', 'two'].map((name) => ({ name, group: 'code', what: name, rounds: 1 }))

class MadeUpPlace implements Place {
  readonly system: string
  readonly log: string[]
  readonly #checksum: string
  recovered = 0
  #seconds = 0

  constructor(system: string, checksum: string, log: string[]) {
    this.system = system
    this.log = log
    this.#checksum = checksum
  }

  async run(row: Row): Promise<{ checksum: string, seconds: number }> {
    this.log.push(`${row.name} ${this.system}`)
    if (this.#checksum.startsWith('dies')) throw new Error('it died')
    return { checksum: this.#checksum, seconds: ++this.#seconds }
  }

  async recover(): Promise<void> {
    this.recovered++
    if (this.#checksum === 'dies for good') throw new Error('gone')
  }
}

test('each row runs twice in each place, and the order of places turns', async () => {
  const log: string[] = []
  const set = new SetMeasurement(rows, () => {})
  await set.round([new MadeUpPlace('a', '7', log), new MadeUpPlace('b', '7', log)])
  assert.deepEqual(log, [
    'one a', 'one a', 'one b', 'one b', 'two b', 'two b', 'two a', 'two a',
  ])
  assert.deepEqual(set.results[1]!.first, { b: [3], a: [3] })
  assert.deepEqual(set.results[1]!.again, { b: [4], a: [4] })
  assert.deepEqual(set.failures, [])
})

test('a checksum that differs is a failure, also from one round to the next', async () => {
  const set = new SetMeasurement(rows.slice(0, 1), () => {})
  await set.round([new MadeUpPlace('a', '7', [])])
  assert.equal(set.failures.length, 0)
  await set.round([new MadeUpPlace('a', '8', [])])
  assert.match(set.failures[0]!, /one gave "8" on a, but "7" on a/)
})

test('what a system lacks is no failure, and has no times', async () => {
  const set = new SetMeasurement(rows, () => {})
  await set.round([new MadeUpPlace('a', 'none', []), new MadeUpPlace('b', '7', [])])
  assert.deepEqual(set.failures, [])
  assert.deepEqual(Object.keys(set.results[0]!.again), ['b'])
})

test('a place where a row fails is made fit again, and the failure told', async () => {
  const place = new MadeUpPlace('a', 'dies', [])
  const said: string[] = []
  const set = new SetMeasurement(rows, (text) => said.push(text))
  await set.round([place])
  assert.equal(place.recovered, 2)
  assert.deepEqual(set.failures, ['one failed on a: it died', 'two failed on a: it died'])
  assert.ok(said.includes('FAILURE: one failed on a: it died'))
})

test('a place that does not come back is left out of the round', async () => {
  const log: string[] = []
  const set = new SetMeasurement(rows, () => {})
  await set.round([new MadeUpPlace('a', 'dies for good', log), new MadeUpPlace('b', '7', log)])
  assert.deepEqual(log, ['one a', 'one b', 'one b', 'two b', 'two b'])
  assert.deepEqual(set.failures, ['one failed on a: it died', 'a did not come back: gone'])
})
