/**
 * The LZMA decoder proper: range coder, probability model, dictionary. XZ (as LZMA2) and the
 * LZMA-alone format are containers around it.
 *
 * Obeys the LZMA specification that comes with the LZMA SDK. The dictionary is the output itself,
 * which is flat, so a match is a copy inside one array. The model's probabilities are one array, in
 * groups at the offsets below.
 *
 * Reading past the input yields zero bits, no exception: the container compares `inputAt` with the
 * end of the input when a run is over. A run is bounded by the output it may write.
 */
import { CompressionError } from './output.ts'

const STATES = 12
const POSITION_STATES = 16

const IS_MATCH = 0
const IS_REP = IS_MATCH + STATES * POSITION_STATES
const IS_REP_0 = IS_REP + STATES
const IS_REP_1 = IS_REP_0 + STATES
const IS_REP_2 = IS_REP_1 + STATES
const IS_REP_0_LONG = IS_REP_2 + STATES
const SLOTS = IS_REP_0_LONG + STATES * POSITION_STATES
const SPECIAL = SLOTS + 4 * 64
const ALIGN = SPECIAL + 115
const MATCH_LENGTH = ALIGN + 16
const LENGTH_LOW = 2
const LENGTH_MIDDLE = LENGTH_LOW + POSITION_STATES * 8
const LENGTH_HIGH = LENGTH_MIDDLE + POSITION_STATES * 8
const REP_LENGTH = MATCH_LENGTH + LENGTH_HIGH + 256
const LITERAL = REP_LENGTH + LENGTH_HIGH + 256
const LITERAL_CODER = 0x300

const HALF = 1024
const TOP = 1 << 24
const SHORTEST_MATCH = 2
const END_MARKER = -1

export class LzmaDecoder {
  input: Uint8Array
  inputAt = 0
  output: Uint8Array
  outputAt = 0
  /** Where the dictionary begins in the output; matches may not reach before it. */
  dictionaryStart = 0
  /** Whether the end marker was met; only LZMA-alone uses it. */
  ended = false

  #probabilities = new Uint16Array(LITERAL)
  #literalContextBits = 0
  #literalPositionMask = 0
  #positionMask = 0
  #range = 0
  #code = 0
  #state = 0
  #rep0 = 0
  #rep1 = 0
  #rep2 = 0
  #rep3 = 0
  /** What is left of a match that the previous run had no room for. */
  #pending = 0

  constructor(input: Uint8Array, output: Uint8Array) {
    this.input = input
    this.output = output
  }

  get matchPending(): boolean {
    return this.#pending > 0
  }

