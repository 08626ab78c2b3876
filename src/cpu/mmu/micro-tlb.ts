/**
 * The micro-TLB: a few entries beside the tables of each set, each for accesses of one kind and
 * width, of which compiled code names the one to ask. So its look-up is a subtraction and a
 * comparison, and no more than that in a loop which stays in a page.
 *
 * An entry has the first address of a page, what makes machine addresses of the low halves of its
 * addresses, and how many of its addresses an access may begin at: none in an empty entry. It holds
 * as long as one of the table does: whatever empties entries of a set empties its micro-TLB.
 * Compiled code only reads it; an entry is set by a slow access that the table serves, to which its
 * number was given.
 */
import { assert } from '../../base/assert.ts'
import { i32, i64, v128, type Expression } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { coreMap, TABLE_BYTES, TLB_SETS } from '../core-memory.ts'
import { addendOf, pageStart } from './lookup.ts'

/** Entries for accesses of one kind and width. */
const MICRO_ENTRIES = 8
/** Widths: 1, 2, 4, 8 and 16 bytes, for loads and for stores. */
const ENTRIES = 5 * 2 * MICRO_ENTRIES
/** From the tables of a set to its micro-TLB: places of all entries, then the rest of them. */
const PLACES = TLB_SETS * 2 * TABLE_BYTES
const LAST = PLACES + ENTRIES * 4
const ADDEND = LAST + 8
/** 0 while all entries are empty. */
const IS_USED = LAST + ENTRIES * 16

/** Log2 of the entries for one width. */
const WIDTH_SHIFT = Math.log2(2 * MICRO_ENTRIES)
/** Numbers of entries begin with 1, and stand from this bit of an access's flags on. */
const NUMBER_SHIFT = 16

assert(coreMap.tlbTables + PLACES + TLB_SETS * 2 * TABLE_BYTES <= coreMap.tlbLogs,
  'the micro-TLBs lie between tables and logs')

/** The number of one of the entries for accesses of `bytes` bytes. */
export function microEntry(write: boolean, bytes: number, which: number): number {
  const kind = Math.log2(bytes) * 2 + (write ? 1 : 0)
  return 1 + kind * MICRO_ENTRIES + which % MICRO_ENTRIES
}

/** Flags of a slow access that is to set an entry. */
export function settingEntry(number: number): number {
  return number << NUMBER_SHIFT
}

/** Whether flags of a slow access are of one that is to set an entry. */
export function setsEntry(flags: number): boolean {
  return flags >>> NUMBER_SHIFT !== 0
}

/** -> i32: 1 when an entry has the whole access. */
export function microHit(
  core: number, tables: Expression, number: number, linear: Expression,
): Expression {
  const last = i64.load(core, tables, LAST + (number - 1) * 16)
  return i64.ltU(i64.sub(last, linear), i64.load32U(core, tables, PLACES + (number - 1) * 4))
}

/** -> i32: the machine address, once the entry hits. */
export function microAddress(
  core: number, tables: Expression, number: number, linear: Expression,
): Expression {
  return i32.add(i32.wrap(linear), i32.load(core, tables, ADDEND + (number - 1) * 16))
}

/** Sets the entry that the flags of an access ask for, if they do, by the entry of the table that
 * serves its address. */
export function emitSetEntry(
  f: FunctionBuilder, core: number,
  { flags, tables, linear, entry }: Readonly<Record<'flags' | 'tables' | 'linear' | 'entry',
    Expression>>,
): void {
  const index = i32.sub(i32.shrU(flags, i32.const(NUMBER_SHIFT)), i32.const(1))
  f.if(i32.geS(index, i32.const(0)), () => {
    const at = (shift: number): Expression => i32.add(tables, i32.shl(index, i32.const(shift)))
    const bytes = i32.shl(i32.const(1), i32.shrU(index, i32.const(WIDTH_SHIFT)))
    const places = i32.sub(i32.const(4097), bytes)
    f.store('i32', core, at(2), places, PLACES)
    f.store('i64', core, at(4),
      i64.add(pageStart(linear), i64.extendU(i32.sub(places, i32.const(1)))), LAST)
    f.store('i32', core, at(4), addendOf(entry), ADDEND)
    f.store('i32', core, tables, i32.const(1), IS_USED)
  })
}

/** Empties the micro-TLB of the set with these tables. */
export function emitEmptyMicro(f: FunctionBuilder, core: number, tables: Expression): void {
  const at = f.local('i32')
  f.set(at, tables)
  f.if(i32.load(core, at, IS_USED), () => {
    for (let offset = 0; offset < ENTRIES * 4; offset += 16) {
      f.store('v128', core, at, v128.const(0n), PLACES + offset)
    }
    f.store('i32', core, at, i32.const(0), IS_USED)
  })
}
