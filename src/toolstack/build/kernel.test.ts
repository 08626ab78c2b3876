/**
 * Kernels in every wrapping, and files that only pretend.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import type { HostDecompressor } from '../../base/compression/formats.ts'
import { ImageError, type ImageProblem } from './image-error.ts'
import { loadKernel } from './kernel.ts'
import {
  SAMPLE_ENTRY, SAMPLE_LOAD_ADDRESS, SAMPLE_MEMORY_SIZE, sampleBzImage, sampleElf, withSize,
} from './sample-kernel.ts'

const host: HostDecompressor = {
  gunzip: (input, limit) => gunzipSync(input, { maxOutputLength: limit }),
  unzstd: (input, limit) => zstdDecompressSync(input, {
    maxOutputLength: limit, params: { [constants.ZSTD_d_windowLogMax]: 31 },
  }),
}

function load(bytes: Uint8Array) {
  return loadKernel(bytes, host, 'vmlinuz')
}

function expectProblem(bytes: Uint8Array, problem: ImageProblem, message: RegExp): void {
  assert.throws(() => load(bytes), (error: unknown) => {
    assert(error instanceof ImageError, String(error))
    assert.equal(error.problem, problem)
    assert.match(error.message, message)
    assert.match(error.message, /^vmlinuz: /)
    return true
  })
}

/** LZ4 without any matches: one block of literals. */
function lz4Stored(bytes: Uint8Array): Uint8Array {
  const lengths: number[] = []
  for (let left = bytes.length - 15; ; left -= 255) {
    lengths.push(Math.min(left, 255))
    if (left < 255) break
  }
  const block = [0xf0, ...lengths, ...bytes]
  const size = block.length
  return Uint8Array.from([2, 0x21, 0x4c, 0x18, size, size >> 8, size >> 16, 0, ...block])
}

const elf = sampleElf()
const wrappings: ReadonlyArray<readonly [string, Uint8Array]> = [
  ['an ELF file', elf],
  ['a gzipped ELF file', gzipSync(elf)],
  ['a bzImage with an unpacked payload', sampleBzImage(elf)],
  ['a bzImage with a gzip payload', sampleBzImage(gzipSync(elf))],
  ['a bzImage with a zstd payload', sampleBzImage(withSize(zstdCompressSync(elf), elf.length))],
  ['a bzImage with an LZ4 payload', sampleBzImage(withSize(lz4Stored(elf), elf.length))],
]

for (const [what, bytes] of wrappings) {
  test(`loads ${what}`, () => {
    const kernel = load(bytes)
    assert.equal(kernel.pvhEntry, SAMPLE_ENTRY)
    assert.equal(kernel.start, SAMPLE_LOAD_ADDRESS)
    assert.equal(kernel.end, SAMPLE_LOAD_ADDRESS + SAMPLE_MEMORY_SIZE)
    assert.equal(kernel.segments.length, 1)
    assert.equal(kernel.segments[0]!.bytes.length, 0x1000)
  })
}

test('loads a 32-bit ELF file (such as the Xen shim)', () => {
  const kernel = load(sampleElf({ bits: 32 }))
  assert.equal(kernel.bits, 32)
  assert.equal(kernel.pvhEntry, SAMPLE_ENTRY)
})

test('a kernel without a PVH note loads, and has no PVH entry', () => {
  assert.equal(load(sampleElf({ pvh: false })).pvhEntry, undefined)
})

test('an empty file is not a kernel', () => {
  expectProblem(new Uint8Array(0), 'not a kernel', /the file is empty/)
})

test('a text file is not a kernel', () => {
  const text = new TextEncoder().encode('#!/bin/sh\necho hello\n')
  expectProblem(text, 'not a kernel', /neither a bzImage nor an ELF file/)
})

test('a packed text file is not a kernel', () => {
  expectProblem(gzipSync('hello'), 'not a kernel', /gzip data without an ELF file/)
})

test('an ELF file for another machine is refused', () => {
  const other = sampleElf()
  other[18] = 183
  expectProblem(other, 'not a kernel', /not for x86/)
})

test('a bzImage cut off in its payload is truncated', () => {
  const image = sampleBzImage(gzipSync(elf))
  expectProblem(image.slice(0, image.length - 20), 'truncated', /ends at byte \d+, the file at \d+/)
})

test('an ELF file cut off in a segment is truncated', () => {
  expectProblem(elf.slice(0, 0x1800), 'truncated', /before a segment that ends at byte 8192/)
})

test('an ELF file cut off in its headers is truncated', () => {
  expectProblem(elf.slice(0, 40), 'truncated', /before its ELF header/)
  expectProblem(elf.slice(0, 100), 'truncated', /before the end of its program headers/)
})

test('a damaged payload is corrupt', () => {
  const payload = gzipSync(elf)
  payload[30]! ^= 0xff
  expectProblem(sampleBzImage(payload), 'corrupt', /cannot be unpacked: /)
})

test('a payload in no known format is corrupt', () => {
  expectProblem(sampleBzImage(new Uint8Array(100).fill(7)), 'corrupt', /no known format/)
})

test('a payload that unpacks to less than it says is corrupt', () => {
  const payload = withSize(zstdCompressSync(elf), elf.length + 1)
  const message = new RegExp(`and not to the ${elf.length + 1} it says`)
  expectProblem(sampleBzImage(payload), 'corrupt', message)
})

test('an old boot protocol is refused by its number', () => {
  expectProblem(sampleBzImage(elf, 0x205), 'unsupported', /boot protocol 2.05/)
})

test('a PVH entry outside the kernel is refused', () => {
  expectProblem(sampleElf({ entry: 0x500000 }), 'corrupt', /0x500000 is outside the kernel/)
})

test('no damage to a kernel makes the loader throw anything but ImageError', () => {
  const damage = fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 6 })
  fc.assert(fc.property(damage, fc.constantFrom(elf, sampleElf({ bits: 32 })), (changes, file) => {
    const damaged = file.slice()
    for (const [at, value] of changes) damaged[at === 200 ? 0x2001 : at] = value
    try {
      load(damaged)
    } catch (error) {
      assert(error instanceof ImageError, String(error))
    }
  }), { numRuns: 500 })
})

const debianKernels = process.env['XENOLITH_TEST_KERNELS']
test('loads Debian kernels', { skip: !debianKernels && 'XENOLITH_TEST_KERNELS not set' }, () => {
  for (const path of debianKernels!.split(':').filter((name) => existsSync(name))) {
    const kernel = loadKernel(readFileSync(path), host, path)
    assert.equal(kernel.start, 0x1000000)
    assert(kernel.pvhEntry)
  }
})
