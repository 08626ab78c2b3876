/**
 * Code by its parts: opcode, prefixes, register and register or memory operand; with labels, whose
 * places are known when all is laid out.
 *
 * It is 64-bit code, or what comes of it in 32 bits: registers that are not there are others, and
 * operands of 64 bits have 32.
 */
import { assert } from '../../src/base/assert.ts'

export const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7] as const
export const [R14, R15] = [14, 15] as const

/** Mandatory prefixes, as VEX prefixes number them. */
const prefixes = [0, 0x66, 0xf3, 0xf2]

export interface Memory {
  readonly base?: number
  readonly index?: number
  /** 0 to 3: the index times 1 to 8. */
  readonly scale?: number
  /** The displacement is an address, which is reached from RIP; no immediate follows. */
  readonly fromRip?: boolean
  readonly displacement: number
}

export interface Form {
  readonly width?: 8 | 16 | 32 | 64
  readonly lock?: boolean
  readonly mandatory?: number
  /** Prefixes of segments and of the address's size. */
  readonly before?: readonly number[]
}

/** What a VEX prefix says beside registers. */
export interface VexForm {
  readonly map: 1 | 2 | 3
  readonly prefix: 0 | 0x66 | 0xf2 | 0xf3
  readonly w?: boolean
  readonly wide?: boolean
}

interface Fixup {
  readonly at: number
  readonly label: string
  readonly size: 1 | 4
  /** It is the address, and not the distance. */
  readonly isAbsolute: boolean
}

/** In place of each register, in 32-bit code: EBP and EDI are for R14 and R15 alone, and ECX, which
 * counts, for RCX. */
const IN_32_BITS = [0, 1, 2, 3, 4, 6, 6, 3, 0, 3, 2, 6, 6, 6, 5, 7]

export class Code {
  readonly origin: number
  readonly isLong: boolean
  readonly bytes: number[] = []
  readonly #labels = new Map<string, number>()
  readonly #fixups: Fixup[] = []

  constructor(origin: number, isLong = true) {
    this.origin = origin
    this.isLong = isLong
  }

  /** The number that a register has. */
  register(register: number): number {
    return this.isLong ? register : IN_32_BITS[register]!
  }

  get here(): number {
    return this.origin + this.bytes.length
  }

