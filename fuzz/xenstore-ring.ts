/**
 * Fuzz target: whatever a guest does to its xenstore ring (bytes, indexes, requests well and badly
 * formed, at any moment), nothing throws, nothing is held without bound, nodes that are not its own
 * stay as they are, and another guest's ring goes on working.
 *
 * `node fuzz/xenstore-ring.ts [runs] [seed]`; short by default.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { XenstoreDomainInterface, XS_READ } from '../src/abi/xen/io/xs_wire.ts'
import { LocalClient } from '../src/xenstore/client.ts'
import { DomainRing } from '../src/xenstore/ring.ts'
import { bytesOf, encodeMessage } from '../src/xenstore/wire.ts'
import { Xenstored } from '../src/xenstore/xenstored.ts'

const { offsets } = XenstoreDomainInterface
const REQ_PROD = offsets.req_prod >> 2
const RSP_CONS = offsets.rsp_cons >> 2
const RSP_PROD = offsets.rsp_prod >> 2
const WORDS = ['req_cons', 'req_prod', 'rsp_cons', 'rsp_prod', 'connection', 'error'] as const

const path = fc.constantFrom('name', 'data', 'data/a', 'data/a/b', 'data/b', '', '/', '//', 'x y',
  '/local/domain/0/secret', '/local/domain/1/data', '/local/domain/2', '@releaseDomain', '/tool',
  `/${'x'.repeat(3100)}`)
const piece = fc.oneof(path, fc.constantFrom('T', 'F', 'n1', 'r0', 'b1', 'w9', 'token', '0', '1',
  '4294967295'), fc.string({ maxLength: 20 }))
const payload = fc.array(piece, { maxLength: 4 })
  .chain((pieces) => fc.constantFrom(pieces.join('\0'), `${pieces.join('\0')}\0`))
const action = fc.oneof(
  { weight: 8, arbitrary: fc.record({
    kind: fc.constant('request' as const),
    type: fc.oneof(fc.nat(24), fc.nat(0xffff)),
    transaction: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(12)),
    payload,
  }) },
  { weight: 2, arbitrary: fc.record({
    kind: fc.constant('bytes' as const), bytes: fc.uint8Array({ maxLength: 1200 }),
  }) },
  { weight: 1, arbitrary: fc.record({
    kind: fc.constant('word' as const), word: fc.constantFrom(...WORDS),
    value: fc.oneof(fc.nat(3), fc.nat(0xffffffff)),
  }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'fetch' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reconnect' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'write' as const }) },
)
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never

class Guest {
  readonly page = new Uint8Array(new SharedArrayBuffer(4096))
  readonly words = new Int32Array(this.page.buffer)
  readonly ring: DomainRing
  later: (() => void)[] = []

  constructor(store: Xenstored, domid: number) {
    this.ring = new DomainRing(this.page, store, {
      notify() {}, schedule: (work) => this.later.push(work), closed() {},
    })
    this.ring.open(domid)
  }

  put(bytes: Uint8Array): void {
    const start = this.words[REQ_PROD] ?? 0
    bytes.forEach((byte, i) => (this.page[(start + i) & 1023] = byte))
    this.words[REQ_PROD] = start + bytes.length
  }

  fetch(): void {
    this.words[RSP_CONS] = this.words[RSP_PROD] ?? 0
  }

  service(): void {
    this.ring.service()
    for (let turn = 0; turn < 100 && this.later.length > 0; turn++) this.later.shift()?.()
    assert.equal(this.later.length, 0)
  }
}

function perform(guest: Guest, dom0: LocalClient, step: Action): void {
  switch (step.kind) {
    case 'request':
      return guest.put(encodeMessage({ type: step.type, requestId: 1,
        transactionId: step.transaction, payload: bytesOf(step.payload) }).subarray(0, 1024))
    case 'bytes':
      return guest.put(step.bytes)
    case 'word':
      guest.words[offsets[step.word] >> 2] = step.value
      return
    case 'fetch':
      return guest.fetch()
    case 'reconnect':
      guest.words[offsets.connection >> 2] = 1
      return
    case 'write':
      dom0.write('/local/domain/1/name', 'again')
  }
}

export function tryRing(steps: readonly Action[]): void {
  const store = new Xenstored()
  const dom0 = new LocalClient(store)
  for (const domid of [1, 2]) {
    const home = `/local/domain/${domid}`
    dom0.write(`${home}/name`, `guest${domid}`)
    for (const node of [home, `${home}/name`]) {
      dom0.setPermissions(node, [{ domid: 0, access: 0 }, { domid, access: 1 }])
    }
    dom0.mkdir(`${home}/data`)
    dom0.setPermissions(`${home}/data`, [{ domid, access: 0 }])
  }
  dom0.write('/local/domain/0/secret', 'untouched')
  const [guest, other] = [new Guest(store, 1), new Guest(store, 2)]
  for (const step of steps) {
    perform(guest, dom0, step)
    guest.service()
  }
  assert.equal(dom0.read('/local/domain/0/secret'), 'untouched')
  assert.equal(dom0.read('/local/domain/2/name'), 'guest2')
  assert.ok(store.tree.ownedBy(1) <= store.quota.nodes)
  assert.deepEqual(store.tree.inconsistencies(), [])
  other.put(encodeMessage({ type: XS_READ, requestId: 9, transactionId: 0,
    payload: bytesOf('name\0') }))
  other.service()
  assert.equal(new TextDecoder().decode(other.page.slice(1040, 1046)), 'guest2')
  store.release(1)
}

export function fuzzXenstoreRing(runs: number, seed?: number): void {
  fc.assert(fc.property(fc.array(action, { maxLength: 60 }), (steps) => tryRing(steps)),
    { numRuns: runs, ...seed === undefined ? {} : { seed } })
}

if (import.meta.main) {
  const [, , runs, seed] = process.argv
  fuzzXenstoreRing(Number(runs ?? 300), seed === undefined ? undefined : Number(seed))
  console.log('xenstore-ring: ok')
}
