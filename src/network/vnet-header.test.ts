/**
 * Frames behind the header of TAP devices.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ethernet, type Frame, type MacAddress, putU16 } from './frame.ts'
import { type Ipv4Address, ipv4Frame, PAYLOAD } from './nat/ipv4.ts'
import { blankChecksum, hasGoodChecksum, wireFrames } from './offload.ts'
import { ACK, segmentLength, writeSegment } from './tcp/segment.ts'
import { readVnetHeader, withVnetHeader } from './vnet-header.ts'

const MAC = 0x00163e000001 as MacAddress

/** TCP over IPv4 with its checksum left to others. */
function tcp(size: number): Uint8Array {
  const segment = {
    sequence: 1, acknowledgment: 1, flags: ACK, window: 1, payload: new Uint8Array(size).fill(7),
  }
  const packet = { from: 0x0a000202 as Ipv4Address, to: 0x0a00020f as Ipv4Address, protocol: 6 }
  const bytes = ipv4Frame({ to: MAC, from: MAC }, packet, segmentLength(segment))
  writeSegment(bytes, PAYLOAD, 80, 5000, segment)
  blankChecksum(bytes)
  return bytes
}

const frames: readonly [string, Frame][] = [
  ['a frame that is whole', { bytes: ethernet(MAC, MAC, 0x88b5, new Uint8Array(50)) }],
  ['a checksum left to others', { bytes: tcp(100), checksumBlank: true }],
  ['a large segment', { bytes: tcp(30_000), checksumBlank: true, segmentSize: 1400 }],
]

for (const [name, frame] of frames) {
  test(`${name} goes and comes as it is`, () => {
    const packets = withVnetHeader(frame)
    assert.equal(packets.length, 1)
    assert.deepEqual(readVnetHeader(packets[0]!), frame)
  })
}

test('the header says where the checksum is, and how to cut', () => {
  const [packet] = withVnetHeader({ bytes: tcp(30_000), checksumBlank: true, segmentSize: 1400 })
  // Flags, type, length of headers, size of segments, start and offset of the checksum.
  assert.deepEqual([...packet!.subarray(0, 10)], [1, 1, 54, 0, 1400 & 255, 1400 >> 8, 34, 0, 16, 0])
})

test('what has its checksum and would have to be cut is cut here', () => {
  const [whole] = wireFrames({ bytes: tcp(3000), checksumBlank: true })
  const packets = withVnetHeader({ ...whole!, segmentSize: 1400 })
  assert.deepEqual(packets.map(({ length }) => length), [1464, 1464, 264])
  assert.ok(packets.every((packet) => hasGoodChecksum(readVnetHeader(packet)!)))
})

test('a checksum of another transport is computed', () => {
  const bytes = ethernet(MAC, MAC, 0x88b5, Uint8Array.of(1, 2, 0, 5, 9, 9))
  const packet = new Uint8Array(10 + bytes.length)
  packet.set([1, 0, 0, 0, 0, 0, 14, 0, 2, 0])
  packet.set(bytes, 10)
  putU16(bytes, 16, ~(0x0102 + 5 + 0x0909) & 0xffff)
  assert.deepEqual(readVnetHeader(packet), { bytes })
})

test('whatever a device gives is a frame, or nothing', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (packet) => {
    const frame = readVnetHeader(packet)
    if (!frame) return
    assert.equal(frame.bytes.length, packet.length - 10)
    wireFrames(frame)
  }))
})
