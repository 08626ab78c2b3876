/**
 * Timers and the account of a vcpu's time, as they lie in hypervisor memory: what
 * VcpuState.timeAt and DomainState.timeAt point at. Times are host nanoseconds.
 */
import { f64, u32 } from '../../base/layout/scalar.ts'
import { array, struct } from '../../base/layout/struct.ts'

export const NO_DEADLINE = Infinity
export const WATCHDOGS = 2

export const VcpuTimeState = struct('vcpu time', {
  singleshot: f64,
  periodNs: f64,
  nextPeriodic: f64,
  /** When SCHEDOP_poll gives up. */
  pollDeadline: f64,
  /** What the guest's TSC reads at host time 0, in ticks. */
  tscOffset: f64,
  /** RUNSTATE_*, since when, and how long it was in each. */
  runstate: u32,
  pad: u32,
  runstateEntry: f64,
  times: array(f64, 4),
  /** Linear addresses that the guest registered, signed; 0 is none. */
  runstateArea: f64,
  timeArea: f64,
})

export const DomainTimeState = struct('domain time', {
  /** SCHEDOP_watchdog: when each fires. */
  watchdogs: array(f64, WATCHDOGS),
})
