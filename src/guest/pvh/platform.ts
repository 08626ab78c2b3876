/**
 * PVH guests on one thread: the objects over their shared state, and that state's life.
 *
 * A PVH domain has local APICs and nothing else: no ports, no other memory-mapped device. The state
 * of the LAPICs is in the vcpus' structs, so each thread has its own Lapic objects over it.
 */
import type { Clock } from '../../base/clock.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { type CpuPolicy, defaultPolicy } from '../../cpu/cpuid.ts'
import { ENOMEM } from '../../abi/xen/errno.ts'
import type { Domain } from '../../hypervisor/domain/domain.ts'
import {
  VcpuState, VPF_down, VPF_timers, VPF_waits, WORK_NMI,
} from '../../hypervisor/domain/state.ts'
import type { Vcpu } from '../../hypervisor/domain/vcpu.ts'
import { unblock } from '../../hypervisor/events/upcall.ts'
import type { Host } from '../../hypervisor/host/host.ts'
import type { Subsystem } from '../../hypervisor/host/services.ts'
import { ApicBus, type ProcessorSignals } from '../../platform/irq/ipi.ts'
import { Lapic } from '../../platform/irq/lapic.ts'
import { LapicRest, LapicState, REG } from '../../platform/irq/lapic-state.ts'
import { type GuestType, WORK_STARTUP } from '../guest-type.ts'
import { PvhVcpuState, STARTUP_WAITS } from './state.ts'
import { PvhVcpu } from './vcpu.ts'

const TSC_DEADLINE_FEATURE = 24

/** A domain's part: its LAPICs, joined. */
class PvhDomain implements ProcessorSignals {
  readonly vcpus: PvhVcpu[] = []
  readonly bus = new ApicBus(this)
  readonly #domain: Domain
  readonly #platform: PvhPlatform

  constructor(domain: Domain, platform: PvhPlatform) {
    this.#domain = domain
    this.#platform = platform
    for (let i = 0; i < domain.vcpuCount; i++) {
      const vcpu = domain.vcpu(i)
      if (!vcpu || !platform.equip(vcpu)) continue
      const lapic = this.#lapicOf(vcpu)
      this.bus.lapics.push(lapic)
      this.vcpus[i] = new PvhVcpu(vcpu, lapic, platform.policy)
    }
  }

  #lapicOf(vcpu: Vcpu): Lapic {
    const { buffer } = vcpu.host.hypervisor
    const state = LapicState.on(buffer, vcpu.address + VcpuState.offsets.lapic)
    const rest = LapicRest.on(buffer, vcpu.state.platformAt + PvhVcpuState.offsets.lapic)
    const { policy, clock } = this.#platform
    const deadline = (policy.features['1.ecx'] >>> TSC_DEADLINE_FEATURE & 1) !== 0
    return new Lapic(state, rest, vcpu.id, clock, this.bus, deadline)
  }

  nmi(id: number): void {
    const vcpu = this.#domain.vcpu(id)
    if (!vcpu) return
    vcpu.requestWork(WORK_NMI)
    unblock(vcpu)
  }

  /** The processor waits for a STARTUP; what it was doing is lost. */
  init(id: number): void {
    const vcpu = this.#domain.vcpu(id)
    if (!vcpu) return
    vcpu.setFlag(VPF_down)
    vcpu.host.services.scheduler.sleep(vcpu)
    vcpu.kick()
  }

  startup(id: number, vector: number): void {
    const vcpu = this.#domain.vcpu(id)
    if (!vcpu || (vcpu.state.flags & VPF_down) === 0) return
    this.#platform.stateOf(vcpu).startup = vector | STARTUP_WAITS
    vcpu.state.initialised = 1
    vcpu.requestWork(WORK_STARTUP)
    // It begins anew: what it waited for when it was stopped is over.
    if (vcpu.clearFlag(VPF_down | VPF_waits | VPF_timers)) vcpu.wake()
  }

  raised(id: number): void {
    const target = this.vcpus[id]
    // The thread that runs the vcpu looks at its LAPIC anyway before it enters the guest.
    if (!target || target.isHere) return
    unblock(target.vcpu)
    target.vcpu.kick()
  }
}

export class PvhPlatform implements GuestType, Subsystem {
  readonly name = 'pvh'
  readonly host: Host
  readonly clock: Clock
  readonly policy: CpuPolicy
  readonly #domains = new WeakMap<Domain, PvhDomain>()
  readonly #state: ViewOf<typeof PvhVcpuState>

  constructor(host: Host, policy: CpuPolicy = defaultPolicy) {
    this.host = host
    this.clock = host.clock
    this.policy = policy
    this.#state = PvhVcpuState.on(host.hypervisor.buffer)
  }

  stateOf(vcpu: Vcpu): ViewOf<typeof PvhVcpuState> {
    return this.#state.at(vcpu.state.platformAt)
  }

  vcpuOf(vcpu: Vcpu): PvhVcpu {
    let domain = this.#domains.get(vcpu.domain)
    // Vcpus that were made after the object was are found by making it anew.
    if (!domain?.vcpus[vcpu.id]) {
      domain = new PvhDomain(vcpu.domain, this)
      this.#domains.set(vcpu.domain, domain)
    }
    return domain.vcpus[vcpu.id]!
  }

  vcpuCreated(vcpu: Vcpu): number {
    return this.equip(vcpu) ? 0 : -ENOMEM
  }

  vcpuDestroyed(vcpu: Vcpu): void {
    const at = vcpu.state.platformAt
    vcpu.state.platformAt = 0
    if (at !== 0) this.host.heap.release(at, PvhVcpuState.size)
  }

  /** Makes the vcpu's state, with its LAPIC as after power-on; false without memory. */
  equip(vcpu: Vcpu): boolean {
    if (vcpu.state.platformAt !== 0) return true
    const at = this.host.heap.allocate(PvhVcpuState.size)
    if (at === 0) return false
    vcpu.state.platformAt = at
    const { buffer } = this.host.hypervisor
    const state = LapicState.on(buffer, vcpu.address + VcpuState.offsets.lapic)
    const rest = LapicRest.on(buffer, at + PvhVcpuState.offsets.lapic)
    const lapic = new Lapic(state, rest, vcpu.id, this.clock, silentBus)
    if (state.regs.get(REG.VERSION >>> 2) === 0) lapic.reset()
    else lapic.restored()
    return true
  }
}

const silentBus = new ApicBus({ nmi() {}, init() {}, startup() {}, raised() {} })
