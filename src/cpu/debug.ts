/**
 * Breakpoints in DR0 to DR3 and the traps that wait for an instruction's end (AMD APM 2, 13.1), and
 * when alignment is checked (8.2.18), for which every access is looked at as well.
 *
 * While a breakpoint is enabled the processor goes on instruction by instruction. Data accesses
 * then miss the TLBs, whose slow path compares addresses (mmu/watch.ts) and notes in
 * `control.debugHits` what matched. Left out: accesses that the delivery of an exception makes;
 * an instruction that jumps to itself is stopped once, as if it were repeated.
 */
import { CR0, CR4 } from '../abi/x86/control.ts'
import { type CpuContextView, RFLAGS, systemFlagsOf } from './state.ts'

/** What is looked at: bits of `control.watching`. */
export const Watching = { DATA: 1, EXECUTE: 2, PORTS: 4, ALIGNMENT: 8 } as const
/** Breakpoints, which make the processor step. */
export const BREAKPOINTS = Watching.DATA | Watching.EXECUTE | Watching.PORTS
/** What keeps accesses out of the TLBs. */
export const WATCHED_ACCESSES = Watching.DATA | Watching.ALIGNMENT

/** `control.trapOverride`: whether a step ends in a trap, when TF before it does not decide. */
export const TrapOverride = { NONE: 0, NO_TRAP: 1, TRAP: 2 } as const

/** R/W fields of DR7. */
export const BreakOn = { EXECUTE: 0, WRITE: 1, PORT: 2, ACCESS: 3 } as const

/** Bytes that a LEN field of DR7 means. */
const LENGTHS = [1, 2, 8, 4] as const

function dr7Of(c: CpuContextView): number {
  return Number(c.dr.get(7) & 0xffff_ffffn)
}

function isEnabled(dr7: number, n: number): boolean {
  return (dr7 >>> 2 * n & 3) !== 0
}

function kindOf(dr7: number, n: number): number {
  return dr7 >>> 16 + 4 * n & 3
}

/** Without CR4.DE the encoding for ports means nothing. */
function hasPorts(c: CpuContextView): boolean {
  return (Number(c.cr4) & CR4.DE) !== 0
}

function checksAlignment(c: CpuContextView): boolean {
  return c.cpl === 3 && (systemFlagsOf(c) & RFLAGS.AC) !== 0 && (Number(c.cr0) & CR0.AM) !== 0
}

/** What enabled breakpoints wait for, and whether alignment matters. */
export function watchingOf(c: CpuContextView): number {
  const dr7 = dr7Of(c)
  let watching = checksAlignment(c) ? Watching.ALIGNMENT : 0
  if (!(dr7 & 0xff)) return watching
  for (let n = 0; n < 4; n++) {
    if (!isEnabled(dr7, n)) continue
    switch (kindOf(dr7, n)) {
      case BreakOn.EXECUTE: watching |= Watching.EXECUTE; break
      case BreakOn.PORT: if (hasPorts(c)) watching |= Watching.PORTS; break
      default: watching |= Watching.DATA
    }
  }
  return watching
}

/** Bits of DR6 for the breakpoints at the instruction at a linear address. */
export function instructionHits(c: CpuContextView, linear: bigint): number {
  const dr7 = dr7Of(c)
  let hits = 0
  for (let n = 0; n < 4; n++) {
    const length = dr7 >>> 18 + 4 * n & 3
    const matches = isEnabled(dr7, n) && kindOf(dr7, n) === BreakOn.EXECUTE && length === 0
    if (matches && c.dr.get(n) === linear) hits |= 1 << n
  }
  return hits
}

/** The same for an access to ports. */
export function portHits(c: CpuContextView, port: number, size: number): number {
  const dr7 = dr7Of(c)
  let hits = 0
  if (!hasPorts(c)) return 0
  for (let n = 0; n < 4; n++) {
    if (!isEnabled(dr7, n) || kindOf(dr7, n) !== BreakOn.PORT) continue
    const length = LENGTHS[dr7 >>> 18 + 4 * n & 3]!
    const first = Number(c.dr.get(n) & 0xffffn) & ~(length - 1)
    if (port < first + length && first < port + size) hits |= 1 << n
  }
  return hits
}
