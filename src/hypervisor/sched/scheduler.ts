/**
 * The scheduler: which vcpu a core runs next.
 *
 * What a core needs is the interface CoreScheduler; this one is a fair round robin over one queue
 * of runnable vcpus, in which each gets an equal slice. The queue lies in hypervisor memory under
 * the sched lock. A vcpu is on it at most once, and never while a core runs it.
 *
 * Left out: weights and caps (they are kept, as credit2's, but have no effect).
 */
import { assert } from '../../base/assert.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import { ENOMEM } from '../../abi/xen/errno.ts'
import { VcpuState } from '../domain/state.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { Host } from '../host/host.ts'
import type { SchedulerService, Subsystem } from '../host/services.ts'
import { HostState, LOCK_RANK } from '../host/state.ts'
import { QueueState, VcpuSchedState } from './state.ts'

export const TIME_SLICE_NS = 10e6

/** What a core asks of a scheduler. */
export interface CoreScheduler {
  /** Takes the vcpu that `core` shall run now off the queue; undefined when there is none. */
  pick(core: number, now: number): Vcpu | undefined
  /** `core` has stopped running `vcpu`, and saved it. */
  stopped(vcpu: Vcpu, core: number, now: number): void
  /** When the vcpu must make room; never if nobody waits. */
  sliceEnd(vcpu: Vcpu): number
  /** Whether a vcpu waits for a core. */
  waiting(): boolean
  /** Whether the run that `pick` began follows one on the same core. */
  ranHereLast(vcpu: Vcpu, core: number): boolean
}

export class RoundRobin implements SchedulerService, Subsystem, CoreScheduler {
  readonly name = 'sched'
  readonly host: Host
  readonly #queue: ViewOf<typeof QueueState>
  readonly #sched: ViewOf<typeof VcpuSchedState>
  readonly #probe: ViewOf<typeof VcpuState>
  readonly #lock: RankedLock

  constructor(host: Host) {
    this.host = host
    if (host.state.schedAt === 0) host.state.schedAt = host.heap.allocate(QueueState.size)
    assert(host.state.schedAt !== 0, 'no room for the run queue')
    this.#queue = QueueState.on(host.hypervisor.buffer, host.state.schedAt)
    this.#sched = VcpuSchedState.on(host.hypervisor.buffer)
    this.#probe = VcpuState.on(host.hypervisor.buffer)
    this.#lock = new RankedLock(host.hypervisor.cells, LOCK_RANK.sched, 'sched')
  }

  static of(host: Host): RoundRobin {
    const scheduler = host.services.scheduler
    assert(scheduler instanceof RoundRobin, 'the host was assembled without a scheduler')
    return scheduler
  }

  vcpuCreated(vcpu: Vcpu): number {
    vcpu.state.schedAt = this.host.heap.allocate(VcpuSchedState.size)
    return vcpu.state.schedAt === 0 ? -ENOMEM : 0
  }

  vcpuDestroyed(vcpu: Vcpu): void {
    const at = vcpu.state.schedAt
    if (at === 0) return
    this.sleep(vcpu)
    vcpu.state.schedAt = 0
    this.host.heap.release(at, VcpuSchedState.size)
  }

  wake(vcpu: Vcpu): void {
    if (vcpu.state.schedAt === 0 || vcpu.domain.state.control !== 0) return
    this.#acquire()
    const queue = vcpu.state.running === 0 && vcpu.isRunnable
    if (queue) this.#append(vcpu)
    this.#release()
    if (queue) this.host.kickCore(this.#coreFor(vcpu))
  }

  sleep(vcpu: Vcpu): void {
    if (vcpu.state.schedAt === 0) return
    this.#acquire()
    this.#remove(vcpu.address)
    this.#release()
  }

  /** Ends the vcpu's slice, if another waits. */
  yield(vcpu: Vcpu): void {
    this.#sched.at(vcpu.state.schedAt).sliceEnd = 0
    vcpu.kick()
  }

  pick(core: number, now: number): Vcpu | undefined {
    this.#acquire()
    let chosen: Vcpu | undefined
    for (let left = this.#queue.length, at = this.#queue.head; left > 0 && !chosen; left--) {
      const vcpu = this.#vcpuAt(at)
      const next = this.#schedAt(at).next
      if (!vcpu || !vcpu.isRunnable) this.#remove(at)
      else if (mayRunOn(vcpu, core)) chosen = this.#begin(vcpu, core, now)
      at = next
    }
    this.#release()
    return chosen
  }

  #begin(vcpu: Vcpu, core: number, now: number): Vcpu {
    this.#remove(vcpu.address)
    const sched = this.#sched.at(vcpu.state.schedAt)
    sched.sliceEnd = now + TIME_SLICE_NS
    sched.ranBefore = sched.ranNow
    sched.ranNow = core + 1
    vcpu.state.core = core
    vcpu.state.runningSinceNs = now
    vcpu.state.running = core + 1
    this.host.core(core).currentVcpu = vcpu.address
    return vcpu
  }

