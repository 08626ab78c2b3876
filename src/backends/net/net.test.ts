/**
 * A network interface's back-end, from both its sides.
 */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'node:test'
import {
  NETRXF_csum_blank, NETRXF_data_validated, NETRXF_extra_info, NETRXF_more_data,
  NETTXF_csum_blank, NETTXF_extra_info, NETTXF_more_data, XEN_NETIF_EXTRA_TYPE_GSO,
  XEN_NETIF_EXTRA_TYPE_HASH, XEN_NETIF_EXTRA_TYPE_MCAST_ADD, XEN_NETIF_EXTRA_TYPE_MCAST_DEL,
} from '../../abi/xen/io/netif.ts'
import { BROADCAST, ethernet, type MacAddress, putMac } from '../../network/frame.ts'
import { ipv4Frame, type Ipv4Address, PAYLOAD } from '../../network/nat/ipv4.ts'
import { blankChecksum } from '../../network/offload.ts'
import { ACK, segmentLength, writeSegment } from '../../network/tcp/segment.ts'
import { BACK, FakeNetfront, FRONT } from './fake-netfront.ts'

const PEER = 0x0200_0000_0002 as MacAddress

function frame(from: MacAddress, to: MacAddress, size: number): Uint8Array {
  return ethernet(to, from, 0x88b5, Uint8Array.from({ length: size - 14 }, (_, i) => i))
}

/** A connected front-end with room to receive. */
function connected(nodes: Readonly<Record<string, string>> = {}, back = {}): FakeNetfront {
  const guest = new FakeNetfront(back)
  guest.connect(nodes)
  guest.offer(200)
  return guest
}

/** A TCP frame to the guest with `size` bytes of payload, and its checksum left to others. */
function tcpTo(guest: FakeNetfront, size: number): Uint8Array {
  const segment = {
    sequence: 1, acknowledgment: 1, flags: ACK, window: 1, payload: new Uint8Array(size).fill(7),
  }
  const packet = { from: 0x0a000202 as Ipv4Address, to: 0x0a00020f as Ipv4Address, protocol: 6 }
  const bytes = ipv4Frame({ to: guest.mac, from: PEER }, packet, segmentLength(segment))
  writeSegment(bytes, PAYLOAD, 80, 5000, segment)
  blankChecksum(bytes)
  return bytes
}

test('a new device is offered, and connects when its front-end does', () => {
  const guest = new FakeNetfront()
  assert.equal(guest.backState, '2')
  assert.equal(guest.store.read(`${BACK}/hotplug-status`), 'connected')
  for (const feature of ['feature-sg', 'feature-gso-tcpv4', 'feature-rx-copy']) {
    assert.equal(guest.store.read(`${BACK}/${feature}`), '1')
  }
  guest.connect()
  assert.equal(guest.backState, '4')
  assert.equal(guest.mappings, 1)
  assert.equal(guest.handlers.size, 2)
})

test('a packet goes from the guest to the bridge, and its request is answered', () => {
  const guest = connected()
  const bytes = frame(guest.mac, BROADCAST, 100)
  guest.page(300).set(bytes, 50)
  guest.transmit({ ref: 300, offset: 50, size: 100 })
  guest.kick()
  assert.deepEqual(guest.peerGot, [{ bytes }])
  assert.deepEqual(guest.transmitted(), [0])
})

test('that a little was sent is told with what comes, or after a millisecond', async () => {
  const guest = connected()
  guest.offer(4)
  guest.page(300).set(frame(guest.mac, BROADCAST, 100))
  const transmit = (count: number): void => {
    for (let i = 0; i < count; i++) guest.transmit({ ref: 300, size: 100 })
    guest.signal()
  }
  transmit(2)
  assert.deepEqual([guest.transmitted(), guest.notifications], [[], 0])
  guest.peer.send({ bytes: frame(PEER, guest.mac, 60) })
  await turn()
  assert.deepEqual([guest.transmitted(), guest.received().length], [[0, 0], 1])
  transmit(1)
  guest.kick()
  assert.deepEqual([guest.transmitted(), guest.delays], [[0], []])
  transmit(17)
  assert.equal(guest.transmitted().length, 17, 'not when it is many')
  guest.page(301).set(frame(guest.mac, BROADCAST, 4000))
  guest.transmit({ ref: 301, size: 4000 }, { ref: 300, size: 100 })
  guest.signal()
  assert.equal(guest.transmitted().length, 2, 'not when it is much')
})

