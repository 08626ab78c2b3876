/**
 * What mode the processor is in, and the checks that many services share.
 */
import { CR0, CR4, EFER, Vector } from '../../abi/x86/control.ts'
import { FLAT_CODE32, FLAT_DATA } from '../../abi/x86/descriptor.ts'
import { CS, DS, ES, SS } from '../../abi/x86/registers.ts'
import {
  CODE_MODE_16, CODE_MODE_32, CODE_MODE_FLAT, CODE_MODE_LONG, CODE_MODE_STACK32,
} from '../core-memory.ts'
import type { Processor } from '../interfaces.ts'
import {
  CpuContext, type CpuContextView, lowWord, RFLAGS, SEGMENT_DB, SEGMENT_L, setSystemFlags,
  systemFlagsOf,
} from '../state.ts'

const at = CpuContext.offsets
/** Of a segment's attributes: present, no system segment, and the type but for `accessed`. */
const KIND = 0x9e

export function isProtected(c: CpuContextView): boolean {
  return (lowWord(c, at.cr0) & CR0.PE) !== 0
}

export function isV86(c: CpuContextView): boolean {
  return (systemFlagsOf(c) & RFLAGS.VM) !== 0 && isProtected(c)
}

export function isLongMode(c: CpuContextView): boolean {
  return (lowWord(c, at.efer) & EFER.LMA) !== 0
}

/** What decoded code depends on: one of CODE_MODE_*. */
export function codeModeOf(c: CpuContextView): number {
  // One view serves all segments, so the attributes are taken first.
  const code = c.segments.item(CS).attributes
  const stack = c.segments.item(SS).attributes
  if (isLongMode(c) && code & SEGMENT_L) return CODE_MODE_LONG
  return (code & SEGMENT_DB ? CODE_MODE_32 : CODE_MODE_16)
    | (stack & SEGMENT_DB ? CODE_MODE_STACK32 : 0)
    | (isFlat(c) ? CODE_MODE_FLAT : 0)
}

/** Whether offsets in ES, CS, SS and DS are linear addresses, where all may be read, and written
 * through all but CS. */
function isFlat(c: CpuContextView): boolean {
  for (const index of [ES, CS, SS, DS]) {
    const { attributes, base, limit } = c.segments.item(index)
    const flat = index === CS ? FLAT_CODE32 : FLAT_DATA
    if (((attributes ^ flat) & KIND) !== 0 || base !== 0n || limit !== 0xffff_ffff) return false
  }
  return true
}

/** Segments are loaded from descriptors. */
export function usesDescriptors(c: CpuContextView): boolean {
  return isProtected(c) && !isV86(c)
}

export function ioplOf(c: CpuContextView): number {
  return systemFlagsOf(c) >> 12 & 3
}

export function requireCpl0(p: Processor): void {
  if (p.context.cpl !== 0) p.fault(Vector.GP, 0)
}

/** User-mode instruction prevention: SGDT and its like are privileged. */
export function requireNoUmip(p: Processor): void {
  const c = p.context
  if (c.cpl !== 0 && Number(c.cr4) & CR4.UMIP) p.fault(Vector.GP, 0)
}

export function isCanonical(address: bigint): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(48, address)) === address
}

/** Changes bits of RFLAGS outside the arithmetic flags. */
export function changeSystemFlags(c: CpuContextView, clear: number, set = 0): void {
  setSystemFlags(c, systemFlagsOf(c) & ~clear | set)
}

/** RF has no effect without a breakpoint that it could hold off: it is left clear then. */
export function uselessFlags(c: CpuContextView): number {
  return c.dr.get(7) & 0xffn ? 0 : RFLAGS.RF
}

/** The general register as an unsigned 32-bit number. */
export function gpr32(c: CpuContextView, index: number): number {
  return Number(c.gpr.get(index) & 0xffff_ffffn)
}

/** Number of the address space that CR3 names. */
export function pcidOf(c: CpuContextView): number {
  return Number(c.cr4) & CR4.PCIDE ? Number(c.cr3 & 0xfffn) : 0
}
