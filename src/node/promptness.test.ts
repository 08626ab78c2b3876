/**
 * When files are read and written on the spot.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Promptness } from './promptness.ts'

/** How many requests go through the pool before one is done on the spot again. */
function pooled(promptness: Promptness): number {
  let count = 0
  while (!promptness.isLikely()) count++
  return count
}

test('what is fast goes on being done on the spot, the larger the slower', () => {
  const promptness = new Promptness()
  for (let i = 0; i < 100; i++) {
    assert(promptness.isLikely())
    promptness.took(0.1, 4096)
    promptness.took(1.5, 1 << 20)
  }
})

test('the oftener something is slow, the more go through the pool afterwards', () => {
  const promptness = new Promptness()
  const counts = Array.from({ length: 20 }, () => {
    promptness.took(5, 4096)
    return pooled(promptness)
  })
  assert.deepEqual(counts.slice(0, 4), [16, 32, 64, 128])
  assert.equal(counts.at(-1), 4096)
})

test('what has been slow is forgotten by and by', () => {
  const promptness = new Promptness()
  for (let i = 0; i < 3; i++) promptness.took(5, 4096)
  assert.equal(pooled(promptness), 64)
  for (let i = 0; i < 3; i++) promptness.took(0.1, 4096)
  promptness.took(5, 4096)
  assert.equal(pooled(promptness), 16)
})
