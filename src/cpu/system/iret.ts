/**
 * IRET in all its forms: real and virtual-8086 mode, legacy protected mode, long mode, and the
 * return to a task (AMD APM 3, IRET).
 */
import { Vector } from '../../abi/x86/control.ts'
import type { Descriptor } from '../../abi/x86/descriptor.ts'
import { CS, DS, ES, FS, GS, RSP, SS } from '../../abi/x86/registers.ts'
import type { Machine } from '../../isa/machine.ts'
import type { Instruction } from '../../isa/operand.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import { flagsOf, RFLAGS, setFlags, systemFlagsOf } from '../state.ts'
import {
  dropInnerSegments, errorOf, fetchDescriptor, isNull, markAccessed, setNullSegment,
  setRealSegment, setSegment, setV86Segment, withinLimit,
} from './descriptors.ts'
import {
  ioplOf, isCanonical, isLongMode, isProtected, isV86, uselessFlags,
} from './mode.ts'
import { checkStack } from './segments.ts'
import { currentStack, popValue, setStackPointer, type Stack, stackWidth } from './stack.ts'
import { switchTask } from './task.ts'

const FREE = RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.TF | RFLAGS.DF
  | RFLAGS.OF | RFLAGS.NT

/** Takes the bits of RFLAGS that code at the present CPL may change. */
export function takeFlags(p: Processor, image: number, size: number, allowed: number): void {
  const c = p.context
  let mask = allowed
  if (size === 16) mask &= 0xffff
  const before = flagsOf(c)
  mask &= ~uselessFlags(c)
  const after = before & ~mask & ~RFLAGS.RF | image & mask
  setFlags(c, after)
  if (after & ~before & RFLAGS.IF) p.interruptsEnabled()
  if ((after ^ before) & (RFLAGS.AC | RFLAGS.TF)) p.modeChanged()
}

/** The bits that POPF and IRET may change at privilege level `cpl` under `iopl`. */
export function changeableFlags(cpl: number, iopl: number): number {
  let mask = FREE | RFLAGS.AC | RFLAGS.ID
  if (cpl <= iopl) mask |= RFLAGS.IF
  if (cpl === 0) mask |= RFLAGS.IOPL
  return mask
}

const iret: SystemService = (m, p, instruction) => {
  const c = p.context
  const size = instruction.operandSize / 8
  if (!isProtected(c)) iretReal(p, size, false)
  else if (isV86(c)) iretV86(p, size)
  else if (systemFlagsOf(c) & RFLAGS.NT) iretTask(p)
  else iretProtected(m, p, instruction)
  const wasBlocked = c.nmiBlocked
  c.nmiBlocked = 0
  if (wasBlocked) p.interruptsEnabled()
}

function iretReal(p: Processor, size: number, v86: boolean): void {
  const c = p.context
  const stack = currentStack(c, false)
  const ip = popValue(p, stack, size)
  const selector = Number(popValue(p, stack, size) & 0xffffn)
  const flags = Number(popValue(p, stack, size))
  if (ip > BigInt(c.segments.item(CS).limit)) p.fault(Vector.GP, 0)
  setStackPointer(c, stack.width, stack.pointer)
  if (v86) setV86Segment(c, CS, selector)
  else setRealSegment(c, CS, selector)
  c.rip = ip
  let mask = FREE | RFLAGS.IF | RFLAGS.AC | RFLAGS.ID | RFLAGS.RF
  if (!v86) mask |= RFLAGS.IOPL
  takeFlags(p, flags, size * 8, mask)
  p.modeChanged()
}

function iretV86(p: Processor, size: number): void {
  if (ioplOf(p.context) < 3) p.fault(Vector.GP, 0)
  iretReal(p, size, true)
}

/** The task that this one was called from; long mode has no tasks. */
function iretTask(p: Processor): void {
  const c = p.context
  if (isLongMode(c)) p.fault(Vector.GP, 0)
  const link = Number(p.memory.read(c.tr.base, 2, false))
  if (link & 4) p.fault(Vector.TS, errorOf(link))
  switchTask(p, link, 'iret', 0, false)
}

