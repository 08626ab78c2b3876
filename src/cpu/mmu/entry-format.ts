/**
 * The bits of page table entries and of page fault error codes (AMD APM 2, 5.4 and 8.4.2).
 */
import { PHYSICAL_ADDRESS_BITS } from '../p2m-format.ts'

/** Bits of page table entries. */
export const Pte = {
  P: 1 << 0, RW: 1 << 1, US: 1 << 2, A: 1 << 5, D: 1 << 6, PS: 1 << 7, G: 1 << 8,
} as const

/** Bits of a page fault's error code. */
export const PageFault = { P: 1, RW: 2, US: 4, RSVD: 8, ID: 16 } as const

export const NX = 1n << 63n
export const ADDRESS = (1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n & ~0xfffn
/** Physical address bits that the processor does not have. */
export const RESERVED = (1n << 52n) - (1n << BigInt(PHYSICAL_ADDRESS_BITS))
/** PAE entries outside long mode have no bits for software above the address. */
export const RESERVED_PAE = (1n << 63n) - (1n << BigInt(PHYSICAL_ADDRESS_BITS))
export const RESERVED_PML4E = 0x180n
export const RESERVED_PDPTE_PAE = RESERVED_PAE | NX | 0x1e6n
export const RESERVED_1G = 0x3fff_e000n
export const RESERVED_2M = 0x1f_e000n
/** Above the four bits of PSE-36 that 36 address bits need. */
export const RESERVED_4M = 0x3e_0000n
