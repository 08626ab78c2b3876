/**
 * The ring page: a guest that behaves, and several that do not.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  XENSTORE_ERROR_PROTO, XENSTORE_ERROR_RINGIDX, XS_READ, XS_WATCH, XS_WRITE,
} from '../abi/xen/io/xs_wire.ts'
import { LocalClient } from './client.ts'
import { DomainRing } from './ring.ts'
import { bytesOf, decodeMessage, encodeMessage, HEADER_SIZE, textOf } from './wire.ts'
import { Xenstored } from './xenstored.ts'

const REQ_CONS = 512, REQ_PROD = 513, RSP_CONS = 514, RSP_PROD = 515, CONNECTION = 517, ERROR = 518

/** A guest's end of the ring, in the words of Linux's xenbus_comms. */
class Guest {
  readonly page = new Uint8Array(new SharedArrayBuffer(4096))
  readonly words = new Int32Array(this.page.buffer)
  readonly ring: DomainRing
  signals = 0
  later: (() => void)[] = []

  constructor(store: Xenstored, domid = 1) {
    this.ring = new DomainRing(this.page, store, {
      notify: () => this.signals++,
      schedule: (work) => this.later.push(work),
      closed() {},
    })
    this.ring.open(domid)
  }

  word(index: number): number {
    return this.words[index] ?? 0
  }

  put(bytes: Uint8Array): void {
    const start = this.word(REQ_PROD)
    bytes.forEach((byte, i) => (this.page[(start + i) & 1023] = byte))
    this.words[REQ_PROD] = start + bytes.length
  }

  get(): Uint8Array {
    const start = this.word(RSP_CONS)
    const count = (this.word(RSP_PROD) - start) >>> 0
    const bytes = Uint8Array.from({ length: count },
      (_, i) => this.page[1024 + ((start + i) & 1023)] ?? 0)
    this.words[RSP_CONS] = start + count
    return bytes
  }

  ask(type: number, text: string): string {
    this.put(encodeMessage(
      { type, requestId: 1, transactionId: 0, payload: bytesOf(text.replaceAll('|', '\0')) }))
    this.ring.service()
    const bytes = this.get()
    return bytes.length === 0 ? '' : textOf(decodeMessage(bytes).payload).replaceAll('\0', '|')
  }
}

function world(): { store: Xenstored, dom0: LocalClient, guest: Guest } {
  const store = new Xenstored()
  const dom0 = new LocalClient(store)
  dom0.write('/local/domain/1/name', 'guest')
  dom0.setPermissions('/local/domain/1', [{ domid: 1, access: 0 }])
  dom0.setPermissions('/local/domain/1/name', [{ domid: 1, access: 0 }])
  return { store, dom0, guest: new Guest(store) }
}

test('a request in the ring is answered in the ring, and both sides advance', () => {
  const { guest } = world()
  assert.equal(guest.word(CONNECTION), 0)
  const signals = guest.signals
  assert.equal(guest.ask(XS_READ, 'name|'), 'guest')
  assert.equal(guest.word(REQ_CONS), guest.word(REQ_PROD))
  assert.ok(guest.signals > signals)
})

test('indexes run freely through the end of the ring and of their 32 bits', () => {
  const { guest } = world()
  for (const start of [1020, 0x7ffffffc | 0, 0xfffffff8 | 0]) {
    for (const word of [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD]) guest.words[word] = start
    for (let i = 0; i < 5; i++) assert.equal(guest.ask(XS_READ, 'name|'), 'guest')
  }
})

test('a message may come in pieces and be longer than the ring', () => {
  const { guest, dom0 } = world()
  const value = 'v'.repeat(2000)
  const bytes = encodeMessage({ type: XS_WRITE, requestId: 1, transactionId: 0,
    payload: bytesOf(`name\0${value}`) })
  for (let at = 0; at < bytes.length; at += 700) {
    guest.put(bytes.subarray(at, at + 700))
    guest.ring.service()
  }
  assert.equal(dom0.read('/local/domain/1/name'), value)
  guest.get()
  guest.put(encodeMessage({ type: XS_READ, requestId: 2, transactionId: 0,
    payload: bytesOf('name\0') }))
  let reply = ''
  for (let i = 0; i < 4; i++) {
    guest.ring.service()
    reply += textOf(guest.get())
  }
  assert.equal(reply.slice(HEADER_SIZE), value)
})

test('an impossible index breaks this ring and no other', () => {
  const { store, guest } = world()
  const other = new Guest(store, 2)
  guest.words[REQ_PROD] = guest.word(REQ_CONS) + 1025
  guest.ring.service()
  assert.ok(guest.ring.broken)
  assert.equal(guest.word(ERROR), XENSTORE_ERROR_RINGIDX)
  assert.equal(other.ask(XS_READ, 'name|').startsWith('E'), true)
  assert.equal(other.ring.broken, false)
})

test('an impossible response index breaks the ring, too', () => {
  const { guest } = world()
  guest.words[RSP_CONS] = guest.word(RSP_PROD) + 5
  guest.put(encodeMessage({ type: XS_READ, requestId: 1, transactionId: 0,
    payload: bytesOf('name\0') }))
  guest.ring.service()
  assert.ok(guest.ring.broken)
})

test('a payload beyond the maximum is a protocol error', () => {
  const { guest } = world()
  const bytes = encodeMessage({ type: XS_READ, requestId: 0, transactionId: 0,
    payload: new Uint8Array(4097) })
  guest.put(bytes.subarray(0, 32))
  guest.ring.service()
  assert.equal(guest.word(ERROR), XENSTORE_ERROR_PROTO)
})

test('a broken ring works again after the guest reconnects', () => {
  const { guest } = world()
  guest.words[REQ_PROD] = 5000
  guest.ring.service()
  guest.words[CONNECTION] = 1
  guest.ring.service()
  assert.equal(guest.word(CONNECTION), 0)
  assert.equal(guest.word(ERROR), 0)
  assert.equal(guest.ask(XS_READ, 'name|'), 'guest')
})

test('events that a guest does not fetch wait once each, and requests wait behind them', () => {
  const { guest, dom0 } = world()
  guest.ask(XS_WATCH, 'name|token|')
  for (let i = 0; i < 10000; i++) dom0.write('/local/domain/1/name', `${i}`)
  let events = 0
  for (let i = 0; i < 200; i++) {
    events += textOf(guest.get()).split('token').length - 1
    guest.ring.service()
  }
  assert.ok(events > 1 && events < 100)
  assert.equal(guest.ask(XS_READ, 'name|'), '9999')
})

test('many requests are answered a few at a time, with a turn for others between', () => {
  const { guest } = world()
  for (let i = 0; i < 40; i++) {
    guest.put(encodeMessage({ type: XS_READ, requestId: i, transactionId: 0,
      payload: bytesOf('n\0') }))
  }
  guest.ring.service()
  assert.equal(guest.later.length, 1)
  guest.later[0]?.()
  assert.equal(guest.word(REQ_CONS), guest.word(REQ_PROD))
})

test('after release the page is left alone', () => {
  const { store, guest } = world()
  store.release(1)
  const before = guest.page.slice()
  guest.put(encodeMessage({ type: XS_READ, requestId: 1, transactionId: 0,
    payload: bytesOf('name\0') }))
  const consumer = guest.word(REQ_CONS)
  guest.ring.service()
  assert.equal(guest.word(REQ_CONS), consumer)
  assert.deepEqual(guest.page.slice(1024, 2048), before.slice(1024, 2048))
})
