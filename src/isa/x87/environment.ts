/**
 * The x87 unit's control state in memory: control and status words, FLDENV, FSTENV, FSAVE, FRSTOR
 * (Intel SDM 1, 8.1.10 with figures 8-9 to 8-12).
 *
 * The layout depends on the operand size and on protection. Virtual-8086 mode, which a service
 * cannot see, is served with the protected layouts.
 */
import { CR0 } from '../../abi/x86/control.ts'
import type { Machine, Service, X87State } from '../machine.ts'
import type { Instruction } from '../operand.ts'
import { extended, kindOf } from './extended.ts'
import {
  controlling, loadAt, physical, probe, set, storeAt, summarise, wait, type Body,
} from './unit.ts'

const INITIAL_CONTROL = 0x37f
const RESERVED_CONTROL = 0x40
const ALL_MASKED = 0x3f
const ES = 1 << 7
const BUSY = 1 << 15
const EXCEPTION_BITS = 0xff

/** Control words read with bit 6 set and bits 7 and 13 to 15 clear. */
export function setControlWord(x87: X87State, value: number): void {
  x87.controlWord = value & 0x1f3f | RESERVED_CONTROL
  summarise(x87)
}

function initialise(m: Machine): void {
  const { x87 } = m
  x87.controlWord = INITIAL_CONTROL
  x87.statusWord = 0
  x87.tags = 0
  x87.lastOpcode = 0
  x87.lastIp = 0n
  x87.lastDp = 0n
  x87.lastCs = 0
  x87.lastDs = 0
}

const VALID = 0
const ZERO = 1
const SPECIAL = 2
const EMPTY = 3

/** The tag word with two bits a register, which tells what each holds. */
function fullTags(m: Machine): number {
  let tags = 0
  for (let index = 0; index < 8; index++) {
    const kind = kindOf(extended(m.x87.signExponent(index), m.x87.significand(index)))
    const tag = !(m.x87.tags >> index & 1) ? EMPTY
      : kind === 'normal' ? VALID : kind === 'zero' ? ZERO : SPECIAL
    tags |= tag << index * 2
  }
  return tags
}

function setFullTags(m: Machine, tags: number): void {
  let present = 0
  for (let index = 0; index < 8; index++) {
    if ((tags >> index * 2 & 3) !== EMPTY) present |= 1 << index
  }
  m.x87.tags = present
}

interface Layout {
  /** Bytes of a field: 2 or 4. */
  readonly step: 2 | 4
  readonly protected: boolean
}

function layoutOf(m: Machine, { operandSize }: Instruction): Layout {
  return { step: operandSize === 16 ? 2 : 4, protected: (m.cr0 & CR0.PE) !== 0 }
}

const number = (value: bigint, mask: number): number => Number(value & 0xffffffffn) & mask

/** The four fields of pointers and opcode, as the layout has them. */
function pointerFields(m: Machine, layout: Layout): number[] {
  const { x87 } = m
  const low = layout.step === 2 ? 0xffff : -1
  const opcode = x87.lastOpcode & 0x7ff
  if (layout.protected) {
    const selector = layout.step === 2 ? x87.lastCs : x87.lastCs | opcode << 16
    return [
      number(x87.lastIp, low), selector, number(x87.lastDp, low),
      layout.step === 2 ? x87.lastDs : x87.lastDs | ~0xffff,
    ]
  }
  const ip = number(x87.lastIp, -1) + (x87.lastCs << 4)
  const dp = number(x87.lastDp, -1) + (x87.lastDs << 4)
  if (layout.step === 2) {
    return [ip & 0xffff, ip >> 4 & 0xf000 | opcode, dp & 0xffff, dp >> 4 & 0xf000]
  }
  return [
    ip & 0xffff | ~0xffff, (ip >>> 16) << 12 | opcode, dp & 0xffff | ~0xffff, (dp >>> 16) << 12,
  ]
}

