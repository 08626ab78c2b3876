/**
 * sysctl: physical CPUs and frames of memory that are taken out of use, and back.
 *
 * A core has one thread, so there is no SMT to enable or disable. No frame is ever broken.
 */
import { EFAULT, EINVAL, EOPNOTSUPP, EPERM } from '../../../abi/xen/errno.ts'
import * as S from '../../../abi/xen/sysctl.ts'
import { DOMID_INVALID, DOMID_XEN } from '../../../abi/xen/xen.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import { FRAME } from '../../memory/frame-presence.ts'
import type { Frames } from '../../memory/frames.ts'
import { offlineCore, onlineCore } from '../../sched/hotplug.ts'
import { Scheduler } from '../../sched/scheduler.ts'
import { sysctlCommand, type SysctlView } from '../domctl/control.ts'
import type { Status } from '../operation.ts'

function cpu_hotplug(caller: Vcpu, op: SysctlView): Status {
  const { cpu, op: what } = op.u.cpu_hotplug
  const scheduler = Scheduler.of(caller.host)
  switch (what) {
    case S.XEN_SYSCTL_CPU_HOTPLUG_ONLINE: return onlineCore(scheduler, cpu)
    case S.XEN_SYSCTL_CPU_HOTPLUG_OFFLINE: return offlineCore(scheduler, cpu, caller)
    default: return -EOPNOTSUPP
  }
}

/** What became of a frame: a negative error, and the word for the caller. */
interface Outcome {
  readonly error: number
  readonly status: number
}

function offline(frames: Frames, mfn: number): Outcome {
  const owner = frames.owner(mfn)
  if (mfn === 0 || owner === DOMID_XEN) {
    const status = S.PG_OFFLINE_XENPAGE | S.PG_OFFLINE_FAILED
    return { error: -EPERM, status: status | DOMID_XEN << S.PG_OFFLINE_OWNER_SHIFT }
  }
  if (frames.takeOffline(mfn) === FRAME.offline) {
    return { error: 0, status: S.PG_OFFLINE_OFFLINED }
  }
  const kind = owner === DOMID_INVALID
    ? S.PG_OFFLINE_ANONYMOUS | S.PG_OFFLINE_FAILED : S.PG_OFFLINE_OWNED | S.PG_OFFLINE_PENDING
  return { error: 0, status: kind | owner << S.PG_OFFLINE_OWNER_SHIFT }
}

function online(frames: Frames, mfn: number): Outcome {
  if (frames.presence(mfn) === FRAME.online) return { error: 0, status: 0 }
  frames.takeOnline(mfn)
  return { error: 0, status: S.PG_ONLINE_ONLINED }
}

function query(frames: Frames, mfn: number): Outcome {
  const presence = frames.presence(mfn)
  return {
    error: 0,
    status: presence === FRAME.offlining ? S.PG_OFFLINE_STATUS_OFFLINE_PENDING
      : presence === FRAME.offline ? S.PG_OFFLINE_STATUS_OFFLINED : 0,
  }
}

const actions = new Map([
  [S.sysctl_page_offline, offline], [S.sysctl_page_online, online],
  [S.sysctl_query_page_offline, query],
])

/** One frame after the other, up to the first that is refused: there are no more than there is
 * memory. */
function page_offline_op(caller: Vcpu, op: SysctlView): Status {
  const { cmd, start, end, status: statuses } = op.u.page_offline
  const action = actions.get(cmd)
  if (!action || end < start) return -EINVAL
  const { frames } = caller.host
  for (let mfn = start; mfn <= end; mfn++) {
    const { error, status } = frames.has(mfn) ? action(frames, mfn)
      : { error: -EINVAL, status: S.PG_OFFLINE_INVALID }
    if (!caller.memory.writeU32(statuses + (mfn - start) * 4, status >>> 0)) return -EFAULT
    if (error < 0) return error
  }
  return 0
}

export const hotplugCommands = [
  sysctlCommand(S.XEN_SYSCTL_cpu_hotplug, 'in', cpu_hotplug),
  sysctlCommand(S.XEN_SYSCTL_page_offline_op, 'in', page_offline_op),
]
