/**
 * The scheduler's state as it lies in hypervisor memory: what VcpuState.schedAt and
 * HostState.schedAt point at.
 */
import { f64, u32 } from '../../base/layout/scalar.ts'
import { struct } from '../../base/layout/struct.ts'

export const QueueState = struct('run queue', {
  /** Addresses of vcpus; 0 is none. */
  head: u32,
  tail: u32,
  length: u32,
  pad: u32,
})

export const VcpuSchedState = struct('vcpu sched', {
  next: u32,
  queued: u32,
  /** Core number plus one of its present or last run, and of the one before. */
  ranNow: u32,
  ranBefore: u32,
  /** Host time at which its slice ends, while it runs. */
  sliceEnd: f64,
})
