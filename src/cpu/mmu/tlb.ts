/**
 * The translation lookaside buffers: filling and flushing (AMD APM 2, 5.5).
 *
 * core-memory.ts describes the entries. Each fill is logged, so that a flush costs as much as the
 * fills since the last one; when a log is full, everything in it is flushed. The data tables lie
 * one after the other, so that a log word without its upper bits, times 8, is an entry's place.
 */
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import {
  coreMap, EXEC_LOG_ENTRIES, EXEC_TLB_ENTRIES, FILL_LOG_ENTRIES, TLB_BITS, TLB_ENTRIES,
} from '../core-memory.ts'
import { controlAt, controlWord, type MmuEnvironment } from './environment.ts'
import {
  emitMarkLargePage, HUGE_MARK, LARGE_PAGE_MARKS, REGION_PAGES, regionMark,
} from './large-pages.ts'

/** Bits of a fill. */
export const Fill = {
  /** Stores may go through the write table. */
  WRITABLE: 1,
  /** Into the tables of user accesses. */
  USER: 2,
  GLOBAL: 4,
  // 8 and 16 are PageSize.
} as const

const TABLES = 4
const SLOT_MASK = TABLES * TLB_ENTRIES - 1
const LOG_GLOBAL = 22
const EXEC_MASK = EXEC_TLB_ENTRIES - 1
const EXEC_LOG_GLOBAL = 14
const PAGE = ~0xfffn

export interface TlbFunctions {
  /** (linear i64, machine page i32, Fill and PageSize bits i32) */
  readonly fillData: FunctionBuilder
  /** (linear i64, machine page i32, Fill and PageSize bits i32) */
  readonly fillExec: FunctionBuilder
  readonly flushAll: FunctionBuilder
  readonly flushNonGlobal: FunctionBuilder
  /** (linear i64) */
  readonly flushPage: FunctionBuilder
  /** Empties every entry whatever stands there: for start, after emptyTag was set. */
  readonly reset: FunctionBuilder
  /** (machine address i32): the frame holds decoded code from now on. */
  readonly markCode: FunctionBuilder
  /** (machine address i32): no longer. */
  readonly clearCode: FunctionBuilder
}

export function buildTlb(module: ModuleBuilder, env: MmuEnvironment): TlbFunctions {
  const flushAll = module.function({ parameters: [] })
  emitFlush(flushAll, env, false)
  const flushNonGlobal = module.function({ parameters: [] })
  emitFlush(flushNonGlobal, env, true)
  return {
    flushAll,
    flushNonGlobal,
    fillData: buildFillData(module, env, flushAll),
    fillExec: buildFillExec(module, env, flushAll),
    flushPage: buildFlushPage(module, env, flushAll),
    reset: buildReset(module, env),
    markCode: buildMarkCode(module, env),
    clearCode: buildClearCode(module, env),
  }
}

/** CoreControl.emptyTag: what no canonical address has above bit 31. */
export function emptyTagFrom(random: number): number {
  return (0x4000_0000 | random >>> 2) >>> 0
}

/** What an empty entry with this index (or slot: bits above the index are cut) is. */
function emptyEntry(env: MmuEnvironment, slot: Expression): Expression {
  const tag = i64.shl(i64.extendU(controlWord(env, 'emptyTag')), i64.const(32))
  return i64.or(tag, i64.extendU(i32.shl(slot, i32.const(32 - TLB_BITS))))
}

/** Index of a linear address in a data table. */
export function pageIndex(linear: Expression): Expression {
  return i32.shrU(i32.wrap(linear), i32.const(32 - TLB_BITS))
}

/** Counts `counter` up to `limit`, running `body` each time. */
function count(
  f: FunctionBuilder, counter: Local, limit: Expression, body: () => void, step = 1,
): void {
  f.block((done) => f.loop((again) => {
    f.brIf(done, i32.geU(counter, limit))
    body()
    f.set(counter, i32.add(counter, i32.const(step)))
    f.br(again)
  }))
}

