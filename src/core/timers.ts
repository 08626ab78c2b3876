/**
 * The timers of vcpus that wait for something: when the first fires, and waking its vcpu.
 *
 * Only the core that runs a vcpu fires its timers, so no two do. One that blocks is made to run for
 * that, and blocks again if nothing came of it (VPF_timers). One that is runnable waits for a core
 * alone, and finds what is due when it gets one.
 *
 * The time is remembered, not asked for at each step; it only changes when a vcpu stops running
 * here (`consider`) or when the core was kicked (`forget`).
 */
import type { GuestType, GuestVcpu } from '../guest/guest-type.ts'
import {
  VPF_blocked, VPF_down, VPF_polling, VPF_timers, VPF_waits,
} from '../hypervisor/domain/state.ts'
import type { Vcpu } from '../hypervisor/domain/vcpu.ts'
import type { Host } from '../hypervisor/host/host.ts'
import { Timekeeper } from '../hypervisor/time/timekeeper.ts'

export class OtherTimers {
  readonly #host: Host
  readonly #guests: GuestType
  readonly #time: Timekeeper
  readonly #core: number
  #next = Infinity
  #known = false

  constructor(host: Host, guests: GuestType, core: number) {
    this.#host = host
    this.#guests = guests
    this.#time = Timekeeper.of(host)
    this.#core = core
  }

  /** What is remembered may be wrong. */
  forget(): void {
    this.#known = false
  }

  /** A vcpu stops running: its timers count from now on. */
  consider(guest: GuestVcpu): void {
    this.#next = Math.min(this.#next, this.#deadlineOf(guest.vcpu))
  }

  /** Host time of the first timer of a vcpu other than `current`. */
  deadline(current: Vcpu | undefined): number {
    if (!this.#known) this.#visit(-Infinity, current)
    return this.#next
  }

  /** Wakes those for whom something is due, of all vcpus of this core but `current`. */
  expire(now: number, current: Vcpu | undefined): void {
    if (this.#known && now < this.#next) return
    this.#visit(now, current)
  }

  #visit(now: number, current: Vcpu | undefined): void {
    this.#next = Infinity
    this.#known = true
    let left = this.#host.state.domainCount
    for (let domain = this.#host.nextDomain(0); domain && left > 0; left--) {
      if (domain.state.control === 0 && !domain.isDying) {
        for (let i = 0; i < domain.vcpuCount; i++) {
          const vcpu = domain.vcpu(i)
          if (vcpu && vcpu !== current && this.#isOurs(vcpu)) this.#serve(vcpu, now)
        }
      }
      domain = left > 1 ? this.#host.nextDomain(domain.id + 1) : undefined
    }
  }

  #isOurs(vcpu: Vcpu): boolean {
    const { state } = vcpu
    return state.core === this.#core && state.running === 0 && state.timeAt !== 0
      && (state.flags & VPF_waits) !== 0 && (state.flags & VPF_down) === 0
      && vcpu.domain.state.pauseCount === 0 && state.pauseCount === 0 && state.initialised !== 0
  }

  #serve(vcpu: Vcpu, now: number): void {
    const deadline = this.#deadlineOf(vcpu)
    if (deadline > now) {
      this.#next = Math.min(this.#next, deadline)
      return
    }
    // An event may have woken it since, and another core may run it: then it is left alone.
    if (vcpu.replaceFlag(VPF_blocked, VPF_timers) || vcpu.clearFlag(VPF_polling)) vcpu.wake()
  }

  #deadlineOf(vcpu: Vcpu): number {
    return Math.min(this.#time.nextDeadline(vcpu), this.#guests.vcpuOf(vcpu).deadline)
  }
}
