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
import { CoreControl, coreMap } from '../core-memory.ts'

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

/** Where the words are, and what is called when this processor meets others. */
export interface FrameUses {
  /** Machine address of frame 0's word. */
  readonly table: number
  /** (machine address i32): this processor is about to store to a frame from which others have
   * decoded code. */
  readonly storing: FunctionReference
  /** (machine address i32): this processor decodes code from a frame to which others may store. */
  readonly decoding: FunctionReference
}

export type Use = 'storing' | 'decoding'

/** The memories by number, and whom else there is. */
interface UsesEnvironment {
  readonly core: number
  readonly machine: number
  readonly uses?: FrameUses
}

/** Sets this processor's bit for a use in the word of a frame, and calls what `uses` has for it if
 * others use the frame in the other way. */
export function emitUse(
  f: FunctionBuilder, { core, machine: memory, uses }: UsesEnvironment, machine: Local, use: Use,
): void {
  if (!uses) return
  const before = atomics.i32.or(memory, wordOf(machine), ownBit(core, use), uses.table)
  const [theirs, mine] = use === 'storing' ? [CODE_USES, ownBit(core, 'decoding')]
    : [~CODE_USES, ownBit(core, 'storing')]
  const others = i32.and(i32.const(theirs), i32.xor(mine, i32.const(-1)))
  f.if(i32.and(before, others), () => f.call(uses[use], machine))
}

/** Clears this processor's bit for a use in the word of a frame. */
export function emitUnuse(
  f: FunctionBuilder, { core, machine: memory, uses }: UsesEnvironment, machine: Local, use: Use,
): void {
  if (!uses) return
  const others = i32.xor(ownBit(core, use), i32.const(-1))
  f.drop(atomics.i32.and(memory, wordOf(machine), others, uses.table))
}

function ownBit(core: number, use: Use): Expression {
  const processor = i32.load(core, i32.const(0), coreMap.control + CoreControl.offsets.processor)
  return i32.shl(i32.const(use === 'storing' ? storeUse(0) : codeUse(0)), processor)
}

function wordOf(machine: Expression): Expression {
  return i32.shl(i32.shrU(machine, i32.const(12)), i32.const(USE_SHIFT))
}
