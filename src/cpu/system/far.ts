/**
 * Far JMP, CALL and RET: within a level, through call gates, to tasks (AMD APM 2, 4.11; APM 3).
 */
import { Vector } from '../../abi/x86/control.ts'
import { type Descriptor, SystemType } from '../../abi/x86/descriptor.ts'
import { CS, SS } from '../../abi/x86/registers.ts'
import type { Machine } from '../../isa/machine.ts'
import type { Instruction } from '../../isa/operand.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import {
  dropInnerSegments, errorOf, fetchDescriptor, findSystemDescriptor, isNull, markAccessed,
  setNullSegment, setRealSegment, setSegment, setV86Segment,
} from './descriptors.ts'
import { checkReturnCode, checkReturnStack, checkTarget } from './iret.ts'
import { isLongMode, isV86, usesDescriptors } from './mode.ts'
import { readFarPointer } from './segments.ts'
import {
  currentStack, longStack, popValue, pushFrame, setStackPointer, type Stack, stackWidth,
} from './stack.ts'
import { switchTask } from './task.ts'
import { innerStack, longStackPointer } from './tss.ts'

interface FarJump {
  readonly selector: number
  readonly offset: bigint
  /** Bytes of each value that a CALL pushes. */
  readonly size: number
  readonly call: boolean
}

function far(m: Machine, p: Processor, instruction: Instruction, call: boolean): void {
  const { selector, offset } = readFarPointer(m, instruction, 0)
  const jump = { selector, offset, size: instruction.operandSize / 8, call }
  if (!usesDescriptors(p.context)) farReal(p, jump)
  else farProtected(m, p, jump)
  p.modeChanged()
}

function farReal(p: Processor, jump: FarJump): void {
  const c = p.context
  if (jump.offset > BigInt(c.segments.item(CS).limit)) p.fault(Vector.GP, 0)
  if (jump.call) {
    const stack = currentStack(c, false)
    pushFrame(p, stack, jump.size, [BigInt(c.segments.item(CS).selector), c.rip])
    setStackPointer(c, stack.width, stack.pointer)
  }
  if (isV86(c)) setV86Segment(c, CS, jump.selector)
  else setRealSegment(c, CS, jump.selector)
  c.rip = jump.offset
}

function farProtected(m: Machine, p: Processor, jump: FarJump): void {
  const { selector } = jump
  if (isNull(selector)) p.fault(Vector.GP, 0)
  const descriptor = fetchDescriptor(p, selector, Vector.GP)
  if (!descriptor.isSystem) farToCode(m, p, jump, descriptor)
  else farToSystem(m, p, jump, descriptor)
}

function farToCode(m: Machine, p: Processor, jump: FarJump, code: Descriptor): void {
  const c = p.context
  const { selector } = jump
  const allowed = code.isCode && (code.isConforming ? code.dpl <= c.cpl
    : (selector & 3) <= c.cpl && code.dpl === c.cpl)
  const to64 = isLongMode(c) && code.long
  if (!allowed || to64 && code.big) p.fault(Vector.GP, errorOf(selector))
  if (!code.present) p.fault(Vector.NP, errorOf(selector))
  checkTarget(p, code, to64, jump.offset)
  markAccessed(p, selector, code)
  if (jump.call) {
    const stack = currentStack(c, m.long)
    pushFrame(p, stack, jump.size, [BigInt(c.segments.item(CS).selector), c.rip])
    setStackPointer(c, stack.width, stack.pointer)
  }
  setSegment(c, CS, selector & ~3 | c.cpl, code)
  c.rip = jump.offset
}

function farToSystem(m: Machine, p: Processor, jump: FarJump, descriptor: Descriptor): void {
  const c = p.context
  const { selector } = jump
  const { type } = descriptor
  const isGate = type === SystemType.CALL32 || type === SystemType.CALL16
  const isTask = type === SystemType.TASK_GATE || type === SystemType.TSS16
    || type === SystemType.TSS32
  const exists = isLongMode(c) ? type === SystemType.CALL32 : isGate || isTask
  if (!exists || descriptor.dpl < c.cpl || descriptor.dpl < (selector & 3)) {
    p.fault(Vector.GP, errorOf(selector))
  }
  if (!descriptor.present) p.fault(Vector.NP, errorOf(selector))
  if (isGate) throughGate(m, p, jump)
  else {
    const task = type === SystemType.TASK_GATE ? descriptor.gateSelector : selector
    switchTask(p, task, jump.call ? 'call' : 'jmp', 0, false)
  }
}

