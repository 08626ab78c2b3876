/**
 * What handlers are generated from: the engine's functions and globals, the shape of an
 * instruction, and the ways out of a handler.
 */
import type { Expression, Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, Signature } from '../../wasm/module.ts'
import type { FloatState } from './reading/float-state.ts'
import type { OperandSource } from './reading/operand-source.ts'
import type { StateFile } from './reading/state-file.ts'

/** Indexes of the memories of the engine's module. */
export const CORE = 0
export const MACHINE = 1

const LOAD = { parameters: ['i64', 'i32'], result: 'i64' } as const
const STORE = { parameters: ['i64', 'i64', 'i32'], result: 'i32' } as const
const ARITHMETIC_OF_TWO = { parameters: ['i64', 'i64'], result: 'i64' } as const
const ARITHMETIC_OF_THREE = { parameters: ['i64', 'i64', 'i64'], result: 'i64' } as const
/** The index has the offsets of stack registers in bits 4-6 and 12-14; see fpu/x87-number.ts. */
const STACK_OPERATION = { parameters: ['i32', 'i32', 'i64', 'i32'], result: 'i64' } as const
const WIDE_OPERATION = {
  parameters: ['i64', 'i32', 'i64', 'i32'], result: 'i64', second: 'i32',
} as const
const OF_ONE = { parameters: ['i64', 'i32'], result: 'i64', second: 'i32' } as const
const BLOCK = { parameters: ['i64', 'i64', 'i64', 'i32'], result: 'i64' } as const
const STATE = { parameters: ['i64', 'i32'], result: 'i32' } as const
const TRANSFER = { parameters: ['i64'], result: 'i32' } as const
const REACH = { parameters: ['i64', 'i32', 'i32'], result: 'i32' } as const
const CHECK = { parameters: [] } as const

