/**
 * Fast system calls and the instructions around them: SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS,
 * STAC, CLAC, FS and GS bases (AMD APM 3; where AMD and Intel differ, AMD).
 */
import { CR4, EFER, Vector } from '../../abi/x86/control.ts'
import { FLAT_CODE32, FLAT_CODE64, FLAT_DATA } from '../../abi/x86/descriptor.ts'
import { CS, FS, GS, R11, RCX, RDX, RSP, SS } from '../../abi/x86/registers.ts'
import { TrapOverride } from '../debug.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import { flagsOf, RFLAGS, setFlags, systemFlagsOf } from '../state.ts'
import { setFlatSegment } from './descriptors.ts'
import { changeSystemFlags, isCanonical, isLongMode, isProtected, requireCpl0 } from './mode.ts'

const DPL3 = 3 << 5

function requireSyscall(p: Processor): void {
  const c = p.context
  if (!(Number(c.efer) & EFER.SCE) || !isProtected(c)) p.fault(Vector.UD)
}

function starField(p: Processor, shift: bigint): number {
  return Number(p.context.star >> shift & 0xffffn)
}

/** After a return to user code: the flags it brings may let interrupts in. */
function takeAll(p: Processor, flags: number): void {
  const before = flagsOf(p.context)
  setFlags(p.context, flags)
  if (flags & ~before & RFLAGS.IF) p.interruptsEnabled()
}

/** TF as it is after SYSCALL and SYSRET decides whether they end in a trap. */
function decideTrap(p: Processor): void {
  const stepping = systemFlagsOf(p.context) & RFLAGS.TF
  p.control.trapOverride = stepping ? TrapOverride.TRAP : TrapOverride.NO_TRAP
}

const syscall: SystemService = (m, p) => {
  requireSyscall(p)
  const c = p.context
  const flags = flagsOf(c)
  const selector = starField(p, 32n) & 0xfffc
  const long = isLongMode(c)
  if (long) {
    c.gpr.set(RCX, c.rip)
    c.gpr.set(R11, BigInt(flags & ~RFLAGS.RF))
    c.rip = m.long ? c.lstar : c.cstar
    setFlags(c, flags & ~Number(c.sfmask & 0xffff_ffffn) & ~RFLAGS.RF)
  } else {
    c.gpr.set(RCX, c.rip & 0xffff_ffffn)
    c.rip = c.star & 0xffff_ffffn
    setFlags(c, flags & ~(RFLAGS.VM | RFLAGS.IF | RFLAGS.RF))
  }
  decideTrap(p)
  setFlatSegment(c, CS, selector, long ? FLAT_CODE64 : FLAT_CODE32)
  setFlatSegment(c, SS, selector + 8 & 0xffff, FLAT_DATA)
  c.cpl = 0
  p.modeChanged()
}

/** AMD's SYSRET leaves SS's attributes; here they become right, which no program can resent. */
const sysret: SystemService = (m, p, instruction) => {
  requireSyscall(p)
  requireCpl0(p)
  const c = p.context
  const user = starField(p, 48n)
  const to64 = m.long && instruction.operandSize === 64
  const selector = (to64 ? user + 16 : user) | 3
  const attributes = (to64 ? FLAT_CODE64 : FLAT_CODE32) | DPL3
  c.rip = to64 ? c.gpr.get(RCX) : c.gpr.get(RCX) & 0xffff_ffffn
  if (isLongMode(c)) {
    takeAll(p, Number(c.gpr.get(R11) & 0x3c_7fd5n) | RFLAGS.FIXED)
  } else {
    takeAll(p, flagsOf(c) | RFLAGS.IF)
  }
  decideTrap(p)
  setFlatSegment(c, CS, selector & 0xffff, attributes)
  setFlatSegment(c, SS, (user + 8 | 3) & 0xffff, FLAT_DATA | DPL3)
  c.cpl = 3
  p.modeChanged()
}

/** AMD has neither SYSENTER nor SYSEXIT in long mode. */
const sysenter: SystemService = (_m, p) => {
  const c = p.context
  if (isLongMode(c)) p.fault(Vector.UD)
  const selector = Number(c.sysenterCs & 0xfffcn)
  if (!isProtected(c) || selector === 0) p.fault(Vector.GP, 0)
  changeSystemFlags(c, RFLAGS.VM | RFLAGS.IF | RFLAGS.RF)
  setFlatSegment(c, CS, selector, FLAT_CODE32)
  setFlatSegment(c, SS, selector + 8 & 0xffff, FLAT_DATA)
  c.gpr.set(RSP, c.sysenterEsp & 0xffff_ffffn)
  c.rip = c.sysenterEip & 0xffff_ffffn
  c.cpl = 0
  p.modeChanged()
}

const sysexit: SystemService = (_m, p) => {
  const c = p.context
  if (isLongMode(c)) p.fault(Vector.UD)
  const selector = Number(c.sysenterCs & 0xfffcn)
  if (!isProtected(c) || selector === 0 || c.cpl !== 0) p.fault(Vector.GP, 0)
  setFlatSegment(c, CS, (selector + 16 | 3) & 0xffff, FLAT_CODE32 | DPL3)
  setFlatSegment(c, SS, (selector + 24 | 3) & 0xffff, FLAT_DATA | DPL3)
  c.gpr.set(RSP, c.gpr.get(RCX) & 0xffff_ffffn)
  c.rip = c.gpr.get(RDX) & 0xffff_ffffn
  c.cpl = 3
  p.modeChanged()
}

const swapgs: SystemService = (_m, p) => {
  requireCpl0(p)
  const c = p.context
  const gs = c.segments.item(GS)
  const base = gs.base
  gs.base = c.kernelGsBase
  c.kernelGsBase = base
}

/** SMAP's accesses look at AC themselves. */
function changeAc(p: Processor, on: boolean): void {
  const c = p.context
  if (c.cpl !== 0) p.fault(Vector.UD)
  changeSystemFlags(c, RFLAGS.AC, on ? RFLAGS.AC : 0)
}

const clac: SystemService = (_m, p) => changeAc(p, false)
const stac: SystemService = (_m, p) => changeAc(p, true)

function requireFsgsbase(p: Processor): void {
  if (!(Number(p.context.cr4) & CR4.FSGSBASE)) p.fault(Vector.UD)
}

function readBase(segment: number): SystemService {
  return (m, p) => {
    requireFsgsbase(p)
    m.write(0, p.context.segments.item(segment).base)
  }
}

function writeBase(segment: number): SystemService {
  return (m, p) => {
    requireFsgsbase(p)
    const base = m.read(0)
    if (!isCanonical(base)) p.fault(Vector.GP, 0)
    p.context.segments.item(segment).base = base
  }
}

export const syscallServices: Readonly<Record<string, SystemService>> = {
  syscall, sysret, sysenter, sysexit, swapgs, clac, stac,
  rdfsbase: readBase(FS), rdgsbase: readBase(GS),
  wrfsbase: writeBase(FS), wrgsbase: writeBase(GS),
}
