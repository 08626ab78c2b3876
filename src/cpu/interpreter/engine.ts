/**
 * The engine's module: MMU, support functions, the interpreter's loop with the handlers that
 * deserve a place in it, and how further handlers are added while it runs.
 *
 * The loop keeps the record of the current instruction in a local. A handler ends by going to the
 * next record, or to the record of a jump's target; there instructions are counted against the
 * budget and the doorbell is looked at. Handlers outside the loop are functions in a table, made
 * when the first instruction of their shape is decoded.
 */
import {
  call, callIndirect, globalGet, i32, i64, select, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { ModuleBuilder, type FunctionReference } from '../../wasm/module.ts'
import type { Instruction } from '../../isa/operand.ts'
import { CR4, Vector } from '../../abi/x86/control.ts'
import { Stop } from '../core-memory.ts'
import { allMasked, buildFastFloat } from '../fpu/fast-float.ts'
import { buildMmu, exportMmu, type MmuFunctions } from '../mmu/mmu.ts'
import { CpuContext } from '../state.ts'
import { emitHandler, functionExits } from './handlers.ts'
import { CORE, MACHINE, type EngineParts, type InstructionShape } from './parts.ts'
import { floatOps } from './reading.ts'
import { field, RECORD_BYTES, RECORD_SHIFT, Special } from './record.ts'
import { buildSupport, controlAt, loadControl32, loadControl64 } from './support.ts'
import { LocalPool } from './value.ts'

const Z = i32.const(0)
const STOPPED_AT_RECORD = -1

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
  /** Returns 1 when an unmasked exception must be raised. */
  floatCheck(): number
  pure(number: number): void
  codeWritten(machine: number, size: number): void
}

export const ServiceResult = {
  /** Go on with the next record. */
  NEXT: 0,
  /** Go on at the context's rip. */
  JUMP: 1,
  /** Leave the loop; the context's rip is right. */
  LEAVE: 2,
} as const

/** An instruction whose handler is part of the loop. */
export interface InlineHandler {
  readonly instruction: Instruction
  readonly shape: InstructionShape
}

export interface MemorySizes {
  readonly corePages: number
  readonly machinePages: number
}

/** The names under which parts are exported to later modules, with their types. */
const partSignatures = {
  load8: { parameters: ['i64', 'i32'], result: 'i64' },
  load16: { parameters: ['i64', 'i32'], result: 'i64' },
  load32: { parameters: ['i64', 'i32'], result: 'i64' },
  load64: { parameters: ['i64', 'i32'], result: 'i64' },
  load128: { parameters: ['i64', 'i32'], result: 'v128' },
  store8: { parameters: ['i64', 'i64', 'i32'], result: 'i32' },
  store16: { parameters: ['i64', 'i64', 'i32'], result: 'i32' },
  store32: { parameters: ['i64', 'i64', 'i32'], result: 'i32' },
  store64: { parameters: ['i64', 'i64', 'i32'], result: 'i32' },
  store128: { parameters: ['i64', 'v128', 'i32'], result: 'i32' },
  probeWrite: { parameters: ['i64', 'i32', 'i32'], result: 'i64' },
  segmentLinear: { parameters: ['i32', 'i64', 'i32', 'i32'], result: 'i64' },
  lookUp: { parameters: ['i64'], result: 'i32' },
  jump: { parameters: ['i64'], result: 'i32' },
  resolve: { parameters: ['i32'], result: 'i32' },
  float: { parameters: ['i32', 'i64', 'i64'], result: 'i64' },
  floatCheck: { parameters: [] },
  pure: { parameters: ['i32'] },
  raise: { parameters: ['i32', 'i32', 'i32'] },
  divideQuotient: { parameters: ['i64', 'i64', 'i64'], result: 'i64' },
  divideRemainder: { parameters: ['i64', 'i64', 'i64'], result: 'i64' },
  mulHighUnsigned: { parameters: ['i64', 'i64'], result: 'i64' },
  mulHighSigned: { parameters: ['i64', 'i64'], result: 'i64' },
  mmxCheck: { parameters: [] },
  enterMmx: { parameters: [] },
  sseCheck: { parameters: [] },
} as const

type PartName = keyof typeof partSignatures
const globalParts = ['readTable', 'writeTable', 'access', 'stopped'] as const

function importMemories(module: ModuleBuilder, sizes: MemorySizes): void {
  module.importMemory('env', 'core', { initialPages: sizes.corePages })
  module.importMemory('env', 'machine', {
    initialPages: sizes.machinePages, maximumPages: sizes.machinePages, shared: true,
  })
}