test('fragments are put together; the first request has the size of the whole', () => {
  const guest = connected()
  const bytes = frame(guest.mac, BROADCAST, 9000)
  guest.page(300).set(bytes.subarray(0, 1000), 3000)
  guest.page(301).set(bytes.subarray(1000, 5000), 96)
  guest.page(302).set(bytes.subarray(5000))
  guest.store.write(`${FRONT}/mtu`, '9500')
  guest.transmit({ ref: 300, offset: 3000, size: 9000, flags: NETTXF_more_data },
    { ref: 301, offset: 96, size: 4000, flags: NETTXF_more_data }, { ref: 302, size: 4000 })
  guest.kick()
  assert.ok(Buffer.from(guest.peerGot[0]!.bytes).equals(bytes))
  assert.deepEqual(guest.transmitted(), [0, 0, 0])
})

test('checksum and segment size go with the packet; extra slots are answered as nothing', () => {
  const guest = connected()
  const bytes = frame(guest.mac, BROADCAST, 3000)
  guest.page(300).set(bytes)
  guest.transmit(
    { ref: 300, size: 3000, flags: NETTXF_csum_blank },
    { ref: 300, size: 3000, flags: NETTXF_extra_info | NETTXF_csum_blank },
    { type: XEN_NETIF_EXTRA_TYPE_HASH, flags: 1, bytes: [0, 0, 0, 0, 0, 0] },
    { type: XEN_NETIF_EXTRA_TYPE_GSO, bytes: [0xb4, 5, 1, 0, 0, 0] })
  guest.kick()
  assert.deepEqual(guest.peerGot, [
    { bytes, checksumBlank: true }, { bytes, checksumBlank: true, segmentSize: 1460 },
  ])
  assert.deepEqual(guest.transmitted(), [0, 0, 1, 1])
})

test('multicast comes only for the groups that the guest asked for', async () => {
  const guest = connected({ 'request-multicast-control': '1' })
  const group = 0x0100_5e00_0001 as MacAddress
  const address = new Uint8Array(6)
  putMac(address, 0, group)
  const ask = (type: number): void => guest.transmit(
    { ref: 300, size: 60, flags: NETTXF_extra_info }, { type, bytes: [...address] })
  const arrivals = async (): Promise<number> => {
    guest.peer.send({ bytes: frame(PEER, group, 60) })
    await turn()
    return guest.received().length
  }
  assert.equal(await arrivals(), 0)
  ask(XEN_NETIF_EXTRA_TYPE_MCAST_ADD)
  guest.kick()
  assert.equal(await arrivals(), 1)
  ask(XEN_NETIF_EXTRA_TYPE_MCAST_DEL)
  guest.kick()
  assert.equal(await arrivals(), 0)
  assert.deepEqual(guest.transmitted(), [0, 1, 0, 1])
  assert.equal(guest.peerGot.length, 0)
})

test('a packet that is wrong in itself costs itself', () => {
  const guest = connected()
  guest.transmit({ ref: 300, size: 13 }, { ref: 2000, size: 100 })
  for (let i = 0; i < 19; i++) {
    guest.transmit({ ref: 300, size: i === 0 ? 190 : 10, flags: i < 18 ? NETTXF_more_data : 0 })
  }
  guest.page(300).set(frame(guest.mac, BROADCAST, 60))
  guest.transmit({ ref: 300, size: 60 })
  guest.kick()
  assert.deepEqual(guest.transmitted(), [...new Array<number>(21).fill(-1), 0].sort())
  assert.equal(guest.peerGot.length, 1)
  assert.equal(guest.backState, '4')
})

const senseless: readonly [string, (guest: FakeNetfront) => void][] = [
  ['more requests than slots', (guest) => void (guest.words(1)[0] = 257)],
  ['a page\'s end passed', (guest) => guest.transmit({ ref: 300, offset: 4000, size: 100 })],
  ['fragments larger than the whole', (guest) =>
    guest.transmit({ ref: 300, size: 60, flags: NETTXF_more_data }, { ref: 300, size: 61 })],
  ['a fragment that is missing', (guest) =>
    guest.transmit({ ref: 300, size: 60, flags: NETTXF_more_data })],
  ['an extra slot that is missing', (guest) =>
    guest.transmit({ ref: 300, size: 60, flags: NETTXF_extra_info })],
  ['an extra slot of no type', (guest) => guest.transmit(
    { ref: 300, size: 60, flags: NETTXF_extra_info }, { type: 0, bytes: [] })],
  ['segments of no size', (guest) => guest.transmit(
    { ref: 300, size: 60, flags: NETTXF_extra_info },
    { type: XEN_NETIF_EXTRA_TYPE_GSO, bytes: [0, 0, 1, 0, 0, 0] })],
  ['more receive requests than slots', (guest) => void (guest.words(2)[0] = 1000)],
]

