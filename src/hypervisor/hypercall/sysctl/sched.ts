/**
 * sysctl: schedulers and cpupools.
 */
import { EFAULT, EINVAL, ENOENT, ENOSYS, ESRCH } from '../../../abi/xen/errno.ts'
import { XEN_SCHEDULER_CREDIT, XEN_SCHEDULER_CREDIT2 } from '../../../abi/xen/domctl.ts'
import * as S from '../../../abi/xen/sysctl.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import {
  addCore, createPool, destroyPool, freeCores, moveDomain, poolAt, removeCore,
} from '../../sched/cpupools.ts'
import type { PoolView } from '../../sched/run-queues.ts'
import { Scheduler } from '../../sched/scheduler.ts'
import { putBitmap, sysctlCommand, type SysctlView } from '../domctl/control.ts'
import type { Status } from '../operation.ts'

type Request = SysctlView['u']['cpupool_op']

function info(caller: Vcpu, request: Request): Status {
  const scheduler = Scheduler.of(caller.host)
  const pool = poolAt(scheduler, request.cpupool_id, true)
  if (!pool) return -ENOENT
  request.cpupool_id = scheduler.queues.pools.indexOf(pool)
  request.sched_id = pool.schedId
  request.n_dom = pool.domainCount
  const { cores } = pool
  return putBitmap(caller, request.cpumap, (i) => i < 32 && (cores >>> i & 1) === 1) ? 0 : -EFAULT
}

function cpupool_op(caller: Vcpu, op: SysctlView): Status {
  const request = op.u.cpupool_op
  const { host } = caller
  const scheduler = Scheduler.of(host)
  switch (request.op) {
    case S.XEN_SYSCTL_CPUPOOL_OP_CREATE: {
      const id = createPool(scheduler, request.cpupool_id, request.sched_id)
      if (id >= 0) request.cpupool_id = id
      return Math.min(id, 0)
    }
    case S.XEN_SYSCTL_CPUPOOL_OP_DESTROY: return destroyPool(scheduler, request.cpupool_id)
    case S.XEN_SYSCTL_CPUPOOL_OP_INFO: return info(caller, request)
    case S.XEN_SYSCTL_CPUPOOL_OP_ADDCPU:
      return addCore(scheduler, request.cpupool_id, request.cpu)
    case S.XEN_SYSCTL_CPUPOOL_OP_RMCPU:
      return removeCore(scheduler, request.cpupool_id, request.cpu)
    case S.XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN: {
      const domain = host.domain(request.domid)
      return domain ? moveDomain(scheduler, domain, request.cpupool_id) : -ESRCH
    }
    case S.XEN_SYSCTL_CPUPOOL_OP_FREEINFO: {
      const free = freeCores(scheduler)
      const isFree = (i: number): boolean => i < 32 && (free >>> i & 1) === 1
      return putBitmap(caller, request.cpumap, isFree) ? 0 : -EFAULT
    }
    default: return -ENOSYS
  }
}

/** 0 is no limit. */
function isRatelimit(us: number): boolean {
  return us === 0
    || us >= S.XEN_SYSCTL_SCHED_RATELIMIT_MIN && us <= S.XEN_SYSCTL_SCHED_RATELIMIT_MAX
}

function credit(pool: PoolView, op: SysctlView, put: boolean): Status {
  const terms = op.u.scheduler_op.u.sched_credit
  if (put) {
    const { tslice_ms, ratelimit_us, vcpu_migr_delay_us } = terms
    if (tslice_ms < S.XEN_SYSCTL_CSCHED_TSLICE_MIN || tslice_ms > S.XEN_SYSCTL_CSCHED_TSLICE_MAX
      || !isRatelimit(ratelimit_us) || ratelimit_us > tslice_ms * 1000
      || vcpu_migr_delay_us > S.XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US) return -EINVAL
    pool.sliceMs = tslice_ms
    pool.ratelimitUs = ratelimit_us
    pool.migrationDelayUs = vcpu_migr_delay_us
  }
  terms.tslice_ms = pool.sliceMs
  terms.ratelimit_us = pool.ratelimitUs
  terms.vcpu_migr_delay_us = pool.migrationDelayUs
  return 0
}

function credit2(pool: PoolView, op: SysctlView, put: boolean): Status {
  const terms = op.u.scheduler_op.u.sched_credit2
  if (put) {
    if (!isRatelimit(terms.ratelimit_us)) return -EINVAL
    pool.ratelimitUs = terms.ratelimit_us
  }
  terms.ratelimit_us = pool.ratelimitUs
  return 0
}

function scheduler_op(caller: Vcpu, op: SysctlView): Status {
  const { cmd, cpupool_id, sched_id } = op.u.scheduler_op
  if (cmd !== S.XEN_SYSCTL_SCHEDOP_putinfo && cmd !== S.XEN_SYSCTL_SCHEDOP_getinfo) return -EINVAL
  const scheduler = Scheduler.of(caller.host)
  const pool = poolAt(scheduler, cpupool_id)
  if (!pool) return -ESRCH
  if (pool.schedId !== sched_id) return -EINVAL
  const put = cmd === S.XEN_SYSCTL_SCHEDOP_putinfo
  return scheduler.exclusively(() => {
    switch (sched_id) {
      case XEN_SCHEDULER_CREDIT: return credit(pool, op, put)
      case XEN_SCHEDULER_CREDIT2: return credit2(pool, op, put)
      default: return 0
    }
  })
}

export const schedCommands = [
  sysctlCommand(S.XEN_SYSCTL_sched_id, 'inout', function sched_id(caller, op) {
    op.u.sched_id.sched_id = Scheduler.of(caller.host).defaultPolicy.id
    return 0
  }),
  sysctlCommand(S.XEN_SYSCTL_cpupool_op, 'inout', cpupool_op),
  sysctlCommand(S.XEN_SYSCTL_scheduler_op, 'inout', scheduler_op),
]
