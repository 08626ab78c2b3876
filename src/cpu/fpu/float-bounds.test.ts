/**
 * Bounds of results against arithmetic on doubles.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { SeededRandom } from '../../base/seeded-random.ts'
import {
  areNormal, boundsOfResult, type BoundedOp, eitherOf, type FloatBounds, MODERATE,
} from './float-bounds.ts'

const operations: Readonly<Record<BoundedOp, (a: number, b: number) => number>> = {
  add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b,
  sqrt: (a) => Math.sqrt(a),
}

/** A positive number within bounds, often at their ends. */
function numberWithin({ low, high }: FloatBounds, random: SeededRandom): number {
  if (random.below(8) === 0) return 0
  const ends = [2 ** low, 2 ** low * (1 + 2 ** -52), 2 ** high, 2 ** high * (1 - 2 ** -53)]
  if (random.below(2) === 0) return ends[random.below(ends.length)]!
  return 2 ** (low + random.below(high - low)) * (1 + random.below(1 << 30) / 2 ** 30)
}

test('results are within the bounds that follow from those of operands', () => {
  const random = new SeededRandom('bounds')
  for (let round = 0; round < 20_000; round++) {
    const [first, second] = [0, 1].map(() => {
      const low = random.below(300) - 200
      return { low, high: low + 1 + random.below(100) }
    }) as [FloatBounds, FloatBounds]
    const a = numberWithin(first, random)
    const b = numberWithin(second, random)
    for (const op of Object.keys(operations) as BoundedOp[]) {
      if (op === 'div' && b === 0) continue
      const { low, high } = boundsOfResult(op, first, second)
      const result = Math.abs(operations[op](a, b))
      const isWithin = result === 0 || result >= 2 ** low && result <= 2 ** high
      assert.ok(isWithin, `${op} of ${a} and ${b}: ${result}`)
    }
  }
})

test('the difference of neighbours is within the bounds of a difference', () => {
  for (const low of [-255, 0, 100]) {
    const bounds = { low, high: low + 1 }
    const { low: least } = boundsOfResult('sub', bounds, bounds)
    assert.equal(2 ** low * (1 + 2 ** -52) - 2 ** low, 2 ** least)
  }
})

test('a difference has at least the last place of half of the greater low bound', () => {
  const [below, above] = [{ low: -10, high: 0 }, { low: 0, high: 1 }]
  assert.equal(1 - (1 - 2 ** -53), 2 ** boundsOfResult('sub', above, below).low)
  const little = { low: -100, high: 0 }
  assert.equal(boundsOfResult('add', above, little).low, -100)
})

test('squares of differences of moderate numbers are normal, and sums of them finite', () => {
  const difference = boundsOfResult('sub', MODERATE, MODERATE)
  const square = boundsOfResult('mul', difference, difference)
  assert.ok(areNormal(square))
  assert.ok(boundsOfResult('add', square, square).high <= 1023)
})

test('products of two moderate numbers, and sums of two such, are normal', () => {
  const product = boundsOfResult('mul', MODERATE, MODERATE)
  assert.ok(areNormal(boundsOfResult('add', product, product)))
  assert.ok(!areNormal(boundsOfResult('mul', product, MODERATE)))
})

test('of two values holds what holds of both', () => {
  assert.deepEqual(eitherOf({ low: -3, high: 5 }, { low: 0, high: 9 }), { low: -3, high: 9 })
  assert.equal(eitherOf(MODERATE, undefined), undefined)
})