  stopped(vcpu: Vcpu, core: number, now: number): void {
    const { state } = vcpu
    this.#acquire()
    state.cpuTimeNs += Math.max(0, now - state.runningSinceNs)
    state.running = 0
    this.host.core(core).currentVcpu = 0
    if (vcpu.isRunnable) this.#append(vcpu)
    this.#release()
    // Whoever waits until the vcpu has stopped sleeps on this word.
    Atomics.notify(state.cells, state.origin + state.base + VcpuState.offsets.running >>> 2)
  }

  sliceEnd(vcpu: Vcpu): number {
    return this.waiting() ? this.#sched.at(vcpu.state.schedAt).sliceEnd : Infinity
  }

  ranHereLast(vcpu: Vcpu, core: number): boolean {
    return this.#sched.at(vcpu.state.schedAt).ranBefore === core + 1
  }

  waiting(): boolean {
    return this.#queue.length > 0
  }

  #acquire(): void {
    this.#lock.acquire(HostState.offsets.schedLock)
  }

  #release(): void {
    this.#lock.release(HostState.offsets.schedLock)
  }

  #schedAt(vcpuAt: number): ViewOf<typeof VcpuSchedState> {
    return this.#sched.at(this.#probe.at(vcpuAt).schedAt)
  }

  #vcpuAt(at: number): Vcpu | undefined {
    const probe = this.#probe.at(at)
    const id = probe.id
    const vcpu = this.host.domain(probe.domid)?.vcpu(id)
    return vcpu?.address === at ? vcpu : undefined
  }

  #append(vcpu: Vcpu): void {
    const sched = this.#sched.at(vcpu.state.schedAt)
    if (sched.queued !== 0) return
    sched.queued = 1
    sched.next = 0
    const tail = this.#queue.tail
    if (tail === 0) this.#queue.head = vcpu.address
    else this.#schedAt(tail).next = vcpu.address
    this.#queue.tail = vcpu.address
    this.#queue.length++
  }

  #remove(address: number): void {
    const sched = this.#schedAt(address)
    if (sched.queued === 0) return
    const next = sched.next
    sched.queued = 0
    sched.next = 0
    let before = 0
    for (let at = this.#queue.head; at !== address && at !== 0; at = this.#schedAt(at).next) {
      before = at
    }
    if (before === 0) this.#queue.head = next
    else this.#schedAt(before).next = next
    if (this.#queue.tail === address) this.#queue.tail = before
    this.#queue.length--
  }

  /** The core it ran on last, if it may run there; else the first that it may. */
  #coreFor(vcpu: Vcpu): number {
    const last = vcpu.state.core
    const count = this.host.state.coreCount
    if (last < count && mayRunOn(vcpu, last)) return last
    for (let core = 0; core < count; core++) {
      if (mayRunOn(vcpu, core)) return core
    }
    return 0
  }
}

/** Hard affinity; one that names no core of this machine does not bind. */
function mayRunOn(vcpu: Vcpu, core: number): boolean {
  const { hardAffinity } = vcpu.state
  if (hardAffinity.get(core >>> 5) >>> (core & 31) & 1) return true
  const cores = vcpu.host.state.coreCount
  for (let i = 0; i < cores; i++) {
    if (hardAffinity.get(i >>> 5) >>> (i & 31) & 1) return false
  }
  return true
}
