/**
 * LZMA2: chunks of LZMA or of plain bytes, each with its sizes, as XZ blocks hold them.
 *
 * Obeys the LZMA2 chunk format as "The .xz File Format" 5.3.1 names it.
 */
import { LzmaDecoder } from './lzma.ts'
import { CompressionError, type Output } from './output.ts'

const END = 0x00
const PLAIN_RESET = 0x01
const PLAIN = 0x02
const LZMA = 0x80
const MAX_LITERAL_BITS = 4

function corrupt(what: string): CompressionError {
  return new CompressionError(`corrupt LZMA2 data: ${what}`)
}

/** Unpacks the chunks at input[at...] to `output` and gives where they end. */
export function unpackLzma2(input: Uint8Array, at: number, output: Output): number {
  const decoder = new LzmaDecoder(input, output.bytes)
  let needDictionary = true
  let needProperties = true
  let needState = true
  for (;;) {
    if (at >= input.length) throw corrupt('it is cut off')
    const control = input[at]!
    if (control === END) return at + 1
    if (control > PLAIN && control < LZMA) throw corrupt('unknown kind of chunk')

    if (control === PLAIN_RESET || control >= 0xe0) {
      needDictionary = false
      needProperties = true
      decoder.dictionaryStart = output.length
    } else if (needDictionary) {
      throw corrupt('the first chunk does not reset the dictionary')
    }
    if (control < LZMA) {
      at = plainChunk(input, at, output)
      // The next LZMA chunk may not rely on the state before this one.
      if (control === PLAIN_RESET) needState = true
      continue
    }
    const headerSize = control >= 0xc0 ? 6 : 5
    if (input.length - at < headerSize) throw corrupt('it is cut off')
    const unpacked = ((control & 0x1f) << 16 | input[at + 1]! << 8 | input[at + 2]!) + 1
    const packed = (input[at + 3]! << 8 | input[at + 4]!) + 1
    if (packed > input.length - at - headerSize) throw corrupt('it is cut off')
    if (control >= 0xc0) {
      setProperties(decoder, input[at + 5]!)
      needProperties = needState = false
    } else if (needProperties) {
      throw corrupt('a chunk lacks properties')
    } else if (control >= 0xa0) {
      decoder.resetState()
      needState = false
    } else if (needState) {
      throw corrupt('a chunk lacks a state reset')
    }
    at += headerSize
    lzmaChunk(decoder, at, packed, unpacked, output)
    at += packed
  }
}

function setProperties(decoder: LzmaDecoder, byte: number): void {
  if (byte % 9 + Math.floor(byte / 9) % 5 > MAX_LITERAL_BITS) throw corrupt('bad properties')
  decoder.setProperties(byte)
}

function plainChunk(input: Uint8Array, at: number, output: Output): number {
  if (input.length - at < 3) throw corrupt('it is cut off')
  const size = (input[at + 1]! << 8 | input[at + 2]!) + 1
  if (size > input.length - at - 3) throw corrupt('it is cut off')
  output.append(input.subarray(at + 3, at + 3 + size))
  return at + 3 + size
}

function lzmaChunk(
  decoder: LzmaDecoder, at: number, packed: number, unpacked: number, output: Output,
): void {
  output.reserve(unpacked)
  decoder.output = output.bytes
  decoder.outputAt = output.length
  decoder.inputAt = at
  decoder.startRange()
  decoder.run(output.length + unpacked)
  const whole = !decoder.ended && !decoder.matchPending && decoder.finishRange()
  if (!whole || decoder.inputAt !== at + packed) {
    throw corrupt('a chunk does not end where it should')
  }
  output.length += unpacked
}