/** The functions that a handler may call. */
export const partSignatures = {
  /** (linear, flags) -> value, zero-extended. */
  load8: LOAD, load16: LOAD, load32: LOAD, load64: LOAD,
  load128: { parameters: ['i64', 'i32'], result: 'v128' },
  /** (linear, value, flags) -> status, not zero when it did not complete. */
  store8: STORE, store16: STORE, store32: STORE, store64: STORE,
  store128: { parameters: ['i64', 'v128', 'i32'], result: 'i32' },
  /** (linear, size, flags) -> negative and stopped when it cannot be written. */
  probeWrite: { parameters: ['i64', 'i32', 'i32'], result: 'i64' },
  /** (segment, offset, size, write) -> linear: legacy segmentation. */
  segmentLinear: { parameters: ['i32', 'i64', 'i32', 'i32'], result: 'i64' },
  /** (linear) -> machine address of code, or negative; stopped when the fetch faults. */
  execTranslate: { parameters: ['i64'], result: 'i64' },
  /** (linear) -> record, or 0 when stopped at the context's rip. */
  lookUp: { parameters: ['i64'], result: 'i32' },
  /** (linear) -> record, or 0: what a region returns, once others that follow it are done. */
  goOn: { parameters: ['i64'], result: 'i32' },
  /** The same in flat 32-bit code. */
  goOnFlat32: { parameters: ['i64'], result: 'i32' },
  /** (rip) -> record: a near jump, checked as the current mode demands. */
  jump: { parameters: ['i64'], result: 'i32' },
  /** (record, rip) -> record: the same by an indirect jump, which is noted now and then. */
  jumpIndirect: { parameters: ['i32', 'i64'], result: 'i32' },
  /** (record) -> record: a direct branch whose link is unknown. */
  resolve: { parameters: ['i32'], result: 'i32' },
  /** (number, a, b): an operation of fpu/float-number.ts. */
  float: { parameters: ['i32', 'i64', 'i64'], result: 'i64' },
  /** (number, a, b): an operation of fpu/float-lanes.ts, whatever the lanes hold. */
  floatVector: { parameters: ['i32', 'v128', 'v128'], result: 'v128' },
  /** The same, which note denormals: see fpu/denormals.ts. */
  floatNoting: { parameters: ['i32', 'i64', 'i64'], result: 'i64' },
  floatVectorNoting: { parameters: ['i32', 'v128', 'v128'], result: 'v128' },
  /** (orders with COMPARE_*, a, b): ones in the lanes that compare so. */
  floatCompare: { parameters: ['i32', 'v128', 'v128'], result: 'v128' },
  /** (number, a, b, c): a fused operation of fpu/float-number.ts. */
  fused: { parameters: ['i32', 'i64', 'i64', 'i64'], result: 'i64' },
  /** Stops with #XM when an unmasked exception was collected. */
  floatCheck: CHECK,
  /** (a region's used up budget) -> the same with the next slice of what is withheld, unless there
   * is none or the doorbell rang. */
  nextSlice: { parameters: ['i32'], result: 'i32' },
  /** (number): operands and result lie in scratch. */
  pure: { parameters: ['i32'] },
  /** (vector, error code, has error code): notes an exception, and stops. */
  raise: { parameters: ['i32', 'i32', 'i32'] },
  /** (high, low, divisor) -> the quotient, for a `high` below the divisor. */
  divide: ARITHMETIC_OF_THREE,
  /** The upper half of the product. */
  mulHighUnsigned: ARITHMETIC_OF_TWO, mulHighSigned: ARITHMETIC_OF_TWO,
  /** Stops on #NM, and on #MF when an exception waits. */
  x87Check: CHECK,
  /** (form, index, low, high): an operation of isa/x87/form.ts by the exact routine. */
  x87Exact: STACK_OPERATION,
  /** The same for what is usual; they ask x87Exact for the rest. */
  x87Add: STACK_OPERATION, x87Sub: STACK_OPERATION, x87Subr: STACK_OPERATION,
  x87Mul: STACK_OPERATION, x87Div: STACK_OPERATION, x87Divr: STACK_OPERATION,
  x87Load: STACK_OPERATION, x87Store: STACK_OPERATION, x87Compare: STACK_OPERATION,
  x87Move: STACK_OPERATION, x87Exchange: STACK_OPERATION,
  x87Sqrt: STACK_OPERATION, x87Rndint: STACK_OPERATION, x87Scale: STACK_OPERATION,
  x87Prem: STACK_OPERATION, x87Prem1: STACK_OPERATION, x87Xam: STACK_OPERATION,
  /** (significand, sign and exponent, and those of another) -> significand, and an outcome of
   * fpu/x87-value.ts. */
  x87Sum: WIDE_OPERATION, x87Product: WIDE_OPERATION, x87Quotient: WIDE_OPERATION,
  x87Root: OF_ONE, x87Integral: OF_ONE, x87Scaled: WIDE_OPERATION,
  /** The last parameter: 1 for the nearest quotient, 0 for one that is cut off. */
  x87Remainder: {
    parameters: ['i64', 'i32', 'i64', 'i32', 'i32'], result: 'i64', second: 'i32',
  },
  /** The same two numbers -> how they compare, as the flags say it, or REJECTED. */
  x87Order: { parameters: ['i64', 'i32', 'i64', 'i32'], result: 'i32' },
  /** (significand, sign and exponent) -> condition codes of FXAM. */
  x87Class: { parameters: ['i64', 'i32'], result: 'i32' },
  /** (form, index, bits of memory) -> significand, and an outcome. */
  x87Widen: { parameters: ['i32', 'i32', 'i64'], result: 'i64', second: 'i32' },
  /** (form, index, significand, sign and exponent) -> bits for memory, and an outcome. */
  x87Narrow: { parameters: ['i32', 'i32', 'i64', 'i32'], result: 'i64', second: 'i32' },
  /** What a store waited with (coreMap.x87Result) takes place. */
  x87Commit: CHECK,
  /** Stops on #UD, #NM and #MF as MMX instructions do. */
  mmxCheck: CHECK,
  /** The x87 state becomes MMX's: TOP is 0, all tags are valid. */
  enterMmx: CHECK,
  /** Stops on #UD and #NM as SSE instructions do. */
  sseCheck: CHECK,
  /** Stops on #UD and #NM as AVX instructions do. */
  avxCheck: CHECK,
  /** (to, from or value, count, log2 of an element's bytes) -> how many elements were done at once,
   * or 0. */
  moveForward: BLOCK, fillForward: BLOCK,
  /** (linear, form of fpu/extended-state.ts) -> not 0 when the service must do it. */
  saveState: STATE, restoreState: STATE, saveImage: STATE, restoreImage: STATE,
  /** (machine, both halves expected, both halves wanted) -> both halves that were there; see
   * mmu/locked.ts. The same at a linear address with its flags, in pieces. */
  exchangePair: { parameters: ['i32', 'i64', 'i64', 'i64', 'i64'], result: 'i64', second: 'i64' },
  exchangePieces: {
    parameters: ['i64', 'i64', 'i64', 'i64', 'i64', 'i32'], result: 'i64', second: 'i64',
  },
  /** (linear, bytes, flags) -> machine address of a locked operand, or PIECES (mmu/locked.ts). */
  reachLocked: REACH,
  /** (linear, bytes, flags) -> machine address of an operand that will be read and written, and of
   * a locked one; or PIECES, and the instruction has stopped before it: see mmu/locked.ts. */
  reachWhole: REACH, reachWholeLocked: REACH,
  /** (linear): see mmu/tlb.ts. */
  flushPage: { parameters: ['i64'] },
  /** Ticks of the host's time stamp counter: interpreter/time-stamp.ts. */
  tsc: { parameters: [], result: 'i64' },
  /** (linear address of the next instruction) -> what goOn does: changes of privilege level, with
   * which a region ends (privilege/transfers.ts). */
  syscall: TRANSFER, sysret: TRANSFER, iret: TRANSFER,
  /** (value) -> not 0 when the service must do it: see privilege/address-space.ts. */
  loadSpace: { parameters: ['i64'], result: 'i32' },
} as const satisfies Readonly<Record<string, Signature>>

