/**
 * Pools, cores and run queues as one thread sees them: what all scheduling policies share.
 *
 * The caller holds the sched lock throughout. Cores that shall look for work are noted in
 * `kicks`, for whoever holds the lock to kick once it is released.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import { VcpuState } from '../domain/state.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { Host } from '../host/host.ts'
import { MAX_CORES } from '../host/state.ts'
import {
  CoreSchedState, MAX_POOLS, PoolState, RunQueueState, SchedState, VcpuSchedState,
} from './state.ts'

export type PoolView = ViewOf<typeof PoolState>
export type CoreView = ViewOf<typeof CoreSchedState>
export type QueueView = ViewOf<typeof RunQueueState>
export type VcpuSched = Vcpu['state']['sched']

/** Where a vcpu's struct has the next one in its queue. */
const NEXT = VcpuState.offsets.sched + VcpuSchedState.offsets.next

interface KnownVcpu {
  readonly vcpu: Vcpu
  readonly serial: number
}

export class RunQueues {
  readonly host: Host
  readonly pools: readonly PoolView[]
  readonly cores: readonly CoreView[]
  readonly queues: readonly QueueView[]
  /** Cores to be kicked, one bit each. */
  kicks = 0
  readonly #probe: ViewOf<typeof VcpuState>
  readonly #words: Uint32Array
  readonly #known = new Map<number, KnownVcpu>()

  constructor(host: Host) {
    this.host = host
    const { buffer } = host.hypervisor
    const { pools, cores, queues } = SchedState.offsets
    const at = host.state.schedAt
    this.pools = Array.from({ length: MAX_POOLS }, (_, i) =>
      PoolState.on(buffer, at + pools + i * PoolState.size))
    this.cores = Array.from({ length: MAX_CORES }, (_, i) =>
      CoreSchedState.on(buffer, at + cores + i * CoreSchedState.size))
    this.queues = Array.from({ length: MAX_CORES }, (_, i) =>
      RunQueueState.on(buffer, at + queues + i * RunQueueState.size))
    this.#probe = VcpuState.on(buffer)
    this.#words = host.hypervisor.words
  }

  poolOf(vcpu: Vcpu): PoolView {
    return this.pools[vcpu.domain.state.cpupool]!
  }

  /** The cores that it may run on: hard affinity, unless that names no core of its pool. */
  allowed(vcpu: Vcpu): number {
    const { cores } = this.poolOf(vcpu)
    const mask = vcpu.state.hardAffinity.get(0) & cores
    return mask !== 0 ? mask : cores
  }

  /** Those of `allowed` that it should run on: soft affinity, unless that names none of them. */
  preferred(vcpu: Vcpu, allowed: number): number {
    const mask = vcpu.state.softAffinity.get(0) & allowed
    return mask !== 0 ? mask : allowed
  }

  /** The vcpu whose struct is at `address`. */
  vcpuAt(address: number): Vcpu | undefined {
    if (address === 0) return undefined
    // Not through a view: moving one over the whole struct costs more than all the rest.
    const serial = this.#words[address >>> 2]!
    const known = this.#known.get(address)
    if (known && known.serial === serial) return known.vcpu
    const { domid, id } = this.#probe.at(address)
    const vcpu = this.host.domain(domid)?.vcpu(id)
    if (vcpu?.address !== address) return undefined
    this.#known.set(address, { vcpu, serial })
    return vcpu
  }

  /** The vcpu of its own pool that runs on a core. One of its former pool may still be leaving. */
  runningOn(core: number): Vcpu | undefined {
    const vcpu = this.vcpuAt(this.host.core(core).currentVcpu)
    return vcpu && vcpu.domain.state.cpupool + 1 === this.cores[core]!.pool ? vcpu : undefined
  }

  /** Those of `cores` that idle and were not told of work yet. */
  idle(cores: number): number {
    let idle = 0
    for (let left = cores; left !== 0; left &= left - 1) {
      const core = lowest(left)
      if (this.host.core(core).currentVcpu === 0 && this.cores[core]!.tickled === 0) {
        idle |= 1 << core
      }
    }
    return idle
  }

