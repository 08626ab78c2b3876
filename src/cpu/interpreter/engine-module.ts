/**
 * The engine's module: MMU, support functions and the interpreter's loop; and the modules of single
 * handlers that are added while it runs.
 */
import { call, i32, select } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { ModuleBuilder, type FunctionReference } from '../../wasm/module.ts'
import { CR4, Vector } from '../../abi/x86/control.ts'
import { buildExtendedState } from '../fpu/extended-state.ts'
import { buildFloatParts } from '../fpu/float-parts.ts'
import { allMasked } from '../fpu/float-state.ts'
import { buildX87 } from '../fpu/x87.ts'
import type { FrameUses } from '../mmu/frame-uses.ts'
import { buildMmu, exportMmu, type MmuExports } from '../mmu/mmu.ts'
import { buildLoadSpace } from '../privilege/address-space.ts'
import { buildDelivery } from '../privilege/delivery.ts'
import { buildPrivilegeState } from '../privilege/state.ts'
import { buildRegionTransfers, buildTransfers } from '../privilege/transfers.ts'
import { buildBlocks } from './blocks.ts'
import { loadControlRegister, Z } from './core-fields.ts'
import { buildGoOn } from './going-on.ts'
import { emitHandler, functionExits } from './handlers.ts'
import { buildLoop, type HandlerExample, type HandlerPair } from './loop.ts'
import {
  CORE, type EngineParts, type FunctionPart, globalParts, MACHINE, partSignatures,
} from './parts.ts'
import { buildPure } from './pure-calls.ts'
import { LocalPool } from './reading/value.ts'
import { buildSupport } from './support.ts'
import { buildTimeStamp, type TimeStampPlan } from './time-stamp.ts'

/** What the engine calls in TypeScript. All arguments and results are 32-bit integers but where
 * said otherwise. */
export interface EngineImports {
  /** Decodes the code at a machine address, whose linear address is the context's rip with the code
   * base; returns its record, or 0 when stopped. */
  decode(machine: number): number
  /** Decodes again an instruction whose second page is elsewhere now; returns its record, or 0. */
  decodeAgain(record: number): number
  /** Carries out a record by a service; returns one of ServiceResult. */
  service(record: number): number
  float(number: number, a: bigint, b: bigint): bigint
  fused(number: number, a: bigint, b: bigint, c: bigint): bigint
  /** Returns 1 when an unmasked exception must be raised. */
  floatCheck(): number
  /** The part x87Exact. */
  x87(form: number, index: number, low: bigint, high: number): bigint
  pure(number: number): void
  /** A float, since a 64-bit integer would be a bigint here. */
  tsc(): number
  codeWritten(machine: number, size: number): void
  /** What FrameUses calls; only for a machine of several processors. */
  storing(machine: number): void
  decoding(machine: number): void
  /** The record was jumped to as often as `heatLimit` says. */
  hot(record: number): void
}

/** What the engine's module offers to TypeScript, beside the parts. */
export interface EngineExports extends MmuExports {
  /** Runs until something stops it; CoreControl says what. */
  run(): void
  /** Delivers an exception or interrupt (all 0 or 1 but vector and code); 0: TypeScript must. */
  deliver(vector: number, errorCode: number, hasErrorCode: number, isFault: number): number
  'part.tsc'(): bigint
}

export interface MemorySizes {
  readonly corePages: number
  readonly machinePages: number
}

function importMemories(module: ModuleBuilder, sizes: MemorySizes): void {
  module.importMemory('env', 'core', { initialPages: sizes.corePages })
  module.importMemory('env', 'machine', {
    initialPages: sizes.machinePages, maximumPages: sizes.machinePages, shared: true,
  })
}

function importMeetings(module: ModuleBuilder): Pick<FrameUses, 'storing' | 'decoding'> {
  return {
    storing: module.importFunction('env', 'storing', { parameters: ['i32'] }),
    decoding: module.importFunction('env', 'decoding', { parameters: ['i32'] }),
  }
}

