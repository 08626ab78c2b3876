/**
 * Large pages in the TLBs, which hold 4 KiB pieces only.
 *
 * INVLPG of any address in a large page must forget all its pieces. A mark for each region of 4 MiB
 * says that a piece of a 2 MiB or 4 MiB page was filled there, and one for each region of 1 GiB
 * that it was a piece of such a page; regions share marks, of which there are few. INVLPG then
 * looks through the logs for the region, and after a piece of 1 GiB forgets everything: such pages
 * map memory that kernels do not remap.
 */
import { i32, i64, type Expression } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { coreMap } from '../core-memory.ts'
import type { MmuEnvironment } from './environment.ts'

export const REGION_SHIFT = 22
const HUGE_SHIFT = 30
const MARK_BITS = 14
const MARKS = 1 << MARK_BITS
export const LARGE_PAGE_MARKS = 2 * MARKS
/** Spreads numbers of regions over the marks (Knuth's multiplicative hashing). */
const SPREAD = 0x9e37_79b1

/** Pages of 4 KiB in a region of 4 MiB. */
export const REGION_PAGES = 1 << REGION_SHIFT - 12

/** Sizes of pages as the walk tells them to the TLBs, in the position of these bits. */
export const PageSize = { LARGE: 8, HUGE: 16 } as const

/** Which mark a region has, by the 32 bits of the linear address above `shift`. */
function markOf(linear: Expression, shift: number): Expression {
  const spread = i32.mul(i32.wrap(i64.shrU(linear, i64.const(shift))), i32.const(SPREAD | 0))
  return i32.shrU(spread, i32.const(32 - MARK_BITS))
}

/** -> i32: 1 when a piece of a 1 GiB page may be known around an address. */
export function isMarkedHuge(env: MmuEnvironment, linear: Expression): Expression {
  return i32.load8U(env.core, markOf(linear, HUGE_SHIFT), coreMap.largePages + MARKS)
}

/** -> i32: 1 when a piece of a 2 MiB or 4 MiB page may be. */
export function isMarkedLarge(env: MmuEnvironment, linear: Expression): Expression {
  return i32.load8U(env.core, markOf(linear, REGION_SHIFT), coreMap.largePages)
}

export function emitMarkLargePage(
  f: FunctionBuilder, env: MmuEnvironment, linear: Expression, bits: Expression,
): void {
  const one = i32.const(1)
  f.if(i32.and(bits, i32.const(PageSize.LARGE | PageSize.HUGE)), () => {
    f.if(i32.and(bits, i32.const(PageSize.LARGE)), () => {
      f.store('i32As8', env.core, markOf(linear, REGION_SHIFT), one, coreMap.largePages)
    }, () => {
      f.store('i32As8', env.core, markOf(linear, HUGE_SHIFT), one, coreMap.largePages + MARKS)
    })
  })
}
