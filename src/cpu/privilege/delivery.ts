/**
 * Delivery of faults and external interrupts through 64-bit gates to a 64-bit kernel at level 0:
 * what exceptions/long-mode.ts does in these cases.
 *
 * Left to TypeScript, with nothing changed and the fault noted as it was: debug exceptions, INT n,
 * NMIs, single steps and breakpoints, levels 1 and 2, descriptors that are not accessed yet, frames
 * across pages, and whatever faults on the way.
 */
import {
  call, globalGet, i32, i64, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { EFER, Vector } from '../../abi/x86/control.ts'
import { RFLAGS } from '../../abi/x86/flags.ts'
import { CS, RSP, SS } from '../../abi/x86/registers.ts'
import { CODE_MODE_STEP, Stop } from '../core-memory.ts'
import {
  controlAt, loadControl32, loadControl64, segmentAt, Z,
} from '../interpreter/core-fields.ts'
import { CORE, MACHINE } from '../interpreter/parts.ts'
import { CpuContext, SegmentState } from '../state.ts'
import {
  breakpoints, contextLong, contextWord, gpr, isCode64, type PrivilegeFunctions,
  type PrivilegeNeeds, selectorOf, setGpr, setNull,
} from './state.ts'

const at = CpuContext.offsets
const LIMIT = SegmentState.offsets.limit
const TABLE_LIMIT = 8
/** Of a gate's access byte, without the lowest bit of its type: present, interrupt or trap. */
const GATE_MASK = 0x9e
const GATE = 0x8e
/** Offsets in the TSS of the stack of level 0, and of the one before IST 1. */
const RSP0 = 4
const IST = 28

export interface DeliveryFunctions {
  /** (vector, error code, has error code, is a fault; all i32) -> 1 when it was delivered: the
   * context's rip is the handler's. */
  readonly deliver: FunctionBuilder
  /** () -> the same, of the fault that is noted. */
  readonly deliverFault: FunctionBuilder
}

export function buildDelivery(
  module: ModuleBuilder, needs: PrivilegeNeeds, functions: PrivilegeFunctions,
): DeliveryFunctions {
  const deliver = new Delivery(module, needs, functions).build()
  const deliverFault = module.function({ parameters: [], result: 'i32' })
  deliverFault.return(call(deliver, loadControl32('faultVector'), loadControl32('faultErrorCode'),
    loadControl32('faultHasErrorCode'), i32.const(1)))
  return { deliver, deliverFault }
}

class Delivery {
  readonly #f: FunctionBuilder
  readonly #needs: PrivilegeNeeds
  readonly #functions: PrivilegeFunctions
  readonly #gate: Local
  readonly #gateHigh: Local
  readonly #code: Local
  readonly #pointer: Local
  readonly #place: Local
  readonly #bytes: Local
  readonly #cpl: Local

  constructor(module: ModuleBuilder, needs: PrivilegeNeeds, functions: PrivilegeFunctions) {
    const f = module.function({ parameters: ['i32', 'i32', 'i32', 'i32'], result: 'i32' })
    this.#f = f
    this.#needs = needs
    this.#functions = functions
    this.#gate = f.local('i64')
    this.#gateHigh = f.local('i64')
    this.#code = f.local('i64')
    this.#pointer = f.local('i64')
    this.#place = f.local('i64')
    this.#bytes = f.local('i32')
    this.#cpl = f.local('i32')
  }

  build(): FunctionBuilder {
    const f = this.#f
    const [vector, errorCode, hasErrorCode] = f.parameters as [Local, Local, Local, Local]
    const address = f.local('i64')
    f.set(address, loadControl64('faultAddress'))
    f.block((unusual) => {
      this.#checkState(unusual)
      this.#findGate(unusual)
      this.#findStack(unusual)
      this.#push()
      f.if(i32.eq(vector, i32.const(Vector.PF)),
        () => f.store('i64', CORE, Z, address, at.cr2))
      this.#enter()
      f.return(i32.const(1))
    })
    // What faulted on the way will fault again in TypeScript.
    f.store('i32', CORE, Z, vector, controlAt('faultVector'))
    f.store('i32', CORE, Z, errorCode, controlAt('faultErrorCode'))
    f.store('i32', CORE, Z, hasErrorCode, controlAt('faultHasErrorCode'))
    f.store('i64', CORE, Z, address, controlAt('faultAddress'))
    f.store('i32', CORE, Z, i32.const(Stop.FAULT), controlAt('stop'))
    f.setGlobal(this.#needs.stopped, i32.const(0))
    f.return(i32.const(0))
    return f
  }

  #checkState(unusual: Label): void {
    const f = this.#f
    const vector = f.parameters[0]!
    f.set(this.#cpl, contextWord('cpl'))
    f.brIf(unusual, i32.eqz(i32.and(contextWord('efer'), i32.const(EFER.LMA))))
    f.brIf(unusual, i32.and(loadControl32('codeMode'), i32.const(CODE_MODE_STEP)))
    f.brIf(unusual, i32.or(breakpoints(), i32.eq(vector, i32.const(Vector.DB))))
    const supervisor = i32.eqz(this.#cpl)
    f.brIf(unusual, i32.eqz(i32.or(supervisor, i32.eq(this.#cpl, i32.const(3)))))
  }

  /** Loads 64 bits with supervisor rights. */
  #load(into: Local, linear: Expression, unusual: Label): void {
    this.#f.set(into, call(this.#needs.load64, linear, Z))
    this.#f.brIf(unusual, globalGet(this.#needs.stopped, 'i32'))
  }

  #findGate(unusual: Label): void {
    const f = this.#f
    const offset = i32.shl(f.parameters[0]!, i32.const(4))
    const limit = i32.load(CORE, Z, at.idtr + TABLE_LIMIT)
    f.brIf(unusual, i32.gtU(i32.add(offset, i32.const(15)), limit))
    const linear = i64.add(contextLong('idtr'), i64.extendU(offset))
    this.#load(this.#gate, linear, unusual)
    this.#load(this.#gateHigh, i64.add(linear, i64.const(8)), unusual)
    const access = i32.and(i32.wrap(i64.shrU(this.#gate, i64.const(40))), i32.const(GATE_MASK))
    f.brIf(unusual, i32.ne(access, i32.const(GATE)))
    f.set(this.#code, call(this.#functions.descriptor, this.#selector()))
    f.brIf(unusual, i32.eqz(isCode64(this.#code, i32.const(0))))
  }

  #selector(): Expression {
    return i32.and(i32.wrap(i64.shrU(this.#gate, i64.const(16))), i32.const(0xffff))
  }

  /** The bottom of the frame, whose page is writable. */
  #findStack(unusual: Label): void {
    const f = this.#f
    const offset = f.local('i32')
    const ist = i32.and(i32.wrap(i64.shrU(this.#gate, i64.const(32))), i32.const(7))
    f.set(offset, i32.const(0))
    f.if(this.#cpl, () => f.set(offset, i32.const(RSP0)))
    f.if(ist, () => f.set(offset, i32.add(i32.shl(ist, i32.const(3)), i32.const(IST))))
    f.set(this.#pointer, gpr(RSP))
    f.if(offset, () => {
      f.brIf(unusual, i32.gtU(i32.add(offset, i32.const(7)), i32.load(CORE, Z, at.tr + LIMIT)))
      this.#load(this.#pointer, i64.add(contextLong('tr'), i64.extendU(offset)), unusual)
    })
    f.set(this.#bytes, i32.add(i32.const(40), i32.shl(f.parameters[2]!, i32.const(3))))
    f.set(this.#pointer, i64.sub(i64.and(this.#pointer, i64.const(-16)),
      i64.extendU(this.#bytes)))
    const room = i32.sub(i32.const(4096), this.#bytes)
    const position = i32.and(i32.wrap(this.#pointer), i32.const(4095))
    f.brIf(unusual, i32.gtU(position, room))
    f.set(this.#place, call(this.#needs.probeWrite, this.#pointer, this.#bytes, Z))
    f.brIf(unusual, i64.ltS(this.#place, i64.const(0)))
  }

  #push(): void {
    const f = this.#f
    const [, errorCode, hasErrorCode, isFault] = f.parameters as [Local, Local, Local, Local]
    const to = f.local('i32')
    f.set(to, i32.wrap(this.#place))
    f.if(hasErrorCode, () => {
      f.store('i64', MACHINE, to, i64.extendU(errorCode))
      f.set(to, i32.add(to, i32.const(8)))
    })
    const resume = i64.shl(i64.extendU(isFault), i64.const(Math.log2(RFLAGS.RF)))
    f.store('i64', MACHINE, to, contextLong('rip'))
    f.store('i64', MACHINE, to, i64.extendU(selectorOf(CS)), 8)
    f.store('i64', MACHINE, to, i64.or(call(this.#functions.packFlags), resume), 16)
    f.store('i64', MACHINE, to, gpr(RSP), 24)
    f.store('i64', MACHINE, to, i64.extendU(selectorOf(SS)), 32)
  }

  #enter(): void {
    const f = this.#f
    const gate = this.#gate
    setGpr(f, RSP, this.#pointer)
    f.if(this.#cpl, () => setNull(f, SS, i32.const(0)))
    f.call(this.#functions.setSegment, i32.const(segmentAt(CS)),
      i32.and(this.#selector(), i32.const(~3)), this.#code)
    const low = i64.or(i64.and(gate, i64.const(0xffff)),
      i64.and(i64.shrU(gate, i64.const(32)), i64.const(0xffff_0000n)))
    f.store('i64', CORE, Z, i64.or(low, i64.shl(this.#gateHigh, i64.const(32))), at.rip)
    // The lowest bit of the type is set in trap gates, which leave IF.
    const isTrapGate = i64.and(i64.shrU(gate, i64.const(40)), i64.const(1))
    const kept = i64.or(i64.const(~(RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM | RFLAGS.IF)),
      i64.shl(isTrapGate, i64.const(Math.log2(RFLAGS.IF))))
    f.store('i64', CORE, Z, i64.and(contextLong('systemFlags'), kept), at.systemFlags)
    f.call(this.#functions.enterLevel, i32.const(0))
  }
}
