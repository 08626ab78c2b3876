/**
 * The system's state in the Wasm reading: fields of context and control block, which are in core
 * memory whoever keeps the registers.
 */
import { call, i32, i64 } from '../../../wasm/expression.ts'
import type { StateTransfer, SystemField } from '../../../isa/backend.ts'
import { FS, GS } from '../../../abi/x86/registers.ts'
import type { Operand } from '../../../isa/operand.ts'
import { transferOf } from '../../fpu/extended-state.ts'
import { CpuContext } from '../../state.ts'
import { controlAt, segmentAt, Z } from '../core-fields.ts'
import { CORE } from '../parts.ts'
import type { Value } from './value.ts'
import { X87Reading } from './x87.ts'

const at = CpuContext.offsets

/** Address and width. */
const fields: Readonly<Record<SystemField, readonly [number, 32 | 64]>> = {
  systemFlags: [at.systemFlags, 64], cpl: [at.cpl, 32],
  cr0: [at.cr0, 64], cr4: [at.cr4, 64], xcr0: [at.xcr0, 64],
  tscAux: [at.tscAux, 64], tscOffset: [at.tscOffset, 64],
  fsBase: [segmentAt(FS), 64], gsBase: [segmentAt(GS), 64],
  kernelGsBase: [at.kernelGsBase, 64],
  interruptShadow: [at.interruptShadow, 32],
  windowWanted: [controlAt('windowWanted'), 32],
  pausesLeft: [controlAt('pausesLeft'), 32],
  quietEoi: [controlAt('quietEoi'), 32],
}

export abstract class SystemReading extends X87Reading {
  system(field: SystemField): Value {
    const [address, width] = fields[field]
    return this.loaded('i64', () =>
      width === 32 ? i64.load32U(CORE, Z, address) : i64.load(CORE, Z, address))
  }

  setSystem(field: SystemField, value: Value): void {
    const [address, width] = fields[field]
    const scalar = this.scalar(value)
    this.effect({
      inputs: [scalar],
      emit: () => this.target.store(width === 32 ? 'i64As32' : 'i64', CORE, Z,
        scalar.expression(), address),
    })
  }

  fence(): void {
    this.effect({ inputs: [], emit: () => this.target.fence() })
  }

  exchangePair(
    operand: Operand, expected: readonly [Value, Value], wanted: readonly [Value, Value],
  ): readonly [Value, Value] {
    return this.shape.lock ? this.#exchangeLocked(operand, [...expected, ...wanted])
      : this.#exchangeAlone(operand, expected, wanted)
  }

  #exchangeAlone(
    operand: Operand, expected: readonly [Value, Value], wanted: readonly [Value, Value],
  ): readonly [Value, Value] {
    const [zero, eight] = [this.const(0), this.const(8)]
    const [low, high] = [this.loadAt(operand, zero, 64), this.loadAt(operand, eight, 64)]
    const equal = this.and(this.equal(expected[0], low), this.equal(expected[1], high))
    this.storeAt(operand, zero, 64, this.select(equal, wanted[0], low))
    this.storeAt(operand, eight, 64, this.select(equal, wanted[1], high))
    return [low, high]
  }

  #exchangeLocked(operand: Operand, values: readonly Value[]): readonly [Value, Value] {
    const linear = this.linearAddress(operand, 'write')
    const scalars = values.map((value) => this.scalar(value))
    const [low, high] = [this.result('i64'), this.result('i64')]
    // The upper half has a local before the exchange that fills both.
    this.effect({ inputs: [], result: high, emit: () => {} })
    this.effect({
      inputs: [linear, ...scalars], result: low,
      emit: () => this.memory.exchangePair(linear.expression(),
        scalars.map((scalar) => scalar.expression()), low.local!, high.local!),
    })
    return [low, high]
  }

  tsc(): Value {
    this.effect({ inputs: [], emit: () => this.site.exits.noteBudget() })
    return this.loaded('i64', () => call(this.parts.tsc))
  }

  deferIf(condition: Value): void {
    const test = this.boolean(condition)
    this.effect({
      inputs: [test],
      emit: () => this.target.if(test.expression(), () => this.site.exits.defer()),
    })
  }

  transferState(name: StateTransfer, area: Operand): void {
    const linear = this.linearAddress(area)
    const { part, form } = transferOf(name, this.operandSize)
    this.effect({
      inputs: [linear],
      emit: () => this.target.if(call(this.parts[part], linear.expression(), i32.const(form)),
        () => this.site.exits.defer()),
    })
  }

  loadSpace(target: Operand, value: Value): void {
    if (!this.shape.long) return
    const space = this.scalar(value)
    this.effect({
      inputs: [space],
      emit: () => {
        const isOther = i32.ne(this.registerAddress(target), i32.const(at.cr3))
        this.target.if(isOther, () => this.site.exits.defer())
        this.target.if(call(this.parts.loadSpace, space.expression()),
          () => this.site.exits.defer())
      },
    })
  }

  forgetPage(place: Operand): void {
    if (!this.shape.long) return
    const linear = this.linearAddress(place)
    this.effect({
      inputs: [linear],
      emit: () => {
        const address = linear.expression()
        const canonical = i64.shrS(i64.shl(address, i64.const(16)), i64.const(16))
        this.target.if(i64.eq(canonical, address),
          () => this.target.call(this.parts.flushPage, address))
      },
    })
  }
}
