/**
 * The state in which a processor begins after INIT and STARTUP (AMD APM 2, table 14-1): real mode,
 * at the page that the STARTUP's vector names.
 */
import { CR0, DR6_FIXED, DR7_FIXED } from '../../abi/x86/control.ts'
import { CS, RDX } from '../../abi/x86/registers.ts'
import type { CpuContextView } from '../../cpu/state.ts'
import { setFlags } from '../../cpu/state.ts'

const CODE = 0x9b
const DATA = 0x93
const LDT = 0x82
const BUSY_TSS = 0x8b
const FCW = 0x37f
const MXCSR = 0x1f80
const PAT = 0x0007_0406_0007_0406n

/** Fills `cpu` for a start at `vector` pages; `signature` is CPUID 1's EAX. */
export function startState(cpu: CpuContextView, vector: number, signature: number): void {
  for (let i = 0; i < 16; i++) cpu.gpr.set(i, 0n)
  cpu.gpr.set(RDX, BigInt(signature))
  cpu.rip = 0n
  setFlags(cpu, 2)
  for (let i = 0; i < 6; i++) setSegment(cpu.segments.item(i), i === CS ? CODE : DATA, 0)
  const code = cpu.segments.item(CS)
  code.selector = vector << 8
  code.base = BigInt(vector << 12)
  setSegment(cpu.ldtr, LDT, 0)
  setSegment(cpu.tr, BUSY_TSS, 0)
  for (const table of [cpu.gdtr, cpu.idtr]) {
    table.base = 0n
    table.limit = 0xffff
  }
  cpu.cr0 = BigInt(CR0.ET)
  for (const name of ['cr2', 'cr3', 'cr4', 'cr8', 'efer'] as const) cpu[name] = 0n
  cpu.xcr0 = 1n
  cpu.cpl = 0
  cpu.interruptShadow = 0
  cpu.halted = 0
  cpu.nmiPending = 0
  cpu.nmiBlocked = 0
  for (let i = 0; i < 8; i++) cpu.dr.set(i, 0n)
  cpu.dr.set(6, BigInt(DR6_FIXED))
  cpu.dr.set(7, BigInt(DR7_FIXED))
  clearRegisters(cpu)
}

function setSegment(
  segment: CpuContextView['ldtr'], attributes: number, selector: number,
): void {
  segment.base = 0n
  segment.limit = 0xffff
  segment.attributes = attributes
  segment.selector = selector
}

function clearRegisters(cpu: CpuContextView): void {
  for (const name of [
    'star', 'lstar', 'cstar', 'sfmask', 'kernelGsBase', 'sysenterCs', 'sysenterEsp',
    'sysenterEip', 'tscAux', 'debugCtl', 'xss',
  ] as const) cpu[name] = 0n
  cpu.pat = PAT
  cpu.miscEnable = 1n
  for (let i = 0; i < 64; i++) cpu.vector.set(i, 0n)
  for (let i = 0; i < 8; i++) {
    cpu.x87.item(i).significand = 0n
    cpu.x87.item(i).signExponent = 0
  }
  cpu.x87Control = FCW
  cpu.x87Status = 0
  cpu.x87Tags = 0
  cpu.mxcsr = MXCSR
}
