/**
 * When a process counts as idle.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Idleness } from './idle-process.ts'

/** Of each five seconds, the CPU time in ms, gives whether idleness began at their end. */
function begins(cpu: readonly number[]): boolean[] {
  const idleness = new Idleness()
  let sum = 0
  return cpu.map((ms, i) => idleness.hasBegun((i + 1) * 5000, sum += ms))
}

test('a process is idle after three periods with little to do, and that begins once', () => {
  assert.deepEqual(begins([4000, 50, 50, 50, 50, 50]), [false, false, false, true, false, false])
})

test('one that does something meanwhile is idle later', () => {
  assert.deepEqual(begins([50, 50, 4000, 50, 50, 50]), [false, false, false, false, false, true])
})

test('one that was idle and did something falls idle again', () => {
  const [busy, idle] = [[4000], [50, 50, 50]]
  assert.deepEqual(begins([...idle, ...busy, ...idle]).flatMap((is, i) => is ? [i] : []), [2, 6])
})

test('its own giving back is not something to do', () => {
  assert.deepEqual(begins([50, 50, 50, 300, 50, 50, 50]).filter((is) => is).length, 1)
})