  /** Makes an idle core look for work. */
  tickle(core: number): void {
    this.cores[core]!.tickled = 1
    this.kicks |= 1 << core
  }

  /** Has an idle core of `within` look at a vcpu that waits, one that it should run on at best. */
  offer(vcpu: Vcpu, within = this.allowed(vcpu)): boolean {
    const { sched } = vcpu.state
    if (this.isOffered(vcpu)) return true
    const idle = this.idle(within)
    if (idle === 0) return false
    const liked = idle & this.preferred(vcpu, within)
    const core = coreIn(liked !== 0 ? liked : idle, vcpu.state.core)
    sched.offered = core + 1
    this.tickle(core)
    return true
  }

  /** Whether a core is about to look at it. */
  isOffered({ state: { sched } }: Vcpu): boolean {
    return sched.offered !== 0 && this.cores[sched.offered - 1]!.tickled !== 0
  }

  /** Whether another core is about to look at it, which most likely is the one that knows it. */
  isOfferedElsewhere(vcpu: Vcpu, core: number): boolean {
    return vcpu.state.sched.offered !== core + 1 && this.isOffered(vcpu)
  }

  /** Lets `vcpu`, which runs on `core`, run until `end` at most. */
  bound(vcpu: Vcpu, core: number, end: number): void {
    const { sched } = vcpu.state
    if (end >= sched.sliceEnd) return
    sched.sliceEnd = end
    this.kicks |= 1 << core
  }

  /**
   * Puts a vcpu into the queue of slot `slot`, before the first for which `yields` answers true:
   * it runs later than the new one. Without `yields`, behind all.
   */
  insert(slot: number, vcpu: Vcpu, yields?: (waiting: Vcpu, added: Vcpu) => boolean): void {
    const { sched } = vcpu.state
    const queue = this.queues[slot]!
    let before = 0
    let at = queue.head
    for (; at !== 0; at = this.nextOf(at)) {
      const waiting = this.vcpuAt(at)
      if (waiting && yields?.(waiting, vcpu)) break
      before = at
    }
    sched.next = at
    if (before === 0) queue.head = vcpu.address
    else this.#words[before + NEXT >>> 2] = vcpu.address
    queue.length++
    sched.queued = slot + 1
    sched.offered = 0
    sched.home = slot + 1
  }

  /** Takes a vcpu out of the queue that it waits in, if it does. */
  remove(vcpu: Vcpu): void {
    const { sched } = vcpu.state
    if (sched.queued === 0) return
    const queue = this.queues[sched.queued - 1]!
    const { address } = vcpu
    let before = 0
    for (let at = queue.head; at !== address && at !== 0; at = this.nextOf(at)) before = at
    if (before === 0) queue.head = sched.next
    else this.#words[before + NEXT >>> 2] = sched.next
    queue.length--
    sched.next = 0
    sched.queued = 0
  }

  /** Who waits in the queue of slot `slot`, in that order. */
  *waiting(slot: number): Generator<Vcpu> {
    for (let at = this.queues[slot]!.head; at !== 0; at = this.nextOf(at)) {
      const vcpu = this.vcpuAt(at)
      if (vcpu) yield vcpu
    }
  }

  /** The vcpu that waits behind the one at `address`. */
  nextOf(address: number): number {
    return this.#words[address + NEXT >>> 2]!
  }
}

/** The number of the lowest bit. */
export function lowest(mask: number): number {
  return 31 - Math.clz32(mask & -mask)
}

export function countBits(mask: number): number {
  let count = 0
  for (let left = mask; left !== 0; left &= left - 1) count++
  return count
}

/** `preferred` if it is in the set, else the lowest of it. */
export function coreIn(mask: number, preferred: number): number {
  return mask >>> preferred & 1 ? preferred : lowest(mask)
}