for (const [name, spoil] of senseless) {
  test(`a ring that makes no sense ends the interface: ${name}`, async () => {
    const guest = connected()
    spoil(guest)
    guest.kick()
    guest.peer.send({ bytes: frame(PEER, guest.mac, 60) })
    await turn()
    assert.equal(guest.backState, '5')
    assert.deepEqual([guest.mappings, guest.handlers.size], [0, 0])
    assert.match(guest.store.read('/local/domain/0/error/backend/vif/1/0/error') ?? '',
      /^impossible/)
  })
}

test('frames from the bridge come into the guest\'s pages, in as many as they need', async () => {
  const guest = connected({ mtu: '9000' })
  const small = frame(PEER, guest.mac, 60)
  const large = frame(PEER, guest.mac, 9000)
  guest.peer.send({ bytes: small })
  guest.peer.send({ bytes: large })
  await turn()
  const parts = guest.received()
  assert.deepEqual(parts.map(({ flags, status }) => [flags, status]), [
    [0, 60], [NETRXF_more_data, 4096], [NETRXF_more_data, 4096], [0, 808],
  ])
  assert.ok(Buffer.concat(parts.slice(1).map(({ bytes }) => bytes)).equals(large))
  assert.equal(guest.notifications, 1)
})

test('a large TCP frame comes whole, with its segment size after the first part', async () => {
  const guest = connected()
  guest.peer.send({ bytes: tcpTo(guest, 5000), checksumBlank: true, segmentSize: 1448 })
  await turn()
  const [first, extra, rest] = guest.received()
  assert.equal(first?.flags, NETRXF_csum_blank | NETRXF_data_validated | NETRXF_extra_info |
    NETRXF_more_data)
  assert.deepEqual(extra?.raw, [XEN_NETIF_EXTRA_TYPE_GSO, 0, 0xa8, 5, 1, 0, 0, 0])
  assert.deepEqual([rest?.flags, rest?.status], [0, 5054 - 4096])
})

test('a guest without offloads gets small frames with checksums', async () => {
  const guest = connected({ 'feature-gso-tcpv4': '0', 'feature-no-csum-offload': '1' })
  guest.peer.send({ bytes: tcpTo(guest, 3000), checksumBlank: true, segmentSize: 1448 })
  await turn()
  assert.deepEqual(guest.received().map(({ flags, status }) => [flags, status]),
    [[0, 1502], [0, 1502], [0, 158]])
})

test('frames wait for room in the guest, and a page that is not granted is an error', async () => {
  const guest = new FakeNetfront()
  guest.connect()
  for (let i = 0; i < 3; i++) guest.peer.send({ bytes: frame(PEER, guest.mac, 60 + i) })
  await turn()
  assert.equal(guest.received().length, 0)
  guest.offer(2)
  guest.kick()
  assert.deepEqual(guest.received().map(({ status }) => status), [60, 61])
  const ring = new DataView(guest.page(2).buffer)
  ring.setUint32(64 + 2 * 8 + 4, 5000, true)
  guest.offer(0)
  guest.words(2)[0] = 3
  guest.kick()
  assert.deepEqual(guest.received().map(({ status }) => status), [-1])
})

test('what nobody takes is kept up to a limit', async () => {
  const guest = new FakeNetfront()
  guest.connect()
  for (let i = 0; i < 10_000; i++) guest.peer.send({ bytes: frame(PEER, guest.mac, 60) })
  await turn()
  let count = 0
  for (let i = 0; i < 60; i++) {
    guest.offer(200)
    guest.kick()
    count += guest.received().length
  }
  assert.equal(count, 4096)
})

test('a rate lets so much go at a time, and the rest later', () => {
  const guest = connected({}, { rate: '1000,50000' })
  guest.page(300).set(frame(guest.mac, BROADCAST, 600))
  for (let i = 0; i < 3; i++) guest.transmit({ ref: 300, size: 600 })
  guest.kick()
  assert.equal(guest.peerGot.length, 1)
  assert.equal(guest.delays[0]?.ms, 50)
  guest.nowMs = 50
  guest.delays.shift()!.work()
  assert.equal(guest.peerGot.length, 2)
})

