/**
 * The XZ container: streams of blocks, an index, and checks.
 *
 * Obeys "The .xz File Format" 1.1.0. Filters: LZMA2, alone or after the x86 branch filter (which
 * Linux kernels for x86 use). Checks: none, CRC-32, CRC-64. Left out: the other branch filters, the
 * delta filter and SHA-256, each refused by name.
 */
import { undoX86Filter } from './bcj.ts'
import { crc32, crc64 } from './crc.ts'
import { unpackLzma2 } from './lzma2.ts'
import { CompressionError, Output, type OutputBounds } from './output.ts'

export const XZ_MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] as const

const STREAM_HEADER = 12
const STREAM_FOOTER = 12
const CHECK_NONE = 0
const CHECK_CRC32 = 1
const CHECK_CRC64 = 4
const CHECK_SHA256 = 10
const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64]
const FILTER_X86 = 0x04
const FILTER_LZMA2 = 0x21

interface BlockHeader {
  readonly unpackedSize: number | undefined
  readonly packedSize: number | undefined
  readonly x86: boolean
}

interface BlockSizes {
  readonly unpadded: number
  readonly unpacked: number
}

/** Unpacks the XZ streams that fill `input`. */
export function decompressXz(input: Uint8Array, bounds: OutputBounds): Uint8Array {
  const output = new Output(bounds)
  const reader = new StreamReader(input, output)
  do reader.stream()
  while (reader.skipPadding())
  return output.result()
}

function corrupt(what: string): CompressionError {
  return new CompressionError(`corrupt XZ data: ${what}`)
}

class StreamReader {
  #at = 0
  readonly #input: Uint8Array
  readonly #view: DataView
  readonly #output: Output

  constructor(input: Uint8Array, output: Output) {
    this.#input = input
    this.#view = new DataView(input.buffer, input.byteOffset, input.byteLength)
    this.#output = output
  }

