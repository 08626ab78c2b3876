/**
 * When code that is written to is compiled again.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Rewrites } from './rewrites.ts'

/** How often a page asks until its code is compiled. */
function askedUntilAllowed(rewrites: Rewrites, page: number): number {
  for (let count = 1; ; count++) if (rewrites.allow(page)) return count
}

test('each rewriting of compiled code doubles how often its page must ask', () => {
  const rewrites = new Rewrites()
  const asked = [0, 1, 2, 3].map(() => {
    const count = askedUntilAllowed(rewrites, 0x1000)
    rewrites.note(0x1000)
    return count
  })
  assert.deepEqual(asked, [1, 2, 4, 8])
  assert.equal(askedUntilAllowed(rewrites, 0x2000), 1, 'other pages are not concerned')
})

test('a page that is rewritten for ever is still compiled at times', () => {
  const rewrites = new Rewrites()
  for (let i = 0; i < 100; i++) rewrites.note(0)
  assert.equal(askedUntilAllowed(rewrites, 0), 4096)
})

test('what is remembered is bounded', () => {
  const rewrites = new Rewrites()
  for (let page = 0; page <= 4096; page++) rewrites.note(page)
  assert.equal(askedUntilAllowed(rewrites, 0), 1)
  assert.equal(askedUntilAllowed(rewrites, 4096), 2)
})

test('when all is forgotten, a page asks once again', () => {
  const rewrites = new Rewrites()
  for (let i = 0; i < 100; i++) rewrites.note(0)
  rewrites.clear()
  assert.equal(askedUntilAllowed(rewrites, 0), 1)
  rewrites.note(0)
  assert.equal(askedUntilAllowed(rewrites, 0), 2)
})
