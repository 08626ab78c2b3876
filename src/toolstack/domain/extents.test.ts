/**
 * In which extents a range is populated.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { asGfn } from '../../abi/numbers.ts'
import { XenError } from '../../dom0/interfaces.ts'
import { populateRange } from './extents.ts'

const GIB = 2 ** 18

/** What a range is asked for as, by order, where so many extents of an order are to be had. */
function asked(first: number, count: number, most: Partial<Record<number, number>> = {}) {
  const calls: [number, number, number][] = []
  const populated: [number, number][] = []
  populateRange({ first: asGfn(first), count }, (gfn, wanted, order) => {
    calls.push([order, gfn, wanted])
    const done = Math.min(wanted, most[order] ?? wanted)
    populated.push([gfn, done << order])
    return done
  })
  // Each frame once.
  const end = populated.sort(([a], [b]) => a - b).reduce((next, [gfn, frames]) => {
    assert.equal(gfn, next)
    return next + frames
  }, first)
  assert.equal(end, first + count)
  return calls
}

test('a range comes in the largest extents that are aligned and fit', () => {
  assert.deepEqual(asked(0, 8), [[0, 0, 8]])
  assert.deepEqual(asked(0, 1024), [[9, 0, 2]])
  assert.deepEqual(asked(500, 1060), [[9, 512, 2], [0, 500, 12], [0, 1536, 24]])
  assert.deepEqual(asked(GIB - 513, GIB + 514), [
    [18, GIB, 1], [9, GIB - 512, 1], [0, GIB - 513, 1], [0, GIB * 2, 1],
  ])
})

test('what is refused comes in smaller ones', () => {
  assert.deepEqual(asked(0, GIB * 2 + 512, { 18: 1, 9: 100 }), [
    [18, 0, 2], [9, GIB, 513], [0, GIB + 51200, GIB + 512 - 51200],
  ])
  assert.throws(() => asked(0, 600, { 9: 0, 0: 599 }), XenError)
})
