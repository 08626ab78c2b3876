/**
 * Test cases and outcomes in binary, as harness.c has them; every engine under test reads and
 * writes this form.
 */

/** Addresses that cases may count on. */
export const ENTRY = 0x10001000
export const WINDOW_BYTES = 512
export const WINDOW_AT = 0x20000000 + 4096 - WINDOW_BYTES
export const PAGE_AT = 0x20000000
export const PAGE_END = 0x20001000
export const GS_BASE = 0x1000n

export const CASE_BYTES = 1344
/** Byte offsets in a case; an outcome has the last four instead of three after flags. `high` are
 * the upper halves of the vector registers. */
export const at = {
  gpr: 0, flags: 128, length: 136, legacy: 140, code: 144, fx: 160, high: 576, window: 832,
  rip: 136, vector: 144, errorCode: 148, stray: 152,
} as const
/** Offsets in the FXSAVE image at `fx`. */
export const fxAt = { control: 0, status: 2, tags: 4, mxcsr: 24, st: 32, xmm: 160 } as const

/** What the decoder must know, by whether a case is 32-bit code. */
export const LONG_MODE = { long: true, defaultSize32: true } as const
export const LEGACY_MODE = { long: false, defaultSize32: true } as const

/** Many cases or outcomes in one buffer. */
export class Cases {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly count: number

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.count = bytes.length / CASE_BYTES
  }

  static make(count: number): Cases {
    return new Cases(new Uint8Array(count * CASE_BYTES))
  }

  u64(index: number, offset: number): bigint {
    return this.view.getBigUint64(index * CASE_BYTES + offset, true)
  }

  setU64(index: number, offset: number, value: bigint): void {
    this.view.setBigUint64(index * CASE_BYTES + offset, value, true)
  }

  u32(index: number, offset: number): number {
    return this.view.getUint32(index * CASE_BYTES + offset, true)
  }

  setU32(index: number, offset: number, value: number): void {
    this.view.setUint32(index * CASE_BYTES + offset, value, true)
  }

  u16(index: number, offset: number): number {
    return this.view.getUint16(index * CASE_BYTES + offset, true)
  }

  setU16(index: number, offset: number, value: number): void {
    this.view.setUint16(index * CASE_BYTES + offset, value, true)
  }

  slice(index: number, offset: number, length: number): Uint8Array {
    const start = index * CASE_BYTES + offset
    return this.bytes.subarray(start, start + length)
  }
}

/** Something that runs cases: the host CPU, the reference reading, the interpreter. */
export interface Engine {
  run(cases: Cases): Cases
}
