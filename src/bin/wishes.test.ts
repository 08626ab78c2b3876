/**
 * What the environment can wish of a machine's nodes and memory.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compilingWish, memoryWish, mostMemoryWish, nodesWish } from './wishes.ts'

const nodes = (text: string) => nodesWish({ XENOLITH_NODES: text }, 1024, 4)

test('nodes have sizes, CPUs and distances of their own', () => {
  assert.deepEqual(nodes('size=768 cpus=0-1,3 distances=10,21; cpus=2 size=256 distances=31,10'), [
    { frames: 196608, cores: [0, 1, 3], distances: [10, 21] },
    { frames: 65536, cores: [2], distances: [31, 10] },
  ])
  assert.deepEqual(nodes('size=512 cpus=0-3;size=512'), [
    { frames: 131072, cores: [0, 1, 2, 3], distances: [10, 20] },
    { frames: 131072, cores: [], distances: [20, 10] },
  ])
  assert.equal(nodesWish({}, 1024, 4), undefined)
})

test('nodes that do not make the machine are refused with the reason', () => {
  for (const [text, why] of [
    ['size=512 cpus=0-3', /nodes have 512 MiB together, the machine 1024/],
    ['size=1024 cpus=0-2', /CPU 3 must be in one node/],
    ['size=512 cpus=0-3; size=512 cpus=3', /CPU 3 must be in one node/],
    ['size=8 cpus=0-3; size=1016', /node 0 has size=MIB, 16 or more/],
    ['cpus=0-3', /node 0 has size=MIB/],
    ['size=1024 cpus=a', /"a" is no range of CPUs/],
    ['size=1024 cpu=0', /"cpu=0" is none of size=, cpus= and distances=/],
    ['', /"" is none of/],
    ['size=1024 cpus=0-3 distances=11', /node 0 has 1 distances: 10 to itself/],
    ['size=512 cpus=0-3 distances=10; size=512', /node 0 has 2 distances/],
    ['size=512 cpus=0-3 distances=10,10; size=512', /more to others/],
    ['size=128;'.repeat(9), /at most 8 nodes/],
  ] as const) assert.throws(() => nodes(text), why, text)
})

test('sizes and patience are what was said, or are refused with the reason', () => {
  const memory = (text: string | undefined): number => memoryWish({ XENOLITH_MEMORY: text })
  assert.deepEqual([memory(undefined), memory('64'), memory('512')], [4096, 64, 512])
  for (const text of ['63', '4097', '', '1e3', '512M']) {
    assert.throws(() => memory(text), /a machine has 64 to 4096 MiB/)
  }
  const heat = (text: string | undefined) => compilingWish({ XENOLITH_JIT: text }).heatLimit
  assert.deepEqual([undefined, '', 'off', '2000'].map(heat), [undefined, undefined, 0, 2000])
  for (const text of ['on', '0', '65535', '-1']) assert.throws(() => heat(text), /XENOLITH_JIT/)
})

test('there is room for the memory that there is, and for no more than a machine can have', () => {
  const most = (text: string | undefined): number =>
    mostMemoryWish({ XENOLITH_MEMORY_MAX: text }, 512)
  assert.deepEqual([most(undefined), most('512'), most('2048')], [512, 512, 2048])
  for (const text of ['511', '4097', 'x', '1e3', '-1']) {
    assert.throws(() => most(text), /has room for 512 to 4096/)
  }
})

test('what compiling leaves out has names', () => {
  const without = (text?: string) => compilingWish({ XENOLITH_JIT_WITHOUT: text }).without
  assert.deepEqual([without(), without('')], [[], []])
  assert.deepEqual(without('x87,wide'), ['x87', 'wide'])
  assert.throws(() => without('x87,regions'), /names regions; it may name flags, micro-tlb, x87/)
})
