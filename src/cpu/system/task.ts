/**
 * Hardware task switches, of 16-bit and 32-bit task state segments (AMD APM 2, 12.3; SDM 3A, 7.3).
 *
 * Everything about the new task that can be checked before the switch is checked in the old one.
 * Faults in loading its segments belong to the new task, whose state is then in place; those of
 * ES, DS, FS, GS and LDT leave that segment null.
 */
import { CR0, DR6_BT, Vector } from '../../abi/x86/control.ts'
import { type Descriptor, SystemType } from '../../abi/x86/descriptor.ts'
import { CS, DS, ES, FS, GS, SS } from '../../abi/x86/registers.ts'
import type { Processor } from '../interfaces.ts'
import { flagsOf, RFLAGS, setFlags } from '../state.ts'
import {
  errorOf, fetchDescriptor, findDescriptor, isNull, markAccessed, markBusy, SELECTOR_TI,
  setNullSegment, setSegment, setV86Segment,
} from './descriptors.ts'
import { pcidOf, uselessFlags } from './mode.ts'
import { checkStack, loadSegment } from './segments.ts'

export type TaskSwitch = 'call' | 'jmp' | 'iret'

/** Where a task state segment keeps what, by its kind. */
interface TssFormat {
  readonly size: number
  readonly minimum: number
  readonly cr3: number
  readonly ip: number
  readonly flags: number
  readonly registers: number
  readonly segments: number
  readonly ldt: number
  readonly segmentCount: number
  readonly segmentStep: number
}

const FORMAT32: TssFormat = {
  size: 4, minimum: 103, cr3: 28, ip: 32, flags: 36, registers: 40, segments: 72, ldt: 96,
  segmentCount: 6, segmentStep: 4,
}
const FORMAT16: TssFormat = {
  size: 2, minimum: 43, cr3: -1, ip: 14, flags: 16, registers: 18, segments: 34, ldt: 42,
  segmentCount: 4, segmentStep: 2,
}
const SEGMENT_ORDER = [ES, CS, SS, DS, FS, GS]

function formatOf(type: number): TssFormat {
  return type & 8 ? FORMAT32 : FORMAT16
}

function findTask(p: Processor, selector: number, how: TaskSwitch, ext: number): Descriptor {
  const vector = how === 'iret' ? Vector.TS : Vector.GP
  if (isNull(selector) || selector & SELECTOR_TI) p.fault(vector, errorOf(selector, ext))
  const tss = fetchDescriptor(p, selector, vector, ext)
  const wanted = how === 'iret' ? SystemType.TSS16_BUSY : SystemType.TSS16
  if (!tss.isSystem || (tss.type & 7) !== wanted) p.fault(vector, errorOf(selector, ext))
  if (!tss.present) p.fault(Vector.NP, errorOf(selector, ext))
  if (tss.limit < formatOf(tss.type).minimum) p.fault(Vector.TS, errorOf(selector, ext))
  return tss
}

function at(base: bigint, offset: number): bigint {
  return BigInt.asUintN(32, base + BigInt(offset))
}

/** Saves the registers in the task that is left. */
function saveTask(p: Processor, how: TaskSwitch): void {
  const c = p.context
  const { base } = c.tr
  const format = formatOf(c.tr.attributes)
  const write = (offset: number, value: bigint, size = format.size): void =>
    p.memory.write(at(base, offset), size, BigInt.asUintN(size * 8, value), false)
  let flags = flagsOf(c)
  if (how === 'iret') flags &= ~RFLAGS.NT
  p.memory.probeWrite(at(base, format.ip), format.minimum + 1 - format.ip, false)
  write(format.ip, c.rip)
  write(format.flags, BigInt(flags))
  for (let i = 0; i < 8; i++) write(format.registers + i * format.size, c.gpr.get(i))
  for (let i = 0; i < format.segmentCount; i++) {
    const selector = BigInt(c.segments.item(SEGMENT_ORDER[i]!).selector)
    write(format.segments + i * format.segmentStep, selector, 2)
  }
}

interface TaskState {
  readonly cr3: bigint
  readonly ip: bigint
  readonly flags: number
  readonly registers: readonly bigint[]
  readonly segments: readonly number[]
  readonly ldt: number
}

