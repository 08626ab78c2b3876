/**
 * The decoded record: one instruction as the interpreter's loop executes it.
 *
 * Records of a trace lie one behind the other in core memory, so that the next instruction is the
 * next record. Register fields are addresses in core memory (state.ts), so that one handler serves
 * all registers, high bytes included.
 */
import type { Operand } from '../../isa/operand.ts'
import { CpuContext, SegmentState, X87Register } from '../state.ts'

const at = CpuContext.offsets

export const RECORD_BYTES = 32
export const RECORD_SHIFT = 5

/** Where a record has, as u32, the record that a jump went to and its frame's machine address. */
export interface LastTarget {
  readonly link: number
  readonly frame: number
}

/** Byte offsets of a record's fields. */
export const field = {
  /** u16: number of the handler. */
  handler: 0,
  /** u16: offset of the instruction in its page; where a trace ends it may be 4096 or more. */
  pageOffset: 2,
  /** u8: bytes of the instruction; 0 for what is none. */
  length: 4,
  /** u8: the index register is shifted left by the lowest two bits; above them, the number of the
   * memory operand's segment register. */
  scaleAndSegment: 5,
  /** u16: how often the record was jumped to, up to a limit. Beside what is read of the record
   * then, in the same line of the host's cache. */
  heat: 6,
  /** u16: addresses of the register operands, in operand order. */
  registers: [8, 10, 12, 14] as const,
  /** The same beside a memory operand: a third comes without an immediate. */
  registersBesideMemory: [8, 10, 24] as const,
  /** u16: addresses of base and index register. */
  base: 12,
  index: 14,
  /** i64: displacement of the memory operand. */
  displacement: 16,
  /** u32: a branch's link, the record of its target when known and in the same page, else 0.
   * Direct branches have no memory operand. */
  link: 16,
  /** Where a direct branch to another page went. It has no register operands. */
  branchedTo: { link: 20, frame: 8 } satisfies LastTarget,
  /** Where an indirect jump without an immediate went last. */
  jumpedTo: { link: 24, frame: 28 } satisfies LastTarget,
  /** i64: the immediate; of a direct branch, the target's offset from the start of the page. */
  immediate: 24,
  /** u16: what the x87 unit remembers as its last opcode; its instructions have no immediate. */
  x87Opcode: 24,
  /** Where a first and a second immediate are; those with two have no memory operand. */
  immediates: [24, 16] as const,
} as const

export const SCALE_MASK = 3
export const SEGMENT_SHIFT = 2

/** Handlers that no instruction has, in front of the numbers of those that instructions have. */
export const Special = {
  /** Looks up the code at its own address: ends a trace, and replaces records of code that was
   * written to. */
  LOOK_UP: 0,
  /** The instruction is carried out by a service. */
  SERVICE: 1,
  /** Raises the exception whose vector is the immediate. */
  RAISE: 2,
  /** Checks that the following page is still the machine frame in the immediate, then goes on:
   * stands before an instruction that crosses into it. */
  CHECK_NEXT_PAGE: 3,
  /** Stops the loop: ends the trace of a single step. */
  STEP_END: 4,
  /** Goes on with the record in the link: a trace runs into another. */
  JOIN: 5,
  /** Enters a compiled region: calls the function at the link in the table of handlers with the
   * immediate. */
  REGION: 6,
  /** Changes of privilege level that need no service (cpu/privilege); the service does the rest. */
  SYSCALL: 7,
  SYSRET: 8,
  IRET: 9,
  FIRST_FREE: 10,
} as const

/** Where the addresses of an instruction's register operands are. */
export function registerFields(operands: readonly Operand[]): readonly number[] {
  return operands.some((operand) => operand.kind === 'memory')
    ? field.registersBesideMemory : field.registers
}

/** Address in core memory of a register operand, or -1 for what is no register. */
export function registerAddress(operand: Operand): number {
  switch (operand.kind) {
    case 'gpr': return at.gpr + operand.index * 8 + (operand.high ? 1 : 0)
    case 'xmm': return at.vector + operand.index * 32
    case 'mm': case 'st': return at.x87 + operand.index * X87Register.size
    case 'segment':
      return at.segments + operand.index * SegmentState.size + SegmentState.offsets.selector
    case 'control': return operand.index === 8 ? at.cr8
      : [at.cr0, at.zero, at.cr2, at.cr3, at.cr4][operand.index] ?? at.zero
    case 'debug': return at.dr + (operand.index & 7) * 8
    default: return -1
  }
}
