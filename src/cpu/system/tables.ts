/**
 * Descriptor-table registers and questions about descriptors: LGDT, LLDT, LTR, their stores, LAR,
 * LSL, VERR, VERW, ARPL (AMD APM 3).
 */
import { Vector } from '../../abi/x86/control.ts'
import { type Descriptor, SystemType } from '../../abi/x86/descriptor.ts'
import type { Machine } from '../../isa/machine.ts'
import type { Instruction } from '../../isa/operand.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import type { CpuContextView } from '../state.ts'
import {
  errorOf, findDescriptor, findSystemDescriptor, isNull, markBusy, SELECTOR_TI,
} from './descriptors.ts'
import {
  isCanonical, isLongMode, requireCpl0, requireNoUmip, usesDescriptors,
} from './mode.ts'

/** Address parts of a pseudo-descriptor: the limit, and the base two bytes on. */
function pseudoDescriptor(m: Machine, p: Processor, instruction: Instruction) {
  const operand = instruction.operands[0]
  if (operand?.kind !== 'memory') return p.fault(Vector.UD)
  const at = m.effectiveAddress(0)
  const base = BigInt.asUintN(operand.addressWidth, at + 2n)
  return { segment: operand.segment, at, base, baseSize: m.long ? 8 : 4 }
}

function loadTable(name: 'gdtr' | 'idtr'): SystemService {
  return (m, p, instruction) => {
    requireCpl0(p)
    const from = pseudoDescriptor(m, p, instruction)
    const limit = Number(m.load(from.segment, from.at, 2))
    let base = m.load(from.segment, from.base, from.baseSize)
    if (m.long && !isCanonical(base)) p.fault(Vector.GP, 0)
    if (!m.long && instruction.operandSize === 16) base &= 0xff_ffffn
    p.context[name].limit = limit
    p.context[name].base = base
  }
}

function storeTable(name: 'gdtr' | 'idtr'): SystemService {
  return (m, p, instruction) => {
    requireNoUmip(p)
    const to = pseudoDescriptor(m, p, instruction)
    m.probeWrite(to.segment, to.at, 2)
    m.probeWrite(to.segment, to.base, to.baseSize)
    const { base, limit } = p.context[name]
    m.store(to.segment, to.at, 2, BigInt(limit & 0xffff))
    m.store(to.segment, to.base, to.baseSize, BigInt.asUintN(to.baseSize * 8, base))
  }
}

/** LDT and TSS have no meaning in real and virtual-8086 mode. */
function requireDescriptors(p: Processor): void {
  if (!usesDescriptors(p.context)) p.fault(Vector.UD)
}

const lldt: SystemService = (m, p) => {
  requireDescriptors(p)
  requireCpl0(p)
  const { ldtr } = p.context
  const selector = Number(m.read(0) & 0xffffn)
  if (isNull(selector)) {
    ldtr.selector = selector
    ldtr.base = 0n
    ldtr.limit = 0
    ldtr.attributes = 0
    return
  }
  const ldt = systemDescriptor(p, selector, 1 << SystemType.LDT)
  ldtr.selector = selector
  ldtr.base = ldt.base
  ldtr.limit = ldt.limit
  ldtr.attributes = ldt.attributes
}

const ltr: SystemService = (m, p) => {
  requireDescriptors(p)
  requireCpl0(p)
  const c = p.context
  const selector = Number(m.read(0) & 0xffffn)
  if (isNull(selector)) p.fault(Vector.GP, 0)
  const types = 1 << SystemType.TSS32 | (isLongMode(c) ? 0 : 1 << SystemType.TSS16)
  const tss = systemDescriptor(p, selector, types)
  markBusy(p, selector, true)
  c.tr.selector = selector
  c.tr.base = tss.base
  c.tr.limit = tss.limit
  c.tr.attributes = tss.attributes | 2
}

function systemDescriptor(p: Processor, selector: number, types: number): Descriptor {
  const found = selector & SELECTOR_TI ? undefined : findSystemDescriptor(p, selector)
  if (!found || !found.isSystem || !(types >> found.type & 1)
    || isLongMode(p.context) && !isCanonical(found.base)) {
    return p.fault(Vector.GP, errorOf(selector))
  }
  if (!found.present) p.fault(Vector.NP, errorOf(selector))
  return found
}

const sldt: SystemService = (m, p) => {
  requireDescriptors(p)
  requireNoUmip(p)
  m.write(0, BigInt(p.context.ldtr.selector))
}

const str: SystemService = (m, p) => {
  requireDescriptors(p)
  requireNoUmip(p)
  m.write(0, BigInt(p.context.tr.selector))
}

function setZero(c: CpuContextView, zero: boolean): void {
  c.zf = zero ? 0n : 1n
}

/** Whether code at the present CPL may see a descriptor at all. */
function isVisible(p: Processor, selector: number, descriptor: Descriptor): boolean {
  if (descriptor.isConforming) return true
  return descriptor.dpl >= p.context.cpl && descriptor.dpl >= (selector & 3)
}

function lookUp(p: Processor, selector: number): Descriptor | undefined {
  requireDescriptors(p)
  return isNull(selector) ? undefined : findDescriptor(p, selector)
}

const LAR_TYPES = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12
const LSL_TYPES = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11
const LONG_TYPES = 1 << 2 | 1 << 9 | 1 << 11 | 1 << 12

function question(
  types: number, answer: (descriptor: Descriptor) => bigint,
): SystemService {
  return (m, p) => {
    const selector = Number(m.read(1) & 0xffffn)
    let found = lookUp(p, selector)
    if (found?.isSystem) {
      const allowed = isLongMode(p.context) ? types & LONG_TYPES : types
      found = allowed >> found.type & 1 ? findSystemDescriptor(p, selector) : undefined
    }
    const ok = found !== undefined && isVisible(p, selector, found)
    if (found && ok) m.write(0, answer(found))
    setZero(p.context, ok)
  }
}

const lar = question(LAR_TYPES, (descriptor) => BigInt((descriptor.high & 0x00ff_ff00) >>> 0))
const lsl = question(LSL_TYPES, (descriptor) => BigInt(descriptor.limit))

function verify(test: (descriptor: Descriptor) => boolean): SystemService {
  return (m, p) => {
    const selector = Number(m.read(0) & 0xffffn)
    const found = lookUp(p, selector)
    const ok = found !== undefined && test(found) && isVisible(p, selector, found)
    setZero(p.context, ok)
  }
}

const verr = verify((descriptor) => descriptor.isReadable)
const verw = verify((descriptor) => descriptor.isWritableData)

const arpl: SystemService = (m, p) => {
  requireDescriptors(p)
  const destination = Number(m.read(0) & 0xffffn)
  const source = Number(m.read(1) & 3n)
  const raised = (destination & 3) < source
  if (raised) m.write(0, BigInt(destination & ~3 | source))
  setZero(p.context, raised)
}

export const tableServices: Readonly<Record<string, SystemService>> = {
  lgdt: loadTable('gdtr'), lidt: loadTable('idtr'),
  sgdt: storeTable('gdtr'), sidt: storeTable('idtr'),
  lldt, ltr, sldt, str, lar, lsl, verr, verw, arpl,
}
