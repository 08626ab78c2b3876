/**
 * Control and debug registers, and the instructions that drop translations and caches (AMD APM 2,
 * 3.1 and 13.1; APM 3).
 */
import {
  CR0, CR0_DEFINED, CR4, DR6_BD, DR6_FIXED, DR7_FIXED, DR7_GD, EFER, Vector,
} from '../../abi/x86/control.ts'
import { CS } from '../../abi/x86/registers.ts'
import type { Instruction } from '../../isa/operand.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import { PHYSICAL_ADDRESS_BITS } from '../p2m-format.ts'
import { SEGMENT_L } from '../state.ts'
import { isCanonical, isLongMode, pcidOf, requireCpl0, requireNoUmip } from './mode.ts'

/** Bits of CR4 that the reported processor has. */
const CR4_SUPPORTED = CR4.TSD | CR4.DE | CR4.PSE | CR4.PAE | CR4.MCE | CR4.PGE | CR4.PCE
  | CR4.OSFXSR | CR4.OSXMMEXCPT | CR4.UMIP | CR4.FSGSBASE | CR4.PCIDE | CR4.OSXSAVE | CR4.SMEP
  | CR4.SMAP

/** Changes of CR0 and CR4 after which no translation may be kept. */
const CR0_TRANSLATION = CR0.PG | CR0.WP | CR0.PE
const CR4_TRANSLATION = CR4.PSE | CR4.PAE | CR4.PGE | CR4.PCIDE | CR4.SMEP | CR4.SMAP

