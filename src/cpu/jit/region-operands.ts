/**
 * Operands of an instruction of a region: constants, and addresses counted from the region's page.
 */
import { assert } from '../../base/assert.ts'
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { Instruction, MemoryOperand, Operand } from '../../isa/operand.ts'
import { gprAt } from '../interpreter/core-fields.ts'
import type { OperandSource } from '../interpreter/reading/operand-source.ts'
import type { StateFile } from '../interpreter/reading/state-file.ts'
import { registerAddress } from '../interpreter/record.ts'

export class RegionOperands implements OperandSource {
  readonly #base: Local
  readonly #state: StateFile
  readonly #instruction: Instruction
  readonly #nextOffset: number

  /** `base` is the linear address that `offset`, the instruction's place, counts from. */
  constructor(base: Local, state: StateFile, instruction: Instruction, offset: number) {
    this.#base = base
    this.#state = state
    this.#instruction = instruction
    this.#nextOffset = offset + instruction.length
  }

  register(operand: Operand): Expression {
    const address = registerAddress(operand)
    assert(address >= 0, `operand ${operand.kind} is no register`)
    return i32.const(address)
  }

  immediate(operand: Operand): Expression {
    assert(operand.kind === 'immediate', 'an immediate operand')
    return i64.const(operand.value)
  }

  effective(operand: MemoryOperand): Expression {
    const register = (index: number): Expression => this.#state.load(i32.const(gprAt(index)), 64)
    const constant = operand.ripRelative
      ? operand.displacement + BigInt(this.#nextOffset) : operand.displacement
    let sum: Expression | undefined = operand.ripRelative ? this.#base : undefined
    if (operand.base >= 0) sum = register(operand.base)
    if (operand.index >= 0) {
      const index = register(operand.index)
      const scaled = operand.scale === 0 ? index : i64.shl(index, i64.const(operand.scale))
      sum = sum ? i64.add(sum, scaled) : scaled
    }
    if (!sum) return i64.const(constant)
    return constant === 0n ? sum : i64.add(sum, i64.const(constant))
  }

  segment(): Expression {
    const isString = this.#instruction.row.properties.string !== undefined
    for (const operand of this.#instruction.operands) {
      if (operand.kind === 'memory' && !isString) return i32.const(operand.segment)
    }
    return i32.const(this.#instruction.segment)
  }

  nextLinear(): Expression {
    return i64.add(this.#base, i64.const(this.#nextOffset))
  }

  branchTo(): never {
    throw new Error('a region looks no record up')
  }
}
