/**
 * Segment and gate descriptors as they lie in memory (AMD APM 2, 4.7 and 4.8).
 */

/** Types of system descriptors. In long mode only LDT, TSS32, CALL32, INTERRUPT32, TRAP32 exist,
 * and mean their 64-bit forms. */
export const SystemType = {
  TSS16: 1, LDT: 2, TSS16_BUSY: 3, CALL16: 4, TASK_GATE: 5, INTERRUPT16: 6, TRAP16: 7,
  TSS32: 9, TSS32_BUSY: 11, CALL32: 12, INTERRUPT32: 14, TRAP32: 15,
} as const

export const TYPE_ACCESSED = 1
/** Of data segments; code segments have READABLE in the same place. */
export const TYPE_WRITABLE = 2
export const TYPE_EXPAND_DOWN = 4
export const TYPE_CONFORMING = 4
export const TYPE_CODE = 8

/** Attributes (state.ts) of the flat segments that SYSCALL and its like load. */
export const FLAT_CODE64 = 0xa9b
export const FLAT_CODE32 = 0xc9b
export const FLAT_DATA = 0xc93
/** And of what virtual-8086 and real mode have. */
export const V86_SEGMENT = 0xf3
export const REAL_SEGMENT = 0x93

/** One descriptor of eight bytes; `upper` holds bits 32 to 63 of a base or offset of 64 bits. */
export class Descriptor {
  readonly low: number
  readonly high: number
  readonly upper: number

  constructor(bits: bigint, upper = 0) {
    this.low = Number(bits & 0xffff_ffffn)
    this.high = Number(bits >> 32n)
    this.upper = upper
  }

  get type(): number { return this.high >>> 8 & 15 }
  get isSystem(): boolean { return (this.high & 0x1000) === 0 }
  get dpl(): number { return this.high >>> 13 & 3 }
  get present(): boolean { return (this.high & 0x8000) !== 0 }
  get long(): boolean { return (this.high & 1 << 21) !== 0 }
  get big(): boolean { return (this.high & 1 << 22) !== 0 }

  get isCode(): boolean { return (this.high & 0x1800) === 0x1800 }
  get isConforming(): boolean { return (this.high & 0x1c00) === 0x1c00 }
  get isWritableData(): boolean { return (this.high & 0x1a00) === 0x1200 }
  /** Data, or code that may be read. */
  get isReadable(): boolean { return !this.isSystem && (!this.isCode || (this.type & 2) !== 0) }
  get isAccessed(): boolean { return (this.high & 0x100) !== 0 }

  get base(): bigint {
    const low = ((this.high & 0xff00_0000 | (this.high & 0xff) << 16) >>> 0) + (this.low >>> 16)
    return BigInt(low) | BigInt(this.upper) << 32n
  }

  /** In bytes: granularity is applied. */
  get limit(): number {
    const raw = this.high & 0xf_0000 | this.low & 0xffff
    return this.high & 1 << 23 ? (raw << 12 | 0xfff) >>> 0 : raw
  }

  /** The twelve bits that a segment register keeps (state.ts). */
  get attributes(): number {
    return this.high >>> 8 & 0xff | this.high >>> 12 & 0xf00
  }

  // Gates.

  get gateSelector(): number { return this.low >>> 16 }
  get gateOffset(): bigint {
    const low = (this.high & 0xffff_0000 | this.low & 0xffff) >>> 0
    return BigInt(low) | BigInt(this.upper) << 32n
  }

  /** Words that a legacy call gate copies. */
  get gateCount(): number { return this.high & 31 }
  /** The interrupt stack table's entry that a 64-bit gate names. */
  get gateIst(): number { return this.high & 7 }
}
