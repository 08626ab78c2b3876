/**
 * When a process counts as idle.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Idleness } from './idle-process.ts'

/** Of each five seconds, the CPU time in ms; gives what is given back at their ends. */
function given(cpu: readonly number[]): string[] {
  const idleness = new Idleness()
  let sum = 0
  return cpu.flatMap((ms, i) => {
    const what = idleness.look((i + 1) * 5000, sum += ms)
    return what === undefined ? [] : [`${what} ${i + 1}`]
  })
}

const [busy, idle] = [4000, 50]

test('a process is idle after three periods with little to do', () => {
  assert.deepEqual(given([busy, idle, idle, idle, idle, idle]), ['garbage 4'])
})

test('one that does something meanwhile is idle later', () => {
  assert.deepEqual(given([idle, idle, busy, idle, idle, idle]), ['garbage 6'])
})

test('one that was idle and did something falls idle again', () => {
  assert.deepEqual(given([idle, idle, idle, busy, idle, idle, idle]), ['garbage 3', 'garbage 7'])
})

test('its own giving back is not something to do', () => {
  assert.deepEqual(given([idle, idle, idle, 300, idle, idle, idle]), ['garbage 3'])
})

test('while it stays idle, it lets go of the program now and then', () => {
  assert.deepEqual(given(new Array<number>(14).fill(idle)),
    ['garbage 3', 'program 8', 'program 13'])
})
