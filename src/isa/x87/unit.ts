/**
 * The x87 register stack, its status word and its exceptions (AMD APM 1, 6.2 and 6.8; Intel SDM 1,
 * 8.1 to 8.6).
 *
 * An instruction that finds an unmasked invalid operand, denormal or division by zero leaves its
 * destination and the stack as they were; the exception is raised by the next waiting instruction.
 * With CR0.NE clear a processor would pull FERR# instead of raising #MF; here it is #MF always.
 */
import { CR0, Vector } from '../../abi/x86/control.ts'
import { BEFORE_COMPUTING, INVALID } from '../float/round.ts'
import type { Machine, Service, X87State } from '../machine.ts'
import type { Instruction, MemoryOperand } from '../operand.ts'
import { INDEFINITE, extended, outcome, resetOutcome, type Extended } from './extended.ts'

export const C0 = 1 << 8
export const C1 = 1 << 9
export const C2 = 1 << 10
export const C3 = 1 << 14
const STACK_FAULT = 1 << 6
const SUMMARY = 1 << 7
const BUSY = 1 << 15
const EXCEPTIONS = 0x3f

/** What a service does once it may use the unit. */
export type Body = (m: Machine, instruction: Instruction) => void

/** #NM when the unit is switched off; #MF when an exception waits for a waiting instruction. */
export function enterUnit(m: Machine, waiting: boolean): void {
  if (m.cr0 & (CR0.EM | CR0.TS)) m.fault(Vector.NM)
  if (waiting && m.x87.statusWord & SUMMARY) m.fault(Vector.MF)
}

/** WAIT heeds CR0.TS only with CR0.MP. */
export function wait(m: Machine): void {
  if ((m.cr0 & (CR0.MP | CR0.TS)) === (CR0.MP | CR0.TS)) m.fault(Vector.NM)
  if (m.x87.statusWord & SUMMARY) m.fault(Vector.MF)
}

/** An instruction that computes: it is remembered as the last one, unless it faults. */
export function computing(body: Body): Service {
  return (m, instruction) => {
    enterUnit(m, true)
    resetOutcome()
    const address = addressOf(m, instruction)
    body(m, instruction)
    remember(m, instruction, address)
  }
}

/** An instruction that only moves control state. */
export function controlling(body: Body, waiting: boolean): Service {
  return (m, instruction) => {
    enterUnit(m, waiting)
    body(m, instruction)
  }
}

function addressOf(m: Machine, instruction: Instruction): bigint | undefined {
  return instruction.operands[0]?.kind === 'memory' ? m.effectiveAddress(0) : undefined
}

const FIRST_OPCODE = 0xd8

function remember(m: Machine, instruction: Instruction, address: bigint | undefined): void {
  const { x87 } = m
  x87.lastIp = m.ip
  x87.lastCs = m.selector(1)
  x87.lastOpcode = opcodeOf(instruction)
  const memory = instruction.operands[0]
  if (address === undefined || memory?.kind !== 'memory') return
  x87.lastDp = address
  x87.lastDs = m.selector(memory.segment)
}

/** The low three bits of the opcode and the ModRM byte. */
export function opcodeOf({ row, modrm, operands }: Instruction): number {
  const [opcode = '', second = ''] = row.pattern.split(' ')
  const high = (parseInt(opcode, 16) - FIRST_OPCODE & 7) << 8
  if (modrm !== undefined) return high | modrm
  if (second.startsWith('/')) return high | Number(second[1]) << 3
  const stack = operands.find((operand) => operand.kind === 'st' && operand.index !== 0)
  return high | parseInt(second, 16) + (stack?.kind === 'st' ? stack.index : 0)
}

export function topOf(m: Machine): number {
  return m.x87.statusWord >> 11 & 7
}

function setTop(m: Machine, top: number): void {
  m.x87.statusWord = m.x87.statusWord & ~0x3800 | (top & 7) << 11
}

/** The physical number of ST(i). */
export function physical(m: Machine, i: number): number {
  return topOf(m) + i & 7
}

export function isEmpty(m: Machine, i: number): boolean {
  return (m.x87.tags >> physical(m, i) & 1) === 0
}

