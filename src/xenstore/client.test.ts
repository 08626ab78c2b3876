/**
 * The control domain's own client, and the byte stream that its programs use.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { XS_READ, XS_WATCH } from '../abi/xen/io/xs_wire.ts'
import { LocalClient, StoreError } from './client.ts'
import { StreamConnection } from './stream.ts'
import { bytesOf, decodeMessage, encodeMessage, textOf } from './wire.ts'
import { Xenstored } from './xenstored.ts'

test('a missing node reads as undefined, a refusal is an error with the name', () => {
  const client = new LocalClient(new Xenstored())
  assert.equal(client.read('/none'), undefined)
  assert.deepEqual(client.directory('/none'), [])
  assert.throws(() => client.write('bad path', 'x'),
    (error) => error instanceof StoreError && error.refusal === 'EINVAL')
})

test('a watch calls back at once and for each change, until closed', () => {
  const client = new LocalClient(new Xenstored())
  const seen: string[] = []
  const watch = client.watch('/a', (path) => seen.push(path))
  client.write('/a/b', '1')
  watch.close()
  client.write('/a/b', '2')
  assert.deepEqual(seen, ['/a', '/a/b'])
})

test('a watch may write from its callback', () => {
  const client = new LocalClient(new Xenstored())
  client.watch('/a', () => {
    if (client.read('/a') === '1') client.write('/a', '2')
  })
  client.write('/a', '1')
  assert.equal(client.read('/a'), '2')
})

test('a transaction is tried again when another client changed what it saw', () => {
  const store = new Xenstored()
  const [one, two] = [new LocalClient(store), new LocalClient(store)]
  let attempts = 0
  one.write('/n', '1')
  const sum = one.transaction((tree) => {
    if (attempts++ === 0) two.write('/n', `${Number(tree.read('/n')) + 10}`)
    const next = Number(tree.read('/n')) + 1
    tree.write('/n', `${next}`)
    return next
  })
  assert.equal(attempts, 2)
  assert.equal(sum, 12)
  assert.equal(two.read('/n'), '12')
})

test('a body that throws abandons its transaction', () => {
  const client = new LocalClient(new Xenstored())
  assert.throws(() => client.transaction((tree) => {
    tree.write('/a', '1')
    throw new Error('no')
  }), /no/)
  assert.equal(client.read('/a'), undefined)
})

test('a directory longer than a payload is read in parts', () => {
  const client = new LocalClient(new Xenstored())
  const names = Array.from({ length: 700 }, (_, i) => `entry-${10000 + i}`)
  for (const name of names) client.mkdir(`/d/${name}`)
  assert.deepEqual(client.directory('/d'), names)
})

test('a stream is answered whatever the pieces it comes in, and ended when it lies', () => {
  const store = new Xenstored()
  new LocalClient(store).write('/a', 'value')
  const out: Uint8Array[] = []
  let ended = 0
  const stream = new StreamConnection(store, {
    write: (bytes) => out.push(bytes) > 0, waitingBytes: 0, pause() {}, resume() {},
    end: () => ended++,
  })
  const request = encodeMessage(
    { type: XS_READ, requestId: 3, transactionId: 0, payload: bytesOf('/a\0') })
  for (const byte of request) stream.receive(Uint8Array.of(byte))
  stream.receive(new Uint8Array([...request, ...request]))
  assert.equal(out.length, 3)
  assert.equal(textOf(decodeMessage(out[2] ?? new Uint8Array(16)).payload), 'value')
  stream.receive(new Uint8Array(16).fill(0xff))
  assert.equal(ended, 1)
})

test('requests of one who does not fetch its replies wait, and nobody waits with them', () => {
  const store = new Xenstored()
  const client = new LocalClient(store)
  client.write('/a', 'value')
  let [written, paused, resumed, room] = [0, 0, 0, 2]
  const stream = new StreamConnection(store, {
    write: () => ++written < room, waitingBytes: 0, pause: () => paused++,
    resume: () => resumed++, end() {},
  })
  const request = encodeMessage(
    { type: XS_READ, requestId: 3, transactionId: 0, payload: bytesOf('/a\0') })
  for (let i = 0; i < 5; i++) stream.receive(request)
  assert.deepEqual([written, paused, resumed], [2, 1, 0])
  assert.equal(client.read('/a'), 'value')
  room = 100
  stream.drained()
  assert.deepEqual([written, paused, resumed], [5, 1, 1])
})

test('events wait once each, and one who lets too many pile up is disconnected', () => {
  const store = new Xenstored()
  const client = new LocalClient(store)
  let [written, ended, waitingBytes] = [0, 0, 0]
  const stream = new StreamConnection(store, {
    write(bytes) {
      written++
      waitingBytes += bytes.length
      return false
    },
    get waitingBytes() {
      return waitingBytes
    },
    pause() {}, resume() {}, end: () => ended++,
  })
  stream.receive(encodeMessage(
    { type: XS_WATCH, requestId: 3, transactionId: 0, payload: bytesOf('/\0t\0') }))
  for (let i = 0; i < 100; i++) client.write('/a', `${i}`)
  assert.equal(written, 3)
  const long = 'x'.repeat(2000)
  for (let i = 0; ended === 0; i++) client.write(`/a/${long}/${i}`, '')
  assert.ok(waitingBytes < 5 << 20)
})
