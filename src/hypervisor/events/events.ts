/**
 * Event channels of all domains as one thread sees them: connecting, sending, closing.
 *
 * Obeys xen/include/public/event_channel.h, and xen/common/event_channel.c where that is silent.
 * Every change of a domain's ports, and every delivery to it, holds its events lock; what joins two
 * domains holds both, in the order of their addresses. Vcpus are interrupted after it.
 *
 * Left out: pirqs (EVTCHNOP_bind_pirq), consumers inside Xen.
 */
import { assert } from '../../base/assert.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import { EINVAL, ENOMEM, ESRCH } from '../../abi/xen/errno.ts'
import type { Domain } from '../domain/domain.ts'
import { DomainState, NO_FRAME, VPF_polling } from '../domain/state.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { Host } from '../host/host.ts'
import type { EventService, Subsystem } from '../host/services.ts'
import { LOCK_RANK } from '../host/state.ts'
import { Fifo } from './fifo.ts'
import { Ports, type PortView } from './ports.ts'
import { POLL_MANY, PORT, PortState, VcpuEventsState } from './state.ts'
import { clearPending2L, isMasked2L, isPending2L, setPending2L, unmask2L } from './two-level.ts'
import { interrupt, OwedUpcalls } from './upcall.ts'

export class Events implements EventService, Subsystem {
  readonly name = 'events'
  readonly host: Host
  readonly ports: Ports
  readonly fifo: Fifo
  /** Views that operations move: the port at hand and its other end. */
  readonly local: PortView
  readonly remote: PortView
  readonly #vcpuEvents: ViewOf<typeof VcpuEventsState>
  readonly #lock: RankedLock
  readonly #owed = new OwedUpcalls()
  readonly #isBusy = (domain: Domain, port: number): boolean => this.fifo.isBusy(domain, port)

  constructor(host: Host) {
    this.host = host
    this.ports = new Ports(host)
    this.fifo = new Fifo(host, this.ports, this.#owed)
    this.local = PortState.on(host.hypervisor.buffer)
    this.remote = PortState.on(host.hypervisor.buffer)
    this.#vcpuEvents = VcpuEventsState.on(host.hypervisor.buffer)
    this.#lock = new RankedLock(host.hypervisor.cells, LOCK_RANK.events, 'events')
  }

  /** The events of the thread that `host` belongs to. */
  static of(host: Host): Events {
    const events = host.services.events
    assert(events instanceof Events, 'the host was assembled without events')
    return events
  }

  lock(domain: Domain): void {
    this.#lock.acquire(domain.address + DomainState.offsets.eventsLock)
  }

  /** Gives the lock back; whom something was raised at hears of it then. */
  unlock(domain: Domain): void {
    this.#release(domain)
    this.#owed.pay()
  }

  #release(domain: Domain): void {
    this.#lock.release(domain.address + DomainState.offsets.eventsLock)
  }

  lockBoth(a: Domain, b: Domain): void {
    if (a.address === b.address) {
      this.lock(a)
      return
    }
    this.lock(a.address < b.address ? a : b)
    this.lock(a.address < b.address ? b : a)
  }

  unlockBoth(a: Domain, b: Domain): void {
    if (a.address !== b.address) this.#release(a.address < b.address ? b : a)
    this.unlock(a.address < b.address ? a : b)
  }

  domainCreated(domain: Domain): number {
    const status = this.ports.create(domain)
    if (status < 0) return status
    if (this.ports.find(domain, 1, this.local)) this.local.at(this.local.base - PortState.size)
    this.local.state = PORT.reserved
    return 0
  }

  domainDestroyed(domain: Domain): void {
    if (domain.state.eventsAt === 0) return
    this.reset(domain)
    this.ports.destroy(domain)
  }

  vcpuCreated(vcpu: Vcpu): number {
    const at = this.host.heap.allocate(VcpuEventsState.size)
    vcpu.state.eventsAt = at
    return at === 0 ? -ENOMEM : 0
  }

  vcpuDestroyed(vcpu: Vcpu): void {
    const at = vcpu.state.eventsAt
    if (at === 0) return
    this.fifo.destroyVcpu(vcpu)
    this.releaseVcpuInfo(vcpu)
    vcpu.state.eventsAt = 0
    this.host.heap.release(at, VcpuEventsState.size)
  }

