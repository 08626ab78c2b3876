/**
 * Ranges of CPUs, as real xl reads them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cpusIn } from './cpu-range.ts'

test('ranges of CPUs may have blanks before numbers and empty parts, and do not go down', () => {
  const nodes = [0, 0, 1, 1]
  const ranges = { '0, 2': [0, 2], '1,': [1], '': [], 'all,^1- 2': [0, 3], 'node: 1': [2, 3] }
  for (const [text, cpus] of Object.entries(ranges)) assert.deepEqual(cpusIn(text, nodes), cpus)
  for (const text of ['3-1', '1-', 'x', '0x1', '1 ', 'none']) {
    assert.equal(cpusIn(text, nodes), undefined, text)
  }
})
