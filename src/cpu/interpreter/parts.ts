/**
 * What handlers are generated from: the engine's functions and globals, the shape of an
 * instruction, and the ways out of a handler.
 */
import type { Expression } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference } from '../../wasm/module.ts'
import type { OperandSource } from './operand-source.ts'

/** Indexes of the memories of the engine's module. */
export const CORE = 0
export const MACHINE = 1

/** Everything a handler may call or touch. */
export interface EngineParts {
  /** i32 globals: bases of the TLBs of the current privilege level. */
  readonly readTable: number
  readonly writeTable: number
  /** i32 global: not zero when an access did not complete (CoreControl says why). */
  readonly stopped: number
  /** i32 global: flags of an ordinary access at the current privilege level. */
  readonly access: number
  /** (linear i64, flags i32) -> value; i64 zero-extended, or v128. */
  readonly load8: FunctionReference
  readonly load16: FunctionReference
  readonly load32: FunctionReference
  readonly load64: FunctionReference
  readonly load128: FunctionReference
  /** (linear i64, value, flags i32) -> status i32. */
  readonly store8: FunctionReference
  readonly store16: FunctionReference
  readonly store32: FunctionReference
  readonly store64: FunctionReference
  readonly store128: FunctionReference
  /** (linear i64, size i32, flags i32) -> i64: negative and stopped when it cannot be written. */
  readonly probeWrite: FunctionReference
  /** (segment i32, offset i64, size i32, write i32) -> linear i64: legacy segmentation. */
  readonly segmentLinear: FunctionReference
  /** (linear i64) -> record i32, or 0 when stopped at the context's rip. */
  readonly lookUp: FunctionReference
  /** (rip i64) -> record: a near jump, checked as the current mode demands. */
  readonly jump: FunctionReference
  /** (record i32) -> record: a direct branch whose link is unknown. */
  readonly resolve: FunctionReference
  /** (number i32, a i64, b i64) -> i64: FloatOp with the width in bit 8 of the number. */
  readonly float: FunctionReference
  /** (): stops with #XM when an unmasked exception was collected. */
  readonly floatCheck: FunctionReference
  /** (number i32): operands and result lie in scratch. */
  readonly pure: FunctionReference
  /** (vector i32, error code i32, has error code i32): notes an exception, and stops. */
  readonly raise: FunctionReference
  /** (high, low, divisor) -> i64. */
  readonly divideQuotient: FunctionReference
  readonly divideRemainder: FunctionReference
  /** (a, b) -> i64: upper half of the product. */
  readonly mulHighUnsigned: FunctionReference
  readonly mulHighSigned: FunctionReference
  /** (): stops on #UD, #NM and #MF as MMX instructions do. */
  readonly mmxCheck: FunctionReference
  /** (): the x87 state is MMX's: TOP is 0, all tags are valid. */
  readonly enterMmx: FunctionReference
  /** (): stops on #UD and #NM as SSE instructions do. */
  readonly sseCheck: FunctionReference
}

/** How the memory operand's address is formed. */
export type Addressing =
  /** 64-bit: base and displacement. */
  | 'base'
  /** 64-bit: base, scaled index and displacement. */
  | 'indexed'
  /** 64-bit: as indexed, with the base of FS or GS. */
  | 'segmented'
  /** 64-bit code with 32-bit addresses, any segment. */
  | 'address32'
  /** Everything outside 64-bit code: segment checks. */
  | 'legacy'

/** What is fixed for a handler beside its definition. */
export interface InstructionShape {
  readonly operandSize: 16 | 32 | 64
  readonly addressSize: 16 | 32 | 64
  readonly stackWidth: 16 | 32 | 64
  readonly long: boolean
  readonly addressing: Addressing
  readonly lock: boolean
  /** A string instruction: its memory operands are at rSI and rDI, not where the record says. */
  readonly string: boolean
  /** 0, or the repeat prefix of a string instruction. */
  readonly repeat: 0 | 0xf2 | 0xf3
}

/** Ways out of the handler being generated. */
export interface Exits {
  /** Goes on with the next record. */
  next(): void
  /** Goes on with the record that `target` yields, or stops when that is 0. */
  goTo(target: Expression): void
  /** Leaves: the access or exception is noted, the instruction did not happen. */
  stop(): void
  /** Starts the same instruction again. */
  again(): void
}

/** Where a handler is generated into. */
export interface Site {
  readonly target: FunctionBuilder
  readonly operands: OperandSource
  readonly exits: Exits
}
