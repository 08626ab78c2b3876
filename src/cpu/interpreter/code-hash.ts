/**
 * Where the hash of decoded code has an instruction: one of two places, which follow from its
 * machine address. An entry is that address, then the record and its mode.
 *
 * Those that share one place seldom share both, so that there is room for all that are in use.
 */
import { type Expression, i32, type Local } from '../../wasm/expression.ts'
import { CODE_HASH_BITS, coreMap } from '../core-memory.ts'

const MASK = (1 << CODE_HASH_BITS) - 1
const MIX_SHIFT = CODE_HASH_BITS - 3
/** The bits of the address by which the places differ; together they differ at least by one. */
const SKEW_SHIFT = 13
const SKEW_MASK = 0x1fe
const HASH_WORDS = coreMap.codeHash >>> 2

/** Index, in core memory's words, of the place at which an address should be. */
export function firstPlace(machine: number): number {
  return HASH_WORDS + ((machine ^ machine >>> MIX_SHIFT) & MASK) * 2
}

/** The other place of an address that is in one of its two. */
export function otherPlace(place: number, machine: number): number {
  return place ^ (machine >>> SKEW_SHIFT & SKEW_MASK | 1) * 2
}

/** The place that an address is to take: one that is free, or else the first or the other, best by
 * turns: what is driven out and in use comes back, until all that are in use have places. */
export function placeFor(words: Uint32Array, machine: number, takesFirst: boolean): number {
  const first = firstPlace(machine)
  if (isFor(words, first, machine)) return first
  const other = otherPlace(first, machine)
  return isFor(words, other, machine) || !takesFirst ? other : first
}

/** Whether a place is an address's, or nobody's. */
function isFor(words: Uint32Array, place: number, machine: number): boolean {
  return words[place + 1] === 0 || words[place] === machine
}

/** As firstPlace, but in bytes from the hash's start. */
export function emitFirstPlace(machine: Local): Expression {
  const mixed = i32.xor(machine, i32.shrU(machine, i32.const(MIX_SHIFT)))
  return i32.shl(i32.and(mixed, i32.const(MASK)), i32.const(3))
}

/** As otherPlace, but in bytes from the hash's start. */
export function emitOtherPlace(place: Local, machine: Local): Expression {
  const skew = i32.and(i32.shrU(machine, i32.const(SKEW_SHIFT)), i32.const(SKEW_MASK))
  return i32.xor(place, i32.shl(i32.or(skew, i32.const(1)), i32.const(3)))
}