  stream(): void {
    this.#need(STREAM_HEADER)
    const start = this.#at
    if (XZ_MAGIC.some((byte, i) => this.#input[start + i] !== byte)) {
      throw corrupt('the magic number is missing')
    }
    const flags = this.#input[start + 7]!
    this.#verify(start + 6, start + 8, 'stream header')
    if (this.#input[start + 6] !== 0 || flags > 15) throw corrupt('unknown stream flags')
    if (flags !== CHECK_NONE && flags !== CHECK_CRC32 && flags !== CHECK_CRC64) {
      const name = flags === CHECK_SHA256 ? 'SHA-256' : `number ${flags}`
      throw new CompressionError(`XZ data with integrity check ${name} is not supported`)
    }
    this.#at += STREAM_HEADER
    const blocks: BlockSizes[] = []
    for (this.#need(1); this.#input[this.#at] !== 0; this.#need(1)) {
      blocks.push(this.#block(flags))
    }
    const indexSize = this.#index(blocks)
    this.#footer(flags, indexSize)
  }

  /** Skips the zero padding after a stream; false at the end of the input. */
  skipPadding(): boolean {
    const start = this.#at
    while (this.#at < this.#input.length && this.#input[this.#at] === 0) this.#at++
    if ((this.#at - start) % 4 !== 0) throw corrupt('the padding after a stream is not in fours')
    return this.#at < this.#input.length
  }

  #block(check: number): BlockSizes {
    const start = this.#at
    const header = this.#blockHeader()
    const dataStart = this.#at
    const outputStart = this.#output.length
    this.#at = unpackLzma2(this.#input, dataStart, this.#output)
    const packed = this.#at - dataStart
    const unpacked = this.#output.length - outputStart
    const { packedSize = packed, unpackedSize = unpacked } = header
    if (packedSize !== packed || unpackedSize !== unpacked) {
      throw corrupt('a block has not the size its header says')
    }
    const unpadded = this.#at - start + CHECK_SIZES[check]!
    for (; (this.#at - start) % 4 !== 0; this.#at++) {
      if (this.#input[this.#at] !== 0) throw corrupt('a block is not padded with zeros')
    }
    const bytes = this.#output.bytes.subarray(outputStart, this.#output.length)
    if (header.x86) undoX86Filter(bytes)
    this.#check(check, bytes)
    return { unpadded, unpacked }
  }

  #blockHeader(): BlockHeader {
    const start = this.#at
    const size = (this.#input[start]! + 1) * 4
    this.#need(size)
    const end = start + size - 4
    this.#verify(start, end, 'block header')
    const flags = this.#input[start + 1]!
    if (flags & 0x3c) throw corrupt('unknown block flags')
    this.#at = start + 2
    const packedSize = flags & 0x40 ? this.#number(end) : undefined
    const unpackedSize = flags & 0x80 ? this.#number(end) : undefined
    const count = (flags & 3) + 1
    let x86 = false
    for (let i = 0; i < count; i++) {
      const filter = this.#number(end)
      const propertiesSize = this.#number(end)
      if (propertiesSize > end - this.#at) throw corrupt('a filter does not fit its header')
      const known = i === count - 1
        ? filter === FILTER_LZMA2 && propertiesSize === 1
        : filter === FILTER_X86 && propertiesSize === 0 && count === 2
      if (!known) {
        throw new CompressionError(`XZ data with filter 0x${filter.toString(16)} is not supported`)
      }
      if (filter === FILTER_X86) x86 = true
      this.#at += propertiesSize
    }
    while (this.#at < end) {
      if (this.#input[this.#at++] !== 0) throw corrupt('a block header is not padded with zeros')
    }
    this.#at = end + 4
    return { packedSize, unpackedSize, x86 }
  }

  #check(check: number, bytes: Uint8Array): void {
    this.#need(CHECK_SIZES[check]!)
    const at = this.#at
    this.#at += CHECK_SIZES[check]!
    let good = true
    if (check === CHECK_CRC32) good = crc32(bytes) === this.#view.getUint32(at, true)
    if (check === CHECK_CRC64) {
      const { low, high } = crc64(bytes)
      good = low === this.#view.getUint32(at, true) && high === this.#view.getUint32(at + 4, true)
    }
    if (!good) throw corrupt('the check of a block does not match')
  }

  /** Compares the index with the blocks that were read; gives its size. */
  #index(blocks: readonly BlockSizes[]): number {
    const start = this.#at
    const end = this.#input.length
    this.#at++
    if (this.#number(end) !== blocks.length) throw corrupt('the index does not match the blocks')
    for (const block of blocks) {
      if (this.#number(end) !== block.unpadded || this.#number(end) !== block.unpacked) {
        throw corrupt('the index does not match the blocks')
      }
    }
    for (; (this.#at - start) % 4 !== 0; this.#at++) {
      if (this.#input[this.#at] !== 0) throw corrupt('the index is not padded with zeros')
    }
    this.#need(4)
    this.#verify(start, this.#at, 'index')
    this.#at += 4
    return this.#at - start
  }

  #footer(flags: number, indexSize: number): void {
    this.#need(STREAM_FOOTER)
    const at = this.#at
    const view = this.#view
    const good = view.getUint32(at, true) === crc32(this.#input.subarray(at + 4, at + 10)) &&
      (view.getUint32(at + 4, true) + 1) * 4 === indexSize &&
      this.#input[at + 8] === 0 && this.#input[at + 9] === flags &&
      this.#input[at + 10] === 0x59 && this.#input[at + 11] === 0x5a
    if (!good) throw corrupt('the stream footer is wrong')
    this.#at += STREAM_FOOTER
  }

  /** Compares the CRC-32 that stands at `end` with that of input[start, end). */
  #verify(start: number, end: number, what: string): void {
    if (crc32(this.#input.subarray(start, end)) !== this.#view.getUint32(end, true)) {
      throw corrupt(`the ${what} is damaged`)
    }
  }

  /** Reads a number of seven bits a byte; 2^49 is more than any size that can occur here. */
  #number(end: number): number {
    let value = 0
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      if (this.#at >= end) throw corrupt('it is cut off')
      const byte = this.#input[this.#at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    throw corrupt('a number is too large')
  }

  #need(count: number): void {
    if (count > this.#input.length - this.#at) throw corrupt('it is cut off')
  }
}