/** The i32 globals that a handler may read. */
export const globalParts = [
  /** Flags of an ordinary access at the current privilege level. */
  'access',
  /** Not zero when an access did not complete (CoreControl says why). */
  'stopped',
] as const

export type FunctionPart = keyof typeof partSignatures

/** Everything a handler may call or read: function references and indexes of globals. */
export type EngineParts =
  & Readonly<Record<FunctionPart, FunctionReference>>
  & Readonly<Record<typeof globalParts[number], number>>

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
  /** The same if `condition` holds, which tells that the access just tried did not complete. */
  stopIf(condition: Expression): void
  /** Starts the same instruction again; says whether what was done counts as an instruction. */
  again(counts: boolean): void
  /** Makes CoreControl.budget say what is left before this instruction. */
  noteBudget(): void
  /** Leaves the instruction, of which nothing has happened yet, to its service. */
  defer(): void
}

/** An address as a constant added to a value that nobody knows, by the value's number. */
export interface AddressSymbol {
  readonly root: number
  /** About the constant, for what is only better when it is right. */
  readonly offset?: number
}

/** A page that an access was in: its first address, and what makes machine addresses of the low
 * halves of its addresses. */
export interface KnownPage {
  readonly first: Local
  readonly addend: Local
}

/** Look-ups that serve later accesses too. */
export interface PageReuse {
  /** The entry of the micro-TLB to ask for an access of so many bytes, where that is of use. */
  microEntry(symbol: AddressSymbol, write: boolean, bytes: number): number | undefined
  /** A page in which an access off the same root was: how an address differs from its first one
   * tells whether it serves. */
  find(symbol: AddressSymbol, write: boolean): KnownPage | undefined
  /** Whether noting a page is of use to what follows. */
  isWanted(symbol: AddressSymbol): boolean
  note(symbol: AddressSymbol, write: boolean, page: KnownPage): void
}

/** Functions for accesses that miss the TLB, with what else the engine's take built in. All say
 * whether the access completed, by a status that is zero then. */
export interface SlowAccesses {
  /** (linear) -> value, status: of a `load`. */
  load(part: FunctionPart, flags: number): FunctionReference
  /** (linear, value) -> status: of a `store`. */
  store(part: FunctionPart, flags: number): FunctionReference
  /** (linear) -> what `reachWhole` or `reachWholeLocked` yields. */
  reach(part: FunctionPart, bytes: number, flags: number): FunctionReference
}

/** How accesses to memory look into the TLBs. */
export interface TableUse {
  /** The base of that of loads, behind which that of stores lies. */
  readonly base: Expression
  /** Bits of Access that every access has. */
  readonly access: number
  readonly reuse?: PageReuse
  /** In place of the engine's own, where every operand's segment is known. */
  readonly slow?: SlowAccesses
}

/** Where a handler is generated into. */
export interface Site {
  readonly target: FunctionBuilder
  readonly tables: TableUse
  readonly state: StateFile
  readonly floats: FloatState
  readonly operands: OperandSource
  readonly exits: Exits
}