function readTask(p: Processor, base: bigint, format: TssFormat): TaskState {
  const read = (offset: number, size = format.size): bigint =>
    p.memory.read(at(base, offset), size, false)
  const cr3 = format.cr3 < 0 ? p.context.cr3 : read(format.cr3)
  const ip = read(format.ip)
  const flags = Number(read(format.flags))
  const registers: bigint[] = []
  const segments: number[] = []
  for (let i = 0; i < 8; i++) registers.push(read(format.registers + i * format.size))
  for (let i = 0; i < format.segmentCount; i++) {
    segments.push(Number(read(format.segments + i * format.segmentStep, 2)))
  }
  while (segments.length < 6) segments.push(0)
  return { cr3, ip, flags, registers, segments, ldt: Number(read(format.ldt, 2)) }
}

/** Switches to the task of `selector`; `external` when an event rather than code asks for it. */
export function switchTask(
  p: Processor, selector: number, how: TaskSwitch, ext: number, event: boolean,
): void {
  const c = p.context
  const tss = findTask(p, selector, how, event ? ext : 0)
  const format = formatOf(tss.type)
  const next = readTask(p, tss.base, format)
  const old = c.tr.selector
  p.memory.probeWrite(at(tss.base, 0), 2, false)
  saveTask(p, how)
  if (how !== 'call') markBusy(p, old, false)
  if (how === 'call') p.memory.write(at(tss.base, 0), 2, BigInt(old), false)
  if (how !== 'iret') markBusy(p, selector, true)

  c.tr.selector = selector
  c.tr.base = tss.base
  c.tr.limit = tss.limit
  c.tr.attributes = tss.attributes | 2
  c.cr0 |= BigInt(CR0.TS)
  c.dr.set(7, c.dr.get(7) & ~0x155n)
  const wide = format === FORMAT32
  if (wide && Number(c.cr0) & CR0.PG && c.cr3 !== next.cr3) {
    c.cr3 = next.cr3
    p.memory.switchSpace(pcidOf(c), false)
  }
  const trap = wide ? Number(p.memory.read(at(tss.base, 100), 2, false)) & 1 : 0
  if (trap) c.pendingDebug |= DR6_BT
  const link = how === 'call' ? RFLAGS.NT : 0
  const mask = (wide ? 0x3f_7fd5 : 0x7fd5) & ~uselessFlags(c)
  setFlags(c, (next.flags | link) & mask | RFLAGS.FIXED)
  c.rip = next.ip
  p.control.taskSwitched = 1
  next.registers.forEach((value, i) =>
    c.gpr.set(i, wide ? value : c.gpr.get(i) & 0xffff_0000n | value))
  loadSegments(p, next)
}

function loadSegments(p: Processor, next: TaskState): void {
  const c = p.context
  const v86 = (next.flags & RFLAGS.VM) !== 0
  for (const index of SEGMENT_ORDER) {
    if (v86) setV86Segment(c, index, next.segments[index]!)
    else setNullSegment(c, index, next.segments[index]!)
  }
  c.cpl = v86 ? 3 : next.segments[CS]! & 3
  p.modeChanged()
  loadTaskLdt(p, next.ldt)
  if (v86) return

  const selector = next.segments[CS]!
  const code = isNull(selector) ? undefined : findDescriptor(p, selector)
  if (!code || !code.isCode
    || (code.isConforming ? code.dpl > c.cpl : code.dpl !== c.cpl)) {
    return p.fault(Vector.TS, errorOf(selector))
  }
  if (!code.present) p.fault(Vector.NP, errorOf(selector))
  const stack = checkStack(p, next.segments[SS]!, c.cpl, Vector.TS)
  markAccessed(p, selector, code)
  markAccessed(p, next.segments[SS]!, stack)
  setSegment(c, CS, selector, code)
  setSegment(c, SS, next.segments[SS]!, stack)
  p.modeChanged()
  for (const index of [ES, DS, FS, GS]) {
    loadSegment(p, false, index, next.segments[index]!, Vector.TS)
  }
  if (c.rip > BigInt(c.segments.item(CS).limit)) p.fault(Vector.GP, 0)
}

function loadTaskLdt(p: Processor, selector: number): void {
  const c = p.context
  c.ldtr.selector = selector
  c.ldtr.attributes = 0
  c.ldtr.limit = 0
  c.ldtr.base = 0n
  if (isNull(selector)) return
  const ldt = selector & SELECTOR_TI ? undefined : findDescriptor(p, selector)
  if (!ldt || !ldt.isSystem || ldt.type !== SystemType.LDT || !ldt.present) {
    return p.fault(Vector.TS, errorOf(selector))
  }
  c.ldtr.base = ldt.base
  c.ldtr.limit = ldt.limit
  c.ldtr.attributes = ldt.attributes
}
