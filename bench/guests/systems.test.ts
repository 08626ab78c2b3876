/**
 * Variants as the command line names them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { variantOf } from './systems.ts'

test('a variant has a name, variables, options of xl, and perhaps another xl', () => {
  assert.deepEqual(variantOf('before: /tree/xl --x=1 A_B=c=d -v'), {
    name: 'before', kind: 'xl', xl: '/tree/xl', options: ['--x=1', '-v'],
    environment: { A_B: 'c=d' },
  })
  assert.deepEqual(variantOf('same:'),
    { name: 'same', kind: 'xl', options: [], environment: {} })
})

test('a variant without a name, or of two programs, is refused', () => {
  assert.throws(() => variantOf('A=1'), /is not NAME: WORD/)
  assert.throws(() => variantOf('a: /one/xl /two/xl'), /two programs/)
})
