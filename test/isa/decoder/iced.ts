/**
 * A second opinion on decoding: iced-x86, with its option for AMD's processors.
 *
 * `Comparison.difference` says in words how our decoder and iced disagree about some bytes.
 */
import {
  Decoder, DecoderOptions, Instruction as Other, MemorySizeExt, Mnemonic, OpKind, Register,
  RegisterExt,
} from 'iced-x86'
import { FS } from '../../../src/abi/x86/registers.ts'
import type { Decode } from '../../../src/isa/decode/decoder.ts'
import type { Instruction, MemoryOperand, Operand } from '../../../src/isa/operand.ts'

export type Bitness = 16 | 32 | 64

const SLOT = 15

/** Names of iced's enumerations by value. */
function namesOf(enumeration: object): string[] {
  const names: string[] = []
  for (const [name, value] of Object.entries(enumeration)) {
    if (typeof value === 'number') names[value] = name
  }
  return names
}
const mnemonics = namesOf(Mnemonic).map((name) => name.toLowerCase())
const registerCount = namesOf(Register).length
const numbers = Array.from({ length: registerCount }, (_, r) => RegisterExt.number(r))
const sizes = Array.from({ length: registerCount }, (_, r) => RegisterExt.size(r) * 8)
const isGpr = Array.from({ length: registerCount }, (_, r) => RegisterExt.isGPR(r))

/** Many byte strings at once: one decoder of iced over `count` slots of 15 bytes. */
export class Comparison {
  readonly bytes: Uint8Array
  readonly bitness: Bitness
  readonly #decode: Decode
  readonly #decoder: Decoder
  readonly #other = new Other()

  /** `bytes` holds the slots, one after the other. */
  constructor(decode: Decode, bytes: Uint8Array, bitness: Bitness) {
    this.bytes = bytes
    this.bitness = bitness
    this.#decode = decode
    this.#decoder = new Decoder(bitness, bytes, DecoderOptions.AMD)
  }

  [Symbol.dispose](): void {
    this.#decoder.free()
    this.#other.free()
  }

  /** What our decoder says about a slot. */
  ours(slot: number): ReturnType<Decode> {
    const bytes = this.bytes.subarray(slot * SLOT, slot * SLOT + SLOT)
    return this.#decode(bytes, {
      long: this.bitness === 64, defaultSize32: this.bitness === 32,
    })
  }

  /** Undefined when both agree; else `mnemonic: what differs`. */
  difference(slot: number): string | undefined {
    const other = this.#other
    this.#decoder.position = slot * SLOT
    this.#decoder.ip = 0x10000n
    this.#decoder.decodeOut(other)
    const ours = this.ours(slot)
    const name = mnemonics[other.mnemonic]!
    if (typeof ours === 'string') {
      return other.isInvalid ? undefined : `${name}: ours ${ours}`
    }
    const ourName = ours.definition.name
    if (other.isInvalid) return `${ourName}: iced invalid`
    if (other.length !== ours.length) return `${ourName}: length, iced ${name}`
    return this.#operandDifference(ours, name)
  }

  #operandDifference(ours: Instruction, name: string): string | undefined {
    const other = this.#other
    const ourName = ours.definition.name
    if (other.opCount !== ours.operands.length) {
      return `${ourName}: ${ours.operands.length} operands, iced ${name} ${other.opCount}`
    }
    for (let i = 0; i < other.opCount; i++) {
      const problem = this.#oneOperand(ours, ours.operands[i]!, i)
      if (problem) return `${ourName}: operand ${i} ${problem}, iced ${name}`
    }
    return undefined
  }

  #oneOperand(ours: Instruction, operand: Operand, index: number): string | undefined {
    const other = this.#other
    const kind = other.opKind(index)
    switch (operand.kind) {
      case 'memory': return this.#memory(operand, kind)
      case 'relative': {
        if (kind > OpKind.NearBranch64 || kind < OpKind.NearBranch16) return `kind ${kind}`
        const mask = (1n << BigInt(operand.width)) - 1n
        const target = 0x10000n + BigInt(ours.length) + BigInt(operand.displacement) & mask
        return target === other.nearBranchTarget ? undefined : 'target'
      }
      case 'immediate': {
        if (kind < OpKind.Immediate8 || kind > OpKind.Immediate32to64) return `kind ${kind}`
        const mask = (1n << BigInt(operand.width)) - 1n
        return ((operand.value ^ other.immediate(index)) & mask) === 0n ? undefined : 'value'
      }
      case 'far': return kind === OpKind.FarBranch16 || kind === OpKind.FarBranch32
        ? undefined : `kind ${kind}`
      default: return this.#register(operand, kind, index)
    }
  }

  #register(
    operand: Exclude<Operand, MemoryOperand> & { readonly index?: number },
    kind: number, index: number,
  ): string | undefined {
    if (kind !== OpKind.Register) return `is no register but kind ${kind}`
    const register = this.#other.opRegister(index)
    if (operand.kind === 'gpr') {
      if (!isGpr[register]) return 'is no general register'
      if (operand.high) return register - Register.AH === operand.index ? undefined : 'high byte'
      const high = register >= Register.AH && register <= Register.BH
      // iced numbers AH to BH 4 to 7, and SPL to R15L after them.
      if (high || sizes[register] !== operand.width) return `width ${sizes[register]}`
      const number = operand.width !== 8 ? numbers[register]!
        : register <= Register.BL ? register - Register.AL : register - Register.SPL + 4
      return number === operand.index ? undefined : 'number'
    }
    return numbers[register] === operand.index ? undefined : 'number'
  }

  #memory(operand: MemoryOperand, kind: number): string | undefined {
    const other = this.#other
    if (kind !== OpKind.Memory) {
      return kind >= OpKind.MemorySegSI && kind <= OpKind.MemoryESRDI ? undefined : `kind ${kind}`
    }
    const ripRelative = other.isIpRelMemoryOperand
    if (ripRelative !== operand.ripRelative) return 'rip'
    if (!ripRelative) {
      const base = other.memoryBase === Register.None ? -1 : numbers[other.memoryBase]!
      const poppedBase = other.mnemonic === Mnemonic.Pop && base === 4
      if (base !== operand.base) return 'base'
      const mask = (1n << BigInt(operand.addressWidth)) - 1n
      const differ = (other.memoryDisplacement ^ operand.displacement) & mask
      if (differ !== 0n && !poppedBase) return 'displacement'
    }
    const index = other.memoryIndex === Register.None ? -1 : numbers[other.memoryIndex]!
    if (index !== operand.index) return 'index'
    if (index >= 0 && 1 << operand.scale !== other.memoryIndexScale) return 'scale'
    const segment = other.memorySegment - Register.ES
    // iced shows overrides that have no effect in 64-bit code.
    const ineffective = this.bitness === 64 && segment < FS && operand.segment < FS
    if (segment !== operand.segment && !ineffective) return 'segment'
    const size = MemorySizeExt.size(other.memorySize) * 8
    if (operand.width !== 0 && size !== 0 && size !== operand.width) {
      return `width ${operand.width} not ${size}`
    }
    return undefined
  }
}
