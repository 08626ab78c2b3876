/**
 * A vcpu as one thread sees it: its shared state and what hypercalls need of it.
 */
import {
  atomicAdd, atomicAnd, atomicCompareExchange, atomicExchange, atomicOr, cellOf,
} from '../../base/layout/atomics.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { type Entrance, GuestMemory, type Translate } from '../memory/guest-memory.ts'
import type { Host } from '../host/host.ts'
import type { Domain } from './domain.ts'
import { VcpuState, VPF_down, VPF_waits, WORK_IN_HAND } from './state.ts'

export class Vcpu {
  readonly host: Host
  readonly domain: Domain
  readonly state: ViewOf<typeof VcpuState>
  readonly id: number
  /** What the guest's linear addresses mean on this thread; see setTranslate. */
  readonly memory: GuestMemory
  /** Whether the hypercall in hand came from 32-bit code, whose structs are the compat ones. */
  compat = false

  constructor(domain: Domain, at: number) {
    this.host = domain.host
    this.domain = domain
    this.state = VcpuState.on(domain.host.hypervisor.buffer, at)
    this.id = this.state.id
    this.memory = new GuestMemory(domain.host.machine)
  }

  /** Says how this thread translates the guest's linear addresses (the core, at a switch). */
  setTranslate(translate: Translate, entrance?: Entrance): void {
    this.memory.translateBy(translate, entrance)
  }

  get address(): number {
    return this.state.base
  }

  /** Whether a core may run it: nobody pauses it and it waits for nothing. */
  get isRunnable(): boolean {
    return (this.state.flags & (VPF_waits | VPF_down)) === 0 && this.state.pauseCount === 0
      && this.domain.state.pauseCount === 0 && this.state.initialised !== 0
  }

  /** Whether toolstacks see it as blocked. What runs out while its domain is paused ends its wait
   * on Xen, so that none of a paused domain's is seen so. */
  get isBlocked(): boolean {
    return (this.state.flags & VPF_waits) !== 0 && this.domain.state.controllerPauses === 0
  }

  setFlag(flag: number): void {
    atomicOr(this.state, VcpuState.offsets.flags, flag)
  }

  /** Clears flags; true if any of them was set. */
  clearFlag(flag: number): boolean {
    return (atomicAnd(this.state, VcpuState.offsets.flags, ~flag) & flag) !== 0
  }

  /** Sets `to` instead of `from` in one step, if that is set; whether it was. */
  replaceFlag(from: number, to: number): boolean {
    for (;;) {
      const { flags } = this.state
      if ((flags & from) === 0) return false
      const next = flags & ~from | to
      if (atomicCompareExchange(this.state, VcpuState.offsets.flags, flags, next) === flags) {
        return true
      }
    }
  }

  /** Lets it run if nothing else keeps it (VPF_… cleared, pauses ended before). */
  wake(): void {
    if (this.domain.isControl) return this.kick()
    this.host.services.scheduler.wake(this)
  }

  /** Asks its core to do WORK_… before the guest goes on, soon: when it is asked already, whoever
   * did has seen to that. */
  requestWork(work: number): void {
    const before = atomicOr(this.state, VcpuState.offsets.work, work)
    if ((before & work) !== work && (before & WORK_IN_HAND) === 0) this.kick()
  }

  /** The core that runs it says that it takes the work that comes from now on, unasked. */
  beginWork(): void {
    atomicOr(this.state, VcpuState.offsets.work, WORK_IN_HAND)
  }

  /** Takes the work that was asked for: the core, before it enters the guest. */
  takeWork(): number {
    return atomicExchange(this.state, VcpuState.offsets.work, 0)
  }

  /** Makes the core that runs it leave the guest; wakes the control domain's thread. */
  kick(): void {
    if (this.domain.isControl) {
      Atomics.notify(this.state.cells, cellOf(this.state, VcpuState.offsets.work))
      return
    }
    const running = this.state.running
    if (running !== 0) this.host.kickCore(running - 1)
  }

  /** Adds a reason not to run, without waiting until it has stopped. */
  pauseNoSync(): void {
    atomicAdd(this.state, VcpuState.offsets.pauseCount, 1)
    this.host.services.scheduler.sleep(this)
    this.kick()
  }

  unpause(): void {
    atomicAdd(this.state, VcpuState.offsets.pauseCount, -1)
    this.wake()
  }

  /** Host nanoseconds that it has run. */
  cpuTimeNs(): number {
    const state = this.state
    const current = state.running !== 0 ? this.host.clock.now() - state.runningSinceNs : 0
    return state.cpuTimeNs + Math.max(0, current)
  }
}
