/**
 * Compressed clusters: bare deflate streams or zstd frames, which may end anywhere in the sectors
 * that their entry names.
 */
import { CompressionError } from '../../base/compression/output.ts'
import type { ImageDecompressor } from '../../base/compression/formats.ts'
import { corrupt } from './format.ts'

/** The cluster that `input` begins with. */
export function decompressCluster(
  input: Uint8Array, clusterBytes: number, kind: 'zlib' | 'zstd', host: ImageDecompressor,
): Uint8Array {
  let output: Uint8Array
  try {
    output = kind === 'zlib' ? host.inflateRaw(input, clusterBytes)
      : host.unzstd(input.subarray(0, zstdFrameBytes(input)), clusterBytes)
  } catch (cause) {
    if (!(cause instanceof CompressionError)) throw cause
    throw corrupt(`a compressed cluster: ${cause.message}`)
  }
  if (output.length !== clusterBytes) throw corrupt('a compressed cluster is too short')
  return output
}

const BLOCK_RLE = 1

/** Where the first zstd frame ends (RFC 8878, 3.1.1): decoders may refuse what follows it. */
function zstdFrameBytes(input: Uint8Array): number {
  const descriptor = input[4] ?? 0
  const isSingleSegment = descriptor >>> 5 & 1
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!
  const sizeBytes = [isSingleSegment, 2, 4, 8][descriptor >>> 6]!
  let at = 5 + (1 - isSingleSegment) + dictionaryBytes + sizeBytes
  for (let last = false; !last;) {
    if (at + 3 > input.length) throw corrupt('a zstd frame without end')
    const header = input[at]! | input[at + 1]! << 8 | input[at + 2]! << 16
    last = (header & 1) === 1
    at += 3 + ((header >>> 1 & 3) === BLOCK_RLE ? 1 : header >>> 3)
  }
  return at + (descriptor >>> 2 & 1) * 4
}
