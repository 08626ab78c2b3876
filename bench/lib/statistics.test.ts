/**
 * Medians, spreads, ratios.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { geometricMean, ratiosOf, spreadOf, summaryOf } from './statistics.ts'

test('a summary is the median between the least and the most', () => {
  assert.deepEqual(summaryOf([3, 1, 2]), { median: 2, least: 1, most: 3 })
  assert.equal(summaryOf([4, 1, 2, 3]).median, 2.5)
  assert.equal(spreadOf({ median: 2, least: 1, most: 3 }), 50)
})

test('ratios are taken within rounds', () => {
  assert.deepEqual(ratiosOf([2, 20, 9], [1, 10, 3]), { median: 2, least: 2, most: 3 })
})

test('the geometric mean of ratios does not depend on which way round they are', () => {
  assert.ok(Math.abs(geometricMean([2, 8]) - 4) < 1e-12)
  assert.ok(Math.abs(geometricMean([1 / 2, 1 / 8]) - 1 / 4) < 1e-12)
})
