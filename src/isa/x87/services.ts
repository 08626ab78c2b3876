/**
 * Services of the x87 unit's neighbours and of its control state, by name: what x87, MMX and SSE
 * rows without an `execute` refer to.
 */
import { CR0, CR4, Vector, XCR0 } from '../../abi/x86/control.ts'
import { RDI } from '../../abi/x86/registers.ts'
import type { Machine, Service } from '../machine.ts'
import type { Instruction, MemoryOperand } from '../operand.ts'
import { environmentServices } from './environment.ts'
import { fxrstorImage, fxsaveImage, IMAGE_BYTES, placeAt } from './image.ts'
import { enterUnit } from './unit.ts'

const TOP = 7 << 11

function checkSse(m: Machine): void {
  if (m.cr0 & CR0.EM || !(m.cr4 & CR4.OSFXSR)) m.fault(Vector.UD)
  if (m.cr0 & CR0.TS) m.fault(Vector.NM)
}

function checkAvx(m: Machine): void {
  const enabled = XCR0.SSE | XCR0.AVX
  if (!(m.cr4 & CR4.OSXSAVE) || (m.xcr0 & enabled) !== enabled) m.fault(Vector.UD)
  if (m.cr0 & CR0.TS) m.fault(Vector.NM)
}

/** A service with a check in front. */
function withCheck(check: (m: Machine) => void, service: Service): Service {
  return (m, instruction) => {
    check(m)
    service(m, instruction)
  }
}

/**
 * Stores the bytes whose mask byte has its top bit set, at DS:rDI. All bytes must be writable, as
 * on the processor that we report, even when none is chosen.
 */
function storeMasked(
  m: Machine, instruction: Instruction, bytes: bigint, mask: bigint, count: number,
): void {
  const { addressSize, segment } = instruction
  const start = m.gpr(RDI)
  const at = (byte: number) => BigInt.asUintN(addressSize, start + BigInt(byte))
  const chosen = Array.from({ length: count }, (_, byte) => byte)
    .filter((byte) => mask >> BigInt(byte * 8 + 7) & 1n)
  m.probeWrite(segment, at(0), count)
  for (const byte of chosen) m.store(segment, at(byte), 1, bytes >> BigInt(byte * 8) & 0xffn)
}

function registerNumber(instruction: Instruction, operand: number): number {
  const found = instruction.operands[operand]
  return found?.kind === 'xmm' || found?.kind === 'mm' ? found.index : 0
}

const maskmovdqu: Service = (m, instruction) => {
  const bytes = m.xmm(registerNumber(instruction, 0))
  storeMasked(m, instruction, bytes, m.xmm(registerNumber(instruction, 1)), 16)
}

const maskmovq: Service = (m, instruction) => {
  if (m.cr0 & CR0.EM) m.fault(Vector.UD)
  enterUnit(m, true)
  // The processor is in MMX mode even when the store then faults.
  m.x87.statusWord &= ~TOP
  m.x87.tags = 0xff
  const bytes = m.x87.significand(registerNumber(instruction, 0))
  storeMasked(m, instruction, bytes, m.x87.significand(registerNumber(instruction, 1)), 8)
}

/** The image's operand, which must be aligned to 16 bytes. */
function imageOperand(m: Machine, instruction: Instruction): [MemoryOperand, bigint] {
  if (m.cr0 & (CR0.EM | CR0.TS)) m.fault(Vector.NM)
  const [operand] = instruction.operands
  if (m.linearAddress(0) & 15n) m.fault(Vector.GP, 0)
  return [operand as MemoryOperand, m.effectiveAddress(0)]
}

const fxsave: Service = (m, instruction) => {
  const [{ segment }, offset] = imageOperand(m, instruction)
  m.probeWrite(segment, offset, IMAGE_BYTES)
  fxsaveImage(m, placeAt(m, segment, offset), instruction.operandSize === 64)
}

const fxrstor: Service = (m, instruction) => {
  const [{ segment }, offset] = imageOperand(m, instruction)
  fxrstorImage(m, placeAt(m, segment, offset), instruction.operandSize === 64)
}

export const x87Services: Readonly<Record<string, Service>> = {
  ...environmentServices,
  maskmovdqu: withCheck(checkSse, maskmovdqu), vmaskmovdqu: withCheck(checkAvx, maskmovdqu),
  maskmovq, fxsave, fxrstor,
}
