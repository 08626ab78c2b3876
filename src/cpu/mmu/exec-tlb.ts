/**
 * The instruction TLB: direct-mapped, for all address spaces together.
 *
 * An entry bears the number of the address space whose it is, or for a global page that of the
 * supervisor's set (spaces.ts). Only the start of a page and jumps to other pages look here.
 */
import { call, i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { struct } from '../../base/layout/struct.ts'
import { u32, u64 } from '../../base/layout/scalar.ts'
import { coreMap, EXEC_TLB_ENTRIES } from '../core-memory.ts'
import { Access, contextWord, controlAt, type MmuEnvironment } from './environment.ts'
import { Fill } from './fill.ts'
import { emitMarkLargePage, REGION_PAGES, REGION_SHIFT } from './large-pages.ts'
import { count } from './spaces.ts'

const ExecEntry = struct('instruction TLB entry', {
  /** Linear page, with bit 0 set for CPL 3. */
  tag: u64,
  /** Of a set; 0: of none. */
  generation: u64,
  /** Machine page. */
  machine: u32,
  pad: u32,
  pad1: u64,
})

const at = {
  tag: coreMap.execTlb + ExecEntry.offsets.tag,
  generation: coreMap.execTlb + ExecEntry.offsets.generation,
  machine: coreMap.execTlb + ExecEntry.offsets.machine,
}
const ENTRY_SHIFT = Math.log2(ExecEntry.size)

function offsetOf(page: Expression): Expression {
  return i32.shl(i32.and(page, i32.const(EXEC_TLB_ENTRIES - 1)), i32.const(ENTRY_SHIFT))
}

/** Number of a linear address's page, modulo 2^32. */
function pageNumber(linear: Expression): Expression {
  return i32.wrap(i64.shrU(linear, i64.const(12)))
}

function tagOf(linear: Expression, user: Expression): Expression {
  return i64.or(i64.and(linear, i64.const(~0xfff)), i64.extendU(user))
}

/** -> i32: 1 when the entry at an offset is valid in the current address space. */
function isValid(core: number, entry: Expression): Expression {
  const isOf = (field: 'userGeneration' | 'supervisorGeneration'): Expression => i64.eq(
    i64.load(core, entry, at.generation), i64.load(core, i32.const(0), controlAt(field)))
  return i32.or(isOf('userGeneration'), isOf('supervisorGeneration'))
}

/** -> i32: 1 when the instruction TLB of memory `core` leads from a page to a machine frame, for
 * CPL 3 when `user` is 1. */
export function emitExecHit(
  core: number, page: Expression, user: Expression, machine: Expression,
): Expression {
  const entry = offsetOf(pageNumber(page))
  const isPage = i64.eq(i64.load(core, entry, at.tag), tagOf(page, user))
  const isFrame = i32.eq(i32.load(core, entry, at.machine), machine)
  return i32.and(i32.and(isPage, isFrame), isValid(core, entry))
}

/** -> i32: the machine page of `linear` by the instruction TLB of memory `core`, for CPL 3 when
 * `user` is 1; branches to `missed` where that does not know it. `entry` is used. */
export function emitExecPage(
  f: FunctionBuilder, core: number, linear: Local,
  { user, entry, missed }: { user: Expression, entry: Local, missed: Label },
): Expression {
  f.set(entry, offsetOf(pageNumber(linear)))
  f.brUnlikely(missed, i64.ne(i64.load(core, entry, at.tag), tagOf(linear, user)))
  f.brUnlikely(missed, i32.eqz(isValid(core, entry)))
  return i32.load(core, entry, at.machine)
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
  f.set(entry, offsetOf(pageNumber(linear)))
  const user = i32.and(i32.shrU(bits, i32.const(Math.log2(Fill.USER))), i32.const(1))
  const generation = select(
    i64.load(env.core, i32.const(0), controlAt('supervisorGeneration')),
    i64.load(env.core, i32.const(0), controlAt('userGeneration')),
    i32.and(bits, i32.const(Fill.GLOBAL)))
  f.store('i64', env.core, entry, tagOf(linear, user), at.tag)
  f.store('i64', env.core, entry, generation, at.generation)
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
  const user = f.local('i32')
  f.set(user, i32.eq(contextWord(env, 'cpl'), i32.const(3)))
  f.block((missed) => {
    const page = emitExecPage(f, env.core, linear, { user, entry, missed })
    f.return(i64.extendU(machineIn(page, linear)))
  })
  const access = i32.or(i32.const(Access.EXEC), i32.shl(user, i32.const(1)))
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
      f.store('i64', env.core, entry, i64.const(0), at.generation)
    })
  }
  f.if(large, () => {
    const page = f.local('i32')
    const first = i32.and(pageNumber(linear), i32.const(-REGION_PAGES & EXEC_TLB_ENTRIES - 1))
    const last = f.local('i32')
    f.set(page, first)
    f.set(last, i32.add(page, i32.const(REGION_PAGES)))
    count(f, page, last, () => {
      f.set(entry, offsetOf(page))
      forget(REGION_SHIFT)
    })
  }, () => {
    f.set(entry, offsetOf(pageNumber(linear)))
    forget(12)
  })
}
