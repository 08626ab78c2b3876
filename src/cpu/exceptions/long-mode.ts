/**
 * Interrupts and exceptions in long mode: 64-bit gates (AMD APM 2, 8.9).
 */
import { Vector } from '../../abi/x86/control.ts'
import { Descriptor, SystemType } from '../../abi/x86/descriptor.ts'
import { CS, RSP, SS } from '../../abi/x86/registers.ts'
import type { Processor } from '../interfaces.ts'
import { RFLAGS } from '../state.ts'
import {
  errorOf, fetchDescriptor, isNull, markAccessed, setNullSegment, setSegment,
} from '../system/descriptors.ts'
import { changeSystemFlags } from '../system/mode.ts'
import { longStack, pushFrame } from '../system/stack.ts'
import { longStackPointer } from '../system/tss.ts'
import {
  type CpuEvent, entryError, externalBit, hasCode, pushedFlags,
} from './event.ts'

function fetchGate(p: Processor, event: CpuEvent): Descriptor {
  const { idtr, cpl } = p.context
  const error = entryError(event)
  const offset = event.vector * 16
  if (offset + 15 > idtr.limit) p.fault(Vector.GP, error)
  const at = idtr.base + BigInt(offset)
  const low = p.memory.read(BigInt.asUintN(64, at), 8, false)
  const high = p.memory.read(BigInt.asUintN(64, at + 8n), 8, false)
  const gate = new Descriptor(low, Number(high & 0xffff_ffffn))
  const interrupt = gate.type === SystemType.INTERRUPT32
  if (!gate.isSystem || !interrupt && gate.type !== SystemType.TRAP32) p.fault(Vector.GP, error)
  if (event.kind === 'software' && gate.dpl < cpl) p.fault(Vector.GP, error)
  if (!gate.present) p.fault(Vector.NP, error)
  return gate
}

function fetchTarget(p: Processor, selector: number, ext: number): Descriptor {
  if (isNull(selector)) p.fault(Vector.GP, ext)
  const code = fetchDescriptor(p, selector, Vector.GP, ext)
  if (!code.isCode || code.dpl > p.context.cpl || !code.long || code.big) {
    p.fault(Vector.GP, errorOf(selector, ext))
  }
  if (!code.present) p.fault(Vector.NP, errorOf(selector, ext))
  return code
}

/** Delivers, or faults with nothing changed but memory below the new stack pointer. */
export function deliverLong(p: Processor, event: CpuEvent): void {
  const c = p.context
  const ext = externalBit(event)
  const gate = fetchGate(p, event)
  const selector = gate.gateSelector
  const code = fetchTarget(p, selector, ext)
  const cpl = code.isConforming ? c.cpl : code.dpl
  const inner = cpl < c.cpl

  let pointer = c.gpr.get(RSP)
  if (gate.gateIst) pointer = longStackPointer(p, gate.gateIst + 3, ext)
  else if (inner) pointer = longStackPointer(p, cpl, ext)
  const stack = longStack(pointer & ~15n, cpl === 3, ext)

  const frame = [
    BigInt(c.segments.item(SS).selector), c.gpr.get(RSP), BigInt(pushedFlags(p, event)),
    BigInt(c.segments.item(CS).selector), c.rip,
  ]
  if (hasCode(event)) frame.push(BigInt(event.errorCode ?? 0))
  markAccessed(p, selector, code)
  pushFrame(p, stack, 8, frame)

  c.gpr.set(RSP, stack.pointer)
  if (inner) setNullSegment(c, SS, cpl)
  setSegment(c, CS, selector & ~3 | cpl, code)
  c.cpl = cpl
  c.rip = gate.gateOffset
  const masks = gate.type === SystemType.INTERRUPT32 ? RFLAGS.IF : 0
  changeSystemFlags(c, RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM | masks)
  p.modeChanged()
}
