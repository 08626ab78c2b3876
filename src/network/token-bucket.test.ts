/**
 * The token bucket.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TokenBucket } from './token-bucket.ts'

test('so much goes in an interval, and the rest waits for the next', () => {
  const bucket = new TokenBucket(1000, 50, 0)
  assert.equal(bucket.take(600, 0), 0)
  assert.equal(bucket.take(400, 10), 0)
  assert.equal(bucket.take(1, 10), 40)
  assert.equal(bucket.take(1, 50), 0)
})

test('credit is not saved up beyond one interval', () => {
  const bucket = new TokenBucket(1000, 50, 0)
  assert.equal(bucket.take(1000, 10_000), 0)
  assert.equal(bucket.take(1, 10_001), 49)
})

test('what is larger than a bucket goes when the bucket is full', () => {
  const bucket = new TokenBucket(1000, 50, 0)
  assert.equal(bucket.take(60_000, 0), 0)
  assert.equal(bucket.take(60_000, 1), 49)
  assert.equal(bucket.take(60_000, 50), 0)
})
