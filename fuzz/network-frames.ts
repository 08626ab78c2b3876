/**
 * Fuzz target: whatever frames a guest sends to the NAT and its DHCP, TFTP and DNS services, and
 * whatever a stream of Open vSwitch's brings, nothing throws, what is held is bounded, and a guest
 * that asks properly still gets its address.
 *
 * `node fuzz/network-frames.ts [runs] [seed]`; short by default.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ethernet, type MacAddress, putMac, putU32, u16At } from '../src/network/frame.ts'
import { FrameReader } from '../src/network/frame-stream.ts'
import { bytesOf, FakeGuest, ip, settings } from '../src/network/nat/fake-guest.ts'
import { TftpServer } from '../src/network/tftp.ts'

const ANY = ip('0.0.0.0')
const EVERYBODY = ip('255.255.255.255')
const MOST_TRANSFERS = 32
const DHCP_BYTES = 300
const OPTIONS_AT = 240
const MESSAGE_TYPE = 53
const OFFER = 2

const noise = fc.uint8Array({ maxLength: 600 })
/** Places that are overwritten, and with what. */
const damage = fc.array(fc.tuple(fc.nat(DHCP_BYTES), fc.nat(255)), { maxLength: 12 })
const word = fc.oneof(
  fc.constantFrom('file', 'octet', 'netascii', 'blksize', 'tsize', 'timeout', '8', '0', '65464'),
  fc.string({ maxLength: 20 }))
const address = fc.constantFrom(ip('10.0.2.15'), ip('10.0.2.2'), ip('10.0.2.3'), ANY, EVERYBODY,
  ip('127.0.0.1'), ip('224.0.0.1'), ip('198.51.100.7'))

const action = fc.oneof(
  fc.record({
    kind: fc.constant('dhcp' as const), type: fc.nat(9), mac: fc.nat(5), damage, options: noise,
    length: fc.oneof(fc.constant(DHCP_BYTES), fc.nat(700)),
  }),
  fc.record({
    kind: fc.constant('tftp' as const), opcode: fc.nat(7), words: fc.array(word), from: address,
  }),
  fc.record({
    kind: fc.constant('udp' as const), to: address, from: address, payload: noise,
    port: fc.oneof(fc.constantFrom(53, 67, 68, 69), fc.nat(65535),
      fc.integer({ min: 32_768, max: 32_800 })),
  }),
  fc.record({
    kind: fc.constant('ip' as const), to: address, protocol: fc.constantFrom(1, 6, 17, 47),
    payload: noise,
  }),
  fc.record({
    kind: fc.constant('frame' as const), payload: noise,
    type: fc.oneof(fc.constantFrom(0x0800, 0x0806, 0x8100, 0x86dd), fc.nat(65535)),
  }),
  fc.record({ kind: fc.constant('bytes' as const), bytes: noise }),
  fc.record({ kind: fc.constant('time' as const), ms: fc.nat(5000) }),
)
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never

function dhcp(type: number, mac: MacAddress, options: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(Math.max(DHCP_BYTES, OPTIONS_AT + 3 + options.length))
  bytes.set([1, 1, 6, 0, 1, 2, 3, 4])
  putMac(bytes, 28, mac)
  putU32(bytes, 236, 0x6382_5363)
  bytes.set([MESSAGE_TYPE, 1, type, ...options], OPTIONS_AT)
  return bytes
}

function perform(guest: FakeGuest, step: Action): void {
  switch (step.kind) {
    case 'dhcp': {
      const bytes = dhcp(step.type, guest.mac + step.mac as MacAddress, step.options)
      for (const [at, value] of step.damage) bytes[at] = value
      return guest.sendUdp(EVERYBODY, 67, bytes.subarray(0, step.length), ANY)
    }
    case 'tftp': {
      const text = `\0${String.fromCharCode(step.opcode)}${step.words.join('\0')}\0`
      return guest.sendUdp(settings.gateway, 69, bytesOf(text), step.from)
    }
    case 'udp': return guest.sendUdp(step.to, step.port, step.payload, step.from)
    case 'ip':
      return guest.sendIp(step.to, step.protocol, step.payload.length,
        (bytes, at) => bytes.set(step.payload, at))
    case 'frame':
      return guest.nat.input({ bytes: ethernet(settings.mac, guest.mac, step.type, step.payload) })
    case 'bytes': return guest.nat.input({ bytes: step.bytes })
    case 'time': return guest.time.run(step.ms)
  }
}

const [runs = '60', seed] = process.argv.slice(2)
const options = { numRuns: Number(runs), ...seed === undefined ? {} : { seed: Number(seed) } }

await fc.assert(fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (steps) => {
  const guest = new FakeGuest()
  guest.nat.reserve(guest.mac, guest.address)
  const served = new Set<number>()
  const tftp = new TftpServer({
    timers: guest.time,
    readFile: async (name) => name === 'file' ? new Uint8Array(9000) : undefined,
    serve: (port, service) => {
      served.add(port)
      const stop = guest.nat.serve(port, service)
      return () => {
        served.delete(port)
        stop()
      }
    },
    sendDatagram: (from, to, bytes) => guest.nat.sendDatagram(from, to, bytes),
  })
  for (const step of steps) {
    perform(guest, step)
    await new Promise(setImmediate)
    assert.ok(served.size <= 1 + MOST_TRANSFERS, 'transfers are bounded')
    for (const bytes of guest.take()) assert.ok(bytes.length <= 1514, 'a frame fits its wire')
  }
  guest.sendUdp(EVERYBODY, 67, dhcp(1, guest.mac, Uint8Array.of(255)), ANY)
  const [answer] = guest.take().filter((bytes) => u16At(bytes, 36) === 68)
  assert.equal(answer?.[42 + OPTIONS_AT + 2], OFFER)
  tftp.close()
  guest.nat.close()
}), options)

fc.assert(fc.property(fc.array(noise), (parts) => {
  const reader = new FrameReader()
  let count = 0
  for (const part of parts) if (!reader.take(part, () => count++)) break
  assert.ok(count * 16 <= parts.reduce((sum, part) => sum + part.length, 0))
}), options)
console.log(`network-frames: ${runs} runs`)
