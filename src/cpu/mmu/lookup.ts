/**
 * The form of the entries of a data TLB, and the look-up as all generated code has it inline.
 *
 * A table is indexed by the low bits of the page number. An entry has in its upper 40 bits those of
 * the linear address, and below, in bits 4 to 23, what must be added to bits 12 to 31 of the linear
 * address to make a machine address; its low four bits are zero, so that one test asks for a hit
 * and for alignment: what is aligned does not leave its page. The index covers one bit that the
 * entry has too: where the two differ, the entry serves no address at all, and so is empty.
 *
 * Code loads the entry of an address into a local, asks whether it hits, and then forms machine
 * addresses from it: as many as it likes while they stay in the page.
 */
import { assert } from '../../base/assert.ts'
import { i32, i64, type Expression } from '../../wasm/expression.ts'
import { TABLE_BYTES, TLB_BITS, TLB_ENTRIES } from '../core-memory.ts'

/** Bits of a linear address from here on are the entry's. */
const TAG_SHIFT = 24
const TAG = -1n << BigInt(TAG_SHIFT)
/** From an entry's addend to the machine address's. */
const ADDEND_SHIFT = 8
/** The bit of the index that an entry has as well. */
const SHARED_BIT = TAG_SHIFT - 12

assert(TLB_BITS > SHARED_BIT, 'the index covers the lowest bit of the tag')
assert(12 + TLB_BITS <= 32, 'the index is of the low half of an address')

/** -> i32: where the entry that serves a linear address stands in a table. */
export function entryOffset(linear: Expression): Expression {
  return i32.and(i32.shrU(i32.wrap(linear), i32.const(9)), i32.const((TLB_ENTRIES - 1) * 8))
}

/** -> i64: the entry that serves a linear address in a table of memory `core`: that of loads at
 * `tables`, or that of stores. */
export function entryOf(
  core: number, tables: Expression, linear: Expression, write: boolean,
): Expression {
  return i64.load(core, i32.add(tables, entryOffset(linear)), write ? TABLE_BYTES : 0)
}

/** -> i32: 1 when the entry translates the address, and the address is a multiple of `alignment`, a
 * power of two up to 16. */
export function hits(linear: Expression, entry: Expression, alignment = 1): Expression {
  const wanted = i64.const(TAG | BigInt(alignment - 1))
  return i64.eqz(i64.and(i64.xor(linear, entry), wanted))
}

/** -> i32: what the low half of an address is to be increased by, once the entry hits. */
export function addendOf(entry: Expression): Expression {
  return i32.shl(i32.wrap(entry), i32.const(ADDEND_SHIFT))
}

/** -> i32: the machine address, once the entry hits. */
export function machineAddress(linear: Expression, entry: Expression): Expression {
  return i32.add(i32.wrap(linear), addendOf(entry))
}

/** -> i32: 1 when an access of `bytes` bytes does not cross into the next page. */
export function endsInPage(linear: Expression, bytes: number): Expression {
  return i32.leU(i32.and(i32.wrap(linear), i32.const(0xfff)), i32.const(4096 - bytes))
}

/** -> i64: the first address of the page of an address. */
export function pageStart(linear: Expression): Expression {
  return i64.and(linear, i64.const(-0x1000n))
}

/** -> i32: 1 when an access of `bytes` bytes is all in the page that begins at `first`. */
export function inPageFrom(first: Expression, linear: Expression, bytes: number): Expression {
  return i64.leU(i64.sub(linear, first), i64.const(4096 - bytes))
}

/** -> i64: in place of the first address of the page of `linear`, one that differs by more than any
 * displacement from all near `linear`, so that nothing is in its page. */
export function farFrom(linear: Expression): Expression {
  return i64.xor(linear, i64.const(1n << 62n))
}

/** -> i64: the entry that leads from the page of `linear` to a machine page, given by its first
 * address. */
export function newEntry(linear: Expression, machine: Expression): Expression {
  const addend = i32.sub(machine, i32.and(i32.wrap(linear), i32.const(-0x1000)))
  return i64.or(i64.and(linear, i64.const(TAG)),
    i64.extendU(i32.shrU(addend, i32.const(ADDEND_SHIFT))))
}

/** -> i64: an empty entry for an index (bits above it are ignored): 0 where the shared bit is 1,
 * and all ones where it is 0, so that a table is emptied by runs of bytes. */
export function emptyEntry(index: Expression): Expression {
  const bit = i32.and(i32.shrU(index, i32.const(SHARED_BIT)), i32.const(1))
  return i64.extendS(i32.sub(bit, i32.const(1)))
}

/** Entries in a run of those that are empty in the same way, beginning with ones. */
export const EMPTY_RUN = 1 << SHARED_BIT

/** -> i32: 1 when the entry at an index serves a page. */
export function isFull(entry: Expression, index: Expression): Expression {
  const bit = i32.wrap(i64.shrU(entry, i64.const(TAG_SHIFT)))
  const same = i32.xor(bit, i32.shrU(index, i32.const(SHARED_BIT)))
  return i32.eqz(i32.and(same, i32.const(1)))
}

/** -> i64: a linear address in the page that a full entry at an index serves. */
export function pageOf(entry: Expression, index: Expression): Expression {
  const low = i32.shl(i32.and(index, i32.const((1 << SHARED_BIT) - 1)), i32.const(12))
  return i64.or(i64.and(entry, i64.const(TAG)), i64.extendU(low))
}
