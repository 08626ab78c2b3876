/**
 * Interrupts and exceptions in legacy protected mode: interrupt, trap and task gates, also out of
 * virtual-8086 mode (AMD APM 2, 8.7; SDM 2A, INT n).
 */
import { Vector } from '../../abi/x86/control.ts'
import { Descriptor, SystemType } from '../../abi/x86/descriptor.ts'
import { CS, DS, ES, FS, GS, SS } from '../../abi/x86/registers.ts'
import type { Processor } from '../interfaces.ts'
import { RFLAGS } from '../state.ts'
import {
  errorOf, fetchDescriptor, isNull, markAccessed, setNullSegment, setSegment, withinLimit,
} from '../system/descriptors.ts'
import { changeSystemFlags, isV86 } from '../system/mode.ts'
import { currentStack, pushFrame, setStackPointer } from '../system/stack.ts'
import { switchTask } from '../system/task.ts'
import { innerStack } from '../system/tss.ts'
import { type CpuEvent, entryError, externalBit, hasCode, pushedFlags } from './event.ts'

const GATES = 1 << SystemType.TASK_GATE | 1 << SystemType.INTERRUPT16 | 1 << SystemType.TRAP16
  | 1 << SystemType.INTERRUPT32 | 1 << SystemType.TRAP32

function fetchGate(p: Processor, event: CpuEvent): Descriptor {
  const { idtr, cpl } = p.context
  const error = entryError(event)
  const offset = event.vector * 8
  if (offset + 7 > idtr.limit) p.fault(Vector.GP, error)
  const at = BigInt.asUintN(32, idtr.base + BigInt(offset))
  const gate = new Descriptor(p.memory.read(at, 8, false))
  if (!gate.isSystem || !(GATES >> gate.type & 1)) p.fault(Vector.GP, error)
  if (event.kind === 'software' && gate.dpl < cpl) p.fault(Vector.GP, error)
  if (!gate.present) p.fault(Vector.NP, error)
  return gate
}

function fetchTarget(p: Processor, selector: number, ext: number): Descriptor {
  if (isNull(selector)) p.fault(Vector.GP, ext)
  const code = fetchDescriptor(p, selector, Vector.GP, ext)
  if (!code.isCode || code.dpl > p.context.cpl) p.fault(Vector.GP, errorOf(selector, ext))
  if (!code.present) p.fault(Vector.NP, errorOf(selector, ext))
  return code
}

export function deliverProtected(p: Processor, event: CpuEvent): void {
  const ext = externalBit(event)
  const gate = fetchGate(p, event)
  if (gate.type === SystemType.TASK_GATE) {
    deliverToTask(p, event, gate.gateSelector, ext)
    return
  }
  const selector = gate.gateSelector
  const code = fetchTarget(p, selector, ext)
  const wide = (gate.type & 8) !== 0
  const target = wide ? gate.gateOffset : gate.gateOffset & 0xffffn
  const inner = !code.isConforming && code.dpl < p.context.cpl
  if (isV86(p.context) && !(inner && code.dpl === 0)) p.fault(Vector.GP, errorOf(selector, ext))
  if (!withinLimit(0, code.limit, target, 1)) p.fault(Vector.GP, ext)

  markAccessed(p, selector, code)
  if (inner) enterInner(p, event, code, wide)
  else enterSame(p, event, wide)

  const c = p.context
  const cpl = inner ? code.dpl : c.cpl
  setSegment(c, CS, selector & ~3 | cpl, code)
  c.cpl = cpl
  c.rip = target
  const masks = gate.type & 1 ? 0 : RFLAGS.IF
  changeSystemFlags(c, RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM | masks)
  p.modeChanged()
}

function returnFrame(p: Processor, event: CpuEvent): bigint[] {
  const c = p.context
  const frame = [BigInt(pushedFlags(p, event)), BigInt(c.segments.item(CS).selector), c.rip]
  if (hasCode(event)) frame.push(BigInt(event.errorCode ?? 0))
  return frame
}

function enterSame(p: Processor, event: CpuEvent, wide: boolean): void {
  const c = p.context
  const stack = currentStack(c, false, externalBit(event))
  pushFrame(p, stack, wide ? 4 : 2, returnFrame(p, event))
  setStackPointer(c, stack.width, stack.pointer)
}

const V86_SAVED = [GS, FS, DS, ES]

function enterInner(p: Processor, event: CpuEvent, code: Descriptor, wide: boolean): void {
  const c = p.context
  const v86 = isV86(c)
  const { selector, stack } = innerStack(p, code.dpl, externalBit(event))
  const descriptor = fetchDescriptor(p, selector, Vector.TS, externalBit(event))
  const frame: bigint[] = []
  if (v86) for (const index of V86_SAVED) frame.push(BigInt(c.segments.item(index).selector))
  frame.push(BigInt(c.segments.item(SS).selector), c.gpr.get(4), ...returnFrame(p, event))
  markAccessed(p, selector, descriptor)
  pushFrame(p, stack, wide ? 4 : 2, frame)
  if (v86) for (const index of V86_SAVED) setNullSegment(c, index, 0)
  setSegment(c, SS, selector, descriptor)
  setStackPointer(c, stack.width, stack.pointer)
}

/** Error codes go to the new task's stack. */
function deliverToTask(p: Processor, event: CpuEvent, selector: number, ext: number): void {
  switchTask(p, selector, 'call', ext, true)
  if (!hasCode(event)) return
  const c = p.context
  const stack = currentStack(c, false, ext)
  const wide = (c.tr.attributes & 8) !== 0
  pushFrame(p, stack, wide ? 4 : 2, [BigInt(event.errorCode ?? 0)])
  setStackPointer(c, stack.width, stack.pointer)
}