function throughGate(m: Machine, p: Processor, jump: FarJump): void {
  const c = p.context
  const gate = findSystemDescriptor(p, jump.selector)
    ?? p.fault(Vector.GP, errorOf(jump.selector))
  const selector = gate.gateSelector
  if (isNull(selector)) p.fault(Vector.GP, 0)
  const code = fetchDescriptor(p, selector, Vector.GP)
  const long = isLongMode(c)
  const inner = jump.call && !code.isConforming && code.dpl < c.cpl
  const level = jump.call || code.isConforming ? code.dpl <= c.cpl : code.dpl === c.cpl
  if (!code.isCode || !level || long && (!code.long || code.big)) {
    p.fault(Vector.GP, errorOf(selector))
  }
  if (!code.present) p.fault(Vector.NP, errorOf(selector))
  const target = long || gate.type === SystemType.CALL32 ? gate.gateOffset
    : gate.gateOffset & 0xffffn
  checkTarget(p, code, long, target)
  markAccessed(p, selector, code)

  const cpl = inner ? code.dpl : c.cpl
  const size = long ? 8 : gate.type === SystemType.CALL32 ? 4 : 2
  if (inner) callInner(m, p, gate, cpl, size)
  else if (jump.call) {
    const stack = currentStack(c, long)
    pushFrame(p, stack, size, [BigInt(c.segments.item(CS).selector), c.rip])
    setStackPointer(c, stack.width, stack.pointer)
  }
  setSegment(c, CS, selector & ~3 | cpl, code)
  c.cpl = cpl
  c.rip = target
}

/** A CALL to an inner level: a new stack, the old one's address, parameters, the return address. */
function callInner(m: Machine, p: Processor, gate: Descriptor, cpl: number, size: number): void {
  const c = p.context
  const old = currentStack(c, m.long)
  const frame = [BigInt(c.segments.item(SS).selector), old.pointer]
  const back = [BigInt(c.segments.item(CS).selector), c.rip]
  if (isLongMode(c)) {
    const stack = longStack(longStackPointer(p, cpl, 0), false, 0)
    pushFrame(p, stack, size, [...frame, ...back])
    setNullSegment(c, SS, cpl)
    setStackPointer(c, 64, stack.pointer)
    return
  }
  const parameters: bigint[] = []
  for (let i = 0; i < gate.gateCount; i++) parameters.unshift(popValue(p, old, size))
  const { selector, stack } = innerStack(p, cpl, 0)
  const descriptor = fetchDescriptor(p, selector, Vector.TS)
  markAccessed(p, selector, descriptor)
  pushFrame(p, stack, size, [...frame, ...parameters, ...back])
  setSegment(c, SS, selector, descriptor)
  setStackPointer(c, stack.width, stack.pointer)
}

const retFar: SystemService = (m, p, instruction) => {
  const c = p.context
  const size = instruction.operandSize / 8
  const release = instruction.operands.length > 0 ? m.read(0) & 0xffffn : 0n
  const stack = currentStack(c, m.long)
  const ip = popValue(p, stack, size)
  const selector = Number(popValue(p, stack, size) & 0xffffn)
  if (usesDescriptors(c)) {
    returnProtected(p, { stack, size, ip, selector, release })
  } else {
    if (ip > BigInt(c.segments.item(CS).limit)) p.fault(Vector.GP, 0)
    setStackPointer(c, stack.width, stack.pointer + release)
    if (isV86(c)) setV86Segment(c, CS, selector)
    else setRealSegment(c, CS, selector)
    c.rip = ip
  }
  p.modeChanged()
}

interface FarReturn {
  readonly stack: Stack
  readonly size: number
  readonly ip: bigint
  readonly selector: number
  readonly release: bigint
}

function returnProtected(p: Processor, from: FarReturn): void {
  const c = p.context
  const { stack, size, ip, selector, release } = from
  const code = checkReturnCode(p, selector)
  const to64 = isLongMode(c) && code.long
  const cpl = selector & 3
  checkTarget(p, code, to64, ip)
  stack.pointer = BigInt.asUintN(stack.width, stack.pointer + release)
  if (cpl === c.cpl) {
    markAccessed(p, selector, code)
    setStackPointer(c, stack.width, stack.pointer)
    setSegment(c, CS, selector, code)
    c.rip = ip
    return
  }
  const pointer = popValue(p, stack, size)
  const stackSelector = Number(popValue(p, stack, size) & 0xffffn)
  const newStack = checkReturnStack(p, stackSelector, cpl, to64)
  markAccessed(p, selector, code)
  if (newStack) {
    markAccessed(p, stackSelector, newStack)
    setSegment(c, SS, stackSelector, newStack)
  } else {
    setNullSegment(c, SS, stackSelector)
  }
  setStackPointer(c, to64 ? 64 : stackWidth(c, false), pointer + release)
  setSegment(c, CS, selector, code)
  c.rip = ip
  c.cpl = cpl
  dropInnerSegments(c, cpl)
}

export const farServices: Readonly<Record<string, SystemService>> = {
  'jmp-far': (m, p, instruction) => far(m, p, instruction, false),
  'call-far': (m, p, instruction) => far(m, p, instruction, true),
  'ret-far': retFar,
}
