/**
 * Software interrupts, the interrupt flag, PUSHF and POPF, waiting (AMD APM 3).
 */
import { Vector } from '../../abi/x86/control.ts'
import { SS } from '../../abi/x86/registers.ts'
import type { Machine } from '../../isa/machine.ts'
import type { Instruction } from '../../isa/operand.ts'
import { attemptDelivery } from '../exceptions/deliver.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import { flagsOf, RFLAGS, Shadow, systemFlagsOf } from '../state.ts'
import { changeableFlags, takeFlags } from './iret.ts'
import { changeSystemFlags, ioplOf, isProtected, isV86, requireCpl0 } from './mode.ts'
import { setStackPointer, stackPointer, stackWidth } from './stack.ts'

function softwareInterrupt(p: Processor, vector: number): void {
  attemptDelivery(p, { vector, kind: 'software', hasErrorCode: false })
}

/** INT n is subject to IOPL in virtual-8086 mode; INT3 and INTO are not. */
const int: SystemService = (m, p) => {
  const c = p.context
  if (isV86(c) && ioplOf(c) < 3) p.fault(Vector.GP, 0)
  softwareInterrupt(p, Number(m.read(0) & 0xffn))
}

const int3: SystemService = (_m, p) => softwareInterrupt(p, Vector.BP)

const into: SystemService = (_m, p) => {
  if (flagsOf(p.context) & RFLAGS.OF) softwareInterrupt(p, Vector.OF)
}

const int1: SystemService = (_m, p) => {
  attemptDelivery(p, { vector: Vector.DB, kind: 'trap', hasErrorCode: false })
}

const undefinedInstruction: SystemService = (_m, p) => p.fault(Vector.UD)

/** #BR unless the signed index lies between the two words in memory. */
const bound: SystemService = (m, p, instruction) => {
  const operand = instruction.operands[1]
  if (operand?.kind !== 'memory') return p.fault(Vector.UD)
  const bits = instruction.operandSize
  const at = m.effectiveAddress(1)
  const index = BigInt.asIntN(bits, m.read(0))
  const lower = BigInt.asIntN(bits, m.load(operand.segment, at, bits / 8))
  const next = BigInt.asUintN(operand.addressWidth, at + BigInt(bits / 8))
  const upper = BigInt.asIntN(bits, m.load(operand.segment, next, bits / 8))
  if (index < lower || index > upper) p.fault(Vector.BR)
}

/** CLI and STI: #GP(0) unless I/O privilege allows them. */
function requireIopl(p: Processor): void {
  const c = p.context
  if (isProtected(c) && c.cpl > ioplOf(c)) p.fault(Vector.GP, 0)
}

const cli: SystemService = (_m, p) => {
  requireIopl(p)
  changeSystemFlags(p.context, RFLAGS.IF)
}

const sti: SystemService = (_m, p) => {
  requireIopl(p)
  const c = p.context
  if (systemFlagsOf(c) & RFLAGS.IF) return
  changeSystemFlags(c, 0, RFLAGS.IF)
  c.interruptShadow = Shadow.STI
  p.interruptsEnabled()
}

function push(m: Machine, p: Processor, instruction: Instruction, value: bigint): void {
  const c = p.context
  const width = stackWidth(c, m.long)
  const size = instruction.operandSize / 8
  const pointer = BigInt.asUintN(width, stackPointer(c, width) - BigInt(size))
  m.store(SS, pointer, size, BigInt.asUintN(size * 8, value))
  setStackPointer(c, width, pointer)
}

const pushf: SystemService = (m, p, instruction) => {
  const c = p.context
  if (isV86(c) && ioplOf(c) < 3) p.fault(Vector.GP, 0)
  push(m, p, instruction, BigInt(flagsOf(c) & ~(RFLAGS.RF | RFLAGS.VM)))
}

const popf: SystemService = (m, p, instruction) => {
  const c = p.context
  if (isV86(c) && ioplOf(c) < 3) p.fault(Vector.GP, 0)
  const width = stackWidth(c, m.long)
  const size = instruction.operandSize / 8
  const pointer = stackPointer(c, width)
  const image = Number(m.load(SS, pointer, size) & 0xffff_ffffn)
  setStackPointer(c, width, pointer + BigInt(size))
  takeFlags(p, image, instruction.operandSize, changeableFlags(c.cpl, ioplOf(c)))
}

const hlt: SystemService = (_m, p) => {
  requireCpl0(p)
  p.context.halted = 1
  p.requestExit('halt', 0, 0, 0n)
}

/** PAUSEs are not left for at once: most wait for a short while only. */
const PAUSES = 64

const pause: SystemService = (_m, p) => {
  p.control.pausesLeft = PAUSES
  p.requestExit('pause', 0, 0, 0n)
}

const hypercall: SystemService = (_m, p) => p.requestExit('hypercall', 0, 0, 0n)

export const interruptServices: Readonly<Record<string, SystemService>> = {
  int, int3, into, int1, undefined: undefinedInstruction, bound, cli, sti, pushf, popf, hlt, pause,
  hypercall,
}