export function get(m: Machine, i: number): Extended {
  const index = physical(m, i)
  return extended(m.x87.signExponent(index), m.x87.significand(index))
}

export function set(m: Machine, i: number, value: Extended): void {
  const index = physical(m, i)
  m.x87.setRegister(index, value.signExponent, value.significand)
  m.x87.tags |= 1 << index
}

export function free(m: Machine, i: number): void {
  m.x87.tags &= ~(1 << physical(m, i))
}

export function pop(m: Machine): void {
  free(m, 0)
  setTop(m, topOf(m) + 1)
}

export function rotate(m: Machine, by: number): void {
  setTop(m, topOf(m) + by)
}

export function setConditions(m: Machine, mask: number, bits: number): void {
  m.x87.statusWord = m.x87.statusWord & ~mask | bits
}

/** Recomputes the exception summary after the masks or the flags changed. */
export function summarise(x87: X87State): void {
  const pending = x87.statusWord & ~x87.controlWord & EXCEPTIONS
  x87.statusWord = x87.statusWord & ~(SUMMARY | BUSY) | (pending ? SUMMARY | BUSY : 0)
}

/** Enters exceptions into the status word; returns those that are not masked. */
export function raise(m: Machine, flags: number): number {
  let raised = flags
  const unmasked = ~m.x87.controlWord & EXCEPTIONS
  if (raised & unmasked & BEFORE_COMPUTING) raised &= BEFORE_COMPUTING | STACK_FAULT
  m.x87.statusWord |= raised
  const found = raised & unmasked
  if (found) m.x87.statusWord |= SUMMARY | BUSY
  return found
}

/** Enters what `outcome` holds, and C1; true when the result must be dropped. */
export function settle(m: Machine): boolean {
  const dropped = (raise(m, outcome.flags) & BEFORE_COMPUTING) !== 0
  setConditions(m, C1, outcome.up && !dropped ? C1 : 0)
  return dropped
}

/** An empty register was read: true when the exception is unmasked. */
export function underflow(m: Machine): boolean {
  setConditions(m, C1, 0)
  return raise(m, INVALID | STACK_FAULT) !== 0
}

/** A register that is not empty would be pushed over: true when the exception is unmasked. */
function overflow(m: Machine): boolean {
  setConditions(m, C1, C1)
  return raise(m, INVALID | STACK_FAULT) !== 0
}

/** Makes room for a push, true when there is some; deals with the stack fault when not. */
export function roomToPush(m: Machine): boolean {
  if (isEmpty(m, 7)) return true
  if (!overflow(m)) {
    rotate(m, -1)
    set(m, 0, INDEFINITE)
  }
  return false
}

export function push(m: Machine, value: Extended): void {
  rotate(m, -1)
  set(m, 0, value)
}

/** Whether all these registers hold values. */
export function allFull(m: Machine, ...registers: number[]): boolean {
  return registers.every((i) => !isEmpty(m, i))
}

/** An x87 operand's stack number. */
export function stackIndex(instruction: Instruction, operand: number): number {
  const found = instruction.operands[operand]
  return found?.kind === 'st' ? found.index : 0
}

export function memoryOperand(instruction: Instruction): MemoryOperand | undefined {
  const [first] = instruction.operands
  return first?.kind === 'memory' ? first : undefined
}

/** Accesses `byte` bytes into a memory operand, which is the first. */
export function loadAt(m: Machine, instruction: Instruction, byte: number, size: number): bigint {
  const { segment } = memoryOperand(instruction)!
  return m.load(segment, BigInt.asUintN(64, m.effectiveAddress(0) + BigInt(byte)), size)
}

export function storeAt(
  m: Machine, instruction: Instruction, byte: number, size: number, value: bigint,
): void {
  const { segment } = memoryOperand(instruction)!
  m.store(segment, BigInt.asUintN(64, m.effectiveAddress(0) + BigInt(byte)), size, value)
}

export function probe(m: Machine, instruction: Instruction, size: number): void {
  m.probeWrite(memoryOperand(instruction)!.segment, m.effectiveAddress(0), size)
}
