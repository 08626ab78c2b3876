/**
 * Evening out the loads of credit2's run queues, where a pool has several.
 *
 * A queue's load is how many vcpus run on its cores or wait for them, for each core, as an average
 * that forgets with a time constant. The caller holds the sched lock.
 */
import type { Vcpu } from '../domain/vcpu.ts'
import { countBits, lowest, type RunQueues } from './run-queues.ts'

const MEMORY_NS = 50e6
const BALANCE_PERIOD_NS = 10e6
/** Loads are even enough below this difference, in vcpus for each core. */
const TOLERANCE = 0.75

export class QueueBalance {
  readonly #queues: RunQueues

  constructor(queues: RunQueues) {
    this.#queues = queues
  }

  /**
   * Where a vcpu shall wait: where it is at home, unless it may not run there, or woke while that
   * queue's cores are busy and another's are not.
   */
  slotFor(vcpu: Vcpu, woken: boolean, now: number): number {
    const queues = this.#queues
    const allowed = queues.allowed(vcpu)
    const wanted = queues.preferred(vcpu, allowed)
    const home = vcpu.state.sched.home - 1
    const cores = home < 0 ? 0 : queues.queues[home]!.cores
    if (home >= 0) this.#average(home, now)
    const stays = (cores & allowed) !== 0 && (!woken || queues.idle(cores & wanted) !== 0)
    if (stays) return home
    const idle = queues.idle(wanted)
    if (idle !== 0) return queues.cores[lowest(idle)]!.queue
    if ((cores & wanted) !== 0) return home
    return this.#lightest(wanted)
  }

  /** The queue with the least load among those of `cores`. */
  #lightest(cores: number): number {
    let best = -1
    let least = Infinity
    for (let left = cores; left !== 0; left &= left - 1) {
      const slot = this.#queues.cores[lowest(left)]!.queue
      const load = this.#instant(slot)
      if (load >= least) continue
      best = slot
      least = load
    }
    return best
  }

  /** What an idle core can take from the other queues of its pool. */
  steal(core: number, own: number, from: (slot: number) => Vcpu | undefined): Vcpu | undefined {
    for (let left = this.#others(core, own); left !== 0; left &= left - 1) {
      const found = from(lowest(left))
      if (found) return found
    }
    return undefined
  }

  /**
   * Now and then: gives a vcpu that waits to the queue with the least load, if that is much less.
   * Answers who was moved.
   */
  push(core: number, now: number, take: (vcpu: Vcpu, slot: number) => void): Vcpu | undefined {
    const own = this.#queues.cores[core]!.queue
    const queue = this.#queues.queues[own]!
    const load = this.#average(own, now)
    const others = queue.length === 0 ? 0 : this.#others(core, own)
    if (others === 0 || now < queue.balancedAt + BALANCE_PERIOD_NS) return undefined
    queue.balancedAt = now
    let least = load - TOLERANCE
    let to = -1
    for (let left = others; left !== 0; left &= left - 1) {
      const other = this.#average(lowest(left), now)
      if (other >= least) continue
      to = lowest(left)
      least = other
    }
    const moved = to < 0 ? undefined : this.#lastFor(own, this.#queues.queues[to]!.cores)
    if (moved) take(moved, to)
    return moved
  }

  /** The vcpu that waits at the very end of a queue and should run on one of `cores`. */
  #lastFor(slot: number, cores: number): Vcpu | undefined {
    const queues = this.#queues
    let last: Vcpu | undefined
    for (let at = queues.queues[slot]!.head; at !== 0; at = queues.nextOf(at)) {
      const vcpu = queues.vcpuAt(at)
      if (vcpu && (queues.preferred(vcpu, queues.allowed(vcpu)) & cores) !== 0) last = vcpu
    }
    return last
  }

  /** The slots of the other queues of the core's pool, one bit each. */
  #others(core: number, own: number): number {
    const queues = this.#queues
    const { cores } = queues.pools[queues.cores[core]!.pool - 1]!
    let slots = 0
    for (let left = cores; left !== 0; left &= left - 1) {
      slots |= 1 << queues.cores[lowest(left)]!.queue
    }
    return slots & ~(1 << own)
  }

  /** Vcpus for each core, at this moment. */
  #instant(slot: number): number {
    const queue = this.#queues.queues[slot]!
    const count = countBits(queue.cores)
    const busy = count - countBits(this.#queues.idle(queue.cores))
    return (queue.length + busy) / Math.max(count, 1)
  }

  #average(slot: number, now: number): number {
    const queue = this.#queues.queues[slot]!
    const forgotten = 1 - Math.exp(-Math.max(0, now - queue.loadAt) / MEMORY_NS)
    queue.load += (this.#instant(slot) - queue.load) * forgotten
    queue.loadAt = now
    return queue.load
  }
}
