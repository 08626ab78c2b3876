/**
 * Where generated code finds what differs between instructions of one shape: register numbers,
 * displacements, immediates, branch targets.
 *
 * The interpreter's handlers take them out of the decoded record; a compiled region has them as
 * constants (jit/region-operands.ts). The readings of the semantics know only the interface, so
 * that both are the same code with one parameter changed.
 */
import { assert } from '../../../base/assert.ts'
import { call, i32, i64, type Expression, type Local } from '../../../wasm/expression.ts'
import type { FunctionBuilder } from '../../../wasm/function.ts'
import type { MemoryOperand, Operand } from '../../../isa/operand.ts'
import { loadControl64 } from '../core-fields.ts'
import { CORE, type EngineParts } from '../parts.ts'
import {
  field, registerAddress, registerFields, SCALE_MASK, SEGMENT_SHIFT,
} from '../record.ts'

export interface OperandSource {
  /** Address in core memory of a register operand. */
  register(operand: Operand): Expression
  /** The immediate, sign-extended to 64 bits. */
  immediate(operand: Operand): Expression
  /** Base, index and displacement added up; `indexed` when there may be an index. */
  effective(operand: MemoryOperand, indexed: boolean): Expression
  /** How far a gather's index is shifted left. */
  scale(operand: Operand): Expression
  /** Number of the memory operand's segment register, or of the implicit source's. */
  segment(): Expression
  /** Linear address of the instruction, and of the following one. */
  linear(): Expression
  nextLinear(): Expression
  /** What the x87 unit remembers as the opcode. */
  x87Opcode(): Expression
  /** Leaves the record of a direct branch's target in `target`; 0 when it cannot be fetched. */
  branchTo(operand: Operand, target: Local): void
  /** The record at an instruction pointer that the instruction jumps to; 0 as before. */
  jumpTo(rip: Expression): Expression
}

function codePagePlus(offset: Expression): Expression {
  return i64.add(loadControl64('codePage'), offset)
}

/** Register operands that the definition names itself have no place in the instruction. */
function ownRegister(operand: Operand): Expression {
  const address = registerAddress(operand)
  assert(address >= 0, `operand ${operand.kind} is no register`)
  return i32.const(address)
}

/** Operands out of the decoded record. */
export class RecordOperands implements OperandSource {
  readonly #target: FunctionBuilder
  readonly #record: Local
  readonly #parts: EngineParts
  readonly #registers = new Map<Operand, number>()
  readonly #immediates = new Map<Operand, number>()

  constructor(
    parts: EngineParts, target: FunctionBuilder, record: Local, operands: readonly Operand[],
  ) {
    this.#parts = parts
    this.#target = target
    this.#record = record
    const registers = registerFields(operands)
    for (const operand of operands) {
      if (operand.kind === 'immediate') {
        this.#immediates.set(operand, field.immediates[this.#immediates.size]!)
      } else if (registerAddress(operand) >= 0) {
        this.#registers.set(operand, registers[this.#registers.size]!)
      }
    }
  }

  register(operand: Operand): Expression {
    const offset = this.#registers.get(operand)
    return offset === undefined ? ownRegister(operand) : i32.load16U(CORE, this.#record, offset)
  }

  immediate(operand: Operand): Expression {
    const offset = this.#immediates.get(operand)
    assert(offset !== undefined, 'an immediate of this instruction')
    return i64.load(CORE, this.#record, offset)
  }

  effective(_operand: MemoryOperand, indexed: boolean): Expression {
    const slot = (at: number): Expression =>
      i64.load(CORE, i32.load16U(CORE, this.#record, at))
    const simple = i64.add(slot(field.base), i64.load(CORE, this.#record, field.displacement))
    if (!indexed) return simple
    return i64.add(simple, i64.shl(slot(field.index), this.scale()))
  }

  scale(): Expression {
    return i64.and(
      i64.load8U(CORE, this.#record, field.scaleAndSegment), i64.const(SCALE_MASK))
  }

  segment(): Expression {
    return i32.shrU(
      i32.load8U(CORE, this.#record, field.scaleAndSegment), i32.const(SEGMENT_SHIFT))
  }

  linear(): Expression {
    return codePagePlus(i64.load16U(CORE, this.#record, field.pageOffset))
  }

  nextLinear(): Expression {
    return i64.add(this.linear(), i64.load8U(CORE, this.#record, field.length))
  }

  x87Opcode(): Expression {
    return i32.load16U(CORE, this.#record, field.x87Opcode)
  }

  branchTo(_operand: Operand, target: Local): void {
    const f = this.#target
    f.set(target, i32.load(CORE, this.#record, field.link))
    f.if(i32.eqz(target), () => f.set(target, call(this.#parts.resolve, this.#record)))
  }

  jumpTo(rip: Expression): Expression {
    if (this.#immediates.size > 0) return call(this.#parts.jump, rip)
    return call(this.#parts.jumpIndirect, this.#record, rip)
  }
}
