/**
 * What VcpuState.platformAt points at for a PVH vcpu: the LAPIC's state beyond its save records.
 */
import { u32 } from '../../base/layout/scalar.ts'
import { struct } from '../../base/layout/struct.ts'
import { LapicRest } from '../../platform/irq/lapic-state.ts'

export const PvhVcpuState = struct('pvh vcpu', {
  lapic: LapicRest,
  /** The vector of a STARTUP that has not been acted on, plus STARTUP_WAITS; or 0. */
  startup: u32,
  pad: u32,
})

export const STARTUP_WAITS = 0x100
