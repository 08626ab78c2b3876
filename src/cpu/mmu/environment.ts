/**
 * What the MMU's generated functions are built upon: memories, imports, globals; and what their
 * callers say of an access.
 */
import { i32, i64, type Expression } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { CoreControl, coreMap } from '../core-memory.ts'
import { CpuContext } from '../state.ts'
import type { FrameUses } from './frame-uses.ts'

/** Bits that describe an access. */
export const Access = {
  WRITE: 1,
  /** With user rights; without it, with supervisor rights. */
  USER: 2,
  EXEC: 4,
  /** Translates only: no fault, no accessed or dirty bit, no TLB entry. */
  PROBE: 8,
  /** By the processor itself (descriptor tables, TSS): SMAP applies whatever EFLAGS.AC says. A
   * supervisor access at CPL 3 is always one. */
  IMPLICIT: 16,
  /** Through SS: a non-canonical address is #SS, not #GP. */
  STACK: 32,
  /** By compiled code: a store to a line that holds decoded code is not made, but stops with
   * Stop.RETRY, after codeWritten has told of it. */
  COMPILED: 64,
  /** With the rights of the current privilege level: for loads, stores and probeWrite. */
  CURRENT: 128,
  /** For probeWrite: all that is probed will be written, at once. Then codeWritten is told of lines
   * with code, and they may be written directly; not those of the page that is being executed. */
  BLOCK: 256,
} as const

/** Negative results of a translation. */
export const FAULT = -1
/** The frame cannot serve the access: MMIO, a hole, or a write to a read-only frame. */
export const OUTSIDE = -2

export interface MmuEnvironment {
  /** Index of core memory and of machine memory in the module. */
  readonly core: number
  readonly machine: number
  /** Called as (machine address i32, size i32) before a store to a line that holds decoded code;
   * returns nothing. It may clear the frame's bit (`clearCode`). */
  readonly codeWritten: FunctionReference
  /** What tells processors of one another; none when there is but one. */
  readonly uses?: FrameUses
  /** Machine address of the word of mmu/locked.ts, if there are other processors. */
  readonly pairLock?: number | undefined
}

/** Indexes of the Wasm globals that generated code uses. */
export interface MmuGlobals {
  /** Access.USER at CPL 3, else 0: the flags of an ordinary access. */
  readonly access: number
  /** How the last slow access ended: 0, or why it stopped (Stop). */
  readonly status: number
}

export function declareGlobals(module: ModuleBuilder): MmuGlobals {
  return {
    access: module.global('i32', 0),
    status: module.global('i32', 0),
  }
}

/** What slow accesses are built upon. */
export interface AccessParts {
  readonly env: MmuEnvironment
  readonly globals: MmuGlobals
  readonly translate: FunctionBuilder
  /** (linear i64, bytes i32, access i32) -> i32: 1 when the access faults. */
  readonly watch: FunctionBuilder
  /** (machine address i32, bytes i32, access i32) -> i32: before a store, to a line with code; not
   * zero when the store must not be made. */
  readonly announce: FunctionBuilder
  /** (machine address i32, bytes i32) -> i32: whether lines with code are among them; only for a
   * frame that holds code. */
  readonly holdsLines: FunctionBuilder
  /** (machine address i32, value i64, bytes i32): stores 1 to 7 bytes. */
  readonly storePiece: FunctionBuilder
}

type ControlField = keyof typeof CoreControl.offsets
type ContextField = keyof typeof CpuContext.offsets

/** Address of a field of the control block. */
export function controlAt(field: ControlField): number {
  return coreMap.control + CoreControl.offsets[field]
}

/** The low 32 bits of a field of the control block, and of the context. */
export function controlWord(env: MmuEnvironment, field: ControlField): Expression {
  return i32.load(env.core, i32.const(0), controlAt(field))
}

export function contextWord(env: MmuEnvironment, field: ContextField): Expression {
  return i32.load(env.core, i32.const(0), coreMap.context + CpuContext.offsets[field])
}

/** -> i32: 1 at CPL 3. */
export function isUserLevel(env: MmuEnvironment): Expression {
  return i32.eq(contextWord(env, 'cpl'), i32.const(3))
}

export function contextLong(env: MmuEnvironment, field: ContextField): Expression {
  return i64.load(env.core, i32.const(0), coreMap.context + CpuContext.offsets[field])
}

/** `word` & `mask`: a condition. */
export function has(word: Expression, mask: number): Expression {
  return i32.and(word, i32.const(mask))
}
