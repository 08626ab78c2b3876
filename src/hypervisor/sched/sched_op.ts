/**
 * HYPERVISOR_sched_op: yielding, blocking, polling, and the ways a domain ends
 * (xen/include/public/sched.h).
 *
 * A vcpu that blocks is marked; its core finds the mark when the hypercall returns, looks once more
 * whether an interrupt waits, and only then gives the vcpu up.
 *
 * SCHEDOP_pin_override is for a hardware domain, which there is none of: -EPERM.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import { EEXIST, EFAULT, EINVAL, ENOSPC, EPERM, ESRCH } from '../../abi/xen/errno.ts'
import {
  SCHEDOP_block, SCHEDOP_pin_override, SCHEDOP_poll, SCHEDOP_remote_shutdown, SCHEDOP_shutdown,
  SCHEDOP_shutdown_code, SCHEDOP_watchdog, SCHEDOP_yield, SchedPoll, SchedRemoteShutdown,
  SchedShutdown, SchedWatchdog, SHUTDOWN_MAX,
} from '../../abi/xen/sched.ts'
import { VPF_blocked } from '../domain/state.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { Events } from '../events/events.ts'
import { POLL_MANY } from '../events/state.ts'
import { plainSubop, type Status, subop } from '../hypercall/operation.ts'
import { NO_DEADLINE, WATCHDOGS } from '../time/state.ts'
import { Timekeeper } from '../time/timekeeper.ts'
import { Scheduler } from './scheduler.ts'

const MAX_POLL_PORTS = 128
const MAX_WATCHDOG_SECONDS = 0x7fff_ffff

function yieldSlice(caller: Vcpu): Status {
  Scheduler.of(caller.host).yield(caller)
  return 0
}

function block(caller: Vcpu): Status {
  caller.setFlag(VPF_blocked)
  return 0
}

function shutdown(caller: Vcpu, op: ViewOf<typeof SchedShutdown>): Status {
  if (op.reason > SHUTDOWN_MAX) return -EINVAL
  caller.domain.shutdown(op.reason)
  return 0
}

/** Keeps the reason for a shutdown that happens by other means. */
function shutdown_code(caller: Vcpu, op: ViewOf<typeof SchedShutdown>): Status {
  const { domain } = caller
  if (op.reason > SHUTDOWN_MAX) return -EINVAL
  domain.lock()
  const unset = domain.state.shutdownCode === 0xffff_ffff
  if (unset) domain.state.shutdownCode = op.reason
  domain.unlock()
  return unset ? 0 : -EEXIST
}

function remote_shutdown(caller: Vcpu, op: ViewOf<typeof SchedRemoteShutdown>): Status {
  const domain = caller.host.domain(op.domain_id)
  if (!domain || domain.state.control !== 0) return -ESRCH
  const refusal = caller.host.xsm.schedOp(caller.domain, domain)
  if (refusal < 0) return refusal
  if (op.reason > SHUTDOWN_MAX) return -EINVAL
  domain.shutdown(op.reason)
  return 0
}

/** Waits until one of the ports is pending, masked or not, or the time has come. */
function poll(caller: Vcpu, op: ViewOf<typeof SchedPoll>): Status {
  const count = op.nr_ports
  if (count > MAX_POLL_PORTS) return -EINVAL
  const low = op.bytes.getUint32(op.base, true)
  const list = caller.compat ? low : op.bytes.getInt32(op.base + 4, true) * 2 ** 32 + low
  const events = Events.of(caller.host)
  const first = count > 0 ? caller.memory.readU32(list) : 0
  if (first < 0) return -EFAULT
  events.lock(caller.domain)
  events.beginPoll(caller, count === 1 ? first : POLL_MANY)
  let status = 0
  let found = false
  for (let i = 0; i < count && status === 0 && !found; i++) {
    const port = caller.memory.readU32(list + i * 4)
    if (port < 0) status = -EFAULT
    else if (!events.ports.find(caller.domain, port, events.local)) status = -EINVAL
    else found = events.isPending(caller.domain, port)
  }
  if (status < 0 || found) events.endPoll(caller)
  events.unlock(caller.domain)
  if (status < 0 || found) return status
  const deadline = op.timeout === 0 ? NO_DEADLINE : caller.domain.state.bornNs + op.timeout
  Timekeeper.of(caller.host).stateOf(caller).pollDeadline = deadline
  return 0
}

/** Sets watchdog `id` (0: a free one, whose number is answered), or stops it. */
function watchdog(caller: Vcpu, op: ViewOf<typeof SchedWatchdog>): Status {
  const { id, timeout } = op
  if (id > WATCHDOGS || timeout > MAX_WATCHDOG_SECONDS) return -EINVAL
  const { domain, host } = caller
  const watchdogs = Timekeeper.of(host).watchdogs(domain)
  let at = id - 1
  if (id !== 0) {
    if (watchdogs.get(at) === NO_DEADLINE) return -EINVAL
  } else {
    for (at = 0; watchdogs.get(at) !== NO_DEADLINE;) {
      // In Xen this error goes through 32 bits without a sign.
      if (++at === WATCHDOGS) return -ENOSPC >>> 0
    }
  }
  const ends = id !== 0 && timeout === 0
  watchdogs.set(at, ends ? NO_DEADLINE : host.clock.now() + timeout * 1e9)
  // They are timers of vcpu 0, whose core knows of another deadline.
  const first = domain.vcpu(0)
  if (first && first !== caller) host.kickCore(first.state.core)
  return id === 0 ? at + 1 : 0
}

export const schedOps = [
  plainSubop(SCHEDOP_yield, 'yield', yieldSlice),
  plainSubop(SCHEDOP_block, 'block', block),
  subop(SCHEDOP_shutdown, SchedShutdown, 'in', shutdown),
  subop(SCHEDOP_poll, SchedPoll, 'in', poll),
  subop(SCHEDOP_remote_shutdown, SchedRemoteShutdown, 'in', remote_shutdown),
  subop(SCHEDOP_shutdown_code, SchedShutdown, 'in', shutdown_code),
  subop(SCHEDOP_watchdog, SchedWatchdog, 'in', watchdog),
  plainSubop(SCHEDOP_pin_override, 'pin_override', () => -EPERM),
]
