/**
 * What a service routine may do to the processor: the second form of instruction semantics.
 *
 * Service routines are TypeScript, run once per instruction, and are written against this
 * interface so that they can be tested without a processor. A routine that cannot complete calls
 * `fault`, which does not return; it must do so before it has changed anything that the fault
 * would expose. Offsets and register contents are bigints: these paths are cold.
 */
import type { Instruction } from './operand.ts'

/** Carries out one instruction of the service's name. */
export type Service = (machine: Machine, instruction: Instruction) => void

export interface Machine {
  /** 64-bit code (CS.L with EFER.LMA). */
  readonly long: boolean
  readonly cpl: number
  /** Offset in the code segment of the instruction being executed. */
  readonly ip: bigint
  /** Selector of a segment register, by its number. */
  selector(segment: number): number
  gpr(index: number): bigint
  /** Writes `width` bits as the instruction would: 32 clears the upper half. */
  setGpr(index: number, width: number, value: bigint): void
  /** Offset of a memory operand within its segment. */
  effectiveAddress(operandIndex: number): bigint
  /** The same in the linear address space; nothing is checked. */
  linearAddress(operandIndex: number): bigint
  /** Scalar operand (register, memory or immediate), zero-extended. */
  read(operandIndex: number): bigint
  write(operandIndex: number, value: bigint): void
  /** Memory through a segment; `size` in bytes up to 8, little-endian, may cross pages. */
  load(segment: number, offset: bigint, size: number): bigint
  store(segment: number, offset: bigint, size: number, value: bigint): void
  /** Checks that `size` bytes can be written, faulting if not, so that stores cannot fail after. */
  probeWrite(segment: number, offset: bigint, size: number): void
  /** The six arithmetic flags and DF as in RFLAGS. */
  flags: bigint
  /** Raises an exception; never returns. */
  fault(vector: number, errorCode?: number): never
  readonly x87: X87State
  /** 128-bit registers. */
  xmm(index: number): bigint
  setXmm(index: number, value: bigint): void
  mxcsr: number
  readonly cr0: number
  readonly cr4: number
  readonly xcr0: number
}

/** The x87 unit as FXSAVE shows it. Register numbers are physical (TOP not applied). */
export interface X87State {
  controlWord: number
  /** TOP is bits 11-13. */
  statusWord: number
  /** One bit a physical register: 1 holds a value, 0 is empty (FXSAVE's abridged tag). */
  tags: number
  lastOpcode: number
  lastIp: bigint
  lastDp: bigint
  lastCs: number
  lastDs: number
  /** 64-bit significand of physical register `index`. */
  significand(index: number): bigint
  /** Sign and 15-bit exponent. */
  signExponent(index: number): number
  setRegister(index: number, signExponent: number, significand: bigint): void
}