/** Builds the engine's module. `doorbell` is the machine address of the core's doorbell word. */
export function buildEngine(
  sizes: MemorySizes, doorbell: number, inline: readonly InlineHandler[],
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder()
  importMemories(module, sizes)
  module.importTable('env', 'handlers', 0)
  const decode = module.importFunction('env', 'decode', { parameters: ['i32'], result: 'i32' })
  const decodeAgain = module.importFunction('env', 'decodeAgain',
    { parameters: ['i32'], result: 'i32' })
  const service = module.importFunction('env', 'service', { parameters: ['i32'], result: 'i32' })
  const float = module.importFunction('env', 'float', partSignatures.float)
  const floatPending = module.importFunction('env', 'floatCheck',
    { parameters: [], result: 'i32' })
  const pure = module.importFunction('env', 'pure', partSignatures.pure)
  const codeWritten = module.importFunction('env', 'codeWritten', { parameters: ['i32', 'i32'] })

  const mmu = buildMmu(module, { core: CORE, machine: MACHINE, codeWritten })
  const { load, store } = mmu.slow
  const stopped = mmu.globals.status
  const support = buildSupport(module, { stopped, execTranslate: mmu.execTranslate, decode })
  const parts: EngineParts = {
    ...mmu.globals,
    stopped,
    load8: load[8], load16: load[16], load32: load[32], load64: load[64], load128: load[128],
    store8: store[8], store16: store[16], store32: store[32], store64: store[64],
    store128: store[128],
    probeWrite: mmu.slow.probeWrite,
    ...support,
    float: buildFastFloat(module, floatOps, float),
    pure,
    floatCheck: raiseUnmasked(module, support.raise, floatPending),
  }
  const run = buildLoop(module, parts, { doorbell, inline, service, decodeAgain, mmu })
  for (const name of Object.keys(partSignatures) as PartName[]) {
    module.exportFunction(`part.${name}`, parts[name])
  }
  for (const name of globalParts) module.exportGlobal(`part.${name}`, parts[name])
  exportMmu(module, mmu)
  module.exportFunction('run', run)
  return module.finish()
}

/** Unless all floating-point exceptions are masked, asks `check`, and raises #XM when it says so;
 * #UD while the system has not said that it knows of #XM. */
function raiseUnmasked(
  module: ModuleBuilder, raise: FunctionReference, check: FunctionReference,
): FunctionBuilder {
  const f = module.function({ parameters: [] })
  f.if(allMasked(), () => f.return())
  const known = i32.and(i32.load(CORE, Z, CpuContext.offsets.cr4), i32.const(CR4.OSXMMEXCPT))
  f.if(call(check), () =>
    f.call(raise, select(i32.const(Vector.XM), i32.const(Vector.UD), known), Z, Z))
  return f
}

interface LoopNeeds {
  readonly doorbell: number
  readonly inline: readonly InlineHandler[]
  readonly service: FunctionReference
  readonly decodeAgain: FunctionReference
  readonly mmu: MmuFunctions
}

/** The loop itself: runs from the context's rip until something stops it. */
function buildLoop(module: ModuleBuilder, parts: EngineParts, needs: LoopNeeds): FunctionBuilder {
  const f = module.function({ parameters: [] })
  const record = f.local('i32')
  const next = f.local('i32')
  const start = f.local('i32')
  const budget = f.local('i32')
  const pool = new LocalPool(f)
  const handlerType = module.typeOf({ parameters: ['i32'], result: 'i32' })
  const count = (): Expression => i32.sub(budget,
    i32.shrS(i32.sub(record, start), i32.const(RECORD_SHIFT)))
  const setStop = (stop: number): void =>
    f.store('i32', CORE, Z, i32.const(stop), controlAt('stop'))

  f.set(budget, loadControl32('budget'))
  f.setGlobal(parts.stopped, Z)
  f.set(record, call(parts.jump, i64.load(CORE, Z, CpuContext.offsets.rip)))
  f.block((leave) => {
    f.block((stopAtRecord) => {
      f.loop((jumped) => {
        f.brIf(leave, i32.eqz(record))
        f.set(start, record)
        f.if(i32.leS(budget, Z), () => {
          setStop(Stop.BUDGET)
          f.br(stopAtRecord)
        })
        f.if(i32.load(MACHINE, i32.const(needs.doorbell)), () => {
          setStop(Stop.POLL)
          f.br(stopAtRecord)
        })
        f.loop((again) => {
          const goOn = (): void => {
            f.set(record, i32.add(record, i32.const(RECORD_BYTES)))
            f.br(again)
          }
          const goTo = (target: Expression): void => {
            f.set(next, target)
            f.set(budget, i32.sub(count(), i32.const(1)))
            f.set(record, next)
            f.br(jumped)
          }
          const site = {
            target: f,
            record,
            exits: {
              next: goOn, goTo, stop: () => f.br(stopAtRecord), again: () => goTo(record),
            },
          }
          const special = specialHandlers(f, parts, needs, {
            record, next, goOn, goTo, stopAtRecord, setStop,
            leave: () => {
              f.set(budget, i32.sub(count(), i32.const(1)))
              f.br(leave)
            },
          })
          const handlers = needs.inline.map(({ instruction, shape }) => () =>
            emitHandler(parts, site, pool, instruction, shape))
          f.switch(i32.load16U(CORE, record, field.handler), [...special, ...handlers], () => {
            const index = i32.sub(i32.load16U(CORE, record, field.handler),
              i32.const(special.length + handlers.length))
            f.set(next, callIndirect(handlerType, 'i32', index, record))
            f.if(i32.eq(next, i32.add(record, i32.const(RECORD_BYTES))), goOn)
            f.brIf(stopAtRecord, i32.eq(next, i32.const(STOPPED_AT_RECORD)))
            goTo(next)
          })
        })
      })
    })
    f.store('i32', CORE, Z, record, controlAt('record'))
    f.set(budget, count())
    f.store('i64', CORE, Z, i64.sub(
      i64.add(loadControl64('codePage'), i64.load16U(CORE, record, field.pageOffset)),
      loadControl64('codeBase')), CpuContext.offsets.rip)
  })
  f.store('i32', CORE, Z, budget, controlAt('budget'))
  return f
}

