/**
 * Model-specific registers of the reported processor: AMD family 19h (AMD APM 2, appendix A).
 *
 * Architectural registers live in the context. Registers that firmware would have set, and that
 * kernels read to find faults of real chips, read as a chip without the fault and ignore writes.
 * What belongs to the machine around the processor (local APIC, hypervisor) leaves as an exit, and
 * so does every number that is not known here.
 */
import { EFER } from '../abi/x86/control.ts'
import { MSR } from '../abi/x86/msr.ts'
import { FS, GS } from '../abi/x86/registers.ts'
import type { Processor } from './interfaces.ts'
import type { CpuContextView } from './state.ts'
import { isCanonical, isLongMode } from './system/mode.ts'

export const MSR_EXIT = Symbol('exit')
export const MSR_FAULT = Symbol('fault')

export type MsrWrite = 'done' | 'fault' | 'exit'

const EFER_WRITABLE = EFER.SCE | EFER.LME | EFER.NXE | EFER.AIBRSE

/** Registers that are plain fields of the context. */
const FIELDS = {
  [MSR.SYSENTER_CS]: 'sysenterCs', [MSR.SYSENTER_ESP]: 'sysenterEsp',
  [MSR.SYSENTER_EIP]: 'sysenterEip', [MSR.STAR]: 'star', [MSR.LSTAR]: 'lstar',
  [MSR.CSTAR]: 'cstar', [MSR.SFMASK]: 'sfmask', [MSR.KERNEL_GS_BASE]: 'kernelGsBase',
  [MSR.TSC_AUX]: 'tscAux', [MSR.PAT]: 'pat', [MSR.DEBUGCTL]: 'debugCtl', [MSR.XSS]: 'xss',
  [MSR.MISC_ENABLE]: 'miscEnable', [MSR.TSC_ADJUST]: 'tscAdjust',
} as const satisfies Record<number, keyof CpuContextView>

type FieldMsr = keyof typeof FIELDS

function isField(index: number): index is FieldMsr {
  return index in FIELDS
}

/** Registers with a fixed value, whose writes are ignored. */
const CONSTANTS: Readonly<Record<number, bigint>> = {
  [MSR.SPEC_CTRL]: 0n,
  [MSR.PRED_CMD]: 0n,
  /** Revision of the microcode: late enough for every fix that kernels ask for. */
  [MSR.BIOS_SIGN_ID]: 0x0a00_11ffn,
  [MSR.MPERF]: 0n,
  [MSR.APERF]: 0n,
  /** Eight variable ranges, fixed ranges, write combining. */
  [MSR.MTRR_CAP]: 0x508n,
  [MSR.MCG_CAP]: 0n,
  [MSR.MCG_STATUS]: 0n,
  [MSR.MCG_CTL]: 0n,
  [MSR.TSC_RATIO]: 0x1_0000_0000n,
  [MSR.MC4_MISC1]: 0n,
  [MSR.SYSCFG]: 0n,
  /** TscFreqSel, and SmmLock: SMM is out of reach. */
  [MSR.HWCR]: 0x100_0001n,
  [MSR.TOP_MEM]: 0n,
  [MSR.TOP_MEM2]: 0n,
  [MSR.NB_CFG]: 0n,
  [MSR.PATCH_LOADER]: 0n,
  [MSR.INT_PENDING]: 0n,
  [MSR.SMM_MASK]: 0n,
  [MSR.VM_CR]: 0n,
  [MSR.LS_CFG]: 0n,
  [MSR.IC_CFG]: 0n,
  [MSR.DC_CFG]: 0n,
  [MSR.BU_CFG]: 0n,
  [MSR.FP_CFG]: 0n,
  /** LFENCE serialises. */
  [MSR.DE_CFG]: 2n,
  [MSR.BU_CFG2]: 0n,
}

/** Ranges that read as zero and ignore writes. */
const ZERO_RANGES: readonly (readonly [number, number])[] = [
  [MSR.LAST_BRANCH_FROM, MSR.LAST_EXCEPTION_TO],
  [MSR.MC0_CTL, MSR.MC_LAST],
  [MSR.MCAX_FIRST, MSR.MCAX_LAST],
  [MSR.PERFEVTSEL_0, MSR.PERFCTR_3],
  [MSR.IORR_BASE_0, MSR.IORR_MASK_1],
  [MSR.MC_CTL_MASK_FIRST, MSR.MC_CTL_MASK_LAST],
  [MSR.PSTATE_LIMIT, MSR.PSTATE_LAST],
]

/** Write-back memory by default, MTRRs enabled, and no range, not even the fixed ones. */
const MTRR_DEFAULT = 0x806n

