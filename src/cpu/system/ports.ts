/**
 * Port I/O: IN, OUT, INS, OUTS with their permission checks (AMD APM 2, 12.2.4; APM 3).
 *
 * INS and OUTS do one iteration a call; while REP has more to do, the instruction pointer goes back
 * to the instruction.
 */
import { Vector } from '../../abi/x86/control.ts'
import { ES, RCX, RDI, RDX, RSI } from '../../abi/x86/registers.ts'
import type { Machine } from '../../isa/machine.ts'
import type { Instruction } from '../../isa/operand.ts'
import { portHits, Watching } from '../debug.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import { ioplOf, isProtected, isV86 } from './mode.ts'

/** Offset, in a 32-bit or 64-bit TSS, of the word that says where the permission bitmap begins. */
const BITMAP_BASE = 102n

/** #GP(0) unless CPL or the task's permission bitmap allows the ports. */
function checkPorts(p: Processor, port: number, size: number): void {
  const c = p.context
  if (!isProtected(c) || !isV86(c) && c.cpl <= ioplOf(c)) return
  const { tr } = c
  if (!(tr.attributes & 8) || tr.limit < 103) p.fault(Vector.GP, 0)
  const start = Number(p.memory.read(tr.base + BITMAP_BASE, 2, false))
  const byte = start + (port >> 3)
  if (byte + 1 > tr.limit) p.fault(Vector.GP, 0)
  const bits = Number(p.memory.read(tr.base + BigInt(byte), 2, false))
  if (bits >> (port & 7) & (1 << size) - 1) p.fault(Vector.GP, 0)
}

/** Notes breakpoints at ports; the trap comes behind the instruction. */
function watchPorts(p: Processor, port: number, size: number): void {
  const { control, context } = p
  if (control.watching & Watching.PORTS) control.debugHits |= portHits(context, port, size)
}

function portOf(m: Machine, instruction: Instruction, operand: number): number {
  const immediate = instruction.operands[operand]?.kind === 'immediate'
  return Number(m.read(operand) & (immediate ? 0xffn : 0xffffn))
}

function sizeOf(instruction: Instruction, operand: number): number {
  return (instruction.operands[operand]?.width ?? 8) / 8
}

const portIn: SystemService = (m, p, instruction) => {
  const port = portOf(m, instruction, 1)
  const size = sizeOf(instruction, 0)
  checkPorts(p, port, size)
  watchPorts(p, port, size)
  if (p.hasPorts) p.requestExit('in', size, port, 0n)
  else m.write(0, BigInt.asUintN(size * 8, -1n))
}

const portOut: SystemService = (m, p, instruction) => {
  const port = portOf(m, instruction, 0)
  const size = sizeOf(instruction, 1)
  checkPorts(p, port, size)
  watchPorts(p, port, size)
  p.requestExit('out', size, port, m.read(1))
}

/** Moves an index register and counts down; the instruction comes again while REP has more. */
function advance(p: Processor, instruction: Instruction, register: number, size: number): void {
  const c = p.context
  step(p, instruction.addressSize, register, BigInt(c.df ? -size : size))
  if (!instruction.repeat) return
  if (step(p, instruction.addressSize, RCX, -1n)) c.rip -= BigInt(instruction.length)
}

function step(p: Processor, width: number, register: number, by: bigint): boolean {
  const { gpr } = p.context
  const old = gpr.get(register)
  const next = BigInt.asUintN(width, old + by)
  gpr.set(register, width === 16 ? old & ~0xffffn | next : next)
  return next !== 0n
}

function isDone(p: Processor, instruction: Instruction): boolean {
  return instruction.repeat !== 0
    && BigInt.asUintN(instruction.addressSize, p.context.gpr.get(RCX)) === 0n
}

const ins: SystemService = (m, p, instruction) => {
  const size = sizeOf(instruction, 0)
  if (isDone(p, instruction)) return
  const port = Number(p.context.gpr.get(RDX) & 0xffffn)
  checkPorts(p, port, size)
  const at = BigInt.asUintN(instruction.addressSize, p.context.gpr.get(RDI))
  m.probeWrite(ES, at, size)
  m.store(ES, at, size, p.readPort(port, size))
  watchPorts(p, port, size)
  advance(p, instruction, RDI, size)
}

const outs: SystemService = (m, p, instruction) => {
  const size = sizeOf(instruction, 1)
  if (isDone(p, instruction)) return
  const port = Number(p.context.gpr.get(RDX) & 0xffffn)
  checkPorts(p, port, size)
  const at = BigInt.asUintN(instruction.addressSize, p.context.gpr.get(RSI))
  const value = m.load(instruction.segment, at, size)
  watchPorts(p, port, size)
  advance(p, instruction, RSI, size)
  p.requestExit('out', size, port, value)
}

export const portServices: Readonly<Record<string, SystemService>> = {
  in: portIn, out: portOut, ins, outs,
}
