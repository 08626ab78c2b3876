/**
 * How long a vcpu may run by its own past.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget } from './budget.ts'

const SLICE_NS = 10e6

test('a vcpu begins with little, and comes to run for the time that it has', () => {
  const budget = new Budget()
  assert.ok(budget.until(SLICE_NS) <= 20_000)
  for (let i = 0; i < 40; i++) budget.learn(1000, 20_000)
  assert.ok(Math.abs(budget.until(SLICE_NS) - SLICE_NS / 20) < 1000)
})

test('one slow run is enough for a small budget', () => {
  const budget = new Budget()
  for (let i = 0; i < 40; i++) budget.learn(1000, 10_000)
  budget.learn(1000, 1_000_000)
  assert.equal(budget.until(SLICE_NS), 10_000)
})
