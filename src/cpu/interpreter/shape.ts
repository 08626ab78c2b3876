/**
 * From a decoded instruction to the handler that carries it out: the key of its shape.
 *
 * Two instructions have the same handler when their definition, the kinds and widths of their
 * operands, and everything in InstructionShape are the same.
 */
import type { Instruction, MemoryOperand, Operand } from '../../isa/operand.ts'
import type { Addressing, InstructionShape } from './parts.ts'

export interface CodeModeShape {
  readonly long: boolean
  readonly stackWidth: 16 | 32 | 64
}

function memoryOf(operands: readonly Operand[]): MemoryOperand | undefined {
  for (const operand of operands) if (operand.kind === 'memory') return operand
  return undefined
}

function addressingOf(instruction: Instruction, long: boolean): Addressing {
  if (!long) return 'legacy'
  const memory = memoryOf(instruction.operands)
  if (!memory) return instruction.addressSize === 64 ? 'base' : 'address32'
  if (memory.addressWidth !== 64) return 'address32'
  if (memory.segment >= 4) return 'segmented'
  return memory.index < 0 ? 'base' : 'indexed'
}

export function shapeOf(instruction: Instruction, mode: CodeModeShape): InstructionShape {
  return {
    operandSize: instruction.operandSize,
    addressSize: instruction.addressSize,
    stackWidth: mode.stackWidth,
    long: mode.long,
    addressing: addressingOf(instruction, mode.long),
    // XCHG with memory locks whether it says so or not.
    lock: instruction.lock
      || instruction.definition.name === 'xchg' && memoryOf(instruction.operands) !== undefined,
    string: instruction.row.properties.string !== undefined,
    repeat: instruction.repeat,
  }
}

const KINDS = ['gpr', 'memory', 'immediate', 'relative', 'segment', 'control', 'debug', 'xmm',
  'mm', 'st', 'far'] as const
const ADDRESSINGS = ['base', 'indexed', 'segmented', 'address32', 'legacy'] as const

/**
 * A small number that is the same only for instructions of the same shape: those of a row that are
 * alike in all that an instruction may vary. Rows of one definition have shapes in common.
 */
export function rowKeyOf(instruction: Instruction, { stackWidth }: CodeModeShape): number {
  const memory = memoryOf(instruction.operands)
  let addressing = 0
  if (memory) {
    addressing = memory.segment >= 4 ? 3 : memory.index < 0 ? 1 : 2
  }
  const { row, operandSize, addressSize, repeat, lock } = instruction
  // Only 64-bit code has a stack that wide.
  return row.number << 12 | (operandSize >> 5) << 10 | (addressSize >> 5) << 8
    | (stackWidth >> 5) << 6 | addressing << 4 | (repeat & 3) << 1 | (lock ? 1 : 0)
}

const definitionNumbers = new Map<object, number>()

/** A number that is the same for instructions of the same shape, and only for those. */
export function keyOf(instruction: Instruction, shape: InstructionShape): number {
  let number = definitionNumbers.get(instruction.definition)
  if (number === undefined) {
    number = definitionNumbers.size
    definitionNumbers.set(instruction.definition, number)
  }
  let key = number * 4 + (shape.operandSize >> 5)
  key = key * 3 + (shape.addressSize >> 5)
  key = key * 3 + (shape.stackWidth >> 5)
  key = key * 5 + ADDRESSINGS.indexOf(shape.addressing)
  key = key * 8 + (shape.long ? 1 : 0) + (shape.lock ? 2 : 0)
    + (shape.repeat === 0xf2 ? 4 : 0)
  key = key * 2 + (shape.repeat === 0xf3 ? 1 : 0)
  for (let i = 0; i < 4; i++) {
    const operand = instruction.operands[i]
    key = key * 67 + (operand ? 1 + KINDS.indexOf(operand.kind) * 6 + widthCode(operand) : 0)
  }
  return key
}

function widthCode(operand: Operand): number {
  switch (operand.width) {
    case 8: return 0
    case 16: return 1
    case 32: return 2
    case 64: return 3
    case 256: return 4
    default: return 5
  }
}
