/**
 * What remains to be done for a core whose thread has died: others must not wait for it, and the
 * domain that it ran has lost the registers of a vcpu.
 */
import { Vcpu } from '../hypervisor/domain/vcpu.ts'
import { VcpuState } from '../hypervisor/domain/state.ts'
import type { Host } from '../hypervisor/host/host.ts'
import { Scheduler } from '../hypervisor/sched/scheduler.ts'

/** The domain that has crashed; -1 if the core was idle. */
export interface Lost {
  readonly domid: number
}

/** Makes core `index` one that has stopped; undefined when it held a lock, and the hypervisor's
 * state cannot be trusted. */
export function abandonCore(host: Host, index: number, why: string): Lost | undefined {
  const core = host.core(index)
  if (core.heldLocks !== 0) return undefined
  host.presence.abandon(index)
  const vcpu = vcpuAt(host, core.currentVcpu)
  if (!vcpu) return { domid: -1 }
  vcpu.domain.crash(why)
  Scheduler.of(host).stopped(vcpu, index, host.clock.now())
  return { domid: vcpu.domain.id }
}

function vcpuAt(host: Host, address: number): Vcpu | undefined {
  if (address === 0) return undefined
  const { domid, id } = VcpuState.on(host.hypervisor.buffer, address)
  const vcpu = host.domain(domid)?.vcpu(id)
  return vcpu?.address === address ? vcpu : undefined
}
