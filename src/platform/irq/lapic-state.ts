/**
 * What a local APIC keeps, and where its registers are (AMD APM 2, chapter 16; SDM 3A, 10.4).
 *
 * LapicState is Xen's save records struct hvm_hw_lapic and struct hvm_hw_lapic_regs, one after the
 * other (xen/arch-x86/hvm/save.h), so that saving is copying. LapicRest is what these leave out and
 * a restore recomputes. Registers lie 16 bytes
 * apart; the index of a register's word is its offset in the APIC page divided by 4.
 */
import { atomic, f64, u32, u64 } from '../../base/layout/scalar.ts'
import { array, struct } from '../../base/layout/struct.ts'

export const LapicState = struct('lapic', {
  apic_base_msr: u64,
  /** LAPIC_SOFTWARE_DISABLED and LAPIC_HARDWARE_DISABLED. */
  disabled: u32,
  timer_divisor: u32,
  tdt_msr: u64,
  regs: array(atomic(u32), 256),
})

export const LapicRest = struct('lapic rest', {
  /** Host time in ns at which the timer fires next; Infinity when it does not run. */
  timerDeadline: f64,
  /** Host time at which the current count began. */
  timerStart: f64,
  /** Errors since ESR was last written. */
  pendingErrors: u32,
  /** What x2APIC mode shows as the id. */
  id: u32,
})

export type LapicStateView = ReturnType<typeof LapicState.on>
export type LapicRestView = ReturnType<typeof LapicRest.on>

export const LAPIC_HARDWARE_DISABLED = 1
export const LAPIC_SOFTWARE_DISABLED = 2

export const LAPIC_BASE = 0xfee00000
export const APIC_BASE_BSP = 1 << 8
export const APIC_BASE_EXTD = 1 << 10
export const APIC_BASE_ENABLE = 1 << 11

export const REG = {
  ID: 0x20, VERSION: 0x30, TPR: 0x80, APR: 0x90, PPR: 0xa0, EOI: 0xb0, RRD: 0xc0, LDR: 0xd0,
  DFR: 0xe0, SVR: 0xf0, ISR: 0x100, TMR: 0x180, IRR: 0x200, ESR: 0x280, ICR: 0x300, ICR2: 0x310,
  LVT_TIMER: 0x320, LVT_THERMAL: 0x330, LVT_PERF: 0x340, LVT_LINT0: 0x350, LVT_LINT1: 0x360,
  LVT_ERROR: 0x370, TIMER_INITIAL: 0x380, TIMER_CURRENT: 0x390, TIMER_DIVIDE: 0x3e0,
  SELF_IPI: 0x3f0,
} as const

/** Version 0x14 with six entries in the local vector table, as Xen's. */
export const LAPIC_VERSION = 0x0005_0014
export const LVT_MASKED = 1 << 16
/** Bits of an entry that are read only: writing ones is allowed and does nothing. */
export const LVT_PENDING = 1 << 12
export const LVT_REMOTE_IRR = 1 << 14
export const SVR_ENABLE = 1 << 8

export const TIMER_MODE_SHIFT = 17
export const TIMER_ONE_SHOT = 0
export const TIMER_PERIODIC = 1
export const TIMER_TSC_DEADLINE = 2

export const ESR_SEND_ILLEGAL = 1 << 5
export const ESR_RECEIVE_ILLEGAL = 1 << 6
export const ESR_ILLEGAL_REGISTER = 1 << 7

/** ICR and LVT delivery modes (bits 8 to 10). */
export const DELIVER = {
  FIXED: 0, LOWEST: 1, SMI: 2, NMI: 4, INIT: 5, STARTUP: 6, EXTINT: 7,
} as const

export const ICR_LOGICAL = 1 << 11
export const ICR_ASSERT = 1 << 14
export const ICR_LEVEL = 1 << 15

/** Which bits of each local vector table entry may be written. */
export function lvtWritable(register: number): number {
  switch (register) {
    case REG.LVT_TIMER: return 0x0007_00ff
    case REG.LVT_LINT0:
    case REG.LVT_LINT1: return 0x0001_a7ff
    case REG.LVT_ERROR: return 0x0001_00ff
    default: return 0x0001_07ff
  }
}
