/**
 * The decoders against what other people's packers wrote, and against damage.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { crc32, crc64 } from './crc.ts'
import { packedFormatOf, unpack } from './formats.ts'
import { CompressionError } from './output.ts'
import { packedSample, packers, sample } from './samples.ts'

const host = {
  gunzip: () => assert.fail('the host is not asked'),
  unzstd: () => assert.fail('the host is not asked'),
}
const expected = sample()

function unpacked(bytes: Uint8Array, limit: number): Uint8Array {
  const format = packedFormatOf(bytes)
  assert(format, 'the format is recognised')
  return unpack(format, bytes, { limit }, host)
}

test('CRC-32 and CRC-64 of the digits 1 to 9 are the published check values', () => {
  const digits = new TextEncoder().encode('123456789')
  assert.equal(crc32(digits), 0xcbf43926)
  assert.deepEqual(crc64(digits), { low: 0xdf1939fa, high: 0x995dc9bb })
})

test('CRC-32 continues from a seed', () => {
  assert.equal(crc32(expected.subarray(100), crc32(expected.subarray(0, 100))), crc32(expected))
})

test('lz4Legacy: literals and matches may be long, and overlap what they write', () => {
  const literals = Uint8Array.from({ length: 300 }, (_, i) => i * 7)
  const matches = [[1, 400], [300, 200], [3, 150], [700, 700], [128, 128]] as const
  const blocks: number[] = [0xff, 255, 300 - 15 - 255, ...literals]
  const whole = [...literals]
  matches.forEach(([distance, length], i) => {
    if (i > 0) blocks.push(0x0f)
    blocks.push(distance & 0xff, distance >> 8)
    let more = length - 4 - 15
    for (; more >= 255; more -= 255) blocks.push(255)
    blocks.push(more)
    for (let at = 0; at < length; at++) whole.push(whole[whole.length - distance]!)
  })
  blocks.push(0)
  const [low, high] = [blocks.length & 0xff, blocks.length >> 8]
  const frame = Uint8Array.from([0x02, 0x21, 0x4c, 0x18, low, high, 0, 0, ...blocks])
  assert.deepEqual(unpacked(frame, whole.length), Uint8Array.from(whole))
})

for (const packer of packers) {
  test(`${packer}: unpacks what another program packed`, () => {
    assert.deepEqual(unpacked(packedSample(packer), 1 << 20), expected)
  })

  test(`${packer}: unpacks within a limit of exactly the size`, () => {
    assert.deepEqual(unpacked(packedSample(packer), expected.length), expected)
  })

  test(`${packer}: refuses to unpack to more than the limit`, () => {
    const limit = expected.length - 1
    assert.throws(() => unpacked(packedSample(packer), limit), {
      name: 'CompressionError', message: `the data unpacks to more than the ${limit} bytes allowed`,
    })
  })

  test(`${packer}: says that the data is corrupt when it is cut off anywhere`, () => {
    const bytes = packedSample(packer)
    for (let length = 20; length < bytes.length; length += 7) {
      assert.throws(() => {
        const result = unpacked(bytes.slice(0, length), 1 << 20)
        // LZ4's legacy frame has no end mark: cut between blocks it is merely shorter.
        if (packer === 'lz4Legacy' && result.length < expected.length) throw new CompressionError()
      }, CompressionError, `cut to ${length}`)
    }
  })

  test(`${packer}: no damage makes it throw anything but CompressionError`, () => {
    const bytes = packedSample(packer)
    const damage = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 8 })
    fc.assert(fc.property(damage, (changes) => {
      const damaged = bytes.slice()
      for (const [at, value] of changes) damaged[at] = value
      const format = packedFormatOf(damaged)
      if (!format || format === 'gzip' || format === 'zstd') return
      try {
        unpack(format, damaged, { limit: 1 << 18 }, host)
      } catch (error) {
        assert(error instanceof CompressionError, String(error))
      }
    }), { numRuns: 300 })
  })
}

test('XZ: a changed byte inside a block is found by the check', () => {
  const bytes = packedSample('xzX86')
  bytes[bytes.length - 40]! ^= 1
  assert.throws(() => unpacked(bytes, 1 << 20), /corrupt (XZ|LZMA2?) data/)
})

test('XZ: streams may follow one another, padded in fours', () => {
  const one = packedSample('xzX86')
  const two = new Uint8Array(one.length * 2 + 8)
  two.set(one)
  two.set(one, one.length + 8)
  assert.equal(unpacked(two, 1 << 20).length, expected.length * 2)
})

test('LZO is refused by name', () => {
  const bytes = Uint8Array.of(0x89, 0x4c, 0x5a, 0x4f, 0)
  assert.throws(() => unpacked(bytes, 100), /LZO compression is not supported/)
})
