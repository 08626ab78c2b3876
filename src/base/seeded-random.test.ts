/** Random numbers by a seed. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { SeededRandom } from './seeded-random.ts'

test('the same seed gives the same numbers, and another seed others', () => {
  const [a, b, c] = ['1', '1', '2'].map((seed) => new SeededRandom(seed).bytes(64))
  assert.deepEqual(a, b)
  assert.notDeepEqual(a, c)
})

test('every bit is set half of the time', () => {
  const random = new SeededRandom('bits')
  const counts = new Array<number>(32).fill(0)
  for (let i = 0; i < 10_000; i++) {
    const word = random.word()
    for (let bit = 0; bit < 32; bit++) counts[bit]! += word >>> bit & 1
  }
  for (const count of counts) assert.ok(Math.abs(count - 5000) < 300, `${count} of 10000`)
})
