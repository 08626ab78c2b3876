/**
 * What processors have made of each machine frame: decoded code, and TLB entries for stores.
 *
 * A word for each frame lies in machine memory, at an address that all processors are given: a bit
 * for each processor that has decoded code from the frame, and above them a bit for each that may
 * store to it without asking. Both are set by one atomic operation, which also tells of the others:
 * of a processor that decodes and one that begins to store, at least the later knows of the other.
 * docs/decisions/0009-several-cores.md says what they do then.
 */
import { atomics, i32, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference } from '../../wasm/module.ts'

/** The most processors that a machine has. */
export const MAX_PROCESSORS = 16
/** The bits of all processors that have decoded code from a frame. */
export const CODE_USES = (1 << MAX_PROCESSORS) - 1
/** Log2 of the bytes of a frame's word. */
export const USE_SHIFT = 2

export function codeUse(processor: number): number {
  return 1 << processor
}

export function storeUse(processor: number): number {
  return 1 << MAX_PROCESSORS + processor
}

/** Where the words are, and whose bits are this processor's; and what is called when it meets
 * others. */
export interface FrameUses {
  /** Machine address of frame 0's word. */
  readonly table: number
  readonly processor: number
  /** (machine address i32): this processor is about to store to a frame from which others have
   * decoded code. */
  readonly storing: FunctionReference
  /** (machine address i32): this processor decodes code from a frame to which others may store. */
  readonly decoding: FunctionReference
}

/** Sets a bit of this processor in the word of a frame; calls `meeting` if one of `against` is
 * set there. */
export function emitUse(
  f: FunctionBuilder, machineMemory: number, uses: FrameUses, machine: Local,
  use: 'storing' | 'decoding',
): void {
  const { table, processor } = uses
  const own = use === 'storing' ? storeUse(processor) : codeUse(processor)
  const others = use === 'storing' ? CODE_USES & ~codeUse(processor)
    : ~CODE_USES & ~storeUse(processor)
  const before = atomics.i32.or(machineMemory, wordOf(machine), i32.const(own), table)
  f.if(i32.and(before, i32.const(others)), () => f.call(uses[use], machine))
}

/** Clears a bit of this processor in the word of a frame. */
export function emitUnuse(
  f: FunctionBuilder, machineMemory: number, uses: FrameUses, machine: Local, bit: number,
): void {
  f.drop(atomics.i32.and(machineMemory, wordOf(machine), i32.const(~bit), uses.table))
}

function wordOf(machine: Expression): Expression {
  return i32.shl(i32.shrU(machine, i32.const(12)), i32.const(USE_SHIFT))
}