/** Byte of the code bitmap, and the bit in it, for a machine address. */
function codeByte(env: MmuEnvironment, machine: Expression): Expression {
  return i32.load8U(env.core, i32.shrU(machine, i32.const(15)), coreMap.codeBitmap)
}

function codeBitOf(machine: Expression): Expression {
  return i32.and(i32.shrU(machine, i32.const(12)), i32.const(7))
}

/** 1 when the frame of a machine address holds decoded code. */
export function holdsCode(env: MmuEnvironment, machine: Expression): Expression {
  return i32.and(i32.shrU(codeByte(env, machine), codeBitOf(machine)), i32.const(1))
}

function buildFillData(
  module: ModuleBuilder, env: MmuEnvironment, flushAll: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32'] })
  const [linear, machine, bits] = f.parameters as [Local, Local, Local]
  const slot = f.local('i32')
  const filled = f.local('i32')
  const entry = f.local('i64')
  emitMarkLargePage(f, env, linear, bits)
  const limit = i32.const(FILL_LOG_ENTRIES - 1)
  f.if(i32.geU(controlWord(env, 'fillCount'), limit), () => f.call(flushAll))
  f.set(filled, controlWord(env, 'fillCount'))
  const table = i32.and(bits, i32.const(Fill.USER))
  f.set(slot, i32.or(pageIndex(linear), i32.shl(table, i32.const(TLB_BITS))))
  f.set(entry, i64.xor(i64.and(linear, i64.const(PAGE)), i64.extendU(machine)))
  const global = i32.shl(
    i32.and(bits, i32.const(Fill.GLOBAL)), i32.const(LOG_GLOBAL - 2))
  const fill = (): void => {
    f.store('i64', env.core, i32.shl(slot, i32.const(3)), entry, coreMap.readSupervisor)
    f.store('i32', env.core, i32.shl(filled, i32.const(2)), i32.or(slot, global), coreMap.fillLog)
    f.set(filled, i32.add(filled, i32.const(1)))
  }
  fill()
  const writable = i32.and(bits, i32.eqz(holdsCode(env, machine)))
  f.if(i32.and(writable, i32.const(Fill.WRITABLE)), () => {
    f.set(slot, i32.or(slot, i32.const(TLB_ENTRIES)))
    fill()
  })
  f.store('i32', env.core, i32.const(0), filled, controlAt('fillCount'))
  return f
}

/** The fields of an instruction TLB entry. */
export const ExecEntry = { tag: 0, machine: 8, global: 12, shift: 4 } as const

function buildFillExec(
  module: ModuleBuilder, env: MmuEnvironment, flushAll: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32'] })
  const [linear, machine, bits] = f.parameters as [Local, Local, Local]
  const slot = f.local('i32')
  const filled = f.local('i32')
  emitMarkLargePage(f, env, linear, bits)
  const limit = i32.const(EXEC_LOG_ENTRIES)
  f.if(i32.geU(controlWord(env, 'execFillCount'), limit), () => f.call(flushAll))
  f.set(filled, controlWord(env, 'execFillCount'))
  f.set(slot, i32.and(pageIndex(linear), i32.const(EXEC_MASK)))
  const global = i32.and(i32.shrU(bits, i32.const(2)), i32.const(1))
  const logged = i32.or(slot, i32.shl(global, i32.const(EXEC_LOG_GLOBAL)))
  f.store('i32', env.core, i32.shl(filled, i32.const(2)), logged, coreMap.execLog)
  f.store('i32', env.core, i32.const(0), i32.add(filled, i32.const(1)), controlAt('execFillCount'))
  f.set(slot, i32.shl(slot, i32.const(ExecEntry.shift)))
  const user = i32.and(i32.shrU(bits, i32.const(1)), i32.const(1))
  const tag = i64.or(i64.and(linear, i64.const(PAGE)), i64.extendU(user))
  f.store('i64', env.core, slot, tag, coreMap.execTlb)
  f.store('i32', env.core, slot, machine, coreMap.execTlb + ExecEntry.machine)
  f.store('i32', env.core, slot, global, coreMap.execTlb + ExecEntry.global)
  return f
}

