/**
 * 64-bit code by its parts: opcode, prefixes, register and register or memory operand; with labels,
 * whose places are known when all is laid out.
 */
import { assert } from '../../src/base/assert.ts'

export const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7] as const
export const [R14, R15] = [14, 15] as const

export interface Memory {
  readonly base?: number
  readonly index?: number
  /** 0 to 3: the index times 1 to 8. */
  readonly scale?: number
  readonly displacement: number
}

export interface Form {
  readonly width?: 8 | 16 | 32 | 64
  readonly lock?: boolean
  readonly mandatory?: number
}

interface Fixup {
  readonly at: number
  readonly label: string
  readonly size: 1 | 4
}

export class Code {
  readonly origin: number
  readonly bytes: number[] = []
  readonly #labels = new Map<string, number>()
  readonly #fixups: Fixup[] = []

  constructor(origin: number) {
    this.origin = origin
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
    const { width = 32, lock, mandatory } = form
    if (lock) this.raw(0xf0)
    if (width === 16) this.raw(0x66)
    if (mandatory) this.raw(mandatory)
    const [index, base] = typeof target === 'number' ? [0, target]
      : [target.index ?? 0, target.base ?? 0]
    const rex = (width === 64 ? 8 : 0) | (reg & 8) >> 1 | (index & 8) >> 2 | (base & 8) >> 3
    if (rex) this.raw(0x40 | rex)
    this.raw(...opcode)
    if (typeof target === 'number') this.raw(0xc0 | (reg & 7) << 3 | target & 7)
    else this.#memory(reg & 7, target)
  }

  #memory(reg: number, { base, index, scale = 0, displacement }: Memory): void {
    const small = displacement >= -128 && displacement < 128
    const mode = base === undefined ? 0 : small ? 1 : 2
    const low = base === undefined ? 5 : base & 7
    this.raw(mode << 6 | reg << 3 | 4, scale << 6 | (index ?? 4) % 8 << 3 | low)
    this.le(displacement, mode === 1 ? 1 : 4)
  }

  /** Loads a constant of 32 bits, zero-extended. */
  constant(register: number, value: number): void {
    if (register >= 8) this.raw(0x41)
    this.raw(0xb8 + (register & 7))
    this.le(value, 4)
  }

  /** Loads a constant of 64 bits. */
  constant64(register: number, value: bigint): void {
    this.raw(register >= 8 ? 0x49 : 0x48, 0xb8 + (register & 7))
    this.le(value, 8)
  }

  /** An opcode with the distance to a label behind it. */
  to(label: string, size: 1 | 4, ...opcode: readonly number[]): void {
    this.raw(...opcode)
    this.#fixups.push({ at: this.bytes.length, label, size })
    this.le(0, size)
  }

  /** Loads a label's address. */
  address(register: number, label: string): void {
    this.to(label, 4, register >= 8 ? 0x4c : 0x48, 0x8d, (register & 7) << 3 | 5)
  }

  addressOf(label: string): number {
    const found = this.#labels.get(label)
    assert(found !== undefined, `there is a label ${label}`)
    return found
  }

  finish(): Uint8Array {
    const bytes = Uint8Array.from(this.bytes)
    for (const { at, label, size } of this.#fixups) {
      const distance = this.addressOf(label) - this.origin - at - size
      assert(size === 4 || distance >= -128 && distance < 128, `${label} is near`)
      for (let i = 0; i < size; i++) bytes[at + i] = distance >> i * 8
    }
    return bytes
  }
}
