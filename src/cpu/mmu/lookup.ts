/**
 * The look-up of a data page in the TLB, as all generated code has it inline: the one place that
 * knows the form of the entries (core-memory.ts says what it is).
 *
 * Code loads the entry of an address into a local, asks whether it hits, and then forms machine
 * addresses from it: as many as it likes while they stay in the page.
 */
import { i32, i64, type Expression } from '../../wasm/expression.ts'
import { TLB_ENTRIES } from '../core-memory.ts'

/** -> i64: the entry that serves a linear address in the table at `table` of memory `core`. */
export function entryOf(core: number, table: Expression, linear: Expression): Expression {
  const index = i32.and(i32.wrap(i64.shrU(linear, i64.const(9))), i32.const((TLB_ENTRIES - 1) * 8))
  return i64.load(core, i32.add(table, index))
}

/** -> i32: 1 when the entry translates the address, and the address is a multiple of `alignment`, a
 * power of two up to 16. */
export function hits(linear: Expression, entry: Expression, alignment = 1): Expression {
  const found = i64.xor(linear, entry)
  if (alignment === 1) return i64.eqz(i64.shrU(found, i64.const(32)))
  return i64.eqz(i64.and(found, i64.const(-0x1_0000_0000n | BigInt(alignment - 1))))
}

/** -> i32: the machine address, once the entry hits. */
export function machineAddress(linear: Expression, entry: Expression): Expression {
  return i32.wrap(i64.xor(linear, entry))
}
