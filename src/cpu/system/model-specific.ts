/**
 * RDMSR, WRMSR, the time stamp counter, CPUID, XGETBV, XSETBV (AMD APM 3 and 4).
 */
import { CR4, Vector, XCR0 } from '../../abi/x86/control.ts'
import { RAX, RCX, RDX } from '../../abi/x86/registers.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import { MSR_EXIT, MSR_FAULT, readMsr, writeMsr } from '../msr.ts'
import type { CpuContextView } from '../state.ts'
import { gpr32, requireCpl0 } from './mode.ts'
import { componentsInUse, XCR0_SUPPORTED } from './xsave.ts'

function edxEax(c: CpuContextView): bigint {
  return (c.gpr.get(RDX) & 0xffff_ffffn) << 32n | c.gpr.get(RAX) & 0xffff_ffffn
}

function setEdxEax(c: CpuContextView, value: bigint): void {
  c.gpr.set(RAX, value & 0xffff_ffffn)
  c.gpr.set(RDX, value >> 32n & 0xffff_ffffn)
}

const rdmsr: SystemService = (_m, p) => {
  requireCpl0(p)
  const c = p.context
  const index = gpr32(c, RCX)
  const value = readMsr(p, index)
  if (value === MSR_FAULT) return p.fault(Vector.GP, 0)
  if (value === MSR_EXIT) p.requestExit('rdmsr', 8, index, 0n)
  else setEdxEax(c, value)
}

const wrmsr: SystemService = (_m, p) => {
  requireCpl0(p)
  const c = p.context
  const index = gpr32(c, RCX)
  const value = edxEax(c)
  const answer = writeMsr(p, index, value)
  if (answer === 'fault') p.fault(Vector.GP, 0)
  if (answer === 'exit') p.requestExit('wrmsr', 8, index, value)
}

function readTsc(p: Processor): void {
  const c = p.context
  if (c.cpl !== 0 && Number(c.cr4) & CR4.TSD) p.fault(Vector.GP, 0)
  setEdxEax(c, BigInt.asUintN(64, p.tsc() + c.tscOffset))
}

const rdtsc: SystemService = (_m, p) => readTsc(p)

const rdtscp: SystemService = (_m, p) => {
  readTsc(p)
  p.context.gpr.set(RCX, p.context.tscAux & 0xffff_ffffn)
}

/** Four counters exist, which count nothing. */
const rdpmc: SystemService = (_m, p) => {
  const c = p.context
  if (c.cpl !== 0 && !(Number(c.cr4) & CR4.PCE)) p.fault(Vector.GP, 0)
  if (gpr32(c, RCX) > 3) p.fault(Vector.GP, 0)
  setEdxEax(c, 0n)
}

const rdpid: SystemService = (m, p) => m.write(0, p.context.tscAux & 0xffff_ffffn)

/** The caller answers: leaf in `address`, subleaf in `value`. */
const cpuid: SystemService = (_m, p) => {
  const c = p.context
  p.requestExit('cpuid', 0, gpr32(c, RAX), BigInt(gpr32(c, RCX)))
}

function requireOsxsave(p: Processor): void {
  if (!(Number(p.context.cr4) & CR4.OSXSAVE)) p.fault(Vector.UD)
}

const xgetbv: SystemService = (_m, p) => {
  requireOsxsave(p)
  const c = p.context
  const index = gpr32(c, RCX)
  if (index > 1) p.fault(Vector.GP, 0)
  setEdxEax(c, index === 0 ? c.xcr0 : c.xcr0 & BigInt(componentsInUse(c)))
}

const xsetbv: SystemService = (_m, p) => {
  requireOsxsave(p)
  requireCpl0(p)
  const c = p.context
  const value = edxEax(c)
  const needsSse = (value & BigInt(XCR0.AVX)) !== 0n && !(value & BigInt(XCR0.SSE))
  if (gpr32(c, RCX) !== 0 || !(value & 1n) || value & ~BigInt(XCR0_SUPPORTED) || needsSse) {
    p.fault(Vector.GP, 0)
  }
  c.xcr0 = value
  p.modeChanged()
}

export const modelSpecificServices: Readonly<Record<string, SystemService>> = {
  rdmsr, wrmsr, rdtsc, rdtscp, rdpmc, rdpid, cpuid, xgetbv, xsetbv,
}
