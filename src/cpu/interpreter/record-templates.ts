/**
 * Records of instructions in 64-bit code by their head: prefixes, opcode, ModRM and SIB. What comes
 * behind it, a displacement and an immediate, is all in which instructions with one head differ; so
 * their records are copies of the first one's with other numbers in two fields.
 *
 * A template is made of a record that was filled from what the decoder said, and is kept if it
 * makes the same record out of the same bytes. There is none of instructions that services carry
 * out, of those with two immediates, and of those whose address stands in them alone.
 */
import type { Instruction } from '../../isa/operand.ts'
import {
  MAP_0F, MAP_0F38, MAP_0F3A, MAP_BYTE, MAP_VEX, patternOf,
} from '../../isa/decode/pattern.ts'
import { field, RECORD_BYTES } from './record.ts'

const BITS = 13
const WORDS = RECORD_BYTES >>> 2
/** The longest head that has a template. */
const LONGEST = 8
const PAGE_MASK = 4095

/** What of a head's first bytes are its, by its length. */
const lowMasks = Uint32Array.from({ length: LONGEST + 1 }, (_, length) =>
  length >= 4 ? -1 : 2 ** (8 * length) - 1)
const highMasks = Uint32Array.from({ length: LONGEST + 1 }, (_, length) =>
  length <= 4 ? 0 : length === 8 ? -1 : 2 ** (8 * (length - 4)) - 1)

/** What is known of an opcode: nothing, whether it has ModRM, or that it is no opcode. */
const UNKNOWN = 0
const PLAIN = 1
const WITH_MODRM = 2
const NO_OPCODE = 3

/** A template's layout: lengths of head, displacement and immediate, and what else there is. */
const DISPLACEMENT_SHIFT = 4
const IMMEDIATE_SHIFT = 7
const LENGTH = 15
const DISPLACEMENT = 7
/** The displacement, or the immediate, counts from the end of the instruction. */
const FROM_END = 1 << 11
const BRANCH = 1 << 12
const ENDS_TRACE = 1 << 13

const isPrefix = new Uint8Array(256)
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0xf0, 0xf2, 0xf3]) isPrefix[byte] = 1

export class RecordTemplates {
  readonly #u32: Uint32Array
  readonly #machine: Uint8Array
  readonly #view: DataView
  /** By opcode map and byte. */
  readonly #opcodes = new Uint8Array(8 << 8)
  /** Of each template the first and the second four bytes of its head. */
  readonly #keys = new Uint32Array(2 << BITS)
  readonly #layouts = new Uint16Array(1 << BITS)
  readonly #words = new Uint32Array(WORDS << BITS)
  /** Of the head that was looked at last; where its ModRM is, or 0. */
  #opcode = 0
  #modrmAt = 0
  /** Whether the trace ends with the instruction that was filled in last. */
  endsTrace = false

  /** Of records in `core` for code in `machine`. */
  constructor(core: ArrayBuffer, machine: Uint8Array) {
    this.#u32 = new Uint32Array(core)
    this.#machine = machine
    this.#view = new DataView(machine.buffer, machine.byteOffset, machine.byteLength)
  }

  /** Fills a record for the code at a machine address, behind which its page has 15 bytes or more.
   * Returns the length of the instruction, or 0 when there is no template. */
  fill(machine: number, record: number): number {
    const head = this.#headOf(machine)
    if (head === 0) return 0
    const low = (this.#view.getUint32(machine, true) & lowMasks[head]!) >>> 0
    const high = (this.#view.getUint32(machine + 4, true) & highMasks[head]!) >>> 0
    const index = indexOf(low, high)
    const layout = this.#layouts[index]!
    if (layout === 0 || this.#keys[index * 2] !== low || this.#keys[index * 2 + 1] !== high) {
      return 0
    }
    this.endsTrace = (layout & ENDS_TRACE) !== 0
    const words = this.#u32
    const to = record >>> 2
    for (let i = 0; i < WORDS; i++) words[to + i] = this.#words[index * WORDS + i]!
    return this.#fillNumbers(machine, to, layout)
  }

  /** Fills the fields that a template leaves out. */
  #fillNumbers(machine: number, to: number, layout: number): number {
    const words = this.#u32
    const displacement = layout >>> DISPLACEMENT_SHIFT & DISPLACEMENT
    const immediate = layout >>> IMMEDIATE_SHIFT & LENGTH
    const behindHead = machine + (layout & LENGTH)
    const length = (layout & LENGTH) + displacement + immediate
    const offset = machine & PAGE_MASK
    const end = offset + length
    words[to]! |= offset << 16
    if (displacement !== 0) {
      const value = this.#signed(behindHead, displacement)
      this.#put(to + (field.displacement >>> 2), layout & FROM_END ? value + end : value)
    }
    if (immediate !== 0) {
      const at = behindHead + displacement
      const value = this.#signed(at, immediate)
      this.#put(to + (field.immediate >>> 2), layout & BRANCH ? value + end : value)
      if (immediate === 8) words[to + (field.immediate >>> 2) + 1] = this.#signed(at + 4, 4)
    }
    return length
  }

  /** The number of so many bytes; of eight, the lower half. */
  #signed(at: number, bytes: number): number {
    return bytes === 1 ? this.#view.getInt8(at)
      : bytes === 2 ? this.#view.getInt16(at, true) : this.#view.getInt32(at, true)
  }

