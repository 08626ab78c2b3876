/**
 * A small assembler for guests of 32-bit code: the instructions that they use by name, any other by
 * its bytes. Operands are as in Intel's order, the target first; addresses are absolute.
 */
import { assert } from '../../src/base/assert.ts'

export const [EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI] = [0, 1, 2, 3, 4, 5, 6, 7] as const
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7

/** A number, or the name of a label. */
export type Value = number | string

const arithmetic = { add: 0, or: 1, and: 4, sub: 5, xor: 6, cmp: 7 } as const
const shifts = { rol: 0, shl: 4, shr: 5 } as const
const conditions = { below: 2, above: 7, equal: 4, other: 5, atLeast: 3, less: 12 } as const

export type Arithmetic = keyof typeof arithmetic
export type Condition = keyof typeof conditions

interface Fixup {
  readonly at: number
  readonly label: string
  readonly relative: boolean
}

export class Assembly {
  readonly origin: number
  readonly #bytes: number[] = []
  readonly #labels = new Map<string, number>()
  readonly #fixups: Fixup[] = []
  #anonymous = 0

  constructor(origin: number) {
    this.origin = origin
  }

  /** The address of what comes next. */
  get here(): number {
    return this.origin + this.#bytes.length
  }

  /** Bytes as they are. */
  bytes(...bytes: readonly number[]): this {
    for (const byte of bytes) this.#bytes.push(byte & 0xff)
    return this
  }

  text(text: string): this {
    return this.bytes(...new TextEncoder().encode(text))
  }

  word(value: Value): this {
    return this.#value(value, false)
  }

  align(boundary: number): this {
    while (this.here % boundary !== 0) this.#bytes.push(0)
    return this
  }

  label(name: string): this {
    assert(!this.#labels.has(name), `the label ${name} is there once`)
    this.#labels.set(name, this.here)
    return this
  }

  /** A name that nothing else has. */
  fresh(stem: string): string {
    return `${stem}.${this.#anonymous++}`
  }

  mov(to: Register, value: Value): this {
    return this.bytes(0xb8 + to).word(value)
  }

  copy(to: Register, from: Register): this {
    return this.bytes(0x89, 0xc0 | from << 3 | to)
  }

  load(to: Register, address: Value): this {
    return this.bytes(0x8b, 0x05 | to << 3).word(address)
  }

  store(address: Value, from: Register): this {
    return this.bytes(0x89, 0x05 | from << 3).word(address)
  }

  /** Stores an immediate word. */
  put(address: Value, value: Value): this {
    return this.bytes(0xc7, 0x05).word(address).word(value)
  }

  /** Loads from, or stores to, `base` and a displacement; ESP is no base here. */
  loadAt(to: Register, base: Register, displacement = 0): this {
    return this.bytes(0x8b, 0x80 | to << 3 | base).word(displacement)
  }

  storeAt(base: Register, displacement: number, from: Register): this {
    return this.bytes(0x89, 0x80 | from << 3 | base).word(displacement)
  }

  /** Loads from, or stores to, the stack. */
  loadStack(to: Register, displacement: number): this {
    return this.bytes(0x8b, 0x84 | to << 3, 0x24).word(displacement)
  }

  storeStack(displacement: number, from: Register): this {
    return this.bytes(0x89, 0x84 | from << 3, 0x24).word(displacement)
  }

  /** Arithmetic with an immediate. */
  op(name: Arithmetic, to: Register, value: Value): this {
    return this.bytes(0x81, 0xc0 | arithmetic[name] << 3 | to).word(value)
  }

  /** Arithmetic between registers. */
  with(name: Arithmetic, to: Register, from: Register): this {
    return this.bytes(arithmetic[name] << 3 | 1, 0xc0 | from << 3 | to)
  }

  shift(name: keyof typeof shifts, to: Register, count: number): this {
    return this.bytes(0xc1, 0xc0 | shifts[name] << 3 | to, count)
  }

  inc(to: Register): this {
    return this.bytes(0x40 + to)
  }

  dec(to: Register): this {
    return this.bytes(0x48 + to)
  }

  push(from: Register): this {
    return this.bytes(0x50 + from)
  }

  pop(to: Register): this {
    return this.bytes(0x58 + to)
  }

  call(label: string): this {
    return this.bytes(0xe8).#value(label, true)
  }

  jump(label: string): this {
    return this.bytes(0xe9).#value(label, true)
  }

  when(condition: Condition, label: string): this {
    return this.bytes(0x0f, 0x80 | conditions[condition]).#value(label, true)
  }

  ret(): this {
    return this.bytes(0xc3)
  }

  /** Repeats for ever. */
  forever(body: () => void): this {
    const again = this.fresh('again')
    this.label(again)
    body()
    return this.jump(again)
  }

  /** Repeats `count` times; the count is kept on the stack. */
  times(count: number, body: () => void): this {
    const again = this.fresh('again')
    this.mov(ECX, count).label(again).push(ECX)
    body()
    return this.pop(ECX).dec(ECX).when('other', again)
  }

  /** The finished bytes. */
  finish(): Uint8Array {
    const bytes = Uint8Array.from(this.#bytes)
    const view = new DataView(bytes.buffer)
    for (const { at, label, relative } of this.#fixups) {
      const address = this.#labels.get(label)
      assert(address !== undefined, `there is a label ${label}`)
      view.setUint32(at, relative ? address - this.origin - at - 4 : address, true)
    }
    return bytes
  }

  #value(value: Value, relative: boolean): this {
    if (typeof value === 'string') {
      this.#fixups.push({ at: this.#bytes.length, label: value, relative })
      return this.bytes(0, 0, 0, 0)
    }
    return this.bytes(value, value >> 8, value >> 16, value >> 24)
  }
}
