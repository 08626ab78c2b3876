/**
 * Which x2APIC MSRs may be read and written, and with which bits (SDM 3A, table 10-6).
 */
import { LVT_PENDING, LVT_REMOTE_IRR, lvtWritable, REG } from './lapic-state.ts'

/** Whether RDMSR of this register succeeds in x2APIC mode. */
export function x2Readable(register: number): boolean {
  switch (register) {
    case REG.ID: case REG.VERSION: case REG.TPR: case REG.PPR: case REG.LDR: case REG.SVR:
    case REG.ESR: case REG.ICR: case REG.LVT_TIMER: case REG.LVT_THERMAL: case REG.LVT_PERF:
    case REG.LVT_LINT0: case REG.LVT_LINT1: case REG.LVT_ERROR: case REG.TIMER_INITIAL:
    case REG.TIMER_CURRENT: case REG.TIMER_DIVIDE: return true
    default: return register >= REG.ISR && register < REG.ESR
  }
}

/** Whether WRMSR of this value succeeds in x2APIC mode. */
export function x2Writable(register: number, low: number, high: number): boolean {
  if (register === REG.ICR) return (low & ~0xccfff) === 0
  if (high !== 0) return false
  switch (register) {
    case REG.TPR: return (low & ~0xff) === 0
    case REG.SVR: return (low & ~0x3ff) === 0
    case REG.EOI:
    case REG.ESR: return low === 0
    case REG.LVT_LINT0: case REG.LVT_LINT1:
      return (low & ~(lvtWritable(register) | LVT_PENDING | LVT_REMOTE_IRR)) === 0
    case REG.LVT_TIMER: case REG.LVT_THERMAL: case REG.LVT_PERF: case REG.LVT_ERROR:
      return (low & ~(lvtWritable(register) | LVT_PENDING)) === 0
    case REG.TIMER_INITIAL: return true
    case REG.TIMER_DIVIDE: return (low & ~0xb) === 0
    case REG.SELF_IPI: return (low & ~0xff) === 0
    default: return false
  }
}
