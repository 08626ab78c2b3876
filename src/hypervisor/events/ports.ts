/**
 * The ports of a domain: finding one, giving one out.
 *
 * All of it holds the domain's events lock. A domain has 4096 ports while it uses the 2-level ABI
 * (1024 if its code is 32-bit), 131072 after it chose FIFO, and never more than the toolstack
 * allowed.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import { ENOMEM, ENOSPC } from '../../abi/xen/errno.ts'
import { EVTCHN_FIFO_NR_CHANNELS, EVTCHN_FIFO_PRIORITY_DEFAULT } from
  '../../abi/xen/event_channel.ts'
import type { Domain } from '../domain/domain.ts'
import { eventWords } from '../domain/shared-info.ts'
import type { Host } from '../host/host.ts'
import { EventsState, PORT, PORT_BUCKET_BYTES, PORTS_PER_BUCKET, PortState } from './state.ts'

export type PortView = ViewOf<typeof PortState>
export type EventsView = ViewOf<typeof EventsState>

export class Ports {
  readonly #host: Host
  readonly #events: EventsView

  constructor(host: Host) {
    this.#host = host
    this.#events = EventsState.on(host.hypervisor.buffer)
  }

  /** The domain's part of the state. The same view each time. */
  stateOf(domain: Domain): EventsView {
    return this.#events.at(domain.state.eventsAt)
  }

  /** How many ports the domain has memory for: higher ones are free. */
  count(domain: Domain): number {
    if (domain.state.eventsAt === 0) return 0
    return this.stateOf(domain).bucketCount * PORTS_PER_BUCKET
  }

  /** Moves `view` to a port; false when there is no such port. */
  find(domain: Domain, port: number, view: PortView): boolean {
    if (port >= this.count(domain)) return false
    const bucket = this.stateOf(domain).buckets.get(Math.floor(port / PORTS_PER_BUCKET))
    view.at(bucket + port % PORTS_PER_BUCKET * PortState.size)
    return true
  }

  /** Moves `view` to the lowest free port and answers its number, or -ENOSPC or -ENOMEM. `busy`
   * says whether the guest still has it on a queue. */
  allocate(
    domain: Domain, view: PortView, busy: (domain: Domain, port: number) => boolean,
  ): number {
    if (domain.state.eventsAt === 0) return -ENOMEM
    const fifo = this.stateOf(domain).fifo !== 0
    const abi = fifo ? EVTCHN_FIFO_NR_CHANNELS : eventWords(domain).ports
    const limit = Math.min(abi, domain.state.maxEvtchnPort + 1)
    const count = this.count(domain)
    for (let port = 1; port < limit; port++) {
      if (port >= count && !this.#grow(domain)) return -ENOMEM
      if (!this.find(domain, port, view)) return -ENOMEM
      if (view.state !== PORT.free || busy(domain, port)) continue
      view.vcpu = 0
      view.early = 0
      view.virq = 0
      view.remoteDomid = 0
      view.remotePort = 0
      view.priority = EVTCHN_FIFO_PRIORITY_DEFAULT
      return port
    }
    return -ENOSPC
  }

  create(domain: Domain): number {
    const at = this.#host.heap.allocate(EventsState.size)
    if (at === 0) return -ENOMEM
    domain.state.eventsAt = at
    return this.#grow(domain) ? 0 : -ENOMEM
  }

  destroy(domain: Domain): void {
    const at = domain.state.eventsAt
    if (at === 0) return
    const state = this.stateOf(domain)
    for (let i = 0; i < state.bucketCount; i++) {
      this.#host.heap.release(state.buckets.get(i), PORT_BUCKET_BYTES)
    }
    domain.state.eventsAt = 0
    this.#host.heap.release(at, EventsState.size)
  }

  #grow(domain: Domain): boolean {
    const bucket = this.#host.heap.allocate(PORT_BUCKET_BYTES)
    if (bucket === 0) return false
    const state = this.stateOf(domain)
    state.buckets.set(state.bucketCount, bucket)
    state.bucketCount++
    return true
  }
}