/**
 * Empties what the logs name. When `keepGlobal`, words of global pages stay in the log unless their
 * entry is empty by now: its slot was also used for another page, which stands in the log as well.
 */
function emitFlush(f: FunctionBuilder, env: MmuEnvironment, keepGlobal: boolean): void {
  const at = f.local('i32')
  const kept = f.local('i32')
  const word = f.local('i32')
  const slot = f.local('i32')
  const keep = (log: number, used: Expression, global: number, again: () => void): void => {
    if (!keepGlobal) return
    f.if(i32.and(i32.shrU(word, i32.const(global)), i32.const(1)), () => {
      f.if(used, () => {
        f.store('i32', env.core, i32.shl(kept, i32.const(2)), word, log)
        f.set(kept, i32.add(kept, i32.const(1)))
      })
    }, again)
  }
  const empty = (): void => f.store('i64', env.core, slot, emptyEntry(env, word),
    coreMap.readSupervisor)
  count(f, at, controlWord(env, 'fillCount'), () => {
    f.set(word, i32.load(env.core, i32.shl(at, i32.const(2)), coreMap.fillLog))
    f.set(slot, i32.shl(i32.and(word, i32.const(SLOT_MASK)), i32.const(3)))
    const present = i64.load(env.core, slot, coreMap.readSupervisor)
    if (keepGlobal) keep(coreMap.fillLog, i64.ne(present, emptyEntry(env, word)), LOG_GLOBAL, empty)
    else empty()
  })
  f.store('i32', env.core, i32.const(0), kept, controlAt('fillCount'))
  f.set(at, i32.const(0))
  f.set(kept, i32.const(0))
  const emptyExec = (): void => f.store('i64', env.core, slot, i64.const(-1), coreMap.execTlb)
  count(f, at, controlWord(env, 'execFillCount'), () => {
    f.set(word, i32.load(env.core, i32.shl(at, i32.const(2)), coreMap.execLog))
    f.set(slot, i32.shl(i32.and(word, i32.const(EXEC_MASK)), i32.const(ExecEntry.shift)))
    const used = i64.ne(i64.load(env.core, slot, coreMap.execTlb), i64.const(-1))
    if (keepGlobal) keep(coreMap.execLog, used, EXEC_LOG_GLOBAL, emptyExec)
    else emptyExec()
  })
  f.store('i32', env.core, i32.const(0), kept, controlAt('execFillCount'))
  emitForgetCodePage(f, env)
  if (keepGlobal) return
  f.memoryFill(env.core, i32.const(coreMap.largePages), i32.const(0), i32.const(LARGE_PAGE_MARKS))
}

/** The run loop remembers the translation of the page that it executes. */
function emitForgetCodePage(f: FunctionBuilder, env: MmuEnvironment): void {
  f.store('i64', env.core, i32.const(0), i64.const(-1), controlAt('codePageTag'))
}

/** Empties `pages` entries of each data table from index `from` on. */
function emitEmptyRange(
  f: FunctionBuilder, env: MmuEnvironment, from: Expression, pages: number,
): void {
  const slot = f.local('i32')
  const left = f.local('i32')
  f.set(slot, from)
  f.set(left, i32.const(0))
  count(f, left, i32.const(pages), () => {
    for (let table = 0; table < TABLES; table++) {
      const base = coreMap.readSupervisor + table * TLB_ENTRIES * 8
      f.store('i64', env.core, i32.shl(slot, i32.const(3)), emptyEntry(env, slot), base)
    }
    f.set(slot, i32.add(slot, i32.const(1)))
  })
}

