/**
 * The timers of vcpus that wait for something: when the first fires, and waking its vcpu.
 *
 * Only the core that runs a vcpu fires its timers, so no two do. One that blocks is made to run for
 * that, and blocks again if nothing came of it (VPF_timers). One that is runnable waits for a core
 * alone, and finds what is due when it gets one.
 *
 * Who waits and until when is remembered, as to look at all domains takes long; it only changes
 * when a vcpu stops running here (`consider`), or by somebody who kicks the core (`forget`).
 */
import type { GuestType, GuestVcpu } from '../guest/guest-type.ts'
import {
  VPF_blocked, VPF_down, VPF_polling, VPF_timers, VPF_waits,
} from '../hypervisor/domain/state.ts'
import type { Vcpu } from '../hypervisor/domain/vcpu.ts'
import type { Host } from '../hypervisor/host/host.ts'
import type { CoreScheduler } from '../hypervisor/sched/policy.ts'
import { Scheduler } from '../hypervisor/sched/scheduler.ts'
import { Timekeeper } from '../hypervisor/time/timekeeper.ts'

interface Waiting {
  /** Of the vcpu's struct, which may have become another's. */
  readonly serial: number
  /** Host time of its first timer. */
  readonly deadline: number
}

export class OtherTimers {
  readonly #host: Host
  readonly #guests: GuestType
  readonly #time: Timekeeper
  readonly #scheduler: CoreScheduler
  readonly #core: number
  /** Those that may wait here. */
  readonly #waiting = new Map<Vcpu, Waiting>()
  #next = Infinity
  #known = false

  constructor(host: Host, guests: GuestType, core: number) {
    this.#host = host
    this.#guests = guests
    this.#time = Timekeeper.of(host)
    this.#scheduler = Scheduler.of(host)
    this.#core = core
  }

  /** What is remembered may be wrong. */
  forget(): void {
    this.#known = false
  }

  /** A vcpu stops running: its timers count from now on. */
  consider(guest: GuestVcpu): void {
    this.#await(guest.vcpu)
  }

  /** Host time of the first timer of a vcpu other than `current`. */
  deadline(current: Vcpu | undefined): number {
    if (!this.#known) this.#look(current)
    return this.#next
  }

  /** Wakes those for whom something is due, of all vcpus of this core but `current`; then the core
   * picks one. */
  expire(now: number, current: Vcpu | undefined): void {
    if (!this.#known) this.#look(current)
    if (now < this.#next) return
    this.#next = Infinity
    for (const [vcpu, { serial, deadline }] of this.#waiting) {
      if (deadline > now) {
        this.#next = Math.min(this.#next, deadline)
        continue
      }
      this.#waiting.delete(vcpu)
      if (serial !== vcpu.state.serial || vcpu.domain.isDying || vcpu === current) continue
      if (this.#isOurs(vcpu)) this.#serve(vcpu, now)
    }
  }

  /** Finds out who waits here. */
  #look(current: Vcpu | undefined): void {
    this.#next = Infinity
    this.#known = true
    this.#waiting.clear()
    let left = this.#host.state.domainCount
    for (let domain = this.#host.nextDomain(0); domain && left > 0; left--) {
      if (domain.state.control === 0 && !domain.isDying) {
        for (let i = 0; i < domain.vcpuCount; i++) {
          const vcpu = domain.vcpu(i)
          if (vcpu && vcpu !== current && this.#isOurs(vcpu)) this.#await(vcpu)
        }
      }
      domain = left > 1 ? this.#host.nextDomain(domain.id + 1) : undefined
    }
  }

  #await(vcpu: Vcpu): void {
    const deadline = this.#deadlineOf(vcpu)
    this.#waiting.set(vcpu, { serial: vcpu.state.serial, deadline })
    this.#next = Math.min(this.#next, deadline)
  }

  #isOurs(vcpu: Vcpu): boolean {
    const { state } = vcpu
    return state.core === this.#core && state.running === 0 && state.timeAt !== 0
      && (state.flags & VPF_waits) !== 0 && (state.flags & VPF_down) === 0
      && vcpu.domain.state.pauseCount === 0 && state.pauseCount === 0 && state.initialised !== 0
  }

  #serve(vcpu: Vcpu, now: number): void {
    if (this.#deadlineOf(vcpu) > now) {
      this.#await(vcpu)
      return
    }
    // An event may have woken it since, and another core may run it: then it is left alone.
    if (vcpu.replaceFlag(VPF_blocked, VPF_timers) || vcpu.clearFlag(VPF_polling)) {
      this.#scheduler.wake(vcpu, 1 << this.#core)
    }
  }

  #deadlineOf(vcpu: Vcpu): number {
    return Math.min(this.#time.nextDeadline(vcpu), this.#guests.vcpuOf(vcpu).deadline)
  }
}
