/**
 * The instruction TLB: direct-mapped, for all address spaces together.
 *
 * An entry says of which *code space* it is: the number of the address space, or for a global page
 * that of the supervisor's set (spaces.ts), with the privilege level. At each level there are two
 * that count, which CoreControl names: most code of users is of their space, and most of
 * supervisors global. Only the start of a page and jumps to other pages look here.
 */
import { call, i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { struct } from '../../base/layout/struct.ts'
import { u32, u64 } from '../../base/layout/scalar.ts'
import { coreMap, EXEC_TLB_ENTRIES } from '../core-memory.ts'
import { Access, controlAt, isUserLevel, type MmuEnvironment } from './environment.ts'
import { Fill } from './fill.ts'
import { emitMarkLargePage, REGION_PAGES, REGION_SHIFT } from './large-pages.ts'

const ExecEntry = struct('instruction TLB entry', {
  /** Linear page. */
  tag: u64,
  /** The code space; 0: of none. */
  space: u64,
  /** Machine page. */
  machine: u32,
  pad: u32,
  pad1: u64,
})

const at = {
  tag: coreMap.execTlb + ExecEntry.offsets.tag,
  space: coreMap.execTlb + ExecEntry.offsets.space,
  machine: coreMap.execTlb + ExecEntry.offsets.machine,
}
const ENTRY_SHIFT = Math.log2(ExecEntry.size)

/** Offset of the entry of a linear address's page. */
function entryOf(linear: Expression): Expression {
  const shifted = i32.shrU(i32.wrap(linear), i32.const(12 - ENTRY_SHIFT))
  return i32.and(shifted, i32.const(EXEC_TLB_ENTRIES - 1 << ENTRY_SHIFT))
}

function pageOf(linear: Expression): Expression {
  return i64.and(linear, i64.const(~0xfff))
}

/** The code space of what bears a set's number, for CPL 3 when `user` is 1. */
function codeSpace(generation: Expression, user: Expression): Expression {
  return i64.or(i64.shl(generation, i64.const(1)), i64.extendU(user))
}

/** Says which code spaces count from now on: after the sets in use, their numbers or the privilege
 * level have changed. */
export function emitCodeSpaces(f: FunctionBuilder, env: MmuEnvironment): void {
  const user = f.local('i32')
  f.set(user, isUserLevel(env))
  const [users, supervisors] = (['userGeneration', 'supervisorGeneration'] as const).map((field) =>
    codeSpace(i64.load(env.core, i32.const(0), controlAt(field)), user))
  const show = (field: 'codeSpace' | 'otherCodeSpace', space: Expression): void =>
    f.store('i64', env.core, i32.const(0), space, controlAt(field))
  show('codeSpace', select(users!, supervisors!, user))
  show('otherCodeSpace', select(supervisors!, users!, user))
}

/** Branches to `missed` unless the entry at `entry` leads from a page in the current address space,
 * at the current privilege level. */
function emitAsk(
  f: FunctionBuilder, core: number, page: Expression, { entry, missed }: ExecLookUp,
): void {
  f.brUnlikely(missed, i64.ne(i64.load(core, entry, at.tag), page))
  const isOther = (field: 'codeSpace' | 'otherCodeSpace'): Expression => i64.ne(
    i64.load(core, entry, at.space), i64.load(core, i32.const(0), controlAt(field)))
  f.ifUnlikely(isOther('codeSpace'), () => f.brUnlikely(missed, isOther('otherCodeSpace')))
}

/** A look-up: the local that it uses, and where it branches when nothing is known. */
interface ExecLookUp {
  readonly entry: Local
  readonly missed: Label
}

/** Branches to `missed` unless the instruction TLB of memory `core` leads from the page at an
 * address that is a multiple of its size to a machine frame. */
export function emitExecHit(
  f: FunctionBuilder, core: number, page: Expression, machine: Expression, lookUp: ExecLookUp,
): void {
  f.set(lookUp.entry, entryOf(page))
  emitAsk(f, core, page, lookUp)
  f.brUnlikely(lookUp.missed, i32.ne(i32.load(core, lookUp.entry, at.machine), machine))
}

/** -> i32: the machine page of `linear` by the instruction TLB of memory `core`; branches to
 * `missed` where that does not know it. */
export function emitExecPage(
  f: FunctionBuilder, core: number, linear: Local, lookUp: ExecLookUp,
): Expression {
  f.set(lookUp.entry, entryOf(linear))
  emitAsk(f, core, pageOf(linear), lookUp)
  return i32.load(core, lookUp.entry, at.machine)
}

/** -> i32: the machine address of `linear`, whose page lies at `machinePage`. */
export function machineIn(machinePage: Expression, linear: Expression): Expression {
  return i32.or(machinePage, i32.and(i32.wrap(linear), i32.const(0xfff)))
}

/** (linear i64, machine page i32, Fill and PageSize bits i32) */
export function buildFillExec(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32'] })
  const [linear, machine, bits] = f.parameters as [Local, Local, Local]
  const entry = f.local('i32')
  emitMarkLargePage(f, env, linear, bits)
  f.set(entry, entryOf(linear))
  const user = i32.and(i32.shrU(bits, i32.const(Math.log2(Fill.USER))), i32.const(1))
  const generation = select(
    i64.load(env.core, i32.const(0), controlAt('supervisorGeneration')),
    i64.load(env.core, i32.const(0), controlAt('userGeneration')),
    i32.and(bits, i32.const(Fill.GLOBAL)))
  f.store('i64', env.core, entry, pageOf(linear), at.tag)
  f.store('i64', env.core, entry, codeSpace(generation, user), at.space)
  f.store('i32', env.core, entry, machine, at.machine)
  return f
}

/** (linear i64) -> i64: machine address of code at the current privilege level. */
export function buildExecTranslate(
  module: ModuleBuilder, env: MmuEnvironment, walk: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64'], result: 'i64' })
  const [linear] = f.parameters as [Local]
  const entry = f.local('i32')
  f.block((missed) => {
    const page = emitExecPage(f, env.core, linear, { entry, missed })
    f.return(i64.extendU(machineIn(page, linear)))
  })
  const access = i32.or(i32.const(Access.EXEC), i32.shl(isUserLevel(env), i32.const(1)))
  f.return(call(walk, linear, access))
  return f
}

/** Forgets the page of `linear`, whosever it is; or its region of 4 MiB. */
export function emitForgetExec(
  f: FunctionBuilder, env: MmuEnvironment, linear: Local, large: Expression,
): void {
  const entry = f.local('i32')
  const forget = (shift: number): void => {
    const other = i64.xor(i64.load(env.core, entry, at.tag), linear)
    f.if(i64.eqz(i64.shrU(other, i64.const(shift))), () => {
      f.store('i64', env.core, entry, i64.const(0), at.space)
    })
  }
  f.set(entry, entryOf(linear))
  f.if(large, () => {
    const end = f.local('i32')
    const bytes = REGION_PAGES * ExecEntry.size
    f.set(entry, i32.and(entry, i32.const(-bytes)))
    f.set(end, i32.add(entry, i32.const(bytes)))
    f.count(entry, end, () => forget(REGION_SHIFT), ExecEntry.size)
  }, () => forget(12))
}
