/**
 * Gzip and zstd as Node has them built in.
 */
import { constants, gunzipSync, inflateRawSync, zstdDecompressSync } from 'node:zlib'
import type { HostDecompressor, ImageDecompressor } from '../base/compression/formats.ts'
import { CompressionError, tooLarge } from '../base/compression/output.ts'

function wrapped(name: string, limit: number, run: () => Uint8Array): Uint8Array {
  try {
    return run()
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limit)
    throw new CompressionError(`corrupt ${name} data: ${(cause as Error).message}`, { cause })
  }
}

export const nodeDecompressor: HostDecompressor & ImageDecompressor = {
  gunzip: (input, limit) => {
    return wrapped('gzip', limit, () => gunzipSync(input, { maxOutputLength: limit }))
  },
  inflateRaw: (input, limit) => {
    return wrapped('deflate', limit, () => inflateRawSync(input, { maxOutputLength: limit }))
  },
  // Kernels are packed with a window that zstd's own default would refuse.
  unzstd: (input, limit) => wrapped('zstd', limit, () => zstdDecompressSync(input, {
    maxOutputLength: limit, params: { [constants.ZSTD_d_windowLogMax]: 31 },
  })),
}
