/**
 * cpupools: sets of cores with a scheduling policy of their own, and the domains that run there.
 *
 * Numbers are the lowest that is free. Pool-0 is always there and keeps core 0. A pool that has
 * domains keeps at least one core. Obeys xen/include/public/sysctl.h (XEN_SYSCTL_cpupool_op).
 */
import {
  EADDRNOTAVAIL, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENOMEM, EPERM,
} from '../../abi/xen/errno.ts'
import { XEN_SYSCTL_CPUPOOL_PAR_ANY } from '../../abi/xen/sysctl.ts'
import type { Domain } from '../domain/domain.ts'
import { AFFINITY_WORDS } from '../domain/state.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { coreIn, lowest, type PoolView } from './run-queues.ts'
import { DEFAULT_WEIGHT, Scheduler } from './scheduler.ts'

/** Makes an empty pool: its number, or a negative error. */
export function createPool(scheduler: Scheduler, wanted: number, schedId: number): number {
  const policy = scheduler.policies.find(({ id }) => id === schedId)
  if (!policy) return -EINVAL
  const { pools } = scheduler.queues
  return scheduler.exclusively(() => {
    const id = wanted === XEN_SYSCTL_CPUPOOL_PAR_ANY
      ? pools.findIndex(({ exists }) => exists === 0) : wanted
    const pool = pools[id]
    if (!pool) return -ENOMEM
    if (pool.exists !== 0) return -EEXIST
    scheduler.foundPool(id, policy)
    return id
  })
}

export function destroyPool(scheduler: Scheduler, id: number): number {
  return scheduler.exclusively(() => {
    const pool = poolAt(scheduler, id)
    if (!pool) return -ENOENT
    if (id === 0 || pool.domainCount > 0 || pool.cores !== 0) return -EBUSY
    pool.exists = 0
    return 0
  })
}

/** Gives a free core to a pool. */
export function addCore(scheduler: Scheduler, id: number, wanted: number): number {
  const { host } = scheduler
  return scheduler.exclusively((now) => {
    const free = freeCores(scheduler)
    const any = wanted === XEN_SYSCTL_CPUPOOL_PAR_ANY
    if (!any && wanted >= host.state.coreCount) return -EINVAL
    const pool = poolAt(scheduler, id)
    if (!pool) return -ENOENT
    if (any ? free === 0 : (free >>> wanted & 1) === 0) return -ENODEV
    giveCore(scheduler, id, any ? lowest(free) : wanted, now)
    return 0
  })
}

/** Gives a core that is free to pool `id`, exclusively. */
export function giveCore(scheduler: Scheduler, id: number, core: number, now: number): void {
  const { queues } = scheduler
  const pool = queues.pools[id]!
  const before = pool.cores
  queues.cores[core]!.pool = id + 1
  pool.cores |= 1 << core
  scheduler.regroup(pool, before, now)
  queues.kicks |= 1 << core
}

/** Takes a core from its pool; vcpus that could run only there may run on all the pool's. */
export function removeCore(scheduler: Scheduler, id: number, wanted: number): number {
  const { host } = scheduler
  return scheduler.exclusively((now) => {
    const pool = poolAt(scheduler, id)
    const any = wanted === XEN_SYSCTL_CPUPOOL_PAR_ANY
    if (!any && wanted >= host.state.coreCount) return -EINVAL
    if (!pool) return -ENOENT
    const core = any ? 31 - Math.clz32(pool.cores) : wanted
    if (core < 0 || (pool.cores >>> core & 1) === 0) return -EADDRNOTAVAIL
    if (core === 0 && id === 0) return -EINVAL
    const rest = pool.cores & ~(1 << core)
    if (rest === 0 && pool.domainCount > 0) return -EBUSY
    freeCore(scheduler, core, now)
    return 0
  })
}

/** Takes `core` from the pool that has it, exclusively; vcpus go to the pool's others. */
export function freeCore(scheduler: Scheduler, core: number, now: number): void {
  const { host, queues } = scheduler
  const id = queues.cores[core]!.pool - 1
  const pool = queues.pools[id]!
  const runs = queues.runningOn(core)
  const owner = queues.vcpuAt(queues.cores[core]!.owner)
  const before = pool.cores
  const rest = before & ~(1 << core)
  queues.cores[core]!.pool = 0
  queues.cores[core]!.owner = 0
  if (owner) owner.state.sched.policy.null.core = 0
  pool.cores = rest
  for (let domain = host.nextDomain(0); domain; domain = host.nextDomain(domain.id + 1)) {
    if (domain.state.cpupool === id) leaveCore(domain, core, rest)
  }
  scheduler.regroup(pool, before, now)
  if (runs) queues.bound(runs, core, now)
  queues.kicks |= 1 << core | rest
}

/** Makes a domain's vcpus look to the cores that its pool still has. */
function leaveCore(domain: Domain, core: number, rest: number): void {
  for (let i = 0; i < domain.vcpuCount; i++) {
    const vcpu = domain.vcpu(i)
    if (!vcpu || rest === 0) continue
    if ((vcpu.state.hardAffinity.get(0) & rest) === 0) {
      domain.host.console.print(`Breaking affinity for d${domain.id}v${i}`)
      setAll(vcpu.state.hardAffinity)
    }
    if (vcpu.state.core === core && vcpu.state.running === 0) vcpu.state.core = lowest(rest)
  }
}

function setAll(affinity: Vcpu['state']['hardAffinity']): void {
  for (let i = 0; i < AFFINITY_WORDS; i++) affinity.set(i, 0xffff_ffff)
}

/** Moves a domain to another pool; it starts there with that policy's defaults, and no affinity. */
export function moveDomain(scheduler: Scheduler, domain: Domain, id: number): number {
  if (domain.isControl) return -EPERM
  if (domain.isDying) return -EINVAL
  const { pools } = scheduler.queues
  domain.pause()
  const status = scheduler.exclusively((now) => {
    const to = poolAt(scheduler, id)
    if (!to) return -ENOENT
    if (domain.state.cpupool === id) return 0
    if (to.cores === 0) return -ENODEV
    const vcpus = Array.from({ length: domain.vcpuCount }, (_, i) => domain.vcpu(i))
      .filter((vcpu) => vcpu !== undefined)
    for (const vcpu of vcpus) scheduler.expel(vcpu)
    pools[domain.state.cpupool]!.domainCount--
    domain.state.cpupool = id
    to.domainCount++
    const { sched } = domain.state
    sched.weight = DEFAULT_WEIGHT
    sched.cap = 0
    for (const vcpu of vcpus) {
      setAll(vcpu.state.hardAffinity)
      setAll(vcpu.state.softAffinity)
      vcpu.state.core = coreIn(to.cores, vcpu.state.core)
      scheduler.admit(vcpu, now)
    }
    return 0
  })
  domain.unpause()
  return status
}

/** Pool `id`, or with `orNext` the first one after it. */
export function poolAt(
  scheduler: Scheduler, id: number, orNext = false,
): PoolView | undefined {
  const { pools } = scheduler.queues
  for (let at = id; at < pools.length; at++) {
    if (pools[at]!.exists !== 0) return pools[at]
    if (!orNext) break
  }
  return undefined
}

/** The cores that are online and in no pool. */
export function freeCores({ host, queues }: Scheduler): number {
  let free = 0
  for (let core = 0; core < host.state.coreCount; core++) {
    if (queues.cores[core]!.pool === 0 && host.core(core).online !== 0) free |= 1 << core
  }
  return free
}
