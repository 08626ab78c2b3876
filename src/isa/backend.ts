/**
 * The algebra in which instruction semantics are written.
 *
 * `V` is whatever a reading calls a value: a bigint for the reference evaluator, a WebAssembly
 * expression for the interpreter and the JIT, a string for the printer. Every scalar value is an
 * unsigned 64-bit integer; narrower operands are zero-extended when read and truncated when
 * written, and intermediate results keep their upper bits unless `zx` or `sx` cuts them. Booleans
 * are 0 and 1. Vector values are 128 bits wide and never mixed with scalars; a vector of 256 bits
 * is two of them.
 *
 * Order matters as on the CPU: everything that may fault (load, store, write to memory, faultIf)
 * must come before anything that changes registers or flags, except that a value must be stored
 * before the flags are set. Reading comes first, then computing, then writing memory, then
 * registers, then flags.
 */
import type { FlagName } from './definition.ts'
import type { Operand } from './operand.ts'
import type { VectorOp } from './vector-op.ts'

export type Flags<V> = Partial<Record<FlagName | 'df', V>>

/** Arithmetic under MXCSR; see float.ts for their exact meaning. Widths are 32 and 64. */
export type FloatOp =
  | 'add' | 'sub' | 'mul' | 'div' | 'sqrt' | 'min' | 'max'
  /** Rounds to an integral value; the second argument is ROUNDSD's immediate. */
  | 'round'
  /** To the other width; `width` is that of the argument. */
  | 'convert'
  /** From a signed integer of 32 or 64 bits; `width` is that of the result. */
  | 'fromInt32' | 'fromInt64'
  /** To a signed integer, rounding as MXCSR says, or towards zero; `width` is the argument's. */
  | 'toInt32' | 'toInt64' | 'toInt32Truncated' | 'toInt64Truncated'
  /** 0 unordered, 1 less, 2 equal, 3 greater; quiet NaNs signal in `compareSignaling` only. */
  | 'compare' | 'compareSignaling'
  /** From and to half precision; the second argument is VCVTPS2PH's immediate. Width 32. */
  | 'fromHalf' | 'toHalf'

/** Fused multiply-add: `a * b + c`, and with the addend, the product, or both negated. */
export type FusedOp = 'madd' | 'msub' | 'nmadd' | 'nmsub'

/** Arithmetic under MXCSR on all lanes of a vector, each as FloatOp says; the exceptions of all
 * lanes are collected. Lanes of the result that have no lane of the operand are zero. */
export type FloatVectorOp =
  | 'add' | 'sub' | 'mul' | 'div' | 'sqrt' | 'min' | 'max'
  /** Even lanes subtract, odd lanes add. */
  | 'addsub'
  /** The second argument is a scalar, ROUNDPD's immediate. */
  | 'round'
  /** The low two lanes to the other width; `width` is that of the argument. */
  | 'convert'
  /** As many integers of 32 bits, from the lowest, as there are lanes of `width`. */
  | 'fromInt32'
  /** All lanes, to as many integers of 32 bits. */
  | 'toInt32' | 'toInt32Truncated'
/** State of the processor that only system instructions see; `cpu` says where it lies. */
export type SystemField =
  /** RFLAGS without the arithmetic flags and DF. */
  | 'systemFlags'
  | 'cpl' | 'cr0' | 'cr4' | 'xcr0' | 'tscAux' | 'tscOffset'
  | 'fsBase' | 'gsBase' | 'kernelGsBase'
  /** Not 0 while interrupts wait for one more instruction. */
  | 'interruptShadow'
  /** 1 while somebody waits for the moment at which an interrupt can be taken. */
  | 'windowWanted'
  /** PAUSEs left until one of them is left for. */
  | 'pausesLeft'
  /** 1 while an EOI of the x2APIC is only noted, by making this 0. */
  | 'quietEoi'

export type StateTransfer = 'fxsave' | 'fxrstor'
  | 'xsave' | 'xsaveopt' | 'xsavec' | 'xsaves' | 'xrstor' | 'xrstors'

export interface Backend<V> {
  // What is fixed when code is generated.

  /** The instruction's operand size. */
  readonly operandSize: 16 | 32 | 64
  readonly addressSize: 16 | 32 | 64
  /** Width of the stack pointer: 64 in 64-bit code, else 32 or 16 by SS.B. */
  readonly stackWidth: 16 | 32 | 64
  readonly long: boolean
  /** Width of an operand in bits. */
  widthOf(operand: Operand): number
  isMemory(operand: Operand): boolean
  /** The value of an immediate operand where the reading can know it only at run time: a value. */
  immediate(operand: Operand): V

  // Operands.

