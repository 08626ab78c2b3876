/**
 * Control registers, EFER, XCR0 and exception vectors, bit by bit (AMD APM 2, 3.1 and 8.2).
 */

export const CR0 = {
  PE: 1 << 0, MP: 1 << 1, EM: 1 << 2, TS: 1 << 3, ET: 1 << 4, NE: 1 << 5, WP: 1 << 16, AM: 1 << 18,
  NW: 1 << 29, CD: 1 << 30, PG: 0x8000_0000,
} as const

/** Every bit of CR0 that exists. */
export const CR0_DEFINED = 0xe005_003f

export const CR4 = {
  VME: 1 << 0, PVI: 1 << 1, TSD: 1 << 2, DE: 1 << 3, PSE: 1 << 4, PAE: 1 << 5, MCE: 1 << 6,
  PGE: 1 << 7, PCE: 1 << 8, OSFXSR: 1 << 9, OSXMMEXCPT: 1 << 10, UMIP: 1 << 11, FSGSBASE: 1 << 16,
  PCIDE: 1 << 17, OSXSAVE: 1 << 18, SMEP: 1 << 20, SMAP: 1 << 21,
} as const

export const EFER = {
  SCE: 1 << 0, LME: 1 << 8, LMA: 1 << 10, NXE: 1 << 11, SVME: 1 << 12, LMSLE: 1 << 13,
  FFXSR: 1 << 14, TCE: 1 << 15, AIBRSE: 1 << 21,
} as const

/** Components of the extended state, as bits of XCR0. */
export const XCR0 = { X87: 1 << 0, SSE: 1 << 1, AVX: 1 << 2 } as const

export const Vector = {
  DE: 0, DB: 1, NMI: 2, BP: 3, OF: 4, BR: 5, UD: 6, NM: 7, DF: 8, TS: 10, NP: 11, SS: 12, GP: 13,
  PF: 14, MF: 16, AC: 17, MC: 18, XM: 19,
} as const

/** Exceptions that push an error code. */
const ERROR_CODES = 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21

export function pushesErrorCode(vector: number): boolean {
  return vector < 32 && (ERROR_CODES >> vector & 1) !== 0
}

/** Bits of DR6 and DR7. */
export const DR6_FIXED = 0xffff_0ff0
export const DR6_BD = 1 << 13
export const DR6_BS = 1 << 14
export const DR6_BT = 1 << 15
export const DR7_FIXED = 0x400
export const DR7_GD = 1 << 13
