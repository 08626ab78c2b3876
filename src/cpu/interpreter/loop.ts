/**
 * The interpreter's loop, with the handlers that deserve a place in it.
 *
 * The loop keeps the record of the current instruction in a local. A handler ends by going to the
 * next record, or to the record of a jump's target; there instructions are counted against the
 * budget and the doorbell is looked at. Handlers outside the loop are functions in a table, made
 * when the first instruction of their shape is decoded.
 */
import {
  call, callIndirect, globalGet, i32, i64, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import type { Instruction } from '../../isa/operand.ts'
import { Stop } from '../core-memory.ts'
import type { Transfers } from '../privilege/transfers.ts'
import { CpuContext } from '../state.ts'
import { controlAt, loadControl32, loadControl64, Z } from './core-fields.ts'
import {
  DEFERRED, emitHandler, type HandlerPlace, STOPPED_AT_RECORD, UNCOUNTED_AGAIN,
} from './handlers.ts'
import { emitHeat, type Heat } from './heat.ts'
import { CORE, type EngineParts, type InstructionShape, MACHINE } from './parts.ts'
import { LocalPool } from './reading/value.ts'
import { sliceOf } from './support.ts'
import { field, RECORD_BYTES, RECORD_SHIFT, Special } from './record.ts'

export const ServiceResult = {
  /** Go on with the next record. */
  NEXT: 0,
  /** Go on at the context's rip. */
  JUMP: 1,
  /** Leave the loop; the context's rip is right. */
  LEAVE: 2,
  /** The same, and the instruction did not happen. */
  STOPPED: 3,
} as const

/** An instruction of the shape that a handler is for. */
export interface HandlerExample {
  readonly instruction: Instruction
  readonly shape: InstructionShape
}

/** Numbers of two handlers in the loop: one does what the first does, and goes to the second. */
export interface HandlerPair {
  readonly first: number
  readonly second: number
}

export interface LoopNeeds extends Transfers, Heat {
  /** () -> 1 when the noted fault was delivered, and the context's rip is its handler's. */
  readonly deliverFault: FunctionReference | undefined
  /** Those whose handlers are part of the loop. */
  readonly inline: readonly HandlerExample[]
  /** Their numbers come before those of `inline`. */
  readonly pairs: readonly HandlerPair[]
  /** (record) -> one of ServiceResult. */
  readonly service: FunctionReference
  /** (record) -> record, or 0. */
  readonly decodeAgain: FunctionReference
  /** (linear) -> machine address, negative when stopped. */
  readonly execTranslate: FunctionReference
}

/** Where control may go from inside the loop. */
interface Labels {
  /** Ends the run; the context's rip is right. */
  readonly leave: Label
  /** Ends the run at the current record, which was not carried out. */
  readonly stopAtRecord: Label
  /** Goes on at `record`, which is not the next one. */
  readonly jumped: Label
  /** Goes on at `record`. */
  readonly again: Label
}

/** Builds the loop: runs from the context's rip until something stops it. */
export function buildLoop(
  module: ModuleBuilder, parts: EngineParts, needs: LoopNeeds,
): FunctionBuilder {
  return new Loop(module, parts, needs).build()
}

class Loop {
  readonly #parts: EngineParts
  readonly #needs: LoopNeeds
  readonly #function: FunctionBuilder
  readonly #record: Local
  readonly #next: Local
  /** The first record since the last jump. */
  readonly #start: Local
  /** Instructions that were left at `#start`. */
  readonly #budget: Local
  readonly #pool: LocalPool
  readonly #handlerType: number

  constructor(module: ModuleBuilder, parts: EngineParts, needs: LoopNeeds) {
    const f = module.function({ parameters: [] })
    this.#parts = parts
    this.#needs = needs
    this.#function = f
    this.#record = f.local('i32')
    this.#next = f.local('i32')
    this.#start = f.local('i32')
    this.#budget = f.local('i32')
    this.#pool = new LocalPool(f)
    this.#handlerType = module.typeOf({ parameters: ['i32'], result: 'i32' })
  }

  build(): FunctionBuilder {
    const f = this.#function
    f.set(this.#budget, loadControl32('budget'))
    f.setGlobal(this.#parts.stopped, Z)
    f.set(this.#record, call(this.#parts.jump, i64.load(CORE, Z, CpuContext.offsets.rip)))
    f.loop((restart) => {
      this.#untilStopped()
      this.#deliverFault(restart)
    })
    f.store('i32', CORE, Z, this.#budget, controlAt('budget'))
    return f
  }

  #untilStopped(): void {
    const f = this.#function
    f.block((leave) => {
      f.block((stopAtRecord) => {
        f.loop((jumped) => {
          this.#enterTrace(leave, stopAtRecord)
          f.loop((again) => this.#carryOut({ leave, stopAtRecord, jumped, again }))
        })
      })
      f.store('i32', CORE, Z, this.#record, controlAt('record'))
      f.set(this.#budget, this.#left())
      f.store('i64', CORE, Z, i64.sub(this.#linear(), loadControl64('codeBase')),
        CpuContext.offsets.rip)
    })
  }

  /** Goes on with the handler of a fault. Each counts as an instruction, so that faults without end
   * use the budget up. */
  #deliverFault(restart: Label): void {
    const { deliverFault } = this.#needs
    if (!deliverFault) return
    const f = this.#function
    f.if(i32.eq(loadControl32('stop'), i32.const(Stop.FAULT)), () => {
      f.if(call(deliverFault), () => {
        f.setGlobal(this.#parts.stopped, Z)
        f.set(this.#budget, i32.sub(this.#budget, i32.const(1)))
        f.set(this.#record, call(this.#parts.jump, i64.load(CORE, Z, CpuContext.offsets.rip)))
        f.br(restart)
      })
    })
  }

  /** After a jump: looks at what may end the run. */
  #enterTrace(leave: Label, stopAtRecord: Label): void {
    const f = this.#function
    f.brIf(leave, i32.eqz(this.#record))
    f.set(this.#start, this.#record)
    f.if(i32.leS(this.#budget, Z), () => this.#stop(Stop.BUDGET, stopAtRecord))
    f.if(i32.load(MACHINE, loadControl32('doorbell')),
      () => this.#stop(Stop.POLL, stopAtRecord))
    emitHeat(f, this.#record, this.#next, this.#needs, () => {})
  }

  /** The current record's handler: one of those in the loop, or a function in the table. */
  #carryOut(labels: Labels): void {
    const f = this.#function
    const record = this.#record
    const goOn = (): void => this.#goOn(labels)
    const goTo = (target: Expression): void => this.#goTo(target, labels)
    const placeBefore = (next: () => void): HandlerPlace => ({
      target: f,
      record,
      exits: {
        next,
        goTo,
        stop: () => f.br(labels.stopAtRecord),
        stopIf: (condition: Expression) => f.brUnlikely(labels.stopAtRecord, condition),
        again: (counts: boolean) => counts ? goTo(record) : this.#roundAgain(labels),
        noteBudget: () => this.#noteBudget(),
        defer: () => this.#callService(labels),
      },
    })
    const special = this.#specialHandlers(labels)
    const { inline, pairs } = this.#needs
    const firstInLoop = special.length + pairs.length
    const emit = ({ instruction, shape }: HandlerExample, next: () => void): void =>
      emitHandler(this.#parts, placeBefore(next), this.#pool, instruction, shape)
    const inPairs = pairs.map(({ first, second }) => (cases: readonly Label[]) =>
      emit(inline[first - firstInLoop]!, () => this.#goOnAt(second, cases[second]!, labels)))
    const inLoop = inline.map((example) => () => emit(example, goOn))
    const cases = [...special, ...inPairs, ...inLoop]
    f.switch(i32.load16U(CORE, record, field.handler), cases, () => {
      const index = i32.sub(i32.load16U(CORE, record, field.handler), i32.const(cases.length))
      this.#noteBudget()
      f.set(this.#next, callIndirect(this.#handlerType, 'i32', index, record))
      f.if(i32.eq(this.#next, i32.add(record, i32.const(RECORD_BYTES))), goOn)
      f.brIf(labels.stopAtRecord, i32.eq(this.#next, i32.const(STOPPED_AT_RECORD)))
      f.if(i32.eq(this.#next, i32.const(DEFERRED)), () => this.#callService(labels))
      f.if(i32.eq(this.#next, i32.const(UNCOUNTED_AGAIN)), () => this.#roundAgain(labels))
      goTo(this.#next)
    })
  }

  /** On with the next record at its handler, unless that is another by now. */
  #goOnAt(number: number, handler: Label, labels: Labels): void {
    const f = this.#function
    f.set(this.#record, i32.add(this.#record, i32.const(RECORD_BYTES)))
    f.brIf(handler, i32.eq(i32.load16U(CORE, this.#record, field.handler), i32.const(number)))
    f.br(labels.again)
  }

  /** The handlers that Special numbers, in its order. */
  #specialHandlers(labels: Labels): (() => void)[] {
    // Values of integer keys come in the keys' order.
    return Object.values({
      [Special.LOOK_UP]: () => this.#goInstead(call(this.#parts.lookUp, this.#linear()), labels),
      [Special.SERVICE]: () => this.#callService(labels),
      [Special.RAISE]: () => this.#raise(labels),
      [Special.CHECK_NEXT_PAGE]: () => this.#checkNextPage(labels),
      [Special.STEP_END]: () => this.#stop(Stop.STEP, labels.stopAtRecord),
      [Special.JOIN]: () => this.#goInstead(i32.load(CORE, this.#record, field.link), labels),
      [Special.REGION]: () => this.#enterRegion(labels),
      [Special.SYSCALL]: () => this.#transfer(this.#needs.syscall, labels),
      [Special.SYSRET]: () => this.#transfer(this.#needs.sysret, labels),
      [Special.IRET]: () => this.#transfer(this.#needs.iret, labels),
    })
  }

  /** The region counts the instructions that it executes. It looks at the budget when it jumps back
   * only, so the reserve is what it may execute until then. The rest it is given in slices, between
   * which the doorbell is looked at. */
  #enterRegion(labels: Labels): void {
    const f = this.#function
    const reserve = loadControl32('regionReserve')
    f.set(this.#next, i32.sub(this.#left(), reserve))
    f.if(i32.leS(this.#next, Z), () => this.#stop(Stop.BUDGET, labels.stopAtRecord))
    const slice = sliceOf(this.#next)
    f.store('i32', CORE, Z, slice, controlAt('budget'))
    f.store('i32', CORE, Z, i32.add(i32.sub(this.#next, slice), reserve), controlAt('withheld'))
    f.set(this.#next, callIndirect(this.#handlerType, 'i32',
      i32.load(CORE, this.#record, field.link), i32.load(CORE, this.#record, field.immediate)))
    f.set(this.#budget, i32.add(loadControl32('budget'), loadControl32('withheld')))
    f.set(this.#record, this.#next)
    f.brIf(labels.jumped, this.#next)
    const stop = loadControl32('stop')
    f.brIf(labels.leave, i32.ne(stop, i32.const(Stop.RETRY)))
    f.setGlobal(this.#parts.stopped, Z)
    f.set(this.#record, call(this.#parts.jump, i64.load(CORE, Z, CpuContext.offsets.rip)))
    f.brIf(labels.leave, i32.eqz(this.#record))
    f.store('i32', CORE, Z, i32.const(Stop.BUDGET), controlAt('stop'))
    f.set(this.#start, this.#record)
    // What has to be retried is not compiled anew: it would come back here.
    f.br(labels.again)
  }

  #transfer(transfer: FunctionReference, labels: Labels): void {
    const f = this.#function
    const length = i64.load8U(CORE, this.#record, field.length)
    f.set(this.#next, call(transfer, i64.add(this.#linear(), length)))
    f.if(i32.eq(this.#next, i32.const(DEFERRED)), () => this.#callService(labels))
    this.#goTo(this.#next, labels)
  }

  #callService(labels: Labels): void {
    const f = this.#function
    this.#noteBudget()
    f.set(this.#next, call(this.#needs.service, this.#record))
    f.if(i32.eqz(this.#next), () => this.#goOn(labels))
    f.if(i32.eq(this.#next, i32.const(ServiceResult.JUMP)), () =>
      this.#goTo(call(this.#parts.jump, i64.load(CORE, Z, CpuContext.offsets.rip)), labels))
    f.set(this.#budget, i32.sub(this.#left(),
      i32.eq(this.#next, i32.const(ServiceResult.LEAVE))))
    f.br(labels.leave)
  }

  #noteBudget(): void {
    this.#function.store('i32', CORE, Z, this.#left(), controlAt('budget'))
  }

  /** Another round of a repeated string instruction; the last one counts when somebody says so. */
  #roundAgain(labels: Labels): void {
    const f = this.#function
    f.set(this.#budget, i32.sub(this.#left(), loadControl32('roundByRound')))
    f.br(labels.jumped)
  }

  #raise(labels: Labels): void {
    const f = this.#function
    f.call(this.#parts.raise, i32.load(CORE, this.#record, field.immediate), Z,
      i32.load8U(CORE, this.#record, field.scaleAndSegment))
    f.br(labels.stopAtRecord)
  }

  #checkNextPage(labels: Labels): void {
    const f = this.#function
    const page = i64.add(loadControl64('codePage'), i64.const(4096))
    f.set(this.#next, i32.wrap(call(this.#needs.execTranslate, page)))
    f.brIf(labels.stopAtRecord, globalGet(this.#parts.stopped, 'i32'))
    f.if(i32.eq(this.#next, i32.load(CORE, this.#record, field.immediate)), () => {
      // The check is no instruction: it must not count.
      f.set(this.#start, i32.add(this.#start, i32.const(RECORD_BYTES)))
      this.#goOn(labels)
    })
    this.#goInstead(call(this.#needs.decodeAgain, this.#record), labels)
  }

  #goOn(labels: Labels): void {
    this.#function.set(this.#record, i32.add(this.#record, i32.const(RECORD_BYTES)))
    this.#function.br(labels.again)
  }

  #goTo(target: Expression, labels: Labels): void {
    const f = this.#function
    f.set(this.#next, target)
    f.set(this.#budget, i32.sub(this.#left(), i32.const(1)))
    f.set(this.#record, this.#next)
    f.br(labels.jumped)
  }

  /** Goes to the record that stands for the current one, which is no instruction: it must not
   * count. */
  #goInstead(target: Expression, labels: Labels): void {
    const f = this.#function
    f.set(this.#next, target)
    f.set(this.#record, i32.sub(this.#record, i32.const(RECORD_BYTES)))
    this.#goTo(this.#next, labels)
  }

  #stop(reason: number, stopAtRecord: Label): void {
    this.#function.store('i32', CORE, Z, i32.const(reason), controlAt('stop'))
    this.#function.br(stopAtRecord)
  }

  /** What is left of the budget before the current instruction. */
  #left(): Expression {
    return i32.sub(this.#budget,
      i32.shrS(i32.sub(this.#record, this.#start), i32.const(RECORD_SHIFT)))
  }

  /** The linear address of the current instruction. */
  #linear(): Expression {
    return i64.add(loadControl64('codePage'), i64.load16U(CORE, this.#record, field.pageOffset))
  }
}