  /** Forgets where the guest registered the vcpu's vcpu_info. */
  releaseVcpuInfo(vcpu: Vcpu): void {
    const mfn = vcpu.state.vcpuInfoMfn
    vcpu.state.vcpuInfoMfn = NO_FRAME
    if (mfn !== NO_FRAME && mfn !== 0 && mfn !== vcpu.domain.state.sharedInfoMfn) {
      this.host.frames.put(mfn)
    }
  }

  virqs(vcpu: Vcpu): ViewOf<typeof VcpuEventsState> {
    return this.#vcpuEvents.at(vcpu.state.eventsAt)
  }

  /** Gives out a port of `domain`, whose lock is held: `local` is moved to it. */
  allocate(domain: Domain): number {
    return this.ports.allocate(domain, this.local, this.#isBusy)
  }

  /** Raises `port`, whose state is `channel`, at the vcpu that it notifies; lock held. */
  raise(domain: Domain, port: number, channel: PortView): void {
    const vcpu = domain.vcpu(channel.vcpu)
    if (!vcpu || vcpu.state.eventsAt === 0) return
    const fresh = this.ports.stateOf(domain).fifo !== 0
      ? this.fifo.setPending(vcpu, port, channel) : setPending2L(vcpu, port, this.#owed)
    if (fresh) this.#wakePollers(domain, port)
  }

  isPending(domain: Domain, port: number): boolean {
    if (this.ports.stateOf(domain).fifo !== 0) return this.fifo.isPending(domain, port)
    return isPending2L(domain, port)
  }

  isMasked(domain: Domain, port: number): boolean {
    if (this.ports.stateOf(domain).fifo !== 0) return this.fifo.isMasked(domain, port)
    return isMasked2L(domain, port)
  }

  clearPending(domain: Domain, port: number, channel: PortView): void {
    channel.early = 0
    if (this.ports.stateOf(domain).fifo !== 0) this.fifo.clearPending(domain, port, channel)
    else clearPending2L(domain, port)
  }

  unmask(domain: Domain, port: number): number {
    this.lock(domain)
    const found = this.ports.find(domain, port, this.local)
    const vcpu = found ? domain.vcpu(this.local.vcpu) : undefined
    if (vcpu && vcpu.state.eventsAt !== 0 && this.local.state > PORT.reserved) {
      if (this.ports.stateOf(domain).fifo !== 0) this.fifo.unmask(vcpu, port, this.local)
      else unmask2L(vcpu, port, this.#owed)
    }
    this.unlock(domain)
    return vcpu ? 0 : -EINVAL
  }

  /** EVTCHNOP_send by `domain` on its own `port`. */
  send(domain: Domain, port: number): number {
    this.lock(domain)
    if (!this.ports.find(domain, port, this.local)) {
      this.unlock(domain)
      return -EINVAL
    }
    const state = this.local.state
    if (state === PORT.interdomain) {
      const remote = this.host.domain(this.local.remoteDomid)
      this.unlock(domain)
      return remote ? this.#sendTo(domain, port, remote) : -ESRCH
    }
    if (state === PORT.ipi) this.raise(domain, port, this.local)
    this.unlock(domain)
    return state === PORT.ipi || state === PORT.unbound ? 0 : -EINVAL
  }

  /** The lock was given up to take both, so the connection is looked at again. */
  #sendTo(domain: Domain, port: number, remote: Domain): number {
    this.lockBoth(domain, remote)
    if (this.ports.find(domain, port, this.local) && this.local.state === PORT.interdomain
      && this.local.remoteDomid === remote.id
      && this.ports.find(remote, this.local.remotePort, this.remote)) {
      this.raise(remote, this.local.remotePort, this.remote)
    }
    this.unlockBoth(domain, remote)
    return 0
  }

  /** EVTCHNOP_close. The other end of a connection becomes unbound again. */
  close(domain: Domain, port: number): number {
    for (;;) {
      this.lock(domain)
      if (!this.ports.find(domain, port, this.local) || this.local.state === PORT.free
        || this.local.state === PORT.reserved) {
        this.unlock(domain)
        return -EINVAL
      }
      const remote = this.local.state === PORT.interdomain
        ? this.host.domain(this.local.remoteDomid) : undefined
      if (!remote) {
        this.#free(domain, port)
        this.unlock(domain)
        return 0
      }
      this.unlock(domain)
      if (this.#closeBoth(domain, port, remote)) return 0
    }
  }

  /** False when the connection changed while no lock was held. */
  #closeBoth(domain: Domain, port: number, remote: Domain): boolean {
    this.lockBoth(domain, remote)
    const same = this.ports.find(domain, port, this.local)
      && this.local.state === PORT.interdomain && this.local.remoteDomid === remote.id
    if (same) {
      if (this.ports.find(remote, this.local.remotePort, this.remote)) {
        this.remote.state = PORT.unbound
        this.remote.remoteDomid = domain.id
        this.remote.remotePort = 0
      }
      this.ports.find(domain, port, this.local)
      this.#free(domain, port)
    }
    this.unlockBoth(domain, remote)
    return same
  }

  /** Makes the port at `local` free again; lock held. */
  #free(domain: Domain, port: number): void {
    if (this.local.state === PORT.virq) this.#unbindVirq(domain, port)
    this.clearPending(domain, port, this.local)
    this.local.state = PORT.free
    this.local.vcpu = 0
  }

  #unbindVirq(domain: Domain, port: number): void {
    const vcpu = domain.vcpu(this.local.vcpu)
    if (vcpu && vcpu.state.eventsAt !== 0) this.#dropVirq(vcpu, this.local.virq, port)
    // A global virq may notify another vcpu by now, but was bound on vcpu 0.
    const first = domain.vcpu(0)
    if (first && first.state.eventsAt !== 0) this.#dropVirq(first, this.local.virq, port)
  }

