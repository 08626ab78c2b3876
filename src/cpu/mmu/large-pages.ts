/**
 * Large pages in the TLBs, which hold 4 KiB pieces only.
 *
 * INVLPG of any address in a large page must forget all its pieces. A mark for each 4 MiB region
 * of the linear address space (hashed by bits 22-31 and 47) says that a piece of a 2 MiB or 4 MiB
 * page was filled there; INVLPG then empties the region. One mark for all 1 GiB pages makes INVLPG
 * empty everything: they map memory that kernels do not remap.
 */
import { i32, i64, type Expression } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { coreMap } from '../core-memory.ts'
import type { MmuEnvironment } from './environment.ts'

const REGION_SHIFT = 22
const REGION_HALF = 1 << 32 - REGION_SHIFT

/** Address of the mark of 1 GiB pages. */
export const HUGE_MARK = coreMap.largePages + 2 * REGION_HALF
export const LARGE_PAGE_MARKS = 2 * REGION_HALF + 8

/** A byte for each region of 4 MiB. */
export function regionMark(linear: Expression): Expression {
  const region = i32.shrU(i32.wrap(linear), i32.const(REGION_SHIFT))
  const half = i32.and(i32.wrap(i64.shrU(linear, i64.const(47))), i32.const(1))
  return i32.add(region, i32.shl(half, i32.const(32 - REGION_SHIFT)))
}

/** Pages of 4 KiB in a region. */
export const REGION_PAGES = 1 << REGION_SHIFT - 12

/** Sizes of pages as the walk tells them to the TLBs, in the position of these bits. */
export const PageSize = { LARGE: 8, HUGE: 16 } as const

export function emitMarkLargePage(
  f: FunctionBuilder, env: MmuEnvironment, linear: Expression, bits: Expression,
): void {
  const one = i32.const(1)
  f.if(i32.and(bits, i32.const(PageSize.LARGE)), () => {
    f.store('i32As8', env.core, regionMark(linear), one, coreMap.largePages)
  })
  f.if(i32.and(bits, i32.const(PageSize.HUGE)), () => {
    f.store('i32As8', env.core, i32.const(0), one, HUGE_MARK)
  })
}
