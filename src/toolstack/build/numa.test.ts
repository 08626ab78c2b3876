/**
 * Virtual nodes in memory, and in the tables that tell the guest of them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { slit, srat } from './acpi/affinity.ts'
import { layNodes, type VirtualNode } from './numa.ts'

const GIB = 2 ** 30
const HOLE = { start: 0xf0000000, end: 4 * GIB }

function nodes(...sizes: number[]): VirtualNode[] {
  return sizes.map((gib, i) => ({
    memoryKib: gib * 2 ** 20, vcpus: [i],
    distances: sizes.map((_, j) => i === j ? 10 : 20 + i),
  }))
}

test('nodes lie one after the other, in two parts where the hole is', () => {
  assert.deepEqual(layNodes(nodes(1, 3, 2), 3, HOLE).memory, [
    { start: 0, end: GIB, vnode: 0 },
    { start: GIB, end: HOLE.start, vnode: 1 },
    { start: HOLE.end, end: HOLE.end + GIB / 4, vnode: 1 },
    { start: HOLE.end + GIB / 4, end: HOLE.end + GIB * 9 / 4, vnode: 2 },
  ])
})

test('a node that ends where the hole begins has one part, one without memory none', () => {
  const { memory } = layNodes(nodes(3.75, 0, 1), 3, HOLE)
  assert.deepEqual(memory, [
    { start: 0, end: HOLE.start, vnode: 0 },
    { start: HOLE.end, end: HOLE.end + GIB, vnode: 2 },
  ])
})

test('the SRAT has a structure for each processor and each part of memory', () => {
  const table = srat(layNodes([
    { memoryKib: 2 ** 20, vcpus: [0, 127], distances: [10, 21] },
    { memoryKib: 2 ** 21, vcpus: [1], distances: [31, 10] },
  ], 128, HOLE))
  const view = new DataView(table.buffer)
  assert.equal(new TextDecoder().decode(table.subarray(0, 4)), 'SRAT')
  assert.equal(view.getUint32(4, true), table.length)
  assert.equal(table.reduce((sum, byte) => sum + byte & 0xff, 0), 0)
  const processors: [number, number][] = []
  const memory: [number, number, number][] = []
  for (let at = 48; at < table.length; at += view.getUint8(at + 1)) {
    const type = view.getUint8(at)
    if (type === 0) {
      assert.equal(view.getUint32(at + 4, true), 1)
      processors.push([view.getUint8(at + 3), view.getUint8(at + 2)])
    } else if (type === 2) {
      assert.equal(view.getUint32(at + 12, true), 1)
      processors.push([view.getUint32(at + 8, true), view.getUint32(at + 4, true)])
    } else {
      assert.equal(type, 1)
      assert.equal(view.getUint8(at + 1), 40)
      assert.equal(view.getUint32(at + 28, true), 1)
      memory.push([view.getUint32(at + 2, true), Number(view.getBigUint64(at + 8, true)),
        Number(view.getBigUint64(at + 16, true))])
    }
  }
  assert.equal(processors.length, 128)
  assert.deepEqual(processors.slice(0, 3), [[0, 0], [2, 1], [4, 0]])
  assert.deepEqual(processors[127], [254, 0])
  assert.deepEqual(memory, [[0, 0, GIB], [1, GIB, 2 * GIB]])
})

test('the SLIT has the distances row by row, in a byte each', () => {
  const table = slit(layNodes([
    { memoryKib: 1024, vcpus: [0], distances: [10, 300] },
    { memoryKib: 1024, vcpus: [1], distances: [31, 10] },
  ], 2, HOLE))
  assert.equal(table[36], 2)
  assert.deepEqual([...table.subarray(44)], [10, 255, 31, 10])
  assert.equal(table.reduce((sum, byte) => sum + byte & 0xff, 0), 0)
})