export interface EnginePlan {
  readonly inline: readonly HandlerExample[]
  readonly pairs: readonly HandlerPair[]
  /** Those that are functions of the module, exported as usualHandler says. */
  readonly usual: readonly HandlerExample[]
  /** As LoopNeeds'. */
  readonly heatLimit: number
  /** Every fault is delivered by TypeScript. */
  readonly preferServices: boolean
  /** As FrameUses'. */
  readonly uses?: Pick<FrameUses, 'table'>
  /** As MmuEnvironment's. */
  readonly pairLock?: number
  readonly timeStamp: TimeStampPlan
}

/** Builds the engine's module. */
export function buildEngine(sizes: MemorySizes, plan: EnginePlan): Uint8Array<ArrayBuffer> {
  const { inline, pairs, usual, heatLimit, preferServices, uses, pairLock, timeStamp } = plan
  const module = new ModuleBuilder()
  importMemories(module, sizes)
  module.importTable('env', 'handlers', 0)
  const decode = module.importFunction('env', 'decode', { parameters: ['i32'], result: 'i32' })
  const decodeAgain = module.importFunction('env', 'decodeAgain',
    { parameters: ['i32'], result: 'i32' })
  const service = module.importFunction('env', 'service', { parameters: ['i32'], result: 'i32' })
  const exactFloat = module.importFunction('env', 'float', partSignatures.float)
  const exactFused = module.importFunction('env', 'fused', partSignatures.fused)
  const floatPending = module.importFunction('env', 'floatCheck',
    { parameters: [], result: 'i32' })
  const x87Exact = module.importFunction('env', 'x87', partSignatures.x87Exact)
  const purely = module.importFunction('env', 'pure', partSignatures.pure)
  const askTsc = module.importFunction('env', 'tsc', { parameters: [], result: 'f64' })
  const codeWritten = module.importFunction('env', 'codeWritten', { parameters: ['i32', 'i32'] })
  const hot = module.importFunction('env', 'hot', { parameters: ['i32'] })

  const meetings = uses ? { uses: { ...uses, ...importMeetings(module) } } : {}
  const mmu = buildMmu(module, { core: CORE, machine: MACHINE, codeWritten, pairLock, ...meetings })
  const { load, store } = mmu.slow
  const stopped = mmu.globals.status
  const support = buildSupport(module, { stopped, execTranslate: mmu.execTranslate, decode })
  const privilege = {
    stopped, load64: load[64], translate: mmu.translate, probeWrite: mmu.slow.probeWrite,
    selectTables: mmu.selectTables, lookUp: support.lookUp,
  }
  const state = buildPrivilegeState(module, privilege)
  const goingOn = buildGoOn(module, support.lookUp, { hot, heatLimit })
  const parts: EngineParts = {
    ...mmu.globals,
    stopped,
    load8: load[8], load16: load[16], load32: load[32], load64: load[64], load128: load[128],
    store8: store[8], store16: store[16], store32: store[32], store64: store[64],
    store128: store[128],
    probeWrite: mmu.slow.probeWrite,
    ...mmu.locked, execTranslate: mmu.execTranslate, flushPage: mmu.flushPage,
    ...support,
    ...goingOn, ...buildRegionTransfers(module, privilege, state, goingOn.goOn),
    loadSpace: buildLoadSpace(module, mmu.switchSpace),
    ...buildFloatParts(module, { exactFloat, exactFused, mulHigh: support.mulHighUnsigned }),
    ...buildBlocks(module, { ...mmu.globals, stopped, translate: mmu.translate,
      probeWrite: mmu.slow.probeWrite }),
    ...buildExtendedState(module, { ...mmu.globals, stopped, translate: mmu.translate,
      probeWrite: mmu.slow.probeWrite, walk: mmu.walk }),
    pure: buildPure(module, purely),
    x87Exact,
    ...buildX87(module, partSignatures.x87Exact, x87Exact, support.mulHighUnsigned),
    tsc: buildTimeStamp(module, askTsc, timeStamp),
    floatCheck: raiseUnmasked(module, support.raise, floatPending),
  }
  const { deliver, deliverFault } = buildDelivery(module, privilege, state)
  const run = buildLoop(module, parts, {
    ...buildTransfers(module, privilege, state),
    deliverFault: preferServices ? undefined : deliverFault,
    inline, pairs, service, decodeAgain, execTranslate: mmu.execTranslate, hot, heatLimit,
  })
  exportParts(module, parts)
  exportHandlers(module, parts, usual)
  exportMmu(module, mmu)
  module.exportFunction('run', run)
  module.exportFunction('deliver', deliver)
  return module.finish()
}

