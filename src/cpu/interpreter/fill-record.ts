/**
 * From an instruction to the operand fields of its record (record.ts).
 */
import type { Instruction, Operand } from '../../isa/operand.ts'
import { opcodeOf } from '../../isa/x87/unit.ts'
import { CpuContext } from '../state.ts'
import { controlAt } from './core-fields.ts'
import { field, registerAddress, registerFields, SEGMENT_SHIFT } from './record.ts'

const at = CpuContext.offsets

/** Core memory. */
export interface RecordWords {
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly i32: Int32Array
  readonly i64: BigInt64Array
}

/** Fills a record's fields for an instruction that ends at `nextOffset` of its page. */
export function fillRecord(
  words: RecordWords, record: number, instruction: Instruction, nextOffset: number,
): void {
  words.u8[record + field.scaleAndSegment] = instruction.segment << SEGMENT_SHIFT
  if (instruction.row.isX87) words.u16[record + field.x87Opcode >>> 1] = opcodeOf(instruction)
  const isString = instruction.row.properties.string !== undefined
  const fields = registerFields(instruction.operands)
  let registers = 0
  let immediates = 0
  for (const operand of instruction.operands) {
    const address = registerAddress(operand)
    if (address >= 0) {
      words.u16[record + fields[registers++]! >>> 1] = address
    } else if (operand.kind === 'immediate') {
      words.i64[record + field.immediates[immediates++]! >>> 3] = operand.value
    } else if (!isString) {
      fillOperand(words, record, operand, nextOffset)
    }
  }
}

function fillOperand(
  words: RecordWords, record: number, operand: Operand, nextOffset: number,
): void {
  const { u8, u16 } = words
  switch (operand.kind) {
    case 'memory': {
      const base = operand.ripRelative ? controlAt('codePage')
        : operand.base < 0 ? at.zero : at.gpr + operand.base * 8
      const index = operand.index < 0 ? at.zero : at.gpr + operand.index * 8
      u16[record + field.base >>> 1] = base
      u16[record + field.index >>> 1] = index
      u8[record + field.scaleAndSegment] = operand.scale | operand.segment << SEGMENT_SHIFT
      if (operand.ripRelative) {
        put(words, record + field.displacement, Number(operand.displacement) + nextOffset)
      } else {
        words.i64[record + field.displacement >>> 3] = operand.displacement
      }
      break
    }
    case 'relative':
      put(words, record + field.immediate, nextOffset + operand.displacement)
      u8[record + field.scaleAndSegment] = operand.width === 16 ? 1 : operand.width === 32 ? 2 : 0
      break
    default:
      break
  }
}

/** Writes a whole number as 64 bits; through a bigint it would take several times as long. */
function put({ i32 }: RecordWords, at: number, value: number): void {
  i32[at >>> 2] = value
  i32[(at >>> 2) + 1] = Math.floor(value / 0x1_0000_0000)
}
