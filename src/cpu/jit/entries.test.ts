/**
 * Whose entries are whose: regions that have the same code in part.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CODE_MODE_FLAT32, CODE_MODE_LONG } from '../core-memory.ts'
import { Entries, type LiveRegion } from './entries.ts'

/** Entries, and which function in the table each address leads to. */
function makeEntries(): { entries: Entries, entered: Map<number, number> } {
  const entered = new Map<number, number>()
  const entries = new Entries({
    recordAt: (machine) => machine,
    enterRegion: (record, region) => entered.set(record, region),
    leaveRegion: (machine) => entered.delete(machine),
    cool: () => {},
  }, { forget: () => {} }, 3)
  return { entries, entered }
}

/** A region whose code is there. */
function region(
  tableIndex: number, blocks: readonly number[], enteredAt: readonly number[],
  { isWide = false, codeMode = CODE_MODE_LONG } = {},
): LiveRegion {
  return {
    shape: {
      blocks: new Int32Array(), bytes: new Uint8Array(), entries: new Int32Array(),
      keys: new Int32Array(), pages: new Int32Array(), isWide, codeMode,
    },
    pageAt: () => 0, lines: new Map(), blocks, entries: enteredAt, isForgotten: false,
    code: { tableIndex, release: () => {} },
  }
}

function placed(entries: Entries, live: LiveRegion): LiveRegion[] {
  entries.claim(live)
  return entries.place(live)
}

test('whoever is there first keeps an entry', () => {
  const { entries, entered } = makeEntries()
  placed(entries, region(1, [10, 20], [10]))
  assert.deepEqual(placed(entries, region(2, [5, 10, 30], [5, 10])), [])
  assert.deepEqual([...entered], [[10, 1], [5, 2]])
})

test('unless it is part of the other', () => {
  const { entries, entered } = makeEntries()
  const part = region(1, [10, 20], [10])
  placed(entries, part)
  assert.deepEqual(placed(entries, region(2, [5, 10, 20], [5, 10])), [part])
  assert.deepEqual([...entered], [[10, 2], [5, 2]])
})

test('a part that is entered elsewhere too stays', () => {
  const { entries, entered } = makeEntries()
  placed(entries, region(1, [10, 20], [10, 20]))
  assert.deepEqual(placed(entries, region(2, [5, 10, 20], [5, 10])), [])
  assert.deepEqual([...entered], [[10, 2], [20, 1], [5, 2]])
})

test('a wide region takes all', () => {
  const { entries, entered } = makeEntries()
  const narrow = region(1, [10, 20], [10])
  placed(entries, narrow)
  assert.deepEqual(placed(entries, region(2, [10], [10], { isWide: true })), [narrow])
  assert.deepEqual([...entered], [[10, 2]])
})

test('but those of code in another mode', () => {
  const { entries, entered } = makeEntries()
  placed(entries, region(1, [10], [10]))
  for (const isWide of [false, true]) {
    placed(entries, region(2, [5, 10], [10], { isWide, codeMode: CODE_MODE_FLAT32 }))
  }
  assert.deepEqual([...entered], [[10, 1]])
})

test('an entry tells how often it was hot again; those of a wide region are busy', () => {
  const { entries } = makeEntries()
  assert.equal(entries.arrivalsAt(10), undefined)
  placed(entries, region(1, [10, 20], [10, 20]))
  entries.arrived(10)
  assert.deepEqual([10, 20].map((at) => entries.arrivalsAt(at)), [1, 0])
  placed(entries, region(2, [10], [10], { isWide: true }))
  assert.deepEqual([10, 20].map((at) => entries.arrivalsAt(at)), [3, 0])
})
