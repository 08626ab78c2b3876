/**
 * Interrupts and exceptions in real mode: the interrupt vector table (AMD APM 2, 8.6).
 */
import { Vector } from '../../abi/x86/control.ts'
import { CS } from '../../abi/x86/registers.ts'
import type { Processor } from '../interfaces.ts'
import { flagsOf, RFLAGS } from '../state.ts'
import { setRealSegment } from '../system/descriptors.ts'
import { changeSystemFlags } from '../system/mode.ts'
import { currentStack, pushFrame, setStackPointer } from '../system/stack.ts'
import { type CpuEvent, entryError } from './event.ts'

export function deliverReal(p: Processor, event: CpuEvent): void {
  const c = p.context
  if (event.vector * 4 + 3 > c.idtr.limit) p.fault(Vector.GP, entryError(event))
  const at = BigInt.asUintN(32, c.idtr.base + BigInt(event.vector * 4))
  const entry = Number(p.memory.read(at, 4, false))

  const stack = currentStack(c, false)
  pushFrame(p, stack, 2, [
    BigInt(flagsOf(c) & 0xffff), BigInt(c.segments.item(CS).selector), c.rip,
  ])
  setStackPointer(c, stack.width, stack.pointer)
  setRealSegment(c, CS, entry >>> 16)
  c.rip = BigInt(entry & 0xffff)
  changeSystemFlags(c, RFLAGS.IF | RFLAGS.TF | RFLAGS.AC | RFLAGS.RF)
  p.modeChanged()
}
