/**
 * Making ports: unbound, interdomain, virq, ipi; and moving them between vcpus.
 *
 * Each function answers the new port or a negative error; xen/common/event_channel.c says which.
 */
import { EEXIST, EINVAL, ENOENT } from '../../abi/xen/errno.ts'
import {
  NR_VIRQS, VIRQ_DEBUG, VIRQ_TIMER, VIRQ_XENOPROF, VIRQ_XENPMU,
} from '../../abi/xen/xen.ts'
import type { Domain } from '../domain/domain.ts'
import type { Events } from './events.ts'
import { PORT } from './state.ts'

/** Virqs that each vcpu has for itself. */
function isPerVcpu(virq: number): boolean {
  return virq === VIRQ_TIMER || virq === VIRQ_DEBUG || virq === VIRQ_XENOPROF
    || virq === VIRQ_XENPMU
}

/** Reserves a port of `owner` for `remoteDomid` to connect to. */
export function allocUnbound(events: Events, owner: Domain, remoteDomid: number): number {
  events.lock(owner)
  const port = events.allocate(owner)
  if (port > 0) {
    events.local.state = PORT.unbound
    events.local.remoteDomid = remoteDomid
  }
  events.unlock(owner)
  return port
}

/** Joins a new port of `domain` to `remotePort`, which `remote` reserved for it. */
export function bindInterdomain(
  events: Events, domain: Domain, remote: Domain, remotePort: number,
): number {
  events.lockBoth(domain, remote)
  const port = join(events, domain, remote, remotePort)
  events.unlockBoth(domain, remote)
  return port
}

function join(events: Events, domain: Domain, remote: Domain, remotePort: number): number {
  const port = events.allocate(domain)
  if (port < 0) return port
  if (!events.ports.find(remote, remotePort, events.remote)) return -EINVAL
  if (events.remote.state !== PORT.unbound || events.remote.remoteDomid !== domain.id) {
    return -EINVAL
  }
  events.local.state = PORT.interdomain
  events.local.remoteDomid = remote.id
  events.local.remotePort = remotePort
  events.remote.state = PORT.interdomain
  events.remote.remoteDomid = domain.id
  events.remote.remotePort = port
  // Events that were sent before the binding must not be lost: the new end looks once.
  events.raise(domain, port, events.local)
  return port
}

export function bindVirq(events: Events, domain: Domain, virq: number, vcpuId: number): number {
  if (virq >= NR_VIRQS) return -EINVAL
  if (!isPerVcpu(virq) && vcpuId !== 0) return -EINVAL
  const vcpu = domain.vcpu(vcpuId)
  if (!vcpu) return -ENOENT
  events.lock(domain)
  let port = -EEXIST
  if (events.virqs(vcpu).virqs.get(virq) === 0) {
    port = events.allocate(domain)
    if (port > 0) {
      events.local.state = PORT.virq
      events.local.vcpu = vcpuId
      events.local.virq = virq
      events.virqs(vcpu).virqs.set(virq, port)
    }
  }
  events.unlock(domain)
  return port
}

export function bindIpi(events: Events, domain: Domain, vcpuId: number): number {
  if (!domain.vcpu(vcpuId)) return -ENOENT
  events.lock(domain)
  const port = events.allocate(domain)
  if (port > 0) {
    events.local.state = PORT.ipi
    events.local.vcpu = vcpuId
  }
  events.unlock(domain)
  return port
}

/** Lets `port` notify another vcpu: 0 or an error. */
export function bindVcpu(events: Events, domain: Domain, port: number, vcpuId: number): number {
  if (!domain.vcpu(vcpuId)) return -ENOENT
  events.lock(domain)
  let status = -EINVAL
  if (events.ports.find(domain, port, events.local)) {
    const { state, virq } = events.local
    const moves = state === PORT.unbound || state === PORT.interdomain
      || state === PORT.virq && !isPerVcpu(virq)
    if (moves) {
      events.local.vcpu = vcpuId
      status = 0
    }
  }
  events.unlock(domain)
  return status
}
