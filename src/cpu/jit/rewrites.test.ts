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
    rewrites.note(0x1000, false)
    return count
  })
  assert.deepEqual(asked, [1, 2, 4, 8])
  assert.equal(askedUntilAllowed(rewrites, 0x2000), 1, 'other pages are not concerned')
})

test('a page that is rewritten for ever is still compiled at times', () => {
  const rewrites = new Rewrites()
  const asked = Array.from({ length: 100 }, () => {
    rewrites.note(0, false)
    return askedUntilAllowed(rewrites, 0)
  })
  assert.equal(asked.at(-1), 4096)
})

test('what is remembered is bounded', () => {
  const rewrites = new Rewrites()
  for (let page = 0; page <= 4096; page++) rewrites.note(page, false)
  assert.equal(askedUntilAllowed(rewrites, 0), 1)
  assert.equal(askedUntilAllowed(rewrites, 4096), 2)
})

test('when all is forgotten, a page asks once again', () => {
  const rewrites = new Rewrites()
  rewrites.note(0, false)
  rewrites.clear()
  assert.equal(askedUntilAllowed(rewrites, 0), 1)
  rewrites.note(0, false)
  assert.equal(askedUntilAllowed(rewrites, 0), 2)
})

test('all the code of a page that is written to at once counts once', () => {
  const rewrites = new Rewrites()
  for (let i = 0; i < 100; i++) rewrites.note(0, false)
  assert.equal(askedUntilAllowed(rewrites, 0), 2)
})

test('where compiling has paid, code is compiled sooner again', () => {
  const rewrites = new Rewrites()
  const asked = [false, false, false, true, true, true, true].map((hasPaid) => {
    rewrites.note(0, hasPaid)
    return askedUntilAllowed(rewrites, 0)
  })
  assert.deepEqual(asked, [2, 4, 8, 4, 2, 1, 1])
  rewrites.note(0x1000, true)
  assert.equal(askedUntilAllowed(rewrites, 0x1000), 1)
})
