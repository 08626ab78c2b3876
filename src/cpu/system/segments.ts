/**
 * Loading data and stack segment registers by selector: MOV, POP, LDS and its family, IRET, tasks
 * (AMD APM 2, 4.10; APM 3, MOV).
 */
import { Vector } from '../../abi/x86/control.ts'
import type { Descriptor } from '../../abi/x86/descriptor.ts'
import { SS } from '../../abi/x86/registers.ts'
import type { Machine } from '../../isa/machine.ts'
import type { Instruction } from '../../isa/operand.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import { Shadow } from '../state.ts'
import {
  errorOf, fetchDescriptor, isNull, markAccessed, setNullSegment, setRealSegment, setSegment,
  setV86Segment,
} from './descriptors.ts'
import { isProtected, isV86 } from './mode.ts'
import { setStackPointer, stackPointer, stackWidth } from './stack.ts'

/** Checks a data segment for ES, DS, FS or GS; undefined is the null selector. */
function checkData(
  p: Processor, selector: number, cpl: number, vector: number,
): Descriptor | undefined {
  if (isNull(selector)) return undefined
  const descriptor = fetchDescriptor(p, selector, vector)
  if (!descriptor.isReadable) p.fault(vector, errorOf(selector))
  if (!descriptor.isConforming
    && (descriptor.dpl < (selector & 3) || descriptor.dpl < cpl)) {
    p.fault(vector, errorOf(selector))
  }
  if (!descriptor.present) p.fault(Vector.NP, errorOf(selector))
  return descriptor
}

/** Checks a stack segment for privilege level `cpl`; faults `vector`, or #SS when not present. */
export function checkStack(
  p: Processor, selector: number, cpl: number, vector: number, ext = 0,
): Descriptor {
  if (isNull(selector)) p.fault(vector, ext)
  const descriptor = fetchDescriptor(p, selector, vector, ext)
  if ((selector & 3) !== cpl || descriptor.dpl !== cpl || !descriptor.isWritableData) {
    p.fault(vector, errorOf(selector, ext))
  }
  if (!descriptor.present) p.fault(Vector.SS, errorOf(selector, ext))
  return descriptor
}

/** Loads ES, SS, DS, FS or GS in any mode; faults before it changes anything. */
export function loadSegment(
  p: Processor, long: boolean, index: number, selector: number, vector: number = Vector.GP,
): void {
  const c = p.context
  if (isV86(c)) {
    setV86Segment(c, index, selector)
  } else if (!isProtected(c)) {
    setRealSegment(c, index, selector)
  } else if (index === SS) {
    loadStackSegment(p, long, selector, vector)
  } else {
    const descriptor = checkData(p, selector, c.cpl, vector)
    if (descriptor) {
      markAccessed(p, selector, descriptor)
      setSegment(c, index, selector, descriptor)
    } else {
      setNullSegment(c, index, selector)
    }
  }
  if (!long) p.modeChanged()
}

function loadStackSegment(p: Processor, long: boolean, selector: number, vector: number): void {
  const c = p.context
  // On AMD the RPL of a null selector does not matter.
  if (long && isNull(selector)) {
    if (c.cpl === 3) p.fault(vector, 0)
    setNullSegment(c, SS, selector)
    return
  }
  const descriptor = checkStack(p, selector, c.cpl, vector)
  markAccessed(p, selector, descriptor)
  setSegment(c, SS, selector, descriptor)
}

function segmentIndex(instruction: Instruction, operand: number): number {
  const found = instruction.operands[operand]
  return found?.kind === 'segment' ? found.index : -1
}

const movToSegment: SystemService = (m, p, instruction) => {
  const index = segmentIndex(instruction, 0)
  if (index === 1) p.fault(Vector.UD)
  loadSegment(p, m.long, index, Number(m.read(1) & 0xffffn))
  if (index === SS) p.context.interruptShadow = Shadow.MOV_SS
}

const movFromSegment: SystemService = (m, _p, instruction) => {
  m.write(0, BigInt(m.selector(segmentIndex(instruction, 1))))
}

/** POP of a segment register reads 16 bits but moves the stack pointer by the operand size. */
const popSegment: SystemService = (m, p, instruction) => {
  const c = p.context
  const index = segmentIndex(instruction, 0)
  const width = stackWidth(c, m.long)
  const pointer = stackPointer(c, width)
  const selector = Number(m.load(SS, pointer, 2))
  loadSegment(p, m.long, index, selector)
  setStackPointer(c, width, pointer + BigInt(instruction.operandSize / 8))
  if (index === SS) c.interruptShadow = Shadow.MOV_SS
}

const FAR_SEGMENTS: Readonly<Record<string, number>> = { les: 0, lss: 2, lds: 3, lfs: 4, lgs: 5 }

/** Reads a far pointer from memory: the offset first, then the selector. */
export function readFarPointer(
  m: Machine, instruction: Instruction, operand: number,
): { selector: number, offset: bigint } {
  const found = instruction.operands[operand]
  if (found?.kind === 'far') {
    return { selector: found.selector, offset: BigInt(found.offset) }
  }
  if (found?.kind !== 'memory') return m.fault(Vector.UD)
  const size = instruction.operandSize / 8
  const address = m.effectiveAddress(operand)
  const after = BigInt.asUintN(found.addressWidth, address + BigInt(size))
  const offset = m.load(found.segment, address, size)
  return { offset, selector: Number(m.load(found.segment, after, 2)) }
}

const loadFarPointer: SystemService = (m, p, instruction) => {
  const index = FAR_SEGMENTS[instruction.definition.name]!
  const { selector, offset } = readFarPointer(m, instruction, 1)
  loadSegment(p, m.long, index, selector)
  m.write(0, offset)
}

export const segmentServices: Readonly<Record<string, SystemService>> = {
  'mov-to-segment': movToSegment,
  'mov-from-segment': movFromSegment,
  'pop-segment': popSegment,
  'load-far-pointer': loadFarPointer,
}
