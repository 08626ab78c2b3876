/**
 * libxenevtchn: Dom0's event channels, two-level (xen/include/public/xen.h, struct shared_info).
 *
 * Dom0 maps its shared_info as a guest kernel does and looks at it when told: the upcall byte is
 * cleared first, then the selector, then each pending bit, so that an event between is not lost.
 */
import { assert } from '../base/assert.ts'
import type { View } from '../base/layout/struct.ts'
import { asDomid, asEvtchnPort, asGfn, type Domid, type EvtchnPort } from '../abi/numbers.ts'
import * as E from '../abi/xen/event_channel.ts'
import { XENMAPSPACE_shared_info } from '../abi/xen/memory.ts'
import { __HYPERVISOR_event_channel_op, DOMID_SELF, SharedInfo, VcpuInfo } from
  '../abi/xen/xen.ts'
import type { HypercallClient } from './hypercall-client.ts'
import type { EventChannels, Xenctrl } from './interfaces.ts'

/** Below the mapping window, above Dom0's memory. */
const SHARED_INFO_GFN = asGfn(0xf_0000)
const SELECTOR_WORDS = 2

export class EventChannelsClient implements EventChannels {
  readonly #client: HypercallClient
  readonly #handlers = new Map<EvtchnPort, () => void>()
  /** Events that came before their handler did. */
  readonly #early = new Set<EvtchnPort>()
  readonly #octets: Uint8Array
  /** shared_info as 32-bit words. */
  readonly #words: Int32Array
  /** The argument that is needed again and again has a place of its own. */
  readonly #send: View<typeof E.EvtchnSend.fields>
  readonly #stop: () => void

  constructor(client: HypercallClient, xenctrl: Xenctrl) {
    this.#client = client
    this.#send = client.struct(E.EvtchnSend)
    xenctrl.addToPhysmap(asDomid(DOMID_SELF), XENMAPSPACE_shared_info, 0, SHARED_INFO_GFN)
    const page = client.gate.page(SHARED_INFO_GFN)
    assert(page, 'shared_info is mapped')
    this.#octets = page
    this.#words = new Int32Array(page.buffer, page.byteOffset, page.length / 4)
    this.#stop = client.gate.onUpcall(() => this.dispatch())
  }

  /** Ends the watch, so that the process may end. */
  close(): void {
    this.#stop()
  }

  #op(call: string, cmd: number, at: number): void {
    this.#client.call(call, __HYPERVISOR_event_channel_op, cmd, at)
  }

  allocUnbound(domid: Domid, remote: Domid): EvtchnPort {
    return this.#client.scope(() => {
      const op = this.#client.struct(E.EvtchnAllocUnbound)
      op.dom = domid
      op.remote_dom = remote
      this.#op('xc_evtchn_alloc_unbound', E.EVTCHNOP_alloc_unbound, op.position)
      return op.port
    })
  }

  bindInterdomain(domid: Domid, remotePort: EvtchnPort): EvtchnPort {
    return this.#client.scope(() => {
      const op = this.#client.struct(E.EvtchnBindInterdomain)
      op.remote_dom = domid
      op.remote_port = remotePort
      this.#op('xenevtchn_bind_interdomain', E.EVTCHNOP_bind_interdomain, op.position)
      return op.local_port
    })
  }

  bindVirq(virq: number): EvtchnPort {
    return this.#client.scope(() => {
      const op = this.#client.struct(E.EvtchnBindVirq)
      op.virq = virq
      this.#op('xenevtchn_bind_virq', E.EVTCHNOP_bind_virq, op.position)
      return op.port
    })
  }

  notify(port: EvtchnPort): void {
    this.#send.port = port
    this.#op('xenevtchn_notify', E.EVTCHNOP_send, this.#send.position)
  }

  unbind(port: EvtchnPort): void {
    this.#handlers.delete(port)
    this.#early.delete(port)
    this.#client.scope(() => {
      const op = this.#client.struct(E.EvtchnClose)
      op.port = port
      this.#op('xenevtchn_unbind', E.EVTCHNOP_close, op.position)
    })
  }

  onEvent(port: EvtchnPort, handler: () => void): void {
    this.#handlers.set(port, handler)
    if (this.#early.delete(port)) this.#deliver(port)
  }

  /** Looks for pending events and starts their handlers. */
  dispatch(): void {
    if (Atomics.exchange(this.#octets, VcpuInfo.offsets.evtchn_upcall_pending, 0) === 0) return
    for (let half = 0; half < SELECTOR_WORDS; half++) {
      const cell = VcpuInfo.offsets.evtchn_pending_sel / 4 + half
      let selected = Atomics.exchange(this.#words, cell, 0)
      while (selected !== 0) {
        const bit = 31 - Math.clz32(selected & -selected)
        selected &= selected - 1
        this.#scan(half * 32 + bit)
      }
    }
  }

  /** One 64-bit word of pending bits. */
  #scan(index: number): void {
    for (let half = 0; half < 2; half++) {
      const cell = SharedInfo.offsets.evtchn_pending / 4 + index * 2 + half
      const mask = Atomics.load(this.#words,
        SharedInfo.offsets.evtchn_mask / 4 + index * 2 + half)
      let pending = Atomics.load(this.#words, cell) & ~mask
      while (pending !== 0) {
        const bit = 31 - Math.clz32(pending & -pending)
        pending &= pending - 1
        Atomics.and(this.#words, cell, ~(1 << bit))
        this.#deliver(asEvtchnPort(index * 64 + half * 32 + bit))
      }
    }
  }

  /** Each handler runs on its own, so that one that fails takes no other with it. */
  #deliver(port: EvtchnPort): void {
    if (!this.#handlers.has(port)) {
      this.#early.add(port)
      return
    }
    queueMicrotask(() => this.#handlers.get(port)?.())
  }
}
