/**
 * From TSC ticks to nanoseconds and back: the scale that struct vcpu_time_info shows
 * (xen/include/public/xen.h): ns = ((ticks << shift) * mul) >> 32, mul of 32 bits.
 */
const TWO_32 = 0x1_0000_0000

export interface TscScale {
  readonly mul: number
  readonly shift: number
}

/** The scale of a TSC that runs at `khz`; the multiplier has its top bit set. */
export function tscScale(khz: number): TscScale {
  let nsPerTick = 1e6 / khz
  let shift = 0
  for (; nsPerTick >= 1; shift++) nsPerTick /= 2
  for (; nsPerTick < 0.5; shift--) nsPerTick *= 2
  return { mul: Math.floor(nsPerTick * TWO_32), shift }
}

/** Ticks in `ns` nanoseconds: what the host's TSC reads then. */
export function ticksOf(ns: number, khz: number): number {
  return Math.floor(ns * khz / 1e6)
}