function isFixedMtrr(index: number): boolean {
  return index === MSR.MTRR_FIX_64K || index === MSR.MTRR_FIX_16K_0
    || index === MSR.MTRR_FIX_16K_1 || index >= MSR.MTRR_FIX_4K_0 && index <= MSR.MTRR_FIX_4K_7
}

function isVariableMtrr(index: number): boolean {
  return index >= MSR.MTRR_PHYS_BASE_0 && index <= MSR.MTRR_PHYS_MASK_7
}

function isZero(index: number): boolean {
  return ZERO_RANGES.some(([first, last]) => index >= first && index <= last)
}

/** RDMSR: the value, or that it faults, or that the caller of the processor must answer. */
export function readMsr(
  p: Processor, index: number,
): bigint | typeof MSR_EXIT | typeof MSR_FAULT {
  const c = p.context
  if (isField(index)) return c[FIELDS[index]]
  switch (index) {
    case MSR.EFER: return c.efer
    case MSR.TSC: return BigInt.asUintN(64, p.tsc() + c.tscOffset)
    case MSR.FS_BASE: return c.segments.item(FS).base
    case MSR.GS_BASE: return c.segments.item(GS).base
    case MSR.MTRR_DEF_TYPE: return MTRR_DEFAULT
    case MSR.ARCH_CAPABILITIES: return MSR_FAULT
  }
  if (isFixedMtrr(index) || isVariableMtrr(index) || isZero(index)) return 0n
  return CONSTANTS[index] ?? MSR_EXIT
}

/** WRMSR. MTRRs ignore writes: all memory is write-back whatever they say. */
export function writeMsr(p: Processor, index: number, value: bigint): MsrWrite {
  const c = p.context
  switch (index) {
    case MSR.EFER: return writeEfer(p, value)
    case MSR.TSC: return moveTsc(c, value - p.tsc() - c.tscOffset)
    case MSR.TSC_ADJUST: return moveTsc(c, value - c.tscAdjust)
    case MSR.FS_BASE: return writeSegmentBase(c, FS, value)
    case MSR.GS_BASE: return writeSegmentBase(c, GS, value)
    case MSR.PAT: return writePat(c, value)
    case MSR.XSS: return value ? 'fault' : 'done'
    case MSR.ARCH_CAPABILITIES: return 'fault'
    case MSR.MTRR_CAP: return 'fault'
    case MSR.MTRR_DEF_TYPE: return 'done'
  }
  if (isField(index)) return writeField(c, index, value)
  const ignored = index in CONSTANTS || isFixedMtrr(index) || isVariableMtrr(index) || isZero(index)
  return ignored ? 'done' : 'exit'
}

/** The TSC and TSC_ADJUST move together, whichever is written (SDM 3B, 18.17.3). */
function moveTsc(c: CpuContextView, by: bigint): MsrWrite {
  c.tscOffset = BigInt.asUintN(64, c.tscOffset + by)
  c.tscAdjust = BigInt.asUintN(64, c.tscAdjust + by)
  return 'done'
}

const CANONICAL_FIELDS = new Set<number>([
  MSR.LSTAR, MSR.CSTAR, MSR.KERNEL_GS_BASE, MSR.SYSENTER_ESP, MSR.SYSENTER_EIP,
])

function writeField(c: CpuContextView, index: FieldMsr, value: bigint): MsrWrite {
  if (CANONICAL_FIELDS.has(index) && !isCanonical(value)) return 'fault'
  if ((index === MSR.TSC_AUX || index === MSR.SFMASK) && value >> 32n) return 'fault'
  c[FIELDS[index]] = value
  return 'done'
}

function writeSegmentBase(c: CpuContextView, segment: number, value: bigint): MsrWrite {
  if (!isCanonical(value)) return 'fault'
  c.segments.item(segment).base = value
  return 'done'
}

/** LMA follows from LME and paging; LME cannot change while paging is on. */
function writeEfer(p: Processor, value: bigint): MsrWrite {
  const c = p.context
  const old = Number(c.efer)
  if (value >> 32n) return 'fault'
  const wanted = Number(value) & ~EFER.LMA
  if (wanted & ~EFER_WRITABLE) return 'fault'
  const paging = (c.cr0 & 0x8000_0000n) !== 0n
  if (paging && (old ^ wanted) & EFER.LME) return 'fault'
  c.efer = BigInt(wanted | (isLongMode(c) ? EFER.LMA : 0))
  if ((old ^ wanted) & EFER.NXE) p.memory.flushAll()
  p.modeChanged()
  return 'done'
}

const PAT_TYPES = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7

function writePat(c: CpuContextView, value: bigint): MsrWrite {
  for (let shift = 0n; shift < 64n; shift += 8n) {
    const type = Number(value >> shift & 0xffn)
    if (type > 7 || !(PAT_TYPES >> type & 1)) return 'fault'
  }
  c.pat = value
  return 'done'
}