  /** The operand, zero-extended; an immediate comes sign-extended. Memory is loaded. */
  read(operand: Operand): V
  /** The operand, sign-extended to 64 bits. */
  readSigned(operand: Operand): V
  /** As `read`, but a write to the same operand follows: faults are those of a write. */
  readForWrite(operand: Operand): V
  /** Truncates and writes. Writing 32 bits of a general register clears its upper half. */
  write(operand: Operand, value: V): void
  /** The effective address, without the segment base, cut to the address size (LEA). */
  address(operand: Operand): V
  /** The memory operand moved by `byteOffset` (BT with a register bit offset), loaded or stored. */
  loadAt(operand: Operand, byteOffset: V, width: number): V
  /** As `loadAt`, but a `storeAt` to the same place follows: faults are those of a write. */
  loadForWriteAt(operand: Operand, byteOffset: V, width: number): V
  storeAt(operand: Operand, byteOffset: V, width: number, value: V): void
  /** A general register that is not an operand. `width` 8 means the low byte. */
  gpr(index: number, width: number): V
  setGpr(index: number, width: number, value: V): void
  /** Memory through a segment register; the offset is cut to the address size. */
  load(segment: number, offset: V, width: number): V
  store(segment: number, offset: V, width: number, value: V): void
  /** The segment of an implicit source operand (strings, XLAT): DS or the override. */
  readonly segment: number
  /** Pushes: stores below the stack pointer, then moves it. */
  push(width: number, value: V): void
  /** Pops: loads at the stack pointer, then moves it. */
  pop(width: number): V
  /** Memory through SS; the offset is cut to the width of the stack pointer (ENTER, POPA). */
  loadStack(offset: V, width: number): V
  storeStack(offset: V, width: number, value: V): void

  // Values.

  const(value: bigint | number): V
  add(a: V, b: V): V
  sub(a: V, b: V): V
  /** The low 64 bits. */
  mul(a: V, b: V): V
  mulHighUnsigned(a: V, b: V): V
  mulHighSigned(a: V, b: V): V
  /** `high:low` / divisor for a quotient known to fit in 64 bits. */
  divideUnsigned(high: V, low: V, divisor: V): V
  and(a: V, b: V): V
  or(a: V, b: V): V
  xor(a: V, b: V): V
  not(a: V): V
  neg(a: V): V
  /** Shifts; the count is taken modulo 64. */
  shl(a: V, count: V): V
  shr(a: V, count: V): V
  sar(a: V, count: V): V
  rotl(a: V, count: V): V
  rotr(a: V, count: V): V
  /** The same within 32 bits; the upper half of `a` is zero, and so is the result's. */
  rotl32(a: V, count: V): V
  rotr32(a: V, count: V): V
  /** Leading and trailing zeros, 64 for zero. */
  clz(a: V): V
  ctz(a: V): V
  popcnt(a: V): V
  /** Keeps the low `width` bits, zero- or sign-extended to 64. */
  zx(a: V, width: number): V
  sx(a: V, width: number): V
  bitOf(a: V, index: number): V
  isZero(a: V): V
  equal(a: V, b: V): V
  lessUnsigned(a: V, b: V): V
  lessSigned(a: V, b: V): V
  /** 1 when the low byte has an even number of ones. */
  evenParity(a: V): V
  select(condition: V, a: V, b: V): V

  // Flags.

  flag(name: FlagName | 'df'): V
  /** Sets the named flags to 0 or 1, and leaves the others. */
  setFlags(flags: Flags<V>): void
  /** ZF, SF and PF as nearly every instruction sets them from a result of `width` bits. */
  resultFlags(result: V, width: number): Flags<V>
  /** The condition `code` (0 to 15) of Jcc, SETcc, CMOVcc. */
  condition(code: number): V

  // Control.

  /** Effects only when `condition` is not zero. Values made inside stay inside. */
  when(condition: V, then: () => void, otherwise?: () => void): void
  /** The instruction pointer after this instruction. */
  nextIp(): V
  /** Goes to a relative operand's target, always or when `condition` is not zero. */
  branch(target: Operand, condition?: V): void
  /** Goes to an address in the code segment; #GP(0) when it is beyond the limit. */
  jump(target: V): void
  /** Raises an exception when `condition` is not zero; `errorCode` for those that have one. */
  faultIf(condition: V, vector: number, errorCode?: number): void

  // The system.

  system(field: SystemField): V
  setSystem(field: SystemField, value: V): void
  /** Orders the accesses before it before those after it, as other processors see them. */
  fence(): void
  /** Replaces the 16 bytes of an aligned memory operand by `wanted`, if they are `expected`; both
   * have the lower half first, as has the result: what was there. The operand is written to in any
   * case, as far as faults go. */
  exchangePair(
    operand: Operand, expected: readonly [V, V], wanted: readonly [V, V],
  ): readonly [V, V]
  /** Ticks of the host's time stamp counter. */
  tsc(): V
  /** When `condition` is not zero the instruction's service carries it out, from its beginning:
   * nothing may have changed. */
  deferIf(condition: V): void
  /** Saves or loads the extended state at a memory operand as the instruction of that name does in
   * 64-bit code, or leaves it to its service. */
  transferState(name: StateTransfer, area: Operand): void
  /** In 64-bit code: forgets how the page of a memory operand is translated, if there can be one at
   * its address. */
  forgetPage(place: Operand): void
  /** In 64-bit code: MOV to a control register if it is CR3 and can hold the value; else leaves it
   * to its service. */
  loadSpace(target: Operand, value: V): void

