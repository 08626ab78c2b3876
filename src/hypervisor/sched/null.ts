/**
 * null: a core for each vcpu, and nothing to decide.
 *
 * A vcpu owns a core from when it first wants to run, and runs there whenever it can. One for
 * which there is no core waits until an owner goes away or may no longer run where it did. Obeys
 * xl(1) and xen's docs/misc/xen-command-line.pandoc (sched=null).
 */
import { XEN_SCHEDULER_NULL } from '../../abi/xen/domctl.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { Policy } from './policy.ts'
import { coreIn, lowest, type RunQueues } from './run-queues.ts'
import { NEVER } from './state.ts'

export class Null implements Policy {
  readonly id = XEN_SCHEDULER_NULL
  readonly name = 'null'
  readonly #queues: RunQueues

  constructor(queues: RunQueues) {
    this.#queues = queues
  }

  sharesQueue(): boolean {
    return true
  }

  admit(vcpu: Vcpu): void {
    vcpu.state.sched.policy.null.core = 0
  }

  expel(vcpu: Vcpu): void {
    const core = vcpu.state.sched.policy.null.core - 1
    if (core < 0) return
    this.#disown(vcpu, core)
    this.#queues.tickle(core)
  }

  /** An owner waits in the queue as well, although nobody but its core takes it from there. */
  enqueue(vcpu: Vcpu): void {
    const queues = this.#queues
    const { cores } = queues.poolOf(vcpu)
    queues.insert(queues.cores[lowest(cores)]!.queue, vcpu)
  }

  isReady(): boolean {
    return true
  }

  placesFor(vcpu: Vcpu): number {
    const core = this.#coreOf(vcpu)
    return core < 0 ? 0 : 1 << core
  }

  press(): void {
    // Owners do not make room.
  }

  pick(core: number): Vcpu | undefined {
    const queues = this.#queues
    const { owner, queue: slot } = queues.cores[core]!
    let vcpu = queues.vcpuAt(owner)
    if (vcpu && (queues.allowed(vcpu) >>> core & 1) === 0) {
      this.#disown(vcpu, core)
      vcpu = undefined
    }
    for (let at = queues.queues[slot]!.head; at !== 0 && !vcpu; at = queues.nextOf(at)) {
      const waiting = queues.vcpuAt(at)
      if (waiting && this.#coreOf(waiting) === core) vcpu = waiting
    }
    if (!vcpu || vcpu.state.sched.queued === 0 || !vcpu.isRunnable) return undefined
    queues.remove(vcpu)
    vcpu.state.sched.sliceEnd = NEVER
    return vcpu
  }

  charge(): void {
    // Nobody else wants the core.
  }

  /** The core that the vcpu owns; it takes one that is free. -1 when none is. */
  #coreOf(vcpu: Vcpu): number {
    const queues = this.#queues
    const own = vcpu.state.sched.policy.null
    const allowed = queues.allowed(vcpu)
    if (own.core !== 0) {
      if (allowed >>> own.core - 1 & 1) return own.core - 1
      this.#disown(vcpu, own.core - 1)
    }
    let free = 0
    for (let left = allowed; left !== 0; left &= left - 1) {
      const core = lowest(left)
      if (queues.cores[core]!.owner === 0) free |= 1 << core
    }
    if (free === 0) return -1
    const liked = free & queues.preferred(vcpu, allowed)
    const core = coreIn(liked !== 0 ? liked : free, vcpu.state.core)
    queues.cores[core]!.owner = vcpu.address
    own.core = core + 1
    return core
  }

  #disown(vcpu: Vcpu, core: number): void {
    vcpu.state.sched.policy.null.core = 0
    this.#queues.cores[core]!.owner = 0
  }
}