/** What an IRET or far RET found on the stack for CS. */
export function checkReturnCode(p: Processor, selector: number): Descriptor {
  if (isNull(selector)) p.fault(Vector.GP, 0)
  const code = fetchDescriptor(p, selector, Vector.GP)
  const rpl = selector & 3
  if (!code.isCode || rpl < p.context.cpl
    || (code.isConforming ? code.dpl > rpl : code.dpl !== rpl)
    || isLongMode(p.context) && code.long && code.big) {
    p.fault(Vector.GP, errorOf(selector))
  }
  if (!code.present) p.fault(Vector.NP, errorOf(selector))
  return code
}

/** The stack segment of a return: undefined is a null selector, which 64-bit code may have, with
 * any RPL. */
export function checkReturnStack(
  p: Processor, selector: number, cpl: number, to64: boolean,
): Descriptor | undefined {
  if (to64 && isNull(selector) && cpl !== 3) return undefined
  return checkStack(p, selector, cpl, Vector.GP)
}

/** #GP(0) when an instruction pointer cannot be in the code segment. */
export function checkTarget(p: Processor, code: Descriptor, to64: boolean, ip: bigint): void {
  const ok = to64 ? isCanonical(ip) : withinLimit(0, code.limit, ip, 1)
  if (!ok) p.fault(Vector.GP, 0)
}

function iretProtected(m: Machine, p: Processor, instruction: Instruction): void {
  const c = p.context
  const size = instruction.operandSize / 8
  const stack = currentStack(c, m.long)
  const ip = popValue(p, stack, size)
  const selector = Number(popValue(p, stack, size) & 0xffffn)
  const flags = Number(popValue(p, stack, size) & 0xffff_ffffn)
  if (flags & RFLAGS.VM && c.cpl === 0 && size === 4 && !isLongMode(c)) {
    enterV86(p, stack, ip, selector, flags)
    return
  }
  const code = checkReturnCode(p, selector)
  const cpl = selector & 3
  const to64 = isLongMode(c) && code.long
  const outer = cpl > c.cpl
  // 64-bit code always finds a stack pointer in the frame.
  const withStack = m.long || outer
  let newStack: Descriptor | undefined
  let newPointer = stack.pointer
  let stackSelector = 0
  if (withStack) {
    newPointer = popValue(p, stack, size)
    stackSelector = Number(popValue(p, stack, size) & 0xffffn)
    newStack = checkReturnStack(p, stackSelector, cpl, to64)
  }
  checkTarget(p, code, to64, ip)
  markAccessed(p, selector, code)
  if (newStack) markAccessed(p, stackSelector, newStack)

  let mask = changeableFlags(c.cpl, ioplOf(c)) | RFLAGS.RF
  if (c.cpl === 0) mask |= RFLAGS.VIF | RFLAGS.VIP
  takeFlags(p, flags, size * 8, mask)
  setSegment(c, CS, selector, code)
  c.rip = ip
  if (!withStack) {
    setStackPointer(c, stack.width, newPointer)
  } else {
    if (newStack) setSegment(c, SS, stackSelector, newStack)
    else setNullSegment(c, SS, stackSelector)
    setStackPointer(c, to64 ? 64 : stackWidth(c, false), newPointer)
  }
  c.cpl = cpl
  if (outer) dropInnerSegments(c, cpl)
  p.modeChanged()
}

const V86_ORDER = [ES, DS, FS, GS]

function enterV86(
  p: Processor, stack: Stack, ip: bigint, selector: number, flags: number,
): void {
  const c = p.context
  const pointer = popValue(p, stack, 4)
  const stackSelector = Number(popValue(p, stack, 4) & 0xffffn)
  const data = V86_ORDER.map(() => Number(popValue(p, stack, 4) & 0xffffn))
  if (ip > 0xffffn) p.fault(Vector.GP, 0)
  setFlags(c, flags & 0x3f_7fd5 & ~uselessFlags(c) | RFLAGS.FIXED)
  setV86Segment(c, CS, selector)
  setV86Segment(c, SS, stackSelector)
  V86_ORDER.forEach((index, i) => setV86Segment(c, index, data[i]!))
  c.rip = ip
  c.gpr.set(RSP, pointer)
  c.cpl = 3
  if (flags & RFLAGS.IF) p.interruptsEnabled()
  p.modeChanged()
}

export const iretServices: Readonly<Record<string, SystemService>> = { iret }
