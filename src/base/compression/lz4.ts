/**
 * LZ4 in its legacy frame, as `lz4 -l` writes it and Linux kernels carry it.
 *
 * Obeys the LZ4 block format description and the legacy section of the LZ4 frame format: the magic
 * number, then blocks of a 32-bit packed size and data, each unpacking to 8 MiB (the last to less).
 * The newer frame (magic 0x184d2204) is left out: kernels do not use it.
 */
import { CompressionError, Output, tooLarge, type OutputBounds } from './output.ts'

export const LZ4_LEGACY_MAGIC = 0x184c2102

const BLOCK_LIMIT = 8 * 1024 * 1024
const SHORTEST_MATCH = 4
/** From that length on, a call is faster than a loop. */
const LONG = 128

/** Unpacks a legacy frame that fills `input`. */
export function decompressLz4Legacy(input: Uint8Array, bounds: OutputBounds): Uint8Array {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  if (input.length < 4 || view.getUint32(0, true) !== LZ4_LEGACY_MAGIC) {
    throw corrupt('the magic number is missing')
  }
  const output = new Output(bounds)
  let at = 4
  while (at < input.length) {
    if (at + 4 > input.length) throw corrupt('it ends inside the size of a block')
    const size = view.getUint32(at, true)
    at += 4
    // Frames may follow one another, each with its own magic number.
    if (size === LZ4_LEGACY_MAGIC) continue
    if (size > input.length - at) {
      throw corrupt(`a block of ${size} bytes is cut off after ${input.length - at}`)
    }
    output.reserveUpTo(BLOCK_LIMIT)
    const room = Math.min(output.bytes.length, output.length + BLOCK_LIMIT)
    output.length = unpackBlock(input, at, at + size, output.bytes, output.length, room)
    at += size
  }
  return output.result()
}

function corrupt(what: string): CompressionError {
  return new CompressionError(`corrupt LZ4 data: ${what}`)
}

/** Why there was no more room: a block has its own limit, and the caller has one for the whole. */
function overflow(blockRoom: number, room: number): CompressionError {
  if (blockRoom < BLOCK_LIMIT) return tooLarge(room)
  return corrupt(`a block unpacks to more than ${BLOCK_LIMIT} bytes`)
}

/**
 * Unpacks the block input[at, end) to output[to, room) and gives the end of what it wrote. A block
 * refers to nothing before its own start.
 */
function unpackBlock(
  input: Uint8Array, at: number, end: number, output: Uint8Array, to: number, room: number,
): number {
  const start = to
  while (at < end) {
    const token = input[at++]!
    let literals = token >> 4
    if (literals === 15) {
      let more = 255
      while (more === 255 && at < end) literals += more = input[at++]!
    }
    if (literals > end - at) throw corrupt('literals run past the end of a block')
    if (literals > room - to) throw overflow(room - start, room)
    if (literals < LONG) {
      for (const stop = at + literals; at < stop;) output[to++] = input[at++]!
    } else {
      output.set(input.subarray(at, at += literals), to)
      to += literals
    }
    if (at === end) return to

    if (end - at < 2) throw corrupt('a block ends inside a match')
    const distance = input[at]! | input[at + 1]! << 8
    at += 2
    let length = token & 15
    if (length === 15) {
      let more = 255
      while (more === 255 && at < end) length += more = input[at++]!
    }
    length += SHORTEST_MATCH
    if (distance === 0 || distance > to - start) throw corrupt('a match refers to before its block')
    if (length > room - to) throw overflow(room - start, room)
    repeat(output, to - distance, to, length)
    to += length
  }
  throw corrupt('a block does not end with literals')
}

/** Writes `length` bytes at `to` that are those at `from`, which may run into what is written. */
function repeat(output: Uint8Array, from: number, to: number, length: number): void {
  if (length < LONG || to - from > 1 && to - from < length) {
    for (const stop = to + length; to < stop;) output[to++] = output[from++]!
  } else if (to - from === 1) {
    output.fill(output[from]!, to, to + length)
  } else {
    output.copyWithin(to, from, from + length)
  }
}
