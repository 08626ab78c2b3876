/**
 * The FIFO event channel ABI: one word a port in pages of the guest, sixteen queues a vcpu.
 *
 * Obeys xen/include/public/event_channel.h ("FIFO ABI") and the FIFO design of Xen's documents. The
 * guest may scribble on words, links and heads; the worst that comes of it is that it loses its own
 * events. Queue tails are ours and never read from the guest. Callers hold the events lock of the
 * domain, which stands for Xen's queue locks.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import { EINVAL, ENOENT, ENOSPC, EOPNOTSUPP } from '../../abi/xen/errno.ts'
import {
  EVTCHN_FIFO_BUSY, EVTCHN_FIFO_LINK_BITS, EVTCHN_FIFO_LINKED, EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_MAX_QUEUES, EVTCHN_FIFO_PENDING, EvtchnFifoControlBlock,
} from '../../abi/xen/event_channel.ts'
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { Host } from '../host/host.ts'
import { type PortView, Ports } from './ports.ts'
import { MAX_FIFO_PAGES, PORT, PortState, VcpuEventsState, WORDS_PER_PAGE } from './state.ts'
import { isPending2L } from './two-level.ts'
import type { OwedUpcalls } from './upcall.ts'

const PENDING = 1 << EVTCHN_FIFO_PENDING
const MASKED = 1 << EVTCHN_FIFO_MASKED
const LINKED = 1 << EVTCHN_FIFO_LINKED
const BUSY = 1 << EVTCHN_FIFO_BUSY
const LINK_MASK = (1 << EVTCHN_FIFO_LINK_BITS) - 1
/** A guest that changes a word under us so often loses the event. */
const LINK_TRIES = 64

export class Fifo {
  readonly #host: Host
  readonly #ports: Ports
  readonly #owed: OwedUpcalls
  readonly #vcpuEvents: ViewOf<typeof VcpuEventsState>
  readonly #port: PortView

  constructor(host: Host, ports: Ports, owed: OwedUpcalls) {
    this.#host = host
    this.#ports = ports
    this.#owed = owed
    this.#vcpuEvents = VcpuEventsState.on(host.hypervisor.buffer)
    this.#port = PortState.on(host.hypervisor.buffer)
  }

