/**
 * Fuzz target: whatever comes over xenstore's socket, in pieces of any size, from clients that
 * fetch their replies or do not, nothing throws, what waits is bounded, and the tree stays a tree.
 *
 * `node fuzz/xenstore-stream.ts [runs] [seed]`; short by default.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { LocalClient } from '../src/xenstore/client.ts'
import { StreamConnection } from '../src/xenstore/stream.ts'
import { bytesOf, encodeMessage } from '../src/xenstore/wire.ts'
import { Xenstored } from '../src/xenstore/xenstored.ts'

const CLIENTS = 3
const piece = fc.oneof(
  fc.constantFrom('/', '/a', '/a/b', '/a/b/c', '/d', '@releaseDomain', 'T', 'F', 'n0', 'r1', 'b2',
    'token', '0', '1', '-1', '4096', 'help', 'check', 'quota', ''),
  fc.string({ maxLength: 10 }))
const request = fc.record({
  type: fc.oneof(fc.nat(24), fc.nat(0xffffffff)),
  transactionId: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(3)),
  payload: fc.array(piece, { maxLength: 4 }).map((pieces) => bytesOf(`${pieces.join('\0')}\0`)),
}).map((message) => encodeMessage({ requestId: 1, ...message }))
const action = fc.record({
  client: fc.nat(CLIENTS - 1),
  bytes: fc.oneof({ weight: 20, arbitrary: request },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) }),
  /** Where the bytes are cut in two. */
  cut: fc.nat(60),
  fetches: fc.boolean(),
  closes: fc.nat(30).map((n) => n === 0),
})
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never

class Peer {
  waitingBytes = 0
  paused = false
  ended = false
  readonly stream: StreamConnection

  constructor(store: Xenstored) {
    this.stream = new StreamConnection(store, this)
  }

  write(bytes: Uint8Array): boolean {
    this.waitingBytes += bytes.length
    return this.waitingBytes < 2000
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  end(): void {
    this.ended = true
  }
}

function tryStream(steps: readonly Action[]): void {
  const store = new Xenstored()
  const dom0 = new LocalClient(store)
  const peers = Array.from({ length: CLIENTS }, () => new Peer(store))
  for (const { client, bytes, cut, fetches, closes } of steps) {
    const peer = peers[client]
    if (!peer) continue
    for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
      if (!peer.paused && !peer.ended) peer.stream.receive(part)
    }
    assert.ok(peer.waitingBytes < 5 << 20)
    if (fetches) {
      peer.waitingBytes = 0
      peer.stream.drained()
    }
    if (closes || peer.ended) {
      peer.stream.close()
      peers[client] = new Peer(store)
    }
  }
  assert.deepEqual(store.tree.inconsistencies(), [])
  dom0.write('/still/there', 'yes')
  assert.equal(dom0.read('/still/there'), 'yes')
}

function fuzzXenstoreStream(runs: number, seed?: number): void {
  fc.assert(fc.property(fc.array(action, { maxLength: 80, size: 'max' }), (s) => tryStream(s)),
    { numRuns: runs, ...seed === undefined ? {} : { seed } })
}

if (import.meta.main) {
  const [, , runs, seed] = process.argv
  fuzzXenstoreStream(Number(runs ?? 300), seed === undefined ? undefined : Number(seed))
  console.log('xenstore-stream: ok')
}
