/**
 * Test cases: for a row, instruction bytes, and registers and memory that make it do something.
 */
import { RAX, RBP, RBX, RCX, RDI, RDX, RSP } from '../../../src/abi/x86/registers.ts'
import type { Decode } from '../../../src/isa/decode/decoder.ts'
import { MAP_VEX, type Pattern, patternOf } from '../../../src/isa/decode/pattern.ts'
import type { Definition } from '../../../src/isa/definition.ts'
import type { Instruction, MemoryOperand } from '../../../src/isa/operand.ts'
import type { Random } from '../decoder/byte-strings.ts'
import { assemble, targetAddress } from './assembler.ts'
import {
  at, type Cases, ENTRY, fxAt, GS_BASE, LEGACY_MODE, LONG_MODE, WINDOW_AT, WINDOW_BYTES,
} from './layout.ts'
import { float32s, float64s, float80s, integers } from './values.ts'

const MASK64 = (1n << 64n) - 1n
const GS = 5
const FLAGS = 0x8d5
const DF = 0x400

export class Generator {
  readonly #random: Random
  readonly #decode: Decode
  readonly #pool: Uint8Array
  readonly #registers: Uint8Array

  readonly #legacy: boolean

  /** `legacy`: 32-bit code. */
  constructor(random: Random, decode: Decode, legacy = false) {
    this.#random = random
    this.#decode = decode
    this.#legacy = legacy
    this.#pool = this.#makePool()
    this.#registers = this.#makeRegisters()
  }

  /** Fills a case with an instruction of the row, and returns it; undefined if none came out. */
  fill(cases: Cases, index: number, pattern: Pattern): Instruction | undefined {
    const instruction = this.#instruction(cases, index, pattern)
    if (instruction) this.#fillState(cases, index, instruction)
    return instruction
  }

  /** Fills a case with the instruction of the one before it, and other values. */
  fillAgain(cases: Cases, index: number, instruction: Instruction): void {
    cases.slice(index, at.code, 16).set(cases.slice(index - 1, at.code, 16))
    cases.setU32(index, at.length, instruction.length)
    this.#fillState(cases, index, instruction)
  }

  #fillState(cases: Cases, index: number, instruction: Instruction): void {
    const random = this.#random
    cases.setU32(index, at.legacy, this.#legacy ? 1 : 0)
    for (let i = 0; i < 16; i++) this.#setGpr(cases, index, i, this.#integer())
    let flags = 0x202 | random.next() & FLAGS
    if (random.below(6) === 0) flags |= DF
    cases.setU64(index, at.flags, BigInt(flags))
    this.#fillFx(cases, index)
    cases.slice(index, at.high, 256).set(this.#piece(this.#pool, 256, 8))
    cases.slice(index, at.window, WINDOW_BYTES).set(this.#piece(this.#pool, WINDOW_BYTES, 8))
    this.#aim(cases, index, instruction)
  }

  #instruction(cases: Cases, index: number, pattern: Pattern): Instruction | undefined {
    for (let attempt = 0; attempt < 20; attempt++) {
      const bytes = assemble(pattern, this.#random, this.#legacy)
      if (bytes.length > 15) continue
      const found = this.#decode(bytes, this.#legacy ? LEGACY_MODE : LONG_MODE)
      if (typeof found === 'string' || found.row !== pattern.row) continue
      if (found.length !== bytes.length || jumpsIntoItself(found)) continue
      cases.slice(index, at.code, 16).fill(0xcc)
      cases.slice(index, at.code, 16).set(bytes)
      cases.setU32(index, at.length, bytes.length)
      return found
    }
    return undefined
  }

  #setGpr(cases: Cases, index: number, register: number, value: bigint): void {
    const cut = !this.#legacy ? value & MASK64 : register < 8 ? value & 0xffffffffn : 0n
    cases.setU64(index, at.gpr + register * 8, cut)
  }

  #integer(): bigint {
    const random = this.#random
    const bits = BigInt(random.next()) << 32n | BigInt(random.next())
    switch (random.below(4)) {
      case 0: return integers[random.below(integers.length)]!
      case 1: return bits >> BigInt(random.below(64))
      case 2: return BigInt(random.below(70))
      default: return bits
    }
  }

