/**
 * SYSCALL, SYSRET and IRET between 64-bit code, with 64-bit operands: what system/syscall.ts and
 * system/iret.ts do in these cases.
 *
 * Each returns the record to go on with, 0 when the run ends at the context's rip, or DEFERRED when
 * the service must do it. Left to services: traps and breakpoints, alignment checks of the target,
 * descriptors that are not accessed yet, frames across pages, faults, segments to be dropped, NMIs.
 */
import { call, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { EFER } from '../../abi/x86/control.ts'
import { FLAT_CODE64, FLAT_DATA } from '../../abi/x86/descriptor.ts'
import { RFLAGS } from '../../abi/x86/flags.ts'
import { CS, DS, ES, FS, GS, R11, RCX, RSP, SS } from '../../abi/x86/registers.ts'
import { Stop } from '../core-memory.ts'
import { controlAt, loadControl32, segmentAt, Z } from '../interpreter/core-fields.ts'
import { DEFERRED } from '../interpreter/handlers.ts'
import { CORE, MACHINE } from '../interpreter/parts.ts'
import { CpuContext, SEGMENT_P } from '../state.ts'
import {
  attributesOf, breakpoints, contextLong, contextWord, gpr, isCode64, isNot64BitCode, isStack,
  type PrivilegeFunctions, type PrivilegeNeeds, selectorOf, setFlat, setGpr, setNull,
} from './state.ts'

const DPL3 = 3 << 5
const FRAME_BYTES = 40
/** What SYSRET takes from R11, and IRET at level 0 from its frame. */
const SYSRET_FLAGS = 0x3c_7fd5
const IRET_FLAGS = RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.TF
  | RFLAGS.DF | RFLAGS.OF | RFLAGS.NT | RFLAGS.AC | RFLAGS.ID | RFLAGS.IF | RFLAGS.IOPL
  | RFLAGS.VIF | RFLAGS.VIP

export interface Transfers {
  /** (rip of the next instruction i64) -> record. */
  readonly syscall: FunctionBuilder
  /** () -> record. */
  readonly sysret: FunctionBuilder
  readonly iret: FunctionBuilder
}

export function buildTransfers(
  module: ModuleBuilder, needs: PrivilegeNeeds, functions: PrivilegeFunctions,
): Transfers {
  return {
    syscall: buildSyscall(module, needs, functions),
    sysret: buildSysret(module, needs, functions),
    iret: buildIret(module, needs, functions),
  }
}

function deferIf(f: FunctionBuilder, condition: Expression): void {
  f.if(condition, () => f.return(i32.const(DEFERRED)))
}

function isWithoutSyscall(): Expression {
  return i32.eqz(i32.and(contextWord('efer'), i32.const(EFER.SCE)))
}

/** Goes on after interrupts may have been enabled: ends the run when somebody waits for that. */
function goOn(f: FunctionBuilder, needs: PrivilegeNeeds, rip: Expression): void {
  f.if(loadControl32('windowWanted'), () => {
    f.store('i64', CORE, Z, rip, CpuContext.offsets.rip)
    f.store('i32', CORE, Z, i32.const(Stop.BUDGET), controlAt('stop'))
    f.return(i32.const(0))
  })
  f.return(call(needs.lookUp, rip))
}

function buildSyscall(
  module: ModuleBuilder, needs: PrivilegeNeeds, functions: PrivilegeFunctions,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64'], result: 'i32' })
  const next = f.parameters[0]!
  const flags = f.local('i64')
  const selector = f.local('i32')
  deferIf(f, i32.or(i32.or(isNot64BitCode(), breakpoints()), isWithoutSyscall()))
  f.set(flags, i64.and(call(functions.packFlags), i64.const(~RFLAGS.RF)))
  setGpr(f, RCX, next)
  setGpr(f, R11, flags)
  f.call(functions.unpackFlags,
    i64.and(flags, i64.xor(i64.load32U(CORE, Z, CpuContext.offsets.sfmask), i64.const(-1))))
  f.set(selector, i32.and(i32.load(CORE, Z, CpuContext.offsets.star + 4), i32.const(0xfffc)))
  setFlat(f, CS, selector, FLAT_CODE64)
  setFlat(f, SS, i32.add(selector, i32.const(8)), FLAT_DATA)
  f.call(functions.enterLevel, i32.const(0))
  f.return(call(needs.lookUp, contextLong('lstar')))
  return f
}

function buildSysret(
  module: ModuleBuilder, needs: PrivilegeNeeds, functions: PrivilegeFunctions,
): FunctionBuilder {
  const f = module.function({ parameters: [], result: 'i32' })
  const flags = f.local('i64')
  const selector = f.local('i32')
  f.set(flags, i64.and(gpr(R11), i64.const(SYSRET_FLAGS)))
  deferIf(f, i32.or(i32.or(isNot64BitCode(), breakpoints()), isWithoutSyscall()))
  const traps = i32.and(i32.wrap(flags), i32.const(RFLAGS.TF | RFLAGS.AC))
  deferIf(f, i32.or(contextWord('cpl'), traps))
  f.call(functions.unpackFlags, flags)
  f.set(selector, i32.load16U(CORE, Z, CpuContext.offsets.star + 6))
  const user = (step: number): Expression =>
    i32.or(i32.add(selector, i32.const(step)), i32.const(3))
  setFlat(f, CS, user(16), FLAT_CODE64 | DPL3)
  setFlat(f, SS, user(8), FLAT_DATA | DPL3)
  f.call(functions.enterLevel, i32.const(3))
  goOn(f, needs, gpr(RCX))
  return f
}

/** The frame of IRET. */
interface Frame {
  readonly rip: Local
  readonly cs: Local
  readonly flags: Local
  readonly rsp: Local
  readonly ss: Local
}

function buildIret(
  module: ModuleBuilder, needs: PrivilegeNeeds, functions: PrivilegeFunctions,
): FunctionBuilder {
  const f = module.function({ parameters: [], result: 'i32' })
  const level = f.local('i32')
  const code = f.local('i64')
  const stack = f.local('i64')
  deferIf(f, i32.or(i32.or(isNot64BitCode(), breakpoints()), contextWord('cpl')))
  deferIf(f, i32.load8U(CORE, Z, CpuContext.offsets.nmiBlocked))
  deferIf(f, i32.and(contextWord('systemFlags'), i32.const(RFLAGS.NT)))
  const frame = loadFrame(f, needs)
  f.set(level, i32.and(frame.cs, i32.const(3)))
  const inner = i32.eqz(level)
  const outer = i32.eq(level, i32.const(3))
  deferIf(f, i32.eqz(i32.or(inner, outer)))
  f.set(code, call(functions.descriptor, frame.cs))
  deferIf(f, i32.eqz(isCode64(code, level)))
  const sign = i64.shrS(i64.shl(frame.rip, i64.const(16)), i64.const(16))
  deferIf(f, i64.ne(sign, frame.rip))
  f.if(i32.and(frame.ss, i32.const(0xfffc)), () => {
    f.set(stack, call(functions.descriptor, frame.ss))
    deferIf(f, i32.ne(i32.and(frame.ss, i32.const(3)), level))
    deferIf(f, i32.eqz(isStack(stack, level)))
  }, () => deferIf(f, outer))
  deferIf(f, i32.and(frame.flags, i32.const(RFLAGS.TF)))
  f.if(outer, () => {
    deferIf(f, i32.and(frame.flags, i32.const(RFLAGS.AC)))
    for (const index of [ES, DS, FS, GS]) deferIf(f, mustDrop(index))
  })

  f.call(functions.unpackFlags, i64.extendU(i32.and(frame.flags, i32.const(IRET_FLAGS))))
  f.call(functions.setSegment, i32.const(segmentAt(CS)), frame.cs, code)
  f.if(i64.eqz(stack), () => setNull(f, SS, frame.ss),
    () => f.call(functions.setSegment, i32.const(segmentAt(SS)), frame.ss, stack))
  setGpr(f, RSP, frame.rsp)
  f.call(functions.enterLevel, level)
  goOn(f, needs, frame.rip)
  return f
}

function loadFrame(f: FunctionBuilder, needs: PrivilegeNeeds): Frame {
  const place = f.local('i64')
  const machine = f.local('i32')
  const frame = {
    rip: f.local('i64'), cs: f.local('i32'), flags: f.local('i32'), rsp: f.local('i64'),
    ss: f.local('i32'),
  }
  const within = i32.and(i32.wrap(gpr(RSP)), i32.const(4095))
  deferIf(f, i32.gtU(within, i32.const(4096 - FRAME_BYTES)))
  f.set(place, call(needs.translate, gpr(RSP), Z))
  f.if(i64.ltS(place, i64.const(0)), () => {
    f.setGlobal(needs.stopped, i32.const(0))
    f.return(i32.const(DEFERRED))
  })
  f.set(machine, i32.wrap(place))
  f.set(frame.rip, i64.load(MACHINE, machine))
  f.set(frame.cs, i32.load16U(MACHINE, machine, 8))
  f.set(frame.flags, i32.load(MACHINE, machine, 16))
  f.set(frame.rsp, i64.load(MACHINE, machine, 24))
  f.set(frame.ss, i32.load16U(MACHINE, machine, 32))
  return frame
}

/** A data segment that level 3 may not keep. */
function mustDrop(index: number): Expression {
  const attributes = attributesOf(index)
  const isLoaded = i32.and(i32.and(selectorOf(index), i32.const(0xfffc)),
    i32.sub(i32.const(0), i32.shrU(i32.and(attributes, i32.const(SEGMENT_P)), i32.const(7))))
  const isInner = i32.ne(i32.and(attributes, i32.const(DPL3)), i32.const(DPL3))
  return i32.and(i32.ne(isLoaded, i32.const(0)), isInner)
}
