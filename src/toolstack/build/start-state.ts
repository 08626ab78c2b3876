/**
 * The state in which the first vcpu of a PVH domain starts.
 *
 * Obeys xen/include/public/arch-x86/hvm/start_info.h: 32-bit protected mode, paging off, flat
 * segments, EBX at the start info. Registers not named here are zero. FS and GS, which the header
 * leaves open and libxl leaves unusable, are flat, too: Debian's 32-bit kernels read the word of
 * their stack protector through FS before they load it.
 */
import { CR0 } from '../../abi/x86/control.ts'

/** A segment register's hidden part; `attributes` as in a descriptor's bytes 5 and 6 (12 bits). */
export interface StartSegment {
  readonly base: number
  readonly limit: number
  readonly attributes: number
}

export interface StartState {
  readonly rip: number
  readonly rbx: number
  readonly rflags: number
  readonly cr0: number
  readonly cr4: number
  readonly efer: number
  readonly cs: StartSegment
  /** DS, ES, SS, FS and GS alike. */
  readonly data: StartSegment
  readonly tr: StartSegment
  /** MTRR default type: write-back, MTRRs enabled. */
  readonly mtrrDefaultType: number
}

const RFLAGS_ALWAYS_ONE = 1 << 1
const CODE_32 = 0xc9b
const DATA_32 = 0xc93
const TSS_32_BUSY = 0x8b
const MTRR_ENABLED = 1 << 11
const MTRR_WRITE_BACK = 6

export function pvhStartState(entry: number, startInfoAddress: number): StartState {
  return {
    rip: entry,
    rbx: startInfoAddress,
    rflags: RFLAGS_ALWAYS_ONE,
    cr0: CR0.PE | CR0.ET,
    cr4: 0,
    efer: 0,
    cs: { base: 0, limit: 0xffffffff, attributes: CODE_32 },
    data: { base: 0, limit: 0xffffffff, attributes: DATA_32 },
    tr: { base: 0, limit: 0x67, attributes: TSS_32_BUSY },
    mtrrDefaultType: MTRR_ENABLED | MTRR_WRITE_BACK,
  }
}
