/**
 * Automatic placement on NUMA nodes.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bestNodes, type CandidateNode } from './numa-candidates.ts'

const GIB = 2 ** 30

/** Nodes as [GiB free, CPUs, VCPUs]. */
function place(need: [gib: number, vcpus: number], ...nodes: [number, number, number][]) {
  const candidates: CandidateNode[] = nodes.map(([gib, cpus, vcpus]) =>
    ({ freeBytes: gib * GIB, cpus, vcpus }))
  return bestNodes(candidates, { bytes: need[0] * GIB, vcpus: need[1] })
}

test('a domain that fits on one node is on that with most free memory', () => {
  assert.deepEqual(place([1, 2], [4, 4, 0], [5, 4, 0], [3, 4, 0]), [1])
  assert.deepEqual(place([1, 2], [4, 4, 0], [4, 4, 0]), [0])
})

test('VCPUs that are there already count three times', () => {
  assert.deepEqual(place([1, 2], [8, 4, 4], [4, 4, 2]), [1])
  assert.deepEqual(place([1, 2], [8, 4, 4], [3, 4, 3]), [1])
  assert.deepEqual(place([1, 2], [8, 4, 4], [1, 4, 3]), [0])
})

test('memory or CPUs that one node has not are looked for on more', () => {
  assert.deepEqual(place([6, 2], [4, 4, 0], [3, 4, 0], [5, 4, 0]), [0, 2])
  assert.deepEqual(place([1, 6], [4, 4, 0], [3, 4, 0], [5, 4, 0]), [0, 2])
  assert.deepEqual(place([1, 3], [4, 2, 0], [3, 4, 0]), [1])
})

test('nodes without CPUs do not count, and where none are enough there is no placement', () => {
  assert.deepEqual(place([1, 1], [8, 0, 0], [2, 4, 0]), [1])
  assert.equal(place([4, 1], [8, 0, 0], [2, 4, 0]), undefined)
  assert.equal(place([1, 9], [4, 4, 0], [3, 4, 0]), undefined)
})