const CR3_ADDRESS = (1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n
const CR3_KEEP = 1n << 63n

function registerOf(instruction: Instruction, operand: number): number {
  const found = instruction.operands[operand]
  return found?.kind === 'control' || found?.kind === 'debug' ? found.index : -1
}

/** Writes CR0 with all its checks and consequences. */
function writeCr0(p: Processor, value: bigint): void {
  const c = p.context
  const old = Number(c.cr0)
  const next = Number(value & 0xffff_ffffn) & CR0_DEFINED | CR0.ET
  if (value >> 32n) p.fault(Vector.GP, 0)
  if (next & CR0.PG && !(next & CR0.PE)) p.fault(Vector.GP, 0)
  if (next & CR0.NW && !(next & CR0.CD)) p.fault(Vector.GP, 0)
  let efer = Number(c.efer)
  if (next & CR0.PG && !(old & CR0.PG) && efer & EFER.LME) {
    const long = (c.segments.item(CS).attributes & SEGMENT_L) !== 0
    if (!(Number(c.cr4) & CR4.PAE) || long) p.fault(Vector.GP, 0)
    efer |= EFER.LMA
  } else if (!(next & CR0.PG) && old & CR0.PG) {
    const long = isLongMode(c) && (c.segments.item(CS).attributes & SEGMENT_L) !== 0
    if (long || Number(c.cr4) & CR4.PCIDE) p.fault(Vector.GP, 0)
    efer &= ~EFER.LMA
  }
  c.efer = BigInt(efer)
  c.cr0 = BigInt(next >>> 0)
  if ((old ^ next) & CR0_TRANSLATION) p.memory.flushAll()
  p.modeChanged()
}

function writeCr3(p: Processor, value: bigint): void {
  const c = p.context
  const tagged = (Number(c.cr4) & CR4.PCIDE) !== 0
  const address = tagged ? value & ~CR3_KEEP : value
  if (isLongMode(c) && address & ~CR3_ADDRESS) p.fault(Vector.GP, 0)
  c.cr3 = isLongMode(c) ? address : address & 0xffff_ffffn
  p.memory.switchSpace(pcidOf(c), tagged && (value & CR3_KEEP) !== 0n)
}

function writeCr4(p: Processor, value: bigint): void {
  const c = p.context
  const old = Number(c.cr4)
  const next = Number(value & 0xffff_ffffn)
  if (value >> 32n || next & ~CR4_SUPPORTED) p.fault(Vector.GP, 0)
  if (isLongMode(c) && !(next & CR4.PAE)) p.fault(Vector.GP, 0)
  if (next & ~old & CR4.PCIDE && (!isLongMode(c) || c.cr3 & 0xfffn)) p.fault(Vector.GP, 0)
  c.cr4 = BigInt(next)
  if ((old ^ next) & CR4_TRANSLATION) p.memory.flushAll()
  if ((old ^ next) & CR4.PCIDE) p.memory.switchSpace(pcidOf(c), false)
  p.modeChanged()
}

const movFromControl: SystemService = (m, p, instruction) => {
  requireCpl0(p)
  const c = p.context
  switch (registerOf(instruction, 1)) {
    case 0: return m.write(0, c.cr0)
    case 2: return m.write(0, c.cr2)
    case 3: return m.write(0, c.cr3)
    case 4: return m.write(0, c.cr4)
    case 8: return m.write(0, c.cr8)
    default: return p.fault(Vector.UD)
  }
}

const movToControl: SystemService = (m, p, instruction) => {
  const c = p.context
  const value = m.read(1)
  requireCpl0(p)
  switch (registerOf(instruction, 0)) {
    case 0: return writeCr0(p, value)
    case 2: c.cr2 = value; return
    case 3: return writeCr3(p, value)
    case 4: return writeCr4(p, value)
    case 8:
      if (value >> 4n) p.fault(Vector.GP, 0)
      c.cr8 = value
      return
    default: return p.fault(Vector.UD)
  }
}

/** DR4 and DR5 are DR6 and DR7 until CR4.DE makes them undefined. */
function debugRegister(p: Processor, number: number): number {
  const c = p.context
  requireCpl0(p)
  const alias = number === 4 || number === 5
  if (number < 0 || number > 7 || alias && Number(c.cr4) & CR4.DE) return p.fault(Vector.UD)
  if (c.dr.get(7) & BigInt(DR7_GD)) {
    c.dr.set(6, c.dr.get(6) | BigInt(DR6_BD))
    p.fault(Vector.DB)
  }
  return alias ? number + 2 : number
}

const movFromDebug: SystemService = (m, p, instruction) => {
  const number = debugRegister(p, registerOf(instruction, 1))
  m.write(0, p.context.dr.get(number))
}

const movToDebug: SystemService = (m, p, instruction) => {
  const number = debugRegister(p, registerOf(instruction, 0))
  const value = m.read(1)
  if (number >= 6 && value >> 32n) p.fault(Vector.GP, 0)
  let kept = value
  // Bits 4 to 11 and 16 to 31 of DR6 read as ones, bit 12 as zero.
  if (number === 6) kept = value & 0xe00fn | BigInt(DR6_FIXED)
  if (number === 7) kept = value & 0xffff_23ffn | BigInt(DR7_FIXED)
  p.context.dr.set(number, kept)
  p.modeChanged()
}

const smsw: SystemService = (m, p) => {
  requireNoUmip(p)
  m.write(0, p.context.cr0)
}

/** LMSW sets PE, MP, EM, TS, and never clears PE. */
const lmsw: SystemService = (m, p) => {
  const value = m.read(0)
  requireCpl0(p)
  const old = p.context.cr0
  writeCr0(p, old & ~0xen | value & 0xfn)
}

const clts: SystemService = (_m, p) => {
  requireCpl0(p)
  p.context.cr0 &= ~BigInt(CR0.TS)
  p.modeChanged()
}

const invlpg: SystemService = (m, p) => {
  requireCpl0(p)
  const address = m.linearAddress(0)
  if (isCanonical(address)) p.memory.flushPage(address)
}

const invpcid: SystemService = (m, p, instruction) => {
  requireCpl0(p)
  const operand = instruction.operands[1]
  if (operand?.kind !== 'memory') return p.fault(Vector.UD)
  const at = m.effectiveAddress(1)
  const type = m.read(0)
  const pcid = m.load(operand.segment, at, 8)
  const address = m.load(operand.segment, BigInt.asUintN(operand.addressWidth, at + 8n), 8)
  const tagged = (Number(p.context.cr4) & CR4.PCIDE) !== 0
  if (type > 3n || pcid >> 12n || type < 2n && pcid && !tagged) p.fault(Vector.GP, 0)
  if (type === 0n) {
    if (!isCanonical(address)) p.fault(Vector.GP, 0)
    p.memory.flushPageOf(address, Number(pcid))
  } else if (type === 1n) {
    p.memory.flushSpace(Number(pcid))
  } else if (type === 2n) {
    p.memory.flushAll()
  } else {
    p.memory.flushNonGlobal()
  }
}

const cacheFlush: SystemService = (_m, p) => requireCpl0(p)

export const controlServices: Readonly<Record<string, SystemService>> = {
  'mov-from-control': movFromControl, 'mov-to-control': movToControl,
  'mov-from-debug': movFromDebug, 'mov-to-debug': movToDebug,
  smsw, lmsw, clts, invlpg, invpcid, 'cache-flush': cacheFlush,
}
