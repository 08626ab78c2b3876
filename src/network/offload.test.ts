/**
 * Checksums and the cutting of large frames, with tshark as second opinion.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ipPlaces } from './checksum.ts'
import { ETHERTYPE_IPV6, ethernet, type MacAddress, putU16, u16At, u32At } from './frame.ts'
import { ipv4Frame, type Ipv4Address, PAYLOAD } from './nat/ipv4.ts'
import { blankChecksum, hasGoodChecksum, wireFrames } from './offload.ts'
import { pcapngPacket, pcapngStart } from './pcapng.ts'
import { ACK, FIN, PSH, type Segment, segmentLength, writeSegment } from './tcp/segment.ts'

const macs = { to: 0x020000000001 as MacAddress, from: 0x020000000002 as MacAddress }

const segment: Segment = {
  sequence: 0xffff_fe00, acknowledgment: 7, flags: ACK | PSH | FIN, window: 100,
  payload: Uint8Array.from({ length: 3001 }, (_, i) => i * 7),
}

function tcp4(): Uint8Array {
  const packet = { from: 0x0a00020f as Ipv4Address, to: 0x0a000202 as Ipv4Address, protocol: 6 }
  const bytes = ipv4Frame(macs, packet, segmentLength(segment))
  writeSegment(bytes, PAYLOAD, 1000, 80, segment)
  blankChecksum(bytes)
  return bytes
}

function tcp6(): Uint8Array {
  const payload = new Uint8Array(40 + segmentLength(segment))
  payload[0] = 0x60
  putU16(payload, 4, segmentLength(segment))
  payload.set([6, 64, 0xfe, 0x80], 6)
  payload.set([0xfe, 0x80], 24)
  payload[39] = 9
  writeSegment(payload, 40, 1000, 80, segment)
  const bytes = ethernet(macs.to, macs.from, ETHERTYPE_IPV6, payload)
  blankChecksum(bytes)
  return bytes
}

const makers: readonly [string, () => Uint8Array][] = [['IPv4', tcp4], ['IPv6', tcp6]]

for (const [name, make] of makers) {
  test(`a large frame is cut into whole segments: ${name}`, () => {
    const bytes = make()
    const pieces = wireFrames({ bytes, checksumBlank: true, segmentSize: 1400 })
    assert.deepEqual(pieces.map((piece) => piece.checksumBlank), [undefined, undefined, undefined])
    const parts = pieces.map((piece) => {
      const { transport, end } = ipPlaces(piece.bytes)!
      assert.equal(end, piece.bytes.length)
      assert.ok(hasGoodChecksum(piece))
      return {
        sequence: u32At(piece.bytes, transport + 4), flags: piece.bytes[transport + 13],
        size: end - transport - 20,
      }
    })
    assert.deepEqual(parts, [
      { sequence: 0xffff_fe00, flags: ACK, size: 1400 },
      { sequence: 0x378, flags: ACK, size: 1400 },
      { sequence: 0x8f0, flags: ACK | PSH | FIN, size: 201 },
    ])
    const whole = Buffer.concat(pieces.map((piece) =>
      piece.bytes.subarray(ipPlaces(piece.bytes)!.transport + 20)))
    assert.ok(whole.equals(segment.payload))
  })

  test(`a checksum left to others is completed: ${name}`, () => {
    const bytes = make()
    assert.equal(hasGoodChecksum({ bytes }), false)
    assert.equal(hasGoodChecksum({ bytes, checksumBlank: true }), true)
    const [frame] = wireFrames({ bytes, checksumBlank: true })
    assert.equal(hasGoodChecksum(frame!), true)
  })
}

test('frames that are cut short are not taken for more than they are', () => {
  const bytes = tcp4()
  for (let length = 0; length < 80; length++) {
    const short = bytes.slice(0, length)
    assert.equal(ipPlaces(short), undefined)
    assert.deepEqual(wireFrames({ bytes: short, checksumBlank: true, segmentSize: 9 }),
      [{ bytes: short }])
  }
  const wild = tcp4()
  wild[46] = 0xf0
  putU16(wild, 16, 50)
  assert.deepEqual(wireFrames({ bytes: wild, segmentSize: 9 }), [])
})

const tshark = spawnSync('tshark', ['--version']).status === 0

test('tshark finds all checksums right', { skip: !tshark && 'there is no tshark' }, () => {
  const parts = [pcapngStart(65535)]
  for (const [, make] of makers) {
    for (const { bytes } of wireFrames({ bytes: make(), checksumBlank: true, segmentSize: 900 })) {
      parts.push(pcapngPacket(bytes, 0, 65535))
    }
  }
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-offload-'))
  try {
    const file = join(folder, 'cut.pcapng')
    writeFileSync(file, Buffer.concat(parts))
    const run = spawnSync('tshark', ['-r', file, '-o', 'tcp.check_checksum:TRUE',
      '-o', 'ip.check_checksum:TRUE', '-T', 'fields', '-e', 'ip.checksum.status',
      '-e', 'tcp.checksum.status', '-e', 'tcp.len'])
    assert.equal(run.status, 0, run.stderr.toString())
    const four = ['1\t1\t900', '1\t1\t900', '1\t1\t900', '1\t1\t301']
    assert.deepEqual(run.stdout.toString().trimEnd().split('\n').map((line) => line.trimStart()),
      [...four, ...four.map((line) => line.slice(2))])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a large frame keeps its IP identification growing', () => {
  const pieces = wireFrames({ bytes: tcp4(), checksumBlank: true, segmentSize: 1400 })
  assert.deepEqual(pieces.map(({ bytes }) => u16At(bytes, 18)), [0, 1, 2])
})
