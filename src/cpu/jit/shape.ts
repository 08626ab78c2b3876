/**
 * What code a region was made of: enough to see that the same code lies elsewhere, where the same
 * function does. Numbers of pages are relative to the region's page 0, as in region.ts.
 */
import { CodeLines } from '../interpreter/code-lines.ts'
import { PAGE_BYTES, pageOf } from './region.ts'

export interface RegionShape {
  /** CoreControl.codeMode of its code. */
  readonly codeMode: number
  /** For each block its offset, and where its bytes end in `bytes`. */
  readonly blocks: Int32Array
  readonly bytes: Uint8Array
  /** Numbers of the blocks that may be entered, and the entryKey of each. */
  readonly entries: Int32Array
  readonly keys: Int32Array
  readonly pages: Int32Array
  /** It goes on where others are entered, and is entered instead of them. */
  readonly isWide: boolean
}

/** Machine address of a page of a region, or less than 0. */
export type PageAt = (page: number) => number

/** A module's regions by which it is found when it was kept. */
export interface KeptRegions {
  readonly name: string
  readonly shapes: readonly RegionShape[]
}

/** Bytes that an entry's key is made of, whether they all belong to the region or not. */
const KEY_BYTES = 8

/** What the code at an address is looked up by: its place in its page, and its first bytes. */
export function entryKey(memory: Uint8Array, address: number): number {
  const offset = within(address)
  const end = address + Math.min(KEY_BYTES, PAGE_BYTES - offset)
  let key = offset
  for (let at = address; at < end; at++) key = Math.imul(key, 31) + memory[at]! | 0
  return key
}

/** Calls `visit` with what each block has in each page: its offset, and its place in the bytes. */
function eachPart(
  { blocks }: RegionShape, visit: (offset: number, start: number, end: number) => boolean,
): boolean {
  let start = 0
  for (let i = 0; i < blocks.length; i += 2) {
    let offset = blocks[i]!
    const last = blocks[i + 1]!
    while (start < last) {
      const end = Math.min(last, start + PAGE_BYTES - within(offset))
      if (!visit(offset, start, end)) return false
      offset += end - start
      start = end
    }
  }
  return true
}

function within(offset: number): number {
  return offset & PAGE_BYTES - 1
}

/** Whether the region's code lies in the pages that `pageAt` says. */
export function liesIn(shape: RegionShape, machine: Uint8Array, pageAt: PageAt): boolean {
  return eachPart(shape, (offset, start, end) => {
    const page = pageAt(pageOf(offset))
    if (page < 0) return false
    const first = page + within(offset) - start
    for (let i = start; i < end; i++) if (shape.bytes[i] !== machine[first + i]) return false
    return true
  })
}

/** Machine addresses of a region's blocks. */
export function blocksIn({ blocks }: RegionShape, pageAt: PageAt): number[] {
  return Array.from({ length: blocks.length / 2 }, (_, block) => {
    const offset = blocks[block * 2]!
    const page = pageAt(pageOf(offset))
    return page < 0 ? -1 : page + within(offset)
  })
}

/** Whether lines are all among others, by machine page. */
export function isWithin(
  lines: ReadonlyMap<number, CodeLines>, others: ReadonlyMap<number, CodeLines>,
): boolean {
  return [...lines].every(([page, covered]) => others.get(page)?.contains(covered))
}

/** The lines of code of a region, by machine page. */
export function linesIn(shape: RegionShape, pageAt: PageAt): Map<number, CodeLines> {
  const lines = new Map<number, CodeLines>()
  eachPart(shape, (offset, start, end) => {
    const page = pageAt(pageOf(offset))
    const covered = lines.get(page) ?? new CodeLines()
    lines.set(page, covered)
    covered.addRange(within(offset), end - start)
    return true
  })
  return lines
}