function buildFlushPage(
  module: ModuleBuilder, env: MmuEnvironment, flushAll: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64'] })
  const [linear] = f.parameters as [Local]
  f.if(i32.load8U(env.core, i32.const(0), HUGE_MARK), () => {
    f.call(flushAll)
    f.return()
  })
  emitForgetCodePage(f, env)
  const mark = regionMark(linear)
  f.if(i32.load8U(env.core, mark, coreMap.largePages), () => {
    f.store('i32As8', env.core, mark, i32.const(0), coreMap.largePages)
    const first = i32.and(pageIndex(linear), i32.const(-REGION_PAGES))
    emitEmptyRange(f, env, first, REGION_PAGES)
    const slot = i32.shl(i32.and(first, i32.const(EXEC_MASK)), i32.const(ExecEntry.shift))
    const at = i32.add(slot, i32.const(coreMap.execTlb))
    f.memoryFill(env.core, at, i32.const(0xff), i32.const(REGION_PAGES << ExecEntry.shift))
    f.return()
  })
  emitEmptyRange(f, env, pageIndex(linear), 1)
  const slot = i32.shl(i32.and(pageIndex(linear), i32.const(EXEC_MASK)), i32.const(ExecEntry.shift))
  f.store('i64', env.core, slot, i64.const(-1), coreMap.execTlb)
  return f
}

function buildReset(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: [] })
  emitEmptyRange(f, env, i32.const(0), TLB_ENTRIES)
  emitForgetCodePage(f, env)
  f.memoryFill(env.core, i32.const(coreMap.execTlb), i32.const(0xff),
    i32.const(EXEC_TLB_ENTRIES << ExecEntry.shift))
  f.memoryFill(env.core, i32.const(coreMap.largePages), i32.const(0), i32.const(LARGE_PAGE_MARKS))
  f.store('i32', env.core, i32.const(0), i32.const(0), controlAt('fillCount'))
  f.store('i32', env.core, i32.const(0), i32.const(0), controlAt('execFillCount'))
  return f
}

/** Sets the bit and empties the write entries that lead to the frame: all stand in the log. */
function buildMarkCode(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i32'] })
  const [machine] = f.parameters as [Local]
  const at = f.local('i32')
  const word = f.local('i32')
  const slot = f.local('i32')
  f.if(holdsCode(env, machine), () => f.return())
  const bits = i32.or(codeByte(env, machine), i32.shl(i32.const(1), codeBitOf(machine)))
  f.store('i32As8', env.core, i32.shrU(machine, i32.const(15)), bits, coreMap.codeBitmap)
  count(f, at, controlWord(env, 'fillCount'), () => {
    f.set(word, i32.load(env.core, i32.shl(at, i32.const(2)), coreMap.fillLog))
    f.if(i32.and(word, i32.const(TLB_ENTRIES)), () => {
      f.set(slot, i32.shl(i32.and(word, i32.const(SLOT_MASK)), i32.const(3)))
      const entry = i32.load(env.core, slot, coreMap.readSupervisor)
      const page = i32.xor(entry, i32.shl(word, i32.const(32 - TLB_BITS)))
      const other = i32.and(i32.xor(page, machine), i32.const(~0xfff))
      f.if(i32.eqz(other), () => {
        f.store('i64', env.core, slot, emptyEntry(env, word), coreMap.readSupervisor)
      })
    })
  })
  return f
}

function buildClearCode(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i32'] })
  const [machine] = f.parameters as [Local]
  const mask = i32.xor(i32.shl(i32.const(1), codeBitOf(machine)), i32.const(-1))
  const bits = i32.and(codeByte(env, machine), mask)
  f.store('i32As8', env.core, i32.shrU(machine, i32.const(15)), bits, coreMap.codeBitmap)
  return f
}

/** -> i32: 1 when the instruction TLB of memory `core` leads from a page to a machine frame, for
 * CPL 3 when `user` is 1. */
export function emitExecHit(
  core: number, page: Expression, user: Expression, machine: number,
): Expression {
  const slot = i32.shl(i32.and(pageIndex(page), i32.const(EXEC_MASK)), i32.const(ExecEntry.shift))
  const tag = i64.or(page, i64.extendU(user))
  const isPage = i64.eq(i64.load(core, slot, coreMap.execTlb), tag)
  const isFrame = i32.eq(i32.load(core, slot, coreMap.execTlb + ExecEntry.machine),
    i32.const(machine))
  return i32.and(isPage, isFrame)
}
