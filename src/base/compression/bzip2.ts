/**
 * bzip2: Huffman-coded, move-to-front, Burrows-Wheeler blocks.
 *
 * The format has no standard text; this obeys what bzip2 1.0 writes and its documentation says.
 * Randomised blocks, which nothing has written since 0.9.5, are refused. The whole-stream check is
 * that of its blocks, so it is not computed again.
 */
import { CompressionError, Output, type OutputBounds } from './output.ts'

export const BZIP2_MAGIC = [0x42, 0x5a, 0x68] as const

const BLOCK_MAGIC_HIGH = 0x314159
const BLOCK_MAGIC_LOW = 0x265359
const END_MAGIC_HIGH = 0x177245
const END_MAGIC_LOW = 0x385090
const BLOCK_UNIT = 100_000
const GROUP_SYMBOLS = 50
const LONGEST_CODE = 20
const MOST_SYMBOLS = 258
const RUN_A = 0
const RUN_B = 1

const crcTable = new Int32Array(256)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte << 24
  for (let bit = 0; bit < 8; bit++) crc = crc < 0 ? crc << 1 ^ 0x04c11db7 : crc << 1
  crcTable[byte] = crc
}

function corrupt(what: string): CompressionError {
  return new CompressionError(`corrupt bzip2 data: ${what}`)
}

/** Unpacks the bzip2 streams that fill `input`. */
export function decompressBzip2(input: Uint8Array, bounds: OutputBounds): Uint8Array {
  const output = new Output(bounds)
  const bits = new BitReader(input)
  do unpackStream(bits, output)
  while (bits.moreBytes())
  return output.result()
}

/** Bits from the most significant down. */
class BitReader {
  #at = 0
  #held = 0
  #count = 0
  readonly #input: Uint8Array

  constructor(input: Uint8Array) {
    this.#input = input
  }

