/**
 * Two guests on two cores that wake each other by events, by turns: each waits for the other all
 * the time, so that one wake-up lost ends all. WAKE_ROUNDS says how often, 20,000 times unless it
 * does.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ping, pong } from '../guests/ping-pong.ts'
import { InnerMachine } from '../hostile/inner-machine.ts'

const ROUNDS = Number(process.env['WAKE_ROUNDS'] ?? 20_000)
/** Rounds between looks whether both are done, for which the patience with a guest is enough. */
const STRETCH = 20_000

const machine = await InnerMachine.start(256, 2)
after(() => machine.stop())

test('no wake-up is lost between two cores', async (t) => {
  let took = 0
  for (let left = ROUNDS; left > 0; left -= STRETCH) {
    took += await play(Math.min(left, STRETCH))
  }
  t.diagnostic(`${Math.round(ROUNDS / took * 1000)} round trips a second`)
})

let lastDomid = 0

/** How many milliseconds so many round trips took. */
async function play(rounds: number): Promise<number> {
  // Numbers of domains follow one another.
  const first = await machine.guest('first', pong(lastDomid + 2, rounds), 16)
  await machine.until('it offers a port', () => /port \S{8}\n/.test(first.text))
  const port = parseInt(/port (\S{8})/.exec(first.text)![1]!, 16)
  await machine.pin(first.domid, 0)
  const began = performance.now()
  const second = await machine.guest('second', ping(first.domid, port, rounds), 16)
  assert.deepEqual([first.domid, second.domid], [lastDomid + 1, lastDomid + 2])
  await machine.pin(second.domid, 1)
  await machine.until('both have had all events',
    () => first.text.includes('done') && second.text.includes('done'))
  const took = performance.now() - began
  lastDomid = second.domid
  await machine.destroy(first.domid)
  await machine.destroy(second.domid)
  return took
}