  /** Sets lc, lp and pb from the properties byte and resets the state. */
  setProperties(byte: number): void {
    if (byte >= 9 * 5 * 5) throw new CompressionError('corrupt LZMA data: bad properties')
    const lc = byte % 9
    const lp = Math.floor(byte / 9) % 5
    const pb = Math.floor(byte / 45)
    this.#literalContextBits = lc
    this.#literalPositionMask = (1 << lp) - 1
    this.#positionMask = (1 << pb) - 1
    const size = LITERAL + (LITERAL_CODER << lc + lp)
    if (this.#probabilities.length !== size) this.#probabilities = new Uint16Array(size)
    this.resetState()
  }

  resetState(): void {
    this.#probabilities.fill(HALF)
    this.#state = this.#rep0 = this.#rep1 = this.#rep2 = this.#rep3 = this.#pending = 0
  }

  /** Reads the five bytes that a range-coded run begins with. */
  startRange(): void {
    const { input, inputAt } = this
    if (input[inputAt] !== 0) throw new CompressionError('corrupt LZMA data: bad start of a run')
    this.#range = -1
    this.#code = input[inputAt + 1]! << 24 | input[inputAt + 2]! << 16 |
      input[inputAt + 3]! << 8 | input[inputAt + 4]!
    this.inputAt = inputAt + 5
  }

  /** Takes in the last byte of a run; false unless the coder ends as it should. */
  finishRange(): boolean {
    if (this.#range >>> 0 < TOP) {
      this.#range <<= 8
      this.#code = this.#code << 8 | this.input[this.inputAt++]!
    }
    return this.#code === 0
  }

  /** Decodes until the output is filled to `limit` or the end marker comes. */
  run(limit: number): void {
    if (this.#pending > 0) this.#copy(limit)
    const { output } = this
    const probabilities = this.#probabilities
    const positionMask = this.#positionMask
    while (this.outputAt < limit) {
      const at = this.outputAt
      const positionState = at - this.dictionaryStart & positionMask
      if (this.#bit(IS_MATCH + (this.#state << 4) + positionState) === 0) {
        const position = at - this.dictionaryStart & this.#literalPositionMask
        const previous = at > this.dictionaryStart ? output[at - 1]! : 0
        const lc = this.#literalContextBits
        const coder = LITERAL + LITERAL_CODER * ((position << lc) + (previous >> 8 - lc))
        this.#literal(coder, probabilities)
      } else {
        const length = this.#match(positionState)
        if (this.ended) return
        if (this.#rep0 >>> 0 >= at - this.dictionaryStart) {
          throw new CompressionError('corrupt LZMA data: a match refers to before the start')
        }
        this.#pending = length
        this.#copy(limit)
      }
    }
  }

  /** Copies as much of the pending match as fits. */
  #copy(limit: number): void {
    const { output } = this
    let to = this.outputAt
    const stop = Math.min(limit, to + this.#pending)
    this.#pending -= stop - to
    for (let from = to - this.#rep0 - 1; to < stop;) output[to++] = output[from++]!
    this.outputAt = to
  }

  /**
   * Decodes one literal with the 0x300 probabilities at `coder`. After a match the byte that the
   * match would have continued with is part of the context, for as long as its bits agree.
   */
  #literal(coder: number, probabilities: Uint16Array): void {
    const { input, output, outputAt } = this
    let at = this.inputAt
    let range = this.#range
    let code = this.#code
    const state = this.#state
    let symbol = 1
    let matched = 0
    let offset = 0
    if (state >= 7) {
      matched = output[outputAt - this.#rep0 - 1]!
      offset = 0x100
    }
    while (symbol < 0x100) {
      matched <<= 1
      const context = matched & offset
      const index = coder + offset + context + symbol
      if (range >>> 0 < TOP) {
        range <<= 8
        code = code << 8 | input[at++]!
      }
      const probability = probabilities[index]!
      const bound = Math.imul(range >>> 11, probability)
      if (code >>> 0 < bound >>> 0) {
        range = bound
        probabilities[index] = probability + (2048 - probability >> 5)
        symbol <<= 1
        offset &= ~context
      } else {
        range = range - bound | 0
        code = code - bound | 0
        probabilities[index] = probability - (probability >> 5)
        symbol = symbol << 1 | 1
        offset &= context
      }
    }
    this.inputAt = at
    this.#range = range
    this.#code = code
    output[outputAt] = symbol
    this.outputAt = outputAt + 1
    this.#state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6
  }

  /** Decodes a match's distance into rep0 and gives its length. */
  #match(positionState: number): number {
    const state = this.#state
    if (this.#bit(IS_REP + state) === 0) {
      this.#rep3 = this.#rep2
      this.#rep2 = this.#rep1
      this.#rep1 = this.#rep0
      this.#state = state < 7 ? 7 : 10
      const length = this.#length(MATCH_LENGTH, positionState)
      this.#rep0 = this.#distance(Math.min(length - SHORTEST_MATCH, 3))
      if (this.#rep0 === END_MARKER) this.ended = true
      return length
    }
    if (this.#bit(IS_REP_0 + state) === 0) {
      if (this.#bit(IS_REP_0_LONG + (state << 4) + positionState) === 0) {
        this.#state = state < 7 ? 9 : 11
        return 1
      }
    } else {
      let distance = this.#rep1
      if (this.#bit(IS_REP_1 + state) !== 0) {
        distance = this.#rep2
        if (this.#bit(IS_REP_2 + state) !== 0) {
          distance = this.#rep3
          this.#rep3 = this.#rep2
        }
        this.#rep2 = this.#rep1
      }
      this.#rep1 = this.#rep0
      this.#rep0 = distance
    }
    this.#state = state < 7 ? 8 : 11
    return this.#length(REP_LENGTH, positionState)
  }

  #length(coder: number, positionState: number): number {
    if (this.#bit(coder) === 0) {
      return SHORTEST_MATCH + this.#tree(coder + LENGTH_LOW + (positionState << 3), 3)
    }
    if (this.#bit(coder + 1) === 0) {
      return SHORTEST_MATCH + 8 + this.#tree(coder + LENGTH_MIDDLE + (positionState << 3), 3)
    }
    return SHORTEST_MATCH + 16 + this.#tree(coder + LENGTH_HIGH, 8)
  }

  /** A distance less one, as a signed 32-bit number. */
  #distance(lengthState: number): number {
    const slot = this.#tree(SLOTS + (lengthState << 6), 6)
    if (slot < 4) return slot
    const count = (slot >> 1) - 1
    const base = (2 | slot & 1) << count
    if (slot < 14) return base + this.#reverseTree(SPECIAL + base - slot, count)
    return base + (this.#direct(count - 4) << 4) + this.#reverseTree(ALIGN, 4) | 0
  }

  #bit(index: number): number {
    let range = this.#range
    if (range >>> 0 < TOP) {
      range <<= 8
      this.#code = this.#code << 8 | this.input[this.inputAt++]!
    }
    const probability = this.#probabilities[index]!
    const bound = Math.imul(range >>> 11, probability)
    if (this.#code >>> 0 < bound >>> 0) {
      this.#range = bound
      this.#probabilities[index] = probability + (2048 - probability >> 5)
      return 0
    }
    this.#range = range - bound | 0
    this.#code = this.#code - bound | 0
    this.#probabilities[index] = probability - (probability >> 5)
    return 1
  }

  #tree(base: number, bits: number): number {
    let symbol = 1
    for (let left = bits; left > 0; left--) symbol = symbol << 1 | this.#bit(base + symbol)
    return symbol - (1 << bits)
  }

  #reverseTree(base: number, bits: number): number {
    let symbol = 1
    let value = 0
    for (let bit = 0; bit < bits; bit++) {
      const next = this.#bit(base + symbol)
      symbol = symbol << 1 | next
      value |= next << bit
    }
    return value
  }

  /** Bits of even odds, without a model. */
  #direct(bits: number): number {
    let value = 0
    for (let left = bits; left > 0; left--) {
      if (this.#range >>> 0 < TOP) {
        this.#range <<= 8
        this.#code = this.#code << 8 | this.input[this.inputAt++]!
      }
      this.#range >>>= 1
      const one = this.#code >>> 0 >= this.#range >>> 0
      if (one) this.#code = this.#code - this.#range | 0
      value = value << 1 | (one ? 1 : 0)
    }
    return value
  }
}