  // Vectors. Operands are xmm, mm (upper half zero), or memory of up to 128 bits.

  /** An xmm or mm register or memory, zero-extended to 128 bits. */
  readVector(operand: Operand): V
  /** As readVector, but memory of 128 bits must be aligned, else #GP(0) (most SSE operands). */
  readVectorAligned(operand: Operand): V
  /** Writes `widthOf(operand)` bits to memory, all of a register. */
  writeVector(operand: Operand, value: V): void
  writeVectorAligned(operand: Operand, value: V): void
  /** An xmm register that is not an operand (XMM0 of BLENDV). */
  xmm(index: number): V
  /** The lower and the upper half of an operand of 256 bits. Memory is loaded whole: both or none;
   * `aligned` memory must be a multiple of its size, else #GP(0). */
  readHalves(operand: Operand, aligned?: boolean): readonly [V, V]
  /** Writes memory of 256 bits, or a vector register to its last bit. */
  writeHalves(operand: Operand, low: V, high: V, aligned?: boolean): void
  /** The upper half of a vector register becomes zero. */
  clearUpper(index: number): void
  /** `index` times the scale of a memory operand (gathers). */
  scaled(operand: Operand, index: V): V
  /** Faults as `storeAt` would. */
  probeAt(operand: Operand, byteOffset: V, width: number): void
  vectorConst(bits: bigint): V
  /** A lane-wise operation, named as in WebAssembly SIMD. */
  vector(op: VectorOp, ...operands: V[]): V
  /** Bytes picked by constants 0 to 31 out of `a` (0-15) and `b` (16-31). */
  shuffle(a: V, b: V, lanes: readonly number[]): V
  /** A lane, zero-extended to a scalar; and a vector with a lane replaced. */
  lane(vector: V, width: 8 | 16 | 32 | 64, index: number): V
  withLane(vector: V, width: 8 | 16 | 32 | 64, index: number, value: V): V
  /** A scalar in the low 64 bits of a vector whose upper half is zero. */
  vectorOf(low: V): V
  /** `a` where the mask's bits are set, else `b`. */
  bitselect(a: V, b: V, mask: V): V
  /** Leaves x87 mode for MMX: TOP is 0 and all tags valid; #NM or #MF first when due. */
  enterMmx(): void
  /** Leaves MMX mode, with TOP 0 and no tag valid, after the same exceptions. */
  leaveMmx(): void

  // The x87 unit. Nothing that can fault may come between an operation and what follows it, but
  // for the store of a result.

  /** #NM while CR0 keeps the unit away; #MF when an exception waits, if the instruction does. */
  x87Check(waits: boolean): void
  /** An operation on the register stack (x87/form.ts) by an instruction's name. `low` and `high`
   * are the bits of its memory operand, or the condition of a move. The result is the bits to
   * store in memory, or the flags that it sets (CF, PF, ZF as in RFLAGS); what else a store
   * changes waits for `x87Commit`. */
  x87(name: string, operands: readonly Operand[], low?: V, high?: V): V
  /** The upper 16 of a result's 80 bits. */
  x87High(): V
  /** Whether the result is to be stored: not when an exception is unmasked. */
  x87Stores(): V
  x87Commit(): void
  /** Makes this the instruction that the unit remembers as the last. */
  x87Remember(operands: readonly Operand[]): void
  x87Word(which: 'control' | 'status'): V
  /** Sets the control word, and with it whether an exception waits. */
  setX87Control(value: V): void
  /** Stores 80 bits, all or none. */
  storeExtended(operand: Operand, low: V, high: V): void
  /** Faults where a write to the memory operand would. */
  probeWrite(operand: Operand): void

  // Floating point under MXCSR.

  /** Computes, and collects the exceptions in MXCSR. Scalars in, scalar out, of `width` bits. */
  float(op: FloatOp, width: 32 | 64, ...operands: V[]): V
  /** The same on lanes. `b` is there for operations of two operands, and for `round`. */
  floatVector(op: FloatVectorOp, width: 32 | 64, a: V, b?: V): V
  /** Ones in the lanes for which a predicate holds: a scalar, the five bits of VCMPPD's. */
  floatCompare(width: 32 | 64, predicate: V, a: V, b: V): V
  /** A product and an addend rounded once, of `width` bits; flags as `float`. */
  fused(op: FusedOp, width: 32 | 64, a: V, b: V, c: V): V
  /** Raises #XM if an unmasked exception was collected; stands before the result is written. */
  floatCheck(): void
  /** MXCSR, and to set it. */
  mxcsr(): V
  setMxcsr(value: V): void
  /** #NM when CR0.TS, #UD when CR0.EM or not CR4.OSFXSR: stands first in every SSE instruction. */
  sseCheck(): void
  /** The same for AVX: #UD unless CR4 and XCR0 enable it and in real mode; #NM when CR0.TS. */
  avxCheck(): void
  /** A pure function on scalars or vectors that has a name in pure.ts (AES rounds, CRC32, ...). */
  pure(name: string, ...operands: V[]): V
}