  #dropVirq(vcpu: Vcpu, virq: number, port: number): void {
    const table = this.virqs(vcpu).virqs
    if (table.get(virq) === port) table.set(virq, 0)
  }

  /** Closes every port and goes back to the 2-level ABI. */
  reset(domain: Domain): void {
    const count = this.ports.count(domain)
    for (let port = 1; port < count; port++) this.close(domain, port)
    this.lock(domain)
    this.fifo.destroy(domain)
    this.unlock(domain)
  }

  sendVcpuVirq(vcpu: Vcpu, virq: number): void {
    if (vcpu.state.eventsAt === 0 || vcpu.domain.isDying) return
    this.lock(vcpu.domain)
    const port = this.virqs(vcpu).virqs.get(virq)
    if (port !== 0 && this.ports.find(vcpu.domain, port, this.local)) {
      this.raise(vcpu.domain, port, this.local)
    }
    this.unlock(vcpu.domain)
  }

  sendGlobalVirq(virq: number): void {
    const handler = this.host.state.virqHandlers.get(virq)
    const vcpu = this.host.domain(handler)?.vcpu(0)
    if (vcpu) this.sendVcpuVirq(vcpu, virq)
  }

  /** Whatever was pending must be seen at the new place: everything is said to be. */
  vcpuInfoMoved(vcpu: Vcpu): void {
    interrupt(vcpu)
  }

  callbackChanged(domain: Domain): void {
    for (let i = 0; i < domain.vcpuCount; i++) {
      const vcpu = domain.vcpu(i)
      if (vcpu) interrupt(vcpu)
    }
  }

  /** Ends SCHEDOP_poll of the vcpus that wait for `port`; lock held. */
  #wakePollers(domain: Domain, port: number): void {
    if (this.ports.stateOf(domain).polls === 0) return
    for (let i = 0; i < domain.vcpuCount; i++) {
      const vcpu = domain.vcpu(i)
      if (!vcpu || vcpu.state.eventsAt === 0 || (vcpu.state.flags & VPF_polling) === 0) continue
      const waitsFor = this.virqs(vcpu).pollPort
      if (waitsFor === POLL_MANY || waitsFor === port) this.endPoll(vcpu)
    }
  }

  /** The vcpu waits for `port` (or POLL_MANY) until `endPoll`. */
  beginPoll(vcpu: Vcpu, port: number): void {
    this.virqs(vcpu).pollPort = port
    this.ports.stateOf(vcpu.domain).polls = 1
    vcpu.setFlag(VPF_polling)
  }

  endPoll(vcpu: Vcpu): void {
    if (vcpu.clearFlag(VPF_polling)) vcpu.wake()
  }
}
