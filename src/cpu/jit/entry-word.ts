/**
 * What the function of a region is called with: the number of the entry and, above it, that of the
 * entry's page. Without the latter each region would have to find its page 0 by comparing the
 * number with those of all entries in other pages.
 */
import { i32, type Expression, type Local } from '../../wasm/expression.ts'
import { pageOf } from './region.ts'
import type { RegionShape } from './shape.ts'

/** A region has fewer entries than 1 << NUMBER_BITS, and its pages lie within 2^21 of page 0. */
const NUMBER_BITS = 10

/** The word for one of a region's entries. */
export function entryWord({ blocks, entries }: RegionShape, number: number): number {
  return pageOf(blocks[entries[number]! * 2]!) << NUMBER_BITS | number
}

/** -> i32: the parts of a word. */
export function entryOf(word: Local): { number: Expression, page: Expression } {
  return {
    number: i32.and(word, i32.const((1 << NUMBER_BITS) - 1)),
    page: i32.shrS(word, i32.const(NUMBER_BITS)),
  }
}
