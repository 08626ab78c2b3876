/**
 * The shared heap, locks and doorbells.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Worker } from 'node:worker_threads'
import { ring, ringCount, sleep } from './doorbell.ts'
import { Heap, HeapState } from './heap.ts'
import { heldLocks, RankedLock } from './lock.ts'
import { Region } from './region.ts'
import { whileWaiting } from './wait.ts'

function heapOf(bytes: number): { heap: Heap, region: Region } {
  const region = new Region(new SharedArrayBuffer(bytes))
  const heap = new Heap(region, 0, 9)
  heap.initialise(HeapState.size, bytes)
  return { heap, region }
}

test('a block comes zeroed, even when it was used before', () => {
  const { heap, region } = heapOf(65536)
  const a = heap.allocate(100)
  region.octets.fill(7, a, a + 100)
  heap.release(a, 100)
  const b = heap.allocate(120)
  assert.equal(b, a)
  assert.ok(region.octets.subarray(b, b + 120).every((v) => v === 0))
})

test('a full heap answers 0 and counts what is out', () => {
  const { heap } = heapOf(4096)
  const blocks: number[] = []
  for (let at = heap.allocate(512); at !== 0; at = heap.allocate(512)) blocks.push(at)
  assert.equal(heap.used, blocks.length * 512)
  assert.equal(heap.allocate(1 << 30), 0)
  for (const at of blocks) heap.release(at, 512)
  assert.equal(heap.used, 0)
})

test('taking a lock of lower rank while holding a higher one is a bug', () => {
  const cells = new Int32Array(new SharedArrayBuffer(64))
  const low = new RankedLock(cells, 1, 'low')
  const high = new RankedLock(cells, 2, 'high')
  low.acquire(0)
  high.acquire(4)
  high.release(4)
  low.release(0)
  high.acquire(4)
  assert.throws(() => low.acquire(0), /out of order/)
  high.release(4)
  assert.equal(heldLocks(), 0)
})

test('two locks of one rank are taken in order of address', () => {
  const cells = new Int32Array(new SharedArrayBuffer(64))
  const lock = new RankedLock(cells, 1, 'domain')
  lock.acquire(8)
  assert.throws(() => lock.acquire(4), /out of order/)
  lock.acquire(12)
  lock.release(12)
  lock.release(8)
})

test('two threads that count under a lock lose nothing', async () => {
  const buffer = new SharedArrayBuffer(64)
  const cells = new Int32Array(buffer)
  const source = `
    const { workerData } = require('node:worker_threads')
    import(workerData.lock).then(({ RankedLock }) => {
      const cells = new Int32Array(workerData.buffer)
      const lock = new RankedLock(cells, 1, 'test')
      for (let i = 0; i < 20000; i++) { lock.acquire(0); cells[1]++; lock.release(0) }
    })`
  const lock = new URL('./lock.ts', import.meta.url).href
  const worker = new Worker(source, { eval: true, workerData: { buffer, lock } })
  const mine = new RankedLock(cells, 1, 'test')
  for (let i = 0; i < 20000; i++) {
    mine.acquire(0)
    cells[1] = cells[1]! + 1
    mine.release(0)
  }
  await new Promise((resolve) => worker.on('exit', resolve))
  assert.equal(cells[1], 40000)
})

test('a thread that waits for a lock looks around, and need not wait for the dead', () => {
  const cells = new Int32Array(new SharedArrayBuffer(16))
  const lock = new RankedLock(cells, 1, 'left behind')
  cells[1] = 1
  const lookNoMore = whileWaiting(() => {
    throw new Error('its holder has died')
  })
  assert.throws(() => lock.acquire(4), /has died/)
  lookNoMore()
  assert.equal(heldLocks(), 0)
})

test('a ring between look and sleep wakes the sleeper at once', () => {
  const cells = new Int32Array(new SharedArrayBuffer(16))
  const seen = ringCount(cells, 4)
  ring(cells, 4)
  const before = performance.now()
  sleep(cells, 4, seen, 5000)
  assert.ok(performance.now() - before < 1000)
})
