/**
 * Fuzz target: damaged kernels and packed data give ImageError or CompressionError, and soon.
 *
 * `node fuzz/images.ts [runs] [seed]`; short by default.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { packedFormatOf, unpack } from '../src/base/compression/formats.ts'
import { CompressionError } from '../src/base/compression/output.ts'
import { packedSample, packers } from '../src/base/compression/samples.ts'
import { nodeDecompressor } from '../src/node/compression.ts'
import { ImageError } from '../src/toolstack/build/image-error.ts'
import { loadKernel } from '../src/toolstack/build/kernel.ts'
import { planPvhImage } from '../src/toolstack/build/pvh-image.ts'
import { sampleBzImage, sampleElf } from '../src/toolstack/build/sample-kernel.ts'

const UNPACK_LIMIT = 1 << 18
const MEMORY_BYTES = 64 * 1024 * 1024

const kernels = [
  sampleElf(), sampleElf({ bits: 32 }), sampleBzImage(sampleElf()),
  ...packers.map((packer) => sampleBzImage(packedSample(packer))),
]

/** A file with some bytes changed and the end cut off. */
function damaged(files: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 12 })
  return fc.tuple(fc.constantFrom(...files), changes, fc.option(fc.nat(), { freq: 8 }))
    .map(([file, places, cut]) => {
      const copy = file.slice(0, cut === null ? file.length : cut % file.length)
      // Headers are small and decide most, so half of the changes go there.
      places.forEach(([at, value], i) => {
        copy[at % (i % 2 ? copy.length : Math.min(copy.length, 0x260))] = value
      })
      return copy
    })
}

function tryPacked(bytes: Uint8Array): void {
  const format = packedFormatOf(bytes)
  if (!format) return
  try {
    assert(unpack(format, bytes, { limit: UNPACK_LIMIT }, nodeDecompressor).length <= UNPACK_LIMIT)
  } catch (error) {
    assert(error instanceof CompressionError, String(error))
  }
}

function tryKernel(bytes: Uint8Array): void {
  try {
    const kernel = loadKernel(bytes, nodeDecompressor, 'kernel')
    const image = planPvhImage({
      kernel, modules: [], commandLine: '', memoryBytes: MEMORY_BYTES, maxVcpus: 1,
    })
    for (const { address, bytes: content } of image.contents) {
      assert(address >= 0 && address + content.length <= 2 ** 32)
    }
  } catch (error) {
    assert(error instanceof ImageError, String(error))
  }
}

export function fuzzImages(runs: number, seed?: number): void {
  const options = { numRuns: runs, ...seed === undefined ? {} : { seed } }
  fc.assert(fc.property(damaged(packers.map(packedSample)), tryPacked), options)
  fc.assert(fc.property(damaged(kernels), tryKernel), options)
}

if (import.meta.main) {
  const [runs = '2000', seed] = process.argv.slice(2)
  fuzzImages(Number(runs), seed === undefined ? undefined : Number(seed))
  console.log(`images: ${runs} runs`)
}
