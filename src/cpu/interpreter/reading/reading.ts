/**
 * The Wasm reading of the semantics: what the interpreter's handlers and compiled bodies are.
 *
 * Running a definition's `execute` with a WasmReading collects steps; `finish` writes them into the
 * handler. The vocabulary comes in layers, each in the words of those below: steps, scalars,
 * operands, vectors, floating point, the x87 unit, the system, blocks, and here control.
 */
import { assert } from '../../../base/assert.ts'
import { i32, i64 } from '../../../wasm/expression.ts'
import { CS } from '../../../abi/x86/registers.ts'
import type { Backend } from '../../../isa/backend.ts'
import type { Operand } from '../../../isa/operand.ts'
import { segmentAt, Z } from '../core-fields.ts'
import { CORE } from '../parts.ts'
import { BlockReading } from './blocks.ts'
import { countUses, emitSteps, type Value } from './value.ts'

export class WasmReading extends BlockReading implements Backend<Value> {
  /** Control has left for good: nothing follows. */
  #left = false

  /** Writes the collected steps, and goes on with the next instruction unless control left. */
  finish(): void {
    this.completeMmx()
    countUses(this.steps)
    emitSteps(this.steps, this.target, this.pool)
    if (!this.#left) this.site.exits.next()
  }

  nextIp(): Value {
    const linear = this.loaded('i64', () => this.site.operands.nextLinear())
    if (this.long) return linear
    const base = this.loaded('i64', () => i64.load(CORE, Z, segmentAt(CS)))
    return this.zx(this.sub(linear, base), 32)
  }

  branch(target: Operand, condition?: Value): void {
    assert(target.kind === 'relative', 'a branch needs a relative target')
    const { operands, exits } = this.site
    const resolve = (): void => {
      const record = this.pool.take('i32')
      operands.branchTo(target, record)
      exits.goTo(record)
    }
    if (!condition) {
      this.effect({ inputs: [], emit: resolve })
      this.#left = true
      return
    }
    const test = this.boolean(condition)
    this.effect({
      inputs: [test],
      emit: () => this.target.if(test.expression(), resolve),
    })
  }

  jump(target: Value): void {
    const scalar = this.scalar(target)
    this.effect({
      inputs: [scalar],
      emit: () => this.site.exits.goTo(this.site.operands.jumpTo(scalar.expression())),
    })
    this.#left = true
  }

  faultIf(condition: Value, vector: number, errorCode?: number): void {
    const test = this.boolean(condition)
    this.effect({
      inputs: [test],
      emit: () => this.target.ifUnlikely(test.expression(), () => {
        this.target.call(this.parts.raise, i32.const(vector), i32.const(errorCode ?? 0),
          i32.const(errorCode === undefined ? 0 : 1))
        this.site.exits.stop()
      }),
    })
  }
}
