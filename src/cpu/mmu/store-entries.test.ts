/**
 * Entries for stores that lead to frames which become code, after random fills and flushes.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../base/seeded-random.ts'
import { TestMachine } from './test-machine.ts'

const PRESENT = 1n
const RW = 1n << 1n
const A = 1n << 5n
const D = 1n << 6n

/** Pages in pairs that share an entry of the tables: there are 2^14. */
const PAGES = [0, 1, 2, 3, 4, 5].flatMap((page) => [
  BigInt(page + 0x100) << 12n, BigInt(page + 0x100) << 12n | 1n << 26n,
])

test('after any fills and flushes, a store to a frame that becomes code is told of', () => {
  const seed = Number(process.env['SEED'] ?? 3)
  const seeded = new SeededRandom(`${seed}`)
  const random = (below: number): number => seeded.below(below)
  const machine = new TestMachine().longMode()
  const frames = Array.from({ length: 4 }, () => machine.frame() << 12)
  const frameOf = new Map<bigint, number>()
  const map = (page: bigint): void => {
    const frame = frames[random(frames.length)]!
    machine.map(page, BigInt(frame) | PRESENT | RW | A | D)
    machine.memory.flushPage(page)
    frameOf.set(page, frame)
  }
  const store = (page: bigint): void => {
    const by = random(2) === 0 ? 'inlineStore' : 'microStore'
    assert.equal(machine.mmu[by](page + 8n, 1n), 0)
  }
  const steps = [
    (page: bigint) => map(page),
    () => machine.memory.flushAll(),
    ...Array.from({ length: 6 }, () => store),
  ]
  for (const page of PAGES) map(page)
  for (let round = 0; round < 2000; round++) {
    for (let step = random(30); step > 0; step--) {
      steps[random(steps.length)]!(PAGES[random(PAGES.length)]!)
    }
    const code = frames[random(frames.length)]!
    machine.markCode(machine.at(code))
    machine.codeWrites.length = 0
    const there = PAGES.filter((page) => frameOf.get(page) === code)
    for (const page of PAGES) store(page)
    assert.equal(machine.codeWrites.length, there.length, `seed ${seed}, round ${round}`)
    machine.mmu.clearCode(machine.at(code))
  }
})
