/**
 * Taking physical CPUs out of use while the machine runs, and back into it.
 *
 * A core that goes offline leaves its pool first, so that its vcpus move to the pool's others; its
 * thread ends once it runs none. One that comes online joins Pool-0. Core 0 stays, as does a core
 * of another pool until it was taken from that. Obeys xen/include/public/sysctl.h
 * (XEN_SYSCTL_cpu_hotplug) with the errors of Xen 4.17.
 */
import { Bug } from '../../base/assert.ts'
import { waitWhile } from '../../base/shared/wait.ts'
import { EEXIST, EINVAL, ENODEV } from '../../abi/xen/errno.ts'
import { VIRQ_PCPU_STATE } from '../../abi/xen/xen.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { CoreState } from '../host/state.ts'
import { freeCore, giveCore } from './cpupools.ts'
import type { Scheduler } from './scheduler.ts'

const LOOK_MS = 1
/** A core that keeps its vcpu longer is our mistake. */
const LONGEST_MS = 20_000

/** Returns when `core` runs no vcpu, unless that is the caller's own: 0 or a negative error. */
export function offlineCore(scheduler: Scheduler, core: number, caller: Vcpu): number {
  const { host } = scheduler
  const status = withdrawCore(scheduler, core)
  if (status < 0) return status
  if (caller.state.running !== core + 1) awaitIdle(scheduler, core)
  host.services.events.sendGlobalVirq(VIRQ_PCPU_STATE)
  return 0
}

/** Tells `core` to let go of its vcpu and to end. */
export function withdrawCore(scheduler: Scheduler, core: number): number {
  const { host, queues } = scheduler
  if (core === 0 || core >= host.state.coreCount) return -EINVAL
  return scheduler.exclusively((now) => {
    if (host.core(core).online === 0) return -EEXIST
    const { pool } = queues.cores[core]!
    if (pool > 1) return -ENODEV
    if (pool === 1) freeCore(scheduler, core, now)
    host.core(core).online = 0
    queues.kicks |= 1 << core
    return 0
  })
}

/** Its thread starts when it is first wanted. */
export function onlineCore(scheduler: Scheduler, core: number): number {
  const { host } = scheduler
  if (core >= host.state.coreCount) return -EINVAL
  const status = scheduler.exclusively((now) => {
    if (host.core(core).online !== 0) return -EEXIST
    host.core(core).online = 1
    giveCore(scheduler, 0, core, now)
    return 0
  })
  if (status === 0) host.services.events.sendGlobalVirq(VIRQ_PCPU_STATE)
  return status
}

function awaitIdle({ host }: Scheduler, core: number): void {
  const { cells } = host.hypervisor
  const cell = host.core(core).base + CoreState.offsets.currentVcpu >>> 2
  const end = Date.now() + LONGEST_MS
  for (let runs = Atomics.load(cells, cell); runs !== 0; runs = Atomics.load(cells, cell)) {
    host.kickCore(core)
    waitWhile(cells, cell, runs, LOOK_MS)
    if (Date.now() > end) throw new Bug(`core ${core} does not leave its vcpu`)
  }
}
