/**
 * What the pieces of random programs are made of: registers, numbers, places in memory, by chance.
 */
import type { Random } from '../isa/decoder/byte-strings.ts'
import { type Code, type Memory, R14, RAX, RBX, RCX, RDI, RDX, RSI, RSP } from './encoder.ts'
import { DATA_AT, DATA_PAGES } from './machine.ts'

/** What a unit may refer to. */
export interface Surroundings {
  readonly code: Code
  readonly random: Random
  /** Name stem of the unit's own labels. */
  readonly name: string
  /** Which kind of units there are more of. */
  readonly theme: number
  /** The host CPU runs it too: what Linux's processes cannot do, or is undefined, is left out. */
  readonly isNative: boolean
  /** A label further on in the same function. */
  ahead(): string
  /** A label at or before the unit in the same function. */
  behind(): string
  /** A function that may be called, if there is one. */
  callee(): string | undefined
  /** Marks the next `size` bytes as such that other code may write `values` into. */
  patchable(size: 1 | 4, values?: readonly number[]): void
  /** A place that was marked, if there is one. */
  patch(): Patch | undefined
}

export interface Patch {
  readonly label: string
  readonly size: 1 | 4
  readonly values?: readonly number[] | undefined
}

const free = [RAX, RCX, RDX, RBX, 5, RSI, RDI, 8, 9, 10, 11, 12, 13] as const
export const widths = [8, 16, 32, 64] as const

export class Choices {
  protected readonly at: Surroundings
  protected readonly code: Code
  protected readonly random: Random
  #labels = 0

  constructor(at: Surroundings) {
    this.at = at
    this.code = at.code
    this.random = at.random
  }

  protected pick<T>(list: readonly T[]): T {
    return list[this.random.below(list.length)]!
  }

  protected chance(of: number): boolean {
    return this.random.below(of) === 0
  }

  protected register(): number {
    return this.pick(free)
  }

  /** A register of a width: of the bytes, also the high ones. */
  protected registerOf(width: number): number {
    return width === 8 && this.chance(3) ? 4 + this.random.below(4)
      : width === 8 ? this.pick([0, 1, 2, 3, 4, 7, 8, 9, 13]) : this.register()
  }

  protected label(): string {
    return `${this.at.name}.${this.#labels++}`
  }

  protected number(): number {
    const next = this.random.next()
    return this.pick([0, 1, -1, 2, 0x7f, 0x80, 0xff, 0x7fff_ffff, -0x8000_0000, next | 0,
      next >>> 16 & 0xffff])
  }

  /** An offset in the data, often at the border of a page. */
  protected offset(): number {
    const page = this.random.below(DATA_PAGES)
    if (this.chance(3)) return Math.max(page * 4096 - 1 - this.random.below(17), 0)
    return page * 4096 + (this.random.below(4080) & -this.pick([1, 2, 4, 8, 16]))
  }

  /** A place in the data; may load a register for it. */
  protected memory(): Memory {
    const offset = this.offset()
    switch (this.random.below(6)) {
      case 0: return { displacement: DATA_AT + offset }
      case 1: {
        const base = this.register()
        const displacement = this.random.below(256) - 128
        this.code.constant(base, DATA_AT + offset - displacement)
        return { base, displacement }
      }
      case 2: {
        const index = this.register()
        const scale = this.random.below(4)
        const steps = Math.min(this.random.below(64), offset >> scale)
        this.code.constant(index, steps)
        return { base: R14, index, scale, displacement: offset - (steps << scale) }
      }
      case 3: return { base: RSP, displacement: this.random.below(200) - 100 }
      default: return { base: R14, displacement: offset }
    }
  }

  /** After what leaves flags undefined. */
  protected defineFlags(): void {
    if (this.at.isNative) this.code.raw(0x04, 0) // add al, 0
  }

  protected target(width: number): number | Memory {
    return this.chance(3) ? this.memory() : this.registerOf(width)
  }
}
