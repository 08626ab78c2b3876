/**
 * Blocks of memory in the Wasm reading, for repeated string instructions (interpreter/blocks.ts).
 */
import { call, i32 } from '../../../wasm/expression.ts'
import type { Operand } from '../../../isa/operand.ts'
import { SystemReading } from './system.ts'
import type { Value } from './value.ts'

export abstract class BlockReading extends SystemReading {
  /** Whether string operands lie at linear addresses that count on to the end of the page. */
  get movesBlocks(): boolean {
    return this.long && this.addressSize === 64
  }

  /** Moves up to `count` elements upwards from one memory operand to another; how many it did, or 0
   * when they must be moved singly. */
  moveForward(target: Operand, source: Operand, count: Value): Value {
    const from = this.linearAddress(source)
    return this.#block('moveForward', target, from, count)
  }

  /** Fills up to `count` elements upwards from a memory operand with a value. */
  fillForward(target: Operand, value: Value, count: Value): Value {
    return this.#block('fillForward', target, value, count)
  }

  #block(
    part: 'moveForward' | 'fillForward', target: Operand, source: Value, count: Value,
  ): Value {
    const to = this.linearAddress(target, 'write')
    const shift = i32.const(Math.log2(target.width / 8))
    const result = this.result('i64')
    this.effect({
      inputs: [to, source, count],
      result,
      emit: () => this.target.set(result.local!, call(this.parts[part], to.expression(),
        source.expression(), count.expression(), shift)),
    })
    return result
  }
}
