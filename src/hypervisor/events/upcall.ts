/**
 * Telling a vcpu that it has events: the byte in its vcpu_info, and what follows from it.
 *
 * The byte goes from 0 to 1 once until the guest clears it; only that edge is passed on
 * (xen/common/event_channel.c, hvm_assert_evtchn_irq). The core turns WORK_EVENTS into an interrupt
 * of the kind that the guest chose. The control domain's thread, which is no core, waits on the
 * work word itself.
 */
import { cellOf } from '../../base/layout/atomics.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { NO_FRAME, VcpuState, VPF_timers, VPF_waits, WORK_EVENTS } from '../domain/state.ts'

/** Machine address of the vcpu's vcpu_info, or -1. */
export function vcpuInfoAt(vcpu: Vcpu): number {
  const mfn = vcpu.state.vcpuInfoMfn
  return mfn === NO_FRAME || mfn === 0 ? -1 : mfn * 4096 + vcpu.state.vcpuInfoOffset
}

/** Whether the guest has been told of events that it has not looked at. */
export function upcallPending(vcpu: Vcpu): boolean {
  const at = vcpuInfoAt(vcpu)
  return at >= 0 && Atomics.load(vcpu.host.machine.octets, at) !== 0
}

/** Sets the pending byte; whether that is its edge, on which the vcpu is to be interrupted. */
function markEventsPending(vcpu: Vcpu): boolean {
  const at = vcpuInfoAt(vcpu)
  return at >= 0 && Atomics.exchange(vcpu.host.machine.octets, at, 1) === 0
}

/** Makes the vcpu's core deliver the upcall, and the vcpu runnable if it was blocked. */
export function interrupt(vcpu: Vcpu): void {
  vcpu.requestWork(WORK_EVENTS)
  unblock(vcpu)
}

/**
 * Vcpus that are to be interrupted once the events lock is given back. To wake a thread takes long,
 * and what it wants first is that lock.
 */
export class OwedUpcalls {
  readonly #vcpus: Vcpu[] = []

  /** Says that the vcpu has events; the events lock of its domain is held. */
  owe(vcpu: Vcpu): void {
    if (markEventsPending(vcpu)) this.#vcpus.push(vcpu)
  }

  /** Interrupts all that are owed it; no events lock is held. */
  pay(): void {
    for (let vcpu = this.#vcpus.pop(); vcpu; vcpu = this.#vcpus.pop()) interrupt(vcpu)
  }
}

/** Ends SCHEDOP_block or HLT, and as in Xen SCHEDOP_poll. */
export function unblock(vcpu: Vcpu): void {
  if (vcpu.clearFlag(VPF_waits | VPF_timers)) vcpu.wake()
}

/**
 * The events of vcpus that no core runs, looked for by who takes turns with the cores: see
 * core/turns.ts.
 */
export class PolledUpcalls {
  readonly #watched = new Map<Vcpu, () => void>()

  /** As watchUpcalls, but nothing is called outside `deliver`. */
  watch(vcpu: Vcpu, handler: () => void): () => void {
    this.#watched.set(vcpu, handler)
    return () => void this.#watched.delete(vcpu)
  }

  get arePending(): boolean {
    for (const vcpu of this.#watched.keys()) if (vcpu.state.work & WORK_EVENTS) return true
    return false
  }

  /** Calls the handlers of those that have events; whether there were any. */
  deliver(): boolean {
    let found = false
    for (const [vcpu, handler] of this.#watched) {
      if (!(vcpu.takeWork() & WORK_EVENTS)) continue
      found = true
      handler()
    }
    return found
  }
}

/**
 * Calls `handler` soon after events for `vcpu`, which no core runs, arrive; for the thread of the
 * control domain. Answers what ends the watch.
 *
 * After events it looks again by itself, in the next turn of the event loop, which `later` is to
 * have: what comes until then needs nobody to wake the thread.
 */
export function watchUpcalls(
  vcpu: Vcpu, handler: () => void, later: (work: () => void) => void,
): () => void {
  const cells = vcpu.state.cells
  const cell = cellOf(vcpu.state, VcpuState.offsets.work)
  let watching = true
  const look = (): void => {
    if (!watching) return
    if (Atomics.exchange(cells, cell, 0) & WORK_EVENTS) {
      handler()
      return later(look)
    }
    const wait = Atomics.waitAsync(cells, cell, 0)
    if (wait.async) void wait.value.then(look)
    else later(look)
  }
  queueMicrotask(look)
  return () => {
    watching = false
    Atomics.notify(cells, cell)
  }
}
