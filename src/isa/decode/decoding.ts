/**
 * One instruction while it is decoded: a cursor over its bytes, and what the prefixes and ModRM
 * said. There is one object a decoder; it is reset for each instruction.
 */
import { DS, RBP, RBX, RDI, RSI, RSP, SS } from '../../abi/x86/registers.ts'
import type { MemoryOperand, Width } from '../operand.ts'
import { bigOf } from './operand-reader.ts'

const NO_REGISTER = -1

/** Base and index of 16-bit addresses by ModRM.rm. */
const bases16 = [RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX] as const
const indexes16 = [RSI, RDI, RSI, RDI, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER] as const

export class Decoding {
  bytes: Uint8Array = new Uint8Array(0)
  start = 0
  position = 0
  limit = 0
  /** Set when bytes beyond the limit were asked for. */
  short = false
  /** Set when the operands are such that the instruction does not exist. */
  bad = false

  long = false
  /** A REX prefix stands, so that bytes 4 to 7 are SPL to DIL. */
  rex = false
  rexR = 0
  rexX = 0
  rexB = 0
  operandSize = 32
  addressSize: 16 | 32 | 64 = 32
  /** The segment of prefix, or -1. */
  override = -1
  modrm = 0xc0
  /** ModRM.reg and .rm, or the opcode's register, with their REX bits. */
  reg = 0
  rm = 0
  opcodeRegister = 0
  vvvv = 0

  #base = NO_REGISTER
  #index = NO_REGISTER
  #scale = 0
  #displacement = 0
  #ripRelative = false
  #segment = DS
  /** What SIB says, if there is one: the scale, and the index, where 4 means 4. */
  #sibScale = 0
  gatherIndex = NO_REGISTER

  get segment(): number { return this.override < 0 ? DS : this.override }

  unsigned(size: number): number {
    const at = this.position
    if (at + size > this.limit) {
      this.short = true
      return 0
    }
    this.position = at + size
    const bytes = this.bytes
    if (size === 1) return bytes[at]!
    const low = bytes[at]! | bytes[at + 1]! << 8
    if (size === 2) return low
    return (low | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0
  }

  signed(size: number): number {
    const value = this.unsigned(size)
    return size === 4 ? value | 0 : size === 2 ? value << 16 >> 16 : value << 24 >> 24
  }

  /** An immediate of `width` bits, sign-extended. */
  immediate(width: number): bigint {
    if (width < 64) return bigOf(this.signed(width >> 3))
    const low = this.unsigned(4)
    const high = this.signed(4)
    return BigInt(high) << 32n | BigInt(low)
  }

  /** Reads ModRM, and SIB and displacement when it names memory. `forceRegister`: MOV CR, DR. */
  readModrm(forceRegister: boolean): void {
    const modrm = this.modrm
    this.reg = modrm >> 3 & 7 | this.rexR
    this.rm = modrm & 7 | this.rexB
    this.gatherIndex = NO_REGISTER
    if (forceRegister) this.modrm |= 0xc0
    else if (modrm < 0xc0) {
      if (this.addressSize === 16) this.#readAddress16(modrm)
      else this.#readAddress(modrm)
    }
  }

  #readAddress16(modrm: number): void {
    const mode = modrm >> 6
    const rm = modrm & 7
    this.#scale = 0
    this.#ripRelative = false
    this.#base = bases16[rm]!
    this.#index = indexes16[rm]!
    if (mode === 0 && rm === 6) {
      this.#base = NO_REGISTER
      this.#displacement = this.signed(2)
    } else {
      this.#displacement = mode === 0 ? 0 : this.signed(mode)
    }
    this.#chooseSegment()
  }

  #readAddress(modrm: number): void {
    const mode = modrm >> 6
    let base = modrm & 7
    this.#index = NO_REGISTER
    this.#scale = 0
    this.#ripRelative = false
    let absolute = false
    if (base === 4) {
      const sib = this.unsigned(1)
      const index = sib >> 3 & 7 | this.rexX
      this.gatherIndex = index
      this.#sibScale = sib >> 6
      if (index !== 4) {
        this.#index = index
        this.#scale = sib >> 6
      }
      base = sib & 7
      absolute = base === 5 && mode === 0
    } else if (base === 5 && mode === 0) {
      absolute = true
      this.#ripRelative = this.long
    }
    this.#base = absolute ? NO_REGISTER : base | this.rexB
    this.#displacement = absolute || mode === 2 ? this.signed(4) : mode === 1 ? this.signed(1) : 0
    this.#chooseSegment()
  }

  #chooseSegment(): void {
    const stack = this.#base === RSP || this.#base === RBP
    this.#segment = this.override >= 0 ? this.override : stack ? SS : DS
  }

  /** An address based on rSP is meant after the operand was popped. */
  popBase(): void {
    if (this.modrm < 0xc0 && this.#base === RSP) this.#displacement += this.operandSize >> 3
  }

  /** The memory operand that ModRM names. */
  memory(width: Width): MemoryOperand {
    return {
      kind: 'memory', width, segment: this.#segment, base: this.#base, index: this.#index,
      scale: this.#scale, displacement: bigOf(this.#displacement),
      ripRelative: this.#ripRelative, addressWidth: this.addressSize,
    }
  }

  /** What a gather's elements count from: the index is a vector, whatever its number. */
  gatherBase(width: Width): MemoryOperand {
    return { ...this.memory(width), index: NO_REGISTER, scale: this.#sibScale }
  }

  /** A memory operand whose address stands in the instruction. */
  offset(width: Width): MemoryOperand {
    const size = this.addressSize
    const displacement = size === 64 ? this.immediate(64) : bigOf(this.unsigned(size >> 3))
    return this.#implicit(width, this.segment, NO_REGISTER, displacement)
  }

  /** The operand of a string instruction. */
  string(width: Width, segment: number, base: number): MemoryOperand {
    return this.#implicit(width, segment, base, 0n)
  }

  #implicit(width: Width, segment: number, base: number, displacement: bigint): MemoryOperand {
    return {
      kind: 'memory', width, segment, base, index: NO_REGISTER, scale: 0, displacement,
      ripRelative: false, addressWidth: this.addressSize,
    }
  }
}
