/**
 * The committed reference pages are what the code says.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { fuzzHypercalls } from '../../fuzz/hypercalls.ts'
import { goldenIsFresh } from '../../tools/abi.ts'
import { pageIsFresh } from '../../tools/abi-hypercalls.ts'

test('docs/reference/abi.golden.txt lists the layouts and numbers of src/abi', () => {
  assert.ok(goldenIsFresh(), 'UPDATE_EXPECT=1 tools/abi.ts writes it anew')
})

test('docs/reference/hypercalls.md lists the hypercall table', () => {
  assert.ok(pageIsFresh(), 'tools/abi-hypercalls.ts writes it anew')
})

test('wild hypercalls neither throw nor leak', () => {
  fuzzHypercalls(80)
})
