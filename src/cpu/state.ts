/**
 * The state of one logical processor, as it lies in core memory and in a vcpu's saved context.
 *
 * Offsets are part of the engine: the interpreter addresses registers by them. Arithmetic flags
 * are kept apart from RFLAGS, each in the form in which results leave it (see FlagSlot), so that
 * setting them costs a store each; `flagsOf` and `setFlags` convert.
 */
import { RFLAGS } from '../abi/x86/flags.ts'
import { array } from '../base/layout/struct.ts'
import { struct, type ViewOf } from '../base/layout/struct.ts'
import { u16, u32, u64, u8 } from '../base/layout/scalar.ts'

/** A segment register with its hidden part. `attributes` are bits 8-15 and 20-23 of the
 * descriptor's upper half, packed to 12 bits as in the VMCB (AMD APM 2, 15.5): type 0-3, S 4,
 * DPL 5-6, P 7, AVL 8, L 9, D/B 10, G 11. The limit is in bytes, granularity applied. */
export const SegmentState = struct('segment', {
  base: u64, limit: u32, attributes: u16, selector: u16,
})

export const SEGMENT_L = 1 << 9
export const SEGMENT_DB = 1 << 10
export const SEGMENT_P = 1 << 7

/** Values of interruptShadow: MOV_SS, the one of every load of SS, holds off debug traps too. */
export const Shadow = { STI: 1, MOV_SS: 2 } as const

const TableState = struct('descriptor table', { base: u64, limit: u32, pad: u32 })

/** An x87 register; MMX registers are their significands. */
export const X87Register = struct('x87 register', {
  significand: u64, signExponent: u16, pad0: u16, pad1: u32,
})

export const CpuContext = struct('cpu context', {
  gpr: array(u64, 16),
  /** Always zero: the base or index of an address that has none. */
  zero: u64,
  rip: u64,
  /** FlagSlot: ZF is `zf === 0`. */
  zf: u64,
  /** SF is bit 63. */
  sf: u64,
  /** PF is the even parity of the low byte. */
  pf: u64,
  /** CF is bit 0; the other bits are zero. */
  cf: u64,
  /** OF is bit 63. */
  of: u64,
  /** AF is bit 4. */
  af: u64,
  /** DF is bit 0; the other bits are zero. */
  df: u64,
  /** RFLAGS without the seven flags above; bit 1 is set. */
  systemFlags: u64,
  /** ES CS SS DS FS GS. */
  segments: array(SegmentState, 6),
  ldtr: SegmentState,
  tr: SegmentState,
  gdtr: TableState,
  idtr: TableState,
  cr0: u64, cr2: u64, cr3: u64, cr4: u64, cr8: u64, efer: u64, xcr0: u64,
  dr: array(u64, 8),
  cpl: u32,
  /** One of Shadow, or 0: interrupts wait for one more instruction. */
  interruptShadow: u32,
  star: u64, lstar: u64, cstar: u64, sfmask: u64, kernelGsBase: u64,
  sysenterCs: u64, sysenterEsp: u64, sysenterEip: u64,
  pat: u64, tscAux: u64, apicBase: u64, debugCtl: u64, xss: u64, miscEnable: u64,
  /** What the guest's TSC reads at host time 0, in ticks. */
  tscOffset: u64,
  /** 1 while the vcpu waits in HLT. */
  halted: u32,
  nmiPending: u8, nmiBlocked: u8,
  /** Bits of DR6 of a debug trap that waits: for the exit of its instruction to be answered, or
   * for the end of a shadow. */
  pendingDebug: u16,
  x87: array(X87Register, 8),
  x87Control: u16,
  /** TOP is bits 11 to 13. */
  x87Status: u16,
  /** One bit a physical register: 1 holds a value. */
  x87Tags: u8, pad1: u8, x87LastOpcode: u16,
  x87LastIp: u64, x87LastDp: u64, x87LastCs: u16, x87LastDs: u16,
  mxcsr: u32,
  /** Sixteen registers of 256 bits: two words of XMM, then two of the upper half. */
  vector: array(u64, 64),
  /** An event whose delivery met no memory, as struct hvm_hw_cpu's field of that name; or 0. */
  pendingEvent: u32, pendingErrorCode: u32,
  /** MSR TSC_ADJUST: by how much the guest has moved its TSC. */
  tscAdjust: u64,
})

export type CpuContextView = ViewOf<typeof CpuContext>

/** Bytes reserved for a context wherever one is kept. */
export const CPU_CONTEXT_SIZE = 2048

export { RFLAGS }

const ARITHMETIC = RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.DF | RFLAGS.OF

function evenParity(byte: number): boolean {
  const folded = byte ^ byte >> 4
  return (0x6996 >> (folded & 15) & 1) === 0
}

const at = CpuContext.offsets

/** The lower half of a field of 64 bits, without making a bigint of it. */
export function lowWord(cpu: CpuContextView, offset: number): number {
  return cpu.bytes.getUint32(cpu.base + offset, true)
}

function setWords(cpu: CpuContextView, offset: number, low: number, high: number): void {
  cpu.bytes.setUint32(cpu.base + offset, low, true)
  cpu.bytes.setUint32(cpu.base + offset + 4, high, true)
}

/** Bits of RFLAGS outside the seven that have slots of their own. */
export function systemFlagsOf(cpu: CpuContextView): number {
  return lowWord(cpu, at.systemFlags)
}

export function setSystemFlags(cpu: CpuContextView, flags: number): void {
  setWords(cpu, at.systemFlags, flags, 0)
}

/** RFLAGS, whole. */
export function flagsOf(cpu: CpuContextView): number {
  let flags = lowWord(cpu, at.systemFlags) | RFLAGS.FIXED
  if ((lowWord(cpu, at.zf) | lowWord(cpu, at.zf + 4)) === 0) flags |= RFLAGS.ZF
  if (lowWord(cpu, at.sf + 4) >>> 31) flags |= RFLAGS.SF
  if (evenParity(lowWord(cpu, at.pf) & 0xff)) flags |= RFLAGS.PF
  if (lowWord(cpu, at.cf)) flags |= RFLAGS.CF
  if (lowWord(cpu, at.of + 4) >>> 31) flags |= RFLAGS.OF
  if (lowWord(cpu, at.af) & 16) flags |= RFLAGS.AF
  if (lowWord(cpu, at.df)) flags |= RFLAGS.DF
  return flags
}

/** Sets RFLAGS, whole; the caller has decided which bits may change. */
export function setFlags(cpu: CpuContextView, flags: number): void {
  setWords(cpu, at.zf, flags & RFLAGS.ZF ? 0 : 1, 0)
  setWords(cpu, at.sf, 0, flags & RFLAGS.SF ? 0x8000_0000 : 0)
  setWords(cpu, at.pf, flags & RFLAGS.PF ? 0 : 1, 0)
  setWords(cpu, at.cf, flags & RFLAGS.CF ? 1 : 0, 0)
  setWords(cpu, at.of, 0, flags & RFLAGS.OF ? 0x8000_0000 : 0)
  setWords(cpu, at.af, flags & RFLAGS.AF ? 16 : 0, 0)
  setWords(cpu, at.df, flags & RFLAGS.DF ? 1 : 0, 0)
  setWords(cpu, at.systemFlags, flags & ~ARITHMETIC | RFLAGS.FIXED, 0)
}
