/**
 * SYSCALL, SYSRET and IRET between 64-bit code, with 64-bit operands: what system/syscall.ts and
 * system/iret.ts do in these cases.
 *
 * There is each for the interpreter's loop, and for compiled regions, which end with it. Left to
 * services: traps and breakpoints, alignment checks of the target, descriptors that are not
 * accessed yet, frames across pages, faults, segments to be dropped, NMIs.
 */
import { call, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import type { Instruction } from '../../isa/operand.ts'
import { EFER } from '../../abi/x86/control.ts'
import { FLAT_CODE64, FLAT_DATA } from '../../abi/x86/descriptor.ts'
import { RFLAGS } from '../../abi/x86/flags.ts'
import { CS, DS, ES, FS, GS, R11, RCX, RSP, SS } from '../../abi/x86/registers.ts'
import { Stop } from '../core-memory.ts'
import { controlAt, loadControl32, segmentAt, Z } from '../interpreter/core-fields.ts'
import { DEFERRED } from '../interpreter/handlers.ts'
import { CORE, MACHINE, partSignatures } from '../interpreter/parts.ts'
import { CpuContext } from '../state.ts'
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

const transferNames = ['syscall', 'sysret', 'iret'] as const

export type TransferName = typeof transferNames[number]

/** Of 64-bit code, which of them an instruction is. */
export function transferOf({ definition, operandSize }: Instruction): TransferName | undefined {
  const name = transferNames.find((each) => each === definition.name)
  return name === 'syscall' || operandSize === 64 ? name : undefined
}

/** (linear address of the next instruction i64) -> the record to go on with, or 0 when the run ends
 * at the context's rip. */
export type Transfers = Readonly<Record<TransferName, FunctionBuilder>>

/** How a transfer ends. */
interface Ends {
  /** Returns what goes on at an address. */
  goOn(f: FunctionBuilder, linear: Expression): void
  /** Returns, with nothing done: the service must do it. */
  defer(f: FunctionBuilder): void
}

/** For the loop: they return DEFERRED when the service must do it. */
export function buildTransfers(
  module: ModuleBuilder, needs: PrivilegeNeeds, functions: PrivilegeFunctions,
): Transfers {
  return buildWith(module, needs, functions, {
    goOn: (f, linear) => f.return(call(needs.lookUp, linear)),
    defer: (f) => f.return(i32.const(DEFERRED)),
  })
}

/** For regions, which have noted their budget, and the instruction's address in the context's rip.
 * They go on as `goOn`, the part of that name, does. */
export function buildRegionTransfers(
  module: ModuleBuilder, needs: PrivilegeNeeds, functions: PrivilegeFunctions,
  goOn: FunctionReference,
): Transfers {
  return buildWith(module, needs, functions, {
    goOn: (f, linear) => f.returnCall(goOn, linear),
    // No region is entered there: the loop meets the instruction.
    defer: (f) => {
      const uncounted = i32.add(loadControl32('budget'), i32.const(1))
      f.store('i32', CORE, Z, uncounted, controlAt('budget'))
      f.return(call(needs.lookUp, contextLong('rip')))
    },
  })
}

function buildWith(
  module: ModuleBuilder, needs: PrivilegeNeeds, functions: PrivilegeFunctions, ends: Ends,
): Transfers {
  const within = { needs, functions, ends }
  return {
    syscall: buildSyscall(module.function(partSignatures.syscall), within),
    sysret: buildSysret(module.function(partSignatures.sysret), within),
    iret: buildIret(module.function(partSignatures.iret), within),
  }
}

/** What a transfer is written with. */
interface Within {
  readonly needs: PrivilegeNeeds
  readonly functions: PrivilegeFunctions
  readonly ends: Ends
}

function deferIf(f: FunctionBuilder, { ends }: Within, condition: Expression): void {
  f.if(condition, () => ends.defer(f))
}

function isWithoutSyscall(): Expression {
  return i32.eqz(i32.and(contextWord('efer'), i32.const(EFER.SCE)))
}

/** Goes on after interrupts may have been enabled: ends the run when somebody waits for that. */
function goOn(f: FunctionBuilder, { ends }: Within, rip: Expression): void {
  f.if(loadControl32('windowWanted'), () => {
    f.store('i64', CORE, Z, rip, CpuContext.offsets.rip)
    f.store('i32', CORE, Z, i32.const(Stop.BUDGET), controlAt('stop'))
    f.return(i32.const(0))
  })
  ends.goOn(f, rip)
}

function buildSyscall(f: FunctionBuilder, within: Within): FunctionBuilder {
  const { functions } = within
  const next = f.parameters[0]!
  const flags = f.local('i64')
  const selector = f.local('i32')
  deferIf(f, within, i32.or(i32.or(isNot64BitCode(), breakpoints()), isWithoutSyscall()))
  f.set(flags, i64.and(call(functions.packFlags), i64.const(~RFLAGS.RF)))
  setGpr(f, RCX, next)
  setGpr(f, R11, flags)
  f.call(functions.unpackFlags,
    i64.and(flags, i64.xor(i64.load32U(CORE, Z, CpuContext.offsets.sfmask), i64.const(-1))))
  f.set(selector, i32.and(i32.load(CORE, Z, CpuContext.offsets.star + 4), i32.const(0xfffc)))
  setFlat(f, CS, selector, FLAT_CODE64)
  setFlat(f, SS, i32.add(selector, i32.const(8)), FLAT_DATA)
  f.call(functions.enterLevel, i32.const(0))
  within.ends.goOn(f, contextLong('lstar'))
  return f
}

function buildSysret(f: FunctionBuilder, within: Within): FunctionBuilder {
  const { functions } = within
  const flags = f.local('i64')
  const selector = f.local('i32')
  f.set(flags, i64.and(gpr(R11), i64.const(SYSRET_FLAGS)))
  deferIf(f, within, i32.or(i32.or(isNot64BitCode(), breakpoints()), isWithoutSyscall()))
  const traps = i32.and(i32.wrap(flags), i32.const(RFLAGS.TF | RFLAGS.AC))
  deferIf(f, within, i32.or(contextWord('cpl'), traps))
  f.call(functions.unpackFlags, flags)
  f.set(selector, i32.load16U(CORE, Z, CpuContext.offsets.star + 6))
  const user = (step: number): Expression =>
    i32.or(i32.add(selector, i32.const(step)), i32.const(3))
  setFlat(f, CS, user(16), FLAT_CODE64 | DPL3)
  setFlat(f, SS, user(8), FLAT_DATA | DPL3)
  f.call(functions.enterLevel, i32.const(3))
  goOn(f, within, gpr(RCX))
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

function buildIret(f: FunctionBuilder, within: Within): FunctionBuilder {
  const { functions } = within
  const level = f.local('i32')
  const code = f.local('i64')
  const stack = f.local('i64')
  deferIf(f, within, i32.or(i32.or(isNot64BitCode(), breakpoints()), contextWord('cpl')))
  deferIf(f, within, i32.load8U(CORE, Z, CpuContext.offsets.nmiBlocked))
  deferIf(f, within, i32.and(contextWord('systemFlags'), i32.const(RFLAGS.NT)))
  const frame = loadFrame(f, within)
  f.set(level, i32.and(frame.cs, i32.const(3)))
  const inner = i32.eqz(level)
  const outer = i32.eq(level, i32.const(3))
  deferIf(f, within, i32.eqz(i32.or(inner, outer)))
  f.set(code, call(functions.descriptor, frame.cs))
  deferIf(f, within, i32.eqz(isCode64(code, level)))
  const sign = i64.shrS(i64.shl(frame.rip, i64.const(16)), i64.const(16))
  deferIf(f, within, i64.ne(sign, frame.rip))
  f.if(i32.and(frame.ss, i32.const(0xfffc)), () => {
    f.set(stack, call(functions.descriptor, frame.ss))
    deferIf(f, within, i32.ne(i32.and(frame.ss, i32.const(3)), level))
    deferIf(f, within, i32.eqz(isStack(stack, level)))
  }, () => deferIf(f, within, outer))
  deferIf(f, within, i32.and(frame.flags, i32.const(RFLAGS.TF)))
  f.if(outer, () => {
    deferIf(f, within, i32.and(frame.flags, i32.const(RFLAGS.AC)))
    for (const index of [ES, DS, FS, GS]) deferIf(f, within, mustDrop(index))
  })

  f.call(functions.unpackFlags, i64.extendU(i32.and(frame.flags, i32.const(IRET_FLAGS))))
  f.call(functions.setSegment, i32.const(segmentAt(CS)), frame.cs, code)
  f.if(i64.eqz(stack), () => setNull(f, SS, frame.ss),
    () => f.call(functions.setSegment, i32.const(segmentAt(SS)), frame.ss, stack))
  setGpr(f, RSP, frame.rsp)
  f.call(functions.enterLevel, level)
  goOn(f, within, frame.rip)
  return f
}

function loadFrame(f: FunctionBuilder, within: Within): Frame {
  const { needs, ends } = within
  const place = f.local('i64')
  const machine = f.local('i32')
  const frame = {
    rip: f.local('i64'), cs: f.local('i32'), flags: f.local('i32'), rsp: f.local('i64'),
    ss: f.local('i32'),
  }
  const offset = i32.and(i32.wrap(gpr(RSP)), i32.const(4095))
  deferIf(f, within, i32.gtU(offset, i32.const(4096 - FRAME_BYTES)))
  f.set(place, call(needs.translate, gpr(RSP), Z))
  f.if(i64.ltS(place, i64.const(0)), () => {
    f.setGlobal(needs.stopped, i32.const(0))
    ends.defer(f)
  })
  f.set(machine, i32.wrap(place))
  f.set(frame.rip, i64.load(MACHINE, machine))
  f.set(frame.cs, i32.load16U(MACHINE, machine, 8))
  f.set(frame.flags, i32.load(MACHINE, machine, 16))
  f.set(frame.rsp, i64.load(MACHINE, machine, 24))
  f.set(frame.ss, i32.load16U(MACHINE, machine, 32))
  return frame
}

/** A selector that level 3 may not keep: of an inner segment, or null with an RPL. */
function mustDrop(index: number): Expression {
  const isInner = i32.ne(i32.and(attributesOf(index), i32.const(DPL3)), i32.const(DPL3))
  return i32.and(i32.ne(selectorOf(index), i32.const(0)), isInner)
}