function exportParts(module: ModuleBuilder, parts: EngineParts): void {
  for (const name of functionParts) {
    module.exportFunction(`part.${name}`, parts[name])
  }
  for (const name of globalParts) module.exportGlobal(`part.${name}`, parts[name])
}

function exportHandlers(
  module: ModuleBuilder, parts: EngineParts, examples: readonly HandlerExample[],
): void {
  examples.forEach((example, index) =>
    module.exportFunction(usualHandler(index), buildHandler(module, parts, example)))
}

/** Unless all floating-point exceptions are masked, asks `check`, and raises #XM when it says so;
 * #UD while the system has not said that it knows of #XM. */
function raiseUnmasked(
  module: ModuleBuilder, raise: FunctionReference, check: FunctionReference,
): FunctionBuilder {
  const f = module.function({ parameters: [] })
  f.if(allMasked(), () => f.return())
  const known = i32.and(loadControlRegister('cr4'), i32.const(CR4.OSXMMEXCPT))
  f.if(call(check), () =>
    f.call(raise, select(i32.const(Vector.XM), i32.const(Vector.UD), known), Z, Z))
  return f
}

/** What handlers and regions are generated from: imported when it is first used, which has to be
 * before the functions of the module are numbered. */
class ImportedParts {
  readonly module: ModuleBuilder

  constructor(module: ModuleBuilder) {
    this.module = module
  }
}

function defineImport(name: string, imported: (module: ModuleBuilder) => unknown): void {
  Object.defineProperty(ImportedParts.prototype, name, {
    get(this: ImportedParts) {
      const value = imported(this.module)
      Object.defineProperty(this, name, { value })
      return value
    },
  })
}

const functionParts = Object.keys(partSignatures) as FunctionPart[]
for (const name of functionParts) {
  defineImport(name, (module) =>
    module.importFunction('engine', `part.${name}`, partSignatures[name]))
}
for (const name of globalParts) {
  defineImport(name, (module) => module.importGlobal('engine', `part.${name}`, 'i32'))
}

function partsOf(module: ModuleBuilder): EngineParts {
  return new ImportedParts(module) as unknown as EngineParts
}

/** A module that works on the engine's memories with its parts, all of which it imports; `fill`
 * adds functions and globals. */
export function buildWithParts(
  sizes: MemorySizes, fill: (module: ModuleBuilder, parts: EngineParts) => void,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder()
  importMemories(module, sizes)
  const parts = partsOf(module)
  for (const name of [...functionParts, ...globalParts]) void parts[name]
  fill(module, parts)
  return module.finish()
}

/** The name by which the engine's module exports one of the usual handlers. */
export function usualHandler(index: number): string {
  return `handler.${index}`
}

/** Builds a handler outside the loop. */
function buildHandler(
  module: ModuleBuilder, parts: EngineParts, { instruction, shape }: HandlerExample,
): FunctionBuilder {
  const f = module.function({ parameters: ['i32'], result: 'i32' })
  const record = f.parameters[0]!
  const place = { target: f, record, exits: functionExits(f, record) }
  emitHandler(parts, place, new LocalPool(f), instruction, shape)
  return f
}

/** A module of one handler outside the loop; its export `handler` goes into the table. It imports
 * what it uses: with all parts, each of the hundred and more takes V8 and us as long again. */
export function buildHandlerModule(
  sizes: MemorySizes, example: HandlerExample,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder()
  importMemories(module, sizes)
  module.exportFunction('handler', buildHandler(module, partsOf(module), example))
  return module.finish()
}
