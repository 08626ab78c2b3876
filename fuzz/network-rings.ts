/**
 * Fuzz target: whatever a guest puts into the rings of its network interface, whenever, nothing
 * throws, nothing is held without bound, what it had mapped is let go, and the bridge goes on.
 *
 * `node fuzz/network-rings.ts [runs] [seed]`; short by default.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { BACK, FakeNetfront, FRONT } from '../src/backends/net/fake-netfront.ts'
import { ETHERTYPE_ARP, ethernet, type MacAddress } from '../src/network/frame.ts'

const PEER = 0x0200_0000_0002 as MacAddress
const u16 = fc.oneof(fc.nat(64), fc.constantFrom(1500, 4096, 65535), fc.nat(65535))
const request = fc.record({
  ref: fc.oneof(fc.integer({ min: 300, max: 310 }), fc.nat(0xffff_ffff)), offset: u16, size: u16,
  flags: fc.oneof(fc.nat(15), fc.nat(65535)),
})
const extra = fc.record({
  type: fc.nat(6), flags: fc.nat(3),
  bytes: fc.array(fc.nat(255), { minLength: 6, maxLength: 6 }),
})
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({
    kind: fc.constant('transmit' as const),
    slots: fc.array(fc.oneof(request, extra), { minLength: 1, maxLength: 24 }),
  }) },
  { weight: 2, arbitrary: fc.record({
    kind: fc.constant('word' as const), ring: fc.constantFrom(1, 2), word: fc.nat(1023),
    value: fc.oneof(fc.nat(300), fc.nat(0xffff_ffff)),
  }) },
  { weight: 1, arbitrary: fc.record({
    kind: fc.constant('state' as const), state: fc.nat(9),
  }) },
  { weight: 1, arbitrary: fc.record({
    kind: fc.constant('node' as const), value: fc.oneof(fc.nat(8).map(String), fc.string()),
    name: fc.constantFrom('tx-ring-ref', 'rx-ring-ref', 'event-channel-tx', 'request-rx-copy',
      'multi-queue-num-queues', 'feature-sg', 'mtu', 'state'),
  }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('offer' as const), count: fc.nat(300) }) },
  { weight: 3, arbitrary: fc.record({
    kind: fc.constant('arrive' as const), size: fc.nat(20_000), segment: fc.nat(3000),
  }) },
)
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never

function perform(guest: FakeNetfront, step: Action): void {
  switch (step.kind) {
    case 'transmit': return guest.transmit(...step.slots)
    case 'word':
      guest.words(step.ring)[step.word] = step.value
      return
    case 'state': return guest.setState(step.state)
    case 'node':
      return guest.store.write(`${FRONT}/${step.name}`, step.value.replaceAll(/[^ -~]/g, '?'))
    case 'offer': return guest.offer(step.count)
    case 'arrive': {
      const bytes = ethernet(guest.mac, PEER, 0x0800, new Uint8Array(step.size).fill(0x45))
      guest.peer.send({ bytes, checksumBlank: true, segmentSize: step.segment })
    }
  }
}

const [runs = '60', seed] = process.argv.slice(2)
await fc.assert(fc.asyncProperty(fc.array(action, { maxLength: 30 }), async (steps) => {
  const guest = new FakeNetfront()
  guest.connect()
  for (const step of steps) {
    perform(guest, step)
    guest.kick()
    await Promise.resolve()
  }
  assert.ok(guest.mappings <= 4, 'no more is mapped than there are queues')
  guest.store.remove(BACK)
  assert.deepEqual([guest.mappings, guest.handlers.size], [0, 0])
  // Others still reach one another.
  let heard = 0
  guest.bridge.attach({}, () => heard++)
  guest.peer.send({ bytes: ethernet(0xffff_ffff_ffff as MacAddress, PEER, ETHERTYPE_ARP,
    new Uint8Array(46)) })
  assert.equal(heard, 1)
}), { numRuns: Number(runs), ...seed === undefined ? {} : { seed: Number(seed) } })
