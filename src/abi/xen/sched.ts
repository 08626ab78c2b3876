/**
 * xen/include/public/sched.h: yielding, blocking, and the ways a domain ends.
 */
import { i32, pointer, u32, u53 } from '../../base/layout/scalar.ts'
import { struct } from '../../base/layout/struct.ts'
import { domid_t } from './xen.ts'

export const SCHEDOP_yield = 0
export const SCHEDOP_block = 1
export const SCHEDOP_shutdown = 2
export const SCHEDOP_poll = 3
export const SCHEDOP_remote_shutdown = 4
export const SCHEDOP_shutdown_code = 5
export const SCHEDOP_watchdog = 6
export const SCHEDOP_pin_override = 7

export const SHUTDOWN_poweroff = 0
export const SHUTDOWN_reboot = 1
export const SHUTDOWN_suspend = 2
export const SHUTDOWN_crash = 3
export const SHUTDOWN_watchdog = 4
export const SHUTDOWN_soft_reset = 5
export const SHUTDOWN_MAX = 5

export const SchedShutdown = struct('struct sched_shutdown', { reason: u32 })
export const SchedPoll = struct('struct sched_poll', {
  ports: pointer, nr_ports: u32, timeout: u53,
})
export const SchedRemoteShutdown = struct('struct sched_remote_shutdown', {
  domain_id: domid_t, reason: u32,
})
export const SchedWatchdog = struct('struct sched_watchdog', { id: u32, timeout: u32 })
export const SchedPinOverride = struct('struct sched_pin_override', { pcpu: i32 })