function storeEnvironment(m: Machine, instruction: Instruction): void {
  const layout = layoutOf(m, instruction)
  const filled = layout.step === 4 ? ~0xffff : 0
  const words = [m.x87.controlWord, m.x87.statusWord, fullTags(m)].map((word) => word | filled)
  const fields = [...words, ...pointerFields(m, layout)]
  fields.forEach((field, index) => {
    const bits = BigInt.asUintN(layout.step * 8, BigInt(field))
    storeAt(m, instruction, index * layout.step, layout.step, bits)
  })
}

function loadEnvironment(m: Machine, instruction: Instruction): number[] {
  const { step } = layoutOf(m, instruction)
  return Array.from({ length: 7 }, (_, index) =>
    Number(loadAt(m, instruction, index * step, step)))
}

function setEnvironment(m: Machine, instruction: Instruction, fields: number[]): void {
  const layout = layoutOf(m, instruction)
  const [control = 0, status = 0, tags = 0, ip = 0, second = 0, dp = 0, fourth = 0] = fields
  const { x87 } = m
  x87.statusWord = status & 0xffff
  setFullTags(m, tags)
  setControlWord(x87, control)
  if (layout.protected) {
    x87.lastIp = BigInt(ip)
    x87.lastCs = second & 0xffff
    if (layout.step === 4) x87.lastOpcode = second >>> 16 & 0x7ff
    x87.lastDp = BigInt(dp)
    x87.lastDs = fourth & 0xffff
    return
  }
  const high = (field: number) => layout.step === 2 ? (field >> 12) << 16 : (field >>> 12) << 16
  x87.lastIp = BigInt((ip & 0xffff | high(second)) >>> 0)
  x87.lastOpcode = second & 0x7ff
  x87.lastDp = BigInt((dp & 0xffff | high(fourth)) >>> 0)
  x87.lastCs = 0
  x87.lastDs = 0
}

const environmentSize = (instruction: Instruction): number =>
  instruction.operandSize === 16 ? 14 : 28

const fnstenv: Body = (m, instruction) => {
  probe(m, instruction, environmentSize(instruction))
  storeEnvironment(m, instruction)
  m.x87.controlWord |= ALL_MASKED
  summarise(m.x87)
}

const fldenv: Body = (m, instruction) =>
  setEnvironment(m, instruction, loadEnvironment(m, instruction))

const fnsave: Body = (m, instruction) => {
  const from = environmentSize(instruction)
  probe(m, instruction, from + 80)
  storeEnvironment(m, instruction)
  for (let i = 0; i < 8; i++) {
    const index = physical(m, i)
    storeAt(m, instruction, from + i * 10, 8, m.x87.significand(index))
    storeAt(m, instruction, from + i * 10 + 8, 2, BigInt(m.x87.signExponent(index)))
  }
  initialise(m)
}

const frstor: Body = (m, instruction) => {
  const from = environmentSize(instruction)
  const fields = loadEnvironment(m, instruction)
  const registers = Array.from({ length: 8 }, (_, i) => extended(
    Number(loadAt(m, instruction, from + i * 10 + 8, 2)),
    loadAt(m, instruction, from + i * 10, 8)))
  setEnvironment(m, instruction, fields)
  const { tags } = m.x87
  registers.forEach((value, i) => set(m, i, value))
  m.x87.tags = tags
}

const fnclex: Body = (m) => {
  m.x87.statusWord &= ~(EXCEPTION_BITS | ES | BUSY)
}

const nothing = controlling(() => {}, false)

export const environmentServices: Readonly<Record<string, Service>> = {
  fwait: wait, fneni: nothing, fndisi: nothing, fnsetpm: nothing,
  fninit: controlling((m) => initialise(m), false), fnclex: controlling(fnclex, false),
  fldenv: controlling(fldenv, true),
  fnstenv: controlling(fnstenv, false), fnsave: controlling(fnsave, false),
  frstor: controlling(frstor, true),
}
