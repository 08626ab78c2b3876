/**
 * The LZMA-alone format (.lzma): a 13-byte header and one LZMA stream, ended by the size in the
 * header, by an end marker, or by both.
 *
 * Obeys the "LZMA file format" section of the LZMA specification.
 */
import { LzmaDecoder } from './lzma.ts'
import { CompressionError, Output, tooLarge, type OutputBounds } from './output.ts'

const HEADER = 13
const STEP = 1 << 20
const UNKNOWN = 0xffffffff

function corrupt(what: string): CompressionError {
  return new CompressionError(`corrupt LZMA data: ${what}`)
}

/** Whether `input` begins as .lzma files do in practice: there is no magic number. */
export function looksLikeLzmaAlone(input: Uint8Array): boolean {
  if (input.length < HEADER || input[0] !== 0x5d || input[13] !== 0) return false
  const known = input.subarray(5, HEADER)
  return known.every((byte) => byte === 0xff) || (known[6] === 0 && known[7] === 0)
}

/** Unpacks an LZMA-alone stream at the start of `input`. */
export function decompressLzmaAlone(input: Uint8Array, bounds: OutputBounds): Uint8Array {
  if (input.length < HEADER + 5) throw corrupt('it is cut off')
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  const low = view.getUint32(5, true)
  const high = view.getUint32(9, true)
  const size = low === UNKNOWN && high === UNKNOWN ? undefined : high * 2 ** 32 + low
  if (size !== undefined && size > bounds.limit) throw tooLarge(bounds.limit)
  // Of an unknown size, the end marker may stand after the last byte that is allowed: one more byte
  // of room lets the decoder look for it.
  const output = new Output({ ...bounds, limit: size ?? bounds.limit + 1 })

  const decoder = new LzmaDecoder(input, output.bytes)
  decoder.inputAt = HEADER
  decoder.setProperties(input[0]!)
  decoder.startRange()
  while (!decoder.ended && output.length < output.limit) {
    output.reserveUpTo(STEP)
    decoder.output = output.bytes
    decoder.run(Math.min(output.length + STEP, output.bytes.length))
    output.length = decoder.outputAt
    if (decoder.inputAt > input.length) throw corrupt('it is cut off')
  }
  if (output.length > bounds.limit) throw tooLarge(bounds.limit)
  if (decoder.matchPending && !decoder.ended) throw corrupt('it unpacks to more than it says')
  if (size !== undefined && output.length !== size) throw corrupt('it unpacks to less than it says')
  return output.result()
}