  /** Index, in machine memory's words, of the port's event word; -1 when it has none yet. */
  #wordOf(domain: Domain, port: number): number {
    const page = Math.floor(port / WORDS_PER_PAGE)
    const state = this.#ports.stateOf(domain)
    if (page >= state.fifoPageCount) return -1
    return state.fifoPages.get(page) * WORDS_PER_PAGE + port % WORDS_PER_PAGE
  }

  /** Raises `port` (whose state is `channel`) at `vcpu`; true if it was not pending. */
  setPending(vcpu: Vcpu, port: number, channel: PortView): boolean {
    const cells = this.#host.machine.cells
    const cell = this.#wordOf(vcpu.domain, port)
    if (cell < 0) {
      channel.early = 1
      return true
    }
    const before = Atomics.or(cells, cell, PENDING)
    if ((before & (MASKED | LINKED)) === 0) this.#enqueue(vcpu, port, channel, cell)
    return (before & PENDING) === 0
  }

  clearPending(domain: Domain, port: number, channel: PortView): void {
    channel.early = 0
    const cell = this.#wordOf(domain, port)
    if (cell >= 0) Atomics.and(this.#host.machine.cells, cell, ~PENDING)
  }

  isPending(domain: Domain, port: number): boolean {
    const cell = this.#wordOf(domain, port)
    return cell >= 0 && (Atomics.load(this.#host.machine.cells, cell) & PENDING) !== 0
  }

  isMasked(domain: Domain, port: number): boolean {
    const cell = this.#wordOf(domain, port)
    return cell >= 0 && (Atomics.load(this.#host.machine.cells, cell) & MASKED) !== 0
  }

  /** The port behind it on a queue, or -1 when it is on none. */
  linkOf(domain: Domain, port: number): number {
    const cell = this.#wordOf(domain, port)
    const word = cell < 0 ? 0 : Atomics.load(this.#host.machine.cells, cell)
    return word & LINKED ? word & LINK_MASK : -1
  }

  /** Whether the guest still has the port on a queue, so that it must not be given out anew. */
  isBusy(domain: Domain, port: number): boolean {
    const cell = this.#wordOf(domain, port)
    return cell >= 0 && (Atomics.load(this.#host.machine.cells, cell) & LINKED) !== 0
  }

  unmask(vcpu: Vcpu, port: number, channel: PortView): void {
    const cell = this.#wordOf(vcpu.domain, port)
    if (cell < 0) return
    Atomics.and(this.#host.machine.cells, cell, ~MASKED)
    if (Atomics.load(this.#host.machine.cells, cell) & PENDING) {
      this.setPending(vcpu, port, channel)
    }
  }

  #enqueue(vcpu: Vcpu, port: number, channel: PortView, cell: number): void {
    const queues = this.#vcpuEvents.at(vcpu.state.eventsAt)
    const control = queues.control
    if (control === 0) return
    const cells = this.#host.machine.cells
    if (Atomics.or(cells, cell, LINKED) & LINKED) return
    this.#leaveOldQueue(vcpu, port, channel)
    const queue = channel.priority
    this.#vcpuEvents.at(vcpu.state.eventsAt)
    const tail = queues.tails.get(queue)
    const linked = tail !== 0 && this.#link(vcpu.domain, tail, port)
    if (!linked) {
      Atomics.store(cells, (control + EvtchnFifoControlBlock.offsets.head) / 4 + queue, port)
    }
    queues.tails.set(queue, port)
    if (linked) return
    const ready = (control + EvtchnFifoControlBlock.offsets.ready) / 4
    if ((Atomics.or(cells, ready, 1 << queue) & 1 << queue) === 0) this.#owed.owe(vcpu)
  }

  /** A port that is linked anew was taken off its old queue, which is empty if it was the tail. */
  #leaveOldQueue(vcpu: Vcpu, port: number, channel: PortView): void {
    const old = vcpu.domain.vcpu(channel.lastVcpu)
    if (old && old.state.eventsAt !== 0) {
      const queues = this.#vcpuEvents.at(old.state.eventsAt)
      if (queues.tails.get(channel.lastPriority) === port) queues.tails.set(channel.lastPriority, 0)
    }
    channel.lastVcpu = vcpu.id
    channel.lastPriority = channel.priority
  }

  /** Makes the tail point at `port`; false when the guest has taken the tail off already. */
  #link(domain: Domain, tail: number, port: number): boolean {
    const cell = this.#wordOf(domain, tail)
    if (cell < 0) return false
    const cells = this.#host.machine.cells
    for (let i = 0; i < LINK_TRIES; i++) {
      const word = Atomics.load(cells, cell)
      if ((word & LINKED) === 0) return false
      const next = word & ~(BUSY | LINK_MASK) | port
      if (Atomics.compareExchange(cells, cell, word, next) === word) return true
    }
    return false
  }

  /** EVTCHNOP_init_control: takes `gfn` as the control block's page; the first turns FIFO on. */
  initControl(domain: Domain, vcpuId: number, gfn: number, offset: number): number {
    const vcpu = domain.vcpu(vcpuId)
    if (!vcpu) return -ENOENT
    if (offset > 4096 - EvtchnFifoControlBlock.size || (offset & 7) !== 0) return -EINVAL
    const queues = this.#vcpuEvents.at(vcpu.state.eventsAt)
    if (queues.control !== 0) return -EINVAL
    const mfn = this.#pin(domain, gfn)
    if (mfn === 0) return -EINVAL
    const state = this.#ports.stateOf(domain)
    if (state.fifo === 0) {
      this.#adopt(domain)
      state.fifo = 1
    }
    queues.control = mfn * 4096 + offset
    for (let i = 0; i < EVTCHN_FIFO_MAX_QUEUES; i++) {
      queues.tails.set(i, 0)
      this.#host.machine.words[
        (queues.control + EvtchnFifoControlBlock.offsets.head) / 4 + i] = 0
    }
    return 0
  }

  /** EVTCHNOP_expand_array: one more page of event words; what was raised early is raised now. */
  expandArray(domain: Domain, gfn: number): number {
    const state = this.#ports.stateOf(domain)
    if (state.fifo === 0) return -EOPNOTSUPP
    const page = state.fifoPageCount
    if (page >= MAX_FIFO_PAGES) return -ENOSPC
    const mfn = this.#pin(domain, gfn)
    if (mfn === 0) return -EINVAL
    state.fifoPages.set(page, mfn)
    state.fifoPageCount = page + 1
    const first = page * WORDS_PER_PAGE
    const end = Math.min(first + WORDS_PER_PAGE, this.#ports.count(domain))
    for (let port = Math.max(first, 1); port < end; port++) {
      if (!this.#ports.find(domain, port, this.#port) || this.#port.early === 0) continue
      this.#port.early = 0
      const vcpu = domain.vcpu(this.#port.vcpu)
      if (vcpu) this.setPending(vcpu, port, this.#port)
    }
    return 0
  }

  /** Back to the 2-level ABI: gives all pages back. */
  destroy(domain: Domain): void {
    const state = this.#ports.stateOf(domain)
    for (let i = 0; i < domain.vcpuCount; i++) {
      const vcpu = domain.vcpu(i)
      if (vcpu) this.destroyVcpu(vcpu)
    }
    const pages = state.fifoPageCount
    state.fifoPageCount = 0
    state.fifo = 0
    for (let i = 0; i < pages; i++) this.#host.frames.put(state.fifoPages.get(i))
  }

  destroyVcpu(vcpu: Vcpu): void {
    if (vcpu.state.eventsAt === 0) return
    const queues = this.#vcpuEvents.at(vcpu.state.eventsAt)
    const control = queues.control
    queues.control = 0
    if (control !== 0) this.#host.frames.put(Math.floor(control / 4096))
  }

  /** What was pending in the 2-level arrays waits for the FIFO array's pages. */
  #adopt(domain: Domain): void {
    const count = this.#ports.count(domain)
    for (let port = 1; port < count; port++) {
      if (!this.#ports.find(domain, port, this.#port)) continue
      if (this.#port.state !== PORT.free && isPending2L(domain, port)) this.#port.early = 1
    }
  }

  /** The frame behind `gfn`, with a reference, if it is RAM that the guest may write; or 0. */
  #pin(domain: Domain, gfn: number): number {
    domain.p2m.lock()
    const mfn = domain.p2m.frame(gfn, true)
    const taken = mfn !== 0 && this.#host.frames.get(mfn)
    domain.p2m.unlock()
    return taken ? mfn : 0
  }
}
