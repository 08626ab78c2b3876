/**
 * A domain as one thread sees it: pausing, shutting down, crashing.
 *
 * Creation and destruction are in lifecycle.ts. A Domain whose struct has become another's shows by
 * its serial; Host.domain never hands such a one out.
 */
import { Bug } from '../../base/assert.ts'
import { atomicAdd, cellOf } from '../../base/layout/atomics.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { waitWhile } from '../../base/shared/wait.ts'
import type { Domid } from '../../abi/numbers.ts'
import { SHUTDOWN_crash } from '../../abi/xen/sched.ts'
import { VIRQ_DOM_EXC } from '../../abi/xen/xen.ts'
import type { Host } from '../host/host.ts'
import { P2m } from '../memory/p2m.ts'
import { populateNow } from '../memory/demand.ts'
import { DomainState, LIFE, SHUT_DOWN, SHUTTING_DOWN, VcpuState, VPF_down } from './state.ts'
import { Vcpu } from './vcpu.ts'

/** How long a core may take to leave the guest before we call it our bug. */
const STOP_TIMEOUT_MS = 20_000
const LOOK_MS = 20

export class Domain {
  readonly host: Host
  readonly state: ViewOf<typeof DomainState>
  readonly id: Domid
  readonly serial: number
  readonly p2m: P2m
  readonly #vcpus: (Vcpu | undefined)[] = []

  constructor(host: Host, at: number) {
    this.host = host
    this.state = DomainState.on(host.hypervisor.buffer, at)
    this.id = this.state.domid
    this.serial = this.state.serial
    this.p2m = new P2m(host, this.state, (gfn) => populateNow(this, gfn))
  }

  get address(): number {
    return this.state.base
  }

  get isPrivileged(): boolean {
    return this.state.privileged !== 0
  }

  /** The built-in control domain: its vcpu is the control thread, which no core runs. */
  get isControl(): boolean {
    return this.state.control !== 0
  }

  get isHvm(): boolean {
    return this.state.hvm !== 0
  }

  get isDying(): boolean {
    return this.state.life !== LIFE.alive
  }

  get isShutDown(): boolean {
    return (this.state.shutdown & SHUT_DOWN) !== 0
  }

  get vcpuCount(): number {
    return this.state.maxVcpus
  }

  /** Vcpu `id`, or undefined. */
  vcpu(id: number): Vcpu | undefined {
    if (id >>> 0 >= this.state.maxVcpus) return undefined
    const at = this.state.vcpus.get(id)
    if (at === 0) return undefined
    const known = this.#vcpus[id]
    if (known && known.state.base === at) return known
    const vcpu = new Vcpu(this, at)
    this.#vcpus[id] = vcpu
    return vcpu
  }

  lock(): void {
    this.host.domainLock.acquire(this.state.base + DomainState.offsets.lock)
  }

  unlock(): void {
    this.host.domainLock.release(this.state.base + DomainState.offsets.lock)
  }

  /** Adds a reason not to run and returns when no vcpu runs. Not for one of its own vcpus. */
  pause(): void {
    this.pauseNoSync()
    for (let i = 0; i < this.vcpuCount; i++) {
      const vcpu = this.vcpu(i)
      if (vcpu) this.#waitStopped(vcpu)
    }
  }

  pauseNoSync(): void {
    atomicAdd(this.state, DomainState.offsets.pauseCount, 1)
    for (let i = 0; i < this.vcpuCount; i++) {
      const vcpu = this.vcpu(i)
      if (!vcpu) continue
      this.host.services.scheduler.sleep(vcpu)
      vcpu.kick()
    }
  }

  unpause(): void {
    atomicAdd(this.state, DomainState.offsets.pauseCount, -1)
    for (let i = 0; i < this.vcpuCount; i++) this.vcpu(i)?.wake()
  }

  /** The toolstack's pause, which it may not nest: -EINVAL semantics are the caller's. */
  setControllerPause(paused: boolean): void {
    this.lock()
    const changes = (this.state.controllerPauses !== 0) !== paused
    if (changes) this.state.controllerPauses = paused ? 1 : 0
    this.unlock()
    if (!changes) return
    if (paused) this.pause()
    else this.unpause()
  }

  /** Ends the guest's life with SHUTDOWN_* `reason`: its vcpus stop, and Dom0 is told. */
  shutdown(reason: number): void {
    this.lock()
    const first = this.state.shutdown === 0
    if (first) {
      this.state.shutdownCode = reason
      this.state.shutdown = SHUTTING_DOWN
    }
    this.unlock()
    if (!first) return
    for (let i = 0; i < this.vcpuCount; i++) {
      const vcpu = this.vcpu(i)
      if (!vcpu || vcpu.state.pausedForShutdown !== 0) continue
      vcpu.state.pausedForShutdown = 1
      vcpu.pauseNoSync()
    }
    this.state.shutdown = SHUTTING_DOWN | SHUT_DOWN
    this.host.services.events.sendGlobalVirq(VIRQ_DOM_EXC)
  }

  /** Undoes shutdown, as after a suspend that was cancelled. */
  resume(): void {
    this.lock()
    const down = this.state.shutdown !== 0
    this.state.shutdown = 0
    this.state.shutdownCode = 0xffff_ffff
    this.unlock()
    if (!down) return
    for (let i = 0; i < this.vcpuCount; i++) {
      const vcpu = this.vcpu(i)
      if (!vcpu || vcpu.state.pausedForShutdown === 0) continue
      vcpu.state.pausedForShutdown = 0
      vcpu.unpause()
    }
  }

  /** The guest is beyond repair: says why in the log and shuts it down as crashed. */
  crash(reason: string): void {
    this.host.console.print(`Domain ${this.id} crashed: ${reason}`)
    this.shutdown(SHUTDOWN_crash)
  }

  /** Counts vcpus that are up. */
  onlineVcpus(): number {
    let online = 0
    for (let i = 0; i < this.vcpuCount; i++) {
      const vcpu = this.vcpu(i)
      if (vcpu && (vcpu.state.flags & VPF_down) === 0) online++
    }
    return online
  }

  #waitStopped(vcpu: Vcpu): void {
    const state = vcpu.state
    const cell = cellOf(state, VcpuState.offsets.running)
    const deadline = Date.now() + STOP_TIMEOUT_MS
    for (let seen = Atomics.load(state.cells, cell); seen !== 0;) {
      vcpu.kick()
      waitWhile(state.cells, cell, seen, LOOK_MS)
      seen = Atomics.load(state.cells, cell)
      if (seen !== 0 && Date.now() > deadline) throw new Bug('a core does not leave its guest')
    }
  }
}
