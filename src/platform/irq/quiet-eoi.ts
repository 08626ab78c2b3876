/**
 * Which EOIs of an x2APIC change nothing but the register ISR (SDM 3A, 10.8.5), so that it is
 * enough to hear of them at the next exit.
 */
import type { Lapic } from './lapic.ts'
import { REG } from './lapic-state.ts'

/** Whether the next EOI is such, when `next` will be in service by then; 0 for what is now. Nothing
 * may wait for it, and no other must be told. */
export function endsQuietly({ state: { regs }, x2apic }: Lapic, next: number): boolean {
  if (!x2apic) return false
  let ending = next
  for (let i = 0; i < 8; i++) {
    const own = next >>> 5 === i && next !== 0 ? 1 << (next & 31) : 0
    if (regs.get(REG.IRR + i * 16 >>> 2) & ~own) return false
    const inService = regs.get(REG.ISR + i * 16 >>> 2)
    if (inService === 0) continue
    if (next !== 0) return false
    ending = i * 32 + 31 - Math.clz32(inService)
  }
  const level = regs.get(REG.TMR + (ending >>> 5) * 16 >>> 2) & 1 << (ending & 31)
  return ending !== 0 && level === 0
}
