/**
 * The x87 unit in the Wasm reading: its operations are functions of the engine (fpu/x87-*.ts), or
 * the exact routine; its state stays in core memory.
 */
import { CR0 } from '../../../abi/x86/control.ts'
import { CS } from '../../../abi/x86/registers.ts'
import {
  call, constantOf, i32, i64, type Expression,
} from '../../../wasm/expression.ts'
import type { Operand } from '../../../isa/operand.ts'
import { formNumber, shapeOfOperands } from '../../../isa/x87/form.ts'
import { coreMap } from '../../core-memory.ts'
import { x87Flags, x87PartOf } from '../../fpu/x87-number.ts'
import { CpuContext, SegmentState } from '../../state.ts'
import { loadControl64, loadControlRegister, segmentAt, Z } from '../core-fields.ts'
import { CORE } from '../parts.ts'
import { AvxReading } from './avx-vectors.ts'
import type { Value } from './value.ts'

const at = CpuContext.offsets
const SUMMARY = 1 << 7
const BUSY = 1 << 15

const loadStatus = (): Expression => i32.load16U(CORE, Z, at.x87Status)
const loadControlWord = (): Expression => i32.load16U(CORE, Z, at.x87Control)

export abstract class X87Reading extends AvxReading {
  x87Check(waits: boolean): void {
    const off = (): Expression => i32.and(loadControlRegister('cr0'), i32.const(CR0.EM | CR0.TS))
    this.checkIf(() => waits ? i32.or(off(), i32.and(loadStatus(), i32.const(SUMMARY))) : off(),
      this.parts.x87Check)
  }

  x87(name: string, operands: readonly Operand[], low?: Value, high?: Value): Value {
    const shape = shapeOfOperands(operands)
    const target = this.parts[x87PartOf(name, shape)]
    const form = i32.const(formNumber(name, shape))
    const flags = x87Flags(name)
    const inputs = [low, high].filter((value) => value !== undefined)
      .map((value) => this.scalar(value))
    const result = this.result('i64')
    this.effect({
      inputs, result,
      emit: () => this.target.set(result.local!, call(target, form,
        this.#index(operands, flags), inputs[0]?.expression() ?? i64.const(0),
        inputs[1] ? i32.wrap(inputs[1].expression()) : Z)),
    })
    return result
  }

  x87High(): Value {
    return this.loaded('i64', () => i64.load32U(CORE, Z, coreMap.x87Result + 4))
  }

  x87Stores(): Value {
    return this.loaded('i32', () => i32.load(CORE, Z, coreMap.x87Result + 8))
  }

  x87Commit(): void {
    this.effect({ inputs: [], emit: () => this.target.call(this.parts.x87Commit) })
  }

  x87Remember(operands: readonly Operand[]): void {
    const [memory] = operands
    const address = memory?.kind === 'memory' ? this.address(memory) : undefined
    this.effect({
      inputs: address ? [address] : [],
      emit: () => {
        const f = this.target
        const { operands: source } = this.site
        f.store('i64', CORE, Z, i64.sub(source.linear(), loadControl64('codeBase')), at.x87LastIp)
        f.store('i32As16', CORE, Z, selectorOf(i32.const(CS)), at.x87LastCs)
        f.store('i32As16', CORE, Z, source.x87Opcode(), at.x87LastOpcode)
        if (!address) return
        f.store('i64', CORE, Z, address.expression(), at.x87LastDp)
        f.store('i32As16', CORE, Z, selectorOf(source.segment()), at.x87LastDs)
      },
    })
  }

  x87Word(which: 'control' | 'status'): Value {
    return this.loaded('i64', () =>
      i64.load16U(CORE, Z, which === 'control' ? at.x87Control : at.x87Status))
  }

  setX87Control(value: Value): void {
    const word = this.or(this.and(value, this.const(0x1f3f)), this.const(0x40))
    this.effect({
      inputs: [word],
      emit: () => {
        const f = this.target
        f.store('i64As16', CORE, Z, word.expression(), at.x87Control)
        const waiting = i32.and(i32.and(loadStatus(), i32.const(0x3f)),
          i32.xor(loadControlWord(), i32.const(0x3f)))
        const rest = i32.and(loadStatus(), i32.const(0xffff & ~(SUMMARY | BUSY)))
        f.store('i32As16', CORE, Z, i32.or(rest,
          i32.mul(i32.ne(waiting, Z), i32.const(SUMMARY | BUSY))), at.x87Status)
      },
    })
  }

  storeExtended(operand: Operand, low: Value, high: Value): void {
    const linear = this.linearAddress(operand, 'write')
    const ends = this.add(linear, this.const(8))
    this.effect({
      inputs: [linear],
      emit: () => {
        const place = i32.and(i32.wrap(linear.expression()), i32.const(0xfff))
        this.target.if(i32.gtU(place, i32.const(4096 - 10)),
          () => this.memory.probeWrite(linear.expression(), 80))
      },
    })
    this.storeLinear(linear, 64, this.scalar(low))
    this.storeLinear(ends, 16, this.scalar(high))
  }

  probeWrite(operand: Operand): void {
    const linear = this.linearAddress(operand, 'write')
    this.effect({
      inputs: [linear],
      emit: () => this.memory.probeWrite(linear.expression(), operand.width),
    })
  }

  /** Which stack registers an operation is on, as STACK_OPERATION wants it. */
  #index(operands: readonly Operand[], flags: number): Expression {
    const [first, second] = operands.filter((operand) => operand.kind === 'st')
    const offset = (operand: Operand): Expression => {
      const address = this.registerAddress(operand)
      const known = constantOf(address)
      return known === undefined ? i32.sub(address, i32.const(at.x87))
        : i32.const(Number(known) - at.x87)
    }
    const target = first ? offset(first) : Z
    const source = second ? i32.shl(offset(second), i32.const(8)) : i32.const(1 << 12)
    return i32.or(i32.or(target, source), i32.const(flags))
  }
}

/** The selector of a segment register. */
export function selectorOf(segment: Expression): Expression {
  return i32.load16U(CORE, i32.shl(segment, i32.const(4)),
    segmentAt(0) + SegmentState.offsets.selector)
}
