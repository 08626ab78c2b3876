/**
 * Guests in which nothing can be relied upon, several at once on one core, beside one that behaves:
 * it goes on printing, and whatever becomes of them, it is no mistake of ours that ends them.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ticking } from '../guests/programs.ts'
import { randomCode, wildJumps, wildLongMode, wildStacks } from '../guests/storms.ts'
import { type InnerGuest, InnerMachine } from './inner-machine.ts'

describe('storms', () => {
  let machine: InnerMachine
  let witness: InnerGuest

  before(async () => {
    machine = await InnerMachine.start(512)
    witness = await machine.guest('witness', ticking(), 8)
  })
  after(() => machine.stop())

  async function allIsWell(): Promise<void> {
    const { length } = witness.text
    await machine.until('the witness prints', () => witness.text.length >= length + 28)
    assert.match(witness.text, /^(tick [0-9a-f]{8}\n)*/)
    assert.doesNotMatch(await machine.log(), /crashed|core \d/)
  }

  test('faults where there is nothing to execute', async () => {
    const guest = await machine.guest('jumps', wildJumps(), 64)
    await machine.until('round 2', () => guest.text.includes('round 00000002'))
    assert.equal((await machine.domain(guest.domid))?.shutdown, false)
    await machine.destroy(guest.domid)
    await allIsWell()
  })

  test('faults whose stack is where there is no memory, and random code', async () => {
    const guests = [await machine.guest('stacks', wildStacks(), 64)]
    for (const seed of [1, 2, 3]) guests.push(await machine.guest(`${seed}`, randomCode(seed), 64))
    for (let i = 0; i < 3; i++) await allIsWell()
    for (const { domid } of guests) await machine.destroy(domid)
    assert.equal(await machine.count(), 2)
    await allIsWell()
  })

  test('long mode over tables of nonsense', async () => {
    const guests: InnerGuest[] = []
    for (const seed of [1, 2, 3]) {
      guests.push(await machine.guest(`${seed}`, wildLongMode(seed), 64))
    }
    for (let i = 0; i < 3; i++) await allIsWell()
    for (const { domid } of guests) await machine.destroy(domid)
    assert.equal(await machine.count(), 2)
    await allIsWell()
  })
})
