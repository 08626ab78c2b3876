/**
 * The memory management unit as functions of the engine's module: put together here.
 *
 * `exportMmu` makes them reachable for the classes of this folder, under the names of MmuExports.
 */
import { globalGet } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { declareGlobals, type MmuEnvironment, type MmuGlobals } from './environment.ts'
import { buildExecTranslate } from './exec-tlb.ts'
import { buildLocked, type LockedFunctions } from './locked.ts'
import { buildEntryAddress, buildP2mWord } from './p2m.ts'
import { buildSetBits } from './entry-bits.ts'
import { buildWalk } from './page-walk.ts'
import { buildSlow, type SlowFunctions } from './slow-access.ts'
import { buildSpaces, type SpaceFunctions } from './spaces.ts'
import { buildTlb, type TlbFunctions } from './tlb.ts'
import { buildRaise, buildTranslate } from './translate.ts'

export interface MmuFunctions extends TlbFunctions, SpaceFunctions {
  readonly env: MmuEnvironment
  readonly globals: MmuGlobals
  /** (linear i64, access i32) -> i64: the walk alone. */
  readonly walk: FunctionBuilder
  /** (linear i64, access i32) -> i64: data TLBs, then the walk. */
  readonly translate: FunctionBuilder
  /** (linear i64) -> i64: machine address of code for the current CPL, FAULT or OUTSIDE. */
  readonly execTranslate: FunctionBuilder
  readonly slow: SlowFunctions
  readonly locked: LockedFunctions
  /** -> the global `status`, for callers outside the module. */
  readonly status: FunctionBuilder
}

export function buildMmu(module: ModuleBuilder, env: MmuEnvironment): MmuFunctions {
  const globals = declareGlobals(module)
  const spaces = buildSpaces(module, env, globals)
  const tlb = buildTlb(module, env, spaces)
  const raise = buildRaise(module, env, globals, tlb.dropPage)
  const p2mWord = buildP2mWord(module, env)
  const walk = buildWalk(module, env, {
    p2mWord,
    entryAddress: buildEntryAddress(module, p2mWord),
    raise,
    setBits: buildSetBits(module, env),
    tlb,
  })
  const translate = buildTranslate(module, env, walk)
  const slow = buildSlow(module, { env, globals, translate })
  return {
    ...tlb,
    ...spaces,
    env,
    globals,
    walk,
    translate,
    execTranslate: buildExecTranslate(module, env, walk),
    slow,
    locked: buildLocked(module, env, globals, slow),
    status: buildStatus(module, globals),
  }
}

function buildStatus(module: ModuleBuilder, globals: MmuGlobals): FunctionBuilder {
  const f = module.function({ parameters: [], result: 'i32' })
  f.return(globalGet(globals.status, 'i32'))
  return f
}

/** What an instance exports; addresses are as signed as WebAssembly gives and takes them. */
export interface MmuExports {
  walk(linear: bigint, access: number): bigint
  translate(linear: bigint, access: number): bigint
  execTranslate(linear: bigint): bigint
  load8(linear: bigint, flags: number): bigint
  load16(linear: bigint, flags: number): bigint
  load32(linear: bigint, flags: number): bigint
  load64(linear: bigint, flags: number): bigint
  store8(linear: bigint, value: bigint, flags: number): number
  store16(linear: bigint, value: bigint, flags: number): number
  store32(linear: bigint, value: bigint, flags: number): number
  store64(linear: bigint, value: bigint, flags: number): number
  probeWrite(linear: bigint, size: number, flags: number): bigint
  status(): number
  flushAll(): void
  flushNonGlobal(): void
  flushPage(linear: bigint): void
  flushPageOf(linear: bigint, pcid: number): void
  flushSpace(pcid: number): void
  switchSpace(pcid: number, keep: number): void
  switchOwner(owner: number, pcid: number): void
  resetTlb(): void
  markCode(machine: number): void
  clearCode(machine: number): void
  dropStores(machine: number): void
  selectTables(): void
}

export function exportMmu(module: ModuleBuilder, mmu: MmuFunctions): void {
  const { load, store } = mmu.slow
  const functions: Readonly<Record<keyof MmuExports, FunctionBuilder>> = {
    walk: mmu.walk, translate: mmu.translate, execTranslate: mmu.execTranslate,
    load8: load[8], load16: load[16], load32: load[32], load64: load[64],
    store8: store[8], store16: store[16], store32: store[32], store64: store[64],
    probeWrite: mmu.slow.probeWrite, status: mmu.status,
    flushAll: mmu.flushAll, flushNonGlobal: mmu.flushNonGlobal, flushPage: mmu.flushPage,
    flushPageOf: mmu.flushPageOf, flushSpace: mmu.flushSpace,
    switchSpace: mmu.switchSpace, switchOwner: mmu.switchOwner,
    resetTlb: mmu.reset, markCode: mmu.markCode, clearCode: mmu.clearCode,
    dropStores: mmu.dropStores,
    selectTables: mmu.selectTables,
  }
  for (const [name, target] of Object.entries(functions)) module.exportFunction(name, target)
}

