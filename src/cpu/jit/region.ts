/**
 * Regions: the basic blocks that are translated together; discovery.ts finds them.
 *
 * Places are byte offsets from the start of the page of the entry (page 0 of the region), so that a
 * region is the same wherever its pages are mapped, as long as they keep their distances.
 */
import { CODE_MODE_LONG } from '../core-memory.ts'
import { FS } from '../../abi/x86/registers.ts'
import type { Expression } from '../../wasm/expression.ts'
import type { Instruction } from '../../isa/operand.ts'
import { type TransferName, transferOf } from '../privilege/transfers.ts'

/** What a region's code knows of where it is. */
export interface Placement {
  /** Machine address of a page of the region. */
  machineOf(page: number): Expression
}

export const PAGE_BYTES = 4096

export interface Placed {
  readonly instruction: Instruction
  readonly offset: number
}

/** Where control goes: an offset, and the number of the block there or -1 outside the region. */
export interface Target {
  readonly offset: number
  readonly block: number
}

export type BlockEnd =
  /** On to one place. */
  | { readonly kind: 'goes', readonly to: Target }
  | { readonly kind: 'branches', readonly taken: Target, readonly next: Target }
  /** To a computed address; `likely` are blocks that it may be. */
  | { readonly kind: 'jumps', readonly likely: readonly Target[] }
  /** To another privilege level, where nothing of this one is known. */
  | { readonly kind: 'transfers' }
  /** The interpreter carries out the instruction at `at`. */
  | { readonly kind: 'leaves', readonly at: number }

export interface Block {
  readonly offset: number
  readonly instructions: readonly Placed[]
  readonly end: BlockEnd
}

export interface Region {
  /** CoreControl.codeMode of its code. */
  readonly codeMode: number
  readonly blocks: readonly Block[]
  /** Numbers of the blocks that may be entered from outside; the first is where it began. */
  readonly entries: readonly number[]
  /** Numbers of the pages that it has code of, relative to page 0. */
  readonly pages: readonly number[]
}

export function pageOf(offset: number): number {
  return Math.floor(offset / PAGE_BYTES)
}

/** The page of an instruction's last byte. */
export function lastPageOf({ instruction, offset }: Placed): number {
  return pageOf(offset + instruction.length - 1)
}

/** The pages of a block's code. */
export function pagesOf({ offset, instructions }: Block): number[] {
  const last = instructions.at(-1)
  return last ? [pageOf(offset), lastPageOf(last)] : [pageOf(offset)]
}

/** Where a block may lead. */
export function targetsOf({ end }: Block): readonly Target[] {
  switch (end.kind) {
    case 'goes': return [end.to]
    case 'branches': return [end.taken, end.next]
    case 'jumps': return end.likely
    case 'transfers': case 'leaves': return []
  }
}

/** What comes after an instruction. */
export type Flow =
  | { readonly kind: 'next' | 'leaves' | 'jumps' | 'transfers' }
  | { readonly kind: 'goes' | 'branches' | 'calls', readonly target: number }

export function flowOf({ instruction, offset }: Placed, codeMode: number): Flow {
  const { definition, operands, repeat } = instruction
  const isLong = codeMode === CODE_MODE_LONG
  if (transferIn(instruction, codeMode)) return { kind: 'transfers' }
  const { execute, interpreted } = definition.fields
  if (!execute || interpreted) return { kind: 'leaves' }
  if (repeat !== 0 && !isRepeatedInside(instruction, isLong)) return { kind: 'leaves' }
  const target = operands[0]
  if (target?.kind === 'relative') {
    // A target of 16 bits is rare enough for the interpreter.
    if (target.width !== (isLong ? 64 : 32)) return { kind: 'leaves' }
    const to = offset + instruction.length + target.displacement
    if (definition.name === 'call') return { kind: 'calls', target: to }
    return { kind: definition.fields.endsBlock ? 'goes' : 'branches', target: to }
  }
  if (!definition.fields.endsBlock) return { kind: 'next' }
  return { kind: jumps.has(definition.name) ? 'jumps' : 'leaves' }
}

/** Whether a repeated instruction is part of a region. In 32-bit code FS and GS have limits. */
function isRepeatedInside({ operands, addressSize }: Instruction, isLong: boolean): boolean {
  return isLong || addressSize === 32
    && operands.every((operand) => operand.kind !== 'memory' || operand.segment < FS)
}

/** The transfer that an instruction is; there are none in 32-bit code. */
export function transferIn(instruction: Instruction, codeMode: number): TransferName | undefined {
  return codeMode === CODE_MODE_LONG ? transferOf(instruction) : undefined
}

const jumps = new Set(['jmp', 'call', 'ret'])
