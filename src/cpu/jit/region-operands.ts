/**
 * Operands of an instruction of a region: constants, and addresses counted from the region's page.
 */
import { assert } from '../../base/assert.ts'
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { Instruction, Operand } from '../../isa/operand.ts'
import { opcodeOf } from '../../isa/x87/unit.ts'
import type { Site } from '../interpreter/parts.ts'
import type { OperandSource } from '../interpreter/reading/operand-source.ts'
import { registerAddress } from '../interpreter/record.ts'
import type { LocalState } from './local-state.ts'
import type { LocalX87 } from './local-x87.ts'

export interface RegionSite extends Site {
  readonly state: LocalState
  readonly operands: RegionOperands
  /** If the region keeps the x87 unit in locals. */
  readonly x87: LocalX87 | undefined
}

export class RegionOperands implements OperandSource {
  /** The linear address that places in the region count from. */
  readonly base: Local
  /** The place of the following instruction. */
  readonly nextOffset: number
  readonly #instruction: Instruction

  constructor(base: Local, instruction: Instruction, offset: number) {
    this.base = base
    this.#instruction = instruction
    this.nextOffset = offset + instruction.length
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

  scale(operand: Operand): Expression {
    assert(operand.kind === 'memory', 'memory has a scale')
    return i64.const(operand.scale)
  }

  segment(): Expression {
    const isString = this.#instruction.row.properties.string !== undefined
    for (const operand of this.#instruction.operands) {
      if (operand.kind === 'memory' && !isString) return i32.const(operand.segment)
    }
    return i32.const(this.#instruction.segment)
  }

  /** The place of the instruction. */
  get offset(): number {
    return this.nextOffset - this.#instruction.length
  }

  linear(): Expression {
    return i64.add(this.base, i64.const(this.offset))
  }

  /** What the x87 unit remembers of it. */
  get opcode(): number {
    return opcodeOf(this.#instruction)
  }

  x87Opcode(): Expression {
    return i32.const(this.opcode)
  }

  nextLinear(): Expression {
    return i64.add(this.base, i64.const(this.nextOffset))
  }

  effective(): never {
    throw new Error('a region adds addresses up by itself')
  }

  branchTo(): never {
    throw new Error('a region looks no record up')
  }

  jumpTo(): never {
    throw new Error('a region looks no record up')
  }
}
