/**
 * What AVX adds to the Wasm reading: vectors of 256 bits as two halves, and fused multiply-add.
 *
 * The upper half of a vector register lies 16 bytes behind the lower one.
 */
import { call, constantOf, i32, type Expression } from '../../../wasm/expression.ts'
import type { FusedOp } from '../../../isa/backend.ts'
import type { Operand } from '../../../isa/operand.ts'
import { fusedNumber } from '../../fpu/float-number.ts'
import { xmmAt } from '../core-fields.ts'
import { FloatReading } from './floats.ts'
import type { Value } from './value.ts'

const UPPER = 16

function upperOf(address: Expression): Expression {
  const place = constantOf(address)
  return typeof place === 'number' ? i32.const(place + UPPER) : i32.add(address, i32.const(UPPER))
}

export abstract class AvxReading extends FloatReading {
  readHalves(operand: Operand, aligned = false): readonly [Value, Value] {
    if (operand.kind !== 'memory') {
      const address = this.registerAddress(operand)
      return [this.loadRegister(address), this.loadRegister(upperOf(address))]
    }
    const linear = this.linearAddress(operand)
    const symbol = this.symbolOf(linear)
    const low = this.result('v128')
    const high = this.result('v128')
    // The upper half has a local before the load that fills both.
    this.effect({ inputs: [], result: high, emit: () => {} })
    this.effect({
      inputs: [linear],
      result: low,
      emit: () => this.memory.loadHalves(
        linear.expression(), aligned, low.local!, high.local!, symbol),
    })
    return [low, high]
  }

  writeHalves(operand: Operand, low: Value, high: Value, aligned = false): void {
    if (operand.kind !== 'memory') {
      const address = this.registerAddress(operand)
      this.storeRegister(address, low)
      this.storeRegister(upperOf(address), high)
      return
    }
    const linear = this.linearAddress(operand, 'write')
    const symbol = this.symbolOf(linear)
    this.effect({
      inputs: [linear, low, high],
      emit: () => this.memory.storeHalves(
        linear.expression(), aligned, low.expression(), high.expression(), symbol),
    })
  }

  clearUpper(index: number): void {
    this.storeRegister(i32.const(xmmAt(index) + UPPER), this.vectorConst(0n))
  }

  scaled(operand: Operand, index: Value): Value {
    const scale = this.loaded('i64', () => this.site.operands.scale(operand))
    return this.shl(index, scale)
  }

  probeAt(operand: Operand, byteOffset: Value, width: number): void {
    const linear = this.linearAt(operand, byteOffset, width, 'write')
    this.effect({
      inputs: [linear],
      emit: () => this.memory.probeWrite(linear.expression(), width),
    })
  }

  fused(op: FusedOp, width: 32 | 64, a: Value, b: Value, c: Value): Value {
    const inputs = [a, b, c].map((value) => this.scalar(value))
    const result = this.result('i64')
    this.computesElsewhere()
    this.effect({
      inputs,
      result,
      emit: () => {
        const [x, y, z] = inputs.map((input) => input.expression())
        this.target.set(result.local!, call(this.parts.fused,
          i32.const(fusedNumber(op, width)), x!, y!, z!))
        this.site.floats.changed()
      },
    })
    return result
  }

  avxCheck(): void {
    this.checkIf(() => this.site.floats.avxUnavailable(), this.parts.avxCheck)
  }
}