test('several queues have their own rings, and a flow stays in one', async () => {
  const queue = (i: number) => ({
    [`queue-${i}/tx-ring-ref`]: `${1 + 2 * i}`, [`queue-${i}/rx-ring-ref`]: `${2 + 2 * i}`,
    [`queue-${i}/event-channel-tx`]: `${5 + 2 * i}`,
    [`queue-${i}/event-channel-rx`]: `${6 + 2 * i}`,
  })
  const guest = new FakeNetfront()
  guest.connect({ 'multi-queue-num-queues': '2', ...queue(0), ...queue(1) })
  assert.deepEqual([guest.backState, guest.mappings, guest.handlers.size], ['4', 2, 4])
  guest.offer(10)
  for (let i = 0; i < 4; i++) guest.peer.send({ bytes: tcpTo(guest, 10) })
  await turn()
  assert.ok([0, 4].includes(guest.received().length))
})

test('one event channel for both rings will do', () => {
  const guest = new FakeNetfront()
  const nodes = { 'event-channel': '5', 'tx-ring-ref': '1', 'rx-ring-ref': '2',
    'request-rx-copy': '1' }
  for (const [name, value] of Object.entries(nodes)) guest.store.write(`${FRONT}/${name}`, value)
  guest.setState(4)
  assert.deepEqual([guest.backState, guest.handlers.size], ['4', 1])
})

const refused: readonly [string, Readonly<Record<string, string>>][] = [
  ['no copies', { 'request-rx-copy': '0' }],
  ['a ring that is not granted', { 'tx-ring-ref': '5000' }],
  ['a ring that is no number', { 'rx-ring-ref': '-1' }],
  ['a channel that is not there', { 'event-channel-rx': '77' }],
  ['too many queues', { 'multi-queue-num-queues': '5' }],
]

for (const [name, nodes] of refused) {
  test(`a front-end that offers ${name} is not connected to`, () => {
    const guest = new FakeNetfront()
    guest.connect(nodes)
    assert.equal(guest.backState, '5')
    assert.deepEqual([guest.mappings, guest.handlers.size], [0, 0])
    guest.setState(6)
    assert.equal(guest.backState, '6')
    guest.setState(1)
    assert.equal(guest.backState, '2')
  })
}

test('a front-end may close, and connect again', () => {
  const guest = connected()
  guest.setState(5)
  assert.equal(guest.backState, '5')
  assert.equal(guest.mappings, 0)
  guest.setState(6)
  assert.equal(guest.backState, '6')
  guest.setState(1)
  assert.equal(guest.backState, '2')
  guest.setState(4)
  assert.equal(guest.backState, '4')
})

test('a device that is to go closes with its front-end, and lets go when its nodes do', () => {
  const guest = connected()
  guest.store.write(`${BACK}/online`, '0')
  guest.store.write(`${BACK}/state`, '5')
  assert.equal(guest.backState, '5')
  guest.setState(6)
  assert.equal(guest.backState, '6')
  const other = connected()
  other.store.remove('/local/domain/0/backend/vif/1')
  assert.deepEqual([other.mappings, other.handlers.size], [0, 0])
  assert.equal(other.backState, undefined)
})

test('an interface on a bridge that is not there says so', async () => {
  const guest = new FakeNetfront({ bridge: 'other' })
  await turn()
  assert.equal(guest.store.read(`${BACK}/hotplug-status`), 'error')
  assert.equal(guest.store.read(`${BACK}/hotplug-error`), 'there is no bridge "other"')
  guest.connect()
  assert.equal(guest.backState, '2')
})

test('a VLAN after the bridge\'s name is the port\'s', () => {
  const guest = connected({}, { bridge: 'xenbr0.10' })
  guest.page(300).set(frame(guest.mac, BROADCAST, 60))
  guest.transmit({ ref: 300, size: 60 })
  guest.kick()
  assert.deepEqual([...guest.peerGot[0]!.bytes.subarray(12, 16)], [0x81, 0, 0, 10])
})

test('what goes through is counted, from the back-end\'s side, and what finds no room', () => {
  const guest = new FakeNetfront()
  guest.connect()
  guest.page(300).set(frame(guest.mac, BROADCAST, 100))
  guest.transmit({ ref: 300, size: 100 })
  guest.kick()
  guest.peer.send({ bytes: frame(PEER, guest.mac, 60) })
  const [counters, ...others] = guest.driver.counters(1)
  assert.deepEqual([counters, others.length], [{
    rxBytes: 100, rxPackets: 1, rxErrors: 0, rxDropped: 0,
    txBytes: 60, txPackets: 1, txErrors: 0, txDropped: 0,
  }, 0])
  for (let i = 0; i < 5000; i++) guest.peer.send({ bytes: frame(PEER, guest.mac, 1500) })
  const after = guest.driver.counters(1)[0]!
  assert.ok(after.txDropped > 0)
  assert.equal(after.txDropped + after.txPackets, 5001)
  guest.store.remove(BACK)
  assert.deepEqual(guest.driver.counters(1), [])
})
