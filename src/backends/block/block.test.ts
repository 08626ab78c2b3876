/**
 * The block back-end against a front-end without a guest.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_READ, BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER, BLKIF_RSP_EOPNOTSUPP, BLKIF_RSP_ERROR, BLKIF_RSP_OKAY,
} from '../../abi/xen/io/blkif.ts'
import { TestFrontend } from './test-frontend.ts'

const FULL: [number, number, number] = [10, 0, 7]

test('what is offered stands in the store, and the states lead to Connected', async () => {
  const f = new TestFrontend()
  assert.equal(f.said('state'), '2')
  assert.equal(f.said('feature-max-indirect-segments'), '256')
  assert.equal(f.said('max-ring-page-order'), '4')
  await f.connect()
  assert.equal(f.said('state'), '4')
  assert.deepEqual(['sectors', 'info', 'sector-size', 'feature-flush-cache', 'feature-discard',
    'feature-barrier', 'feature-persistent'].map((name) => f.said(name)),
  ['2048', '0', '512', '1', '1', '1', '1'])
})

for (const [abi, order, isPrompt] of [
  ['x86_64', 0, true], ['x86_64', 0, false], ['x86_64', 2, true], ['x86_32', 0, true],
  ['x86_32', 2, false],
] as const) {
  const how = isPrompt ? 'on the spot' : 'in their time'
  test(`reads and writes go where they should, ${how} (${abi}, order ${order})`, async () => {
    const f = new TestFrontend()
    f.file.isPrompt = isPrompt
    await f.connect(order, abi)
    f.page(10).forEach((_, i, page) => { page[i] = i * 7 })
    f.page(11)
    // More than the ring has slots, so that it wraps and entries cross its pages.
    for (let i = 0; i < 300; i++) {
      assert.equal(await f.ask(BLKIF_OP_WRITE, 8 * (i % 9), [[10, 2, 4]]), BLKIF_RSP_OKAY)
    }
    assert.deepEqual(f.file.content().subarray(8 * 512, 11 * 512), f.page(10).slice(1024, 2560))
    assert.equal(await f.ask(BLKIF_OP_READ, 8, [[11, 1, 2], [11, 5, 5]]), BLKIF_RSP_OKAY)
    assert.deepEqual(f.page(11).slice(512, 1536), f.page(10).slice(1024, 2048))
    assert.deepEqual(f.page(11).slice(2560, 3072), f.page(10).slice(2048, 2560))
    assert.deepEqual(f.page(11).slice(0, 512), new Uint8Array(512))
    assert.equal(f.mapped, 2 ** order)
  })
}

test('an indirect request carries up to 256 segments', async () => {
  const f = new TestFrontend({}, 4 << 20)
  await f.connect()
  const refs = Array.from({ length: 256 }, (_, i) => 3000 + i)
  refs.forEach((ref, i) => f.page(ref).fill(i))
  assert.equal(await f.askIndirect(BLKIF_OP_WRITE, 8, refs), BLKIF_RSP_OKAY)
  assert.equal(f.operation, BLKIF_OP_WRITE)
  assert.equal(f.file.bytes[4096 * 201], 200)
  assert.equal(await f.askIndirect(BLKIF_OP_READ, 16, refs), BLKIF_RSP_OKAY)
  assert.equal(f.page(3000 + 9)[77], 10)
  for (const count of [0, 257, 0xffff]) {
    assert.equal(await f.askIndirect(BLKIF_OP_READ, 16, refs, count), BLKIF_RSP_ERROR)
  }
  assert.equal(await f.askIndirect(BLKIF_OP_FLUSH_DISKCACHE, 16, refs), BLKIF_RSP_ERROR)
})

test('a flush and a barrier flush the disk, a barrier once more after its data', async () => {
  const f = new TestFrontend()
  await f.connect()
  f.page(10).fill(5)
  assert.equal(await f.ask(BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY)
  assert.equal(f.file.flushes, 1)
  assert.equal(await f.ask(BLKIF_OP_WRITE_BARRIER, 0, [FULL]), BLKIF_RSP_OKAY)
  assert.equal(f.file.flushes, 3)
  assert.equal(f.file.bytes[4095], 5)
  assert.equal(await f.ask(BLKIF_OP_WRITE_BARRIER, 0), BLKIF_RSP_OKAY)
})

test('a discard reaches the disk if it lies within', async () => {
  const f = new TestFrontend({}, 4 << 20)
  await f.connect()
  f.file.bytes.fill(9)
  assert.equal(await f.askDiscard(0, 4096), BLKIF_RSP_OKAY)
  assert.equal(f.file.bytes[0], 0)
  assert.equal(await f.askDiscard(8000, 4096), BLKIF_RSP_ERROR)
  assert.equal(await f.askDiscard(0, 2 ** 60), BLKIF_RSP_ERROR)
})

test('requests that make no sense are answered with errors and change nothing', async () => {
  const f = new TestFrontend()
  await f.connect()
  f.page(10).fill(1)
  const bad: [number, number, [number, number, number][]][] = [
    [BLKIF_OP_WRITE, 2048, [FULL]], [BLKIF_OP_WRITE, 2041, [FULL]],
    [BLKIF_OP_READ, 2 ** 53, [FULL]],
    [BLKIF_OP_WRITE, 0, [[10, 3, 2]]], [BLKIF_OP_WRITE, 0, [[10, 0, 8]]], [BLKIF_OP_WRITE, 0, []],
    [BLKIF_OP_WRITE, 0, [[404, 0, 7]]], [BLKIF_OP_READ, 0, [[404, 0, 7]]],
    [BLKIF_OP_WRITE, 0, Array.from({ length: 12 }, () => FULL)],
  ]
  for (const [operation, sector, segments] of bad) {
    assert.equal(await f.ask(operation, sector, segments), BLKIF_RSP_ERROR)
  }
  assert.equal(await f.ask(99, 0, [FULL]), BLKIF_RSP_EOPNOTSUPP)
  assert.ok(f.file.content().every((byte) => byte === 0))
  assert.equal(await f.ask(BLKIF_OP_READ, 0, [FULL]), BLKIF_RSP_OKAY)
})

test('a disk that is read-only, or a CD-ROM, says so and is not written', async () => {
  const f = new TestFrontend({ writable: false, isCdrom: true })
  await f.connect()
  assert.equal(f.said('info'), '7')
  assert.equal(f.said('feature-discard'), undefined)
  f.page(10)
  assert.equal(await f.ask(BLKIF_OP_WRITE, 0, [FULL]), BLKIF_RSP_ERROR)
  assert.equal(await f.askDiscard(0, 8), BLKIF_RSP_ERROR)
  assert.equal(await f.ask(BLKIF_OP_READ, 0, [FULL]), BLKIF_RSP_OKAY)
  assert.equal(await f.ask(BLKIF_OP_FLUSH_DISKCACHE, 0), BLKIF_RSP_OKAY)
})

test('a disk with sectors of 4096 bytes takes whole ones only', async () => {
  const f = new TestFrontend({ sectorBytes: 4096 })
  await f.connect()
  assert.equal(f.said('sector-size'), '4096')
  assert.equal(f.said('sectors'), '2048')
  f.page(10)
  assert.equal(await f.ask(BLKIF_OP_WRITE, 8, [FULL]), BLKIF_RSP_OKAY)
  assert.equal(await f.ask(BLKIF_OP_WRITE, 4, [FULL]), BLKIF_RSP_ERROR)
  assert.equal(await f.ask(BLKIF_OP_WRITE, 8, [[10, 0, 3]]), BLKIF_RSP_ERROR)
})

test('an error of the disk reaches the guest as an error', async () => {
  const f = new TestFrontend()
  await f.connect()
  f.page(10)
  for (const isPrompt of [true, false]) {
    f.file.isPrompt = isPrompt
    f.file.isFull = () => true
    assert.equal(await f.ask(BLKIF_OP_WRITE, 0, [FULL]), BLKIF_RSP_ERROR)
    assert.match(f.warnings.splice(0).join(), /full/)
    f.file.isFull = () => false
    assert.equal(await f.ask(BLKIF_OP_WRITE, 0, [FULL]), BLKIF_RSP_OKAY)
  }
})

test('what lies beyond the end of a file reads as zeros', async () => {
  const f = new TestFrontend({}, 8000)
  await f.connect()
  f.file.bytes.fill(9)
  for (const isPrompt of [true, false]) {
    f.file.isPrompt = isPrompt
    f.page(10).fill(7)
    assert.equal(await f.ask(BLKIF_OP_READ, 8, [[10, 0, 3], [10, 4, 7]]), BLKIF_RSP_OKAY)
    const page = f.page(10)
    assert.deepEqual([page[0], page[8000 - 4097], page[8000 - 4096], page[4095]], [9, 9, 0, 0])
  }
})

test('requests that come together are answered together', async () => {
  const f = new TestFrontend()
  await f.connect()
  f.page(10)
  for (let i = 0; i < 10; i++) f.request(BLKIF_OP_READ, i * 8, [FULL])
  assert.equal(await f.answer(), BLKIF_RSP_OKAY)
  for (let i = 1; i < 10; i++) assert.equal(await f.answer(), BLKIF_RSP_OKAY)
  assert.deepEqual(f.shown, [10])
})

test('a large request is answered before the next is begun', async () => {
  const f = new TestFrontend()
  await f.connect()
  for (let ref = 10; ref < 26; ref++) f.page(ref)
  const refs = Array.from({ length: 16 }, (_, i) => 10 + i)
  for (let i = 0; i < 3; i++) f.requestIndirect(BLKIF_OP_READ, 8, refs)
  for (let i = 0; i < 3; i++) assert.equal(await f.answer(), BLKIF_RSP_OKAY)
  assert.deepEqual(f.shown, [1])
})

test('persistent grants are mapped once, and let go when the front-end goes', async () => {
  const f = new TestFrontend()
  await f.connect(0, 'x86_64', { 'feature-persistent': 1 })
  f.page(10)
  for (let i = 0; i < 5; i++) await f.ask(BLKIF_OP_WRITE, 0, [FULL])
  assert.equal(f.maps, 2)
  assert.equal(f.mapped, 2)
  f.say({ state: 6 })
  assert.equal(f.said('state'), '6')
  assert.equal(f.mapped, 0)
})

test('a front-end that went may come again', async () => {
  const f = new TestFrontend()
  await f.connect()
  f.say({ state: 5 })
  assert.equal(f.said('state'), '5')
  f.say({ state: 6 })
  f.say({ state: 1 })
  assert.equal(f.said('state'), '2')
  await f.connect(1)
  assert.equal(f.said('state'), '4')
  f.page(10)
  assert.equal(await f.ask(BLKIF_OP_READ, 0, [FULL]), BLKIF_RSP_OKAY)
})

test('each of several queues has requests and responses of its own', async () => {
  for (const order of [0, 1]) {
    const f = new TestFrontend()
    await f.connect(order, 'x86_64', {}, 2)
    assert.equal(f.said('state'), '4')
    for (const queue of [1, 0, 1]) {
      f.queue = queue
      f.page(10).fill(0xa0 + queue)
      assert.equal(await f.ask(BLKIF_OP_WRITE, 8 * queue, [FULL]), BLKIF_RSP_OKAY)
      assert.equal(f.file.bytes[4096 * queue], 0xa0 + queue)
    }
    // What waits in one does not go by the other's event.
    f.request(BLKIF_OP_WRITE, 16, [FULL])
    f.queue = 0
    f.signal()
    await f.settle()
    assert.equal(f.file.bytes[8192], 0)
    f.queue = 1
    assert.equal(await f.answer(), BLKIF_RSP_OKAY)
    f.say({ state: 6 })
    assert.equal(f.mapped, 0)
  }
})

test('a front-end that asks for the impossible is closed', async () => {
  for (const nodes of [{ 'ring-ref': 4040 }, { 'multi-queue-num-queues': 99 },
    { 'ring-page-order': 9 }, { 'ring-ref': 'x' }, { protocol: 'other' }]) {
    const f = new TestFrontend()
    f.page(1000)
    f.say({ 'ring-ref': 1000, 'event-channel': 3, ...nodes, state: 3 })
    assert.equal(f.said('state'), '5', JSON.stringify(nodes))
    assert.equal(f.mapped, 0)
  }
})

test('a ring index that cannot be ends the service of that ring', async () => {
  const f = new TestFrontend()
  await f.connect()
  f.word(0, 33)
  f.signal()
  await f.settle()
  assert.match(f.warnings.join(), /ring index/)
  assert.equal(f.mapped, 0)
})

test('a disk that grew tells its front-end', async () => {
  const f = new TestFrontend()
  await f.connect()
  let told = 0
  f.store.watch('/local/domain/0/backend/vbd/1/51712/state', () => { told++ })
  await f.device?.disk.facts.store.resize(2 << 20)
  f.device?.resized()
  assert.equal(f.said('sectors'), '4096')
  assert.equal(told, 2)
  f.page(10)
  assert.equal(await f.ask(BLKIF_OP_WRITE, 4088, [FULL]), BLKIF_RSP_OKAY)
})