  #put(at: number, value: number): void {
    this.#u32[at] = value
    this.#u32[at + 1] = value < 0 ? -1 : 0
  }

  /** Makes a template of a record that was filled for an instruction at a machine address, if
   * there can be one. The next record is used. */
  learn(machine: number, record: number, instruction: Instruction): void {
    let head = this.#headOf(machine)
    if (head === 0 && this.#learnOpcode(instruction)) head = this.#headOf(machine)
    if (head === 0) return
    const layout = this.#layoutOf(machine, head, instruction)
    if (layout === 0) return
    const low = (this.#view.getUint32(machine, true) & lowMasks[head]!) >>> 0
    const high = (this.#view.getUint32(machine + 4, true) & highMasks[head]!) >>> 0
    const index = indexOf(low, high)
    this.#keys[index * 2] = low
    this.#keys[index * 2 + 1] = high
    this.#layouts[index] = layout
    const from = record >>> 2
    this.#words.set(this.#u32.subarray(from, from + WORDS), index * WORDS)
    this.#words[index * WORDS]! &= 0xffff
    this.fill(machine, record + RECORD_BYTES)
    for (let i = 0; i < WORDS; i++) {
      if (this.#u32[from + i] !== this.#u32[from + WORDS + i]) this.#layouts[index] = 0
    }
  }

  /** 0: there can be no template. */
  #layoutOf(machine: number, head: number, instruction: Instruction): number {
    const { definition, operands, length } = instruction
    const numbers = operands.filter(({ kind }) => kind === 'immediate' || kind === 'relative')
    const displacement = this.#displacementOf(machine, head)
    const immediate = length - head - displacement
    if (definition.service || operands.some(({ kind }) => kind === 'far')) return 0
    if (immediate !== 0 && (numbers.length !== 1 || ![1, 2, 4, 8].includes(immediate))) return 0
    const isFromEnd = operands.some((operand) => operand.kind === 'memory' && operand.ripRelative)
    return head | displacement << DISPLACEMENT_SHIFT | immediate << IMMEDIATE_SHIFT
      | (isFromEnd ? FROM_END : 0) | (numbers[0]?.kind === 'relative' ? BRANCH : 0)
      | (definition.fields.endsBlock ? ENDS_TRACE : 0)
  }

  /** The length of the displacement behind the head that was looked at last. */
  #displacementOf(machine: number, head: number): number {
    if (this.#modrmAt === 0) return 0
    const modrm = this.#machine[this.#modrmAt]!
    const hasSib = this.#modrmAt < machine + head - 1
    const base = (hasSib ? this.#machine[machine + head - 1]! : modrm) & 7
    const mode = modrm >> 6
    return mode === 1 ? 1 : mode === 2 || mode === 0 && base === 5 ? 4 : 0
  }

  /** The length of the head at a machine address; 0 if it is too long, or its opcode not known. */
  #headOf(machine: number): number {
    const bytes = this.#machine
    let at = machine
    let byte = bytes[at]!
    while (isPrefix[byte] !== 0) {
      if (at - machine === LONGEST) return 0
      byte = bytes[++at]!
    }
    if ((byte & 0xf0) === 0x40) byte = bytes[++at]!
    let map = MAP_BYTE
    if (byte === 0x0f) {
      byte = bytes[++at]!
      map = MAP_0F
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? MAP_0F38 : MAP_0F3A
        byte = bytes[++at]!
      }
    } else if (byte === 0xc5) {
      map = MAP_VEX + MAP_0F
      byte = bytes[at += 2]!
    } else if (byte === 0xc4) {
      map = MAP_VEX + (bytes[at + 1]! & 3)
      byte = bytes[at += 3]!
    }
    this.#opcode = map << 8 | byte
    this.#modrmAt = 0
    const kind = this.#opcodes[this.#opcode]!
    if (kind !== PLAIN && kind !== WITH_MODRM) return 0
    if (kind === WITH_MODRM) {
      const modrm = bytes[++at]!
      this.#modrmAt = at
      if (modrm < 0xc0 && (modrm & 7) === 4) at += 1
    }
    const length = at + 1 - machine
    return length > LONGEST ? 0 : length
  }

  /** Learns of an instruction whether the opcode that was looked at last has ModRM; false if that
   * was no news. */
  #learnOpcode({ definition, row }: Instruction): boolean {
    if (this.#opcodes[this.#opcode] !== UNKNOWN) return false
    const { map, opcode, opcodes, hasModrm } = patternOf(definition, row)
    const number = this.#opcode - (map << 8 | opcode)
    const isOpcode = number >= 0 && number < opcodes
    this.#opcodes[this.#opcode] = !isOpcode ? NO_OPCODE : hasModrm ? WITH_MODRM : PLAIN
    return isOpcode
  }
}

function indexOf(low: number, high: number): number {
  return (Math.imul(low, 0x9e37_79b1) ^ Math.imul(high, 0x85eb_ca6b)) >>> 32 - BITS
}
