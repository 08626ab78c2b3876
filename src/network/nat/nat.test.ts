/**
 * The NAT as a guest sees it, and as the host does.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROTOCOL_ICMP } from '../checksum.ts'
import { BROADCAST, ethernet, macAt, putMac, putU16, putU32, u16At, u32At } from '../frame.ts'
import { hasGoodChecksum } from '../offload.ts'
import { TcpConnection } from '../tcp/connection.ts'
import { ACK, NO_BYTES, readSegment, RST, segmentLength, SYN, writeSegment } from
  '../tcp/segment.ts'
import { randomFrom, sketch } from '../tcp/simulation.ts'
import { bytesOf, FakeGuest, ip, settings } from './fake-guest.ts'
import { formatIpv4, type Ipv4Address, parseIpv4 } from './ipv4.ts'

const GATEWAY = settings.gateway
const RESOLVER = settings.resolver
const OUTSIDE = ip('192.0.2.80')

function arp(guest: FakeGuest, operation: number, target: Ipv4Address): Uint8Array {
  const payload = new Uint8Array(28)
  putU16(payload, 0, 1)
  putU16(payload, 2, 0x800)
  payload.set([6, 4], 4)
  putU16(payload, 6, operation)
  putMac(payload, 8, guest.mac)
  putU32(payload, 14, guest.address)
  putU32(payload, 24, target)
  return ethernet(BROADCAST, guest.mac, 0x806, payload)
}

test('the gateway and the resolver answer ARP, and nobody else\'s address is answered', () => {
  const guest = new FakeGuest()
  for (const target of [GATEWAY, RESOLVER, OUTSIDE, ip('10.0.2.99')]) {
    guest.nat.input({ bytes: arp(guest, 1, target) })
  }
  const answers = guest.take()
  assert.deepEqual(answers.map((bytes) => formatIpv4(u32At(bytes, 28) as Ipv4Address)),
    ['10.0.2.2', '10.0.2.3'])
  assert.ok(answers.every((bytes) => macAt(bytes, 22) === settings.mac && bytes[21] === 2))
})

test('an echo request to the gateway is answered, one to the outside is not', () => {
  const guest = new FakeGuest()
  const ping = (bytes: Uint8Array, at: number): void => {
    bytes.set([8, 0, 0, 0, 1, 2, 3, 4], at)
    putU16(bytes, at + 2, ~(0x0800 + 0x0102 + 0x0304) & 0xffff)
  }
  guest.sendIp(GATEWAY, PROTOCOL_ICMP, 8, ping)
  guest.sendIp(OUTSIDE, PROTOCOL_ICMP, 8, ping)
  guest.sendIp(GATEWAY, PROTOCOL_ICMP, 8, (bytes, at) => bytes.set([8, 0, 9, 9], at))
  const [reply, ...more] = guest.take()
  assert.equal(more.length, 0)
  assert.deepEqual([...reply!.subarray(34)], [0, 0, 0xfb, 0xf9, 1, 2, 3, 4])
  assert.equal(macAt(reply!, 0), guest.mac)
})

test('names are asked from the host\'s resolver, and answers seem to come from ours', () => {
  const guest = new FakeGuest()
  guest.sendUdp(RESOLVER, 53, bytesOf('query'))
  guest.sendUdp(RESOLVER, 54, bytesOf('nothing there'))
  assert.deepEqual(guest.hostNet.log, ['udp 192.0.2.53:53 query'])
  const [socket] = guest.hostNet.sockets
  socket!.received(bytesOf('answer'), { address: '192.0.2.53', port: 53 })
  socket!.received(bytesOf('from a stranger'), { address: '192.0.2.54', port: 53 })
  assert.deepEqual(guest.takeUdp(), ['10.0.2.3:53 answer'])
})

test('the gateway has the ports of the host\'s loopback, which itself is out of reach', () => {
  const guest = new FakeGuest()
  guest.sendUdp(GATEWAY, 7, bytesOf('a'))
  for (const address of ['127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', '10.0.2.44']) {
    guest.sendUdp(ip(address), 7, bytesOf('b'))
  }
  assert.deepEqual(guest.hostNet.log, ['udp 127.0.0.1:7 a'])
})

test('who has no address of this network is not served', () => {
  const guest = new FakeGuest()
  for (const from of ['10.0.3.15', '10.0.2.2', '0.0.0.0', '10.0.2.255']) {
    guest.sendUdp(OUTSIDE, 7, bytesOf('a'), ip(from))
  }
  assert.deepEqual(guest.hostNet.log, [])
})

test('one socket serves a guest\'s port, and is closed when it was idle for a minute', () => {
  const guest = new FakeGuest()
  guest.sendUdp(OUTSIDE, 7, bytesOf('a'))
  guest.sendUdp(GATEWAY, 8, bytesOf('b'))
  assert.equal(guest.hostNet.sockets.length, 1)
  guest.time.run(55_000)
  guest.sendUdp(OUTSIDE, 7, bytesOf('c'))
  guest.time.run(50_000)
  assert.equal(guest.hostNet.sockets[0]?.closed, false)
  guest.time.run(30_000)
  assert.equal(guest.hostNet.sockets[0]?.closed, true)
  assert.equal(guest.time.pending, 0)
})

test('a guest that uses many ports loses its idlest flows', () => {
  const guest = new FakeGuest()
  for (let i = 0; i < 253; i++) {
    for (let port = 0; port < 3; port++) {
      guest.address = ip(`10.0.2.${4 + i % 250}`)
      guest.sendIp(OUTSIDE, 17, 8, (bytes, at) => {
        putU16(bytes, at, 1000 + i * 3 + port)
        putU16(bytes, at + 2, 9)
        putU16(bytes, at + 4, 8)
      })
    }
  }
  const open = guest.hostNet.sockets.filter(({ closed }) => !closed)
  assert.equal(open.length, 512)
  assert.equal(guest.hostNet.sockets[0]?.closed, true)
})

test('a guest connects to the outside, both talk, and both close', () => {
  const guest = new FakeGuest()
  const end = guest.connect(OUTSIDE, 80)
  guest.time.run(5)
  assert.deepEqual(guest.hostNet.log, ['connect 192.0.2.80:80'])
  assert.equal(end.isConnected, false)
  const [stream] = guest.hostNet.streams
  stream!.events.connected()
  guest.time.run(10)
  assert.equal(end.isConnected, true)
  end.connection!.write(bytesOf('GET /'))
  stream!.events.data(bytesOf('x'.repeat(10_000)))
  stream!.events.ended()
  guest.time.run(50)
  assert.equal(stream!.text, 'GET /')
  assert.equal(end.gotLength, 10_000)
  assert.equal(end.hasEnded, true)
  end.connection!.end()
  guest.time.run(50)
  assert.ok(stream!.log.includes('end'))
  stream!.events.closed(false)
  guest.time.run(10_000)
  assert.deepEqual([end.end, stream!.log.includes('destroy')], ['closed', false])
  assert.equal(guest.time.pending, 0)
})

test('all that is sent to a guest has right checksums', () => {
  const guest = new FakeGuest()
  guest.connect(OUTSIDE, 80)
  guest.time.run(5)
  guest.hostNet.streams[0]!.events.connected()
  guest.hostNet.streams[0]!.events.data(bytesOf('odd'.repeat(2001)))
  guest.time.run(50)
  const frames = guest.take()
  assert.ok(frames.length >= 6)
  for (const bytes of frames) assert.ok(hasGoodChecksum({ bytes }))
})

test('a connection that the host refuses is refused to the guest', () => {
  const guest = new FakeGuest()
  const end = guest.connect(GATEWAY, 81)
  guest.time.run(5)
  assert.deepEqual(guest.hostNet.log, ['connect 127.0.0.1:81'])
  guest.hostNet.streams[0]!.events.closed(true)
  guest.time.run(5)
  assert.equal(end.end, 'reset')
})

test('what breaks on one side breaks on the other', () => {
  const guest = new FakeGuest()
  const one = guest.connect(OUTSIDE, 80, 5000)
  const two = guest.connect(OUTSIDE, 80, 5001)
  guest.time.run(5)
  for (const stream of guest.hostNet.streams) stream.events.connected()
  guest.time.run(5)
  guest.hostNet.streams[0]!.events.closed(true)
  two.connection!.abort()
  guest.time.run(5)
  assert.equal(one.end, 'reset')
  assert.ok(guest.hostNet.streams[1]!.log.includes('destroy'))
})

test('a host that sends faster than the guest takes is made to wait, and so the other way', () => {
  const guest = new FakeGuest()
  const end = guest.connect(OUTSIDE, 80)
  guest.time.run(5)
  const [stream] = guest.hostNet.streams
  stream!.events.connected()
  guest.time.run(5)
  end.eager = false
  for (let i = 0; i < 40 && !stream!.log.includes('pause'); i++) {
    stream!.events.data(new Uint8Array(60_000))
    guest.time.run(20)
  }
  assert.ok(stream!.log.includes('pause'))
  stream!.log.length = 0
  end.connection!.consume(end.gotLength)
  end.eager = true
  guest.time.run(3000)
  assert.ok(stream!.log.includes('resume'))
  // The host takes nothing: the guest can send only what a window holds.
  for (let i = 0; i < 100; i++) end.connection!.write(new Uint8Array(10_000))
  guest.time.run(1000)
  const taken = stream!.got.reduce((sum, bytes) => sum + bytes.length, 0)
  assert.ok(taken > 400_000 && taken <= 512 * 1024, `${taken}`)
  stream!.events.written(taken)
  guest.time.run(1000)
  const more = stream!.got.reduce((sum, bytes) => sum + bytes.length, 0)
  assert.ok(more > taken)
})

test('of many connections each may keep less', () => {
  const guest = new FakeGuest()
  const bytesUntilPause = (port: number): number => {
    const end = guest.connect(OUTSIDE, 80, port)
    guest.time.run(5)
    const stream = guest.hostNet.streams.at(-1)!
    stream.events.connected()
    guest.time.run(5)
    end.eager = false
    stream.log.length = 0
    let sent = 0
    for (; !stream.log.includes('pause'); sent += 60_000) {
      stream.events.data(new Uint8Array(60_000))
      guest.time.run(20)
    }
    return sent
  }
  const first = bytesUntilPause(5000)
  for (let i = 1; i < 256; i++) guest.connect(OUTSIDE, 80, 5000 + i)
  assert.ok(bytesUntilPause(6000) < first - 300_000)
})

test('a forwarded port leads into the guest that has the lease', () => {
  const guest = new FakeGuest()
  guest.nat.reserve(guest.mac, ip('10.0.2.20'))
  guest.address = ip('10.0.2.20')
  const forward = guest.nat.forward(guest.mac,
    { protocol: 'tcp', hostPort: 8080, guestPort: 80 }, assert.ifError)
  const server = guest.tcp(GATEWAY, 49_152, 80)
  const others = guest.onSegment
  guest.onSegment = (bytes) => {
    const segment = readSegment(bytes, 34, bytes.length)
    if (segment && segment.flags & SYN) {
      server.connection = TcpConnection.accept(segment, 7, 1460, guest.time, server)
    } else {
      others?.(bytes)
    }
  }
  const stream = guest.hostNet.arrive(8080)
  // The guest has not been heard of: it is asked for by ARP first.
  const [question] = guest.take()
  assert.deepEqual([u16At(question!, 12), u32At(question!, 38)], [0x806, ip('10.0.2.20')])
  guest.nat.input({ bytes: arp(guest, 2, GATEWAY) })
  guest.time.run(10)
  stream.events.data(bytesOf('hello'))
  guest.time.run(10)
  assert.equal(server.bytes.toString(), 'hello')
  server.connection!.write(bytesOf('welcome'))
  guest.time.run(10)
  assert.equal(stream.text, 'welcome')
  forward.close()
  assert.equal(guest.hostNet.listeners.size, 0)
})

test('a forwarded port without a guest behind it hangs up', () => {
  const guest = new FakeGuest()
  guest.nat.forward(guest.mac, { protocol: 'tcp', hostPort: 8080, guestPort: 80 }, assert.ifError)
  assert.deepEqual(guest.hostNet.arrive(8080).log, ['destroy'])
})

test('a forwarded UDP port tells its clients apart', () => {
  const guest = new FakeGuest()
  guest.nat.reserve(guest.mac, guest.address)
  guest.nat.input({ bytes: arp(guest, 1, GATEWAY) })
  guest.take()
  const forward = guest.nat.forward(guest.mac,
    { protocol: 'udp', hostPort: 5353, guestPort: 53 }, assert.ifError)
  const [socket] = guest.hostNet.sockets
  assert.deepEqual(socket!.at, { address: '127.0.0.1', port: 5353 })
  socket!.received(bytesOf('one'), { address: '127.0.0.1', port: 1111 })
  socket!.received(bytesOf('two'), { address: '127.0.0.1', port: 2222 })
  const from = guest.takeUdp()
  assert.deepEqual(from, ['10.0.2.2:49152 one', '10.0.2.2:49153 two'])
  guest.sendIp(GATEWAY, 17, 9, (bytes, at) => {
    putU16(bytes, at, 53)
    putU16(bytes, at + 2, 49_153)
    putU16(bytes, at + 4, 9)
    bytes[at + 8] = 0x21
  })
  assert.deepEqual(guest.hostNet.log, ['udp 127.0.0.1:2222 !'])
  forward.close()
  assert.equal(socket!.closed, true)
  assert.equal(guest.time.pending, 0)
})

test('when a guest goes, its connections and flows go', () => {
  const guest = new FakeGuest()
  guest.connect(OUTSIDE, 80)
  guest.sendUdp(OUTSIDE, 7, bytesOf('a'))
  guest.time.run(5)
  guest.hostNet.streams[0]!.events.connected()
  guest.nat.forget(guest.mac)
  assert.ok(guest.hostNet.streams[0]!.log.includes('destroy'))
  assert.equal(guest.hostNet.sockets[0]?.closed, true)
})

test('a segment of no connection is answered with RST', () => {
  const guest = new FakeGuest()
  const answers: string[] = []
  guest.onSegment = (bytes) => {
    const segment = readSegment(bytes, 34, bytes.length)!
    answers.push(`${sketch(segment)} ${segment.sequence} ${segment.acknowledgment}`)
  }
  for (const flags of [ACK, RST, 1]) {
    const segment = { sequence: 5, acknowledgment: 77, flags, window: 0, payload: NO_BYTES }
    guest.sendIp(OUTSIDE, 6, segmentLength(segment),
      (bytes, at) => writeSegment(bytes, at, 4000, 80, segment))
  }
  assert.deepEqual(answers, ['R 77 0', 'RA 0 6'])
})

test('damaged packets are dropped', () => {
  const guest = new FakeGuest()
  const input = guest.nat.input.bind(guest.nat)
  for (const at of [15, 24, 40, 46]) {
    guest.nat.input = (frame) => {
      const bytes = frame.bytes.slice()
      bytes[at]! ^= 1
      input({ bytes })
    }
    guest.sendUdp(OUTSIDE, 7, bytesOf('abcdef'))
  }
  assert.deepEqual(guest.hostNet.log, [])
})

test('no frame makes the NAT throw', () => {
  const random = randomFrom(Number(process.env['SEED'] ?? 20_260_102))
  const guest = new FakeGuest()
  const input = guest.nat.input.bind(guest.nat)
  guest.nat.input = (frame) => {
    for (let i = 0; i < 8; i++) {
      const bytes = frame.bytes.slice(0, random() < 0.3
        ? Math.floor(random() * frame.bytes.length) : frame.bytes.length)
      for (let n = 0; n < 3; n++) bytes[14 + Math.floor(random() * 60)] = random() * 256
      // Checksums would stop most of them at the door.
      input({ bytes, checksumBlank: true })
      input({ bytes: frame.bytes.map((byte) => random() < 0.02 ? random() * 256 : byte) })
    }
  }
  for (let round = 0; round < 300; round++) {
    guest.sendUdp(GATEWAY, 67, new Uint8Array(300).map(() => random() * 256))
    guest.sendUdp(RESOLVER, 53, bytesOf('query'))
    guest.nat.input({ bytes: arp(guest, 1, GATEWAY) })
    guest.connect(OUTSIDE, 80, 6000 + round % 7)
    guest.time.run(3)
    for (const stream of guest.hostNet.streams.splice(0)) {
      if (random() < 0.5) stream.events.connected()
      stream.events.data(bytesOf('data'))
    }
  }
  assert.ok(guest.take().length > 0)
})

test('IPv4 addresses are read and printed', () => {
  assert.equal(formatIpv4(ip('192.0.2.255')), '192.0.2.255')
  for (const bad of ['', '1.2.3', '1.2.3.4.5', '1.2.3.256', '1.2.3.x', '1..2.3']) {
    assert.equal(parseIpv4(bad), undefined)
  }
})
