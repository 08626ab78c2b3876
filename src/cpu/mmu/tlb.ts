/**
 * The data TLBs: filling, and forgetting single pages (AMD APM 2, 5.5).
 *
 * lookup.ts describes the entries, spaces.ts the sets of tables. A fill of an empty entry is
 * logged; when a log is full, its set is emptied.
 */
import { call, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import {
  coreMap, LOCAL_LOG_ENTRIES, SET_LOG_ENTRIES, TABLE_BYTES, TLB_ENTRIES, TlbSet,
} from '../core-memory.ts'
import {
  buildClearCode, buildDropStores, buildMarkCode, buildNoteStores, holdsCode,
} from './code-frames.ts'
import { controlAt, controlWord, type MmuEnvironment } from './environment.ts'
import { buildFillExec, emitForgetExec } from './exec-tlb.ts'
import { Fill } from './fill.ts'
import { emitMarkLargePage, isMarkedHuge, isMarkedLarge, REGION_SHIFT } from './large-pages.ts'
import { emptyEntry, entryOffset, isFull, newEntry, pageOf } from './lookup.ts'
import {
  emitForgetCodePage, emitRenew, forEachLogged, forEachUsedSet, setWord, type SpaceFunctions,
} from './spaces.ts'
import { emitEmptyMicro } from './micro-tlb.ts'
import { emitNoteEntry } from './store-entries.ts'

export interface TlbFunctions {
  /** (linear i64, machine page i32, Fill and PageSize bits i32) */
  readonly fillData: FunctionBuilder
  /** (linear i64, machine page i32, Fill and PageSize bits i32) */
  readonly fillExec: FunctionBuilder
  /** (linear i64): forgets a page of the current space, and if it is global, of all. */
  readonly flushPage: FunctionBuilder
  /** (linear i64, PCID i32): forgets a page of a space. */
  readonly flushPageOf: FunctionBuilder
  /** (linear i64): forgets a small page of the current space, as a page fault does. */
  readonly dropPage: FunctionBuilder
  /** (machine address i32): the frame holds decoded code from now on. */
  readonly markCode: FunctionBuilder
  /** (machine address i32): no longer. */
  readonly clearCode: FunctionBuilder
  /** (machine address i32): before a store to the frame that no entry leads to. */
  readonly noteStores: FunctionBuilder
  /** (machine address i32) -> i32: forgets entries for stores to the frame; 0 if there were none
   * since the last time. */
  readonly dropStores: FunctionBuilder
}

export function buildTlb(
  module: ModuleBuilder, env: MmuEnvironment, spaces: SpaceFunctions,
): TlbFunctions {
  const emptyPage = buildEmptyPage(module, env)
  const flushPage = buildFlushPage(module, env, spaces, emptyPage)
  const noteStores = buildNoteStores(module, env)
  const dropStores = buildDropStores(module, env)
  return {
    fillData: buildFillData(module, env, spaces, noteStores),
    fillExec: buildFillExec(module, env),
    flushPage,
    flushPageOf: buildFlushPageOf(module, env, spaces, { emptyPage, flushPage }),
    dropPage: buildDropPage(module, env, emptyPage),
    markCode: buildMarkCode(module, env, dropStores),
    clearCode: buildClearCode(module, env),
    noteStores,
    dropStores,
  }
}

/** Index of a linear address in a table. */
function pageIndex(linear: Expression): Expression {
  return i32.shrU(entryOffset(linear), i32.const(3))
}

function buildFillData(
  module: ModuleBuilder, env: MmuEnvironment, spaces: SpaceFunctions, noteStores: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32'] })
  const [linear, machine, bits] = f.parameters as [Local, Local, Local]
  const set = f.local('i32')
  const word = f.local('i32')
  const at = f.local('i32')
  const entry = f.local('i64')
  const local = f.local('i32')
  emitMarkLargePage(f, env, linear, bits)
  const global = i32.and(bits, i32.const(Fill.GLOBAL))
  f.if(i32.and(bits, i32.const(Fill.USER)), () => {
    f.set(set, controlWord(env, 'userSet'))
    f.if(global, () => f.store('i32', env.core, i32.const(0), i32.const(1),
      controlAt('userGlobals')))
  }, () => {
    f.set(set, controlWord(env, 'supervisorSet'))
    f.set(local, i32.eqz(global))
    const full = i32.gtU(controlWord(env, 'localCount'), i32.const(LOCAL_LOG_ENTRIES - 2))
    f.if(full, () => f.call(spaces.flushLocal))
  })
  f.if(i32.gtU(setWord(env, set, 'logged'), i32.const(SET_LOG_ENTRIES - 2)),
    () => f.call(spaces.emptySet, set))
  f.set(word, pageIndex(linear))
  f.set(entry, newEntry(linear, machine))
  const fill = (): void => emitFill(f, env, { set, word, at, entry, local })
  fill()
  f.if(i32.and(bits, i32.const(Fill.WRITABLE)), () => f.if(i32.eqz(holdsCode(env, machine)), () => {
    f.call(noteStores, machine)
    f.set(word, i32.add(word, i32.const(TLB_ENTRIES)))
    fill()
    emitNoteEntry(f, env, machine, at)
  }))
  return f
}

/** Fills the entry of a set that a log word names, and logs it. */
function emitFill(
  f: FunctionBuilder, env: MmuEnvironment,
  { set, word, at, entry, local }: Readonly<
    Record<'set' | 'word' | 'at' | 'entry' | 'local', Local>>,
): void {
  const append = (count: Expression, log: Expression, base: number): void => {
    f.store('i32', env.core, i32.add(log, i32.shl(count, i32.const(2))), word, base)
  }
  f.set(at, i32.add(setWord(env, set, 'tables'), i32.shl(word, i32.const(3))))
  f.if(i32.eqz(isFull(i64.load(env.core, at), word)), () => {
    const logged = setWord(env, set, 'logged')
    append(logged, setWord(env, set, 'log'), 0)
    f.store('i32', env.core, set, i32.add(logged, i32.const(1)), TlbSet.offsets.logged)
  })
  f.if(local, () => {
    const count = controlWord(env, 'localCount')
    append(count, i32.const(0), coreMap.localLog)
    f.store('i32', env.core, i32.const(0), i32.add(count, i32.const(1)), controlAt('localCount'))
  })
  f.store('i64', env.core, at, entry)
}

/** (set i32, linear i64, large i32): forgets a page in the tables of a set, or its region. */
function buildEmptyPage(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i32', 'i64', 'i32'] })
  const [set, linear, large] = f.parameters as [Local, Local, Local]
  const index = f.local('i32')
  const at = f.local('i32')
  const emptyIfIn = (shift: number, place: Local, word: Local): void => {
    const other = i64.xor(pageOf(i64.load(env.core, place), word), linear)
    f.if(i64.eqz(i64.shrU(other, i64.const(shift))), () => {
      f.store('i64', env.core, place, emptyEntry(word))
    })
  }
  emitEmptyMicro(f, env.core, setWord(env, set, 'tables'))
  f.if(large, () => {
    forEachLogged(f, env, set, (word, place) => emptyIfIn(REGION_SHIFT, place, word))
    f.return()
  })
  f.set(index, pageIndex(linear))
  f.set(at, i32.add(setWord(env, set, 'tables'), i32.shl(index, i32.const(3))))
  emptyIfIn(12, at, index)
  f.set(at, i32.add(at, i32.const(TABLE_BYTES)))
  emptyIfIn(12, at, index)
  return f
}

function buildFlushPage(
  module: ModuleBuilder, env: MmuEnvironment, spaces: SpaceFunctions, emptyPage: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64'] })
  const [linear] = f.parameters as [Local]
  const large = f.local('i32')
  f.if(isMarkedHuge(env, linear), () => {
    f.call(spaces.flushAll)
    f.return()
  })
  emitForgetCodePage(f, env)
  emitRenew(f, env, controlWord(env, 'userSet'), 'walkGeneration')
  f.set(large, isMarkedLarge(env, linear))
  emitForgetExec(f, env, linear, large)
  f.call(emptyPage, controlWord(env, 'supervisorSet'), linear, large)
  f.if(controlWord(env, 'userGlobals'), () => {
    forEachUsedSet(f, env, (set) => f.call(emptyPage, set, linear, large))
  }, () => f.call(emptyPage, controlWord(env, 'userSet'), linear, large))
  return f
}

function buildFlushPageOf(
  module: ModuleBuilder, env: MmuEnvironment, spaces: SpaceFunctions,
  { emptyPage, flushPage }: Readonly<Record<'emptyPage' | 'flushPage', FunctionBuilder>>,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32'] })
  const [linear, pcid] = f.parameters as [Local, Local]
  const set = f.local('i32')
  f.set(set, call(spaces.userSetOf, pcid))
  f.if(i32.eqz(set), () => f.return())
  f.if(i32.or(i32.eq(set, controlWord(env, 'userSet')), isMarkedHuge(env, linear)), () => {
    f.call(flushPage, linear)
    f.return()
  })
  emitRenew(f, env, set, 'walkGeneration')
  emitForgetExec(f, env, linear, isMarkedLarge(env, linear))
  f.call(emptyPage, set, linear, isMarkedLarge(env, linear))
  return f
}

function buildDropPage(
  module: ModuleBuilder, env: MmuEnvironment, emptyPage: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64'] })
  const [linear] = f.parameters as [Local]
  for (const field of ['userSet', 'supervisorSet'] as const) {
    f.call(emptyPage, controlWord(env, field), linear, i32.const(0))
  }
  emitForgetExec(f, env, linear, i32.const(0))
  return f
}
