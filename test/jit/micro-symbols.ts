/**
 * The micro-TLB as regions see it (src/cpu/mmu/micro-tlb.ts): what loads from it find, and for
 * which accesses its entries are.
 */
import { TABLE_BYTES, TLB_SETS } from '../../src/cpu/core-memory.ts'

const [LOAD32, LOAD64, LOAD64_BY_32] = [0x28, 0x29, 0x35]
const ENTRIES = 80
/** From the tables of a set to its micro-TLB; bytes of the places of its entries. */
const MICRO_TLB = TLB_SETS * 2 * TABLE_BYTES
const MICRO_PLACES = ENTRIES * 4

/** What an entry of the micro-TLB says, by its parts. */
export interface MicroPart {
  readonly number: number
  readonly part: 'places' | 'last' | 'addend'
}

/** What a load at an offset from the tables finds in the micro-TLB; see mmu/micro-tlb.ts. */
export function microPart(opcode: number, offset: number): MicroPart | undefined {
  const at = offset - MICRO_TLB
  if (at < 0) return undefined
  if (opcode === LOAD64_BY_32) return { number: at / 4 + 1, part: 'places' }
  const rest = at - MICRO_PLACES
  if (opcode === LOAD64) return { number: rest / 16 + 1, part: 'last' }
  return opcode === LOAD32 ? { number: (rest - 8) / 16 + 1, part: 'addend' } : undefined
}

/** For which accesses an entry of the micro-TLB is: there are 8 of a kind for each width. */
export function microKind(number: number): { bytes: number, isForStores: boolean } {
  const kind = number - 1 >> 3
  return { bytes: 1 << (kind >> 1), isForStores: (kind & 1) === 1 }
}

/** Whether a slow access with these flags, which must be known, sets no entry for another kind. */
export function isRightEntry(flags: bigint | undefined, isLoad: boolean): boolean {
  if (flags === undefined) return false
  const number = Number(BigInt.asUintN(32, flags) >> 16n)
  return number === 0 || number <= ENTRIES && microKind(number).isForStores !== isLoad
}
