/**
 * Packed data told apart by its first bytes, and unpacked by the right decoder.
 *
 * The formats are those that Linux kernels and initramfs images come in. Gzip and zstd are the
 * host's business (Node has both built in) and come in as a `HostDecompressor`. LZO is left out.
 */
import { BZIP2_MAGIC, decompressBzip2 } from './bzip2.ts'
import { decompressLz4Legacy, LZ4_LEGACY_MAGIC } from './lz4.ts'
import { decompressLzmaAlone, looksLikeLzmaAlone } from './lzma-alone.ts'
import { CompressionError, type OutputBounds } from './output.ts'
import { decompressXz, XZ_MAGIC } from './xz.ts'

/** The host's own decoders. Both throw on corrupt input and on more than `limit` bytes. */
export interface HostDecompressor {
  gunzip(input: Uint8Array, limit: number): Uint8Array
  unzstd(input: Uint8Array, limit: number): Uint8Array
}

/** The decoders that disk images need. */
export interface ImageDecompressor extends Pick<HostDecompressor, 'unzstd'> {
  /** A bare deflate stream; what follows its end is ignored. */
  inflateRaw(input: Uint8Array, limit: number): Uint8Array
}

export type PackedFormat = 'gzip' | 'bzip2' | 'lzma' | 'xz' | 'lzo' | 'lz4' | 'zstd'

const magics: ReadonlyArray<readonly [PackedFormat, readonly number[]]> = [
  ['gzip', [0x1f, 0x8b]],
  ['bzip2', BZIP2_MAGIC],
  ['xz', XZ_MAGIC],
  ['lzo', [0x89, 0x4c, 0x5a, 0x4f]],
  ['lz4', [0, 8, 16, 24].map((shift) => LZ4_LEGACY_MAGIC >>> shift & 0xff)],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
]

/** The format that `input` begins like, if any. */
export function packedFormatOf(input: Uint8Array): PackedFormat | undefined {
  for (const [format, magic] of magics) {
    if (magic.every((byte, at) => input[at] === byte)) return format
  }
  return looksLikeLzmaAlone(input) ? 'lzma' : undefined
}

/** Unpacks `input`, which is in `format` from its first byte to its last. */
export function unpack(
  format: PackedFormat, input: Uint8Array, bounds: OutputBounds, host: HostDecompressor,
): Uint8Array {
  switch (format) {
    case 'gzip': return host.gunzip(input, bounds.limit)
    case 'zstd': return host.unzstd(input, bounds.limit)
    case 'bzip2': return decompressBzip2(input, bounds)
    case 'xz': return decompressXz(input, bounds)
    case 'lzma': return decompressLzmaAlone(input, bounds)
    case 'lz4': return decompressLz4Legacy(input, bounds)
    case 'lzo': throw new CompressionError('LZO compression is not supported')
  }
}