  label(name: string): void {
    assert(!this.#labels.has(name), `the label ${name} is there once`)
    this.#labels.set(name, this.here)
  }

  raw(...bytes: readonly number[]): void {
    for (const byte of bytes) this.bytes.push(byte & 0xff)
  }

  le(value: number | bigint, size: number): void {
    const whole = BigInt.asUintN(64, BigInt(value))
    for (let i = 0; i < size; i++) this.bytes.push(Number(whole >> BigInt(i * 8) & 0xffn))
  }

  /** An instruction with ModRM: `target` is a register's number or a place in memory. */
  op(opcode: readonly number[], reg: number, target: number | Memory, form: Form = {}): void {
    if (!this.isLong) return this.#in32Bits(opcode, reg, target, form)
    this.#encode(opcode, reg, target, form)
  }

  #in32Bits(opcode: readonly number[], reg: number, target: number | Memory, form: Form): void {
    const isByte = form.width === 8
    const other = (register: number): number =>
      isByte ? register < 8 ? register : this.register(register) & 3 : this.register(register)
    this.#encode(opcode, isExtension(opcode) ? reg : other(reg),
      typeof target === 'number' ? other(target) : this.#placeIn32Bits(target),
      { ...form, width: form.width === 64 ? 32 : form.width ?? 32 })
  }

  #placeIn32Bits({ base, index, scale, displacement }: Memory): Memory {
    return {
      displacement, ...scale === undefined ? {} : { scale },
      ...base === undefined ? {} : { base: this.register(base) },
      ...index === undefined ? {} : { index: this.register(index) },
    }
  }

  #encode(opcode: readonly number[], reg: number, target: number | Memory, form: Form): void {
    const { width = 32, lock, mandatory, before = [] } = form
    this.raw(...before)
    if (lock) this.raw(0xf0)
    if (width === 16) this.raw(0x66)
    if (mandatory) this.raw(mandatory)
    const [index, base] = registersOf(target)
    const rex = (width === 64 ? 8 : 0) | (reg & 8) >> 1 | (index & 8) >> 2 | (base & 8) >> 3
    if (rex) this.raw(0x40 | rex)
    this.raw(...opcode)
    this.#operand(reg & 7, target)
  }

  /** An instruction with a VEX prefix of three bytes. */
  vex(
    opcode: number, form: VexForm, reg: number, second: number, target: number | Memory,
  ): void {
    if (!this.isLong) {
      this.#vex(opcode, form, reg & 7, second & 7,
        typeof target === 'number' ? target & 7 : this.#placeIn32Bits(target))
    } else {
      this.#vex(opcode, form, reg, second, target)
    }
  }

  #vex(
    opcode: number, { map, prefix, w = false, wide = false }: VexForm,
    reg: number, second: number, target: number | Memory,
  ): void {
    const [index, base] = registersOf(target)
    this.raw(0xc4, (~reg & 8) << 4 | (~index & 8) << 3 | (~base & 8) << 2 | map,
      (w ? 0x80 : 0) | (~second & 15) << 3 | (wide ? 4 : 0) | prefixes.indexOf(prefix), opcode)
    this.#operand(reg & 7, target)
  }

  #operand(reg: number, target: number | Memory): void {
    if (typeof target === 'number') this.raw(0xc0 | reg << 3 | target & 7)
    else this.#memory(reg, target)
  }

  #memory(reg: number, { base, index, scale = 0, fromRip, displacement }: Memory): void {
    if (fromRip && this.isLong) {
      this.raw(reg << 3 | 5)
      this.le(displacement - this.here - 4, 4)
      return
    }
    const small = displacement >= -128 && displacement < 128
    const mode = base === undefined ? 0 : small ? 1 : 2
    const low = base === undefined ? 5 : base & 7
    this.raw(mode << 6 | reg << 3 | 4, scale << 6 | (index ?? 4) % 8 << 3 | low)
    this.le(displacement, mode === 1 ? 1 : 4)
  }

  /** Loads a constant of 32 bits, zero-extended. */
  constant(register: number, value: number): void {
    this.short(0xb8, register)
    this.le(value, 4)
  }

  /** An opcode that has its register in it. */
  short(opcode: number, register: number): void {
    const number = this.register(register)
    if (number >= 8) this.raw(0x41)
    this.raw(opcode + (number & 7))
  }

  /** Loads a constant of 64 bits. */
  constant64(register: number, value: bigint): void {
    if (!this.isLong) return this.constant(register, Number(value & 0xffff_ffffn))
    this.raw(register >= 8 ? 0x49 : 0x48, 0xb8 + (register & 7))
    this.le(value, 8)
  }

  /** An opcode with the distance to a label behind it. */
  to(label: string, size: 1 | 4, ...opcode: readonly number[]): void {
    this.raw(...opcode)
    this.#fix(label, size, false)
  }

  #fix(label: string, size: 1 | 4, isAbsolute: boolean): void {
    this.#fixups.push({ at: this.bytes.length, label, size, isAbsolute })
    this.le(0, size)
  }

  /** Loads a label's address. */
  address(register: number, label: string): void {
    if (!this.isLong) {
      this.short(0xb8, register)
      return this.#fix(label, 4, true)
    }
    this.to(label, 4, register >= 8 ? 0x4c : 0x48, 0x8d, (register & 7) << 3 | 5)
  }

  addressOf(label: string): number {
    const found = this.#labels.get(label)
    assert(found !== undefined, `there is a label ${label}`)
    return found
  }

  finish(): Uint8Array {
    const bytes = Uint8Array.from(this.bytes)
    for (const { at, label, size, isAbsolute } of this.#fixups) {
      const address = this.addressOf(label)
      const distance = isAbsolute ? address : address - this.origin - at - size
      assert(size === 4 || distance >= -128 && distance < 128, `${label} is near`)
      for (let i = 0; i < size; i++) bytes[at + i] = distance >> i * 8
    }
    return bytes
  }
}

/** Index and base, as far as prefixes must know. */
function registersOf(target: number | Memory): readonly [number, number] {
  return typeof target === 'number' ? [0, target] : [target.index ?? 0, target.base ?? 0]
}

/** Whether ModRM's register is more of the opcode. */
function isExtension([first, second]: readonly number[]): boolean {
  if (first === 0x0f) return [0xba, 0xae, 0xc7].includes(second!) || (second! & 0xf0) === 0x90
  return first! >= 0x80 && first! <= 0x83 || first === 0x8f || first! >= 0xc0 && first! <= 0xc7
    || first! >= 0xd0 && first! <= 0xdf || first! >= 0xf6
}