  /** Up to 24 bits as a number. */
  read(count: number): number {
    while (this.#count < count) {
      if (this.#at >= this.#input.length) throw corrupt('it is cut off')
      this.#held = this.#held << 8 | this.#input[this.#at++]!
      this.#count += 8
    }
    this.#count -= count
    return this.#held >>> this.#count & (1 << count) - 1
  }

  /** Goes to the next whole byte, and says whether there is one. */
  moreBytes(): boolean {
    this.#count = 0
    return this.#at < this.#input.length
  }
}

function unpackStream(bits: BitReader, output: Output): void {
  if (BZIP2_MAGIC.some((byte) => bits.read(8) !== byte)) {
    throw corrupt('the magic number is missing')
  }
  const level = bits.read(8) - 0x30
  if (level < 1 || level > 9) throw corrupt('bad block size')
  const block = new Uint32Array(level * BLOCK_UNIT)
  for (;;) {
    const high = bits.read(24)
    const low = bits.read(24)
    if (high === END_MAGIC_HIGH && low === END_MAGIC_LOW) {
      bits.read(16)
      bits.read(16)
      return
    }
    if (high !== BLOCK_MAGIC_HIGH || low !== BLOCK_MAGIC_LOW) {
      throw corrupt('a block lacks its mark')
    }
    const check = bits.read(16) << 16 | bits.read(16)
    if (bits.read(1)) throw corrupt('randomised blocks are not supported')
    const first = bits.read(24)
    const length = readSymbols(bits, block)
    if (first >= length) throw corrupt('a block begins outside itself')
    if (writeBlock(block, length, first, output) !== check) {
      throw corrupt('the check of a block does not match')
    }
  }
}

/** One Huffman code: symbols by length, and for each length where its codes end and begin. */
interface Code {
  readonly symbols: Uint16Array
  readonly limits: Int32Array
  readonly offsets: Int32Array
}

function codeOf(lengths: Uint8Array): Code {
  const symbols = new Uint16Array(lengths.length)
  const limits = new Int32Array(LONGEST_CODE + 2)
  const offsets = new Int32Array(LONGEST_CODE + 2)
  let count = 0
  let code = 0
  for (let length = 1; length <= LONGEST_CODE; length++) {
    const before = count
    offsets[length] = count - code
    lengths.forEach((own, symbol) => {
      if (own === length) symbols[count++] = symbol
    })
    code += count - before
    limits[length] = code
    code <<= 1
  }
  return { symbols, limits, offsets }
}

function readSymbol(bits: BitReader, code: Code): number {
  let value = 0
  for (let length = 1; length <= LONGEST_CODE; length++) {
    value = value << 1 | bits.read(1)
    if (value < code.limits[length]!) {
      const symbol = code.symbols[value + code.offsets[length]!]
      if (symbol !== undefined) return symbol
      break
    }
  }
  throw corrupt('a code means nothing')
}

/** The bytes that occur, in order: the alphabet that move-to-front begins with. */
function readAlphabet(bits: BitReader): Uint8Array {
  const bytes: number[] = []
  const groups = bits.read(16)
  for (let group = 0; group < 16; group++) {
    if (!(groups & 0x8000 >> group)) continue
    const used = bits.read(16)
    for (let i = 0; i < 16; i++) if (used & 0x8000 >> i) bytes.push(group * 16 + i)
  }
  if (bytes.length === 0) throw corrupt('a block uses no bytes')
  return Uint8Array.from(bytes)
}

/** Which code each group of fifty symbols uses. */
function readSelectors(bits: BitReader, codes: number): Uint8Array {
  const selectors = new Uint8Array(bits.read(15))
  if (selectors.length === 0) throw corrupt('a block has no selectors')
  const order = [0, 1, 2, 3, 4, 5]
  for (let i = 0; i < selectors.length; i++) {
    let place = 0
    while (bits.read(1)) if (++place >= codes) throw corrupt('a selector is out of range')
    const [code] = order.splice(place, 1)
    order.unshift(code!)
    selectors[i] = code!
  }
  return selectors
}

function readCode(bits: BitReader, symbols: number): Code {
  const lengths = new Uint8Array(symbols)
  let length = bits.read(5)
  for (let symbol = 0; symbol < symbols; symbol++) {
    for (;;) {
      if (length < 1 || length > LONGEST_CODE) throw corrupt('a code is too long')
      if (!bits.read(1)) break
      length += bits.read(1) ? -1 : 1
    }
    lengths[symbol] = length
  }
  return codeOf(lengths)
}

/** Reads a block's symbols, undoing runs and move-to-front, into the low bytes of `block`. */
function readSymbols(bits: BitReader, block: Uint32Array): number {
  const front = readAlphabet(bits)
  const symbols = Math.min(front.length + 2, MOST_SYMBOLS)
  const codeCount = bits.read(3)
  if (codeCount < 2 || codeCount > 6) throw corrupt('bad number of codes')
  const selectors = readSelectors(bits, codeCount)
  const codes = Array.from({ length: codeCount }, () => readCode(bits, symbols))
  const end = symbols - 1
  let length = 0
  let run = 0
  let weight = 1
  for (let count = 0; ; count++) {
    const selector = selectors[Math.floor(count / GROUP_SYMBOLS)]
    if (selector === undefined) throw corrupt('a block has too few selectors')
    const symbol = readSymbol(bits, codes[selector]!)
    if (symbol === RUN_A || symbol === RUN_B) {
      run += weight << symbol
      weight <<= 1
      if (run > block.length - length) throw corrupt('a block is larger than it may be')
      continue
    }
    block.fill(front[0]!, length, length + run)
    length += run
    run = 0
    weight = 1
    if (symbol === end) return length
    if (length >= block.length) throw corrupt('a block is larger than it may be')
    const byte = front[symbol - 1]!
    front.copyWithin(1, 0, symbol - 1)
    front[0] = byte
    block[length++] = byte
  }
}

/** Undoes the Burrows-Wheeler transform and the run-length coding; gives the block's check. */
function writeBlock(block: Uint32Array, length: number, first: number, output: Output): number {
  const starts = new Uint32Array(257)
  for (let i = 0; i < length; i++) starts[(block[i]! & 0xff) + 1]! += 1
  for (let byte = 0; byte < 256; byte++) starts[byte + 1]! += starts[byte]!
  for (let i = 0; i < length; i++) {
    const place = starts[block[i]! & 0xff]!++
    block[place]! |= i << 8
  }
  let crc = -1
  let next = block[first]! >>> 8
  let previous = -1
  let same = 0
  for (let i = 0; i < length; i++) {
    const entry = block[next]!
    const byte = entry & 0xff
    next = entry >>> 8
    // Four equal bytes are followed by how many more there are.
    const copies = same === 4 ? byte : 1
    const value = same === 4 ? previous : byte
    same = same === 4 ? 0 : byte === previous ? same + 1 : 1
    previous = same === 0 ? -1 : byte
    output.reserve(copies)
    output.bytes.fill(value, output.length, output.length + copies)
    output.length += copies
    for (let n = 0; n < copies; n++) crc = crc << 8 ^ crcTable[(crc >>> 24 ^ value) & 0xff]!
  }
  return ~crc
}
