/**
 * As many guests as there is room for: all get on, one too many is refused, and what ends leaves
 * its room to the next.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ticking } from '../guests/programs.ts'
import { type InnerGuest, InnerMachine } from '../hostile/inner-machine.ts'

const MACHINE_MIB = 512
const CORES = 2
const MANY = 32
const SMALL_MIB = 8
const LARGE_MIB = 32

const kernel = ticking()

const machine = await InnerMachine.start(MACHINE_MIB, CORES)
after(() => machine.stop())

test(`${MANY} guests on ${CORES} cores all get on`, async () => {
  const guests: InnerGuest[] = []
  for (let i = 0; i < MANY; i++) guests.push(await machine.guest(`g${i}`, kernel, SMALL_MIB))
  await machine.until('each ticks', () => guests.every(({ text }) => text.includes('00000002')))
  const seen = guests.map(({ text }) => text.length)
  await machine.until('each goes on', () => guests.every(({ text }, i) => text.length > seen[i]!))
  for (const { domid } of guests) await machine.destroy(domid)
})

/** Starts guests until one is refused; their numbers, and the refusal. */
async function fill(): Promise<{ domids: number[], refusal: string }> {
  const domids: number[] = []
  for (;;) {
    try {
      domids.push((await machine.guest(`f${domids.length}`, kernel, LARGE_MIB)).domid)
    } catch (error) {
      return { domids, refusal: (error as Error).message }
    }
  }
}

test('a guest for which there is no memory is refused, and nothing of it stays', async () => {
  const first = await fill()
  assert.match(first.refusal, /memory/)
  assert.ok(first.domids.length > MACHINE_MIB / LARGE_MIB / 2, `${first.domids.length} fit`)
  assert.equal(await machine.count(), first.domids.length + 1)
  await assert.rejects(machine.guest('more', kernel, LARGE_MIB), /memory/)
  await machine.destroy(first.domids.pop()!)
  first.domids.push((await machine.guest('next', kernel, LARGE_MIB)).domid)
  await assert.rejects(machine.guest('more', kernel, LARGE_MIB), /memory/)
  for (const domid of first.domids) await machine.destroy(domid)
  const second = await fill()
  assert.equal(second.domids.length, first.domids.length)
})
