/**
 * Fuzz target: whatever a front-end puts into its block ring (requests well and badly formed,
 * bytes, indexes, states), while the medium changes too, nothing throws, what is granted is let go,
 * the disk keeps its size, and a later front-end is served.
 *
 * `node fuzz/block-ring.ts [runs] [seed]`; short by default.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { BlkifRequest, BlkifRequestIndirect, BlkifRequestSegment } from
  '../src/abi/xen/io/blkif.ts'
import { TestFrontend } from '../src/backends/block/test-frontend.ts'
import { emptyStore } from '../src/storage/empty.ts'
import { MemoryFile } from '../src/storage/memory-file.ts'
import { RawStore } from '../src/storage/raw.ts'

const DISK_BYTES = 64 * 1024
const abi = fc.constantFrom('x86_64' as const, 'x86_32' as const)
const ref = fc.constantFrom(10, 11, 12, 404, 1000, 2000, 0xffffffff)
const sector = fc.oneof(fc.nat(130), fc.constantFrom(2 ** 32, 2 ** 53, 2 ** 63))
const segment = fc.record({
  gref: ref, first_sect: fc.oneof(fc.nat(8), fc.nat(255)),
  last_sect: fc.oneof(fc.nat(8), fc.nat(255)),
})
const action = fc.oneof(
  { weight: 8, arbitrary: fc.record({
    kind: fc.constant('request' as const), operation: fc.oneof(fc.nat(7), fc.nat(255)),
    nr_segments: fc.oneof(fc.nat(12), fc.nat(255)), sector_number: sector,
    segments: fc.array(segment, { minLength: 1, maxLength: 11 }),
  }) },
  { weight: 3, arbitrary: fc.record({
    kind: fc.constant('indirect' as const), indirect_op: fc.nat(7), sector_number: sector,
    nr_segments: fc.oneof(fc.nat(257), fc.nat(0xffff)), list: ref,
    segments: fc.array(segment, { minLength: 1, maxLength: 20 }),
  }) },
  { weight: 2, arbitrary: fc.record({
    kind: fc.constant('bytes' as const), bytes: fc.uint8Array({ minLength: 112, maxLength: 112 }),
  }) },
  { weight: 1, arbitrary: fc.record({
    kind: fc.constant('word' as const), index: fc.nat(3),
    value: fc.oneof(fc.nat(40), fc.nat(0xffffffff)),
  }) },
  { weight: 1, arbitrary: fc.record({
    kind: fc.constant('state' as const), state: fc.oneof(fc.nat(9), fc.string()),
  }) },
  { weight: 1, arbitrary: fc.record({
    kind: fc.constant('medium' as const), sizeBytes: fc.constantFrom(0, 512, DISK_BYTES),
  }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'settle' as const }) },
)
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never

async function perform(f: TestFrontend, width: 'x86_64' | 'x86_32', step: Action): Promise<void> {
  const bytes = new Uint8Array(BlkifRequest.for(width).size)
  switch (step.kind) {
    case 'request': {
      const request = BlkifRequest.for(width).on(bytes)
      const { operation, nr_segments, sector_number } = step
      Object.assign(request, { operation, nr_segments, sector_number, id: 1n })
      step.segments.forEach((one, i) => Object.assign(request.seg.item(i), one))
      f.put(bytes)
      break
    }
    case 'indirect': {
      const request = BlkifRequestIndirect.for(width).on(bytes)
      const { indirect_op, nr_segments, sector_number } = step
      Object.assign(request, { operation: 6, indirect_op, nr_segments, sector_number, id: 1n })
      new DataView(bytes.buffer).setUint32(
        BlkifRequestIndirect.for(width).offsets.indirect_grefs, step.list, true)
      const list = BlkifRequestSegment.on(f.page(2000))
      step.segments.forEach((one, i) => {
        Object.assign(list.at(i * BlkifRequestSegment.size), one)
      })
      f.put(bytes)
      break
    }
    case 'bytes':
      f.put(step.bytes.subarray(0, bytes.length))
      break
    case 'word':
      return f.word(step.index, step.value)
    case 'state':
      return f.say({ state: step.state })
    case 'medium': {
      const { device } = f
      if (device) device.disk.store = step.sizeBytes === 0 ? emptyStore
        : new RawStore(new MemoryFile('medium', new Uint8Array(step.sizeBytes)))
      return device?.resized()
    }
    case 'settle':
      await f.settle()
  }
  f.signal()
}

async function tryRing(
  width: 'x86_64' | 'x86_32', order: number, persistent: number, steps: readonly Action[],
): Promise<void> {
  const f = new TestFrontend({}, DISK_BYTES)
  for (const page of [10, 11, 12, 2000]) f.page(page).fill(0x5a)
  await f.connect(order, width, { 'feature-persistent': persistent })
  for (const step of steps) await perform(f, width, step)
  await f.settle()
  if (f.device) f.device.disk.store = new RawStore(f.file)
  assert.equal(f.file.sizeBytes, DISK_BYTES)
  for (const state of [5, 6, 1]) f.say({ state })
  await f.settle()
  assert.equal(f.mapped, 0)
  if (f.said('state') !== '2') {
    assert.fail(`the back-end is in state ${f.said('state')}`)
  }
  await f.connect()
  assert.equal(await f.ask(0, 0, [[10, 0, 7]]), 0)
}

async function fuzzBlockRing(runs: number, seed?: number): Promise<void> {
  const property = fc.asyncProperty(abi, fc.nat(2), fc.nat(1), fc.array(action, { maxLength: 40 }),
    (width, order, persistent, steps) => tryRing(width, order, persistent, steps))
  await fc.assert(property, { numRuns: runs, ...seed === undefined ? {} : { seed } })
}

if (import.meta.main) {
  const [, , runs, seed] = process.argv
  await fuzzBlockRing(Number(runs ?? 200), seed === undefined ? undefined : Number(seed))
  console.log('block-ring: ok')
}