interface SpecialWays {
  readonly record: Local
  readonly next: Local
  readonly goOn: () => void
  readonly goTo: (target: Expression) => void
  readonly leave: () => void
  readonly stopAtRecord: Label
  readonly setStop: (stop: number) => void
}

/** The handlers that Special numbers, in its order. */
function specialHandlers(
  f: FunctionBuilder, parts: EngineParts, needs: LoopNeeds, ways: SpecialWays,
): (() => void)[] {
  const { record, next } = ways
  const here = (): Expression => i64.add(loadControl64('codePage'),
    i64.load16U(CORE, record, field.pageOffset))
  return [
    () => {
      // Not an instruction: it must not count.
      f.set(next, call(parts.lookUp, here()))
      f.set(record, i32.sub(record, i32.const(RECORD_BYTES)))
      ways.goTo(next)
    },
    () => {
      f.set(next, call(needs.service, record))
      f.if(i32.eqz(next), ways.goOn)
      f.if(i32.eq(next, i32.const(ServiceResult.JUMP)), () =>
        ways.goTo(call(parts.jump, i64.load(CORE, Z, CpuContext.offsets.rip))))
      ways.leave()
    },
    () => {
      f.call(parts.raise, i32.load(CORE, record, field.immediate), Z,
        i32.load8U(CORE, record, field.scale))
      f.br(ways.stopAtRecord)
    },
    () => {
      const page = i64.add(loadControl64('codePage'), i64.const(4096))
      f.set(next, i32.wrap(call(needs.mmu.execTranslate, page)))
      f.brIf(ways.stopAtRecord, globalGet(parts.stopped, 'i32'))
      f.if(i32.eq(next, i32.load(CORE, record, field.immediate)), ways.goOn)
      f.set(next, call(needs.decodeAgain, record))
      f.set(record, i32.sub(record, i32.const(RECORD_BYTES)))
      ways.goTo(next)
    },
    () => {
      ways.setStop(Stop.STEP)
      f.br(ways.stopAtRecord)
    },
    () => {
      f.set(next, i32.load(CORE, record, field.link))
      f.set(record, i32.sub(record, i32.const(RECORD_BYTES)))
      ways.goTo(next)
    },
  ].slice(0, Special.FIRST_FREE)
}

/** A module of one handler outside the loop; its export `handler` goes into the table. */
export function buildHandlerModule(
  sizes: MemorySizes, instruction: Instruction, shape: InstructionShape, bakedAt?: number,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder()
  importMemories(module, sizes)
  const functions = Object.fromEntries((Object.keys(partSignatures) as PartName[])
    .map((name) => [name, module.importFunction('engine', `part.${name}`, partSignatures[name])]))
  const globals = Object.fromEntries(globalParts
    .map((name) => [name, module.importGlobal('engine', `part.${name}`, 'i32')]))
  const parts = { ...functions, ...globals } as unknown as EngineParts
  const f = module.function({ parameters: ['i32'], result: 'i32' })
  const record = f.parameters[0]!
  const place = { target: f, record, exits: functionExits(f, record) }
  emitHandler(parts, place, new LocalPool(f), instruction, shape, bakedAt)
  module.exportFunction('handler', f)
  return module.finish()
}