  /** Eight bytes of memory or register: integers, or floats of either width. */
  #element(bytes: Uint8Array, offset: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    const random = this.#random
    switch (random.below(4)) {
      case 0:
        view.setBigUint64(offset, float64s[random.below(float64s.length)]!, true)
        return
      case 1:
        view.setUint32(offset, float32s[random.below(float32s.length)]!, true)
        view.setUint32(offset + 4, float32s[random.below(float32s.length)]!, true)
        return
      case 2:
        view.setBigUint64(offset, this.#integer() & MASK64, true)
        return
      default:
        view.setUint32(offset, random.next(), true)
        view.setUint32(offset + 4, random.next(), true)
    }
  }

  /** Random data, made once; cases take pieces of it from random places. */
  #makePool(): Uint8Array {
    const pool = new Uint8Array(1 << 16)
    for (let i = 0; i < pool.length; i += 8) this.#element(pool, i)
    return pool
  }

  /** x87 register images of 16 bytes, made once. */
  #makeRegisters(): Uint8Array {
    const random = this.#random
    const pool = new Uint8Array(1 << 14)
    const view = new DataView(pool.buffer)
    for (let offset = 0; offset < pool.length; offset += 16) {
      this.#element(pool, offset)
      const [signExponent, significand] = float80s[random.below(float80s.length)]!
      view.setUint16(offset + 8, signExponent, true)
      if (random.below(4) !== 0) {
        view.setBigUint64(offset, significand, true)
      } else {
        // A normal number with all its bits.
        pool[offset + 7]! |= 0x80
        view.setUint16(offset + 8, random.next() & 0x8000 | 0x3fff + random.below(80), true)
      }
    }
    return pool
  }

  #piece(pool: Uint8Array, bytes: number, step: number): Uint8Array {
    const start = this.#random.below((pool.length - bytes) / step) * step
    return pool.subarray(start, start + bytes)
  }

  #fillFx(cases: Cases, index: number): void {
    const random = this.#random
    const fx = cases.slice(index, at.fx, 416)
    fx.fill(0, 0, fxAt.st)
    fx.set(this.#piece(this.#registers, 128, 16), fxAt.st)
    fx.set(this.#piece(this.#pool, 256, 8), fxAt.xmm)
    const masks = random.below(8) === 0 ? random.next() & 0x1f80 : 0x1f80
    const modes = random.below(2) === 0 ? random.next() & 0xe000 : 0
    // Half of all with the inexact flag set, as in programs that have computed before.
    const sticky = random.below(4) === 0 ? random.next() & 0x3f : random.below(2) * 0x20
    const daz = random.below(8) === 0 ? 0x40 : 0
    cases.setU32(index, at.fx + fxAt.mxcsr, masks | modes | sticky | daz)
    const unmasked = random.below(8) === 0
    const control = 0x40 | (unmasked ? random.next() & 0x3f : 0x3f)
      | (random.below(2) === 0 ? 0x300 : random.next() & 0xf00)
    cases.setU16(index, at.fx + fxAt.control, control)
    const exceptions = unmasked ? 0 : random.next() & 0x3f
    cases.setU16(index, at.fx + fxAt.status, random.next() & 0x7f00 | exceptions)
    fx[fxAt.tags] = random.below(3) === 0 ? random.next() & 0xff : 0xff
  }

  /** Sets the registers that addresses are made of so that they lie in the window. */
  #aim(cases: Cases, index: number, instruction: Instruction): void {
    const random = this.#random
    const set = (register: number, value: bigint) =>
      this.#setGpr(cases, index, register, value)
    const { name, fields } = instruction.definition
    const middle = BigInt(WINDOW_AT + 128 + random.below(32) * 8)
    if (random.below(16) !== 0) set(RSP, middle)
    if (name === 'leave' || name === 'enter') set(RBP, middle + BigInt(random.below(8) * 8))
    if (name === 'xlat') set(RBX, BigInt(WINDOW_AT + 64))
    if (/maskmov(q|dqu)$/.test(name)) set(RDI, BigInt(targetAddress(random)))
    if (/^i?div$/.test(name) && random.below(2) === 0) this.#smallDividend(cases, index)
    if (instruction.row.properties.string) set(RCX, BigInt(random.below(12)))
    if (name === 'jcxz' || name.startsWith('loop')) {
      if (random.below(2) === 0) set(RCX, BigInt(random.below(3)))
    }
    const bit = instruction.operands[1]
    if (/^bt[src]?$/.test(name) && bit?.kind === 'gpr') {
      set(bit.index, BigInt(random.below(2048) - 512))
    }
    const indices = instruction.row.operands.findIndex((code) => code.startsWith('T'))
    if (indices >= 0) this.#nearIndices(cases, index, instruction, indices)
    const whole = fields.service && /save|rstor|env/.test(name)
    for (const operand of instruction.operands) {
      if (operand.kind === 'memory') {
        this.#point(operand, whole ? WINDOW_AT : targetAddress(random), instruction.length, set)
      }
    }
  }

  /** Indices of a gather that mostly stay in the window. */
  #nearIndices(cases: Cases, index: number, instruction: Instruction, operand: number): void {
    const register = instruction.operands[operand]!
    if (register.kind !== 'xmm') return
    const wide = /q[dqp]/.test(instruction.definition.name.slice(5))
    for (let i = 0; i < 8; i++) {
      const place = (i < 4 ? at.fx + fxAt.xmm : at.high) + register.index * 16 + i % 4 * 4
      const value = this.#random.below(64) === 0 ? this.#random.next()
        : this.#random.below(24) - 12 >>> 0
      const isUpper = wide && i % 2 === 1
      const sign = isUpper && cases.u32(index, place - 4) >> 31 !== 0 ? 0xffff_ffff : 0
      cases.setU32(index, place, isUpper ? sign : value)
    }
  }

  #smallDividend(cases: Cases, index: number): void {
    const low = cases.u64(index, at.gpr + RAX * 8)
    const sign = low >> (this.#legacy ? 31n : 63n) ? MASK64 : 0n
    const value = this.#random.below(2) === 0 ? sign : BigInt(this.#random.below(3))
    this.#setGpr(cases, index, RDX, value)
  }

  #point(
    operand: MemoryOperand, target: number, length: number,
    set: (register: number, value: bigint) => void,
  ): void {
    const base = operand.segment === GS ? GS_BASE : 0n
    let rest = BigInt(target) - base - operand.displacement
    if (operand.ripRelative) rest -= BigInt(ENTRY + length)
    const { base: register, index, scale } = operand
    if (register >= 0 && index >= 0 && register !== index) {
      const step = BigInt(this.#random.below(64))
      set(index, step)
      rest -= step << BigInt(scale)
      set(register, rest)
    } else if (register >= 0 && index >= 0) {
      set(register, rest / ((1n << BigInt(scale)) + 1n))
    } else if (register >= 0) {
      set(register, rest)
    } else if (index >= 0) {
      set(index, rest >> BigInt(scale))
    }
  }
}

/** Such a jump would not end, or run into its own operands. */
function jumpsIntoItself(instruction: Instruction): boolean {
  const target = instruction.operands[0]
  if (target?.kind !== 'relative') return false
  return target.displacement < 0 && target.displacement >= -instruction.length
}

/** Rows that user code can run, and whose outcome is fixed; `legacy`: in 32-bit code. */
export function userPatterns(
  definitions: readonly Definition[], legacy = false,
): readonly Pattern[] {
  const found: Pattern[] = []
  for (const definition of definitions) {
    for (const row of definition.fields.encodings) {
      const { mode, cpl0 } = row.properties
      if (mode === (legacy ? 'only64' : 'not64') || cpl0) continue
      const pattern = patternOf(definition, row)
      if (!legacy || pattern.w !== 2 || pattern.map >= MAP_VEX) found.push(pattern)
    }
  }
  return found
}
