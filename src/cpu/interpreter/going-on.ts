/**
 * From one compiled region to the next: the function that regions end with.
 *
 * The next region is entered in place of the one that ends, without a way through the
 * interpreter's loop, as long as something is left of what the first was given: between slices of
 * the budget the loop looks at the doorbell.
 *
 * Mostly the instruction TLB and the table of links know the way (region-links.ts). Else the record
 * says it, as to the loop, and is counted as one that was jumped to; then there is a link for as
 * often as it may be jumped to until it is hot.
 */
import { call, i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { CODE_MODE_FLAT32, CODE_MODE_LONG } from '../core-memory.ts'
import { emitExecPage, machineIn } from '../mmu/exec-tlb.ts'
import { emitCodePage, loadControl32, Z } from './core-fields.ts'
import { emitHeat, emitSetHeat, type Heat } from './heat.ts'
import { CORE, partSignatures } from './parts.ts'
import { field, Special } from './record.ts'
import {
  emitLink, emitUseLink, isUsedUp, linkedEntry, linkedRegion, linkOf,
} from './region-links.ts'

const REGION = { parameters: ['i32'], result: 'i32' } as const
/** How often the link of a record serves that is not counted. */
const WITHOUT_END = 0x7fff_ffff

/** Builds the parts by which regions go on. */
export function buildGoOn(
  module: ModuleBuilder, lookUp: FunctionReference, heat: Heat,
): Record<'goOn' | 'goOnFlat32', FunctionBuilder> {
  return {
    goOn: buildGoOnIn(module, CODE_MODE_LONG, lookUp, heat),
    goOnFlat32: buildGoOnIn(module, CODE_MODE_FLAT32, lookUp, heat),
  }
}

/** For the regions of a mode. */
function buildGoOnIn(
  module: ModuleBuilder, codeMode: number, lookUp: FunctionReference, heat: Heat,
): FunctionBuilder {
  const byRecord = buildByRecord(module, codeMode, lookUp, heat)
  const f = module.function(partSignatures.goOn)
  const [linear] = f.parameters as [Local]
  const page = f.local('i64')
  const machinePage = f.local('i32')
  const machine = f.local('i32')
  const place = f.local('i32')
  const left = f.local('i32')
  // Addresses of 32-bit code wrap.
  if (codeMode !== CODE_MODE_LONG) f.set(linear, i64.extendU(i32.wrap(linear)))
  f.block((missed) => {
    f.set(machinePage, emitExecPage(f, CORE, linear, { entry: place, missed }))
    f.set(machine, machineIn(machinePage, linear))
    f.set(place, linkOf(machine, codeMode))
    f.brUnlikely(missed, i32.leS(loadControl32('budget'), Z))
    f.brUnlikely(missed, i32.ne(loadControl32('codeMode'), i32.const(codeMode)))
    emitUseLink(f, place, machine, left, missed)
    f.set(page, i64.and(linear, i64.const(-4096n)))
    emitCodePage(f, page, machinePage)
    f.returnCallIndirect(module.typeOf(REGION), linkedRegion(place), linkedEntry(place))
  })
  f.returnCall(byRecord, linear)
  return f
}

/** The same when no link is known. */
function buildByRecord(
  module: ModuleBuilder, codeMode: number, lookUp: FunctionReference, heat: Heat,
): FunctionBuilder {
  const f = module.function(partSignatures.goOn)
  const [linear] = f.parameters as [Local]
  const record = f.local('i32')
  const machine = f.local('i32')
  const link = f.local('i32')
  const count = f.local('i32')
  const region = (): Expression => i32.load(CORE, record, field.link)
  const entry = (): Expression => i32.load(CORE, record, field.immediate)
  f.set(record, call(lookUp, linear))
  f.block((leave) => {
    f.brIf(leave, i32.eqz(record))
    const handler = i32.load16U(CORE, record, field.handler)
    f.brIf(leave, i32.ne(handler, i32.const(Special.REGION)))
    f.brIf(leave, i32.leS(loadControl32('budget'), Z))
    f.set(machine, machineIn(loadControl32('codeMachinePage'), linear))
    f.set(link, linkOf(machine, codeMode))
    f.if(isUsedUp(link, machine), () => emitSetHeat(f, record, heat.heatLimit - 1))
    // What is hot may be entered by another way now.
    emitHeat(f, record, count, heat, () => f.br(leave))
    const limit = i32.const(heat.heatLimit)
    emitLink(f, link, {
      machine, region: region(), entry: entry(),
      left: select(i32.sub(limit, count), i32.const(WITHOUT_END), i32.ltU(count, limit)),
    })
    f.returnCallIndirect(module.typeOf(REGION), region(), entry())
  })
  f.return(record)
  return f
}
